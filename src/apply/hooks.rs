//! Step 11 of apply: all checks, then all runs, then all verifies, in spec order.
//!
//! A failing check takes back what was switched since its hook last succeeded, and is asked again together with every
//! check that shares those installs. They pass: the material is to blame, and the installs stay back. They fail again: something
//! else is broken, and the installs go forward again. Either way the hook has failed for this run and stays owed or is rerun for the
//! former generation.

mod call;
mod turn_back;

use super::{Applied, Apply};
use crate::base::{AbsPath, HookName, SetName};
use crate::plan::{HookReport, HookResult, Phase, owes_run, owes_verify, places};
use crate::spec::{DesiredSet, Hook};
use crate::survey::Surveyed;
use call::{Answer, ask, command, verify};
use std::collections::BTreeSet;
use turn_back::{Verdict, turn_back};

/// One place of one hook, by name: what borrows nothing.
type Spot = (SetName, AbsPath);

pub(super) fn run(apply: &mut Apply<'_>, sets: &[DesiredSet], surveyed: &mut Surveyed, applied: &mut Applied) {
    let hooks = apply.desired.hooks.clone();
    let owed: Vec<&Hook> = hooks.iter().filter(|hook| !owed_run(apply, sets, &hook.name).is_empty()).collect();
    let mut blocked: BTreeSet<HookName> = BTreeSet::new();
    let mut failed_checks = Vec::new();
    for hook in owed.iter().filter(|hook| hook.check.is_some()) {
        let answer = check(apply, sets, hook, applied);
        if answer != Answer::Ok {
            blocked.insert(hook.name.clone());
        }
        if answer == Answer::Failed {
            failed_checks.push(*hook);
        }
    }
    let mut settled = BTreeSet::new();
    for hook in failed_checks {
        if settled.contains(&hook.name) {
            continue;
        }
        let turned = turn_back(apply, sets, surveyed, &hooks, hook, applied);
        if turned.verdict == Verdict::MaterialIsToBlame {
            blocked.retain(|name| *name != hook.name && !turned.settled.contains(name));
        }
        settled.extend(turned.settled);
    }
    for hook in &hooks {
        if blocked.contains(&hook.name) {
            stays_owed(hook, Phase::Run, applied);
        } else {
            runs(apply, sets, hook, applied);
        }
    }
    for hook in hooks.iter().filter(|hook| hook.verify.is_some()) {
        if owed_run(apply, sets, &hook.name).is_empty() {
            verifies(apply, sets, hook, applied);
        } else {
            stays_owed(hook, Phase::Verify, applied);
        }
    }
}

/// A part whose turn has not come, since the one before it failed.
fn stays_owed(hook: &Hook, phase: Phase, applied: &mut Applied) {
    if phase == Phase::Verify || hook.run.is_some() {
        applied.hooks.push(report(hook, None, phase, HookResult::Owed));
    }
}

/// The places for which `run` is owed.
fn owed_run(apply: &Apply<'_>, sets: &[DesiredSet], hook: &HookName) -> Vec<Spot> {
    places(hook, sets, apply.state)
        .into_iter()
        .filter(|place| owes_run(hook, place.recorded))
        .map(|place| (place.set.name.clone(), place.recorded.dest.clone()))
        .collect()
}

fn check(apply: &mut Apply<'_>, sets: &[DesiredSet], hook: &Hook, applied: &mut Applied) -> Answer {
    let Some(check) = &hook.check else { return Answer::Ok };
    apply.progress.step(hook.name.as_str());
    let spots = owed_run(apply, sets, &hook.name);
    let (answer, report) = ask(hook, None, Phase::Check, || command(apply, sets, hook, check, &spots, None));
    applied.hooks.push(report);
    answer
}

fn runs(apply: &mut Apply<'_>, sets: &[DesiredSet], hook: &Hook, applied: &mut Applied) {
    let spots = owed_run(apply, sets, &hook.name);
    if spots.is_empty() {
        return;
    }
    apply.progress.step(hook.name.as_str());
    let Some(run) = &hook.run else {
        mark(apply, hook, Phase::Run, &spots, applied);
        return;
    };
    if !hook.per_set {
        let (answer, report) = ask(hook, None, Phase::Run, || command(apply, sets, hook, run, &spots, None));
        applied.hooks.push(report);
        if answer == Answer::Ok {
            mark(apply, hook, Phase::Run, &spots, applied);
        }
        return;
    }
    let names: BTreeSet<&SetName> = spots.iter().map(|(set, _)| set).collect();
    for set in sets.iter().filter(|set| names.contains(&set.name)) {
        let of_set: Vec<Spot> = spots.iter().filter(|(name, _)| *name == set.name).cloned().collect();
        let (answer, report) = ask(hook, Some(&set.name), Phase::Run, || command(apply, sets, hook, run, &of_set, Some(set)));
        applied.hooks.push(report);
        if answer == Answer::Ok {
            mark(apply, hook, Phase::Run, &of_set, applied);
        }
    }
}

fn verifies(apply: &mut Apply<'_>, sets: &[DesiredSet], hook: &Hook, applied: &mut Applied) {
    let Some(question) = &hook.verify else { return };
    let spots: Vec<Spot> = places(&hook.name, sets, apply.state)
        .into_iter()
        .filter(|place| owes_verify(hook, place.recorded))
        .map(|place| (place.set.name.clone(), place.recorded.dest.clone()))
        .collect();
    if spots.is_empty() {
        return;
    }
    apply.progress.step(hook.name.as_str());
    let leaves: Vec<_> = places(&hook.name, sets, apply.state)
        .into_iter()
        .filter_map(|place| place.recorded.current.as_ref())
        .flat_map(|current| current.facts.leaves.iter().cloned())
        .collect();
    let (answer, report) = ask(hook, None, Phase::Verify, || verify(question, &leaves, hook.timeout));
    applied.hooks.push(report);
    if answer == Answer::Ok {
        mark(apply, hook, Phase::Verify, &spots, applied);
    }
}

/// A success is durably recorded before anything else happens.
fn mark(apply: &mut Apply<'_>, hook: &Hook, phase: Phase, spots: &[Spot], applied: &mut Applied) {
    for (set, dest) in spots {
        let Some(recorded) = apply.state.install_mut(set, dest) else { continue };
        let name = recorded.current.as_ref().map(|current| current.name.clone());
        let mark = recorded.marks.entry(hook.name.clone()).or_default();
        match phase {
            Phase::Check | Phase::Run => mark.run = name,
            Phase::Verify => mark.verify = name,
        }
    }
    if let Err(error) = apply.save() {
        applied.errors.push(error);
    }
}

/// The report of one part of a hook.
fn report(hook: &Hook, set: Option<&SetName>, phase: Phase, result: HookResult) -> HookReport {
    HookReport { name: hook.name.clone(), set: set.cloned(), phase, result, status: None, output: String::new() }
}
