//! Request markers: what somebody wants done who does not wait for it (design, section 5, step 2).
//!
//! One file each in `requests/` of the state directory, there as a whole or not at all. Whoever holds the run lock reads
//! them, serves them, and removes those that it has read, never others.

use super::inbox::Inbox;
use crate::base::{Error, ErrorKind, Mode, Result, SetName};
use crate::host::{Dir, Durability, Kind, clock, unique, write_atomic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

/// Something to be done by whoever holds the run lock next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The command that asked, for the log.
    pub command: String,
    /// For which sets.
    pub scope: Scope,
}

/// Which sets a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of them.
    All,
    /// These.
    Sets(BTreeSet<SetName>),
}

impl Scope {
    /// What serves both.
    #[must_use]
    pub fn and(self, other: Scope) -> Scope {
        match (self, other) {
            (Scope::Sets(mut sets), Scope::Sets(more)) => {
                sets.extend(more);
                Scope::Sets(sets)
            }
            (Scope::All, _) | (_, Scope::All) => Scope::All,
        }
    }

    /// Whether whoever serves this serves `other` as well.
    pub fn covers(&self, other: &Scope) -> bool {
        match (self, other) {
            (Scope::All, _) => true,
            (Scope::Sets(_), Scope::All) => false,
            (Scope::Sets(sets), Scope::Sets(others)) => sets.is_superset(others),
        }
    }
}

pub(super) const FOLDER: &str = "requests";
/// A marker that is not finished; [`write_atomic`] names it so.
const UNFINISHED: &[u8] = b".new-";
/// The age in seconds at which an unfinished marker has surely lost its writer.
pub(super) const ABANDONED: i128 = 3600;
const LIMIT: u64 = 1024 * 1024;

/// Leaves a request. When this returns it is on disk and will be read by whoever next takes the run lock.
pub fn leave(dir: &Dir, request: &Request) -> Result<()> {
    let write = || {
        let folder = make(dir)?;
        // Random as well, since process ids are not unique between containers that share a state directory.
        let name = unique(&format!("{:016x}-", RandomState::new().build_hasher().finish()));
        write_atomic(&folder, OsStr::new(&name), &serde_json::to_vec(request)?, Mode::from_bits(0o600), Durability::OnDisk)
    };
    write().map_err(|error| failed(&error))
}

/// The requests left so far, each with the name to remove it by, sorted by name. A damaged one asks for all sets.
pub fn read(dir: &Dir) -> Result<Vec<(String, Request)>> {
    let Some(folder) = find(dir).map_err(|error| failed(&error))? else { return Ok(Vec::new()) };
    let mut requests = Vec::new();
    for name in markers(&folder).map_err(|error| failed(&error))? {
        let bytes = match folder.read_file(OsStr::new(&name), LIMIT) {
            // Another runner was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => read.map(|(bytes, _)| bytes),
        };
        let request = bytes.ok().and_then(|bytes| serde_json::from_slice(bytes.expose()).ok());
        requests.push((name, request.unwrap_or_else(|| Request { command: "an unreadable request".into(), scope: Scope::All })));
    }
    Ok(requests)
}

/// Removes requests that were read and served; those that are gone already are no error.
pub fn remove(dir: &Dir, names: &[String]) -> Result<()> {
    let Some(folder) = find(dir).map_err(|error| failed(&error))? else { return Ok(()) };
    sweep(&folder);
    let removed = names.iter().try_for_each(|name| folder.unlink(OsStr::new(name)));
    // Not synced: a request that a crash brings back is served once more.
    removed.map_err(|error| failed(&error))
}

/// Whether a request waits, here or in the inbox. A folder that cannot be read counts as one, so that the next run meets the error.
pub fn pending(dir: &Dir) -> bool {
    if !matches!(Inbox::open(dir).map(|inbox| inbox.is_some_and(|inbox| inbox.is_waiting())), Ok(false)) {
        return true;
    }
    find(dir).and_then(|folder| folder.map_or(Ok(false), |folder| Ok(!markers(&folder)?.is_empty()))).unwrap_or(true)
}

fn make(dir: &Dir) -> io::Result<Dir> {
    if let Some(folder) = find(dir)? {
        return Ok(folder);
    }
    let running = dir.stat()?;
    match dir.make_finished_dir(OsStr::new(FOLDER), (running.uid, running.gid), Mode::from_bits(0o700)) {
        Ok(folder) => {
            dir.sync()?;
            Ok(folder)
        }
        // Somebody else made it meanwhile; that it is on disk before our marker counts for us too.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            dir.sync()?;
            dir.open_dir(OsStr::new(FOLDER))
        }
        Err(error) => Err(error),
    }
}

