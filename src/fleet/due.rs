//! Which servers below are to be contacted: those that have not acknowledged what they should have.

use super::may::may_have;
use super::wire::Version;
use crate::base::{ContentHash, Error, ErrorKind, Result, ServerName, SetName};
use crate::spec::Desired;
use crate::spec::fleet::{Delivery, Fleet, Server, Via};
use crate::state::{Index, Level, Offer, Offers, Peer, Spread};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Whether acknowledgements are believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Belief {
    #[default]
    /// Those that are not older than `stale_after`.
    Acknowledged,
    /// None: everybody is asked (`--refresh`).
    Nothing,
}

/// Which of the servers below are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Limit {
    /// All.
    #[default]
    All,
    /// These (`--limit`).
    Only(BTreeSet<ServerName>),
}

impl Limit {
    /// Whether this one is meant.
    pub fn has(&self, server: &ServerName) -> bool {
        match self {
            Limit::All => true,
            Limit::Only(names) => names.contains(server),
        }
    }
}

/// The server of a name that somebody has typed, where it is directly below this host.
///
/// # Errors
/// Kind `Usage`: it is not. Otherwise the name would be obeyed without a word, as if that server had everything.
pub fn directly_below<'a>(fleet: &'a Fleet, name: &ServerName) -> Result<&'a Server> {
    let wrong = |cause: &str| Error::new(ErrorKind::Usage, name.to_string(), cause);
    match fleet.downstreams().find(|server| server.name == *name) {
        Some(server) => Ok(server),
        None if fleet.is_below(name, &fleet.me) => {
            Err(wrong("gets its sets from another host").hint("name the one directly below this host that leads to it"))
        }
        None => Err(wrong("is not below this host in the spec")),
    }
}

/// What a server should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Each set with its present version, by name.
    pub offers: Vec<(&'a SetName, &'a Offer)>,
    /// Hash of the list.
    pub hash: ContentHash,
}

/// What `peer` should have of what there is: what it may have, by name.
pub fn wanted<'a>(desired: &Desired, fleet: &Fleet, peer: &Server, offers: &'a Offers) -> Wanted<'a> {
    // Who cannot be told when to switch gets nothing before it may.
    let can_wait = |offer: &Offer| offer.spread == Spread::Released || peer.via == Via::Ssh;
    let list: Vec<_> = offers.iter().filter(|(set, offer)| can_wait(offer) && may_have(desired, fleet, peer, set, offer)).collect();
    let hash = hash_of(list.iter().copied());
    Wanted { offers: list, hash }
}

/// Hash of a list of sets with their versions, in order of their names: two hosts with the same one have the same.
pub fn hash_of<'a>(list: impl IntoIterator<Item = (&'a SetName, &'a Offer)>) -> ContentHash {
    let mut hash = Sha256::new().chain_update(b"certsync sets 1\0");
    for (set, offer) in list {
        // No name holds a control character.
        hash.update(set.as_str().as_bytes());
        hash.update([0]);
        hash.update(offer.pattern.as_ref().map_or("", SetName::as_str).as_bytes());
        hash.update([0]);
        hash.update(offer.digest.as_bytes());
        hash.update(offer.revision.to_be_bytes());
        // To have a version and to be allowed to use it are two things. No name begins so.
        if offer.spread == Spread::Staged {
            hash.update(b"\0staged");
        }
    }
    ContentHash::from_bytes(hash.finalize().into())
}

/// The servers directly below that this host serves itself: those it pushes to or signals.
pub fn served(fleet: &Fleet) -> impl Iterator<Item = &Server> {
    fleet.downstreams().filter(|server| server.delivery != Delivery::Pull)
}

/// A server that is to be contacted.
#[derive(Debug, Clone)]
pub struct Due<'a> {
    /// The server.
    pub server: &'a Server,
    /// What it should have.
    pub wanted: Wanted<'a>,
}

/// The servers to be contacted, in spec order, and those in step.
pub fn due<'a>(
    (desired, fleet, offers): (&Desired, &'a Fleet, &'a Offers),
    index: &Index,
    now: i64,
    (belief, limit): (Belief, &Limit),
) -> (Vec<Due<'a>>, Vec<&'a Server>) {
    let stale = i64::try_from(fleet.settings.stale_after.as_secs()).unwrap_or(i64::MAX);
    let (mut due, mut in_step) = (Vec::new(), Vec::new());
    for server in served(fleet).filter(|server| limit.has(&server.name)) {
        let wanted = wanted(desired, fleet, server, offers);
        let is_fresh = |at: i64| now >= at && now - at < stale;
        let known = index.get(&server.name).filter(|known| known.wanted == wanted.hash && is_fresh(known.at));
        match known {
            Some(_) if belief == Belief::Acknowledged => in_step.push(server),
            // Nothing for it passes through here, and nothing ever did: there is nothing to ask.
            _ if wanted.offers.is_empty() && belief == Belief::Acknowledged => in_step.push(server),
            _ => due.push(Due { server, wanted }),
        }
    }
    (due, in_step)
}

/// Whether what is known of a server says that it has everything it should have, and that nothing is left to be done there. A host
/// without certsync can say no more than that the material is there.
pub fn is_in_step(server: &Server, wanted: &Wanted<'_>, peer: &Peer) -> bool {
    wanted.offers.iter().all(|(set, offer)| is_set_in_step(server, set, offer, peer))
}

/// The same of one set.
pub fn is_set_in_step(server: &Server, set: &SetName, offer: &Offer, peer: &Peer) -> bool {
    let Some(level) = peer.level(set, &offer.digest, offer.revision) else { return false };
    match offer.spread {
        Spread::Released => level.is_final() || (level == Level::Stored && server.via != Via::Ssh),
        Spread::Staged => !matches!(level, Level::Failed | Level::Refused),
    }
}

/// The same list as versions.
pub fn versions(wanted: &Wanted<'_>) -> BTreeMap<SetName, Version> {
    let version = |set: &SetName, offer: &Offer| Version { set: set.clone(), digest: offer.digest, revision: offer.revision };
    wanted.offers.iter().map(|(set, offer)| ((*set).clone(), version(set, offer))).collect()
}
