//! The plan: an ordered value, shown by `plan` and run by `apply`.

use crate::base::{AbsPath, Digest, Error, HookName, Mode, RelPath, SetName};
use crate::observe::Rights;
use crate::state::{GenerationState, Inode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What would be, or what became, of a set or an install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing to do.
    Unchanged,
    /// Kept where `rollback` put it.
    Held,
    /// Nothing received yet.
    Waiting,
    /// No longer in the spec; its files stay.
    Orphaned,
    /// A new version is, or would be, in place.
    Installed,
    /// Drift was, or would be, repaired.
    Repaired,
    /// In the store, not switched yet.
    Staged,
    /// Judgement refused it.
    Refused,
    /// A failing check took it back.
    RolledBack,
    /// It could not be done.
    Failed,
}

impl Outcome {
    /// Whether it makes the run a failure.
    pub fn is_failure(self) -> bool {
        matches!(self, Outcome::Refused | Outcome::RolledBack | Outcome::Failed)
    }
    /// Whether it is a change.
    pub fn is_change(self) -> bool {
        matches!(self, Outcome::Installed | Outcome::Repaired | Outcome::Staged)
    }
}

/// Why something is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The source changed.
    Renewed,
    /// It was not there before.
    New,
    /// The host was changed by somebody else.
    Drift,
    /// The spec changed.
    Spec,
    /// A hook is owed.
    Hook,
    /// A rollback was asked for.
    Rollback,
}

/// Everything one run will do.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The sets in order of execution.
    pub sets: Vec<SetPlan>,
    /// The hooks that are due after them, in spec order.
    pub hooks: Vec<HookPlan>,
}

/// What happens to one set.
#[derive(Debug, Clone)]
pub struct SetPlan {
    /// Its name.
    pub name: SetName,
    /// The version it should have, where it is known.
    pub digest: Option<Digest>,
    /// What would become of it: the weightiest of its installs' outcomes, or its own.
    pub result: Outcome,
    /// Why.
    pub reason: Option<Reason>,
    /// Its installs.
    pub installs: Vec<InstallPlan>,
    /// What went wrong before anything was touched.
    pub error: Option<Error>,
    /// What the operator should know though nothing failed.
    pub warnings: Vec<String>,
}

/// What happens at one `dest`.
#[derive(Debug, Clone)]
pub struct InstallPlan {
    /// The directory.
    pub dest: AbsPath,
    /// What would become of it.
    pub result: Outcome,
    /// Why.
    pub reason: Option<Reason>,
    /// Shown before the diff, e.g. that an existing directory keeps its mode.
    pub notes: Vec<String>,
    /// The diff, in order of execution.
    pub changes: Vec<Change>,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// What stands in the way at this `dest`.
    pub error: Option<Error>,
    /// The generation to be built and switched to.
    pub next: Option<NextGeneration>,
    /// What is in place and only has to be recorded, where the state does not know it (yet).
    pub record: Option<GenerationState>,
    /// Whether a reader of `dest` reads other bytes afterwards.
    pub content: ContentChange,
    /// Whether a killed run left something to sweep there.
    pub leftovers: bool,
    /// Which directory was looked at, where there is one: work is done in no other.
    pub inode: Option<Inode>,
    /// Whether somebody changed the generation in place, so that nothing may ever go back to it.
    pub spoiled: bool,
    /// The generation that carried files are read from.
    pub carry_from: Option<String>,
    /// With whose rights.
    pub carry_with: Rights,
}

impl InstallPlan {
    /// A plan that does nothing at `dest`.
    pub fn untouched(dest: &AbsPath, result: Outcome) -> InstallPlan {
        InstallPlan {
            dest: dest.clone(),
            result,
            reason: None,
            notes: Vec::new(),
            changes: Vec::new(),
            steps: Vec::new(),
            error: None,
            next: None,
            record: None,
            content: ContentChange::Same,
            leftovers: false,
            inode: None,
            spoiled: false,
            carry_from: None,
            carry_with: Rights::Owners,
        }
    }

    /// Whether nothing (more) can be done here. A version that was taken back is an error too, but the one that is in
    /// place instead is looked after.
    pub fn is_stopped(&self) -> bool {
        self.error.is_some() && self.result != Outcome::RolledBack
    }
}

/// The generation an install gets.
#[derive(Debug, Clone)]
pub struct NextGeneration {
    /// What the state records of it.
    pub state: GenerationState,
    /// Every file, sorted by path.
    pub files: Vec<PlannedFile>,
}

/// Whether a reader of `dest` reads other bytes afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentChange {
    /// No byte changes: the hooks' marks move along, none is owed.
    Same,
    /// At least one byte changes: every hook of the install is owed.
    Different,
}

/// One file of a generation to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Where in the generation and in `dest`.
    pub path: RelPath,
    /// SHA-256 of its content.
    pub sha256: crate::base::ContentHash,
    /// Its mode.
    pub mode: Mode,
    /// Where its bytes come from.
    pub from: FileSource,
}

/// Where a file's bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSource {
    /// Rendered from the set's material.
    Material,
    /// Carried over from the current generation, since the source no longer has it.
    Carried,
    /// What stands at its name in `dest` now (adoption).
    Dest,
}

/// One thing to do at a `dest`, in the order of section 5 of the design.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make `dest`, what is missing above it, and certsync's own folder with its `owner` file.
    MakeDest,
    /// Give certsync's own folders in `dest` their mode back.
    MendFolders,
    /// Give an existing `dest` its owner, group and mode, and take away its ACLs.
    AdjustDest {
        /// User and group id.
        owner: (u32, u32),
        /// Mode.
        mode: Mode,
    },
    /// Make what is there already the first generation, and exchange each name for its link.
    Adopt {
        /// What the state records of the generation that holds what was there.
        generation: Box<GenerationState>,
        /// Its files.
        files: Vec<PlannedFile>,
    },
    /// Exchange each of these files, which hold what the generation in place holds, for its link.
    Convert(Vec<PlannedFile>),
    /// Build the next generation beside the current one.
    Stage,
    /// Make the link `dest/<file>` where nothing stands.
    Publish(RelPath),
    /// Point `current` at the next generation.
    Switch,
    /// Put the link (for `flat`: the file) in the place of whatever stands at `dest/<file>`.
    Replace(RelPath),
    /// Remove `dest/<file>`, pruned.
    Unpublish(RelPath),
}

/// One entry of the diff: a file of `dest`, or `.` for `dest` itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Relative to `dest`.
    #[serde(deserialize_with = "crate::base::told::text")]
    pub path: String,
    /// As it is, in printable lines; nothing where it is not there.
    #[serde(default, deserialize_with = "crate::base::told::optional_lines")]
    pub before: Option<String>,
    /// As it would be.
    #[serde(default, deserialize_with = "crate::base::told::optional_lines")]
    pub after: Option<String>,
}

/// A hook that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookPlan {
    /// Its name.
    pub name: HookName,
    /// `Due` because of a change in this plan, `Owed` from before.
    pub due: Due,
    /// The sets it is due for.
    pub sets: Vec<SetName>,
    /// Which of its parts are due.
    pub phases: Vec<Phase>,
    /// The sets for each of which `run` runs by itself (`per_set`).
    pub each: Vec<SetName>,
}

/// Why a hook will run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A change in this plan.
    Change,
    /// It has not succeeded for what is installed.
    Owed,
}

/// A part of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Is the configuration right?
    Check,
    /// Take the new files.
    Run,
    /// Is the new certificate served?
    Verify,
}
