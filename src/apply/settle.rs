//! Step 12 of apply: look again, then sweep what is no longer needed.

use super::{Applied, Apply, fail, place, subject};
use crate::base::{AbsPath, Digest, Error, ErrorKind, KeyFingerprint, SetName};
use crate::collect::Incoming;
use crate::host::{Dir, Entry, Kind, clock, unique};
use crate::observe::{CURRENT, is_foreign_folder, is_leftover};
use crate::plan::Outcome;
use crate::progress::ProgressChoice;
use crate::spec::DesiredSet;
use crate::state::requests::Scope;
use crate::state::{Fresh, InstallState, Store, parse_generation};
use crate::survey::{Keep, Look, Named, Retry, Sources, Survey, Surveyed};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;

pub(super) fn settle(apply: &mut Apply<'_>, sets: &[DesiredSet], surveyed: &mut Surveyed, applied: &mut Applied) {
    look_again(apply, sets, surveyed);
    let swept = sweep(apply, sets, surveyed, applied);
    purge_store(apply, surveyed, &swept, applied);
}

/// Success means observed again and equal: what was touched is surveyed once more and must ask for nothing.
fn look_again(apply: &mut Apply<'_>, sets: &[DesiredSet], surveyed: &mut Surveyed) {
    let touched: BTreeSet<SetName> = surveyed
        .plan
        .sets
        .iter()
        .filter(|set| set.installs.iter().any(|install| !install.steps.is_empty() && !install.is_stopped()))
        .map(|set| set.name.clone())
        .collect();
    if touched.is_empty() {
        return;
    }
    // The cache believes an entry only when its ctime is older than the clock: a moment's patience saves a read of everything next time.
    clock::let_a_tick_pass();
    let mut state = apply.state.clone();
    let named = Named { sets: sets.iter().filter(|set| touched.contains(&set.name)).cloned().collect(), ..Named::default() };
    let look = Look {
        keep: Keep::InMemory,
        scope: Scope::Sets(touched),
        sources: Sources::Recorded,
        once: BTreeMap::new(),
        retry: Retry::OnChange,
        because: None,
        progress: ProgressChoice::Nowhere,
    };
    let again = Survey {
        desired: apply.desired,
        state: &mut state,
        cache: apply.cache,
        store: Some(Store::new(apply.state_dir, apply.at)),
        look,
        named: Some(named),
        quiet: &BTreeSet::new(),
        incoming: &mut Incoming::default(),
        us: apply.us.to_owned(),
        now: apply.now,
        fresh: Fresh::new(),
    }
    .run();
    for (set, trace) in again.traces {
        surveyed.traces.entry(set).or_default().renew(trace);
    }
    let found: BTreeMap<(&SetName, &AbsPath), _> =
        again.plan.sets.iter().flat_map(|set| set.installs.iter().map(move |install| ((&set.name, &install.dest), install))).collect();
    for set in &mut surveyed.plan.sets {
        for install in set.installs.iter_mut().filter(|install| !install.steps.is_empty() && !install.is_stopped()) {
            let Some(seen) = found.get(&(&set.name, &install.dest)) else { continue };
            if let Some(error) = seen.error.as_ref().filter(|_| seen.is_stopped()) {
                fail(install, error.clone());
            } else if !seen.steps.is_empty() {
                let names: Vec<&str> = seen.changes.iter().map(|change| change.path.as_str()).collect();
                let cause = format!("is not as it was just made: {}", names.join(", "));
                fail(install, Error::new(ErrorKind::Install, install.dest.to_string(), cause).hint("does somebody else write there?"));
            }
        }
    }
}

/// Surplus generations go, and what killed runs left. What cannot be removed is a warning. Returns the sets it was about.
fn sweep(apply: &mut Apply<'_>, sets: &[DesiredSet], surveyed: &Surveyed, applied: &mut Applied) -> BTreeSet<SetName> {
    let mut swept = BTreeSet::new();
    let touched: BTreeSet<(&SetName, &AbsPath)> = surveyed
        .plan
        .sets
        .iter()
        .flat_map(|set| set.installs.iter().filter(|i| !i.steps.is_empty() || i.leftovers).map(move |install| (&set.name, &install.dest)))
        .collect();
    // Where a check took a version back, what the state does not know is that version.
    let rejected: BTreeSet<(&SetName, &AbsPath)> = surveyed
        .plan
        .sets
        .iter()
        .flat_map(|set| set.installs.iter().filter(|i| i.result == Outcome::RolledBack).map(move |install| (&set.name, &install.dest)))
        .filter(|place| touched.contains(place))
        .collect();
    let kept: BTreeMap<(&SetName, &AbsPath), usize> = sets
        .iter()
        .flat_map(|set| set.installs.iter().map(move |install| ((&set.name, &install.dest), install.rest.keep as usize)))
        .collect();
    for recorded in &mut apply.state.installs {
        let rejects = rejected.contains(&(&recorded.set, &recorded.dest));
        let leaked = forget_revoked(recorded, &apply.desired.revoked);
        let purged = !leaked.is_empty() || rejects;
        // An orphan keeps all it has but a revoked key.
        let keep = kept.get(&(&recorded.set, &recorded.dest)).copied().unwrap_or(usize::MAX);
        if !purged && recorded.former.len() <= keep && !touched.contains(&(&recorded.set, &recorded.dest)) {
            continue;
        }
        swept.insert(recorded.set.clone());
        let place = subject(&recorded.set, &recorded.dest);
        match sweep_one(recorded, keep, purged) {
            Err(error) => applied.warnings.push(format!("{place}: what is no longer needed could not be removed: {error}")),
            Ok(()) => applied
                .warnings
                .extend(leaked.iter().map(|key| format!("{place}: a former generation with the revoked key {key} was deleted"))),
        }
    }
    swept
}

