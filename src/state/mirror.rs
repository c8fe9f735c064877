//! Copies of what masters without certsync have: `rsync/<set>/files/…`, 0700. rsync writes into a new folder beside it, and what has come
//! whole is put in its place by a rename: nobody reads half a set here, and what a killed run left is no part of it.

use crate::base::{AbsPath, Error, ErrorKind, Mode, RelPath, Result, SetName, escape};
use crate::host::orphan::end_those_with;
use crate::host::scratch::ScratchDir;
use crate::host::source::MOST_ENTRIES;
use crate::host::{Dir, Durability, Kind, unique, write_atomic};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;

/// The folder of all of them in the state directory.
pub(super) const ROOT: &str = "rsync";
/// The files of one.
const FILES: &str = "files";
/// What is known of where they come from.
const FROM: &str = "from.json";
/// Far more than it ever holds.
const LARGEST_FROM: u64 = 64 * 1024;
/// Folders in folders, at most: what rsync was asked for is no deeper.
const DEEPEST: u32 = 20;

/// Whether links are followed at the master.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Links {
    /// They are: what comes is what they lead to.
    #[default]
    Followed,
    /// They are not, since the master refuses that; there are none.
    Refused,
}

/// Where a copy comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// What rsync was told to read.
    pub from: String,
    /// Whether links were followed there.
    pub links: Links,
    /// When it was asked for what is in it, Unix seconds: a file that was written then may have been written again in the same second.
    pub asked: i64,
}

impl Provenance {
    /// How long before it was asked a file must have been written, in seconds: the coarsest time stamps of file systems.
    const SETTLED: i64 = 2;

    /// Whether the mark tells every later version of its file apart.
    pub fn is_settled(&self, mark: &Mark) -> bool {
        mark.1 < self.asked - Provenance::SETTLED
    }
}

/// What tells one version of a file from another, as rsync tells them: its size and its modification time in Unix seconds.
pub type Mark = (u64, i64);

/// The copy of one source.
#[derive(Debug)]
pub struct Mirror {
    /// `rsync/<set>`.
    dir: Dir,
    at: AbsPath,
}

/// Where the copy of `set` is in the state directory at `at`, if there is one.
pub fn mirror_path(state_dir: &Dir, at: &AbsPath, set: &SetName) -> Option<AbsPath> {
    let dir = state_dir.find_dir(OsStr::new(ROOT)).ok()??.find_dir(OsStr::new(set.as_str())).ok()??;
    dir.find_dir(OsStr::new(FILES)).ok()?.map(|_| below(&root_at(at, set), FILES))
}

/// Removes the copies of all sets but those in `keep`.
///
/// # Errors
/// Kind `State`.
pub fn retain_mirrors(state_dir: &Dir, at: &AbsPath, keep: &BTreeSet<&SetName>) -> Result<()> {
    let remove = || {
        let Some(root) = state_dir.find_dir(OsStr::new(ROOT))? else { return Ok(()) };
        let entries = root.entries()?;
        let is_kept = |name: &OsStr| keep.iter().any(|set| name == OsStr::new(set.as_str()));
        for entry in entries.iter().filter(|entry| !is_kept(&entry.name)) {
            root.remove_tree(&entry.name)?;
        }
        if keep.is_empty() { state_dir.remove_dir(OsStr::new(ROOT)) } else { Ok(()) }
    };
    remove().map_err(|error| Error::io(ErrorKind::State, format!("{at}/{ROOT}"), &error))
}

fn below(path: &AbsPath, name: &str) -> AbsPath {
    // Names of ours, and of sets: always one good step.
    format!("{path}/{name}").parse().unwrap_or_else(|_| path.clone())
}

fn root_at(at: &AbsPath, set: &SetName) -> AbsPath {
    below(&below(at, ROOT), set.as_str())
}

