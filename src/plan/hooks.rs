//! Which hooks are due: decided from the state alone, so that `plan` and `apply` cannot differ.

use super::{Due, HookPlan, Phase};
use crate::base::{AbsPath, Error, ErrorKind, HookName, SetName};
use crate::spec::{DesiredSet, Hook};
use crate::state::{InstallState, State};
use std::collections::BTreeSet;

/// A place that a hook follows, with something installed.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The set.
    pub set: &'a DesiredSet,
    /// What the state knows of the place.
    pub recorded: &'a InstallState,
}

/// The places a hook follows where something is installed, in spec order.
pub fn places<'a>(hook: &HookName, sets: &'a [DesiredSet], state: &'a State) -> Vec<Place<'a>> {
    let mut found = Vec::new();
    for set in sets {
        for install in set.installs.iter().filter(|install| install.rest.hooks.contains(hook)) {
            if let Some(recorded) = state.install(&set.name, &install.dest)
                && recorded.current.is_some()
            {
                found.push(Place { set, recorded });
            }
        }
    }
    found
}

/// What is said of a version that a failing check took back, when it happens and for as long as it stays back.
pub fn returned_error(hook: &HookName, set: &SetName, dest: &AbsPath) -> Error {
    let cause = format!("its check fails with the new {set} and passes without it: {dest} is back at the former one");
    Error::new(ErrorKind::Hook, format!("hook {hook}"), cause)
        .hint("mend the set at its source; a changed set or spec is tried again by itself, --retry tries now")
}

/// Whether `run` (and `check` before it) is owed at this place.
pub fn owes_run(hook: &HookName, recorded: &InstallState) -> bool {
    let current = recorded.current.as_ref().map(|current| &current.name);
    current.is_some() && recorded.marks.get(hook).and_then(|mark| mark.run.as_ref()) != current
}

/// Whether `verify` is owed at this place.
pub fn owes_verify(hook: &Hook, recorded: &InstallState) -> bool {
    let current = recorded.current.as_ref().map(|current| &current.name);
    hook.verify.is_some() && current.is_some() && recorded.marks.get(&hook.name).and_then(|mark| mark.verify.as_ref()) != current
}

/// The hooks that are due for what `state` says is installed, in spec order; `changed` are the places of this plan
/// whose content changes.
pub fn due(hooks: &[Hook], sets: &[DesiredSet], state: &State, changed: &BTreeSet<(&SetName, &AbsPath)>) -> Vec<HookPlan> {
    hooks.iter().filter_map(|hook| one(hook, sets, state, changed)).collect()
}

fn one(hook: &Hook, sets: &[DesiredSet], state: &State, changed: &BTreeSet<(&SetName, &AbsPath)>) -> Option<HookPlan> {
    let mut plan = HookPlan { name: hook.name.clone(), due: Due::Owed, sets: Vec::new(), phases: Vec::new(), each: Vec::new() };
    let mut phases = BTreeSet::new();
    for place in places(&hook.name, sets, state) {
        let (run, verify) = (owes_run(&hook.name, place.recorded), owes_verify(hook, place.recorded));
        if !run && !verify {
            continue;
        }
        if plan.sets.last() != Some(&place.set.name) {
            plan.sets.push(place.set.name.clone());
        }
        if run {
            phases.extend(hook.check.as_ref().map(|_| Phase::Check));
            phases.extend(hook.run.as_ref().map(|_| Phase::Run));
            if hook.per_set && plan.each.last() != Some(&place.set.name) {
                plan.each.push(place.set.name.clone());
            }
        }
        if verify {
            phases.insert(Phase::Verify);
        }
        if changed.contains(&(&place.set.name, &place.recorded.dest)) {
            plan.due = Due::Change;
        }
    }
    plan.phases = phases.into_iter().collect();
    (!plan.sets.is_empty()).then_some(plan)
}