/// Former generations with a revoked key are never rolled back to. Returns the revoked keys that were among them.
fn forget_revoked(recorded: &mut InstallState, revoked: &BTreeSet<KeyFingerprint>) -> BTreeSet<KeyFingerprint> {
    let (leaked, good): (Vec<_>, Vec<_>) =
        std::mem::take(&mut recorded.former).into_iter().partition(|former| former.facts.has_key_of(revoked));
    recorded.former = good;
    leaked.iter().flat_map(|former| former.facts.keys.iter().copied()).filter(|key| revoked.contains(key)).collect()
}

fn sweep_one(recorded: &mut InstallState, keep: usize, purged: bool) -> io::Result<()> {
    let place = place::open(&recorded.dest, &recorded.set).map_err(|e| io::Error::other(e.to_string()))?;
    let entries = place.set.entries()?;
    // One that somebody removed is nothing to go back to.
    recorded.former.retain(|former| entries.iter().any(|entry| entry.kind == Kind::Dir && entry.name == *former.name));
    recorded.former.truncate(keep);
    let known: BTreeSet<&str> = recorded.current.iter().chain(&recorded.former).chain(&recorded.next).map(|g| g.name.as_str()).collect();
    let shown = place.set.read_link(OsStr::new(CURRENT)).ok();
    let mut unknown = Vec::new();
    for entry in entries {
        if is_foreign_folder(&entry) {
            return Err(foreign(&entry));
        }
        if is_leftover(&entry.name) {
            place.set.remove_tree(&entry.name)?;
        } else if entry.kind == Kind::Dir && shown.as_ref() != Some(&entry.name) {
            match entry.name.to_str() {
                Some(name) if known.contains(name) => {}
                Some(name) if serial(name).is_some() => unknown.push(name.to_owned()),
                _ => {}
            }
        }
    }
    // Generations that a lost state no longer knows count as former ones, the newest first, unless a key was revoked.
    unknown.sort_by_key(|name| std::cmp::Reverse(serial(name)));
    let spare = if purged { 0 } else { keep.saturating_sub(recorded.former.len()) };
    for name in unknown.iter().skip(spare) {
        discard(&place.set, name)?;
    }
    Ok(())
}

/// The way out for what only its owner knows what to do with.
pub(super) fn foreign(entry: &Entry) -> io::Error {
    let name = entry.name.display();
    io::Error::other(format!(
        "{name} is a folder that somebody put in the place of a file while it was adopted; move it to where it belongs"
    ))
}

/// Out of sight by one rename, then removed.
fn discard(set: &Dir, name: &str) -> io::Result<()> {
    let trash = unique(".trash-");
    set.rename(OsStr::new(name), set, OsStr::new(&trash))?;
    set.remove_tree(OsStr::new(&trash))
}

/// The number a generation's name begins with.
fn serial(name: &str) -> Option<u64> {
    parse_generation(name).map(|(serial, _)| serial)
}

/// So many former versions of a set that only passes through are kept: as many as `keep` has where nothing is written.
const FORMER: usize = 2;

fn is_revoked(store: &Store<'_>, set: &SetName, digest: &Digest, revoked: &BTreeSet<KeyFingerprint>) -> bool {
    !revoked.is_empty() && store.load(set, digest).is_ok_and(|material| material.facts().has_key_of(revoked))
}

/// Versions that no install and no hold needs leave the store.
fn purge_store(apply: &Apply<'_>, surveyed: &Surveyed, swept: &BTreeSet<SetName>, applied: &mut Applied) {
    let store = Store::new(apply.state_dir, apply.at);
    let revoked = &apply.desired.revoked;
    for plan in surveyed.plan.sets.iter().filter(|set| set.result != Outcome::Unchanged || !revoked.is_empty() || swept.contains(&set.name))
    {
        let Some(known) = apply.state.sets.get(&plan.name) else { continue };
        // A version with a revoked key stays only where it is installed.
        let mut keep: BTreeSet<_> = (!known.facts.has_key_of(revoked)).then_some(known.digest).into_iter().collect();
        keep.extend(known.hold.iter().map(|hold| hold.at));
        keep.extend(apply.staged.get(&plan.name).map(|waiting| waiting.digest));
        if apply.state.installs_of(&plan.name).is_empty() {
            // It only passes through here: its former versions are kept for a rollback at the origin.
            let former = store.versions(&plan.name).into_iter().filter(|(digest, _)| !keep.contains(digest)).take(FORMER);
            let former: Vec<_> =
                former.map(|(digest, _)| digest).filter(|digest| !is_revoked(&store, &plan.name, digest, revoked)).collect();
            keep.extend(former);
        }
        for install in apply.state.installs_of(&plan.name) {
            keep.extend(install.current.iter().chain(&install.former).chain(&install.next).filter_map(|generation| generation.digest));
        }
        if let Err(error) = store.purge(&plan.name, &keep) {
            applied.warnings.push(error.to_string());
        }
    }
}
