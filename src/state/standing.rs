//! How a server stands: what it has of each set, as it says itself and as its upstream may believe of it.

use crate::base::{ContentHash, Digest, HookName, KeyFingerprint, ServerName, SetName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its name.
    pub server: ServerName,
    /// When it said so, Unix seconds.
    pub at: i64,
    /// Its version of certsync.
    #[serde(deserialize_with = "crate::base::told::text")]
    pub certsync: String,
    /// Hash of its spec.
    pub spec: ContentHash,
    /// What it has of each set that ends there or passes through.
    pub sets: BTreeMap<SetName, SetStanding>,
    /// Hooks that failed there, or are owed.
    pub hooks: Vec<HookStanding>,
    /// What went wrong there outside any set.
    #[serde(deserialize_with = "crate::base::told::list")]
    pub errors: Vec<String>,
}

/// The servers of a report in parts, none longer than `longest` bytes as JSON unless one server alone is; at least one part, in their order.
pub fn in_parts(servers: Vec<Standing>, longest: usize) -> Vec<Vec<Standing>> {
    let mut parts = vec![Vec::new()];
    let mut length = 0;
    for server in servers {
        // What cannot be measured cannot be sent either, and is told there.
        let own = serde_json::to_vec(&server).map_or(0, |json| json.len() + 1);
        if length > 0 && length + own > longest {
            parts.push(Vec::new());
            length = 0;
        }
        length += own;
        if let Some(last) = parts.last_mut() {
            last.push(server);
        }
    }
    parts
}

/// What a server has of one set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetStanding {
    /// The version.
    pub digest: Digest,
    /// The origin's number for that version.
    pub revision: u64,
    /// What may be believed of it.
    pub level: Level,
    /// Since when it has been so, Unix seconds.
    pub since: i64,
    /// Start of its first leaf, Unix seconds.
    pub not_before: Option<i64>,
    /// End of its first leaf, Unix seconds.
    pub not_after: Option<i64>,
    /// Why it was refused, or failed.
    #[serde(default, deserialize_with = "crate::base::told::option")]
    pub error: Option<String>,
    /// The private keys that are installed there, whatever version they are of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyFingerprint>,
}

/// What an upstream may believe of a set on a host below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Failed there.
    Failed,
    /// Refused there.
    Refused,
    /// Verified and on disk.
    Stored,
    /// Observed equal.
    Installed,
    /// Kept where a rollback put it.
    Held,
    /// The hooks have succeeded as well.
    Done,
}

impl Level {
    /// Whether nothing is left to be done there.
    pub fn is_final(self) -> bool {
        matches!(self, Level::Done | Level::Held)
    }
}

/// A hook that is not content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookStanding {
    /// Its name.
    pub name: HookName,
    /// The set, where it runs once for each.
    pub set: Option<SetName>,
    /// What became of it when it last ran: the last line it printed, or why it could not be started. Empty where it has not run yet.
    #[serde(deserialize_with = "crate::base::told::text")]
    pub last: String,
}
