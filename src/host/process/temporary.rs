//! A file for one hook.

use super::owner::Owner;
use crate::base::{AbsPath, Error, ErrorKind, Result};
use crate::host::{Dir, Entry, Kind};
use crate::spec::HookUser;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fchmod, fstat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};
use std::ffi::OsStr;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The name of the file in its directory.
const NAME: &str = "changes.json";
/// How the directory's name begins; then its [`Owner`], where that is known, and something nobody can foresee.
const PREFIX: &str = "certsync-";
/// How many names are tried where others lie in the way.
const TRIES: usize = 20;

/// Writes `bytes` to a new file readable by `user` alone, in a private temporary directory, and removes both when dropped:
/// what `CERTSYNC_CHANGES` names.
///
/// The directory lies in `/run` for root, in `$XDG_RUNTIME_DIR` or the directory for temporary files for others.
pub struct TemporaryFile {
    path: AbsPath,
    parent: OwnedFd,
    dir: OwnedFd,
    dir_name: String,
}

impl TemporaryFile {
    /// Makes it.
    pub fn new(bytes: &[u8], user: &HookUser) -> Result<TemporaryFile> {
        let base = base();
        let failed = |error: &std::io::Error| Error::io(ErrorKind::Hook, format!("a temporary file in {}", shown(&base)), error);
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        let parent = open(&base, flags, Mode::empty()).map_err(|errno| failed(&errno.into()))?;
        sweep(&parent);
        let dir_name = make_dir(&parent).map_err(|errno| failed(&errno.into()))?;
        let path = AbsPath::try_from(base.join(&dir_name).join(NAME));
        let dir = openat(&parent, dir_name.as_str(), flags | OFlag::O_NOFOLLOW, Mode::empty());
        let (path, dir) = match (path, dir) {
            (Ok(path), Ok(dir)) => (path, dir),
            (path, _) => {
                let _ = unlinkat(&parent, dir_name.as_str(), UnlinkatFlags::RemoveDir);
                let why = path.err().map_or_else(|| "its directory cannot be opened".into(), |error| error.to_string());
                return Err(Error::new(ErrorKind::Hook, format!("a temporary file in {}", shown(&base)), why));
            }
        };
        let file = TemporaryFile { path, parent, dir, dir_name };
        // From here on dropping it cleans up.
        file.fill(bytes, user).map_err(|error| failed(&error))?;
        Ok(file)
    }

    /// Where it is.
    pub fn path(&self) -> &AbsPath {
        &self.path
    }

    fn fill(&self, bytes: &[u8], user: &HookUser) -> std::io::Result<()> {
        let ours = Uid::effective();
        if fstat(&self.dir)?.st_uid != ours.as_raw() {
            return Err(Errno::EPERM.into());
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(&self.dir, NAME, flags, Mode::from_bits_truncate(0o600))?);
        file.write_all(bytes)?;
        if user.uid != ours.as_raw() {
            fchown(&file, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?;
            // The user must get to the file, whose name he was told; he cannot list or change the directory.
            fchmod(&self.dir, Mode::from_bits_truncate(0o711))?;
        }
        fchmod(&file, Mode::from_bits_truncate(0o400))?;
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let removed = match unlinkat(&self.dir, NAME, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => unlinkat(&self.parent, self.dir_name.as_str(), UnlinkatFlags::RemoveDir),
            failed => failed,
        };
        if let Err(errno) = removed {
            tracing::warn!("{}: what a hook was told in it could not be removed, a later run will: {}", self.path, errno.desc());
        }
    }
}

/// The directory for what is private and short-lived.
pub(in crate::host) fn base() -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let candidate = if Uid::effective().is_root() { Some(PathBuf::from("/run")) } else { own };
    candidate.filter(|path| path.is_absolute() && path.is_dir()).unwrap_or_else(std::env::temp_dir)
}

/// Makes a directory that was not there, under a name nobody can foresee.
pub(in crate::host) fn make_dir(parent: &OwnedFd) -> nix::Result<String> {
    let owner = Owner::this().map(|owner| format!("{}-", owner.to_name())).unwrap_or_default();
    for _ in 0..TRIES {
        let name = format!("{PREFIX}{owner}{:016x}", RandomState::new().build_hasher().finish());
        match mkdirat(parent, name.as_str(), Mode::from_bits_truncate(0o700)) {
            Ok(()) => return Ok(name),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EEXIST)
}

/// Removes what killed runs of ours left behind; nobody misses it if that fails.
pub(in crate::host) fn sweep(parent: &OwnedFd) {
    let Ok(parent) = parent.try_clone().map(Dir::from_fd) else { return };
    for entry in parent.entries().unwrap_or_default() {
        if is_abandoned(&entry) {
            let _ = remove(&parent, &entry.name);
        }
    }
}

fn is_abandoned(entry: &Entry) -> bool {
    let name = entry.name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.rsplit_once('-'));
    entry.kind == Kind::Dir && name.and_then(|(owner, _)| Owner::from_name(owner)).is_some_and(|owner| owner.is_gone())
}

fn remove(parent: &Dir, name: &OsStr) -> std::io::Result<()> {
    let dir = parent.open_dir(name)?;
    if dir.stat()?.uid != Uid::effective().as_raw() {
        return Ok(());
    }
    parent.remove_tree(name)
}

fn shown(path: &Path) -> String {
    crate::base::escape(path.as_os_str())
}
