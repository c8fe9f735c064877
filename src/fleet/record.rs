//! Keeping the records of the servers below: what they say, what is believed of it, and what is told of them.

use super::contact::Said;
use super::deliver::{Newest, Served};
use super::due::{Due, Wanted, is_in_step, is_set_in_step, served, wanted};
use super::may::{identify, may_say};
use super::rollout::Known;
use crate::base::{AbsPath, Error, ErrorKind, Result};
use crate::host::{Dir, clock};
use crate::plan::{HookReport, HookResult, Phase, ServerReport, ServerResult, ServerSet};
use crate::spec::Desired;
use crate::spec::fleet::{Delivery, Fleet, Server, Via};
use crate::state::inbox::{Inbox, Told};
use crate::state::{Floor, floors, keep_floors, raise, retract};
use crate::state::{InStep, Index, Level, Offers, Peer, Peers, Spread, Standing, TroubleKind};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// How far in the future a revision may lie and still come from a clock that was wrong, in milliseconds: 200 years.
const HORIZON: u64 = 200 * 366 * 24 * 60 * 60 * 1000;

/// The records of the servers below this host.
pub struct Records<'a> {
    desired: &'a Desired,
    fleet: &'a Fleet,
    dir: &'a Dir,
    at: &'a AbsPath,
    peers: Peers<'a>,
    newest: Newest<'a>,
    /// The index as it is on disk, once it was read.
    on_disk: RefCell<Option<Index>>,
}

impl<'a> Records<'a> {
    /// The records in the state directory `dir`, which is at `at`.
    pub fn open(desired: &'a Desired, fleet: &'a Fleet, dir: &'a Dir, at: &'a AbsPath) -> Self {
        let newest = Newest::new(|| Offers::load(dir, at), || Offers::stamp(dir));
        Records { desired, fleet, dir, at, peers: Peers::new(dir, at), newest, on_disk: RefCell::new(None) }
    }