impl Mirror {
    /// The copy of `set` in the state directory, made where it is missing; what killed runs left in it is removed, and
    /// what they left at work is ended.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn of(state_dir: &Dir, at: &AbsPath, set: &SetName) -> Result<Mirror> {
        let path = root_at(at, set);
        let make = || {
            let dir = open_or_make(&open_or_make(state_dir, ROOT)?, set.as_str())?;
            for entry in dir.entries()?.iter().filter(|entry| entry.name != FILES && entry.name != FROM) {
                // The rsync of that run would make it again.
                end_those_with(&format!("{}/", below(&path, &entry.name.to_string_lossy())));
                dir.remove_tree(&entry.name)?;
            }
            Ok(dir)
        };
        let dir = make().map_err(|error| Error::io(ErrorKind::State, &path, &error))?;
        Ok(Mirror { dir, at: path })
    }

    /// The same for those who change nothing; none where there is none.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn find(state_dir: &Dir, at: &AbsPath, set: &SetName) -> Result<Option<Mirror>> {
        let path = root_at(at, set);
        let find = || match state_dir.find_dir(OsStr::new(ROOT))? {
            Some(root) => root.find_dir(OsStr::new(set.as_str())),
            None => Ok(None),
        };
        let dir = find().map_err(|error| Error::io(ErrorKind::State, &path, &error))?;
        Ok(dir.map(|dir| Mirror { dir, at: path }))
    }

    /// One that lasts no longer than `scratch`.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn in_scratch(scratch: &ScratchDir) -> Result<Mirror> {
        let dir = scratch.dir().map_err(|error| Error::io(ErrorKind::State, scratch.path(), &error))?;
        Ok(Mirror { dir, at: scratch.path().clone() })
    }

    fn wrong(&self, error: &io::Error) -> Error {
        Error::io(ErrorKind::State, &self.at, error)
    }

    /// Where its files are.
    pub fn files_at(&self) -> AbsPath {
        below(&self.at, FILES)
    }

    /// Where it comes from; none where there is no whole copy.
    pub fn provenance(&self) -> Option<Provenance> {
        let (bytes, _) = self.dir.read_file(OsStr::new(FROM), LARGEST_FROM).ok()?;
        serde_json::from_slice(bytes.expose()).ok()
    }

    /// What is in it; nothing where there is no copy, or one that others have changed.
    pub fn marks(&self) -> Option<BTreeMap<RelPath, Mark>> {
        marks(&self.dir.find_dir(OsStr::new(FILES)).ok()??).ok()
    }

    /// The folders directly in it.
    pub fn folders(&self) -> BTreeSet<SetName> {
        let entries = self.dir.find_dir(OsStr::new(FILES)).ok().flatten().and_then(|files| files.entries().ok());
        let folders = entries.into_iter().flatten().filter(|entry| entry.kind == Kind::Dir);
        folders.filter_map(|entry| entry.name.to_str()?.parse().ok()).collect()
    }

    /// A new, empty folder beside its files, for what comes.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn begin(&self) -> Result<Coming<'_>> {
        let name = unique(".new-");
        let dir = self.dir.make_dir(OsStr::new(&name)).map_err(|error| self.wrong(&error))?;
        Ok(Coming { mirror: self, at: below(&self.at, &name), name, dir })
    }

    /// Notes where it comes from.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn note(&self, provenance: &Provenance) -> Result<()> {
        if self.provenance().as_ref() == Some(provenance) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(provenance).map_err(|error| Error::new(ErrorKind::State, FROM, error.to_string()))?;
        write_atomic(&self.dir, OsStr::new(FROM), &bytes, Mode::from_bits(0o600), Durability::Eventually)
            .map_err(|error| self.wrong(&error))
    }

    /// Takes the folder `set` out of its files: the master has it no more.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn remove(&self, set: &SetName) -> Result<()> {
        let Some(files) = self.dir.find_dir(OsStr::new(FILES)).map_err(|error| self.wrong(&error))? else { return Ok(()) };
        self.drop_old(&files, OsStr::new(set.as_str())).map_err(|error| self.wrong(&error))
    }

    /// Out of the way first, with one rename.
    fn drop_old(&self, parent: &Dir, name: &OsStr) -> io::Result<()> {
        let trash = OsString::from(unique(".trash-"));
        match parent.rename(name, &self.dir, &trash) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed.and_then(|()| self.dir.remove_tree(&trash)),
        }
    }
}

/// A folder that rsync writes into. Dropped, it is removed.
#[derive(Debug)]
pub struct Coming<'a> {
    mirror: &'a Mirror,
    name: String,
    dir: Dir,
    at: AbsPath,
}

