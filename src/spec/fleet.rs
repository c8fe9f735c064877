//! The other hosts, as far as one host has to do with them: its upstreams, what is below it, and which sets go which way.

use super::desired::{Command, SetSource};
use crate::base::{AbsPath, ContentHash, ServerName, SetName, SshKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// This host among the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// This host.
    pub me: ServerName,
    /// This host, its upstreams and everything below it, in spec order.
    pub servers: Vec<Server>,
    /// How deliveries are made.
    pub settings: FleetSettings,
    /// How a change spreads; none: at once.
    pub rollout: Option<Rollout>,
    /// The entries of `certs:` that begin here, pass through or end here, in spec order.
    pub routes: Vec<Route>,
    /// Hash of the spec file and of all it includes: what two hosts compare.
    pub spec_hash: ContentHash,
    /// What is above the upstreams, which this host has nothing to do with: only that it is there.
    pub(super) beyond: Vec<Beyond>,
    index: Index,
}

/// A server above the upstreams.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Beyond {
    pub name: ServerName,
    pub address: String,
    pub upstreams: Vec<ServerName>,
}

/// What a [`Fleet`] is made of.
pub(super) struct Parts {
    pub me: ServerName,
    pub servers: Vec<Server>,
    pub beyond: Vec<Beyond>,
    pub settings: FleetSettings,
    pub rollout: Option<Rollout>,
    pub routes: Vec<Route>,
    pub spec_hash: ContentHash,
}

/// One host.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Its name in the spec.
    pub name: ServerName,
    /// The host name or address to connect to.
    pub address: String,
    /// The port of its SSH server.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// Its upstreams, in the order in which they are asked; of those below this host the ones that are in [`Fleet::servers`].
    pub upstreams: Vec<ServerName>,
    /// How sets come to it.
    pub delivery: Delivery,
    /// What moves bytes to it.
    pub via: Via,
    /// Its own public keys; several during a rotation.
    pub public_keys: Vec<SshKey>,
    /// The public keys of its SSH server.
    pub host_keys: Vec<SshKey>,
    /// Address patterns for its authorized_keys line; empty: none.
    pub from: Vec<String>,
}

/// How sets come to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// It comes on its own schedule.
    Pull,
    /// Its upstream signals, it pulls at once.
    Trigger,
    /// Its upstream brings the material.
    Push,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Delivery::Pull => "pull",
            Delivery::Trigger => "trigger",
            Delivery::Push => "push",
        })
    }
}

/// What moves bytes to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// The system's OpenSSH, and certsync at the far end.
    Ssh,
    /// The system's rsync, to a host without certsync.
    Rsync {
        /// The directory there.
        directory: AbsPath,
        /// What is run there afterwards.
        command: Option<Command>,
    },
}

/// How long another host may take where the spec says nothing.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How deliveries are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSettings {
    /// How many servers at once.
    pub parallel: u32,
    /// How long one server may take.
    pub deadline: Duration,
    /// How often a server is tried again.
    pub retries: u32,
    /// How long an acknowledgement is believed.
    pub stale_after: Duration,
    /// The group of the unprivileged gate, name and number; none: `none` was written, or certsync does not run as root.
    pub gate_group: Option<(String, u32)>,
}

/// How a change spreads over the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Servers that go first.
    pub canary: Option<Canary>,
    /// How many servers then go at once.
    pub batch: Option<u32>,
    /// Failed installs or hooks after which it stops.
    pub max_failures: Option<u32>,
    /// What is brought everywhere before anybody switches.
    pub stage: Option<Stage>,
}

/// Servers that go first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Canary {
    /// So many, in spec order.
    Number(u32),
    /// These.
    Names(Vec<ServerName>),
}

/// What is brought everywhere before anybody switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Everything.
    All,
}

/// The way of one entry of `certs:`, as far as it can be seen from this host.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The key below `certs:`.
    pub entry: SetName,
    /// The server it comes from.
    pub origin: ServerName,
    /// Where it is read there.
    pub source: SetSource,
    /// Whether it is one set or one of each directory.
    pub kind: EntryKind,
    /// Of this host and those below it: where the set ends, as seen from this host.
    pub(super) targets: Members,
    /// Of [`Fleet::servers`]: where the set begins, passes through or ends.
    pub(super) through: Members,
}

/// Whether an entry of `certs:` is one set, or a pattern that makes some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// One set of its own name.
    Set,
    /// One set of each directory.
    Pattern,
}

impl Fleet {
    pub(super) fn new(parts: Parts) -> Fleet {
        let Parts { me, servers, beyond, settings, rollout, routes, spec_hash } = parts;
        let by_name: HashMap<ServerName, usize> = servers.iter().enumerate().map(|(at, server)| (server.name.clone(), at)).collect();
        let mut below = vec![Vec::new(); servers.len()];
        for (at, server) in servers.iter().enumerate() {
            server.upstreams.iter().filter_map(|upper| by_name.get(upper)).for_each(|upper| below[*upper].push(at));
        }
        let by_entry = routes.iter().enumerate().map(|(at, route)| (route.entry.clone(), at)).collect();
        let index = Index { me: by_name.get(&me).copied().unwrap_or_default(), by_name, by_entry, below };
        Fleet { me, servers, settings, rollout, routes, spec_hash, beyond, index }
    }

