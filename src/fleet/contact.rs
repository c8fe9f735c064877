//! One conversation with a server below: bring what it lacks, have it applied, hear how it stands.

use super::due::Due;
use super::may::may_say;
use super::wire::{Hello, Link, Message, Offered, Refusal, Version, Waits, Wire};
use crate::base::{Error, ErrorKind, Result, SetName};
use crate::material::Material;
use crate::spec::fleet::{Delivery, Fleet};
use crate::state::{Spread, Standing};
use std::borrow::Borrow;

/// What a server below said.
#[derive(Debug)]
pub enum Said {
    /// How it, and those below it, stand.
    Stands(Vec<Standing>),
    /// It was signalled and fetches by itself.
    Signalled,
    /// It has what was brought and applies it when its next run comes.
    Later,
}

/// What a server is contacted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To have it get what it should have, as its delivery says.
    Deliver,
    /// To be told that there is something new (`certsync trigger`).
    Signal,
}

/// Whether the hosts below the server are waited for as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As far as the way of delivery tells: a host that is signalled is not waited for.
    Usual,
    /// Until the whole tree has it (`trigger --wait`).
    Tree,
}

/// What is said of a set that a server does not take.
#[derive(Debug)]
pub struct Unwanted {
    /// The set.
    pub set: SetName,
    /// Why.
    pub error: Error,
}

/// One conversation.
pub struct Contact<'a, L> {
    /// The connection.
    pub wire: Wire<L>,
    /// The fleet.
    pub fleet: &'a Fleet,
    /// The server, and what it should have.
    pub due: &'a Due<'a>,
    /// What for.
    pub purpose: Purpose,
    /// For whom it is waited.
    pub patience: Patience,
}

impl<L: Link> Contact<'_, L> {
    /// Does what the server's delivery says. `load` reads a version from the store.
    ///
    /// # Errors
    /// Kind `Peer`: the conversation broke, or the server refuses.
    pub fn run(&mut self, mut load: impl FnMut(&SetName) -> Result<Material>) -> Result<(Said, Vec<Unwanted>)> {
        self.wire.greet(&Hello::of(&self.fleet.me, self.fleet.spec_hash))?;
        let mut unwanted = Vec::new();
        let said = match (self.purpose, self.due.server.delivery) {
            (Purpose::Deliver, Delivery::Push) => {
                unwanted = self.push(&mut load)?;
                self.ask(&Message::Apply { wait: self.waits() })?
            }
            (Purpose::Signal, _) | (Purpose::Deliver, Delivery::Trigger | Delivery::Pull) => {
                let wait = (self.patience == Patience::Tree).then_some(Waits::Tree);
                self.ask(&Message::Trigger { wait })?
            }
        };
        let _ = self.wire.send(&Message::Bye);
        Ok((said, unwanted))
    }

    /// A push is answered when it is applied there; hosts below are waited for where there are any.
    fn waits(&self) -> Waits {
        let has_below = self.fleet.below(&self.due.server.name).next().is_some();
        if has_below || self.patience == Patience::Tree { Waits::Tree } else { Waits::Own }
    }

    fn refused(&self, why: &Refusal) -> Error {
        why.error(ErrorKind::Peer, &self.due.server.name, self.fleet.spec_hash)
    }

    fn push(&mut self, load: &mut impl FnMut(&SetName) -> Result<Material>) -> Result<Vec<Unwanted>> {
        let unwanted = bring(&mut self.wire, (self.fleet, self.due), |sets| Message::Push { sets }, load)?;
        match self.wire.must()? {
            Message::Received => Ok(unwanted),
            Message::Refused(why) => Err(self.refused(&why)),
            _ => Err(self.wire.out_of_turn("that the sets have come")),
        }
    }

    fn ask(&mut self, message: &Message) -> Result<Said> {
        self.wire.send(message)?;
        match self.wire.must()? {
            Message::Report { servers } => self.heard(servers),
            Message::ReportPart { servers, .. } => {
                let most = self.fleet.below(&self.due.server.name).count() + 1;
                let all = self.wire.rest_of_report(servers, most)?;
                self.heard(all)
            }
            Message::Triggered => Ok(Said::Signalled),
            Message::Later => Ok(Said::Later),
            Message::Refused(why) => Err(self.refused(&why)),
            _ => Err(self.wire.out_of_turn("how it stands")),
        }
    }

    /// A server speaks of itself and of those below it, and of nobody else.
    fn heard(&mut self, servers: Vec<Standing>) -> Result<Said> {
        servers.iter().try_for_each(|told| may_say(self.fleet, self.due.server, told))?;
        Ok(Said::Stands(servers))
    }
}

/// Offers with a message of `begin` what the server should have, and sends what it then wants.
///
/// # Errors
/// Kind `Peer`: the conversation broke, or the server refuses.
pub fn bring<L: Link, M: Borrow<Material>>(
    wire: &mut Wire<L>,
    (fleet, due): (&Fleet, &Due<'_>),
    begin: impl FnOnce(Vec<Offered>) -> Message,
    load: &mut impl FnMut(&SetName) -> Result<M>,
) -> Result<Vec<Unwanted>> {
    let refused = |why: &Refusal| why.error(ErrorKind::Peer, &due.server.name, fleet.spec_hash);
    let knows = wire.knows_parts_and_stages();
    let (offered, too_new): (Vec<_>, Vec<_>) = due.wanted.offers.iter().partition(|(_, offer)| knows || offer.spread == Spread::Released);
    wire.send(&begin(offered.iter().map(|(set, offer)| Offered::of(set, offer)).collect()))?;
    let (sets, unwanted) = match wire.must()? {
        Message::Wanted { sets, unwanted } => (sets, unwanted),
        Message::Refused(why) => return Err(refused(&why)),
        _ => return Err(wire.out_of_turn("which of the sets are wanted")),
    };
    let any = !sets.is_empty();
    for version in sets {
        let Some((set, offer)) = offered.iter().find(|(set, _)| **set == version.set) else {
            return Err(wire.out_of_turn("a set that was offered"));
        };
        let own = Version { set: (*set).clone(), digest: offer.digest, revision: offer.revision };
        match load(set) {
            Ok(material) => wire.send_set(&own, offer.pattern.as_ref(), material.borrow())?,
            Err(error) => wire.send_without(&own, &Refusal::of(&error, fleet.spec_hash))?,
        }
    }
    if any {
        wire.send(&Message::End)?;
    }
    let cannot = |set: &SetName| {
        let cause = format!("{set}: its certsync would install it at once, and rollout says stage: all");
        Unwanted {
            set: set.clone(),
            error: Error::new(ErrorKind::Peer, due.server.name.to_string(), cause).hint("update certsync on that host"),
        }
    };
    let unwanted = unwanted.into_iter().map(|(set, why)| Unwanted { set, error: refused(&why) });
    Ok(unwanted.chain(too_new.iter().map(|(set, _)| cannot(set))).collect())
}
