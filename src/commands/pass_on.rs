//! Step 14 of apply: serving the hosts below, and saying above how this host and they stand. Nothing of it is done under the run lock.

use super::options::Others;
use super::revisions::Future;
use super::session::Session;
use crate::base::{AbsPath, ContentHash, Error, ErrorKind, Result, ServerName};
use crate::fleet::carrier::Identity;
use crate::fleet::contact::{Patience, Purpose};
use crate::fleet::deliver::{Deliver, Newest, Only, Turn};
use crate::fleet::due::{Belief, Due, Limit, due};
use crate::fleet::fetch::Upstream;
use crate::fleet::parcel;
use crate::fleet::record::Records;
use crate::fleet::runner::DELIVERING;
use crate::fleet::wave::Wave;
use crate::host::lock::{Lock, Wait, take};
use crate::host::ssh::Connection;
use crate::host::{Dir, clock};
use crate::plan::{Report, ServerResult};
use crate::progress::{Kind, Progress, ProgressChoice};
use crate::spec::Desired;
use crate::spec::fleet::{Delivery, Fleet, Server, Via};
use crate::state::answers::{Answer, answer, sweep_answers};
use crate::state::inbox::{Inbox, Wanted};
use crate::state::{Index, Standing, Store};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::time::Duration;

/// Left by those that found it taken: there is something newer to be passed on.
pub(super) const NOTE: &str = "deliver.next";

/// Of one that was killed, a child that had not come to its exec yet has the lock for a moment longer, and reads no note.
const MOMENT: Duration = Duration::from_millis(500);

/// What an operator does about a rollout that has stopped.
const HALTED: &str = "mend what failed there and apply again: it goes on from where it is; --now serves all at once";

/// How the hosts below are served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passing {
    /// Which of them.
    pub limit: Limit,
    /// Whether what they have acknowledged is believed.
    pub belief: Belief,
    /// Whether `rollout` counts.
    pub rollout: RolloutChoice,
    /// Whether a revision far in the future is gone on above.
    pub future: Future,
}

/// Whether `rollout` counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RolloutChoice {
    /// As the spec says.
    #[default]
    AsSpec,
    /// It does not (`--now`).
    Ignored,
}

/// What a turn leaves to be passed on.
pub(super) struct Toll {
    desired: Desired,
    dir: Dir,
    at: AbsPath,
    upstream: Option<Upstream<Connection>>,
    /// Requests of those who wait for the hosts below.
    waiting: Vec<Wanted>,
    own: Option<Standing>,
}

impl Toll {
    /// What is left after this run, its own answers given; nothing where no other host is concerned. To be called under the run lock.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn of(
        session: Session,
        upstream: Option<Upstream<Connection>>,
        wanted: Vec<(String, Option<Wanted>)>,
        others: Others,
        report: &mut Report,
    ) -> Result<Option<Toll>> {
        let own = session.last_standing().map(|own| Standing {
            at: clock::unix_seconds(),
            errors: report.errors.iter().map(Error::to_string).collect(),
            ..own
        });
        let is_saved = session.is_saved();
        let Session { desired, at, dir, taken, .. } = session;
        let (Some(fleet), Some(dir)) = (&desired.fleet, dir) else { return Ok(None) };
        let inbox = Inbox::open(&dir)?;
        if let Some(inbox) = inbox.as_ref().filter(|_| is_saved) {
            inbox.remove(&taken)?;
            inbox.sweep();
            sweep_answers(&dir);
        }
        let records = Records::open(&desired, fleet, &dir, &at);
        let is_last = others == Others::LeftAlone || fleet.downstreams().next().is_none();
        let (names, waiting): (Vec<String>, Vec<Option<Wanted>>) = wanted.into_iter().unzip();
        let waiting: Vec<Wanted> = waiting.into_iter().flatten().collect();
        for wanted in &waiting {
            answer(&dir, &wanted.id, Answer::new(is_last, records.tree(own.as_ref())))?;
        }
        if let Some(inbox) = &inbox {
            inbox.remove(&names)?;
        }
        if others == Others::LeftAlone {
            return Ok(None);
        }
        drop((inbox, records));
        Ok(Some(Toll { desired, dir, at, upstream, waiting, own }))
    }
}

