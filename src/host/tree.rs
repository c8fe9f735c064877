//! Removing a directory and all below it, and what killed runs left.

use super::dir::{Dir, is_from_now, step};
use super::identity::{Identity, Rights};
use super::{Entry, Kind, Stat};
use crate::base::escape;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::signal::kill;
use nix::sys::stat::{Mode as Bits, fchmod};
use nix::unistd::{Pid, geteuid};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;

/// Deeper than anything certsync makes: relative paths hold at most 1024 bytes, and folders of sources end at 16.
const DEEPEST: u32 = 64;

impl Dir {
    /// fsync of this directory and of every file and directory below it; links lie in the directories they are in.
    pub fn sync_tree(&self) -> io::Result<()> {
        for entry in self.entries()? {
            match entry.kind {
                Kind::Dir => self.open_dir(&entry.name)?.sync_tree()?,
                Kind::File => self.sync_file(&entry.name)?,
                Kind::Link | Kind::Other => {}
            }
        }
        self.sync()
    }

    /// Removes `name` and all below it, following nothing and crossing no mount point; absence is success.
    ///
    /// What lies in a directory of another user's is removed with his rights: he may have moved there whatever he can move, but
    /// root does not empty for him what he could not.
    pub fn remove_tree(&self, name: &OsStr) -> io::Result<()> {
        Removal { rights: Rights::own() }.remove(self, &Identity::Own, name, DEEPEST)
    }

    /// Removes what killed runs left here while they made a directory: empty, ours, and named after a process that is gone.
    /// Looks once into each directory, since there may be many to be made in it. What cannot be removed stays.
    pub(super) fn sweep_unfinished(&self) {
        thread_local! {
            static SWEPT: RefCell<BTreeSet<(u64, u64)>> = const { RefCell::new(BTreeSet::new()) };
        }
        let Ok(stat) = self.stat() else { return };
        if !SWEPT.with_borrow_mut(|swept| swept.insert((stat.dev, stat.ino))) {
            return;
        }
        for entry in self.entries().unwrap_or_default() {
            let abandoned = entry.kind == Kind::Dir && entry.name.to_str().is_some_and(is_abandoned);
            let ours = |stat: Option<Stat>| stat.is_some_and(|stat| stat.uid == geteuid().as_raw());
            if abandoned && self.stat_at(&entry.name).is_ok_and(ours) {
                self.sweep_cover(&entry.name);
                let _ = self.remove_dir(&entry.name);
            }
        }
    }

    /// Empties what [`Dir::make_filled_dir`] made in a directory that others may write to: it holds one of its own name.
    fn sweep_cover(&self, name: &OsStr) {
        let Ok(cover) = self.open_dir(name) else { return };
        let is_ours = cover.stat().is_ok_and(|stat| stat.uid == geteuid().as_raw() && stat.mode.bits() & 0o777 == 0o700);
        if is_ours && cover.entries().is_ok_and(|entries| entries.iter().all(|entry| entry.name == name)) {
            let _ = cover.remove_tree(name);
        }
    }

    /// Opens the directory `name` unless something is mounted there, bind mounts of the same file system included (EXDEV).
    pub fn open_unmounted(&self, name: &OsStr) -> io::Result<Dir> {
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
/// number may have been before us, or it is what another thread of ours makes just now.
fn is_abandoned(name: &str) -> bool {
    let parts = name.strip_prefix(".new-").and_then(|rest| rest.split_once('-'));
    let Some((process, rest)) = parts.and_then(|(process, rest)| Some((process.parse().ok().filter(|process| *process > 0)?, rest))) else {
        return false;
    };
    match Pid::from_raw(process) {
        ours if ours == Pid::this() => {
            let made = rest.split_once('-').and_then(|(nanoseconds, _)| nanoseconds.parse().ok());
            !made.is_some_and(is_from_now)
        }
        other => kill(other, None) == Err(Errno::ESRCH),
    }
}

struct Removal {
    rights: Rights,
}

impl Removal {
    /// Removes `name` in `parent` with the rights of `who`.
    fn remove(&mut self, parent: &Dir, who: &Identity, name: &OsStr, depth: u32) -> io::Result<()> {
        match parent.stat_at(name)? {
            None => return Ok(()),
            Some(Stat { kind: Kind::Dir, .. }) => {}
            Some(_) => {
                self.take(who)?;
                return parent.unlink(name);
            }
        }
        if depth == 0 {
            return Err(io::Error::other("folders are nested too deeply to be removed"));
        }
        self.take(&Identity::Own)?;
        let dir = match parent.open_unmounted(name) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let stat = dir.stat()?;
        let inner = if *who == Identity::Own { Identity::for_owner(stat.uid) } else { who.clone() };
        make_writable(&dir, &stat, &inner)?;
        for entry in dir.entries()? {
            self.take(&Identity::Own)?;
            may_enter(&dir, &stat, &entry)?;
            self.remove(&dir, &inner, &entry.name, depth - 1)?;
        }
        self.take(who)?;
        parent.remove_dir(name)
    }

    fn take(&mut self, who: &Identity) -> io::Result<()> {
        self.rights.take(who).map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error.to_string()))
    }
}

