//! Lock files: `flock(2)` on files that are made once and never replaced or removed.

use super::Dir;
use crate::base::{Error, ErrorKind, Result, escape};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{Mode, major, minor};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A held lock file; unlocked when dropped. The descriptor is close-on-exec, and the file is never replaced.
#[derive(Debug)]
pub struct Lock {
    // Unlocks explicitly when dropped: a child of another thread that has not come to its exec yet shares the
    // descriptor and would otherwise keep the lock.
    _file: Flock<File>,
}

/// How long to wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    Try,
    /// At most so long.
    AtMost(Duration),
    /// Until it is free.
    Forever,
}

/// How long a wait stays silent.
const QUIET: Duration = Duration::from_secs(1);
const SHORTEST_NAP: Duration = Duration::from_millis(2);
const LONGEST_NAP: Duration = Duration::from_millis(25);
/// The longest command line that is shown, in characters.
const HOLDER_LIMIT: usize = 200;

/// Takes the lock file `name` in `dir` (made 0600, empty, where missing; never written to). `Ok(None)` when it was not to be had in time.
pub fn take(dir: &Dir, name: &str, wait: Wait) -> Result<Option<Lock>> {
    let mut file = open(dir, name, OFlag::O_RDWR | OFlag::O_CREAT)?;
    let start = Instant::now();
    let mut nap = SHORTEST_NAP;
    let mut told = false;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(Some(Lock { _file: locked })),
            Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) => file,
            Err((_, errno)) => return Err(failed(name, errno)),
        };
        let waited = start.elapsed();
        let left = match wait {
            Wait::Try => return Ok(None),
            Wait::AtMost(limit) => limit.saturating_sub(waited),
            Wait::Forever => Duration::MAX,
        };
        if left.is_zero() {
            return Ok(None);
        }
        if waited >= QUIET && !told {
            // Not only with -v: who looks at a terminal where nothing happens must be told why.
            tracing::warn!("waiting for {name}, held by {}", holder(dir, name));
            told = true;
        }
        if told && wait == Wait::Forever {
            return block(file, name).map(|locked| Some(Lock { _file: locked }));
        }
        sleep(nap.min(left));
        nap = (nap * 2).min(LONGEST_NAP);
    }
}

/// Takes the lock file `name` in `dir` where that is there and free; makes nothing.
pub fn take_free(dir: &Dir, name: &str) -> Option<Lock> {
    let file = open(dir, name, OFlag::O_RDWR).ok()?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).ok().map(|locked| Lock { _file: locked })
}

/// Who holds the lock file `name`, as the kernel tells it (proc_locks(5)): process id and command line, printable.
pub fn holder(dir: &Dir, name: &str) -> String {
    find_holder(dir, name).unwrap_or_else(|| String::from("another process"))
}

/// Whether anybody holds the lock file `name`, as far as the kernel tells. Nothing is taken, not even for a moment.
pub fn is_held(dir: &Dir, name: &str) -> bool {
    find_holder(dir, name).is_some()
}

fn find_holder(dir: &Dir, name: &str) -> Option<String> {
    let stat = dir.stat_at(OsStr::new(name)).ok()??;
    let file = format!("{:02x}:{:02x}:{}", major(stat.dev), minor(stat.dev), stat.ino);
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // A waiting lock has an arrow before its type and is passed over.
    let held = |line: &&str| line.contains(": FLOCK ") && line.split_whitespace().any(|word| word == file);
    let pid: u32 = locks.lines().find(held)?.split_whitespace().nth(4)?.parse().ok()?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> =
        command.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(|word| escape(OsStr::from_bytes(word))).collect();
    let shown: String = words.join(" ").chars().take(HOLDER_LIMIT).collect();
    Some(if shown.is_empty() { format!("pid {pid}") } else { format!("pid {pid} ({shown})") })
}

fn open(dir: &Dir, name: &str, how: OFlag) -> Result<File> {
    // Non-blocking, so that a FIFO in its place is refused instead of waited for.
    let how = how | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::from(openat(dir.fd(), name, how, Mode::from_bits_truncate(0o600)).map_err(|errno| failed(name, errno))?);
    let metadata = file.metadata().map_err(|error| Error::io(ErrorKind::State, name, &error))?;
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::State, name, "the lock file is not a regular file"));
    }
    Ok(file)
}