    /// What there is to be passed on.
    pub fn newest(&self) -> &Newest<'a> {
        &self.newest
    }

    /// The fleet that they are of.
    pub fn fleet(&self) -> &Fleet {
        self.fleet
    }

    /// Who is in step.
    pub fn index(&self) -> Index {
        let index = self.peers.index();
        *self.on_disk.borrow_mut() = Some(index.clone());
        index
    }

    /// Writes down who is in step, where that has changed.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn keep_index(&self, index: &Index) -> Result<()> {
        if self.on_disk.borrow().as_ref() == Some(index) {
            return Ok(());
        }
        self.peers.keep_index(index)?;
        *self.on_disk.borrow_mut() = Some(index.clone());
        Ok(())
    }

    /// What is known of a server.
    pub fn of(&self, server: &Server) -> Peer {
        let known = self.peers.of(&server.name, &server.public_keys);
        // A server that was renamed in the spec keeps its key, and with it its record.
        known.map_or_else(|| Peer::unknown(server.name.clone()), |known| Peer { server: server.name.clone(), ..known })
    }

    /// How often a server is tried again: one that did not answer last time is tried once.
    pub fn retries(&self, server: &Server) -> u32 {
        if self.of(server).trouble.is_some() { 0 } else { self.fleet.settings.retries }
    }

    /// How this host stands, then every server below it of which that is known.
    pub fn tree(&self, own: Option<&Standing>) -> Vec<Standing> {
        let below = self.fleet.below(&self.fleet.me).filter_map(|server| self.of(server).standing);
        own.cloned().into_iter().chain(below).collect()
    }

    /// Takes the reports from the inbox.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn take_reports(&self, index: &mut Index) -> Result<()> {
        let Some(inbox) = Inbox::open(self.dir)? else { return Ok(()) };
        let claimed = inbox.claim_reports()?;
        if claimed.is_empty() {
            return Ok(());
        }
        let offers = self.newest.offers()?;
        for name in claimed {
            match inbox
                .report(&name)
                .ok_or_else(|| Error::new(ErrorKind::Peer, format!("inbox/{name}"), "is no report"))
                .and_then(|told| self.hear(told))
            {
                Ok(()) => inbox.remove(&[name])?,
                Err(error) => {
                    tracing::warn!("{error}");
                    inbox.set_aside(&name);
                }
            }
        }
        for server in served(self.fleet) {
            let wanted = wanted(self.desired, self.fleet, server, &offers);
            if index.get(&server.name).is_none_or(|known| known.wanted != wanted.hash) {
                self.judge(server, &wanted, &self.of(server), (&offers, &mut *index));
            }
        }
        Ok(())
    }

    fn hear(&self, told: Told) -> Result<()> {
        let peer = identify(self.fleet, &told.from.peer, told.from.key)?;
        for standing in told.servers {
            may_say(self.fleet, peer.server, &standing)?;
            self.note(standing, told.at)?;
        }
        Ok(())
    }

    fn note(&self, standing: Standing, now: i64) -> Result<()> {
        let Some(server) = self.fleet.server(&standing.server) else { return Ok(()) };
        self.note_floors(&standing)?;
        let mut peer = self.of(server);
        peer.hear(standing, now);
        self.peers.keep(&server.public_keys, &peer)
    }

    /// Where this host is the origin, and a host below has seen a revision that it does not know of: it goes on above it next time. What a
    /// server said before of that kind goes with what it says now.
    fn note_floors(&self, standing: &Standing) -> Result<()> {
        let offers = self.newest.offers()?;
        let is_ours = |entry| self.fleet.route(entry).is_some_and(|route| route.origin == self.fleet.me);
        let mut found = floors(self.dir);
        let mut changed = retract(&mut found, &standing.server);
        for (set, theirs) in &standing.sets {
            let Some(ours) = offers.of_set(set).filter(|ours| is_ours(ours.entry(set)) && ours.revision < theirs.revision) else {
                continue;
            };
            if theirs.revision > clock::unix_milliseconds().saturating_add(HORIZON) {
                let cause = format!("says that it has revision {} of {set}, which no clock gives", theirs.revision);
                return Err(Error::new(ErrorKind::Peer, standing.server.to_string(), cause));
            }
            let floor =
                Floor { server: standing.server.clone(), revision: theirs.revision, digest: theirs.digest, not_before: theirs.not_before };
            tracing::warn!(set = %set, "{} has seen revision {}, this origin is at {}", standing.server, theirs.revision, ours.revision);
            changed |= raise(&mut found, set, floor);
        }
        if changed { keep_floors(self.dir, self.at, &found) } else { Ok(()) }
    }

    /// Whether the server has everything. If so, it is written into the index and not contacted again; but for one that is pushed to, and
    /// so never reports by itself: as long as somebody below it lacks something, it is asked.
    fn judge(&self, server: &Server, wanted: &Wanted<'_>, peer: &Peer, (offers, index): (&Offers, &mut Index)) -> bool {
        let has_all = is_in_step(server, wanted, peer);
        if has_all && (server.delivery != Delivery::Push || self.lacking(server, offers).next().is_none()) {
            let at = peer.contact.unwrap_or_else(clock::unix_seconds);
            index.insert(server.name.clone(), InStep { wanted: wanted.hash, at });
        } else {
            index.remove(&server.name);
        }
        has_all
    }

    /// The servers below this one that have not said that they have everything.
    fn lacking<'b>(&'b self, server: &'b Server, offers: &'b Offers) -> impl Iterator<Item = &'b Server> {
        let lacks = |below: &&Server| !is_in_step(below, &wanted(self.desired, self.fleet, below, offers), &self.of(below));
        self.fleet.below(&server.name).filter(lacks)
    }

    /// What is said of the servers below one that is pushed to, where some of them lack something.
    pub fn behind(&self, server: &Server) -> Option<String> {
        let offers = self.newest.offers().ok().filter(|_| server.delivery == Delivery::Push)?;
        let names: Vec<&str> = self.lacking(server, &offers).map(|below| below.name.as_str()).collect();
        let verb = if names.len() == 1 { "has" } else { "have" };
        (!names.is_empty())
            .then(|| format!("below {}, {} {verb} not everything yet; the next run asks again", server.name, names.join(", ")))
    }

    /// Writes down what became of serving one server, and tells it.
    pub fn keep(&self, served: Served<'_>, offers: &Offers, index: &mut Index) -> ServerReport {
        let Served { server, wanted: hash, said, took } = served;
        let before = index.get(&server.name).map(|known| known.wanted);
        let meant = wanted(self.desired, self.fleet, server, offers);
        let had_all = is_in_step(server, &meant, &self.of(server));
        let now = clock::unix_seconds();
        let mut error = None;
        let mut result = ServerResult::Waiting;
        match said {
            Ok((Said::Stands(standings), unwanted)) => {
                for standing in standings {
                    if let Err(failed) = self.note(standing, now) {
                        error = Some(failed);
                    }
                }
                if let Some(unwanted) = unwanted.into_iter().next() {
                    // It stays known until the server takes the set, or is to have it no more.
                    let mut peer = self.of(server);
                    peer.fail(TroubleKind::Refused, &unwanted.error, now);
                    error = error.or(self.peers.keep(&server.public_keys, &peer).err()).or(Some(unwanted.error));
                }
                result = ServerResult::Done;
            }
            Ok((Said::Signalled | Said::Later, unwanted)) => {
                let mut peer = self.of(server);
                peer.signalled = Some(InStep { wanted: hash, at: now });
                peer.contact = Some(now);
                peer.trouble = None;
                error = self.peers.keep(&server.public_keys, &peer).err();
                error = error.or_else(|| unwanted.into_iter().next().map(|unwanted| unwanted.error));
            }
            Err((kind, failed)) => {
                let mut peer = self.of(server);
                peer.fail(kind, &failed, now);
                if let Err(unkept) = self.peers.keep(&server.public_keys, &peer) {
                    tracing::warn!("{unkept}");
                }
                result = if kind == TroubleKind::Unreachable { ServerResult::Unreachable } else { ServerResult::Failed };
                error = Some(failed);
            }
        }
        let peer = self.of(server);
        // What it was offered may be newer than what this run began with.
        let newest = if meant.hash == hash { None } else { self.newest.offers().ok() };
        let offers = newest.as_deref().unwrap_or(offers);
        let wanted = wanted(self.desired, self.fleet, server, offers);
        if result == ServerResult::Done {
            let has_all = self.judge(server, &wanted, &peer, (offers, &mut *index));
            result = match has_all && error.is_none() {
                true if before == Some(wanted.hash) || (had_all && wanted.hash == hash) => ServerResult::Unchanged,
                true => ServerResult::Done,
                false => ServerResult::Failed,
            };
        } else if before != Some(hash) {
            index.remove(&server.name);
        }
        let error = error.or_else(|| (result == ServerResult::Failed).then(|| failed_there(server, &peer, &wanted)).flatten());
        ServerReport {
            name: server.name.to_string(),
            result,
            sets: sets(&peer, &wanted),
            hooks: hooks(&peer),
            error,
            seconds: took.as_secs_f64(),
            plan: None,
        }
    }

    /// What is known of a server, as a rollout wants to know it, before this run has contacted it.
    pub fn known(&self, due: &Due<'_>) -> Known {
        let peer = self.of(due.server);
        let levels = || due.wanted.offers.iter().filter_map(|(set, offer)| peer.level(set, &offer.digest, offer.revision));
        if levels().any(|level| matches!(level, Level::Failed | Level::Refused | Level::Installed)) {
            Known::FailedBefore
        } else {
            Known::Waiting
        }
    }

    /// Whether the server was signalled to fetch just this a moment ago, and may be at it: to signal again would have it say again how it
    /// stands, which would have this host run again, and so on for ever.
    pub fn is_at_it(&self, due: &Due<'_>, now: i64) -> bool {
        let moment = i64::try_from(self.fleet.settings.deadline.as_secs()).unwrap_or(i64::MAX);
        let signalled = self.of(due.server).signalled;
        signalled.is_some_and(|signalled| signalled.wanted == due.wanted.hash && now >= signalled.at && now - signalled.at < moment)
    }

    /// What is told, after the whole tree was waited for, of a server that another one serves.
    pub fn further(&self, server: &Server, offers: &Offers) -> ServerReport {
        let (peer, wanted) = (self.of(server), wanted(self.desired, self.fleet, server, offers));
        let (result, error) = match server.delivery {
            _ if is_in_step(server, &wanted, &peer) => (ServerResult::Unchanged, None),
            // It comes when it likes.
            Delivery::Pull => (ServerResult::Waiting, None),
            Delivery::Trigger | Delivery::Push => {
                let unheard = || Error::new(ErrorKind::Peer, server.name.to_string(), "has not said how it stands");
                (ServerResult::Failed, Some(failed_there(server, &peer, &wanted).unwrap_or_else(unheard)))
            }
        };
        ServerReport { result, sets: sets(&peer, &wanted), hooks: hooks(&peer), error, ..self.unchanged(server) }
    }

    /// What is told of a server whose turn has not come: what it has.
    pub fn waiting(&self, server: &Server, offers: &Offers) -> ServerReport {
        let wanted = wanted(self.desired, self.fleet, server, offers);
        let sets = sets(&self.of(server), &wanted);
        ServerReport { result: ServerResult::Waiting, sets, ..self.unchanged(server) }
    }

    /// Whether a server has all of the sets that are `spread` so, as far as it should.
    pub fn has_all(&self, due: &Due<'_>, spread: Spread) -> bool {
        let peer = self.of(due.server);
        let of_these = due.wanted.offers.iter().filter(|(_, offer)| offer.spread == spread);
        of_these.into_iter().all(|(set, offer)| is_set_in_step(due.server, set, offer, &peer))
    }

    /// What is told of a server that has everything and was not contacted.
    pub fn unchanged(&self, server: &Server) -> ServerReport {
        ServerReport {
            name: server.name.to_string(),
            result: ServerResult::Unchanged,
            sets: Vec::new(),
            hooks: Vec::new(),
            error: None,
            seconds: 0.0,
            plan: None,
        }
    }
}

