//! File operations relative to an open directory. No path of more than one step ever reaches the kernel, and
//! no operation follows a symbolic link.

use crate::base::{ContentHash, Mode, Secret};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;

/// An open directory: every operation takes one name within it.
pub struct Dir {
    fd: OwnedFd,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// A FIFO, socket or device.
    Other,
}

/// Metadata of an inode, never through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// What it is.
    pub kind: Kind,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: Mode,
    /// Bytes.
    pub size: u64,
    /// Hard links.
    pub nlink: u64,
    /// Modification time, Unix nanoseconds.
    pub mtime: i128,
    /// Change time, Unix nanoseconds.
    pub ctime: i128,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, any bytes but `/` and NUL.
    pub name: OsString,
    /// What it was when it was listed; unknown on file systems that do not say is resolved by a stat.
    pub kind: Kind,
}

#[allow(unused_variables)]
impl Dir {
    /// Opens `/`.
    pub fn root() -> io::Result<Dir> {
        todo!()
    }
    /// A second descriptor of the same directory.
    pub fn try_clone(&self) -> io::Result<Dir> {
        todo!()
    }
    /// Opens the directory `name` (O_NOFOLLOW | O_DIRECTORY).
    pub fn open_dir(&self, name: &OsStr) -> io::Result<Dir> {
        todo!()
    }
    /// Opens the directory `name`, or nothing where there is none.
    pub fn find_dir(&self, name: &OsStr) -> io::Result<Option<Dir>> {
        todo!()
    }
    /// Makes the directory `name` with mode 0700 and opens it; it must be new, empty and ours.
    pub fn make_dir(&self, name: &OsStr) -> io::Result<Dir> {
        todo!()
    }
    /// Every entry but `.` and `..`, sorted by name.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        todo!()
    }
    /// Metadata of this directory.
    pub fn stat(&self) -> io::Result<Stat> {
        todo!()
    }
    /// Metadata of `name`, or nothing where there is none.
    pub fn stat_at(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        todo!()
    }
    /// The target of the link `name`; an error where it is none.
    pub fn read_link(&self, name: &OsStr) -> io::Result<OsString> {
        todo!()
    }
    /// Creates `name` exclusively with mode 0600, writes `bytes`, removes inherited ACLs, gives it `owner`
    /// (user, group) and `mode`, in that order. Not synced. On failure the name is removed again.
    pub fn create_file(&self, name: &OsStr, bytes: &[u8], owner: (u32, u32), mode: Mode) -> io::Result<()> {
        todo!()
    }
    /// Reads the regular file `name` (O_NOFOLLOW | O_NONBLOCK), at most `limit` bytes (more is
    /// `ErrorKind::FileTooLarge`), with the metadata of the descriptor it read, taken before the read.
    pub fn read_file(&self, name: &OsStr, limit: u64) -> io::Result<(Secret, Stat)> {
        todo!()
    }
    /// SHA-256 of the regular file `name` and its metadata, without holding it whole.
    pub fn hash_file(&self, name: &OsStr) -> io::Result<(ContentHash, Stat)> {
        todo!()
    }
    /// Makes the link `name` → `target`.
    pub fn symlink(&self, target: &str, name: &OsStr) -> io::Result<()> {
        todo!()
    }
    /// Renames `from` here to `to` in `into`, replacing a file or link.
    pub fn rename(&self, from: &OsStr, into: &Dir, to: &OsStr) -> io::Result<()> {
        todo!()
    }
    /// The same, refusing to replace anything (RENAME_NOREPLACE).
    pub fn rename_new(&self, from: &OsStr, into: &Dir, to: &OsStr) -> io::Result<()> {
        todo!()
    }
    /// Exchanges two names of this directory (RENAME_EXCHANGE).
    pub fn exchange(&self, one: &OsStr, other: &OsStr) -> io::Result<()> {
        todo!()
    }
    /// Removes a file or link; absence is success.
    pub fn unlink(&self, name: &OsStr) -> io::Result<()> {
        todo!()
    }
    /// Removes an empty directory; absence is success.
    pub fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        todo!()
    }
    /// Removes `name` and all below it, following nothing and crossing no mount point; absence is success.
    pub fn remove_tree(&self, name: &OsStr) -> io::Result<()> {
        todo!()
    }
    /// Gives this directory its owner (user, group), then its mode, and removes its ACLs (access and default).
    pub fn adjust(&self, owner: (u32, u32), mode: Mode) -> io::Result<()> {
        todo!()
    }
    /// Whether `name` (or this directory, for `None`) carries a POSIX ACL that grants more than its mode shows,
    /// or (a directory) a default ACL. File systems without ACLs: no.
    pub fn has_wider_acl(&self, name: Option<&OsStr>) -> io::Result<bool> {
        todo!()
    }
    /// fsync of this directory.
    pub fn sync(&self) -> io::Result<()> {
        todo!()
    }
    /// fsync of the file `name`.
    pub fn sync_file(&self, name: &OsStr) -> io::Result<()> {
        todo!()
    }
    /// syncfs of the file system this directory is on.
    pub fn sync_file_system(&self) -> io::Result<()> {
        todo!()
    }
    /// Whether content stamps of this file system can be trusted for the cache (ext4, xfs, btrfs, zfs, f2fs, tmpfs, overlay).
    pub fn stamps_are_sound(&self) -> io::Result<bool> {
        todo!()
    }
    /// Whether this directory is on a network file system (NFS, CIFS and their like).
    pub fn is_on_network(&self) -> io::Result<bool> {
        todo!()
    }
    /// The descriptor, for the other modules of `host`.
    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}
