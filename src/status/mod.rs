//! What is installed here, how long it lasts and what is owed: the answer of `certsync status`.

pub mod fleet;
mod health;
mod prometheus;
mod table;

pub use health::{Health, Thresholds, Verdict, verdict};
pub use prometheus::prometheus;
pub use table::table;

use crate::base::{AbsPath, Digest, Error, HookName, KeyFingerprint, SetName, printable_json};
use crate::plan::{Outcome, owes_run, owes_verify};
use crate::spec::{DesiredSet, Hook};
use crate::state::{GenerationState, InstallState, State};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StatusReport {
    /// The version of certsync.
    pub certsync: String,
    /// This host's name in the spec, or null for a stand-alone host.
    pub server: Option<String>,
    /// When this was looked at, Unix seconds.
    pub now: i64,
    /// When `apply` last ran to its end, Unix seconds.
    pub last_run: Option<i64>,
    /// When it last did so without a failure, Unix seconds.
    pub last_success: Option<i64>,
    /// Whether the last run ended with a failure.
    pub last_run_failed: bool,
    /// Every place of every set, in spec order, orphans last.
    pub installs: Vec<InstallStatus>,
    /// What stands in the way of a run.
    pub errors: Vec<Error>,
}

/// One place of one set.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct InstallStatus {
    /// The set.
    pub set: SetName,
    /// The directory.
    pub dest: AbsPath,
    /// What `plan` says about it now, where it was asked.
    pub result: Option<Outcome>,
    /// The version in place; null where nothing is, or where it was adopted.
    pub digest: Option<Digest>,
    /// The generation in place.
    pub generation: Option<String>,
    /// Names of the leaves, each once.
    pub names: Vec<String>,
    /// The earliest end of validity of the leaves, Unix seconds.
    pub not_after: Option<i64>,
    /// Whole days until then; negative once it is over.
    pub days_left: Option<i64>,
    /// Since when this generation is in place, Unix seconds.
    pub since: Option<i64>,
    /// The hooks that follow a change here.
    pub hooks: Vec<HookStatus>,
    /// Whether the host differs from what was installed.
    pub drift: Drift,
    /// No longer in the spec; its files stay.
    pub orphaned: bool,
    /// A run is at work here, or was cut off: the next `apply` finishes it.
    pub unfinished: bool,
    /// Held by `rollback`.
    pub held: bool,
    /// A failing check took a newer version back.
    pub returned: bool,
    /// A revoked key is in use.
    pub revoked: bool,
    /// Why the set or this place of it fails.
    pub error: Option<Error>,
}

/// One hook at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HookStatus {
    /// Its name.
    pub name: HookName,
    /// Whether it is owed.
    pub owed: Owed,
}

/// Whether a hook is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Owed {
    /// It has succeeded for what is installed.
    No,
    /// All of it.
    Run,
    /// Only `verify`.
    Verify,
}

/// Whether the host differs from what was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// It could not be looked at.
    Unknown,
}

/// What was seen of one place without changing anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What `plan` says about it.
    pub result: Option<Outcome>,
    /// Whether it drifted.
    pub drift: Drift,
    /// What stands in the way.
    pub error: Option<Error>,
}

/// Everything beside the state that status is made of.
pub struct Inputs<'a> {
    /// This host's name in the spec.
    pub server: Option<String>,
    /// Unix seconds.
    pub now: i64,
    /// Modification time of `last-run`, Unix nanoseconds: a run can fail in the second in which another succeeded.
    pub last_run: Option<i128>,
    /// Modification time of `last-success`, Unix nanoseconds.
    pub last_success: Option<i128>,
    /// The sets that belong here, patterns already opened.
    pub sets: &'a [DesiredSet],
    /// The hooks of the spec.
    pub hooks: &'a [Hook],
    /// The revoked keys of the spec.
    pub revoked: &'a BTreeSet<KeyFingerprint>,
    /// What was seen at a place.
    pub seen: &'a dyn Fn(&SetName, &AbsPath) -> Seen,
    /// What stands in the way of a run.
    pub errors: Vec<Error>,
}

