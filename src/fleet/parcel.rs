//! What is brought to a server without certsync, as rsync reads it: a copy of the sets in a private folder of the state directory, which
//! goes when it is dropped. What a killed run left goes before the next one begins.

use crate::base::{AbsPath, Error, ErrorKind, Mode, Result, SetName};
use crate::host::orphan::end_those_with;
use crate::host::{Dir, unique};
use crate::material::Material;
use std::ffi::OsStr;
use std::io;

/// Where they are made, in the state directory.
pub const FOLDER: &str = "bringing";
/// The sets, in one of them.
const TREE: &str = "tree";
const PRIVATE: Mode = Mode::from_bits(0o600);

/// One of them.
pub struct Parcel {
    folder: Dir,
    name: String,
    tree: Dir,
    own: Dir,
    at: AbsPath,
}

/// Removes what a killed run left, and ends the rsync that is still at work on it: it would put an older version over what is brought now. To be called under the lock of the one that serves the hosts below.
///
/// # Errors
/// Kind `State`.
pub fn sweep(dir: &Dir, at: &AbsPath) -> Result<()> {
    let sweep = || -> io::Result<()> {
        let Some(folder) = dir.find_dir(OsStr::new(FOLDER))? else { return Ok(()) };
        for entry in folder.entries()? {
            if let Some(name) = entry.name.to_str() {
                end_those_with(&format!("/{FOLDER}/{name}/{TREE}/"));
            }
            folder.remove_tree(&entry.name)?;
        }
        Ok(())
    };
    sweep().map_err(|error| wrong(at, &error))
}

fn wrong(at: &AbsPath, error: &io::Error) -> Error {
    Error::io(ErrorKind::State, format!("{at}/{FOLDER}"), error)
}

impl Parcel {
    /// An empty one in the state directory `dir`, which is at `at`.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn new(dir: &Dir, at: &AbsPath) -> Result<Parcel> {
        let name = unique("");
        let make = || -> io::Result<Parcel> {
            let folder = folder(dir)?;
            let own = folder.make_dir(OsStr::new(&name))?;
            let tree = own.make_dir(OsStr::new(TREE))?;
            let path = format!("{at}/{FOLDER}/{name}").parse();
            let at = path.map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "is too long"))?;
            Ok(Parcel { folder, name: name.clone(), tree, own, at })
        };
        make().map_err(|error| wrong(at, &error))
    }

    /// Puts a set into it.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn add(&self, set: &SetName, material: &Material) -> Result<()> {
        let put = || -> io::Result<()> {
            let owner = self.own.stat().map(|stat| (stat.uid, stat.gid))?;
            let dir = self.tree.make_dir(OsStr::new(set.as_str()))?;
            for file in material.files() {
                let (folders, leaf) = file.path.split();
                let mut into = dir.try_clone()?;
                for folder in folders {
                    into = match into.find_dir(OsStr::new(folder))? {
                        Some(found) => found,
                        None => into.make_dir(OsStr::new(folder))?,
                    };
                }
                into.create_file(OsStr::new(leaf), file.bytes.expose(), owner, PRIVATE)?;
            }
            Ok(())
        };
        put().map_err(|error| Error::io(ErrorKind::State, &self.at, &error))
    }

    /// Where the sets are.
    ///
    /// # Errors
    /// Kind `State`: too long a path.
    pub fn tree(&self) -> Result<AbsPath> {
        format!("{}/{TREE}", self.at).parse().map_err(|_| Error::new(ErrorKind::State, self.at.as_str(), "is too long"))
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if let Err(error) = self.folder.remove_tree(OsStr::new(&self.name)) {
            tracing::warn!("{}: cannot be removed, the next run tries again: {error}", self.at);
        }
    }
}

/// The folder of all of them, made where it is missing; several threads may want it at once.
fn folder(dir: &Dir) -> io::Result<Dir> {
    if let Some(folder) = dir.find_dir(OsStr::new(FOLDER))? {
        return Ok(folder);
    }
    let owner = dir.stat()?;
    match dir.make_finished_dir(OsStr::new(FOLDER), (owner.uid, owner.gid), Mode::from_bits(0o700)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => dir.open_dir(OsStr::new(FOLDER)),
        made => made,
    }
}
