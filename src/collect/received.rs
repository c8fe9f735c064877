//! Sets that came from the host above: are they this host's, are they not older than what it has seen, may they be used?

use super::read::refusal;
use crate::base::{Digest, Error, ErrorKind, Result, SetName};
use crate::collect::Accepted;
use crate::material::{Judging, Material, judge};
use crate::spec::{Accept, Desired, DesiredSet, SetSource};
use crate::state::{Offer, SetState, Spread, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One set as it came, its digest verified.
pub struct Received {
    /// Its name.
    pub set: SetName,
    /// The pattern that made it, if one did.
    pub pattern: Option<SetName>,
    /// The origin's number for this version.
    pub revision: u64,
    /// Whether it may be installed, or is to be kept for now.
    pub spread: Spread,
    /// What it consists of.
    pub material: Material,
}

/// What a run has received.
#[derive(Default)]
pub struct Incoming {
    /// Material that was accepted and is not in the store: `plan` keeps it here.
    pub unstored: BTreeMap<SetName, Arc<Material>>,
    /// Sets that have another version now.
    pub renewed: BTreeMap<SetName, Renewal>,
    /// Sets of which another version is kept now, until the origin gives its word.
    pub staged: BTreeMap<SetName, Renewal>,
    /// Sets that were refused, and why.
    pub refused: BTreeMap<SetName, Error>,
    /// Whether the host above has said what it has: then what is recorded is what it has.
    pub asked: Asked,
    /// Sets of which the copy here is what a master without certsync has.
    pub confirmed: BTreeSet<SetName>,
}

/// Whether a host above was asked and has answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Asked {
    /// It was not, or has not.
    #[default]
    No,
    /// It has.
    Yes,
}

/// What a received version was to this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The first of its set.
    First,
    /// Another one than before.
    Another,
    /// The one that is known already, under a higher revision.
    Renumbered,
}

/// This host's part of the set `name`, if it gets it from above.
pub fn expected(desired: &Desired, name: &SetName, pattern: Option<&SetName>) -> Result<DesiredSet> {
    let wrong = |cause: String| {
        Error::new(ErrorKind::Peer, name.to_string(), cause)
            .hint("do both hosts have the same spec? certsync validate and certsync spec tell what each has")
    };
    let own = desired.sets.iter().find(|set| set.name == *name);
    let set = match (own, pattern) {
        (Some(own), _) => Ok(own.clone()),
        (None, None) => Err(wrong("was brought, but is no set of this host's spec".into())),
        (None, Some(pattern)) => match desired.patterns.iter().find(|known| known.name == *pattern) {
            Some(known) => known.expand(name),
            None => Err(wrong(format!("was brought as one of {pattern}, which is no set of this host's spec"))),
        },
    }?;
    if set.source == SetSource::Upstream {
        Ok(set)
    } else {
        Err(wrong("was brought, but this host's spec has another source for it".into()))
    }
}

/// Judges what came from another host, under what this host's spec says of the set. What is older is told by the revision: a rollback at
/// the origin must come through.
///
/// # Errors
/// Kind `Judgement`.
pub fn judge_again(set: &DesiredSet, material: &Material, desired: &Desired, once: Option<&BTreeSet<Accept>>, now: i64) -> Result<()> {
    let mut accept = set.accept.clone();
    accept.extend(once.into_iter().flatten());
    let under = Judging { names: &set.names, accept: &accept, revoked: &desired.revoked, previous: None, now };
    judge(material, &under).map_err(|refusals| refusal(set, &refusals))
}

/// Whether what came may be kept until the origin gives its word; `waiting` is what is kept until now. Nothing where it is that, or what is
/// accepted already.
///
/// # Errors
/// As [`admit`].
pub fn keep_for_now(
    received: &Received,
    desired: &Desired,
    (state, waiting): (&State, Option<&Offer>),
    once: &Accepted,
    now: i64,
) -> Result<Option<(Offer, Renewal)>> {
    let set = expected(desired, &received.set, received.pattern.as_ref())?;
    let (digest, revision) = (received.material.digest(), received.revision);
    let known = state.sets.get(&received.set);
    let seen = known.map(|known| (known.revision, known.digest)).max(waiting.map(|waiting| (waiting.revision, waiting.digest)));
    not_replayed(&received.set, (revision, digest), seen)?;
    if seen == Some((revision, digest)) {
        return Ok(None);
    }
    judge_again(&set, &received.material, desired, once.get(&received.set), now)?;
    let offer = Offer::of((digest, revision), set.pattern.clone(), received.material.facts(), Spread::Staged);
    Ok(Some((offer, if known.is_none() { Renewal::First } else { Renewal::Another })))
}

/// What has a lower revision than the highest that was seen, or is another version under the same one, is refused.
fn not_replayed(name: &SetName, (revision, digest): (u64, Digest), seen: Option<(u64, Digest)>) -> Result<()> {
    let replay = |cause: String| {
        Err(Error::new(ErrorKind::Peer, name.to_string(), format!("refused: {cause}"))
            .hint("an old version was brought again, or the origin was restored from a backup: the next apply there goes on above"))
    };
    match seen {
        Some((seen, _)) if revision < seen => replay(format!("its revision {revision} is older than {seen}, which this host has seen")),
        Some((seen, known)) if revision == seen && known != digest => replay(format!("revision {revision} is another version here")),
        _ => Ok(()),
    }
}

/// Takes what came into `state`, where it may be used. The revision decides what is older: a lower one than the highest seen is refused.
///
/// # Errors
/// Kind `Peer`: it is not for this host, or older; kind `Judgement`: it was judged and may not be used.
pub fn admit(received: &Received, desired: &Desired, state: &mut State, once: &Accepted, now: i64) -> Result<Option<Renewal>> {
    let set = expected(desired, &received.set, received.pattern.as_ref())?;
    let (name, digest, revision) = (&received.set, received.material.digest(), received.revision);
    let known = state.sets.get(name);
    not_replayed(name, (revision, digest), known.map(|known| (known.revision, known.digest)))?;
    let judged = set.judged_hash(&desired.revoked);
    if let Some(known) = state.sets.get_mut(name).filter(|known| known.digest == digest && known.judged == judged) {
        known.pattern.clone_from(&set.pattern);
        let renumbered = known.revision != revision;
        known.revision = revision;
        return Ok(renumbered.then_some(Renewal::Renumbered));
    }
    judge_again(&set, &received.material, desired, once.get(name), now)?;
    let hold = state.sets.get(name).and_then(|known| known.hold.clone());
    let facts = Arc::clone(received.material.facts());
    let first = state.sets.insert(name.clone(), SetState { digest, revision, facts, judged, pattern: set.pattern.clone(), hold });
    Ok(Some(match first {
        None => Renewal::First,
        Some(known) if known.digest == digest => Renewal::Renumbered,
        Some(_) => Renewal::Another,
    }))
}
