//! Lock files: `flock(2)` on files that are made once and never replaced or removed.

use super::{Dir, clock};
use crate::base::{Error, ErrorKind, Result, printable};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
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
/// The longest text of a holder that is read.
const HOLDER_LIMIT: u64 = 400;

/// Takes the lock file `name` in `dir` (made 0600 where missing) and writes into it who holds it (process id, command,
/// start time). `Ok(None)` when it was not to be had in time.
pub fn take(dir: &Dir, name: &str, who: &str, wait: Wait) -> Result<Option<Lock>> {
    let mut file = open(dir, name, OFlag::O_RDWR | OFlag::O_CREAT)?;
    let start = Instant::now();
    let mut nap = SHORTEST_NAP;
    let mut told = false;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(Some(held(locked, who))),
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
            tracing::info!("waiting for {name}, held by {}", holder(dir, name));
            told = true;
        }
        if told && wait == Wait::Forever {
            return block(file, name).map(|locked| Some(held(locked, who)));
        }
        sleep(nap.min(left));
        nap = (nap * 2).min(LONGEST_NAP);
    }
}

/// Who holds the lock file `name`, as its holder wrote it; printable.
pub fn holder(dir: &Dir, name: &str) -> String {
    let mut bytes = Vec::new();
    let read = open(dir, name, OFlag::O_RDONLY).map(|file| file.take(HOLDER_LIMIT).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    match (read, text.trim()) {
        (Ok(Ok(_)), text) if !text.is_empty() => printable(text),
        _ => String::from("another process"),
    }
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

fn held(file: Flock<File>, who: &str) -> Lock {
    let text = format!("pid {} ({who}) since {}\n", std::process::id(), utc(clock::unix_seconds()));
    // Written before it is cut, so that a reader never finds it empty. Only a courtesy to those who wait: a full
    // disk must not keep anybody from the lock.
    let written = file.write_all_at(text.as_bytes(), 0).and_then(|()| file.set_len(text.len() as u64));
    if let Err(error) = written {
        tracing::debug!("the holder of a lock could not be noted: {error}");
    }
    Lock { _file: file }
}

fn failed(name: &str, errno: Errno) -> Error {
    Error::io(ErrorKind::State, name, &errno.into())
}

/// Unix seconds as `2026-11-03T12:34:56Z` (RFC 3339). The calendar is Howard Hinnant's `civil_from_days`.
fn utc(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468; // days since 0000-03-01
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::{Dir, Wait, holder, take, utc};
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
            let first = take(dir, "run.lock", "certsync apply", Wait::Try)?;
            assert!(first.is_some());
            assert!(take(dir, "run.lock", "other", Wait::Try)?.is_none());
            let text = holder(dir, "run.lock");
            assert!(text.starts_with(&format!("pid {} (certsync apply) since 2", std::process::id())), "{text}");
            drop(first);
            assert!(take(dir, "run.lock", "x", Wait::Try)?.is_some());
            assert!(holder(dir, "run.lock").contains("(x) since"));
            Ok(())
        })
    }

    #[test]
    fn a_wait_ends_at_its_limit_or_when_the_lock_is_free() -> Result<()> {
        with_dir(|dir, _| {
            let first = take(dir, "run.lock", "first", Wait::Try)?;
            let start = Instant::now();
            assert!(take(dir, "run.lock", "second", Wait::AtMost(Duration::from_millis(60)))?.is_none());
            assert!(start.elapsed() >= Duration::from_millis(60));
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| take(dir, "run.lock", "third", Wait::Forever));
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
            drop(take(dir, "run.lock", "one with a long name that a shorter one must not leave a tail of", Wait::Try)?);
            let first = inode();
            drop(take(dir, "run.lock", "two", Wait::Try)?);
            assert_eq!(first, inode());
            assert_eq!(first.map(|(_, mode)| mode), Some(0o600));
            assert!(!holder(dir, "run.lock").contains("tail"));
            Ok(())
        })
    }

    #[test]
    fn a_link_or_a_fifo_in_its_place_is_refused() -> Result<()> {
        with_dir(|dir, path| {
            assert!(std::os::unix::fs::symlink("elsewhere", path.join("link.lock")).is_ok());
            assert!(take(dir, "link.lock", "x", Wait::Try).is_err());
            assert!(!path.join("elsewhere").exists());
            assert!(nix::unistd::mkfifo(&path.join("fifo.lock"), nix::sys::stat::Mode::S_IRWXU).is_ok());
            assert!(take(dir, "fifo.lock", "x", Wait::Try).is_err());
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

    #[test]
    fn a_time_is_written_as_rfc_3339() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_794_400_496), "2026-11-11T12:34:56Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59Z");
    }
}
