//! Whole files in an open directory: made, read, hashed, replaced.

use super::dir::{Dir, bits, give, step, unique};
use super::identity::Identity;
use super::{Kind, Stat, acl};
use crate::base::{ContentHash, Mode, Secret, escape};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode as Bits, UtimensatFlags, fchmod, fstat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{fsync, getegid, geteuid};
use sha2::{Digest as _, Sha256};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use zeroize::Zeroizing;

/// O_NONBLOCK, so that a FIFO in the place of a file keeps nobody waiting; O_NOCTTY, so that a terminal stays a stranger.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);
const CREATE: OFlag = OFlag::O_WRONLY.union(OFlag::O_CREAT).union(OFlag::O_EXCL).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// A regular file that is read or written piece by piece.
pub type Stream = File;

/// When a write must be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before the call returns: file, rename and directory.
    OnDisk,
    /// Whenever the kernel likes: the old file, the new one, or after a crash possibly an empty one.
    Eventually,
}

/// Replaces (or makes) the file `name` as a whole: written under a temporary name, then renamed. It belongs to the running
/// user and group.
pub fn write_atomic(dir: &Dir, name: &OsStr, bytes: &[u8], mode: Mode, durability: Durability) -> io::Result<()> {
    write_atomic_parts(dir, name, &[bytes], mode, durability)
}

/// [`write_atomic`] of what is not in one piece.
pub fn write_atomic_parts(dir: &Dir, name: &OsStr, parts: &[&[u8]], mode: Mode, durability: Durability) -> io::Result<()> {
    let temporary = OsString::from(unique(".new-"));
    dir.create_file_of_parts(&temporary, parts, (geteuid().as_raw(), getegid().as_raw()), mode)?;
    let synced = match durability {
        Durability::OnDisk => dir.sync_file(&temporary),
        Durability::Eventually => Ok(()),
    };
    let renamed = synced.and_then(|()| dir.rename(&temporary, dir, name));
    if renamed.is_err() {
        // The first error is the one to hear.
        let _ = dir.unlink(&temporary);
        return renamed;
    }
    match durability {
        Durability::OnDisk => dir.sync(),
        Durability::Eventually => Ok(()),
    }
}

impl Dir {
    /// Creates `name` exclusively with mode 0600, writes `bytes`, removes inherited ACLs, gives it `owner`
    /// (user, group) and `mode`, in that order. Not synced. On failure the name is removed again.
    ///
    /// The SELinux label is the one the kernel derives from this directory.
    pub fn create_file(&self, name: &OsStr, bytes: &[u8], owner: (u32, u32), mode: Mode) -> io::Result<()> {
        self.create_file_of_parts(name, &[bytes], owner, mode)
    }

    fn create_file_of_parts(&self, name: &OsStr, parts: &[&[u8]], owner: (u32, u32), mode: Mode) -> io::Result<()> {
        let fd = openat(self.fd(), step(name)?, CREATE, Bits::S_IRUSR | Bits::S_IWUSR)?;
        let done = fill(fd, parts, owner, mode);
        if done.is_err() {
            // The first error is the one to hear.
            let _ = self.unlink(name);
        }
        done
    }

    /// Reads the regular file `name` (O_NOFOLLOW | O_NONBLOCK), at most `limit` bytes (more is
    /// `ErrorKind::FileTooLarge`), with the metadata of the descriptor it read, taken before the read.
    pub fn read_file(&self, name: &OsStr, limit: u64) -> io::Result<(Secret, Stat)> {
        let (fd, stat) = self.open_file(name)?;
        Ok((read_whole(fd, &stat, limit)?, stat))
    }

