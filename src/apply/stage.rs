//! Building a generation: whole, under a temporary name, then renamed.

use super::place::{Place, sweep};
use crate::base::{Error, ErrorKind, Mode, RelPath, Result, Secret};
use crate::host::{Dir, unique};
use crate::material::RenderedFile;
use crate::observe::Rights;
use crate::plan::{FileSource, PlannedFile};
use crate::spec::DesiredInstall;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;

/// No installed file can be larger: the highest limit a spec can set.
pub(super) const LARGEST_FILE: u64 = 1 << 30;

/// A generation to be built.
pub(super) struct New<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its files.
    pub files: &'a [PlannedFile],
    /// What is rendered from the set's material.
    pub rendered: &'a [RenderedFile],
    /// The generation that carried files are read from.
    pub carry_from: Option<&'a str>,
    /// With whose rights.
    pub carry_with: Rights,
}

/// Builds a generation beside the current one. What is rendered comes from `rendered`, what is carried
/// from the current generation, what is adopted from `dest`; each is held against the hash it was planned with.
pub(super) fn stage(place: &Place, new: &New<'_>, install: &DesiredInstall) -> Result<()> {
    let hidden = unique(".new-");
    let built = build(place, &hidden, new, install);
    if built.is_err() {
        // The first error is the one to report; what is left is swept by the next run.
        let _ = place.set.remove_tree(OsStr::new(&hidden));
    }
    built
}

fn build(place: &Place, hidden: &str, new: &New<'_>, install: &DesiredInstall) -> Result<()> {
    let wrong = |e: &io::Error| Error::io(ErrorKind::Install, format!("{}, generation {}", install.dest, new.name), e);
    let rest = &install.rest;
    let owner = (rest.owner.id, rest.group.id);
    let dir = place.set.make_dir(OsStr::new(hidden)).map_err(|e| wrong(&e))?;
    let mut folders = BTreeSet::new();
    for file in new.files {
        let bytes;
        let bytes = match file.from {
            FileSource::Material => match new.rendered.iter().find(|r| r.path == file.path) {
                Some(found) => &found.bytes,
                None => return Err(changed(install, &file.path)),
            },
            FileSource::Carried | FileSource::Dest => {
                bytes = read_back(place, file, new).map_err(|e| wrong(&e))?;
                &bytes
            }
        };
        if bytes.sha256() != file.sha256 {
            return Err(changed(install, &file.path));
        }
        let (steps, leaf) = file.path.split();
        let folder = open_or_make(&dir, &steps, &mut folders).map_err(|e| wrong(&e))?;
        folder.create_file(OsStr::new(leaf), bytes.expose(), owner, file.mode).map_err(|e| wrong(&e))?;
    }
    // Deepest first: a mode without write permission must not stand in the way of what lies below.
    for folder in folders.iter().rev() {
        let steps: Vec<&str> = folder.split('/').collect();
        descend(&dir, &steps).and_then(|dir| dir.adjust(owner, rest.dir_mode)).map_err(|e| wrong(&e))?;
    }
    dir.adjust(owner, rest.dir_mode).map_err(|e| wrong(&e))?;
    place.set.rename_new(OsStr::new(hidden), &place.set, OsStr::new(new.name)).map_err(|e| wrong(&e))
}

fn changed(install: &DesiredInstall, path: &RelPath) -> Error {
    Error::new(ErrorKind::Install, install.dest.join(path).to_string(), "changed while it was read").hint("apply again")
}

fn read_back(place: &Place, file: &PlannedFile, new: &New<'_>) -> io::Result<Secret> {
    let (steps, leaf) = file.path.split();
    let (from, rights, mover) = match file.from {
        FileSource::Dest => (descend(&place.dest, &steps)?, Rights::Owners, place.mover),
        FileSource::Carried | FileSource::Material => {
            let carry_from = new.carry_from.ok_or(io::ErrorKind::NotFound)?;
            (descend(&place.set.open_dir(OsStr::new(carry_from))?, &steps)?, new.carry_with, None)
        }
    };
    match rights {
        Rights::Ours => Ok(from.read_file(OsStr::new(leaf), LARGEST_FILE)?.0),
        Rights::Owners => from.read_file_as_owner(OsStr::new(leaf), LARGEST_FILE, mover),
    }
}

fn open_or_make(top: &Dir, steps: &[&str], made: &mut BTreeSet<String>) -> io::Result<Dir> {
    let mut dir = top.try_clone()?;
    for (i, step) in steps.iter().enumerate() {
        let path = steps[..=i].join("/");
        dir = if made.insert(path) { dir.make_dir(OsStr::new(step))? } else { dir.open_dir(OsStr::new(step))? };
    }
    Ok(dir)
}

/// The directory that these steps lead to.
pub(super) fn descend(top: &Dir, steps: &[&str]) -> io::Result<Dir> {
    let mut dir = top.try_clone()?;
    for step in steps {
        dir = dir.open_dir(OsStr::new(step))?;
    }
    Ok(dir)
}

/// Makes the folders above a name in `dest`, with the install's owner, group and mode.
pub(super) fn folders_in_dest(place: &Place, steps: &[&str], owner: (u32, u32), mode: Mode) -> io::Result<Dir> {
    let mut dir = place.dest.try_clone()?;
    for step in steps {
        dir = match dir.find_dir(OsStr::new(step))? {
            Some(found) => found,
            None => {
                sweep(&dir)?;
                let made = dir.make_finished_dir(OsStr::new(step), owner, mode)?;
                dir.sync()?;
                made
            }
        };
    }
    Ok(dir)
}
