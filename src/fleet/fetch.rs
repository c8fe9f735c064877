//! Fetching from the host above: one connection, only what is new there, and at the end how this host stands.

use super::due::hash_of;
use super::wire::{Hello, Link, Message, Offered, Version, Wire};
use crate::base::{Error, ErrorKind, Result, SetName};
use crate::collect::{Received, expected};
use crate::spec::fleet::Fleet;
use crate::spec::{Desired, Limits, SetSource};
use crate::state::{Offer, Offers, Spread, Standing};
use std::collections::BTreeMap;

/// A connection to the host above, the hellos said.
pub struct Upstream<L> {
    wire: Wire<L>,
}

/// What became of one set that the host above offers.
pub enum Came {
    /// It came, its digest verified.
    Set(Box<Received>),
    /// It is here already, and may be installed now.
    Released(Version),
    /// It did not come, and why.
    Not(SetName, Error),
}

/// What is new at the host above.
#[derive(Default)]
pub struct New {
    wanted: BTreeMap<SetName, Offered>,
    /// What is here, was kept until now, and may be installed.
    released: Vec<Version>,
    /// What is offered and is no set of this host's.
    strange: Vec<(SetName, Error)>,
}

/// What this host has of what comes from above, as it says so there.
fn have(desired: &Desired, present: &Offers) -> crate::base::ContentHash {
    let from_above = |set: &SetName, pattern: Option<&SetName>| match pattern {
        Some(pattern) => desired.patterns.iter().any(|known| known.name == *pattern && known.parent == SetSource::Upstream),
        None => desired.sets.iter().any(|known| known.name == *set && known.source == SetSource::Upstream),
    };
    let list = present.iter().filter(|(set, offer)| from_above(set, offer.pattern.as_ref()));
    hash_of(list)
}

impl<L: Link> Upstream<L> {
    /// Says hello.
    ///
    /// # Errors
    /// Kind `Upstream`, with the connection, which may know why.
    pub fn greet(mut wire: Wire<L>, fleet: &Fleet) -> std::result::Result<Upstream<L>, (Wire<L>, Error)> {
        match wire.greet(&Hello::of(&fleet.me, fleet.spec_hash)) {
            Ok(_) => Ok(Upstream { wire }),
            Err(error) => Err((wire, of_upstream(error))),
        }
    }

    /// The conversation.
    pub fn wire(&mut self) -> &mut Wire<L> {
        &mut self.wire
    }

    /// Asks for what is new there: nothing where this host has it all.
    ///
    /// # Errors
    /// Kind `Upstream`: the conversation broke, or nothing is offered to this host.
    pub fn ask(&mut self, desired: &Desired, fleet: &Fleet, present: &Offers) -> Result<Option<New>> {
        self.wire.send(&Message::Fetch { have: have(desired, present) }).map_err(of_upstream)?;
        let offered = match self.wire.must().map_err(of_upstream)? {
            Message::Offer { sets: None } => return Ok(None),
            Message::Offer { sets: Some(sets) } => sets,
            Message::Refused(why) => return Err(why.error(ErrorKind::Upstream, &fleet.me, fleet.spec_hash)),
            _ => return Err(of_upstream(self.wire.out_of_turn("an offer"))),
        };
        let mut new = New::default();
        for offer in offered {
            match news(desired, present, &offer) {
                Ok(News::Version) => drop(new.wanted.insert(offer.version.set.clone(), offer)),
                Ok(News::Word) => new.released.push(offer.version),
                Ok(News::None) => {}
                Err(error) => new.strange.push((offer.version.set, error)),
            }
        }
        if new.wanted.is_empty() && new.released.is_empty() && new.strange.is_empty() {
            self.wire.send(&Message::Want { sets: Vec::new() }).map_err(of_upstream)?;
            return match self.wire.must().map_err(of_upstream)? {
                Message::End => Ok(None),
                _ => Err(of_upstream(self.wire.out_of_turn("the end"))),
            };
        }
        Ok(Some(new))
    }

    /// Has what is new sent and gives each set to `take` as it comes, so that one at a time is in memory.
    ///
    /// # Errors
    /// Kind `Upstream`: the conversation broke; what came before stays.
    pub fn bring(&mut self, fleet: &Fleet, limits: &Limits, new: New, mut take: impl FnMut(Came)) -> Result<()> {
        let New { wanted: mut asked, released, strange } = new;
        released.into_iter().for_each(|version| take(Came::Released(version)));
        strange.into_iter().for_each(|(set, error)| take(Came::Not(set, error)));
        let sets: Vec<Version> = asked.values().map(|offer| offer.version.clone()).collect();
        self.wire.send(&Message::Want { sets }).map_err(of_upstream)?;
        while let Some(set) = self.wire.receive_set(limits).map_err(of_upstream)? {
            // The pattern is the offer's: with it the set was asked for.
            let Some(offer) = asked.remove(&set.version.set) else {
                return Err(of_upstream(self.wire.out_of_turn("a set that was asked for")));
            };
            take(match set.material {
                Ok(material) => {
                    let Version { set, revision, .. } = set.version;
                    Came::Set(Box::new(Received { set, pattern: offer.pattern, revision, spread: offer.spread, material }))
                }
                Err(why) => Came::Not(set.version.set, why.error(ErrorKind::Upstream, &fleet.me, fleet.spec_hash)),
            });
        }
        Ok(())
    }

    /// Says how this host and those below it stand.
    ///
    /// # Errors
    /// Kind `Upstream`.
    pub fn report(&mut self, servers: Vec<Standing>, fleet: &Fleet) -> Result<()> {
        for message in self.wire.report(servers) {
            self.wire.send(&message).map_err(of_upstream)?;
            match self.wire.must().map_err(of_upstream)? {
                Message::Noted => {}
                Message::Refused(why) => return Err(why.error(ErrorKind::Upstream, &fleet.me, fleet.spec_hash)),
                _ => return Err(of_upstream(self.wire.out_of_turn("an answer to the report"))),
            }
        }
        Ok(())
    }

    /// Ends the conversation in good order; what goes wrong then no longer matters.
    pub fn bye(mut self) {
        let _ = self.wire.send(&Message::Bye);
    }
}

/// What an offer is to this host.
enum News {
    /// It has that.
    None,
    /// Another version than it has, under the revision it has.
    Version,
    /// The version it keeps may be installed.
    Word,
}

fn news(desired: &Desired, present: &Offers, offer: &Offered) -> Result<News> {
    expected(desired, &offer.version.set, offer.pattern.as_ref())?;
    let same =
        |known: &&Offer| (known.digest, known.revision, &known.pattern) == (offer.version.digest, offer.version.revision, &offer.pattern);
    Ok(match present.of_set(&offer.version.set).filter(same) {
        None => News::Version,
        Some(known) if known.spread == Spread::Staged && offer.spread == Spread::Released => News::Word,
        Some(_) => News::None,
    })
}

fn of_upstream(error: Error) -> Error {
    Error { kind: ErrorKind::Upstream, ..error }
}
