//! The report: what `plan --format json` and `apply --format json` print (design, section 7).

use super::{Change, Due, HookPlan, InstallPlan, Outcome, Phase, Plan, Reason, SetPlan};
use crate::base::{AbsPath, Digest, Error, ErrorKind, HookName, SetName};
use crate::state::Level;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole answer of one run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The version of certsync.
    #[serde(deserialize_with = "crate::base::told::text")]
    pub certsync: String,
    /// This host's name in the spec, or null for a stand-alone host.
    #[serde(default, deserialize_with = "crate::base::told::option")]
    pub server: Option<String>,
    /// Whether anything changed (in a plan: would change).
    pub changed: bool,
    /// Whether anything failed.
    pub failed: bool,
    /// The sets, in spec order.
    pub sets: Vec<SetReport>,
    /// The hooks that ran (in a plan: would run), in that order.
    pub hooks: Vec<HookReport>,
    /// The hosts directly below, with `plan --remote` all below; always empty on a stand-alone host.
    pub servers: Vec<ServerReport>,
    /// What went wrong outside any set or hook.
    pub errors: Vec<Error>,
    /// What the operator should know though nothing failed.
    #[serde(deserialize_with = "crate::base::told::list")]
    pub warnings: Vec<String>,
}

/// One set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SetReport {
    /// Its name.
    pub name: SetName,
    /// The version it has (in a plan: would have).
    pub digest: Option<Digest>,
    /// What became of it.
    pub result: Outcome,
    /// Why.
    pub reason: Option<Reason>,
    /// Its places.
    pub installs: Vec<InstallReport>,
    /// Why it failed or was refused.
    pub error: Option<Error>,
    /// What the operator should know though nothing failed.
    #[serde(deserialize_with = "crate::base::told::list")]
    pub warnings: Vec<String>,
}

/// One place of a set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct InstallReport {
    /// The directory.
    pub dest: AbsPath,
    /// What became of it.
    pub result: Outcome,
    /// Whether it changed.
    pub changed: bool,
    /// Why.
    #[serde(skip)]
    pub reason: Option<Reason>,
    /// What changed, file by file, in order of execution.
    pub diff: Vec<Change>,
    /// Notes shown before the diff.
    #[serde(deserialize_with = "crate::base::told::list")]
    pub notes: Vec<String>,
    /// Why it failed.
    pub error: Option<Error>,
}

/// One part of one hook.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct HookReport {
    /// Its name.
    pub name: HookName,
    /// The set it ran for, where it runs once per set.
    pub set: Option<SetName>,
    /// Which part.
    pub phase: Phase,
    /// What became of it.
    pub result: HookResult,
    /// Exit status, where a command ran and ended.
    pub status: Option<i32>,
    /// Its output, bounded and printable, empty on success; where no command ran to its end, first a line that says why.
    #[serde(deserialize_with = "crate::base::told::lines")]
    pub output: String,
}

/// One host below: one that is served from here, with `plan --remote` any.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ServerReport {
    /// Its name.
    #[serde(deserialize_with = "crate::base::told::text")]
    pub name: String,
    /// What became of it.
    pub result: ServerResult,
    /// What it has of each set.
    pub sets: Vec<ServerSet>,
    /// The hooks that ran there.
    pub hooks: Vec<HookReport>,
    /// Why it failed.
    pub error: Option<Error>,
    /// How long it took.
    pub seconds: f64,
    /// With `plan --remote`: its own plan, in which `servers` is empty; nothing where it has told none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<Report>>,
}

/// What became of a host below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerResult {
    /// It had everything already and was not contacted.
    Unchanged,
    /// It has taken what it should have.
    Done,
    /// It was signalled, or will be reached by a later run.
    Waiting,
    /// It did not answer.
    Unreachable,
    /// It refused, or something failed there.
    Failed,
}

impl ServerResult {
    /// Whether it makes the run a failure.
    pub fn is_failure(self) -> bool {
        matches!(self, ServerResult::Unreachable | ServerResult::Failed)
    }
}

/// What a host below has of one set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ServerSet {
    /// The set.
    pub name: SetName,
    /// The version.
    pub digest: Digest,
    /// The origin's number for that version.
    pub revision: u64,
    /// What may be believed of it.
    pub level: Level,
}

/// What became of a hook's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookResult {
    /// It succeeded.
    Ok,
    /// It failed; it stays owed.
    Failed,
    /// It has not run and is owed. In a plan: owed from before, it would run.
    Owed,
    /// In a plan: it would run, since something changes.
    Due,
}

/// Whether a report tells what would be or what was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tense {
    /// What would be: the answer of `plan`.
    Plan,
    /// What was done: the answer of `apply` and its like.
    Done,
}

/// One failure, wherever in a report it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What failed.
    pub error: Error,
    /// What a failed hook printed; empty otherwise.
    pub output: String,
}

