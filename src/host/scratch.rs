//! Temporary files and folders of this process's own.

use super::Dir;
use super::dir::unique;
use super::process::temporary::{base, make_dir, sweep};
use crate::base::{AbsPath, hex};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::ffi::OsStr;
use std::fs::{OpenOptions, remove_file};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

/// A file that only its owner may read, gone when dropped. For what is no secret.
#[derive(Debug)]
pub struct Scratch {
    path: AbsPath,
}

/// A folder that only its owner may enter, removed with all that is in it when dropped. What a killed run left is removed by the next that
/// makes one, or calls a hook.
#[derive(Debug)]
pub struct ScratchDir {
    parent: Dir,
    name: String,
    path: AbsPath,
}

impl ScratchDir {
    /// Makes one: in `/run` for root, in `$XDG_RUNTIME_DIR` or the directory for temporary files for others.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new() -> io::Result<ScratchDir> {
        let base = base();
        let parent = open(&base, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY, Mode::empty())?;
        sweep(&parent);
        let name = make_dir(&parent)?;
        let path = AbsPath::try_from(base.join(&name)).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        Ok(ScratchDir { parent: Dir::from_fd(parent), name, path })
    }

    /// Where it is.
    pub fn path(&self) -> &AbsPath {
        &self.path
    }

    /// The folder itself.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn dir(&self) -> io::Result<Dir> {
        self.parent.open_dir(OsStr::new(&self.name))
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        if let Err(error) = self.parent.remove_tree(OsStr::new(&self.name)) {
            tracing::warn!("{}: it could not be removed, a later run will: {error}", self.path);
        }
    }
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