    /// [`Dir::read_file`] with no more rights than whoever owns this directory has: a file of somebody else's can be moved
    /// into a directory, but must not be read for its owner. Where `mover` could have moved the directory itself here, he must be able
    /// to read it too. Refused where everybody may write in it, where its group may and could not read the file, and
    /// where the file has a second name.
    pub fn read_file_as_owner(&self, name: &OsStr, limit: u64, mover: Option<u32>) -> io::Result<Secret> {
        let denied = |why: &str| io::Error::new(io::ErrorKind::PermissionDenied, format!("{}: {why}", escape(name)));
        let holder = self.stat()?;
        let (by_group, by_all) = (holder.mode.bits() & 0o020 != 0, holder.mode.bits() & 0o002 != 0);
        let group_reads = |stat: &Stat| stat.mode.bits() & 0o004 != 0 || (stat.gid == holder.gid && stat.mode.bits() & 0o040 != 0);
        let read_as = |uid: u32| {
            let _assumed = Identity::for_owner(uid).assume().map_err(|error| denied(&error.cause))?;
            self.read_file(name, limit)
        };
        let for_mover = match mover.filter(|mover| *mover != holder.uid) {
            None => None,
            Some(mover) => match read_as(mover) {
                Ok((_, stat)) => Some(stat),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(denied("whoever may have moved the directory it lies in to this place may not read it"));
                }
                Err(error) => return Err(error),
            },
        };
        match read_as(holder.uid) {
            Ok((_, stat)) if stat.nlink != 1 => Err(denied("has other hard links")),
            Ok((_, stat)) if for_mover.is_some_and(|seen| !seen.is_same(&stat)) => Err(denied("was exchanged while it was read")),
            Ok((_, stat)) if by_all || (by_group && !group_reads(&stat)) => {
                Err(denied("others may write in the directory it lies in, so nobody knows who put it there"))
            }
            Ok((bytes, _)) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(denied("whoever owns the directory it lies in may not read it"))
            }
            Err(error) => Err(error),
        }
    }

    /// SHA-256 of the regular file `name` and its metadata, without holding it whole.
    pub fn hash_file(&self, name: &OsStr) -> io::Result<(ContentHash, Stat)> {
        let (fd, stat) = self.open_file(name)?;
        let mut file = File::from(fd);
        let mut hasher = Sha256::new();
        let mut buffer = Zeroizing::new(vec![0; 32 * 1024]);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok((ContentHash::from_bytes(hasher.finalize().into()), stat))
    }

    /// Sets the modification time of the file `name` to now; it is made (empty, 0600) where it is missing.
    pub fn touch(&self, name: &OsStr) -> io::Result<()> {
        let now = TimeSpec::UTIME_NOW;
        match utimensat(self.fd(), step(name)?, &now, &now, UtimensatFlags::NoFollowSymlink) {
            Err(nix::errno::Errno::ENOENT) => self.create_file(name, b"", (geteuid().as_raw(), getegid().as_raw()), Mode::from_bits(0o600)),
            done => Ok(done?),
        }
    }

    /// fsync of the file `name`.
    pub fn sync_file(&self, name: &OsStr) -> io::Result<()> {
        let (fd, _) = self.open_file(name)?;
        Ok(fsync(fd)?)
    }

    /// Opens the regular file `name` for reading, with the metadata of what was opened.
    /// Gives the regular file `name` its owner (user, group) and its mode, and removes its ACL. In between it grants nobody more than before
    /// or after.
    pub fn adjust_file(&self, name: &OsStr, owner: (u32, u32), mode: Mode) -> io::Result<()> {
        settle(self.open_file(name)?.0, owner, mode)
    }

    /// Opens the regular file `name` to be read piece by piece (O_NOFOLLOW | O_NONBLOCK), with its metadata.
    pub fn open_stream(&self, name: &OsStr) -> io::Result<(Stream, Stat)> {
        self.open_file(name).map(|(fd, stat)| (File::from(fd), stat))
    }

    /// Creates `name` exclusively, mode 0600, to be written piece by piece.
    pub fn create_stream(&self, name: &OsStr) -> io::Result<Stream> {
        Ok(File::from(openat(self.fd(), step(name)?, CREATE, Bits::S_IRUSR | Bits::S_IWUSR)?))
    }

    pub(super) fn open_file(&self, name: &OsStr) -> io::Result<(OwnedFd, Stat)> {
        let fd = openat(self.fd(), step(name)?, READ, Bits::empty())?;
        let stat = Stat::from(&fstat(&fd)?);
        if stat.kind != Kind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok((fd, stat))
    }
}

fn fill(fd: OwnedFd, parts: &[&[u8]], owner: (u32, u32), mode: Mode) -> io::Result<()> {
    let mut file = File::from(fd);
    parts.iter().try_for_each(|part| file.write_all(part))?;
    settle(OwnedFd::from(file), owner, mode)
}

fn settle(fd: OwnedFd, owner: (u32, u32), mode: Mode) -> io::Result<()> {
    acl::remove(fd.as_fd(), Kind::File)?;
    let now = Stat::from(&fstat(&fd)?);
    if (now.uid, now.gid) != owner {
        // Its owner may not even for a moment do what the mode denies.
        fchmod(&fd, bits(Mode::from_bits(now.mode.bits() & mode.bits() & 0o600)))?;
        give(&fd, &now, owner)?;
    }
    // Always: neither the umask nor chown(2), which takes setuid bits away, may have the last word.
    fchmod(&fd, bits(mode))?;
    Ok(())
}

