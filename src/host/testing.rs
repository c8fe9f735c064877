//! What the tests of this folder share.

use crate::base::AbsPath;
use std::error::Error;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::PathBuf;
use tempfile::TempDir;

/// A test that may fail by any error.
pub(super) type Test = Result<(), Box<dyn Error>>;

/// A user without an entry anywhere.
pub(super) const STRANGER: u32 = 3_999_999_991;

/// Whether the test has to be left out, loudly.
pub(super) fn needs_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: needs root");
    }
    !is_root
}

/// A temporary directory and what lies in it.
pub(super) struct Scene(TempDir);

impl Scene {
    /// An empty one that everybody may pass through and only we may write.
    pub(super) fn new() -> io::Result<Scene> {
        let dir = tempfile::tempdir()?;
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        Ok(Scene(dir))
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn abs(&self, name: &str) -> Result<AbsPath, Box<dyn Error>> {
        // The temporary directory itself may be reached through a link of the system's.
        Ok(AbsPath::try_from(self.0.path().canonicalize()?.join(name))?)
    }

    pub(super) fn dir(&self) -> Result<super::Dir, Box<dyn Error>> {
        Ok(super::walk::to(&self.abs("")?)?.dir)
    }

    pub(super) fn file(&self, name: &str, text: &str, mode: u32) -> io::Result<()> {
        std::fs::write(self.at(name), text)?;
        self.mode(name, mode)
    }

    pub(super) fn folder(&self, name: &str, mode: u32) -> io::Result<()> {
        std::fs::create_dir_all(self.at(name))?;
        self.mode(name, mode)
    }

    pub(super) fn fifo(&self, name: &str) -> io::Result<()> {
        Ok(nix::unistd::mkfifo(&self.at(name), nix::sys::stat::Mode::S_IRWXU)?)
    }

    pub(super) fn mode(&self, name: &str, mode: u32) -> io::Result<()> {
        std::fs::set_permissions(self.at(name), Permissions::from_mode(mode))
    }

    /// Gives a file, directory or link itself to a user and the group of the same number.
    pub(super) fn give(&self, name: &str, uid: u32) -> io::Result<()> {
        lchown(self.at(name), Some(uid), Some(uid))
    }

    pub(super) fn ino(&self, name: &str) -> io::Result<u64> {
        Ok(std::fs::metadata(self.at(name))?.ino())
    }
}
