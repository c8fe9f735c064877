//! File operations relative to an open directory. No path of more than one step ever reaches the kernel, and
//! no operation follows a symbolic link.

use super::{acl, stat};
use crate::base::Mode;
use nix::dir::Dir as Listing;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, readlinkat, renameat, renameat2};
use nix::sys::stat::{Mode as Bits, fchmod, fstat, fstatat, mkdirat};
use nix::sys::statfs::fstatfs;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fsync, geteuid, linkat, symlinkat, syncfs, unlinkat};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub use super::file::{Durability, write_atomic, write_atomic_parts};
pub use super::stat::{Kind, Stat};

/// An open directory: every operation takes one name within it.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, any bytes but `/` and NUL.
    pub name: OsString,
    /// What it was when it was listed; unknown on file systems that do not say is resolved by a stat.
    pub kind: Kind,
}

const OPEN_DIR: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The coarsest time stamps of file systems, in nanoseconds (two seconds, on FAT).
const COARSEST_STAMP: i128 = 2_000_000_000;

/// A name for something that is not finished: `<prefix><process id>-<nanoseconds>-<counter>`, not to be met twice.
/// It need not be secret, since all creation here is exclusive.
pub fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    FIRST.get_or_init(nanoseconds);
    format!("{prefix}{}-{}-{count}", std::process::id(), nanoseconds())
}

/// When this process first made a name with [`unique`].
static FIRST: OnceLock<u128> = OnceLock::new();

fn nanoseconds() -> u128 {
    super::clock::coarse_nanoseconds().unsigned_abs() % 1_000_000_000_000_000
}

/// Whether a name with this process's number and these nanoseconds is from this process, and not from one before that had the same number.
pub(super) fn is_from_now(nanoseconds: u128) -> bool {
    FIRST.get().is_some_and(|first| nanoseconds >= *first)
}

/// `name` if it is one plain step.
pub(super) fn step(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') || bytes.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a single file name"));
    }
    Ok(name)
}

fn exchanged() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "a directory just made was exchanged by somebody else")
}

