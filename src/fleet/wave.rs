//! A rollout in waves: those that may be contacted now are, and when they are through it is asked who comes next.

use super::due::Due;
use super::rollout::{Halt, Known, Target, Tried, named, next};
use crate::base::{ServerName, SetName};
use crate::plan::{ServerReport, ServerResult};
use crate::spec::fleet::{Fleet, Rollout, Server};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The servers of a rollout, and how each stands.
pub struct Wave<'a> {
    servers: Vec<&'a Server>,
    targets: Vec<Target>,
    at: BTreeMap<ServerName, usize>,
}

/// Who is to be contacted now.
pub struct Servers<'a> {
    /// They get what they should have, and switch to it.
    pub switch: Vec<&'a Server>,
    /// Why nobody comes after them.
    pub halt: Option<Halt>,
}

impl<'a> Wave<'a> {
    /// Those that are `due` and those in step that get something of the same, in spec order; `known` tells how one stands that is due.
    pub fn new(fleet: &Fleet, due: &[Due<'a>], in_step: &[&'a Server], known: impl Fn(&Due<'_>) -> Known) -> Wave<'a> {
        let mut all: BTreeMap<usize, (&'a Server, Known)> = BTreeMap::new();
        let order: BTreeMap<&ServerName, usize> = fleet.servers.iter().enumerate().map(|(at, server)| (&server.name, at)).collect();
        let at = |server: &Server| order.get(&server.name).copied().unwrap_or(usize::MAX);
        all.extend(due.iter().map(|due| (at(due.server), (due.server, known(due)))));
        // One that gets nothing of what spreads is no canary of it.
        let entries: BTreeSet<&SetName> =
            due.iter().flat_map(|due| due.wanted.offers.iter().map(|(set, offer)| offer.entry(set))).collect();
        let is_concerned = |server: &&&Server| entries.iter().any(|entry| fleet.is_entitled(&server.name, entry));
        all.extend(in_step.iter().filter(is_concerned).map(|server| (at(server), (*server, Known::Done))));
        let servers: Vec<&Server> = all.values().map(|(server, _)| *server).collect();
        let target = |(server, known): &(&Server, Known)| Target { known: *known, canary: named(fleet, &server.name) };
        Wave {
            targets: all.values().map(target).collect(),
            at: servers.iter().enumerate().map(|(at, server)| (server.name.clone(), at)).collect(),
            servers,
        }
    }

    /// Who is to be contacted now; they count as under way until [`Wave::note`].
    pub fn next(&mut self, rollout: Option<&Rollout>) -> Servers<'a> {
        let next = next(rollout, &self.targets);
        for at in &next.switch {
            let tried = if self.targets[*at].known == Known::FailedBefore { Tried::Again } else { Tried::First };
            self.targets[*at].known = Known::UnderWay(tried);
        }
        Servers { switch: next.switch.iter().map(|at| self.servers[*at]).collect(), halt: next.halt }
    }

    /// What became of one.
    pub fn note(&mut self, told: &ServerReport) {
        let Some(at) = told.name.parse::<ServerName>().ok().and_then(|name| self.at.get(&name).copied()) else { return };
        self.targets[at].known = match told.result {
            ServerResult::Done | ServerResult::Unchanged => Known::Done,
            ServerResult::Failed => Known::Failed,
            ServerResult::Unreachable => Known::Unreachable,
            // It is on its way there, and nobody knows how it ends: its place among the first is not taken by another.
            ServerResult::Waiting => Known::UnderWay(Tried::First),
        };
    }

    /// Those whose turn has not come.
    pub fn left(&self) -> impl Iterator<Item = &'a Server> {
        let is_left = |known: Known| matches!(known, Known::Waiting | Known::FailedBefore);
        self.servers.iter().zip(&self.targets).filter(move |(_, target)| is_left(target.known)).map(|(server, _)| *server)
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Halt::Canary => f.write_str("a server that goes first has failed, the others stay as they are"),
            Halt::Failures(1) => f.write_str("one server has failed, the others stay as they are"),
            Halt::Failures(count) => write!(f, "{count} servers have failed, the others stay as they are"),
        }
    }
}
