//! Removing a directory and all below it.

use super::dir::{Dir, step};
use super::{Kind, Stat};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode as Bits, fchmod};
use nix::unistd::geteuid;
use std::ffi::OsStr;
use std::io;

/// Deeper than anything certsync makes: relative paths hold at most 1024 bytes, and folders of sources end at 16.
const DEEPEST: u32 = 64;

impl Dir {
    /// Removes `name` and all below it, following nothing and crossing no mount point; absence is success.
    pub fn remove_tree(&self, name: &OsStr) -> io::Result<()> {
        remove(self, name, DEEPEST)
    }

    /// Opens the directory `name` unless something is mounted there, bind mounts of the same file system included.
    fn open_unmounted(&self, name: &OsStr) -> io::Result<Dir> {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS);
        match openat2(self.fd(), step(name)?, how) {
            Ok(fd) => Ok(Dir::from_fd(fd)),
            // A kernel before 5.6, or a seccomp filter that does not know the call: devices must do.
            Err(Errno::ENOSYS | Errno::EPERM) => {
                let dir = self.open_dir(name)?;
                if dir.stat()?.dev != self.stat()?.dev {
                    return Err(Errno::EXDEV.into());
                }
                Ok(dir)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn remove(parent: &Dir, name: &OsStr, depth: u32) -> io::Result<()> {
    match parent.stat_at(name)? {
        None => return Ok(()),
        Some(Stat { kind: Kind::Dir, .. }) => {}
        Some(_) => return parent.unlink(name),
    }
    if depth == 0 {
        return Err(io::Error::other("folders are nested too deeply to be removed"));
    }
    let dir = match parent.open_unmounted(name) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    make_writable(&dir)?;
    for entry in dir.entries()? {
        remove(&dir, &entry.name, depth - 1)?;
    }
    parent.remove_dir(name)
}

/// A directory of ours whose mode keeps ourselves out (`dir_mode: dr-xr-x---` without root) can still be emptied.
fn make_writable(dir: &Dir) -> io::Result<()> {
    let now = dir.stat()?;
    if !geteuid().is_root() && now.uid == geteuid().as_raw() && now.mode.bits() & 0o700 != 0o700 {
        fchmod(dir.fd(), Bits::S_IRWXU)?;
    }
    Ok(())
}
