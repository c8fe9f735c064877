//! The store: raw material under `store/<set>/<digest>/`, 0700, kept for drift repair without the source and for rollback.

use super::share::{dir_mode, file_mode};
use crate::base::{AbsPath, Digest, Error, ErrorKind, Mode, RelPath, Result, Secret, SetName};
use crate::host::dir::{Durability, unique, write_atomic};
use crate::host::{Dir, Kind};
use crate::material::Material;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;

/// The highest limit a spec can set, so that what was stored under an older spec is still read.
const LARGEST_FILE: u64 = 1 << 30;

/// From so many versions on, one syncfs is cheaper than an fsync for each file.
const MANY: usize = 16;

/// Versions that a run has put into the store, and that are not surely on disk.
pub type Fresh = BTreeSet<(SetName, Digest)>;

/// The store of one state directory.
pub struct Store<'a> {
    state_dir: &'a Dir,
    at: &'a AbsPath,
}

impl<'a> Store<'a> {
    /// The store in the state directory `dir`, which is at `at`.
    pub fn new(state_dir: &'a Dir, at: &'a AbsPath) -> Self {
        Store { state_dir, at }
    }

    /// The folder of all sets, made where it is missing.
    pub(super) fn root(state_dir: &Dir) -> io::Result<Dir> {
        let owner = state_dir.stat()?;
        let rights = Rights { owner: (owner.uid, owner.gid), dir: dir_mode(state_dir)?, file: file_mode(state_dir)? };
        open_or_make(state_dir, "store", &rights)
    }

    fn wrong(&self, set: &SetName, error: &io::Error) -> Error {
        Error::io(ErrorKind::State, format!("{}/store/{set}", self.at), error)
    }

    fn find_set(&self, set: &SetName) -> io::Result<Option<Dir>> {
        match self.state_dir.find_dir(OsStr::new("store"))? {
            Some(store) => store.find_dir(OsStr::new(set.as_str())),
            None => Ok(None),
        }
    }

    /// Whether this version of the set is there.
    pub fn holds(&self, set: &SetName, digest: &Digest) -> bool {
        let found = self.find_set(set).and_then(|dir| match dir {
            Some(dir) => dir.stat_at(OsStr::new(&digest.to_string())),
            None => Ok(None),
        });
        matches!(found, Ok(Some(stat)) if stat.kind == Kind::Dir)
    }