fn find(dir: &Dir) -> io::Result<Option<Dir>> {
    dir.find_dir(OsStr::new(FOLDER))
}

/// The names of finished markers. Names that are not UTF-8 and what is no file were not made by us.
fn markers(folder: &Dir) -> io::Result<Vec<String>> {
    let entries = folder.entries()?.into_iter().filter(|entry| entry.kind == Kind::File && !is_unfinished(&entry.name));
    Ok(entries.filter_map(|entry| entry.name.into_string().ok()).collect())
}

pub(super) fn is_unfinished(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(UNFINISHED)
}

/// Removes what killed writers left behind; nobody misses it if that fails.
fn sweep(folder: &Dir) {
    let old = (i128::from(clock::unix_seconds()) - ABANDONED) * 1_000_000_000;
    for entry in folder.entries().unwrap_or_default().into_iter().filter(|entry| is_unfinished(&entry.name)) {
        if matches!(folder.stat_at(&entry.name), Ok(Some(stat)) if stat.mtime < old) {
            let _ = folder.unlink(&entry.name);
        }
    }
}

fn failed(error: &io::Error) -> Error {
    Error::io(ErrorKind::State, "the requests in the state directory", error)
}

#[cfg(test)]
mod tests {
    use super::{Request, Scope, leave, pending, read, remove};
    use crate::base::{Error, Result, SetName};
    use crate::state::test_dir::with_dir;
    use std::collections::BTreeSet;

    fn request(sets: &[&str]) -> Request {
        let sets: BTreeSet<SetName> = sets.iter().filter_map(|name| name.parse().ok()).collect();
        Request { command: "deploy-hook".into(), scope: Scope::Sets(sets) }
    }

    #[test]
    fn a_request_is_read_until_it_is_removed() -> Result<()> {
        with_dir(|dir, _| {
            assert!(!pending(dir));
            assert_eq!(read(dir)?, []);
            let first = request(&["a", "b"]);
            leave(dir, &first)?;
            assert!(pending(dir));
            let seen = read(dir)?;
            let second = Request { command: "trigger".into(), scope: Scope::All };
            leave(dir, &second)?;
            assert_eq!(seen.iter().map(|(_, request)| request).collect::<Vec<_>>(), [&first]);
            let names: Vec<String> = seen.into_iter().map(|(name, _)| name).collect();
            remove(dir, &names)?;
            remove(dir, &names)?;
            // The one left after the first was read is still there.
            assert_eq!(read(dir)?.into_iter().map(|(_, request)| request).collect::<Vec<_>>(), [second]);
            Ok(())
        })
    }

    #[test]
    fn a_damaged_request_asks_for_everything() -> Result<()> {
        with_dir(|dir, path| {
            leave(dir, &request(&["a"]))?;
            let damaged = std::fs::write(path.join("requests/damaged"), b"\xff{");
            assert!(damaged.is_ok());
            let scopes: Vec<Scope> = read(dir)?.into_iter().map(|(_, request)| request.scope).collect();
            assert!(scopes.len() == 2 && scopes.contains(&Scope::All), "{scopes:?}");
            Ok(())
        })
    }

    #[test]
    fn an_unfinished_request_is_none_and_goes_when_it_is_old() -> Result<()> {
        with_dir(|dir, path| {
            leave(dir, &request(&["a"]))?;
            let names: Vec<String> = read(dir)?.into_iter().map(|(name, _)| name).collect();
            let make = |name: &str| std::fs::File::create(path.join("requests").join(name));
            let old = std::time::SystemTime::UNIX_EPOCH;
            assert!(make(".new-young").is_ok());
            assert!(make(".new-old").and_then(|file| file.set_modified(old)).is_ok());
            remove(dir, &names)?;
            assert!(!pending(dir));
            assert!(path.join("requests/.new-young").exists() && !path.join("requests/.new-old").exists());
            Ok(())
        })
    }

    #[test]
    fn scopes_add_up() -> std::result::Result<(), Error> {
        assert_eq!(request(&["a"]).scope.and(request(&["b"]).scope), request(&["a", "b"]).scope);
        assert_eq!(request(&["a"]).scope.and(Scope::All), Scope::All);
        assert_eq!(Scope::All.and(request(&["a"]).scope), Scope::All);
        let two = request(&["a", "b"]).scope;
        assert!(two.covers(&request(&["b"]).scope) && two.covers(&two) && Scope::All.covers(&two) && Scope::All.covers(&Scope::All));
        assert!(!two.covers(&request(&["c"]).scope) && !two.covers(&Scope::All));
        Ok(())
    }
}
