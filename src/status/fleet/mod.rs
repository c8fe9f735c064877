//! How every server below stands: the answer of `certsync status --fleet`.

mod health;
mod prometheus;
mod table;
#[cfg(test)]
mod tests;

pub use health::verdict;
pub use prometheus::prometheus;
pub use table::table;

use crate::base::{Digest, Error, KeyFingerprint, ServerName, SetName, printable_json};
use crate::spec::fleet::{Delivery, Fleet, Server, Via};
use crate::state::{HookStanding, Level, Offers, Peer, SetStanding, Trouble};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FleetStatus {
    /// The version of certsync.
    pub certsync: String,
    /// This host's name in the spec.
    pub server: ServerName,
    /// When this was looked at, Unix seconds.
    pub now: i64,
    /// How long what a server said is believed, seconds.
    pub stale_after: i64,
    /// Every server below this one, in spec order.
    pub servers: Vec<ServerStatus>,
    /// What could not be read.
    pub errors: Vec<Error>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ServerStatus {
    /// Its name in the spec.
    pub name: ServerName,
    /// How sets come to it.
    pub delivery: Delivery,
    /// It has no certsync: of what is done there with what was brought nothing can be known.
    pub without_certsync: bool,
    /// The version of certsync there, as it said.
    pub certsync: Option<String>,
    /// When it was last heard of, itself or through the host between, Unix seconds.
    pub last_contact: Option<i64>,
    /// When it said what is told here of it, by its own clock, Unix seconds.
    pub reported: Option<i64>,
    /// It should have something, and what is known of it is older than `stale_after`, or nothing is known.
    pub stale: bool,
    /// What went wrong when it was last contacted.
    pub trouble: Option<Trouble>,
    /// Every set that it should have or says it has, by name.
    pub sets: Vec<FleetSet>,
    /// Its hooks that failed or are owed.
    pub hooks: Vec<HookStanding>,
    /// What went wrong there outside any set.
    pub errors: Vec<String>,
}

/// One set on one server.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FleetSet {
    /// The set.
    pub set: SetName,
    /// The version it has.
    pub digest: Option<Digest>,
    /// The origin's number for that version.
    pub revision: Option<u64>,
    /// What may be believed of it.
    pub level: Option<Level>,
    /// Since when it has been so, Unix seconds.
    pub since: Option<i64>,
    /// End of validity, Unix seconds.
    pub not_after: Option<i64>,
    /// Whole days until then; negative once it is over.
    pub days_left: Option<i64>,
    /// The version it should have.
    pub wanted: Option<Digest>,
    /// What it has of what it should have.
    pub has: Has,
    /// A revoked key is in use there.
    pub revoked: bool,
    /// Why it was refused, or failed.
    pub error: Option<String>,
}

/// What a server has of what it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Has {
    /// All of it.
    All,
    /// The version, but it is not in use there yet, or its hooks have not succeeded.
    Unfinished,
    /// Another version.
    Other,
    /// It has never said that it has any.
    Nothing,
    /// It has something that nobody below this host should have from here.
    Surplus,
}

/// Everything the answer is made of.
pub struct FleetInputs<'a> {
    /// The fleet as this host sees it.
    pub fleet: &'a Fleet,
    /// The present version of every set.
    pub offers: &'a Offers,
    /// The revoked keys of the spec.
    pub revoked: &'a BTreeSet<KeyFingerprint>,
    /// What is known of the servers below.
    pub known: &'a BTreeMap<ServerName, Peer>,
    /// Unix seconds.
    pub now: i64,
    /// What could not be read.
    pub errors: Vec<Error>,
}

/// Puts the answer together; pure.
pub fn fleet_status_of(inputs: FleetInputs<'_>) -> FleetStatus {
    let stale_after = i64::try_from(inputs.fleet.settings.stale_after.as_secs()).unwrap_or(i64::MAX);
    let servers = inputs.fleet.below(&inputs.fleet.me).map(|server| server_status(server, stale_after, &inputs)).collect();
    FleetStatus {
        certsync: env!("CARGO_PKG_VERSION").to_owned(),
        server: inputs.fleet.me.clone(),
        now: inputs.now,
        stale_after,
        servers,
        errors: inputs.errors,
    }
}