/// Reads to the end, at most `limit` bytes. No copy of the bytes is left behind in memory.
pub(super) fn read_whole(fd: OwnedFd, stat: &Stat, limit: u64) -> io::Result<Secret> {
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes"));
    if stat.size > limit {
        return Err(too_large());
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut file = File::from(fd);
    let mut buffer = Zeroizing::new(vec![0; usize::try_from(stat.size).unwrap_or(0).saturating_add(1)]);
    let mut length = 0;
    loop {
        if length == buffer.len() {
            buffer = grown(&buffer);
        }
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length > limit {
            return Err(too_large());
        }
    }
    buffer.truncate(length);
    Ok(Secret::new(std::mem::take(&mut *buffer)))
}

/// A larger buffer with the same bytes; the old one is wiped when it is dropped, as a growing `Vec` would not be.
fn grown(buffer: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut larger = Zeroizing::new(vec![0; buffer.len() * 2 + 4096]);
    larger[..buffer.len()].copy_from_slice(buffer);
    larger
}

#[cfg(test)]
mod tests {
    use super::{Durability, write_atomic};
    use crate::base::{ContentHash, Mode};
    use crate::host::testing::{Scene, Test};
    use std::ffi::OsStr;
    use std::io::ErrorKind;

    const NAME: &str = "file";

    #[test]
    fn a_file_is_read_whole_or_not_at_all() -> Test {
        let scene = Scene::new()?;
        let dir = scene.dir()?;
        let name = OsStr::new(NAME);
        for size in [0, 1, 40_000] {
            let text = "x".repeat(size);
            scene.file(NAME, &text, 0o644)?;
            let (bytes, stat) = dir.read_file(name, size as u64)?;
            assert_eq!((bytes.expose(), stat.size), (text.as_bytes(), size as u64));
            assert_eq!(dir.hash_file(name)?, (ContentHash::of(text.as_bytes()), stat));
        }
        assert!(dir.read_file(name, 39_999).is_err_and(|error| error.kind() == ErrorKind::FileTooLarge));
        Ok(())
    }

    #[test]
    fn a_file_whose_size_is_not_told_is_read_all_the_same() -> Test {
        let dir = crate::host::walk::to(&"/proc/self".parse()?);
        let Ok(walk) = dir else {
            eprintln!("skipped: no /proc");
            return Ok(());
        };
        let (bytes, stat) = walk.dir.read_file(OsStr::new("status"), 100_000)?;
        assert!(stat.size == 0 && bytes.len() > 100);
        assert!(walk.dir.read_file(OsStr::new("status"), 10).is_err_and(|error| error.kind() == ErrorKind::FileTooLarge));
        Ok(())
    }

    #[test]
    fn neither_a_fifo_nor_a_directory_is_read() -> Test {
        let scene = Scene::new()?;
        scene.fifo("fifo")?;
        scene.folder("folder", 0o755)?;
        let dir = scene.dir()?;
        for name in ["fifo", "folder"] {
            assert!(dir.read_file(OsStr::new(name), 10).is_err_and(|error| error.kind() == ErrorKind::InvalidInput), "{name}");
            assert!(dir.hash_file(OsStr::new(name)).is_err(), "{name}");
        }
        Ok(())
    }

    #[test]
    fn a_file_is_created_once_with_the_mode_asked_for() -> Test {
        let scene = Scene::new()?;
        let dir = scene.dir()?;
        let owner = dir.stat().map(|stat| (stat.uid, stat.gid))?;
        dir.create_file(OsStr::new(NAME), b"bytes", owner, Mode::from_bits(0o666))?;
        let (bytes, stat) = dir.read_file(OsStr::new(NAME), 10)?;
        assert_eq!((bytes.expose(), stat.mode.bits()), (&b"bytes"[..], 0o666), "the umask has no say");
        let again = dir.create_file(OsStr::new(NAME), b"other", owner, Mode::from_bits(0o600));
        assert!(again.is_err_and(|error| error.kind() == ErrorKind::AlreadyExists));
        assert_eq!(dir.read_file(OsStr::new(NAME), 10)?.0.expose(), b"bytes", "what was there stays");
        Ok(())
    }

    #[test]
    fn a_file_that_cannot_be_given_away_is_not_left_behind() -> Test {
        if nix::unistd::geteuid().is_root() {
            eprintln!("skipped: root may give everything away");
            return Ok(());
        }
        let scene = Scene::new()?;
        let dir = scene.dir()?;
        assert!(dir.create_file(OsStr::new(NAME), b"", (0, 0), Mode::from_bits(0o600)).is_err());
        assert!(dir.stat_at(OsStr::new(NAME))?.is_none());
        Ok(())
    }

    #[test]
    fn an_atomic_write_replaces_the_whole_file_and_leaves_nothing_else() -> Test {
        let scene = Scene::new()?;
        scene.file(NAME, "old and long", 0o600)?;
        let dir = scene.dir()?;
        for (text, durability) in [("new", Durability::OnDisk), ("newer", Durability::Eventually)] {
            write_atomic(&dir, OsStr::new(NAME), text.as_bytes(), Mode::from_bits(0o644), durability)?;
            let (bytes, stat) = dir.read_file(OsStr::new(NAME), 100)?;
            assert_eq!((bytes.expose(), stat.mode.bits()), (text.as_bytes(), 0o644));
        }
        scene.folder("folder", 0o755)?;
        assert!(write_atomic(&dir, OsStr::new("folder"), b"", Mode::from_bits(0o644), Durability::OnDisk).is_err());
        assert_eq!(dir.entries()?.len(), 2);
        Ok(())
    }
}