fn sets(peer: &Peer, wanted: &Wanted<'_>) -> Vec<ServerSet> {
    let Some(standing) = &peer.standing else { return Vec::new() };
    let mut sets = BTreeMap::new();
    for (set, _) in &wanted.offers {
        if let Some(known) = standing.sets.get(*set) {
            let told = ServerSet { name: (*set).clone(), digest: known.digest, revision: known.revision, level: known.level };
            sets.insert((*set).clone(), told);
        }
    }
    sets.into_values().collect()
}

fn hooks(peer: &Peer) -> Vec<HookReport> {
    let failed = peer.standing.iter().flat_map(|standing| &standing.hooks);
    failed
        .map(|hook| HookReport {
            name: hook.name.clone(),
            set: hook.set.clone(),
            phase: Phase::Run,
            result: HookResult::Failed,
            status: None,
            output: hook.last.clone(),
        })
        .collect()
}

/// Why a server that answered is not in step.
fn failed_there(server: &Server, peer: &Peer, wanted: &Wanted<'_>) -> Option<Error> {
    let standing = peer.standing.as_ref()?;
    let wrong = |cause: String| Some(Error::new(ErrorKind::Peer, server.name.to_string(), cause));
    for (set, offer) in &wanted.offers {
        let Some(known) = standing.sets.get(*set) else { return wrong(format!("does not have {set}")) };
        let why = known.error.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        match known.level {
            Level::Failed => return wrong(format!("{set} failed there{why}")),
            Level::Refused => return wrong(format!("{set} was refused there{why}")),
            Level::Stored if server.via != Via::Ssh => {}
            Level::Stored if offer.spread == Spread::Staged && known.digest == offer.digest => {}
            Level::Stored => return wrong(format!("{set} is not installed there yet")),
            Level::Installed => {
                let hook = standing.hooks.first().map(|hook| format!(": {}: {}", hook.name, hook.last)).unwrap_or_default();
                let hook = hook.trim_end_matches(": ");
                return wrong(format!("{set} is installed there, but a hook has not succeeded{hook}"));
            }
            Level::Held | Level::Done if known.digest != offer.digest && known.level == Level::Done => {
                return wrong(format!("{set} is another version there"));
            }
            Level::Held | Level::Done => {}
        }
    }
    None
}
