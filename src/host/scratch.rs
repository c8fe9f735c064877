//! A temporary file of this process's own.

use super::dir::unique;
use crate::base::{AbsPath, hex};
use std::fs::{OpenOptions, remove_file};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

/// A file that only its owner may read, gone when dropped. For what is no secret.
#[derive(Debug)]
pub struct Scratch {
    path: AbsPath,
}

impl Scratch {
    /// Makes one, exclusively, with these bytes in it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(bytes: &[u8]) -> io::Result<Scratch> {
        let random = hex(&RandomState::new().build_hasher().finish().to_be_bytes());
        let path = std::env::temp_dir().join(unique(&format!("certsync-{random}-")));
        let path = AbsPath::try_from(path).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path.as_path())?;
        let scratch = Scratch { path };
        file.write_all(bytes)?;
        Ok(scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &AbsPath {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody misses it, and nobody can be told.
        let _ = remove_file(self.path.as_path());
    }
}