impl Coming<'_> {
    /// Where it is.
    pub fn at(&self) -> &AbsPath {
        &self.at
    }

    /// How many entries are in it and how many bytes, no further than there are more than so many of either.
    pub fn weight(&self, most: (usize, u64)) -> (usize, u64) {
        let mut weight = (0, 0);
        weigh(&self.dir, most, &mut weight, DEEPEST);
        weight
    }

    /// What has come.
    ///
    /// # Errors
    /// Kind `Source`: something else than files and folders.
    pub fn marks(&self) -> Result<BTreeMap<RelPath, Mark>> {
        marks(&self.dir).map_err(|error| Error::new(ErrorKind::Source, self.at.as_str(), error.to_string()))
    }

    /// All of it becomes the copy.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn put_whole(self) -> Result<()> {
        let dir = &self.mirror.dir;
        let put =
            self.mirror.drop_old(dir, OsStr::new(FILES)).and_then(|()| dir.rename_new(OsStr::new(&self.name), dir, OsStr::new(FILES)));
        put.map_err(|error| self.mirror.wrong(&error))
    }

    /// The folders `sets` of it take the places of those in the copy.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn put_folders<'s>(self, sets: impl IntoIterator<Item = &'s SetName>) -> Result<()> {
        let put = || {
            let files = open_or_make(&self.mirror.dir, FILES)?;
            for set in sets {
                let name = OsStr::new(set.as_str());
                self.mirror.drop_old(&files, name)?;
                self.dir.rename_new(name, &files, name)?;
            }
            Ok(())
        };
        put().map_err(|error| self.mirror.wrong(&error))
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        // Where it has become the copy there is nothing. What cannot be removed is swept by the next run.
        let _ = self.mirror.dir.remove_tree(OsStr::new(&self.name));
    }
}

fn open_or_make(parent: &Dir, name: &str) -> io::Result<Dir> {
    match parent.find_dir(OsStr::new(name))? {
        Some(dir) => Ok(dir),
        None => parent.make_dir(OsStr::new(name)),
    }
}

fn weigh(dir: &Dir, most: (usize, u64), weight: &mut (usize, u64), depth: u32) {
    let Ok(entries) = dir.entries_at_most(most.0.saturating_add(1)) else {
        // More than so many, or gone: the end is near in either case.
        weight.0 = if dir.stat().is_ok() { usize::MAX } else { weight.0 };
        return;
    };
    for entry in entries {
        weight.0 = weight.0.saturating_add(1);
        if weight.0 > most.0 || weight.1 > most.1 {
            return;
        }
        match (entry.kind, depth) {
            (Kind::Dir, 0) => weight.0 = usize::MAX,
            (Kind::Dir, _) => {
                if let Ok(inner) = dir.open_dir(&entry.name) {
                    weigh(&inner, most, weight, depth - 1);
                }
            }
            _ => weight.1 = weight.1.saturating_add(dir.stat_at(&entry.name).ok().flatten().map_or(0, |stat| stat.size)),
        }
    }
}