impl Report {
    /// An empty report of this build.
    pub fn new(server: Option<String>) -> Self {
        Report {
            certsync: env!("CARGO_PKG_VERSION").to_owned(),
            server,
            changed: false,
            failed: false,
            sets: Vec::new(),
            hooks: Vec::new(),
            servers: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// What `plan` would bring about.
    pub fn of_plan(plan: &Plan, server: Option<String>) -> Self {
        let mut report = Report::new(server);
        report.sets = plan.sets.iter().map(set_report).collect();
        report.hooks = plan.hooks.iter().flat_map(hook_reports).collect();
        report.settle(Tense::Plan);
        report
    }

    /// The report of a run that could not start.
    pub fn of_errors(errors: Vec<Error>) -> Self {
        let mut report = Report::new(None);
        report.errors = errors;
        report.failed = true;
        report
    }

    /// Works out `changed` and `failed` from the parts (the table at the end of the design's section 7).
    pub fn settle(&mut self, tense: Tense) {
        let installs = || self.sets.iter().flat_map(|set| &set.installs);
        let hook_changes = |hook: &HookReport| match tense {
            Tense::Plan => matches!(hook.result, HookResult::Due | HookResult::Owed),
            Tense::Done => matches!(hook.result, HookResult::Ok | HookResult::Failed) && hook.phase != Phase::Check,
        };
        let hook_fails = |hook: &HookReport| tense == Tense::Done && matches!(hook.result, HookResult::Failed | HookResult::Owed);
        self.changed = self.sets.iter().any(|set| set.result.is_change())
            || installs().any(|install| install.changed || install.result.is_change())
            || self.hooks.iter().any(hook_changes)
            || self.servers.iter().any(|server| server.result == ServerResult::Done);
        self.failed = !self.errors.is_empty()
            || self.sets.iter().any(|set| set.result.is_failure() || set.error.is_some())
            || installs().any(|install| install.result.is_failure() || install.error.is_some())
            || self.hooks.iter().any(hook_fails)
            || self.servers.iter().any(|server| server.result.is_failure());
    }

    /// Everything that failed, in the order of the report; the same error is told once.
    pub fn failures(&self) -> Vec<Failure> {
        let mut found: Vec<Failure> = Vec::new();
        let mut add = |error: &Error, output: &str| {
            if !found.iter().any(|failure| failure.error == *error && failure.output == output) {
                found.push(Failure { error: error.clone(), output: output.to_owned() });
            }
        };
        for set in &self.sets {
            set.error.iter().for_each(|error| add(error, ""));
            for install in &set.installs {
                install.error.iter().for_each(|error| add(error, ""));
            }
        }
        for hook in self.hooks.iter().filter(|hook| hook.result == HookResult::Failed) {
            let failure = hook.failure();
            add(&failure.error, &failure.output);
        }
        self.errors.iter().for_each(|error| add(error, ""));
        self.servers.iter().flat_map(|server| &server.error).for_each(|error| add(error, ""));
        found
    }
}

impl HookReport {
    /// A failed hook in the form of an error, with what it printed. Where no command ran to its end, the first line of the
    /// output tells why.
    fn failure(&self) -> Failure {
        let subject = match &self.set {
            Some(set) => format!("hook {} for {set}", self.name),
            None => format!("hook {}", self.name),
        };
        let phase = self.phase.word();
        let (cause, output) = match (self.status, self.output.split_once('\n')) {
            (Some(status), _) => (format!("{phase} failed with exit status {status}"), self.output.as_str()),
            (None, Some((why, rest))) if self.phase == Phase::Verify => (format!("verify failed: {why}"), rest),
            (None, Some((why, rest))) => (format!("{phase} {why}"), rest),
            (None, None) => (format!("{phase} failed"), self.output.as_str()),
        };
        Failure { error: Error::new(ErrorKind::Hook, subject, cause), output: output.to_owned() }
    }
}

impl Phase {
    /// As it is written in a spec.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Check => "check",
            Phase::Run => "run",
            Phase::Verify => "verify",
        }
    }
}

fn set_report(set: &SetPlan) -> SetReport {
    SetReport {
        name: set.name.clone(),
        digest: set.digest,
        result: set.result,
        reason: set.reason,
        installs: set.installs.iter().map(install_report).collect(),
        error: set.error.clone(),
        warnings: set.warnings.clone(),
    }
}

fn install_report(install: &InstallPlan) -> InstallReport {
    InstallReport {
        dest: install.dest.clone(),
        result: install.result,
        changed: install.result.is_change(),
        reason: install.reason,
        diff: install.changes.clone(),
        notes: install.notes.clone(),
        error: install.error.clone(),
    }
}

fn hook_reports(hook: &HookPlan) -> Vec<HookReport> {
    let result = match hook.due {
        Due::Change => HookResult::Due,
        Due::Owed => HookResult::Owed,
    };
    let report = |phase: Phase, set: Option<&SetName>| HookReport {
        name: hook.name.clone(),
        set: set.cloned(),
        phase,
        result,
        status: None,
        output: String::new(),
    };
    let mut reports = Vec::new();
    for phase in &hook.phases {
        match phase {
            Phase::Run if !hook.each.is_empty() => reports.extend(hook.each.iter().map(|set| report(*phase, Some(set)))),
            _ => reports.push(report(*phase, None)),
        }
    }
    reports
}