fn server_status(server: &Server, stale_after: i64, inputs: &FleetInputs<'_>) -> ServerStatus {
    let known = inputs.known.get(&server.name);
    let standing = known.and_then(|known| known.standing.as_ref());
    let mut sets: BTreeMap<&SetName, FleetSet> = BTreeMap::new();
    for (name, offer) in inputs.offers.iter() {
        // A set with a revoked key is not passed on.
        if inputs.fleet.is_entitled(&server.name, offer.entry(name)) && !offer.is_revoked(inputs.revoked) {
            sets.insert(name, FleetSet { wanted: Some(offer.digest), ..nothing_of(name) });
        }
    }
    let is_due = !sets.is_empty();
    for (name, said) in standing.iter().flat_map(|standing| &standing.sets) {
        let wanted = sets.get(name).and_then(|set| set.wanted);
        sets.insert(name, set_status(server, name, said, (wanted, inputs)));
    }
    let last_contact = known.and_then(|known| known.contact);
    let reported = standing.map(|standing| standing.at);
    // A host between passes on what it was told however old that is; and a signal that was heard is no answer yet.
    let heard = last_contact.zip(reported).map(|(contact, reported)| contact.min(reported));
    ServerStatus {
        name: server.name.clone(),
        delivery: server.delivery,
        without_certsync: server.via != Via::Ssh,
        certsync: standing.map(|standing| standing.certsync.clone()).filter(|version| !version.is_empty()),
        last_contact,
        reported,
        stale: is_due && heard.is_none_or(|heard| inputs.now.saturating_sub(heard) > stale_after),
        trouble: known.and_then(|known| known.trouble.clone()),
        sets: sets.into_values().collect(),
        hooks: standing.map(|standing| standing.hooks.clone()).unwrap_or_default(),
        errors: standing.map(|standing| standing.errors.clone()).unwrap_or_default(),
    }
}

fn nothing_of(set: &SetName) -> FleetSet {
    FleetSet {
        set: set.clone(),
        digest: None,
        revision: None,
        level: None,
        since: None,
        not_after: None,
        days_left: None,
        wanted: None,
        has: Has::Nothing,
        revoked: false,
        error: None,
    }
}

fn set_status(server: &Server, set: &SetName, said: &SetStanding, (wanted, inputs): (Option<Digest>, &FleetInputs<'_>)) -> FleetSet {
    let offer = inputs.offers.of_set(set);
    // What it said of its keys; and where it said nothing of them, what is known of that version here.
    let is_known_revoked = offer.is_some_and(|offer| offer.digest == said.digest && offer.is_revoked(inputs.revoked));
    let is_in_use = said.keys.iter().any(|key| inputs.revoked.contains(key));
    // Of a host without certsync no more can be known than that it is there.
    let is_all = said.level.is_final() || (said.level == Level::Stored && server.via != Via::Ssh);
    let has = match wanted {
        None => Has::Surplus,
        Some(_) if said.level == Level::Held => Has::All,
        Some(wanted) if wanted != said.digest => Has::Other,
        Some(_) if is_all => Has::All,
        Some(_) => Has::Unfinished,
    };
    FleetSet {
        digest: Some(said.digest),
        revision: Some(said.revision),
        level: Some(said.level),
        since: Some(said.since),
        not_after: said.not_after,
        days_left: said.not_after.map(|end| end.saturating_sub(inputs.now).div_euclid(86_400)),
        wanted,
        has,
        revoked: is_in_use || (said.keys.is_empty() && is_known_revoked),
        error: said.error.clone(),
        ..nothing_of(set)
    }
}

/// The answer as data, with a final line break.
pub fn json(status: &FleetStatus) -> String {
    let mut out = printable_json(&serde_json::to_string_pretty(status).unwrap_or_default());
    out.push('\n');
    out
}