/// `None` for what is not there.
fn found<T>(result: nix::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Dir {
    /// Opens `/`.
    pub fn root() -> io::Result<Dir> {
        let fd = nix::fcntl::open("/", OPEN_DIR | OFlag::O_RDONLY, Bits::empty())?;
        Ok(Dir { fd })
    }

    /// A second descriptor of the same directory.
    pub fn try_clone(&self) -> io::Result<Dir> {
        Ok(Dir { fd: self.fd.try_clone()? })
    }

    /// Opens the directory `name` (O_NOFOLLOW | O_DIRECTORY). One that we may pass through but not list
    /// is opened all the same; only listing it, syncing it or changing it will then fail.
    pub fn open_dir(&self, name: &OsStr) -> io::Result<Dir> {
        self.open_any(step(name)?)
    }

    /// Opens the directory above this one, as the kernel sees it now.
    pub(super) fn parent(&self) -> io::Result<Dir> {
        self.open_any(OsStr::new(".."))
    }

    fn open_any(&self, name: &OsStr) -> io::Result<Dir> {
        let open = |access| openat(&self.fd, name, OPEN_DIR | access, Bits::empty());
        let fd = match open(OFlag::O_RDONLY) {
            Err(Errno::EACCES) => open(OFlag::O_PATH)?,
            other => other?,
        };
        Ok(Dir { fd })
    }

    /// Opens the directory `name`, or nothing where there is none.
    pub fn find_dir(&self, name: &OsStr) -> io::Result<Option<Dir>> {
        match self.open_dir(name) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the directory `name` with mode 0700 and opens it; it must be new, empty and ours. Only where nobody else may write:
    /// elsewhere [`Dir::make_filled_dir`].
    ///
    /// ACLs and a setgid bit that it inherits are removed; its group is whatever the kernel gave it, and so is its SELinux
    /// label: that of the directory it is made in.
    pub fn make_dir(&self, name: &OsStr) -> io::Result<Dir> {
        mkdirat(&self.fd, step(name)?, Bits::S_IRWXU)?;
        let dir = self.open_dir(name)?;
        let made = dir.stat()?;
        if made.uid != geteuid().as_raw() || !dir.entries()?.is_empty() {
            return Err(exchanged());
        }
        let private = || {
            acl::remove(&dir.fd, Kind::Dir)?;
            if dir.stat()?.mode != Mode::from_bits(0o700) {
                fchmod(&dir.fd, Bits::S_IRWXU)?;
            }
            Ok(())
        };
        if let Err(error) = private() {
            // The first error is the one to hear; what is left is empty.
            let _ = self.remove_dir(name);
            return Err(error);
        }
        Ok(dir)
    }

    /// Makes the directory `name` with its owner (user, group) and mode: under a name of its own first, then renamed, so that
    /// nobody meets it half made. The directory returned is the one that was made, and it stands at `name`.
    pub fn make_finished_dir(&self, name: &OsStr, owner: (u32, u32), mode: Mode) -> io::Result<Dir> {
        self.make_filled_dir(name, |dir| dir.adjust(owner, mode))
    }

    /// The same, for a directory that `fill` finishes.
    ///
    /// mkdir(2) gives no descriptor. Where others may write, another directory of ours could be renamed to the new name before it
    /// is opened, and would get the owner and mode. So there it is made inside another one, in which nobody else may write.
    pub fn make_filled_dir(&self, name: &OsStr, fill: impl FnOnce(&Dir) -> io::Result<()>) -> io::Result<Dir> {
        self.sweep_unfinished();
        let hidden = OsString::from(unique(".new-"));
        let dir = if self.is_exposed()? {
            let cover = self.make_cover(&hidden)?;
            let made = cover.make_and_move(&hidden, self, name, fill);
            // Empty again, or not the one that was made.
            let _ = self.remove_dir(&hidden);
            made?
        } else {
            self.make_and_move(&hidden, self, name, fill)?
        };
        let stands = self.stat_at(name)?;
        if !stands.is_some_and(|there| dir.stat().is_ok_and(|made| made.is_same(&there))) {
            return Err(exchanged());
        }
        Ok(dir)
    }

    /// Whether others than root, where root runs, could put something else at a name in this directory.
    pub fn is_exposed(&self) -> io::Result<bool> {
        Ok(geteuid().is_root() && self.stat()?.is_writable_by_others(0))
    }

    fn make_and_move(&self, hidden: &OsStr, into: &Dir, name: &OsStr, fill: impl FnOnce(&Dir) -> io::Result<()>) -> io::Result<Dir> {
        let dir = self.make_dir(hidden)?;
        match fill(&dir).and_then(|()| self.rename_new(hidden, into, name)) {
            Ok(()) => Ok(dir),
            Err(error) => {
                // The first error is the one to hear.
                let _ = self.remove_tree(hidden);
                Err(error)
            }
        }
    }

    /// A directory that only we may write in, made where others may: nothing of it is changed here, since it could be one of
    /// ours that was put in the place of the new one. One that is not new is refused.
    fn make_cover(&self, name: &OsStr) -> io::Result<Dir> {
        let before = super::clock::coarse_nanoseconds();
        mkdirat(&self.fd, step(name)?, Bits::S_IRWXU)?;
        let open = || {
            let cover = self.open_dir(name)?;
            let found = cover.stat()?;
            let is_new = found.mtime + COARSEST_STAMP >= before || cover.is_on_network()?;
            if found.uid != geteuid().as_raw() || found.mode.bits() & 0o777 != 0o700 || !is_new || !cover.entries()?.is_empty() {
                return Err(exchanged());
            }
            Ok(cover)
        };
        let opened = open();
        if opened.is_err() {
            // The first error is the one to hear; what is left is empty.
            let _ = self.remove_dir(name);
        }
        opened
    }

    /// Every entry but `.` and `..`, sorted by name.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        self.entries_at_most(usize::MAX)
    }

    /// The same; more than `limit` of them is an error.
    pub fn entries_at_most(&self, limit: usize) -> io::Result<Vec<Entry>> {
        // A description of its own: the position in a listing is shared between duplicates.
        let mut listing = Listing::openat(&self.fd, ".", OPEN_DIR | OFlag::O_RDONLY, Bits::empty())?;
        let mut out = Vec::new();
        for entry in listing.iter() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if out.len() >= limit {
                return Err(io::Error::other(format!("more than {limit} entries in one directory")));
            }
            let kind = match entry.file_type() {
                Some(known) => kind_of(known),
                None => match self.stat_at(name)? {
                    Some(there) => there.kind,
                    None => continue,
                },
            };
            out.push(Entry { name: name.to_owned(), kind });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    /// Metadata of this directory.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(Stat::from(&fstat(&self.fd)?))
    }

    /// Metadata of `name`, or nothing where there is none.
    pub fn stat_at(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        Ok(found(fstatat(&self.fd, step(name)?, AtFlags::AT_SYMLINK_NOFOLLOW))?.map(|raw| Stat::from(&raw)))
    }

    /// Whether this directory is the inode `other`.
    pub fn is_same(&self, other: &Stat) -> io::Result<bool> {
        Ok(self.stat()?.is_same(other))
    }

    /// The target of the link `name`; an error where it is none.
    pub fn read_link(&self, name: &OsStr) -> io::Result<OsString> {
        Ok(readlinkat(&self.fd, step(name)?)?)
    }

    /// Makes the link `name` → `target`.
    pub fn symlink(&self, target: &str, name: &OsStr) -> io::Result<()> {
        Ok(symlinkat(target, &self.fd, step(name)?)?)
    }

    /// Renames `from` here to `to` in `into`, replacing a file or link.
    pub fn rename(&self, from: &OsStr, into: &Dir, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.fd, step(from)?, &into.fd, step(to)?)?)
    }

    /// The same, refusing to replace anything (RENAME_NOREPLACE).
    ///
    /// On a file system that cannot do that, a file or link is linked to its new name and then unlinked; a directory
    /// is renamed after a look, where the kernel itself refuses to replace anything but an empty directory.
    pub fn rename_new(&self, from: &OsStr, into: &Dir, to: &OsStr) -> io::Result<()> {
        match renameat2(&self.fd, step(from)?, &into.fd, step(to)?, RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::EINVAL | Errno::ENOSYS) => self.rename_new_by_hand(from, into, to),
            other => Ok(other?),
        }
    }

    fn rename_new_by_hand(&self, from: &OsStr, into: &Dir, to: &OsStr) -> io::Result<()> {
        let what = self.stat_at(from)?.ok_or(Errno::ENOENT)?;
        if into.stat_at(to)?.is_some() {
            return Err(Errno::EEXIST.into());
        }
        if what.kind == Kind::Dir {
            return self.rename(from, into, to);
        }
        linkat(&self.fd, from, &into.fd, to, AtFlags::empty())?;
        self.unlink(from)
    }

    /// Exchanges `one` here with `other` in `into` (RENAME_EXCHANGE). File systems that cannot do that answer
    /// `ErrorKind::InvalidInput` (EINVAL) or `Unsupported` (ENOSYS), and nothing has changed.
    pub fn exchange(&self, one: &OsStr, into: &Dir, other: &OsStr) -> io::Result<()> {
        Ok(renameat2(&self.fd, step(one)?, &into.fd, step(other)?, RenameFlags::RENAME_EXCHANGE)?)
    }

    /// Removes a file or link; absence is success.
    pub fn unlink(&self, name: &OsStr) -> io::Result<()> {
        found(unlinkat(&self.fd, step(name)?, UnlinkatFlags::NoRemoveDir)).map(|_| ())
    }

    /// Removes an empty directory; absence is success.
    pub fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        found(unlinkat(&self.fd, step(name)?, UnlinkatFlags::RemoveDir)).map(|_| ())
    }

    /// Gives this directory its owner (user, group) and its mode, and removes its ACLs (access and default). In between it grants
    /// nobody more than before or after.
    pub fn adjust(&self, owner: (u32, u32), mode: Mode) -> io::Result<()> {
        let now = self.stat()?;
        acl::narrow(&self.fd, &now, mode)?;
        if (now.uid, now.gid) != owner {
            fchmod(&self.fd, bits(Mode::from_bits(self.stat()?.mode.bits() & mode.bits() & 0o777)))?;
            give(&self.fd, &now, owner)?;
        }
        Ok(fchmod(&self.fd, bits(mode))?)
    }

    /// Whether `name` (or this directory, for `None`) carries a POSIX ACL that grants more than its mode shows,
    /// or (a directory) a default ACL. File systems without ACLs: no.
    pub fn has_wider_acl(&self, name: Option<&OsStr>) -> io::Result<bool> {
        let Some(name) = name else {
            return acl::is_wider(&self.fd, &self.stat()?);
        };
        let there = self.stat_at(name)?.ok_or(Errno::ENOENT)?;
        if !matches!(there.kind, Kind::File | Kind::Dir) {
            return Ok(false);
        }
        let open = |access| openat(&self.fd, name, access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Bits::empty());
        match open(OFlag::O_RDONLY) {
            // What we own but may not read can only be asked by way of /proc.
            Err(Errno::EACCES) => {
                let fd = open(OFlag::O_PATH)?;
                acl::is_wider_at(&format!("/proc/self/fd/{}", fd.as_raw_fd()), &there)
            }
            opened => acl::is_wider(opened?, &there),
        }
    }

    /// fsync of this directory.
    pub fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.fd)?)
    }

    /// syncfs of the file system this directory is on.
    pub fn sync_file_system(&self) -> io::Result<()> {
        Ok(syncfs(&self.fd)?)
    }

    /// Whether content stamps of this file system can be trusted for the cache (ext4, xfs, btrfs, zfs, f2fs, tmpfs, overlay).
    pub fn stamps_are_sound(&self) -> io::Result<bool> {
        Ok(stat::is_sound(&fstatfs(&self.fd)?))
    }

    /// Whether this directory is on a network file system (NFS, CIFS and their like).
    pub fn is_on_network(&self) -> io::Result<bool> {
        Ok(stat::is_network(&fstatfs(&self.fd)?))
    }

    /// The descriptor, for the other modules of `host`.
    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// A directory from a descriptor that is known to be one.
    pub(super) fn from_fd(fd: OwnedFd) -> Dir {
        Dir { fd }
    }
}

