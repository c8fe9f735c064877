//! Making `dest` show a generation: adoption, links, copies, the one rename of `current`.
//!
//! Temporary names live in `.certsync/<set>`, never beside the files a service reads, except for the moment of an exchange.

use super::place::Place;
use super::stage::{LARGEST_FILE, descend, folders_in_dest};
use crate::base::{AbsPath, Error, ErrorKind, RelPath, Result, SetName};
use crate::host::{Dir, Durability, Kind, unique};
use crate::observe::{CURRENT, TAKEN};
use crate::plan::{PlannedFile, link_target};
use crate::spec::{DesiredInstall, Layout};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsStr;
use std::io;

/// Points `current` at the generation `name`: one rename.
pub(super) fn switch(place: &Place, name: &str) -> io::Result<()> {
    let hidden = unique(".new-");
    place.set.symlink(name, OsStr::new(&hidden))?;
    let renamed = place.set.rename(OsStr::new(&hidden), &place.set, OsStr::new(CURRENT));
    if renamed.is_err() {
        let _ = place.set.unlink(OsStr::new(&hidden));
    }
    renamed
}

/// What `current` names.
pub(super) fn current(place: &Place) -> Option<String> {
    place.set.read_link(OsStr::new(CURRENT)).ok().and_then(|target| target.into_string().ok())
}

/// Whether a name may be taken from what stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replace {
    /// Nothing stands there, and nothing may.
    Nothing,
    /// A file or link there is replaced.
    Any,
}

/// When directories are brought to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    /// One by one, at once.
    Each,
    /// By one syncfs at the barrier, since there are many.
    Together,
}

impl Flush {
    /// Whether what is made is on disk at once.
    pub fn durability(self) -> Durability {
        match self {
            Flush::Each => Durability::OnDisk,
            Flush::Together => Durability::Eventually,
        }
    }

    /// Brings a directory to disk, unless that is left to the barrier.
    pub fn sync(self, dir: &Dir) -> io::Result<()> {
        match self {
            Flush::Each => dir.sync(),
            Flush::Together => Ok(()),
        }
    }
}

/// Which generation is to be shown, and how.
#[derive(Clone, Copy)]
pub(super) struct Showing<'a> {
    /// The set.
    pub set: &'a SetName,
    /// As the spec has it.
    pub install: &'a DesiredInstall,
    /// The generation that copies are made of; links need none.
    pub generation: &'a str,
    /// When directories are brought to disk.
    pub flush: Flush,
}

/// Makes the links at these names (`generations`), or copies (`flat`): all are written first, then renamed back to
/// back in the order given.
pub(super) fn publish(place: &Place, showing: Showing<'_>, paths: &[RelPath], replace: Replace) -> Result<()> {
    let dest = &showing.install.dest;
    let mut folders = Folders { place, showing, open: BTreeMap::new() };
    let mut ready = Vec::with_capacity(paths.len());
    let result = prepare(&mut folders, paths, &mut ready).map_err(|e| Error::io(ErrorKind::Install, dest, &e)).and_then(|()| {
        for (hidden, path) in ready.iter().zip(paths) {
            let (steps, leaf) = path.split();
            let renamed = folders.at(steps).and_then(|dir| match replace {
                Replace::Nothing => place.set.rename_new(OsStr::new(hidden), dir, OsStr::new(leaf)),
                Replace::Any => place.set.rename(OsStr::new(hidden), dir, OsStr::new(leaf)),
            });
            renamed.map_err(|e| not_free(dest, path, &e))?;
        }
        folders.close().map_err(|e| Error::io(ErrorKind::Install, dest, &e))
    });
    if result.is_err() {
        for hidden in &ready {
            let _ = place.set.unlink(OsStr::new(hidden));
        }
    }
    result
}

fn not_free(dest: &AbsPath, path: &RelPath, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::new(ErrorKind::Install, dest.join(path).to_string(), "something has appeared there since it was looked at")
                .hint("if another set writes this name too, give one of them other names with files:, or another dest")
        }
        _ => Error::io(ErrorKind::Install, dest.join(path), error),
    }
}

/// Folders held open at the same time: a generation may have more of them than we may have descriptors.
const MOST_OPEN: usize = 64;

/// The folders of files in `dest`, by their steps.
struct Folders<'a> {
    place: &'a Place,
    showing: Showing<'a>,
    open: BTreeMap<Vec<&'a str>, Dir>,
}

impl<'a> Folders<'a> {
    fn at(&mut self, steps: Vec<&'a str>) -> io::Result<&Dir> {
        if self.open.len() >= MOST_OPEN && !self.open.contains_key(&steps) {
            self.close()?;
        }
        match self.open.entry(steps) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(free) => {
                let rest = &self.showing.install.rest;
                let dir = folders_in_dest(self.place, free.key(), (rest.owner.id, rest.group.id), rest.dir_mode)?;
                Ok(free.insert(dir))
            }
        }
    }

    /// Brings what was renamed into them to disk.
    fn close(&mut self) -> io::Result<()> {
        std::mem::take(&mut self.open).values().try_for_each(|dir| self.showing.flush.sync(dir))
    }
}

