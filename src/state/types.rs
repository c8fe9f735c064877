//! What certsync did last (`state.json`, design section 6). Never contents, never a secret.

use crate::base::{AbsPath, ContentHash, Digest, GenerationHash, HookName, RelPath, SetName};
use crate::material::SetFacts;
use crate::spec::Layout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The schema version this build writes and the highest it reads.
pub const STATE_VERSION: u32 = 1;

/// The whole of `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Schema version; a higher one than this build's is refused.
    pub version: u32,
    /// This host's name when the state was made; for the operator, believed by nobody.
    pub host: String,
    /// The spec this state directory serves.
    pub spec: AbsPath,
    /// What is known of each set.
    pub sets: BTreeMap<SetName, SetState>,
    /// Pattern sets that have matched at least once.
    pub patterns: BTreeSet<SetName>,
    /// Every place a set was put, sorted by (set, dest).
    pub installs: Vec<InstallState>,
    /// What was not read of the file.
    #[serde(skip)]
    pub(super) asleep: super::asleep::Asleep,
}

/// What is known of one set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetState {
    /// The version last accepted into the store.
    pub digest: Digest,
    /// Its revision: `max(last + 1, Unix milliseconds)` at each change.
    pub revision: u64,
    /// Facts of that version.
    pub facts: Arc<SetFacts>,
    /// Hash of what it was judged under: `names`, `accept`, `revoked_keys`.
    pub judged: ContentHash,
    /// The pattern that made it, if one did.
    pub pattern: Option<SetName>,
    /// Set by `rollback` until the source changes or `--release`.
    pub hold: Option<Hold>,
}

/// A set held back by `rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The version it is held at.
    pub at: Digest,
    /// The version of the source that it is held against; another one ends the hold.
    pub against: Digest,
    /// At the origin of a fleet: the revision under which the version it is held at is passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// What is known of one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstallState {
    /// The set.
    pub set: SetName,
    /// The directory.
    pub dest: AbsPath,
    /// How it shows its generation.
    pub layout: Layout,
    /// Device and inode of `dest`, where certsync made it.
    pub made: Option<Inode>,
    /// The generation in place.
    pub current: Option<GenerationState>,
    /// Former generations, newest first.
    pub former: Vec<GenerationState>,
    /// Written before the switch to it, taken away after: a kill in between is rolled forward.
    pub next: Option<GenerationState>,
    /// A version that a failing check took back, and under which spec.
    pub returned: Option<Returned>,
    /// Per hook, for which generation it last succeeded.
    pub marks: BTreeMap<HookName, Mark>,
}

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inode {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerationState {
    /// Its directory, `<serial>-<hash>`.
    pub name: String,
    /// Hash of its paths and contents.
    pub hash: GenerationHash,
    /// The version of the set it was made of; none for an adopted one.
    pub digest: Option<Digest>,
    /// Hash of what shaped it in the spec: `files`, `prune`.
    pub shaped: ContentHash,
    /// Facts of its certificates.
    pub facts: Arc<SetFacts>,
    /// Files carried over though the source no longer has them.
    pub carried: Vec<RelPath>,
    /// When it was put in place, Unix seconds.
    pub since: i64,
}

/// A version that a failing check took back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Returned {
    /// The version of the set.
    pub digest: Digest,
    /// Hash of the install and its hooks as the spec had them; another one is a new try.
    pub under: ContentHash,
    /// The hook whose check failed.
    pub hook: HookName,
}

/// For which generation a hook last succeeded. Absent: owed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Generation for which `run` succeeded.
    pub run: Option<String>,
    /// Generation for which `verify` succeeded.
    pub verify: Option<String>,
}

/// The number and the hash that a generation's name consists of; nothing where it is no such name.
pub fn parse_generation(name: &str) -> Option<(u64, &str)> {
    let (digits, hash) = name.split_once('-')?;
    let is_hash = hash.len() == 12 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash.then(|| digits.parse().ok()).flatten().map(|serial| (serial, hash))
}

impl State {
    /// What is known of the place `dest` of `set`.
    pub fn install(&self, set: &SetName, dest: &AbsPath) -> Option<&InstallState> {
        self.position(set, dest).ok().and_then(|at| self.installs.get(at))
    }

    /// Every place of `set`.
    pub fn installs_of(&self, set: &SetName) -> &[InstallState] {
        let start = self.installs.partition_point(|install| install.set < *set);
        let rest = self.installs.get(start..).unwrap_or_default();
        rest.get(..rest.partition_point(|install| install.set == *set)).unwrap_or_default()
    }

    /// What is known of the place `dest` of `set`, to change it.
    pub fn install_mut(&mut self, set: &SetName, dest: &AbsPath) -> Option<&mut InstallState> {
        let at = self.position(set, dest).ok()?;
        self.installs.get_mut(at)
    }

    /// The place's entry, made where there is none.
    pub fn install_entry(&mut self, set: &SetName, dest: &AbsPath, layout: Layout) -> &mut InstallState {
        let at = match self.position(set, dest) {
            Ok(at) => at,
            Err(at) => {
                self.installs.insert(
                    at,
                    InstallState {
                        set: set.clone(),
                        dest: dest.clone(),
                        layout,
                        made: None,
                        current: None,
                        former: Vec::new(),
                        next: None,
                        returned: None,
                        marks: BTreeMap::new(),
                    },
                );
                at
            }
        };
        &mut self.installs[at]
    }

    fn position(&self, set: &SetName, dest: &AbsPath) -> std::result::Result<usize, usize> {
        self.installs.binary_search_by(|install| (&install.set, &install.dest).cmp(&(set, dest)))
    }
}