/// Changes owner and group where they differ: an owner who is not root may change what is left alone here.
pub(super) fn give(fd: &OwnedFd, now: &Stat, (uid, gid): (u32, u32)) -> io::Result<()> {
    let user = (now.uid != uid).then(|| Uid::from_raw(uid));
    let group = (now.gid != gid).then(|| Gid::from_raw(gid));
    if user.is_some() || group.is_some() {
        fchown(fd, user, group)?;
    }
    Ok(())
}

pub(super) fn bits(mode: Mode) -> Bits {
    Bits::from_bits_truncate(mode.bits())
}

fn kind_of(known: nix::dir::Type) -> Kind {
    match known {
        nix::dir::Type::File => Kind::File,
        nix::dir::Type::Directory => Kind::Dir,
        nix::dir::Type::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Dir, Kind, unique};
    use crate::base::Mode;
    use crate::host::acl::encode;
    use crate::host::testing::{STRANGER, Scene, Test, needs_root};
    use std::ffi::OsStr;
    use std::io::ErrorKind;
    use std::os::unix::fs::symlink;

    const ACCESS: &str = "system.posix_acl_access";
    const DEFAULT: &str = "system.posix_acl_default";

    fn os(name: &str) -> &OsStr {
        OsStr::new(name)
    }

    /// An ACL by which the stranger may read and write; `false` where the file system has none.
    fn set_acl(scene: &Scene, name: &str, attribute: &str) -> std::io::Result<bool> {
        let none = u32::MAX;
        let acl = encode(&[(1, 7, none), (2, 6, STRANGER), (4, 4, none), (16, 7, none), (32, 0, none)]);
        match xattr::set(scene.at(name), attribute, &acl) {
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EOPNOTSUPP as i32) => {
                eprintln!("skipped: no ACLs on this file system");
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }

    #[test]
    fn a_name_is_one_step_and_nothing_else() -> Test {
        let scene = Scene::new()?;
        let dir = scene.dir()?;
        for bad in ["", ".", "..", "a/b", "/", "/etc", "a\0"] {
            let refused: [Option<std::io::Error>; 6] = [
                dir.open_dir(os(bad)).err(),
                dir.make_dir(os(bad)).err(),
                dir.stat_at(os(bad)).err(),
                dir.unlink(os(bad)).err(),
                dir.read_file(os(bad), 1).err(),
                dir.rename(os("a"), &dir, os(bad)).err(),
            ];
            assert!(refused.iter().all(|error| error.as_ref().is_some_and(|e| e.kind() == ErrorKind::InvalidInput)), "{bad:?}");
        }
        Ok(())
    }

    #[test]
    fn nothing_is_done_through_a_link() -> Test {
        let scene = Scene::new()?;
        scene.folder("folder", 0o755)?;
        scene.file("file", "x", 0o644)?;
        symlink("folder", scene.at("to-folder"))?;
        symlink("file", scene.at("to-file"))?;
        let dir = scene.dir()?;
        assert!(dir.open_dir(os("to-folder")).is_err());
        assert!(dir.read_file(os("to-file"), 10).is_err());
        assert!(dir.hash_file(os("to-file")).is_err());
        assert!(dir.create_file(os("to-file"), b"", (0, 0), Mode::from_bits(0o600)).is_err());
        assert_eq!(dir.stat_at(os("to-file"))?.map(|stat| stat.kind), Some(Kind::Link));
        assert_eq!(dir.read_link(os("to-file"))?, "file");
        Ok(())
    }

    #[test]
    fn a_directory_lists_its_names_in_order_every_time() -> Test {
        let scene = Scene::new()?;
        scene.file("b", "", 0o644)?;
        scene.folder("a", 0o755)?;
        scene.fifo("c")?;
        symlink("b", scene.at("d"))?;
        let dir = scene.dir()?;
        for _ in 0..2 {
            let found: Vec<_> = dir.entries()?.into_iter().map(|entry| (entry.name.into_string(), entry.kind)).collect();
            assert_eq!(
                found,
                [("a", Kind::Dir), ("b", Kind::File), ("c", Kind::Other), ("d", Kind::Link)].map(|(name, kind)| (Ok(name.into()), kind))
            );
        }
        Ok(())
    }

    #[test]
    fn what_is_absent_is_nothing_and_removing_it_is_success() -> Test {
        let scene = Scene::new()?;
        let dir = scene.dir()?;
        assert!(dir.find_dir(os("x"))?.is_none());
        assert!(dir.stat_at(os("x"))?.is_none());
        dir.unlink(os("x"))?;
        dir.remove_dir(os("x"))?;
        dir.remove_tree(os("x"))?;
        Ok(())
    }

    #[test]
    fn a_new_directory_is_private_and_a_finished_one_as_it_should_be() -> Test {
        let scene = Scene::new()?;
        scene.mode("", 0o2777)?;
        let dir = scene.dir()?;
        assert_eq!(dir.make_dir(os("private"))?.stat()?.mode, Mode::from_bits(0o700), "not even a setgid bit is inherited");
        assert!(dir.make_dir(os("private")).is_err_and(|error| error.kind() == ErrorKind::AlreadyExists));
        let now = dir.stat()?;
        let made = dir.make_finished_dir(os("finished"), (now.uid, now.gid), Mode::from_bits(0o2775))?;
        assert!(dir.stat_at(os("finished"))?.is_some_and(|stat| stat.mode == Mode::from_bits(0o2775)));
        assert!(made.is_same(&dir.open_dir(os("finished"))?.stat()?)?);
        assert!(dir.make_finished_dir(os("finished"), (now.uid, now.gid), Mode::from_bits(0o755)).is_err());
        assert_eq!(dir.entries()?.len(), 2, "nothing temporary is left");
        Ok(())
    }

    #[test]
    fn a_new_name_replaces_nothing_and_an_exchange_loses_nothing() -> Test {
        let scene = Scene::new()?;
        scene.file("one", "1", 0o644)?;
        scene.file("two", "2", 0o644)?;
        let dir = scene.dir()?;
        assert!(dir.rename_new(os("one"), &dir, os("two")).is_err_and(|error| error.kind() == ErrorKind::AlreadyExists));
        assert!(dir.rename_new_by_hand(os("one"), &dir, os("two")).is_err_and(|error| error.kind() == ErrorKind::AlreadyExists));
        dir.exchange(os("one"), &dir, os("two"))?;
        assert_eq!(dir.read_file(os("one"), 1)?.0.expose(), b"2");
        dir.rename_new_by_hand(os("one"), &dir, os("three"))?;
        dir.rename_new(os("three"), &dir, os("four"))?;
        assert_eq!(dir.read_file(os("four"), 1)?.0.expose(), b"2");
        assert_eq!(dir.entries()?.len(), 2);
        Ok(())
    }

    #[test]
    fn an_acl_that_widens_is_seen_and_removed() -> Test {
        let scene = Scene::new()?;
        scene.file("file", "", 0o640)?;
        scene.folder("folder", 0o750)?;
        let dir = scene.dir()?;
        assert!(!dir.has_wider_acl(Some(os("file")))?);
        assert!(!dir.has_wider_acl(Some(os("folder")))?);
        if !set_acl(&scene, "file", ACCESS)? {
            return Ok(());
        }
        assert!(dir.has_wider_acl(Some(os("file")))?);
        let folder = dir.open_dir(os("folder"))?;
        scene.mode("file", 0o020)?;
        assert!(dir.has_wider_acl(Some(os("file")))?, "also where the owner may not read");
        set_acl(&scene, "folder", DEFAULT)?;
        assert!(folder.has_wider_acl(None)?);
        let now = folder.stat()?;
        folder.adjust((now.uid, now.gid), Mode::from_bits(0o750))?;
        assert!(!folder.has_wider_acl(None)?);
        assert_eq!(folder.stat()?.mode, Mode::from_bits(0o750));
        Ok(())
    }

    #[test]
    fn a_default_acl_widens_nothing_that_is_made_below_it() -> Test {
        let scene = Scene::new()?;
        if !set_acl(&scene, "", DEFAULT)? {
            return Ok(());
        }
        let dir = scene.dir()?;
        let now = dir.stat()?;
        dir.create_file(os("key"), b"secret", (now.uid, now.gid), Mode::from_bits(0o640))?;
        dir.make_dir(os("folder"))?;
        assert!(!dir.has_wider_acl(Some(os("key")))?);
        assert!(!dir.has_wider_acl(Some(os("folder")))?);
        assert!(xattr::get(scene.at("key"), ACCESS)?.is_none());
        Ok(())
    }

    #[test]
    fn a_tree_is_removed_without_following_what_leads_out_of_it() -> Test {
        let scene = Scene::new()?;
        scene.folder("tree/a/b", 0o755)?;
        scene.folder("kept", 0o755)?;
        scene.file("kept/file", "", 0o644)?;
        scene.file("tree/a/file", "", 0o000)?;
        scene.fifo("tree/a/b/fifo")?;
        symlink("../../kept", scene.at("tree/a/link"))?;
        symlink("kept", scene.at("link"))?;
        scene.mode("tree/a/b", 0o500)?;
        let dir = scene.dir()?;
        dir.remove_tree(os("tree"))?;
        dir.remove_tree(os("link"))?;
        assert_eq!(dir.entries()?.len(), 1);
        assert!(scene.at("kept/file").exists());
        Ok(())
    }

    #[test]
    fn owners_are_given_before_modes() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = Scene::new()?;
        scene.folder("folder", 0o755)?;
        let dir = scene.dir()?;
        dir.create_file(os("file"), b"", (STRANGER, 7), Mode::from_bits(0o4750))?;
        dir.open_dir(os("folder"))?.adjust((STRANGER, 7), Mode::from_bits(0o2750))?;
        for (name, mode) in [("file", 0o4750), ("folder", 0o2750)] {
            let stat = dir.stat_at(os(name))?.ok_or("gone")?;
            assert_eq!((stat.uid, stat.gid, stat.mode), (STRANGER, 7, Mode::from_bits(mode)));
        }
        Ok(())
    }

    #[test]
    fn the_root_directory_opens_and_unique_names_are_unique() -> Test {
        assert_eq!(Dir::root()?.stat()?.kind, Kind::Dir);
        assert!(!Dir::root()?.is_on_network()?);
        assert_ne!(unique(".new-"), unique(".new-"));
        Ok(())
    }
}
