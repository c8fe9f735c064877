//! Step 3 of apply: what a killed run left is finished before anything else is looked at.

use super::place::{self, Place};
use super::switch::{self, Flush, Replace, Showing};
use crate::base::{Error, ErrorKind, Result, SetName};
use crate::plan::promote;
use crate::spec::{DesiredInstall, DesiredSet, Layout};
use crate::state::{InstallState, State};
use std::collections::BTreeMap;
use std::io;

/// Rolls forward every switch that the state announces and the disk does not show (or may not show whole), without
/// the source. Returns what could not be finished; it stays announced.
pub fn recover(state: &mut State, sets: &[DesiredSet]) -> Vec<Error> {
    let mut errors = Vec::new();
    let by_name: BTreeMap<&SetName, &DesiredSet> = sets.iter().map(|set| (&set.name, set)).collect();
    for recorded in state.installs.iter_mut().filter(|recorded| recorded.next.is_some()) {
        let set = by_name.get(&recorded.set);
        let install = set.and_then(|set| set.installs.iter().find(|install| install.dest == recorded.dest));
        if let Err(error) = finish(recorded, install) {
            errors.push(error);
        }
    }
    errors
}

fn finish(recorded: &mut InstallState, install: Option<&DesiredInstall>) -> Result<()> {
    let Some(next) = recorded.next.as_ref().map(|next| next.name.clone()) else { return Ok(()) };
    let Ok(place) = place::open(&recorded.dest, &recorded.set) else {
        // Nothing is left to switch: what is missing is made anew.
        recorded.next = None;
        return Ok(());
    };
    let wrong = |e: io::Error| Error::io(ErrorKind::Install, &recorded.dest, &e);
    let files = match switch::files_of(&place, &next) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            recorded.next = None;
            return Ok(());
        }
        Err(error) => return Err(wrong(error)),
    };
    tracing::info!(set = %recorded.set, dest = %recorded.dest, generation = %next, "finishing a switch that was cut off");
    if switch::current(&place).as_deref() != Some(&next) {
        switch::switch(&place, &next).and_then(|()| place.set.sync()).map_err(wrong)?;
    }
    if let (Layout::Flat, Some(install)) = (recorded.layout, install)
        && install.rest.layout == Layout::Flat
    {
        let showing = Showing { set: &recorded.set, install, generation: &next, flush: Flush::Each };
        switch::publish(&place, showing, &files, Replace::Any)?;
    }
    prune(&place, recorded, &files).map_err(wrong)?;
    promote(recorded);
    Ok(())
}

/// Names that the former generation had and the next one does not: they were to be pruned.
fn prune(place: &Place, recorded: &InstallState, files: &[crate::base::RelPath]) -> io::Result<()> {
    let Some(current) = &recorded.current else { return Ok(()) };
    let former = match switch::files_of(place, &current.name) {
        Ok(former) => former,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for path in former.iter().filter(|path| !files.contains(path)) {
        if switch::is_ours(place, &recorded.set, path, recorded.layout, &current.name)? {
            switch::unpublish(place, path)?;
        }
    }
    Ok(())
}
