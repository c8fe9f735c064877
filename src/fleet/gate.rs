//! The far end of a connection: answers one peer, whose key the forced command names, and does only what this host's spec allows it.
//!
//! The gate need not be root. It reads the spec and the store, and writes the inbox; whoever holds the run lock takes what lies there.

use super::due::wanted;
use super::may::{Ask, Kin, Known, check, may_have, may_say};
use super::runner::{Asked, Runner};
use super::wire::{CameSet, Hello, Link, Message, Offered, Refusal, Version, Waits, Wire};
use crate::base::{AbsPath, Error, ErrorKind, Result, ServerName, SetName, SshKeyId};
use crate::collect::expected;
use crate::host::{Dir, clock};
use crate::material::Material;
use crate::spec::Desired;
use crate::spec::fleet::Fleet;
use crate::state::inbox::{From, Inbox, Told, Wanted, What, new_id};
use crate::state::turn::will_be_served;
use crate::state::{Offer, Offers, Spread, Standing, Store, share};
use std::collections::BTreeSet;
use std::time::Duration;

/// A peer that goes on may be silent this long: its hooks run while the connection waits for its report.
const EACH: Duration = Duration::from_secs(15 * 60);

/// How many sets a peer may bring that this host does not want, before it is told to stop.
const MOST_REPORTED: usize = 100_000;
/// The longest plan of one server: some thousand sets that are all new.
const LARGEST_PLAN: u64 = 8 << 20;
/// The longest of many.
const LARGEST_PLANS: u64 = 128 << 20;

/// What a peer offers, as far as this host has it.
struct Sorted {
    /// It has not.
    wanted: Vec<Version>,
    /// What is to be known of what comes, for whoever takes it.
    brought: Message,
    /// Sets that are not for this host, and why.
    unwanted: Vec<(SetName, Refusal)>,
    /// Whether there is anything to be taken.
    any: bool,
}

/// What the gate works with.
pub struct Gate<'a> {
    /// This host's part of the spec.
    pub desired: &'a Desired,
    /// The fleet's.
    pub fleet: &'a Fleet,
    /// The state directory, and where it is.
    pub dir: &'a Dir,
    /// Where it is.
    pub at: &'a AbsPath,
    /// The peer.
    pub peer: Known<'a>,
    /// Its key.
    pub key: SshKeyId,
    /// Who runs apply.
    pub runner: &'a Runner,
}

