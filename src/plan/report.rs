//! The report: what `plan --format json` and `apply --format json` print (design, section 7).

use super::{Change, Outcome, Phase, Reason};
use crate::base::{AbsPath, Digest, Error, HookName, SetName};
use schemars::JsonSchema;
use serde::Serialize;

/// The whole answer of one run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// The version of certsync.
    pub certsync: String,
    /// This host's name in the spec, or null for a stand-alone host.
    pub server: Option<String>,
    /// Whether anything changed (in a plan: would change).
    pub changed: bool,
    /// Whether anything failed.
    pub failed: bool,
    /// The sets, in spec order.
    pub sets: Vec<SetReport>,
    /// The hooks that ran (in a plan: would run), in that order.
    pub hooks: Vec<HookReport>,
    /// The hosts directly below; always empty on a stand-alone host.
    pub servers: [(); 0],
    /// What went wrong outside any set or hook.
    pub errors: Vec<Error>,
    /// What the operator should know though nothing failed.
    pub warnings: Vec<String>,
}

/// One set.
#[derive(Debug, Clone, Serialize, JsonSchema)]
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
    pub warnings: Vec<String>,
}

/// One place of a set.
#[derive(Debug, Clone, Serialize, JsonSchema)]
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
    pub notes: Vec<String>,
    /// Why it failed.
    pub error: Option<Error>,
}

/// One part of one hook.
#[derive(Debug, Clone, Serialize, JsonSchema)]
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
    /// Its output, bounded and printable; empty on success.
    pub output: String,
}

/// What became of a hook's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookResult {
    /// It succeeded.
    Ok,
    /// It failed; it stays owed.
    Failed,
    /// It has not run and is owed.
    Owed,
    /// In a plan: it would run.
    Due,
}