    /// This host.
    pub fn me(&self) -> &Server {
        &self.servers[self.index.me]
    }

    /// The server of this name, if this host has to do with it.
    pub fn server(&self, name: &ServerName) -> Option<&Server> {
        self.index.by_name.get(name).map(|at| &self.servers[*at])
    }

    /// This host's upstreams, in the order in which they are asked.
    pub fn upstreams(&self) -> impl Iterator<Item = &Server> {
        self.me().upstreams.iter().filter_map(|name| self.server(name))
    }

    /// The servers that have this host among their upstreams, in spec order.
    pub fn downstreams(&self) -> impl Iterator<Item = &Server> {
        self.index.below[self.index.me].iter().map(|at| &self.servers[*at])
    }

    /// All servers below that one, in spec order; empty for a name that is not known here.
    pub fn below(&self, name: &ServerName) -> impl Iterator<Item = &Server> {
        let below = self.index.by_name.get(name).map(|at| self.index.all_below(*at)).unwrap_or_default();
        self.servers.iter().enumerate().filter(move |(at, _)| below.has(*at)).map(|(_, server)| server)
    }

    /// Whether `other` is below `upper`.
    pub fn is_below(&self, other: &ServerName, upper: &ServerName) -> bool {
        match (self.index.by_name.get(other), self.index.by_name.get(upper)) {
            (Some(other), Some(upper)) => self.index.all_below(*upper).has(*other),
            _ => false,
        }
    }

    /// The route of an entry of `certs:`, if it begins here, passes through or ends here.
    pub fn route(&self, entry: &SetName) -> Option<&Route> {
        self.index.by_entry.get(entry).map(|at| &self.routes[*at])
    }

    /// Whether the server may have the sets of this entry: it is a target itself, or a target below it gets them through it.
    pub fn is_entitled(&self, server: &ServerName, entry: &SetName) -> bool {
        self.is_member(server, entry, |route| &route.through)
    }

    /// Whether the sets of this entry end at the server.
    pub fn is_target(&self, server: &ServerName, entry: &SetName) -> bool {
        self.is_member(server, entry, |route| &route.targets)
    }

    /// The targets of a route, in spec order: this host and those below it that get the set through it.
    pub fn targets<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = &'a Server> {
        self.servers.iter().enumerate().filter(|(at, _)| route.targets.has(*at)).map(|(_, server)| server)
    }

    fn is_member(&self, server: &ServerName, entry: &SetName, members: fn(&Route) -> &Members) -> bool {
        match (self.index.by_name.get(server), self.route(entry)) {
            (Some(at), Some(route)) => members(route).has(*at),
            _ => false,
        }
    }
}

/// What is looked up by name or number.
#[derive(Debug, Clone, Default, PartialEq)]
struct Index {
    me: usize,
    by_name: HashMap<ServerName, usize>,
    by_entry: HashMap<SetName, usize>,
    /// Of each server those directly below it, in spec order.
    below: Vec<Vec<usize>>,
}

impl Index {
    fn all_below(&self, top: usize) -> Members {
        let mut found = Members::none(self.below.len());
        let mut open = vec![top];
        while let Some(at) = open.pop() {
            open.extend(self.below[at].iter().filter(|next| found.add(**next)));
        }
        found
    }
}

/// Some of the servers, by number.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Members(Vec<u64>);

impl Members {
    /// None of so many.
    pub(super) fn none(count: usize) -> Members {
        Members(vec![0; count.div_ceil(64)])
    }

    /// These of so many.
    pub(super) fn of(count: usize, members: impl Iterator<Item = usize>) -> Members {
        let mut all = Members::none(count);
        members.for_each(|at| {
            all.add(at);
        });
        all
    }

    /// Whether it was not in there yet.
    pub(super) fn add(&mut self, at: usize) -> bool {
        let (word, bit) = (&mut self.0[at / 64], 1u64 << (at % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// All of the others as well; both are of the same count.
    pub(super) fn add_all(&mut self, others: &Members) {
        self.0.iter_mut().zip(&others.0).for_each(|(word, other)| *word |= other);
    }

    /// Those that are not among the others.
    pub(super) fn without(&self, others: &Members) -> Members {
        Members(self.0.iter().zip(&others.0).map(|(word, other)| word & !other).collect())
    }

    /// Those that are among the others too.
    pub(super) fn and(&self, others: &Members) -> Members {
        Members(self.0.iter().zip(&others.0).map(|(word, other)| word & other).collect())
    }

    /// This one is not in there any more.
    pub(super) fn remove(&mut self, at: usize) {
        self.0[at / 64] &= !(1 << (at % 64));
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// All of them, in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                (left != 0).then(|| {
                    left &= left - 1;
                    at * 64 + bit
                })
            })
        })
    }

    /// Whether it is in there.
    pub(super) fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }
}