fn block(mut file: File, name: &str) -> Result<Flock<File>> {
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(locked) => return Ok(locked),
            Err((file, Errno::EINTR)) => file,
            Err((_, errno)) => return Err(failed(name, errno)),
        };
    }
}

fn failed(name: &str, errno: Errno) -> Error {
    Error::io(ErrorKind::State, name, &errno.into())
}

#[cfg(test)]
mod tests {
    use super::{Dir, Wait, holder, take};
    use crate::base::Result;
    use std::ffi::OsStr;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;
    use std::time::{Duration, Instant};

    fn open(path: &Path) -> std::io::Result<Dir> {
        path.iter().skip(1).try_fold(Dir::root()?, |dir, step: &OsStr| dir.open_dir(step))
    }

    fn with_dir(test: impl FnOnce(&Dir, &Path) -> Result<()>) -> Result<()> {
        let folder = tempfile::tempdir().and_then(|folder| Ok((open(&folder.path().canonicalize()?)?, folder)));
        let Ok((dir, folder)) = folder else { panic!("no temporary directory") };
        test(&dir, folder.path())
    }

    #[test]
    fn a_held_lock_is_had_by_nobody_else_and_names_its_holder() -> Result<()> {
        with_dir(|dir, _| {
            let first = take(dir, "run.lock", Wait::Try)?;
            assert!(first.is_some());
            assert!(take(dir, "run.lock", Wait::Try)?.is_none());
            let text = holder(dir, "run.lock");
            assert!(text.starts_with(&format!("pid {} (", std::process::id())), "{text}");
            drop(first);
            assert!(take(dir, "run.lock", Wait::Try)?.is_some());
            assert_eq!(holder(dir, "run.lock"), "another process");
            Ok(())
        })
    }

    #[test]
    fn a_wait_ends_at_its_limit_or_when_the_lock_is_free() -> Result<()> {
        with_dir(|dir, _| {
            let first = take(dir, "run.lock", Wait::Try)?;
            let start = Instant::now();
            assert!(take(dir, "run.lock", Wait::AtMost(Duration::from_millis(60)))?.is_none());
            assert!(start.elapsed() >= Duration::from_millis(60));
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| take(dir, "run.lock", Wait::Forever));
                // Long enough for the waiter to come to the blocking call.
                std::thread::sleep(Duration::from_millis(1200));
                drop(first);
                assert!(waiter.join().is_ok_and(|taken| taken.is_ok_and(|lock| lock.is_some())));
            });
            Ok(())
        })
    }

    #[test]
    fn the_lock_file_is_private_and_the_same_one_for_ever() -> Result<()> {
        with_dir(|dir, path| {
            let inode = || std::fs::symlink_metadata(path.join("run.lock")).map(|m| (m.ino(), m.permissions().mode() & 0o777)).ok();
            drop(take(dir, "run.lock", Wait::Try)?);
            let first = inode();
            drop(take(dir, "run.lock", Wait::Try)?);
            assert_eq!(first, inode());
            assert_eq!(first.map(|(_, mode)| mode), Some(0o600));
            Ok(())
        })
    }

    #[test]
    fn a_link_or_a_fifo_in_its_place_is_refused() -> Result<()> {
        with_dir(|dir, path| {
            assert!(std::os::unix::fs::symlink("elsewhere", path.join("link.lock")).is_ok());
            assert!(take(dir, "link.lock", Wait::Try).is_err());
            assert!(!path.join("elsewhere").exists());
            assert!(nix::unistd::mkfifo(&path.join("fifo.lock"), nix::sys::stat::Mode::S_IRWXU).is_ok());
            assert!(take(dir, "fifo.lock", Wait::Try).is_err());
            Ok(())
        })
    }

    #[test]
    fn a_missing_lock_file_has_no_named_holder() -> Result<()> {
        with_dir(|dir, _| {
            assert_eq!(holder(dir, "run.lock"), "another process");
            Ok(())
        })
    }
}