/// Serves the hosts below and reports above.
pub(super) fn pass_on(toll: Toll, passing: &Passing, report: &mut Report, progress: ProgressChoice) {
    let Toll { desired, dir, at, upstream, waiting, own } = toll;
    let Some(fleet) = &desired.fleet else { return };
    let records = Records::open(&desired, fleet, &dir, &at);
    let mut upstream = upstream;
    // Those above need not wait for those below to know how this host stands.
    if fleet.downstreams().next().is_some() {
        tell_above(&mut upstream, &records, own.as_ref(), report);
    }
    let patience = if waiting.iter().any(|wanted| wanted.what.is_about_the_tree()) { Patience::Tree } else { Patience::Usual };
    let below = Below { desired: &desired, fleet, dir: &dir, at: &at, records: &records, passing, patience, progress };
    if let Err(error) = below.serve(report) {
        report.errors.push(error);
    }
    in_spec_order(fleet, report);
    tell_above(&mut upstream, &records, own.as_ref(), report);
    if let Some(upstream) = upstream {
        upstream.bye();
    }
    for wanted in waiting {
        let whole = Answer::new(true, records.tree(own.as_ref()));
        if let Err(error) = answer(&dir, &wanted.id, whole) {
            report.warnings.push(error.to_string());
        }
    }
}

/// The servers are told in the order in which they stand in the spec, not in that in which they were ready.
pub(super) fn in_spec_order(fleet: &Fleet, report: &mut Report) {
    let places: HashMap<&str, usize> = fleet.servers.iter().enumerate().map(|(place, server)| (server.name.as_str(), place)).collect();
    report.servers.sort_by_key(|told| places.get(told.name.as_str()).copied().unwrap_or(usize::MAX));
}

fn tell_above(upstream: &mut Option<Upstream<Connection>>, records: &Records<'_>, own: Option<&Standing>, report: &mut Report) {
    // Where nobody is to be told, the records of all below need not be read.
    let Some(above) = upstream.as_mut() else { return };
    let servers = records.tree(own);
    if servers.is_empty() {
        return;
    }
    if let Err(error) = above.report(servers, records.fleet()) {
        // What this host has is not changed by that; the next run reports again.
        report.warnings.push(format!("the host above was not told how this one stands: {error}"));
        *upstream = None;
    }
}

/// What serving the hosts below depends on.
pub(super) struct Below<'a> {
    pub desired: &'a Desired,
    pub fleet: &'a Fleet,
    pub dir: &'a Dir,
    pub at: &'a AbsPath,
    pub records: &'a Records<'a>,
    pub passing: &'a Passing,
    pub patience: Patience,
    pub progress: ProgressChoice,
}