/// Writes each under a temporary name; its folder is made before anything is renamed.
fn prepare<'a>(folders: &mut Folders<'a>, paths: &'a [RelPath], ready: &mut Vec<String>) -> io::Result<()> {
    let (place, showing) = (folders.place, folders.showing);
    let rest = &showing.install.rest;
    for path in paths {
        let (steps, leaf) = path.split();
        folders.at(steps.clone())?;
        let hidden = unique(".new-");
        match rest.layout {
            Layout::Generations => place.set.symlink(&link_target(showing.set, path), OsStr::new(&hidden))?,
            Layout::Flat => {
                let from = descend(&place.set.open_dir(OsStr::new(showing.generation))?, &steps)?;
                let (bytes, stat) = from.read_file(OsStr::new(leaf), LARGEST_FILE)?;
                place.set.create_file(OsStr::new(&hidden), bytes.expose(), (stat.uid, stat.gid), stat.mode)?;
            }
        }
        ready.push(hidden);
    }
    if rest.layout == Layout::Flat {
        ready.iter().try_for_each(|hidden| place.set.sync_file(OsStr::new(hidden)))?;
    }
    Ok(())
}

/// Exchanges each of these files for its link; swapped back, and an error, where it was not what was read.
pub(super) fn exchange(place: &Place, (set, install): (&SetName, &DesiredInstall), files: &[PlannedFile], flush: Flush) -> Result<()> {
    for file in files {
        let wrong = |e: &io::Error| Error::io(ErrorKind::Install, install.dest.join(&file.path), e);
        if !exchange_one(place, set, file).map_err(|e| wrong(&e))? {
            let changed = Error::new(ErrorKind::Install, install.dest.join(&file.path).to_string(), "changed while it was adopted");
            return Err(changed.hint("apply again"));
        }
    }
    // What was taken is gone for good: it may be a key.
    flush.sync(&place.set).map_err(|e| Error::io(ErrorKind::Install, &install.dest, &e))
}

/// Whether the file was what was read, and is now a link.
fn exchange_one(place: &Place, set: &SetName, file: &PlannedFile) -> io::Result<bool> {
    let (steps, leaf) = file.path.split();
    let dir = descend(&place.dest, &steps)?;
    let hidden = unique(TAKEN);
    let (hidden, leaf) = (OsStr::new(&hidden), OsStr::new(leaf));
    place.set.symlink(&link_target(set, &file.path), hidden)?;
    let done = (|| {
        place.set.exchange(hidden, &dir, leaf)?;
        let taken = place.set.stat_at(hidden)?.is_some_and(|stat| stat.kind == Kind::File)
            && place.set.hash_file(hidden).is_ok_and(|(hash, _)| hash == file.sha256);
        if !taken {
            place.set.exchange(hidden, &dir, leaf)?;
        }
        dir.sync()?;
        Ok(taken)
    })();
    if done.is_ok() || place.set.stat_at(hidden)?.is_some_and(|stat| stat.kind == Kind::Link) {
        place.set.unlink(hidden)?;
    }
    done
}

/// Removes a name that was pruned.
pub(super) fn unpublish(place: &Place, path: &RelPath) -> io::Result<()> {
    let (steps, leaf) = path.split();
    match descend(&place.dest, &steps) {
        Ok(dir) => {
            dir.unlink(OsStr::new(leaf))?;
            dir.sync()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Every file of the generation `name`, sorted.
pub(super) fn files_of(place: &Place, name: &str) -> io::Result<Vec<RelPath>> {
    let mut found = Vec::new();
    list(&place.set.open_dir(OsStr::new(name))?, "", &mut found)?;
    Ok(found)
}

fn list(dir: &Dir, prefix: &str, found: &mut Vec<RelPath>) -> io::Result<()> {
    for entry in dir.entries()? {
        let Some(name) = entry.name.to_str() else { continue };
        match entry.kind {
            Kind::Dir => list(&dir.open_dir(&entry.name)?, &format!("{prefix}{name}/"), found)?,
            _ => found.extend(format!("{prefix}{name}").parse::<RelPath>().ok()),
        }
    }
    Ok(())
}

/// Whether what stands at `path` is what certsync put there when the generation `name` was in place.
pub(super) fn is_ours(place: &Place, set: &SetName, path: &RelPath, layout: Layout, name: &str) -> io::Result<bool> {
    let (steps, leaf) = path.split();
    let dir = match descend(&place.dest, &steps) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let leaf = OsStr::new(leaf);
    Ok(match (dir.stat_at(leaf)?.map(|stat| stat.kind), layout) {
        (Some(Kind::Link), Layout::Generations) => dir.read_link(leaf)?.to_str() == Some(&link_target(set, path)),
        (Some(Kind::File), Layout::Flat) => match place.set.open_dir(OsStr::new(name)).and_then(|top| descend(&top, &steps)) {
            Ok(from) => from.hash_file(leaf)?.0 == dir.hash_file(leaf)?.0,
            Err(_) => false,
        },
        _ => false,
    })
}