/// Where others than the owner may write, a folder that is not like the one it lies in is none of ours: it was moved there.
fn may_enter(dir: &Dir, stat: &Stat, entry: &Entry) -> io::Result<()> {
    if entry.kind != Kind::Dir || stat.mode.bits() & 0o022 == 0 {
        return Ok(());
    }
    let like = |below: Stat| (below.uid, below.gid, below.mode) == (stat.uid, stat.gid, stat.mode);
    if dir.stat_at(&entry.name)?.is_none_or(like) {
        return Ok(());
    }
    let cause = format!("others may write in the directory that {} lies in, and it is not like it", escape(&entry.name));
    Err(io::Error::new(io::ErrorKind::PermissionDenied, cause))
}

/// A directory whose mode keeps out those who are to empty it (`dir_mode: dr-xr-x---`), and whose owner they are, can still be emptied.
fn make_writable(dir: &Dir, now: &Stat, who: &Identity) -> io::Result<()> {
    let is_his = who.uid().is_some_and(|uid| uid == now.uid);
    if is_his && now.mode.bits() & 0o700 != 0o700 {
        fchmod(dir.fd(), Bits::from_bits_truncate(now.mode.bits() & 0o077) | Bits::S_IRWXU)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::base::Mode;
    use crate::host::dir::unique;
    use crate::host::testing::{Scene, Test};
    use std::ffi::OsStr;
    use std::io;

    #[test]
    fn folders_that_killed_runs_left_half_made_go_and_no_others() -> Test {
        let scene = Scene::new()?;
        // No process has so high a number: pid_max is 2^22 at most (proc(5)).
        let gone = 1 << 23;
        let names = [format!(".new-{gone}-1-0"), format!(".new-{gone}-2-0"), ".new-1-1-0".to_owned(), ".new-x".to_owned()];
        names.iter().try_for_each(|name| scene.folder(name, 0o700))?;
        scene.file(&format!(".new-{gone}-2-0/file"), "somebody's", 0o600)?;
        scene.file(&format!(".new-{gone}-3-0"), "no folder", 0o600)?;
        let dir = scene.dir()?;
        let own = dir.stat()?;
        dir.make_finished_dir(OsStr::new("made"), (own.uid, own.gid), Mode::from_bits(0o755))?;
        let left: Vec<_> = dir.entries()?.into_iter().map(|entry| entry.name).collect();
        assert_eq!(left, [".new-1-1-0", &format!(".new-{gone}-2-0"), &format!(".new-{gone}-3-0"), ".new-x", "made"]);
        Ok(())
    }

    #[test]
    fn what_another_thread_makes_just_now_stays_and_what_a_process_of_our_number_left_before_us_goes() -> Test {
        let scene = Scene::new()?;
        let (now, before) = (unique(".new-"), format!(".new-{}-1-0", std::process::id()));
        [&now, &before].into_iter().try_for_each(|name| scene.folder(name, 0o700))?;
        let dir = scene.dir()?;
        let own = dir.stat()?;
        let made = std::thread::scope(|scope| {
            let making = || dir.make_finished_dir(OsStr::new("made"), (own.uid, own.gid), Mode::from_bits(0o755)).map(drop);
            scope.spawn(making).join()
        });
        made.map_err(|_| io::Error::other("the thread"))??;
        let left: Vec<_> = dir.entries()?.into_iter().map(|entry| entry.name).collect();
        assert_eq!(left, [now.as_str(), "made"]);
        Ok(())
    }
}
