//! Deleting an orphaned set's files.

use super::place;
use super::settle::foreign;
use super::stage::descend;
use super::switch;
use crate::base::{AbsPath, Error, ErrorKind, RelPath, Result, SetName};
use crate::host::{Dir, Durability, Kind, walk};
use crate::observe::{META, OWNER_FILE, is_foreign_folder, own_dir};
use crate::state::{InstallState, State, Store};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;

/// Deletes the files of these orphaned places, then what certsync keeps of the set; other files stay. What the state forgets is
/// gone from the disk, so that no power cut brings back what nobody knows any more.
///
/// # Errors
/// The first place that could not be cleared; those before it are cleared and forgotten.
pub fn remove(state: &mut State, state_dir: &Dir, at: &AbsPath, set: &SetName, dests: &[AbsPath]) -> Result<()> {
    for dest in dests {
        if let Some(recorded) = state.install(set, dest) {
            clear(recorded)?;
        }
        state.installs.retain(|install| install.set != *set || install.dest != *dest);
        state.save(state_dir, at)?;
    }
    if state.installs.iter().all(|install| install.set != *set) {
        // As long as the state knows the set, a removal that was cut off can be asked for again: no key is left behind unknown.
        Store::new(state_dir, at).purge(set, &BTreeSet::new())?;
        Store::new(state_dir, at).flush_all()?;
        state.sets.remove(set);
        state.save(state_dir, at)?;
    }
    Ok(())
}

fn clear(recorded: &InstallState) -> Result<()> {
    let walked = walk::to(&recorded.dest)?;
    if !walked.missing.is_empty() {
        return Ok(());
    }
    let wrong = |e: io::Error| Error::io(ErrorKind::Install, &recorded.dest, &e);
    let Some(meta) = own_dir(&walked.dir, META).map_err(wrong)? else { return leave_dest(recorded, walked.dir).map_err(wrong) };
    if own_dir(&meta, recorded.set.as_str()).map_err(wrong)?.is_some() {
        let place = place::open(&recorded.dest, &recorded.set)?;
        if let Some(entry) = place.set.entries().map_err(wrong)?.iter().find(|entry| is_foreign_folder(entry)) {
            return Err(wrong(foreign(entry)));
        }
        names(&place, recorded).map_err(wrong)?;
        meta.remove_tree(OsStr::new(recorded.set.as_str())).and_then(|()| meta.sync()).map_err(wrong)?;
    }
    leave(recorded, walked.dir, &meta).map_err(wrong)
}

/// The names in `dest`: links of ours, and for `flat` the files that are still what was installed.
fn names(place: &place::Place, recorded: &InstallState) -> io::Result<()> {
    let Some(current) = &recorded.current else { return Ok(()) };
    let files = match switch::files_of(place, &current.name) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for path in &files {
        if switch::is_ours(place, &recorded.set, path, recorded.layout, &current.name)? {
            switch::unpublish(place, path)?;
        }
    }
    empty_folders(place, &files);
    Ok(())
}

/// Folders that these files were in go where nothing else is in them, the deepest first.
fn empty_folders(place: &place::Place, files: &[RelPath]) {
    let steps_of = |path: &RelPath| path.split().0.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let mut folders: BTreeSet<Vec<String>> = BTreeSet::new();
    for steps in files.iter().map(steps_of) {
        folders.extend((1..=steps.len()).map(|depth| steps[..depth].to_vec()));
    }
    for folder in folders.iter().rev() {
        let Some((name, above)) = folder.split_last() else { continue };
        let above: Vec<&str> = above.iter().map(String::as_str).collect();
        // What is not empty stays.
        let _ = descend(&place.dest, &above).and_then(|dir| dir.remove_dir(OsStr::new(name)));
    }
}

/// Where no other set is left, certsync's own folder goes, and with it an empty `dest` of its making.
fn leave(recorded: &InstallState, dest: Dir, meta: &Dir) -> io::Result<()> {
    if meta.entries()?.iter().any(|entry| entry.kind == Kind::Dir) {
        return Ok(());
    }
    meta.unlink(OsStr::new(OWNER_FILE))?;
    dest.remove_dir(OsStr::new(META))?;
    dest.sync()?;
    leave_dest(recorded, dest)
}

/// A `dest` that certsync made goes when it is empty.
fn leave_dest(recorded: &InstallState, dest: Dir) -> io::Result<()> {
    let stat = dest.stat()?;
    let made = recorded.made.is_some_and(|made| (made.dev, made.ino) == (stat.dev, stat.ino));
    if made && dest.entries()?.is_empty() {
        drop(dest);
        if let Ok((parent, name)) = walk::make_parents(&recorded.dest, Durability::OnDisk) {
            parent.remove_dir(OsStr::new(&name))?;
            parent.sync()?;
        }
    }
    Ok(())
}
