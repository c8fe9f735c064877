//! What a failing check sets off.

use super::call::Answer;
use super::{Spot, check, owed_run};
use crate::apply::switch::{self, Flush, Replace, Showing};
use crate::apply::{Applied, Apply, place};
use crate::base::{Error, ErrorKind, HookName, Result};
use crate::plan::{Outcome, Reason, go_back, owes_run, places, promote, returned_error};
use crate::spec::{DesiredInstall, DesiredSet, Hook, Layout, under_hash};
use crate::state::{GenerationState, Returned};
use crate::survey::Surveyed;
use std::collections::BTreeSet;

/// Who is to blame for a failing check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What was just installed: it stays back.
    MaterialIsToBlame,
    /// Something else: what was installed stays.
    SomethingElse,
}

/// An install that was taken back, and the generation it was taken back from.
struct Taken<'a> {
    set: &'a DesiredSet,
    install: &'a DesiredInstall,
    rejected: GenerationState,
}

/// What came of a turn back, and which hooks have nothing more to ask after it.
pub(super) struct Turned {
    pub verdict: Verdict,
    pub settled: BTreeSet<HookName>,
}

/// Takes back what was switched since `hook` last succeeded, and asks again.
pub(super) fn turn_back(
    apply: &mut Apply<'_>,
    sets: &[DesiredSet],
    surveyed: &mut Surveyed,
    hooks: &[Hook],
    hook: &Hook,
    applied: &mut Applied,
) -> Turned {
    let spots = owed_run(apply, sets, &hook.name);
    let mut taken = Vec::new();
    for spot in spots.iter().filter(|spot| !is_repair(surveyed, spot)) {
        match take_back(apply, sets, spot) {
            Ok(Some(one)) => taken.push(one),
            Ok(None) => {}
            Err(error) => applied.errors.push(error),
        }
    }
    if taken.is_empty() {
        return Turned { verdict: Verdict::SomethingElse, settled: BTreeSet::new() };
    }
    let sharing = sharing(apply, sets, hooks, &taken);
    let mut all_pass = true;
    for hook in hooks.iter().filter(|hook| sharing.contains(&hook.name)) {
        all_pass &= check(apply, sets, hook, applied) == Answer::Ok;
    }
    if all_pass {
        for one in &taken {
            stay_back(apply, surveyed, hooks, hook, one);
        }
        if let Err(error) = apply.save() {
            applied.errors.push(error);
        }
        return Turned { verdict: Verdict::MaterialIsToBlame, settled: sharing };
    }
    for one in taken {
        if let Err(error) = go_forward(apply, one) {
            applied.errors.push(error);
        }
    }
    applied.warnings.push(format!(
        "the check of hook {} fails with the former certificates too: something else is broken; the new ones stay, the hook stays owed",
        hook.name
    ));
    // A hook of no other place would be answered the same.
    let settled = sharing.into_iter().filter(|name| owed_run(apply, sets, name).iter().all(|spot| spots.contains(spot))).collect();
    Turned { verdict: Verdict::SomethingElse, settled }
}

/// Whether this run has only put back what was installed: then the version before it is not what was there.
fn is_repair(surveyed: &Surveyed, (set, dest): &Spot) -> bool {
    let installs = surveyed.plan.sets.iter().filter(|plan| plan.name == *set).flat_map(|plan| &plan.installs);
    installs.filter(|plan| plan.dest == *dest).any(|plan| plan.reason == Some(Reason::Drift))
}

/// The hook itself and every other with a check at one of the places taken back.
fn sharing(apply: &Apply<'_>, sets: &[DesiredSet], hooks: &[Hook], taken: &[Taken<'_>]) -> BTreeSet<HookName> {
    let touches = |hook: &Hook| {
        places(&hook.name, sets, apply.state).iter().any(|place| {
            owes_run(&hook.name, place.recorded)
                && taken.iter().any(|one| one.set.name == place.set.name && one.install.dest == place.recorded.dest)
        })
    };
    hooks.iter().filter(|hook| hook.check.is_some() && touches(hook)).map(|hook| hook.name.clone()).collect()
}