impl Gate<'_> {
    /// Answers until the peer is done. What is refused is told to the peer, and the conversation goes on.
    ///
    /// # Errors
    /// Kind `Peer`: the connection broke, or the peer does not keep to the protocol.
    pub fn serve<L: Link>(&self, wire: &mut Wire<L>) -> Result<()> {
        wire.greet_back(&Hello::of(&self.fleet.me, self.fleet.spec_hash))?;
        wire.link().wait_each(EACH);
        loop {
            let Some(message) = wire.hear()? else { return Ok(()) };
            tracing::debug!(peer = %self.peer.server.name, request = message.name(), "asked");
            let answered = match message {
                Message::Bye => return Ok(()),
                Message::Fetch { have } => self.fetch(wire, have),
                Message::Report { servers } => self.report(wire, None, servers),
                Message::ReportPart { number, servers } => self.report(wire, Some(number), servers),
                Message::Push { sets } => self.push(wire, sets),
                Message::Apply { wait } => self.apply(wire, if wait == Waits::Tree { What::ApplyTree } else { What::Apply }),
                Message::Trigger { wait: Some(_) } => self.apply(wire, What::TriggerTree),
                Message::Trigger { wait: None } => self.trigger(wire),
                Message::Plan { sets, below } => self.plan(wire, sets, below),
                other => Err(Error::new(ErrorKind::Usage, other.name(), "is not asked of a gate")),
            };
            match answered {
                Ok(()) => {}
                // The conversation itself is broken.
                Err(error) if wire.is_broken() => return Err(error),
                Err(error) => {
                    tracing::warn!(peer = %self.peer.server.name, "refused: {error}");
                    wire.send(&Message::Refused(Refusal::of(&error, self.fleet.spec_hash)))?;
                }
            }
        }
    }

    fn from(&self) -> From {
        From { peer: self.peer.server.name.clone(), key: self.key }
    }

    /// The inbox. A gate that runs as the owner of the state directory makes it, so that a new host can be served before it ever ran apply.
    fn inbox(&self) -> Result<Inbox<'_>> {
        if let Some(inbox) = Inbox::open(self.dir)? {
            return Ok(inbox);
        }
        if self.runner.is_ours() {
            share(self.dir, self.at, self.fleet.settings.gate_group.as_ref().map(|(_, id)| *id))?;
        }
        Inbox::open(self.dir)?.ok_or_else(|| {
            Error::new(ErrorKind::State, self.at.to_string(), "has no inbox yet").hint("run certsync apply on that host once")
        })
    }

    /// Offers what the peer should have, if it has not got all of it, and sends what it then wants.
    fn fetch<L: Link>(&self, wire: &mut Wire<L>, have: crate::base::ContentHash) -> Result<()> {
        check(self.fleet, self.peer, Ask::Fetch)?;
        let offers = Offers::load(self.dir, self.at)?;
        let wanted = wanted(self.desired, self.fleet, self.peer.server, &offers);
        if wanted.hash == have {
            return wire.send(&Message::Offer { sets: None });
        }
        // A certsync that does not know what it is to wait for would install it at once.
        let knows = |offer: &Offer| offer.spread == Spread::Released || wire.knows_parts_and_stages();
        let sets = wanted.offers.iter().filter(|(_, offer)| knows(offer)).map(|(set, offer)| Offered::of(set, offer));
        let sets = sets.collect();
        wire.send(&Message::Offer { sets: Some(sets) })?;
        let Message::Want { sets } = wire.must()? else { return Err(wire.out_of_turn("want")) };
        let store = Store::new(self.dir, self.at);
        for version in sets {
            let offer = offers.of_set(&version.set).filter(|offer| {
                may_have(self.desired, self.fleet, self.peer.server, &version.set, offer) && offer.digest == version.digest
            });
            let Some(offer) = offer else {
                let cause = format!("is nothing that {} may have", self.peer.server.name);
                let error = Error::new(ErrorKind::Peer, version.set.to_string(), cause);
                wire.send_without(&version, &Refusal::of(&error, self.fleet.spec_hash))?;
                continue;
            };
            match store.load(&version.set, &offer.digest) {
                Ok(material) => wire.send_set(&Version { revision: offer.revision, ..version }, offer.pattern.as_ref(), &material)?,
                // It may be purged between the look at the offers and now.
                Err(error) => wire.send_without(&version, &Refusal::of(&error, self.fleet.spec_hash))?,
            }
        }
        wire.send(&Message::End)
    }

    /// Takes what a host below says of itself and those below it, or a part of that, which is one of no more than there are servers.
    fn report<L: Link>(&self, wire: &mut Wire<L>, part: Option<u32>, servers: Vec<Standing>) -> Result<()> {
        check(self.fleet, self.peer, Ask::Report)?;
        servers.iter().try_for_each(|told| may_say(self.fleet, self.peer.server, told))?;
        if part.is_some_and(|number| number as usize > self.fleet.below(&self.peer.server.name).count()) {
            let cause = "its report has more parts than there are servers to be told of";
            return Err(Error::new(ErrorKind::Peer, self.peer.server.name.to_string(), cause));
        }
        let inbox = self.inbox()?;
        inbox.leave_report(&Told { from: self.from(), at: clock::unix_seconds(), servers }, part)?;
        if part.is_some() {
            return wire.send(&Message::Noted);
        }
        // The hosts above want to know as well; nobody waits for that.
        if self.fleet.upstreams().next().is_some() {
            self.ask_for_a_run(&inbox, What::Report)?;
        }
        wire.send(&Message::Noted)
    }

    /// Takes material for this host: verified here, judged by whoever takes it from the inbox.
    fn push<L: Link>(&self, wire: &mut Wire<L>, offered: Vec<Offered>) -> Result<()> {
        check(self.fleet, self.peer, Ask::Push)?;
        let inbox = self.inbox()?;
        let Sorted { wanted, brought, unwanted, any } = self.sorted(offered)?;
        let asked = names(&wanted);
        wire.send(&Message::Wanted { sets: wanted, unwanted })?;
        if any {
            inbox.leave_push(&new_id(), |file| {
                let mut kept = Wire::new(file, "the inbox");
                kept.send(&brought)?;
                self.receive(wire, asked, |set, material| kept.send_set(&set.version, set.pattern.as_ref(), material))?;
                kept.send(&Message::End)
            })?;
        }
        wire.send(&Message::Received)
    }

    /// What of this has not come yet, what has and may be installed now, and what is not for this host.
    fn sorted(&self, offered: Vec<Offered>) -> Result<Sorted> {
        let present = Offers::load(self.dir, self.at)?;
        let (mut wanted, mut unwanted, mut staged, mut released) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for Offered { version, pattern, spread, .. } in offered.into_iter().take(MOST_REPORTED) {
            if let Err(error) = expected(self.desired, &version.set, pattern.as_ref()) {
                unwanted.push((version.set, Refusal::of(&error, self.fleet.spec_hash)));
                continue;
            }
            let known = present.of_set(&version.set);
            match known.filter(|known| known.digest == version.digest && known.revision == version.revision) {
                Some(known) if known.spread == Spread::Staged && spread == Spread::Released => released.push(version),
                Some(_) => {}
                None => {
                    if spread == Spread::Staged {
                        staged.push(version.clone());
                    }
                    wanted.push(version);
                }
            }
        }
        let any = !wanted.is_empty() || !released.is_empty();
        let brought = Message::Brought { peer: self.peer.server.name.clone(), key: self.key.to_string(), staged, released };
        Ok(Sorted { wanted, brought, unwanted, any })
    }

    /// Gives each of the sets that were asked for to `take`, as it comes.
    fn receive<L: Link>(
        &self,
        wire: &mut Wire<L>,
        mut asked: BTreeSet<SetName>,
        mut take: impl FnMut(&CameSet, &Material) -> Result<()>,
    ) -> Result<()> {
        if asked.is_empty() {
            return Ok(());
        }
        while let Some(set) = wire.receive_set(&self.desired.limits)? {
            if !asked.remove(&set.version.set) {
                return Err(wire.out_of_turn("a set that was asked for"));
            }
            // What the other side cannot send after all does not come; the rest does.
            if let Ok(material) = &set.material {
                take(&set, material)?;
            }
        }
        Ok(())
    }

    /// Has apply run, and waits for how this host stands then.
    fn apply<L: Link>(&self, wire: &mut Wire<L>, what: What) -> Result<()> {
        check(self.fleet, self.peer, if what == What::TriggerTree { Ask::Trigger } else { Ask::Apply })?;
        let wanted = Wanted { from: self.from(), what, id: new_id() };
        self.inbox()?.leave_request(&wanted)?;
        // The peer waits for as long as its `deadline` says, from its log-in on.
        let patience = self.fleet.settings.deadline * 3 / 4;
        match self.runner.run_and_wait(self.dir, &wanted, patience, || wire.link().is_gone())? {
            Asked::Answered(servers) => wire.send_report(servers),
            Asked::Later => wire.send(&Message::Later),
        }
    }

    /// Leaves a request and starts a run for it, unless one waits for its turn that will see it. Who may not look at the lock starts one.
    fn ask_for_a_run(&self, inbox: &Inbox<'_>, what: What) -> Result<()> {
        let wanted = Wanted { from: self.from(), what, id: new_id() };
        inbox.leave_request(&wanted)?;
        if !(self.runner.is_ours() && will_be_served(self.dir)) {
            self.runner.start(&wanted.id);
        }
        Ok(())
    }

    /// Starts a run and does not wait for it.
    fn trigger<L: Link>(&self, wire: &mut Wire<L>) -> Result<()> {
        check(self.fleet, self.peer, Ask::Trigger)?;
        self.ask_for_a_run(&self.inbox()?, What::Trigger)?;
        wire.send(&Message::Triggered)
    }

    /// What this host, and those below it, would do with what the peer has. It goes through memory alone.
    fn plan<L: Link>(&self, wire: &mut Wire<L>, offered: Vec<Offered>, below: Vec<ServerName>) -> Result<()> {
        check(self.fleet, self.peer, Ask::Plan)?;
        let Sorted { wanted, brought, unwanted, .. } = self.sorted(offered)?;
        let asked = names(&wanted);
        let most = largest_plan(self.fleet.below(&self.fleet.me).count());
        let mut planning = Wire::new(self.runner.plan()?, "certsync plan");
        wire.send(&Message::Wanted { sets: wanted, unwanted })?;
        // One that has ended already says why in its answer; what comes is taken off the line all the same.
        let _ = planning.send(&Message::Plan { sets: Vec::new(), below }).and_then(|()| planning.send(&brought));
        self.receive(wire, asked, |set, material| {
            let _ = planning.send_set(&set.version, set.pattern.as_ref(), material);
            Ok(())
        })?;
        let _ = planning.send(&Message::End);
        wire.send_plan(&Runner::planned(planning.into_link(), most)?)
    }
}

/// The most bytes that the plan of one server with so many below it may have.
pub fn largest_plan(below: usize) -> u64 {
    (below as u64 + 1).saturating_mul(LARGEST_PLAN).min(LARGEST_PLANS)
}

fn names(versions: &[Version]) -> BTreeSet<SetName> {
    versions.iter().map(|version| version.set.clone()).collect()
}

/// What a refusal says of who asked.
pub fn described(peer: &Known<'_>, name: &ServerName) -> String {
    let kin = match peer.kin {
        Kin::Upstream => "an upstream",
        Kin::Downstream => "below this host",
    };
    if peer.server.name == *name { format!("{name}, {kin}") } else { format!("{name}, which is {} now, {kin}", peer.server.name) }
}
