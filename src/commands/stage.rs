//! `rollout: { stage: all }`: a version is brought to all that it is for, and they switch once the origin gives its word.

use super::pass_on::{Below, RolloutChoice};
use crate::base::{Error, ErrorKind, Result, ServerName, SetName};
use crate::fleet::carrier::Identity;
use crate::fleet::contact::Patience;
use crate::fleet::deliver::{Newest, Only, Turn};
use crate::fleet::due::{Belief, Due, is_set_in_step, served, wanted};
use crate::fleet::record::Records;
use crate::fleet::staging::{Has, Heard, Target, Word, is_origin, targets, word};
use crate::host::clock;
use crate::plan::{Report, ServerResult};
use crate::progress::{Kind, Progress};
use crate::spec::fleet::{Server, Stage, Via};
use crate::state::{Index, Offer, Spread, Store, keep_released, released};
use std::collections::BTreeMap;

/// As many are named of those that nobody goes on without.
const MOST_NAMED: usize = 5;
/// What an operator does about them.
const WAITS: &str = "it goes on with the run that reaches them; a server silent for longer than fleet.stale_after is not waited for; --now waits for nobody";

/// Who was brought something to be kept, and whether he answered.
#[derive(Default)]
pub(super) struct Brought(BTreeMap<ServerName, Answered>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    Yes,
    No,
}

impl Brought {
    /// Whether anything is left to be done for a server in this run.
    pub fn leaves(&self, due: &Due<'_>, records: &Records<'_>) -> bool {
        match self.0.get(&due.server.name) {
            None => true,
            Some(Answered::No) => false,
            Some(Answered::Yes) => !records.has_all(due, Spread::Released),
        }
    }
}

impl Below<'_> {
    /// Brings what is to be kept for now to those that do not have it. Where this host is the origin, it then gives its word for what all
    /// have.
    ///
    /// # Errors
    /// Kind `State`.
    pub(super) fn stage(&self, newest: &Newest<'_>, index: &mut Index, report: &mut Report) -> Result<Brought> {
        if !newest.offers()?.iter().any(|(_, offer)| offer.spread == Spread::Staged) {
            return Ok(Brought::default());
        }
        let rollout = self.fleet.rollout.as_ref().filter(|_| self.passing.rollout == RolloutChoice::AsSpec);
        if rollout.is_none_or(|rollout| rollout.stage != Some(Stage::All)) {
            self.release(newest, |_, _| true)?;
        }
        let brought = self.bring(newest, index, report)?;
        self.release(newest, |set, offer| self.gives_word(set, offer, report))?;
        Ok(brought)
    }

    fn bring(&self, newest: &Newest<'_>, index: &mut Index, report: &mut Report) -> Result<Brought> {
        let offers = newest.offers()?;
        let of = |server| Due { server, wanted: wanted(self.desired, self.fleet, server, &offers) };
        let meant = served(self.fleet).filter(|server| server.via == Via::Ssh && self.passing.limit.has(&server.name)).map(of);
        let due: BTreeMap<&ServerName, Due<'_>> =
            meant.filter(|due| self.is_to_be_brought(due)).map(|due| (&due.server.name, due)).collect();
        let mut brought = Brought::default();
        if due.is_empty() {
            return Ok(brought);
        }
        let (identity, store) = (Identity::of(self.dir, self.at)?, Store::new(self.dir, self.at));
        // Nobody switches before it is known who has it.
        let deliver = self.deliver((&identity, &store), newest, (Only::Staged, Patience::Tree));
        let progress = Progress::new(self.progress, Kind::PassingOn, due.len());
        let turns = due.values().map(|due| Turn::new(due.server, self.records.retries(due.server))).collect();
        report.servers.retain(|told| !due.keys().any(|name| name.as_str() == told.name));
        deliver.run(turns, |served| {
            let server = served.server;
            progress.step(server.name.as_str());
            let answered = if served.said.is_ok() { Answered::Yes } else { Answered::No };
            brought.0.insert(server.name.clone(), answered);
            let mut told = self.records.keep(served, &offers, index);
            let has_it = due.get(&server.name).is_some_and(|due| self.records.has_all(due, Spread::Staged));
            if answered == Answered::Yes && has_it && told.result == ServerResult::Failed {
                // What it lacks beside that it is brought in its turn.
                (told.result, told.error) = (ServerResult::Waiting, None);
            }
            report.servers.push(told);
        });
        progress.finish();
        Ok(brought)
    }

    /// Whether a server, or one below it, lacks anything that is to be kept.
    fn is_to_be_brought(&self, due: &Due<'_>) -> bool {
        let mut staged = due.wanted.offers.iter().filter(|(_, offer)| offer.spread == Spread::Staged).peekable();
        if staged.peek().is_none() {
            return false;
        }
        let lacks = |server: &Server, set: &SetName, offer: &Offer| {
            let is_meant = server.via == Via::Ssh && self.fleet.is_entitled(&server.name, offer.entry(set));
            is_meant && !is_set_in_step(server, set, offer, &self.records.of(server))
        };
        let below: Vec<&Server> = self.fleet.below(&due.server.name).chain([due.server]).collect();
        self.passing.belief == Belief::Nothing || staged.any(|(set, offer)| below.iter().any(|server| lacks(server, set, offer)))
    }

    /// Writes down for which of what is kept below this origin gives its word.
    fn release(&self, newest: &Newest<'_>, mut gives_word: impl FnMut(&SetName, &Offer) -> bool) -> Result<()> {
        let offers = newest.offers()?;
        let own = offers.iter().filter(|(set, offer)| offer.spread == Spread::Staged && is_origin(self.fleet, set, offer));
        let given: Vec<(&SetName, &Offer)> = own.filter(|(set, offer)| gives_word(set, offer)).collect();
        if given.is_empty() {
            return Ok(());
        }
        let mut all = released(self.dir);
        all.extend(given.into_iter().map(|(set, offer)| (set.clone(), offer.revision)));
        all.retain(|set, _| offers.of_set(set).is_some());
        keep_released(self.dir, self.at, &all)
    }

    fn gives_word(&self, set: &SetName, offer: &Offer, report: &mut Report) -> bool {
        let told = targets(self.fleet, self.records, (set, offer), (&self.desired.revoked, clock::unix_seconds()));
        let all: Vec<Target> = told.iter().map(|(_, target)| *target).collect();
        let lacks = |target: &Target| target.has == Has::Nothing && target.heard == Heard::Lately;
        let lacking: Vec<&str> = told.iter().filter(|(_, target)| lacks(target)).map(|(name, _)| name.as_str()).collect();
        let who = words(&lacking);
        match word(&all) {
            Word::Go => true,
            Word::Lapsed => {
                report.warnings.push(format!(
                    "{set}: {who} not have the new version yet, but what is in use has not long to live: those that have it switch"
                ));
                true
            }
            Word::Wait => {
                let cause = format!("{who} not have the new version yet, nobody switches to it");
                report.errors.push(Error::new(ErrorKind::Peer, set.to_string(), cause).hint(WAITS));
                false
            }
        }
    }
}

fn words(names: &[&str]) -> String {
    let verb = if names.len() == 1 { "does" } else { "do" };
    match names.len().saturating_sub(MOST_NAMED) {
        0 => format!("{} {verb}", names.join(", ")),
        more => format!("{} and {more} more {verb}", names[..MOST_NAMED].join(", ")),
    }
}
