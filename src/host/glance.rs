//! Looking without touching: metadata of paths of several steps at once.
//!
//! Nothing is opened or read, and what is seen is only ever held against what was seen before, so that whoever plants a link on the way
//! can bring about no more than a closer look.

use super::walk;
use super::{Dir, Stat};
use crate::base::AbsPath;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{Mode as Bits, fstatat};
use std::ffi::CStr;

/// A directory below which is looked.
#[derive(Debug)]
pub struct Glance {
    dir: Dir,
}

/// Whether a link at the end of a path is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// To where it leads.
    Follow,
    /// It is looked at itself.
    Look,
}

impl Glance {
    /// At a directory that leads to sources; links on the way are followed.
    pub fn at_source(path: &AbsPath) -> Option<Glance> {
        let fd = open(path.as_path(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Bits::empty()).ok()?;
        Some(Glance { dir: Dir::from_fd(fd) })
    }

    /// At a directory that holds a `dest`: links on the way are followed as in [`walk::to`].
    pub fn at_dest(path: &AbsPath) -> Option<Glance> {
        walk::to(path).ok().filter(|walk| walk.missing.is_empty()).map(|walk| Glance { dir: walk.dir })
    }

    /// Metadata of what `path` leads to; nothing where that cannot be told.
    pub fn stat(&self, path: &CStr, links: Links) -> Option<Stat> {
        let flags = match links {
            Links::Follow => AtFlags::AT_NO_AUTOMOUNT,
            Links::Look => AtFlags::AT_NO_AUTOMOUNT | AtFlags::AT_SYMLINK_NOFOLLOW,
        };
        Some(Stat::from(&fstatat(self.dir.fd(), path, flags).ok()?))
    }
}