fn marks(dir: &Dir) -> io::Result<BTreeMap<RelPath, Mark>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![(dir.try_clone()?, String::new())];
    while let Some((dir, prefix)) = folders.pop() {
        for entry in dir.entries_at_most(MOST_ENTRIES)? {
            let strange = || io::Error::other(format!("{}{} is no file of a set", prefix, escape(&entry.name)));
            let path = entry.name.to_str().map(|name| format!("{prefix}{name}")).ok_or_else(strange)?;
            match entry.kind {
                Kind::File => {
                    let stat = dir.stat_at(&entry.name)?.ok_or_else(strange)?;
                    let seconds = i64::try_from(stat.mtime.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
                    out.insert(path.parse().map_err(|_| strange())?, (stat.size, seconds));
                }
                Kind::Dir => folders.push((dir.open_dir(&entry.name)?, format!("{path}/"))),
                Kind::Link | Kind::Other => return Err(strange()),
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{Links, Mirror, Provenance, mirror_path, retain_mirrors};
    use crate::base::{AbsPath, Error, ErrorKind, Result, SetName};
    use crate::host::Dir;
    use crate::state::test_dir::with_dir;
    use std::collections::BTreeSet;
    use std::fs::{create_dir, read_dir, write};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn set(name: &str) -> SetName {
        name.parse().expect("a name")
    }

    fn failed(error: std::io::Error) -> Error {
        Error::io(ErrorKind::State, "the test", &error)
    }

    fn with_mirror(test: impl FnOnce(&Mirror, &Dir, &AbsPath, &Path) -> Result<()>) -> Result<()> {
        with_dir(|dir, path| {
            let at = AbsPath::try_from(path.to_owned()).map_err(|error| Error::new(ErrorKind::State, "the test", error.to_string()))?;
            test(&Mirror::of(dir, &at, &set("legacy"))?, dir, &at, path)
        })
    }

    #[test]
    fn what_has_come_takes_the_place_of_what_was_there_and_nothing_is_left_beside_it() -> Result<()> {
        with_mirror(|mirror, dir, at, path| {
            assert_eq!((mirror.provenance(), mirror.marks(), mirror_path(dir, at, &set("legacy"))), (None, None, None));
            for text in ["one", "another"] {
                let coming = mirror.begin()?;
                write(coming.at().as_path().join("key.pem"), text).map_err(failed)?;
                assert_eq!(coming.weight((10, 1000)), (1, text.len() as u64));
                coming.put_whole()?;
                assert_eq!(mirror.marks().map(|marks| marks.values().map(|mark| mark.0).collect()), Some(vec![text.len() as u64]));
            }
            mirror.note(&Provenance { from: "host:/srv".into(), links: Links::Refused, asked: 7 })?;
            assert_eq!(mirror.provenance().map(|from| from.links), Some(Links::Refused));
            drop(mirror.begin()?);
            assert_eq!(mirror_path(dir, at, &set("legacy")), Some(mirror.files_at()));
            assert_eq!(read_dir(path.join("rsync/legacy")).map_err(failed)?.count(), 2);
            Ok(())
        })
    }

    #[test]
    fn folders_are_put_one_by_one_and_those_that_are_gone_are_taken_out() -> Result<()> {
        with_mirror(|mirror, _, _, path| {
            for (folder, text) in [("a", "1"), ("b", "1"), ("a", "22")] {
                let coming = mirror.begin()?;
                create_dir(coming.at().as_path().join(folder)).map_err(failed)?;
                write(coming.at().as_path().join(folder).join("f"), text).map_err(failed)?;
                coming.put_folders([&set(folder)])?;
            }
            assert_eq!(std::fs::read_to_string(path.join("rsync/legacy/files/a/f")).map_err(failed)?, "22");
            assert_eq!(mirror.folders(), BTreeSet::from([set("a"), set("b")]));
            mirror.remove(&set("a"))?;
            mirror.remove(&set("a"))?;
            assert_eq!(mirror.folders(), BTreeSet::from([set("b")]));
            Ok(())
        })
    }

    #[test]
    fn a_link_is_no_part_of_a_copy_and_more_than_there_may_be_is_seen() -> Result<()> {
        with_mirror(|mirror, _, _, _| {
            let coming = mirror.begin()?;
            for number in 0..20 {
                write(coming.at().as_path().join(number.to_string()), "x").map_err(failed)?;
            }
            assert!(coming.weight((10, 1000)).0 > 10);
            assert!(coming.weight((100, 10)).1 > 10);
            assert!(coming.marks().is_ok());
            symlink("/etc/shadow", coming.at().as_path().join("key.pem")).map_err(failed)?;
            assert!(coming.marks().is_err_and(|error| error.cause == "key.pem is no file of a set"));
            Ok(())
        })
    }

    #[test]
    fn what_killed_runs_left_and_copies_of_other_sets_go() -> Result<()> {
        with_mirror(|_, dir, at, path| {
            create_dir(path.join("rsync/legacy/.new-1-1-1")).map_err(failed)?;
            Mirror::of(dir, at, &set("legacy"))?;
            assert_eq!(read_dir(path.join("rsync/legacy")).map_err(failed)?.count(), 0);
            Mirror::of(dir, at, &set("other"))?;
            retain_mirrors(dir, at, &BTreeSet::from([&set("other")]))?;
            assert_eq!(read_dir(path.join("rsync")).map_err(failed)?.count(), 1);
            retain_mirrors(dir, at, &BTreeSet::new())?;
            assert!(!path.join("rsync").exists());
            retain_mirrors(dir, at, &BTreeSet::new())
        })
    }
}
