//! Groups of servers, and what a list of servers and groups comes to.

use super::super::fault::{Pos, quoted};
use super::super::fleet::Members;
use super::super::leaf::Line;
use super::super::wrap::{At, List};
use super::servers::{Number, Servers, cycle_of, walk};
use super::{Context, Named};
use crate::base::ServerName;
use std::collections::HashMap;

/// The word that stands for every server but the set's origin.
pub(super) const ALL: &str = "all";

/// The groups, each with its servers.
#[derive(Default)]
pub(super) struct Groups<'a> {
    names: Vec<&'a str>,
    by_name: HashMap<&'a str, usize>,
    members: Vec<Members>,
}

/// One entry of a list of servers and groups.
#[derive(Clone, Copy)]
pub(super) enum Entry {
    Server(Number),
    Group(usize),
    /// Every server but this one, if any.
    All(Option<Number>),
}

impl<'a> Groups<'a> {
    pub(super) fn resolve(context: &Context<'_>, servers: &Servers<'a>, written: &Named<'a, ServerName, List<Line>>) -> Groups<'a> {
        let mut groups = Groups::default();
        let mut lists: Vec<&[At<Line>]> = Vec::new();
        for (key, at) in written {
            let Some(name) = key.value().map(ServerName::as_str) else { continue };
            if let Some(server) = servers.find(name) {
                let hint = format!("the server is defined at {}", context.reporter.place(servers.keys[server]));
                context.fault(key.pos(), format!("{} is a server too", quoted(name)), hint);
            }
            // One that is defined twice has been said.
            if let std::collections::hash_map::Entry::Vacant(free) = groups.by_name.entry(name) {
                free.insert(groups.names.len());
                groups.names.push(name);
                lists.push(at.value().map(|list| list.0.as_slice()).unwrap_or_default());
            }
        }
        let entries = groups.entries(context, servers, &lists);
        groups.fill(context, servers.count(), &lists, entries);
        groups
    }

    /// Whether there is a group of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// What each name in each group stands for; nothing where there is none.
    fn entries(&self, context: &Context<'_>, servers: &Servers<'a>, lists: &[&[At<Line>]]) -> Vec<Vec<Option<Entry>>> {
        let of_list = |list: &&[At<Line>]| list.iter().map(|at| self.find(context, servers, at)).collect();
        lists.iter().map(of_list).collect()
    }

    fn find(&self, context: &Context<'_>, servers: &Servers<'_>, at: &At<Line>) -> Option<Entry> {
        let name = at.value()?.0.as_str();
        if name == ALL {
            context.fault(at.pos(), "`all` cannot stand in a group", "it depends on the set whom it stands for: write it in `targets`");
            return None;
        }
        self.lookup(context, servers, at.pos(), name)
    }

    /// A server or a group; a fault where there is neither.
    fn lookup(&self, context: &Context<'_>, servers: &Servers<'_>, pos: Pos, name: &str) -> Option<Entry> {
        let found = servers.find(name).map(Entry::Server).or_else(|| self.by_name.get(name).map(|group| Entry::Group(*group)));
        if found.is_none() {
            context.fault(pos, format!("no server or group {}", quoted(name)), servers.hint(context, name, &self.names));
        }
        found
    }

    /// The servers of each group, those of the groups in it included; cycles are faults.
    fn fill(&mut self, context: &Context<'_>, count: usize, lists: &[&[At<Line>]], entries: Vec<Vec<Option<Entry>>>) {
        let inner_of = |(entries, list): (&Vec<Option<Entry>>, &&[At<Line>])| {
            let each = entries.iter().zip(list.iter());
            each.filter_map(|(entry, at)| if let Some(Entry::Group(inner)) = entry { Some((*inner, at.pos())) } else { None }).collect()
        };
        let inner: Vec<Vec<(usize, Pos)>> = entries.iter().zip(lists).map(inner_of).collect();
        let walk = walk(lists.len(), |group, next| inner[group].get(next).map(|(inner, _)| *inner));
        for (group, next, cycle) in walk.cycles.iter().filter(|(_, _, cycle)| !cycle.is_empty()) {
            let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|group| self.names[*group]).collect();
            context.fault(inner[*group][*next].1, cycle_of("groups", &names), "a group cannot hold itself; take one of them out");
        }
        self.members = vec![Members::none(count); lists.len()];
        // Whatever a group holds comes before it, but for cycles, which are faults.
        for group in walk.order {
            let mut all = Members::none(count);
            for entry in entries[group].iter().flatten() {
                match entry {
                    Entry::Server(server) => _ = all.add(*server),
                    Entry::Group(inner) => all.add_all(&self.members[*inner]),
                    Entry::All(_) => {}
                }
            }
            self.members[group] = all;
        }
    }

    /// What a list of targets comes to: each entry that exists with its place. `origin`: the server that `all` leaves out.
    pub(super) fn targets(&self, context: &Context<'_>, servers: &Servers<'_>, list: &List<Line>, origin: Option<Number>) -> Targets {
        let mut targets = Targets { entries: Vec::with_capacity(list.0.len()), all: Members::none(servers.count()) };
        for at in &list.0 {
            let Some(name) = at.value() else { continue };
            let entry = if name.0 == ALL { Some(Entry::All(origin)) } else { self.lookup(context, servers, at.pos(), &name.0) };
            let Some(entry) = entry else { continue };
            match entry {
                Entry::Server(server) => _ = targets.all.add(server),
                Entry::Group(group) => targets.all.add_all(&self.members[group]),
                Entry::All(_) => {
                    targets.all.add_all(&Members::of(servers.count(), (0..servers.count()).filter(|server| Some(*server) != origin)))
                }
            }
            targets.entries.push((at.pos(), entry));
        }
        targets
    }

    /// Those of the servers an entry stands for that are among these.
    pub(super) fn of_entry(&self, entry: Entry, among: &Members) -> Vec<Number> {
        match entry {
            Entry::Server(one) => Some(one).filter(|one| among.has(*one)).into_iter().collect(),
            Entry::Group(group) => among.iter().filter(|server| self.members[group].has(*server)).collect(),
            Entry::All(origin) => among.iter().filter(|server| Some(*server) != origin).collect(),
        }
    }
}

/// The servers of a list, and what each entry of it stands for.
pub(super) struct Targets {
    pub entries: Vec<(Pos, Entry)>,
    pub all: Members,
}
