//! What can be said of a call only once the spec is known.

use super::options::Judging;
use crate::base::{AbsPath, Error, ErrorKind, Result, SetName, printable};
use crate::collect::name_sets;
use crate::spec::{Desired, Real, Surroundings, suggest};
use crate::state::State;
use std::path::Path;

/// What stands for a set's name in the `dest` of a pattern.
const NAME: &str = "{name}";

/// The state directory must not be read as a source nor written as a `dest`, by name or, where links are ours, by where they lead.
pub(super) fn state_dir_apart(desired: &Desired, state: &AbsPath) -> Result<()> {
    let surroundings = Surroundings::host();
    let mut real = Real::new(&surroundings);
    let state_really = reached(&mut real, state);
    let sets = desired.sets.iter().map(|set| (&set.name, &set.source));
    let patterns = desired.patterns.iter().map(|pattern| (&pattern.name, &pattern.parent));
    let sources = sets.chain(patterns).filter_map(|(name, source)| Some((name, source.directory()?.clone(), "the source")));
    let own = desired.sets.iter().flat_map(|set| set.installs.iter().map(move |install| (&set.name, install.dest.clone())));
    let made =
        desired.patterns.iter().flat_map(|pattern| pattern.template.installs.iter().map(move |install| (&pattern.name, &install.dest)));
    // What lies above `{name}` is nobody's `dest`: only that the state is not there can be said of it.
    let (shared, below): (Vec<_>, Vec<_>) = made.partition(|(_, dest)| !dest.contains(NAME));
    let shared = shared.into_iter().filter_map(|(name, dest)| Some((name, dest.parse().ok()?)));
    let dests = own.chain(shared).map(|(name, dest)| (name, dest, "a dest"));
    for (set, path, what) in sources.chain(dests) {
        let really = reached(&mut real, &path);
        if state.is_within(&path) || state_really.is_within(&really) {
            return Err(refused(state, format!("lies in {path}, {what} of set {set}")));
        }
        if path.is_within(state) || really.is_within(&state_really) {
            return Err(refused(state, format!("holds {path}, {what} of set {set}")));
        }
    }
    for (set, dest) in below {
        let fixed = dest.split(NAME).next().and_then(|fixed| fixed.rsplit_once('/')).and_then(|(fixed, _)| fixed.parse::<AbsPath>().ok());
        if fixed.is_some_and(|fixed| fixed.is_within(state) || reached(&mut real, &fixed).is_within(&state_really)) {
            return Err(refused(state, format!("holds {}, a dest of set {set}", printable(dest))));
        }
    }
    Ok(())
}

fn refused(state: &AbsPath, why: String) -> Error {
    Error::new(ErrorKind::State, state.as_str(), format!("the state directory {why}"))
        .hint("name a directory of its own with --state-dir, or another place in the spec")
}

/// Where a path leads; what of it does not exist stays as it is written.
fn reached(real: &mut Real<'_>, path: &AbsPath) -> AbsPath {
    let Some((found, covered)) = real.deepest(path) else { return path.clone() };
    let rest = path.as_path().strip_prefix(covered).unwrap_or(Path::new(""));
    AbsPath::try_from(found.join(rest)).unwrap_or_else(|_| path.clone())
}

/// A set that `--accept` names must be one of this host: a slip would open no door, and nobody would see it.
pub(super) fn accepted_sets_exist(judging: &Judging, desired: &Desired, state: &State) -> Result<()> {
    if judging.accept.is_empty() {
        return Ok(());
    }
    let sets = name_sets(desired, state).sets;
    let names: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
    let unknown = |name: &SetName| !names.contains(&name.as_str());
    match judging.accept.iter().find(|(name, _)| unknown(name)) {
        None => Ok(()),
        Some((name, _)) => Err(Error::new(ErrorKind::Usage, "--accept", format!("no set {name} on this host"))
            .hint(suggest(name.as_str(), &names, "there are").unwrap_or_else(|| "certsync spec shows this host's sets".into()))),
    }
}
