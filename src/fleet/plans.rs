//! The plans of the servers below: each is asked what it would do with what this host would give it. Nothing is changed anywhere.
//!
//! A server that has others below it asks those and hands their plans on. What comes is read strictly, is bounded, and says nothing of
//! anybody but the server that sends it and those below it.

use super::carrier::{Identity, connect, explained, wait_each};
use super::contact::{Unwanted, bring};
use super::due::{Due, wanted};
use super::gate::largest_plan;
use super::parallel::{Tried, in_parallel};
use super::wire::{Hello, Link, Message, Wire};
use crate::base::{Digest, Error, ErrorKind, Result, ServerName, SetName};
use crate::host::ssh::Connection;
use crate::material::Material;
use crate::plan::{Report, ServerReport, ServerResult, Tense};
use crate::spec::Desired;
use crate::spec::fleet::{Fleet, Server, Via};
use crate::state::Offers;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What asking depends on.
pub struct Plans<'a> {
    /// This host's part of the spec.
    pub desired: &'a Desired,
    /// The fleet's.
    pub fleet: &'a Fleet,
    /// What this host logs in with.
    pub identity: &'a Identity<'a>,
    /// What this host would pass on.
    pub offers: &'a Offers,
    /// Reads one version of it.
    pub load: &'a (dyn Fn(&SetName, &Digest) -> Result<Arc<Material>> + Sync),
}

/// A server directly below, and those below it that are to be asked through it.
struct Asked<'a> {
    server: &'a Server,
    below: BTreeSet<ServerName>,
}

/// The server directly below this host through which `name` is asked: the way up by first upstreams.
fn way<'a>(fleet: &'a Fleet, name: &ServerName) -> Option<&'a Server> {
    let mut at = fleet.server(name)?;
    for _ in 0..fleet.servers.len() {
        let upper = at.upstreams.iter().find(|upper| **upper == fleet.me || fleet.is_below(upper, &fleet.me))?;
        if *upper == fleet.me {
            return Some(at);
        }
        at = fleet.server(upper)?;
    }
    None
}

impl<'a> Plans<'a> {
    /// Asks for the plans of these, `fleet.parallel` at once; `progress` hears whose has come. In spec order.
    pub fn of(&self, names: &BTreeSet<ServerName>, mut progress: impl FnMut(&ServerName)) -> Vec<ServerReport> {
        let mut asked: BTreeMap<&ServerName, Asked<'a>> = BTreeMap::new();
        for name in names {
            let Some(server) = way(self.fleet, name).filter(|server| server.via == Via::Ssh) else { continue };
            asked.entry(&server.name).or_insert_with(|| Asked { server, below: BTreeSet::new() }).below.insert(name.clone());
        }
        let (mut found, asked) = (Vec::new(), asked.into_values().collect());
        in_parallel(
            asked,
            self.fleet.settings.parallel,
            |asked| Tried::Done(self.ask(asked)),
            |(server, reports)| {
                progress(&server.name);
                found.extend(reports);
            },
        );
        let order: BTreeMap<&str, usize> = self.fleet.servers.iter().enumerate().map(|(at, server)| (server.name.as_str(), at)).collect();
        found.sort_by_key(|told: &ServerReport| order.get(told.name.as_str()).copied());
        found
    }

    fn ask(&self, asked: Asked<'a>) -> (&'a Server, Vec<ServerReport>) {
        let Asked { server, below: mut names } = asked;
        let begun = Instant::now();
        let own = names.remove(&server.name);
        let answer = self.try_ask(server, &names);
        let seconds = begun.elapsed().as_secs_f64();
        let mut reports = match answer {
            Ok((report, unwanted)) => judged(server, names, report, unwanted),
            Err((result, error)) => {
                let cause = format!("was not asked: {}, above it, did not answer", server.name);
                let lost = |name: &ServerName| entry(name, ServerResult::Unreachable, Some(wrong(name, cause.clone())), None);
                let mut reports: Vec<ServerReport> = names.iter().map(lost).collect();
                reports.push(entry(&server.name, result, Some(error), None));
                reports
            }
        };
        reports.retain(|told| own || told.name != server.name.as_str());
        reports.iter_mut().for_each(|told| told.seconds = seconds);
        (server, reports)
    }

    fn try_ask(
        &self,
        server: &Server,
        below: &BTreeSet<ServerName>,
    ) -> std::result::Result<(Report, Vec<Unwanted>), (ServerResult, Error)> {
        let deadline = self.fleet.settings.deadline;
        let mut wire = connect(server, self.identity, (deadline, Duration::from_secs(24 * 3600)))
            .map_err(|failure| (ServerResult::Unreachable, failure.into_error(ErrorKind::Peer, server.name.as_str())))?;
        self.converse(&mut wire, server, below).map_err(|error| {
            let (error, why) = explained(&mut wire, error, server);
            (if why.is_some() { ServerResult::Unreachable } else { ServerResult::Failed }, error)
        })
    }

