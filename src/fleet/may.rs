//! Who may do what: derived from this host's copy of the spec, never from what a peer says (design, section 9).

use crate::base::{Error, ErrorKind, Result, ServerName, SetName, SshKeyId};
use crate::spec::Desired;
use crate::spec::fleet::{Delivery, Fleet, Server, Via};
use crate::state::{Offer, Standing};

/// What a peer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// The sets that are its own, or pass through it.
    Fetch,
    /// To say how it and the servers below it stand.
    Report,
    /// To bring sets.
    Push,
    /// That what was brought is applied.
    Apply,
    /// That this host fetches what is new.
    Trigger,
    /// What applying would do here.
    Plan,
}

impl Ask {
    fn words(self) -> &'static str {
        match self {
            Ask::Fetch => "fetch sets",
            Ask::Report => "report",
            Ask::Push => "bring sets",
            Ask::Apply => "ask for a run",
            Ask::Trigger => "signal",
            Ask::Plan => "ask for a plan",
        }
    }
}

/// What a peer is to this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kin {
    /// This host gets its sets from it.
    Upstream,
    /// It gets its sets from this host.
    Downstream,
}

/// A peer whose key is in the spec.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// As the spec has it.
    pub server: &'a Server,
    /// What it is to this host.
    pub kin: Kin,
}

fn refused(subject: &ServerName, cause: String) -> Error {
    Error::new(ErrorKind::Peer, subject.to_string(), cause)
}

/// Who holds `key`. Identity is the key: a server that was renamed in the spec and kept its key is the same.
///
/// # Errors
/// Kind `Peer`: the key is not in the spec, the name is that of another key's holder, or the server is neither directly above nor below.
pub fn identify<'a>(fleet: &'a Fleet, name: &ServerName, key: SshKeyId) -> Result<Known<'a>> {
    let holds = |server: &&Server| server.public_keys.iter().any(|known| known.id() == key);
    if let Some(server) = fleet.server(name)
        && !holds(&server)
    {
        return Err(refused(name, format!("the spec has another public_key for it than {key}")).hint(
            "after a rotation, put the new key into the spec here as well; certsync authorized-keys --write takes the old line out",
        ));
    }
    let Some(server) = fleet.servers.iter().find(holds) else {
        return Err(refused(name, format!("the key {key} is not in this host's spec"))
            .hint("see public_key of the server there; certsync authorized-keys --write takes lines of servers that left the spec out"));
    };
    if server.via != Via::Ssh {
        return Err(refused(&server.name, "is a host without certsync in this host's spec, which never logs in".to_owned())
            .hint("take `public_key` out of its entry, or `via` where it has certsync now"));
    }
    let is_among = |mut servers: Box<dyn Iterator<Item = &Server> + '_>| servers.any(|other| other.name == server.name);
    let kin = if is_among(Box::new(fleet.upstreams())) {
        Kin::Upstream
    } else if is_among(Box::new(fleet.downstreams())) {
        Kin::Downstream
    } else {
        let cause = format!("is neither an upstream of {} nor directly below it", fleet.me().name);
        return Err(refused(&server.name, cause).hint("see upstream: of both in the spec"));
    };
    Ok(Known { server, kin })
}

/// Whether `peer` may ask for this at all.
///
/// # Errors
/// Kind `Peer`, with the reason.
pub fn check(fleet: &Fleet, peer: Known<'_>, ask: Ask) -> Result<()> {
    let me = fleet.me();
    let refuse = |cause: String| Err(refused(&peer.server.name, format!("may not {}: {cause}", ask.words())));
    match (peer.kin, ask) {
        (Kin::Downstream, Ask::Fetch | Ask::Report) | (Kin::Upstream, Ask::Trigger | Ask::Plan) => Ok(()),
        (Kin::Upstream, Ask::Push | Ask::Apply) if me.delivery == Delivery::Push => Ok(()),
        (Kin::Upstream, Ask::Push | Ask::Apply) => {
            refuse(format!("delivery of {} is {} in this host's spec, not push", me.name, me.delivery))
        }
        (Kin::Upstream, Ask::Fetch | Ask::Report) => refuse(format!("it is an upstream of {}", me.name)),
        (Kin::Downstream, Ask::Push | Ask::Apply | Ask::Trigger | Ask::Plan) => {
            refuse(format!("it is below {}, and only an upstream may", me.name))
        }
    }
}

/// Whether this host passes `set` on to `peer`: it, or a server below it, is a target; and no key of it is known to others.
pub fn may_have(desired: &Desired, fleet: &Fleet, peer: &Server, set: &SetName, offer: &Offer) -> bool {
    let entry = offer.entry(set);
    // A set that has its own name in the spec by now is no longer the pattern's.
    let is_current = entry == set || !desired.sets.iter().any(|own| own.name == *set);
    is_current && fleet.is_entitled(&peer.name, entry) && !offer.is_revoked(&desired.revoked)
}

/// No server has more sets than this to tell of, nor hooks.
const MOST_TOLD: usize = 20_000;
/// Nor errors.
const MOST_ERRORS: usize = 1_000;

/// Whether `peer` may say this: of itself, or of one below it, and no more than there can be.
///
/// # Errors
/// Kind `Peer`.
pub fn may_say(fleet: &Fleet, peer: &Server, told: &Standing) -> Result<()> {
    let wrong = |cause: String| Err(Error::new(ErrorKind::Peer, peer.name.to_string(), cause));
    if peer.name != told.server && !fleet.is_below(&told.server, &peer.name) {
        return wrong(format!("may not report on {}: it is not below it in this host's spec", told.server));
    }
    if told.sets.len() > MOST_TOLD || told.hooks.len() > MOST_TOLD || told.errors.len() > MOST_ERRORS {
        return wrong(format!("reports more of {} than there can be", told.server));
    }
    Ok(())
}
