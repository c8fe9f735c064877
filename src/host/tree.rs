//! Removing a directory and all below it, and what killed runs left.

use super::dir::{Dir, step};
use super::{Kind, Stat};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::signal::kill;
use nix::sys::stat::{Mode as Bits, fchmod};
use nix::unistd::{Pid, geteuid};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::sync::Mutex;

/// Deeper than anything certsync makes: relative paths hold at most 1024 bytes, and folders of sources end at 16.
const DEEPEST: u32 = 64;

impl Dir {
    /// Removes `name` and all below it, following nothing and crossing no mount point; absence is success.
    pub fn remove_tree(&self, name: &OsStr) -> io::Result<()> {
        remove(self, name, DEEPEST)
    }

    /// Removes what killed runs left here while they made a directory: empty, ours, and named after a process that is gone.
    /// Looks once into each directory, since there may be many to be made in it. What cannot be removed stays.
    pub(super) fn sweep_unfinished(&self) {
        static SWEPT: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());
        let Ok(stat) = self.stat() else { return };
        if !SWEPT.lock().is_ok_and(|mut swept| swept.insert((stat.dev, stat.ino))) {
            return;
        }
        for entry in self.entries().unwrap_or_default() {
            let abandoned = entry.kind == Kind::Dir && entry.name.to_str().is_some_and(is_abandoned);
            let ours = |stat: Option<Stat>| stat.is_some_and(|stat| stat.uid == geteuid().as_raw());
            if abandoned && self.stat_at(&entry.name).is_ok_and(ours) {
                let _ = self.remove_dir(&entry.name);
            }
        }
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

/// Whether this is a name that [`unique`](super::dir::unique) made for `.new-` in a process that is gone. One with our own
/// number was before us.
fn is_abandoned(name: &str) -> bool {
    let process = name.strip_prefix(".new-").and_then(|rest| rest.split_once('-')?.0.parse().ok()).filter(|process| *process > 0);
    process.map(Pid::from_raw).is_some_and(|process| process == Pid::this() || kill(process, None) == Err(Errno::ESRCH))
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