    fn converse(&self, wire: &mut Wire<Connection>, server: &Server, below: &BTreeSet<ServerName>) -> Result<(Report, Vec<Unwanted>)> {
        wire.greet(&Hello::of(&self.fleet.me, self.fleet.spec_hash))?;
        let due = Due { server, wanted: wanted(self.desired, self.fleet, server, self.offers) };
        let mut load = |set: &SetName| match self.offers.of_set(set) {
            Some(offer) => (self.load)(set, &offer.digest),
            None => Err(Error::new(ErrorKind::State, set.to_string(), "is offered no more")),
        };
        let begin = |sets| Message::Plan { sets, below: below.iter().cloned().collect() };
        let unwanted = bring(wire, (self.fleet, &due), begin, &mut load)?;
        wait_each(wire, patience(self.fleet, server, below));
        let report = planned(wire, (self.fleet, server), below.len())?;
        let _ = wire.send(&Message::Bye);
        Ok((report, unwanted))
    }
}

/// The plan that a server answers with.
fn planned<L: Link>(wire: &mut Wire<L>, (fleet, server): (&Fleet, &Server), below: usize) -> Result<Report> {
    let json = match wire.must()? {
        Message::Planned { size } => wire.receive_plan(size, largest_plan(below))?,
        Message::Refused(why) => return Err(why.error(ErrorKind::Peer, &server.name, fleet.spec_hash)),
        _ => return Err(wire.out_of_turn("its plan")),
    };
    serde_json::from_slice(&json).map_err(|_| wrong(&server.name, "what it sent is no plan".into()))
}

/// How long a server may take that asks these first: those directly below it in turns, and each of them likewise.
fn patience(fleet: &Fleet, server: &Server, below: &BTreeSet<ServerName>) -> Duration {
    let next = fleet.servers.iter().filter(|next| next.upstreams.contains(&server.name) && below.contains(&next.name));
    let (count, longest) = next.fold((0u32, Duration::ZERO), |(count, longest), next| {
        let further = below.iter().filter(|name| fleet.is_below(name, &next.name)).cloned().collect();
        (count + 1, longest.max(patience(fleet, next, &further)))
    });
    let rounds = count.div_ceil(fleet.settings.parallel.max(1));
    fleet.settings.deadline.saturating_add(longest.saturating_mul(rounds))
}

/// What is told of a server and of those below it whose plans it was asked for: one entry each, made of its plan and not of what it says
/// of that.
fn judged(server: &Server, mut below: BTreeSet<ServerName>, mut report: Report, unwanted: Vec<Unwanted>) -> Vec<ServerReport> {
    let mut error = unwanted.into_iter().next().map(|unwanted| unwanted.error);
    let mut all = Vec::new();
    for told in std::mem::take(&mut report.servers) {
        let Some(name) = told.name.parse::<ServerName>().ok().filter(|name| below.remove(name)) else {
            error.get_or_insert(wrong(&server.name, format!("tells the plan of {}, for which it was not asked", told.name)));
            continue;
        };
        all.push(match told.plan {
            Some(plan) => of_plan(&name, *plan, told.error),
            None => {
                let result = if told.result == ServerResult::Unreachable { told.result } else { ServerResult::Failed };
                let error = told.error.unwrap_or_else(|| wrong(&name, "its plan is not known".into()));
                entry(&name, result, Some(error), None)
            }
        });
    }
    all.extend(below.iter().map(|name| {
        let error = wrong(name, format!("{}, above it, says nothing of it: do both have the same spec?", server.name));
        entry(name, ServerResult::Failed, Some(error), None)
    }));
    all.push(of_plan(&server.name, report, error));
    all
}

fn of_plan(name: &ServerName, mut plan: Report, error: Option<Error>) -> ServerReport {
    plan.servers.clear();
    plan.server = Some(name.to_string());
    plan.settle(Tense::Plan);
    let first = || plan.failures().into_iter().next().map(|failure| wrong(name, format!("its plan fails: {}", failure.error)));
    let error = error.or_else(|| if plan.failed { first() } else { None });
    let result = match (&error, plan.changed) {
        (Some(_), _) => ServerResult::Failed,
        (None, true) => ServerResult::Done,
        (None, false) => ServerResult::Unchanged,
    };
    entry(name, result, error, Some(Box::new(plan)))
}

fn entry(name: &ServerName, result: ServerResult, error: Option<Error>, plan: Option<Box<Report>>) -> ServerReport {
    ServerReport { name: name.to_string(), result, sets: Vec::new(), hooks: Vec::new(), error, seconds: 0.0, plan }
}

fn wrong(name: &ServerName, cause: String) -> Error {
    Error::new(ErrorKind::Peer, name.to_string(), cause)
}