    /// Puts a version there, on disk only after [`Store::flush`]; where it is there already, whole, nothing is done.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn commit(&self, set: &SetName, material: &Material, revision: u64) -> Result<()> {
        if self.holds(set, &material.digest()) {
            // A power cut may have left a version that is named but not whole.
            if self.load(set, &material.digest()).is_ok() {
                return Ok(());
            }
            self.purge_version(set, &material.digest())?;
        }
        self.try_commit(set, material, revision).map_err(|e| self.wrong(set, &e))
    }

    fn try_commit(&self, set: &SetName, material: &Material, revision: u64) -> io::Result<()> {
        let owner = self.state_dir.stat()?;
        let rights = Rights { owner: (owner.uid, owner.gid), dir: dir_mode(self.state_dir)?, file: file_mode(self.state_dir)? };
        let store = Store::root(self.state_dir)?;
        let set_dir = open_or_make(&store, set.as_str(), &rights)?;
        sweep(&set_dir)?;
        let name = unique(".new-");
        let result = (|| {
            let new = set_dir.make_dir(OsStr::new(&name))?;
            for file in material.files() {
                let (folders, leaf) = file.path.split();
                let mut at = new.try_clone()?;
                for folder in folders {
                    at = open_or_make(&at, folder, &rights)?;
                }
                at.create_file(OsStr::new(leaf), file.bytes.expose(), rights.owner, rights.file)?;
            }
            if rights.dir != Mode::from_bits(0o700) {
                new.adjust(rights.owner, rights.dir)?;
            }
            let digest = material.digest().to_string();
            write_atomic(
                &set_dir,
                OsStr::new(&format!("{digest}.revision")),
                format!("{revision}\n").as_bytes(),
                Mode::from_bits(0o600),
                Durability::Eventually,
            )?;
            set_dir.rename_new(OsStr::new(&name), &set_dir, OsStr::new(&digest))
        })();
        if result.is_err() {
            // What is left is swept by the next commit; the first error is the one to report.
            let _ = set_dir.remove_tree(OsStr::new(&name));
        }
        result
    }

    /// These versions are on disk; due before the state names them. Of a few, nothing else is brought there: a host that is busy may have
    /// gigabytes waiting.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn flush(&self, fresh: &Fresh) -> Result<()> {
        if fresh.len() > MANY {
            return self.flush_all();
        }
        fresh.iter().try_for_each(|(set, digest)| self.flush_version(set, digest).map_err(|e| self.wrong(set, &e)))
    }

    fn flush_version(&self, set: &SetName, digest: &Digest) -> io::Result<()> {
        let Some(store) = self.state_dir.find_dir(OsStr::new("store"))? else { return Ok(()) };
        let Some(set_dir) = store.find_dir(OsStr::new(set.as_str()))? else { return Ok(()) };
        let digest = digest.to_string();
        if let Some(version) = set_dir.find_dir(OsStr::new(&digest))? {
            version.sync_tree()?;
        }
        let revision = format!("{digest}.revision");
        if set_dir.stat_at(OsStr::new(&revision))?.is_some() {
            set_dir.sync_file(OsStr::new(&revision))?;
        }
        set_dir.sync()?;
        // With its first version, the folder of the set is as new.
        let is_first = set_dir.entries()?.iter().filter(|entry| entry.kind == Kind::Dir).count() < 2;
        if is_first { store.sync() } else { Ok(()) }
    }

    /// Everything that was done to the store so far is on disk.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn flush_all(&self) -> Result<()> {
        self.state_dir.sync_file_system().map_err(|e| Error::io(ErrorKind::State, format!("{}/store", self.at), &e))
    }

    /// Reads a version back and holds it against its digest.
    ///
    /// # Errors
    /// Kind `State`: not there, not readable, or not what it was.
    pub fn load(&self, set: &SetName, digest: &Digest) -> Result<Material> {
        let missing =
            || Error::new(ErrorKind::State, format!("{}/store/{set}", self.at), format!("version {} is not in the store", short(digest)));
        let read = || -> io::Result<Option<Vec<(RelPath, Secret)>>> {
            let Some(set_dir) = self.find_set(set)? else { return Ok(None) };
            let Some(version) = set_dir.find_dir(OsStr::new(&digest.to_string()))? else { return Ok(None) };
            let mut files = Vec::new();
            read_tree(&version, "", &mut files)?;
            Ok(Some(files))
        };
        let material = Material::new(read().map_err(|e| self.wrong(set, &e))?.ok_or_else(missing)?);
        if material.digest() != *digest {
            return Err(Error::new(ErrorKind::State, format!("{}/store/{set}/{digest}", self.at), "is not what was stored")
                .hint("remove that directory; the source fills it again"));
        }
        Ok(material)
    }

    /// The revision under which this version was accepted, if that is known.
    pub fn revision(&self, set: &SetName, digest: &Digest) -> Option<u64> {
        let (bytes, _) = self.find_set(set).ok()??.read_file(OsStr::new(&format!("{digest}.revision")), 64).ok()?;
        std::str::from_utf8(bytes.expose()).ok()?.trim().parse().ok()
    }

    /// The versions that are there, each with the revision under which it came, the newest first.
    pub fn versions(&self, set: &SetName) -> Vec<(Digest, u64)> {
        let Ok(Some(dir)) = self.find_set(set) else { return Vec::new() };
        let names = dir.entries().unwrap_or_default().into_iter().filter(|entry| entry.kind == Kind::Dir);
        let digests = names.filter_map(|entry| entry.name.to_str()?.parse::<Digest>().ok());
        let mut versions: Vec<_> = digests.map(|digest| (digest, self.revision(set, &digest).unwrap_or(0))).collect();
        versions.sort_by_key(|(digest, revision)| (std::cmp::Reverse(*revision), *digest));
        versions
    }

    /// Removes one version: it is damaged and about to be stored again.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn purge_version(&self, set: &SetName, digest: &Digest) -> Result<()> {
        match self.find_set(set) {
            Ok(Some(dir)) => dir.remove_tree(OsStr::new(&digest.to_string())),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|e| self.wrong(set, &e))
    }

    /// Removes every version of the set but those in `keep`, and what a killed run left; the whole folder where `keep` is empty.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn purge(&self, set: &SetName, keep: &BTreeSet<Digest>) -> Result<()> {
        let purge = || -> io::Result<()> {
            let Some(set_dir) = self.find_set(set)? else { return Ok(()) };
            for entry in set_dir.entries()? {
                let kept = entry.name.to_str().is_some_and(|name| {
                    let digest = name.strip_suffix(".revision").unwrap_or(name);
                    digest.parse().is_ok_and(|digest| keep.contains(&digest))
                });
                if !kept {
                    set_dir.remove_tree(&entry.name)?;
                }
            }
            if keep.is_empty()
                && let Some(store) = self.state_dir.find_dir(OsStr::new("store"))?
            {
                store.remove_dir(OsStr::new(set.as_str()))?;
            }
            Ok(())
        };
        purge().map_err(|e| self.wrong(set, &e))
    }
}

/// What a killed run left half written.
fn sweep(set_dir: &Dir) -> io::Result<()> {
    let mut left = set_dir.entries()?.into_iter().filter(|entry| entry.name.as_encoded_bytes().starts_with(b".new-"));
    left.try_for_each(|entry| set_dir.remove_tree(&entry.name))
}

/// The first digits of a digest, as shown to people.
pub fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(12).collect()
}

/// Whose everything in the store is, and who may read it.
struct Rights {
    owner: (u32, u32),
    dir: Mode,
    file: Mode,
}

fn open_or_make(dir: &Dir, name: &str, rights: &Rights) -> io::Result<Dir> {
    if let Some(found) = dir.find_dir(OsStr::new(name))? {
        return Ok(found);
    }
    let made = dir.make_dir(OsStr::new(name))?;
    made.adjust(rights.owner, rights.dir)?;
    Ok(made)
}

fn read_tree(dir: &Dir, prefix: &str, out: &mut Vec<(RelPath, Secret)>) -> io::Result<()> {
    for entry in dir.entries()? {
        let name =
            entry.name.to_str().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a file name in the store is not UTF-8"))?;
        let path = format!("{prefix}{name}");
        match entry.kind {
            Kind::Dir => read_tree(&dir.open_dir(&entry.name)?, &format!("{path}/"), out)?,
            Kind::File => {
                let path = path.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a strange file name in the store"))?;
                out.push((path, dir.read_file(&entry.name, LARGEST_FILE)?.0));
            }
            Kind::Link | Kind::Other => return Err(io::Error::new(io::ErrorKind::InvalidData, "something other than files in the store")),
        }
    }
    Ok(())
}