impl Below<'_> {
    /// Serves them, and again while somebody has left word meanwhile that there is something newer.
    fn serve(&self, report: &mut Report) -> Result<()> {
        // What each was offered in this run. Who has failed with it says so above, which has another run leave word here: he is not asked
        // again for that, or it would go on for ever.
        let mut offered = BTreeMap::new();
        loop {
            let Some(lock) = self.lock()? else {
                report.warnings.push("another certsync serves the hosts below just now, and takes this as well".into());
                return Ok(());
            };
            self.dir.unlink(OsStr::new(NOTE)).map_err(|error| self.failed(&error))?;
            parcel::sweep(self.dir, self.at)?;
            let served = self.serve_once(&mut offered, report);
            drop(lock);
            served?;
            if self.dir.stat_at(OsStr::new(NOTE)).map_err(|error| self.failed(&error))?.is_none() {
                return Ok(());
            }
        }
    }

    /// The lock; nothing where somebody else has it who will see our note: it looks for one after it has given the lock back. Who waits for
    /// those below as well waits for that one, or would be told that they have been served before they are.
    fn lock(&self) -> Result<Option<Lock>> {
        if let Some(lock) = take(self.dir, DELIVERING, Wait::Try)? {
            return Ok(Some(lock));
        }
        self.dir.touch(OsStr::new(NOTE)).map_err(|error| self.failed(&error))?;
        let wait = match self.patience {
            Patience::Usual => Wait::AtMost(MOMENT),
            // Nobody above waits longer for an answer.
            Patience::Tree => Wait::AtMost(self.fleet.settings.deadline),
        };
        take(self.dir, DELIVERING, wait)
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::io(ErrorKind::State, format!("{}/{NOTE}", self.at), error)
    }

    fn serve_once(&self, offered: &mut BTreeMap<ServerName, ContentHash>, report: &mut Report) -> Result<()> {
        let mut index = self.records.index();
        self.records.take_reports(&mut index)?;
        let newest = self.records.newest();
        let staged = self.stage(newest, &mut index, report)?;
        let offers = newest.offers()?;
        let (now, choice) = (clock::unix_seconds(), (self.passing.belief, &self.passing.limit));
        let (mut due, in_step) = due((self.desired, self.fleet, &offers), &index, now, choice);
        due.retain(|due| staged.leaves(due, self.records));
        due.retain(|due| offered.get(&due.server.name) != Some(&due.wanted.hash));
        report.servers.retain(|told| !due.iter().any(|due| due.server.name.as_str() == told.name));
        for server in &in_step {
            if !report.servers.iter().any(|told| told.name == server.name.as_str()) {
                report.servers.push(self.records.unchanged(server));
            }
        }
        if self.passing.belief == Belief::Acknowledged && self.patience == Patience::Usual {
            due.retain(|due| {
                let is_at_it = due.server.delivery == Delivery::Trigger && self.records.is_at_it(due, now);
                if is_at_it {
                    report.servers.push(self.records.waiting(due.server, &offers));
                }
                !is_at_it
            });
        }
        if !due.is_empty() {
            self.spread((&due, &in_step), newest, (&mut index, offered), report)?;
        }
        self.records.keep_index(&index)
    }

    /// What delivering to several of them depends on.
    pub(super) fn deliver<'d>(
        &'d self,
        (identity, store): (&'d Identity, &'d Store<'d>),
        newest: &'d Newest<'d>,
        (only, patience): (Only, Patience),
    ) -> Deliver<'d> {
        let (desired, fleet, state) = (self.desired, self.fleet, (self.dir, self.at));
        Deliver { desired, fleet, store, state, identity, purpose: Purpose::Deliver, patience, only, newest }
    }

    /// Serves those that are due, all at once or as the rollout lets them.
    fn spread(
        &self,
        (due, in_step): (&[Due<'_>], &[&Server]),
        newest: &Newest<'_>,
        (index, offered): (&mut Index, &mut BTreeMap<ServerName, ContentHash>),
        report: &mut Report,
    ) -> Result<()> {
        // What a server without certsync is brought again may owe its command: until that is through, nobody takes it for in step.
        let mut sure = index.clone();
        sure.retain(|name, _| !due.iter().any(|due| due.server.via != Via::Ssh && due.server.name == *name));
        self.records.keep_index(&sure)?;
        let identity = Identity::of(self.dir, self.at)?;
        let store = Store::new(self.dir, self.at);
        let offers = newest.offers()?;
        let rollout = self.fleet.rollout.as_ref().filter(|_| self.passing.rollout == RolloutChoice::AsSpec);
        // Who goes first is waited for: the others go on only when it is through.
        let patience = if rollout.is_some() { Patience::Tree } else { self.patience };
        let deliver = self.deliver((&identity, &store), newest, (Only::All, patience));
        let progress = Progress::new(self.progress, Kind::PassingOn, due.len());
        let mut wave = Wave::new(self.fleet, due, in_step, |due| self.records.known(due));
        loop {
            let next = wave.next(rollout);
            if let Some(halt) = next.halt {
                report.errors.push(Error::new(ErrorKind::Peer, "rollout", halt.to_string()).hint(HALTED));
            }
            if next.switch.is_empty() {
                break;
            }
            let turns = next.switch.iter().map(|server| Turn::new(server, self.records.retries(server))).collect();
            deliver.run(turns, |served| {
                progress.step(served.server.name.as_str());
                let server = served.server;
                offered.insert(server.name.clone(), served.wanted);
                report.warnings.extend(served.untaken().map(|untaken| untaken.to_string()));
                let told = self.records.keep(served, &offers, index);
                wave.note(&told);
                if matches!(told.result, ServerResult::Done | ServerResult::Unchanged) {
                    report.warnings.extend(self.records.behind(server));
                }
                report.servers.push(told);
            });
        }
        progress.finish();
        report.servers.extend(wave.left().map(|server| self.records.waiting(server, &offers)));
        Ok(())
    }
}