/// Puts the answer together; pure.
pub fn status_of(state: &State, inputs: Inputs<'_>) -> StatusReport {
    let mut installs = Vec::new();
    let mut told: BTreeSet<(&SetName, &AbsPath)> = BTreeSet::new();
    for set in inputs.sets {
        for install in &set.installs {
            told.insert((&set.name, &install.dest));
            let known = state.install(&set.name, &install.dest);
            let hooks = inputs.hooks.iter().filter(|hook| install.rest.hooks.contains(&hook.name));
            let hooks = hooks.map(|hook| HookStatus { name: hook.name.clone(), owed: owed(hook, known) }).collect();
            installs.push(install_status(&set.name, &install.dest, known, Membership::Wanted(hooks), (state, &inputs)));
        }
    }
    for known in &state.installs {
        if !told.contains(&(&known.set, &known.dest)) {
            installs.push(install_status(&known.set, &known.dest, Some(known), Membership::Orphaned, (state, &inputs)));
        }
    }
    StatusReport {
        certsync: env!("CARGO_PKG_VERSION").to_owned(),
        server: inputs.server,
        now: inputs.now,
        last_run: inputs.last_run.map(seconds),
        last_success: inputs.last_success.map(seconds),
        last_run_failed: inputs.last_run > inputs.last_success,
        installs,
        errors: inputs.errors,
    }
}

fn seconds(nanoseconds: i128) -> i64 {
    i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or(i64::MAX)
}

/// Whether a place still belongs to the spec, and then with which hooks.
enum Membership {
    Wanted(Vec<HookStatus>),
    Orphaned,
}

fn install_status(
    set: &SetName,
    dest: &AbsPath,
    known: Option<&InstallState>,
    membership: Membership,
    (state, inputs): (&State, &Inputs<'_>),
) -> InstallStatus {
    // A first install that was cut off has been announced, and is most likely what services read already.
    let current = known.and_then(|known| known.current.as_ref().or(known.next.as_ref()));
    let not_after = current.and_then(|current| current.facts.not_after());
    let (hooks, orphaned) = match membership {
        Membership::Wanted(hooks) => (hooks, false),
        Membership::Orphaned => (Vec::new(), true),
    };
    let seen =
        if orphaned { Seen { result: Some(Outcome::Orphaned), drift: Drift::Unknown, error: None } } else { (inputs.seen)(set, dest) };
    InstallStatus {
        set: set.clone(),
        dest: dest.clone(),
        result: seen.result,
        digest: current.and_then(|current| current.digest),
        generation: current.map(|current| current.name.clone()),
        names: current.map(names).unwrap_or_default(),
        not_after,
        days_left: not_after.map(|end| end.saturating_sub(inputs.now).div_euclid(86_400)),
        since: current.map(|current| current.since),
        hooks,
        drift: seen.drift,
        orphaned,
        unfinished: known.is_some_and(|known| known.next.is_some()),
        held: !orphaned && state.sets.get(set).is_some_and(|set| set.hold.is_some()),
        returned: known.is_some_and(|known| known.returned.is_some()),
        revoked: current.is_some_and(|current| current.facts.has_key_of(inputs.revoked)),
        error: seen.error,
    }
}

fn names(current: &GenerationState) -> Vec<String> {
    let names: BTreeSet<&String> = current.facts.leaves.iter().flat_map(|leaf| &leaf.names).collect();
    names.into_iter().cloned().collect()
}

fn owed(hook: &Hook, known: Option<&InstallState>) -> Owed {
    match known {
        Some(known) if owes_run(&hook.name, known) => Owed::Run,
        Some(known) if owes_verify(hook, known) => Owed::Verify,
        _ => Owed::No,
    }
}

impl InstallStatus {
    /// The hooks that are owed.
    pub fn owed(&self) -> impl Iterator<Item = &HookStatus> {
        self.hooks.iter().filter(|hook| hook.owed != Owed::No)
    }
}

/// The answer as data, with a final line break.
pub fn json(status: &StatusReport) -> String {
    let mut out = printable_json(&serde_json::to_string_pretty(status).unwrap_or_default());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests;