fn take_back<'a>(apply: &mut Apply<'_>, sets: &'a [DesiredSet], (name, dest): &Spot) -> Result<Option<Taken<'a>>> {
    let Some(set) = sets.iter().find(|set| set.name == *name) else { return Ok(None) };
    let Some(install) = set.installs.iter().find(|install| install.dest == *dest) else { return Ok(None) };
    let revoked = &apply.desired.revoked;
    let Some(recorded) = apply.state.install_mut(name, dest) else { return Ok(None) };
    let place = place::open(dest, name)?;
    if let Some(next) = &recorded.next {
        // Its switch failed: what was in place still is, unless only what follows the switch has failed.
        if switch::current(&place).as_ref() != Some(&next.name) {
            return Ok(None);
        }
        promote(recorded);
    }
    let Some(former) = recorded.former.first().cloned() else { return Ok(None) };
    if former.facts.has_key_of(revoked) {
        return Ok(None);
    }
    if place.set.find_dir(std::ffi::OsStr::new(&former.name)).ok().flatten().is_none() {
        return Ok(None);
    }
    let Some(current) = recorded.current.clone() else { return Ok(None) };
    // Announced like any other switch: a kill or an error from here on is rolled forward to the former generation by the next run.
    recorded.marks.clear();
    recorded.next = Some(former.clone());
    if let Err(error) = apply.save() {
        if let Some(recorded) = apply.state.install_mut(name, dest) {
            recorded.next = None;
        }
        return Err(error);
    }
    show(&place, set, install, &current.name, &former.name)?;
    let Some(recorded) = apply.state.install_mut(name, dest) else { return Ok(None) };
    Ok(go_back(recorded).map(|rejected| Taken { set, install, rejected }))
}

/// The former generation is in place again: its names are there, and those that only the other one had are not.
fn show(place: &place::Place, set: &DesiredSet, install: &DesiredInstall, from: &str, to: &str) -> Result<()> {
    let wrong = |e: std::io::Error| Error::io(ErrorKind::Install, &install.dest, &e);
    let (before, after) = (switch::files_of(place, from).map_err(wrong)?, switch::files_of(place, to).map_err(wrong)?);
    let showing = Showing { set: &set.name, install, generation: to, flush: Flush::Each };
    if install.rest.layout == Layout::Generations {
        let missing: Vec<_> = after.iter().filter(|path| !before.contains(path)).cloned().collect();
        switch::publish(place, showing, &missing, Replace::Any)?;
    }
    switch::switch(place, to).and_then(|()| place.set.sync()).map_err(wrong)?;
    if install.rest.layout == Layout::Flat {
        switch::publish(place, showing, &after, Replace::Any)?;
    }
    for path in before.iter().filter(|path| !after.contains(path)) {
        switch::unpublish(place, path).map_err(wrong)?;
    }
    Ok(())
}

fn stay_back(apply: &mut Apply<'_>, surveyed: &mut Surveyed, hooks: &[Hook], hook: &Hook, one: &Taken<'_>) {
    if let (Some(recorded), Some(digest)) = (apply.state.install_mut(&one.set.name, &one.install.dest), one.rejected.digest) {
        recorded.returned = Some(Returned { digest, under: under_hash(one.install, hooks), hook: hook.name.clone() });
    }
    for set in surveyed.plan.sets.iter_mut().filter(|set| set.name == one.set.name) {
        for plan in set.installs.iter_mut().filter(|plan| plan.dest == one.install.dest) {
            plan.result = Outcome::RolledBack;
            plan.error = Some(returned_error(&hook.name, &set.name, &plan.dest));
        }
    }
}

fn go_forward(apply: &mut Apply<'_>, one: Taken<'_>) -> Result<()> {
    let place = place::open(&one.install.dest, &one.set.name)?;
    let Some(recorded) = apply.state.install_mut(&one.set.name, &one.install.dest) else { return Ok(()) };
    let from = recorded.current.as_ref().map(|current| current.name.clone()).unwrap_or_default();
    let to = one.rejected.name.clone();
    recorded.next = Some(one.rejected);
    apply.save()?;
    show(&place, one.set, one.install, &from, &to)?;
    apply.state.install_mut(&one.set.name, &one.install.dest).map(promote);
    apply.save()
}
