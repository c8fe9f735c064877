//! The servers: who is above whom. Faults of single servers, of upstreams that do not exist, and cycles of them.

use super::super::fault::{Pos, nearest, quoted};
use super::super::fleet::{Delivery, Members};
use super::super::leaf::Line;
use super::super::types_fleet::{ServerSpec, ViaSpec};
use super::super::wrap::{At, List};
use super::groups::Groups;
use super::{Context, Named, bare};
use crate::base::{ServerName, SshKey};
use std::collections::{HashMap, HashSet};

/// A server's number, in spec order.
pub(super) type Number = usize;

/// Every server of the spec, and the groups of them.
pub(super) struct Servers<'a> {
    pub names: Vec<&'a ServerName>,
    /// Where each is defined.
    pub keys: Vec<Pos>,
    /// What is written of each; none where it has a fault.
    pub specs: Vec<Option<&'a ServerSpec>>,
    /// Of each its upstreams, in the order written; without those that would close a cycle.
    pub above: Vec<Vec<Number>>,
    /// Of each the servers that have it among their upstreams, in spec order.
    pub below: Vec<Vec<Number>>,
    /// Those of which it cannot be told what reaches them, because something above them has a fault.
    pub doubtful: Members,
    pub groups: Groups<'a>,
    by_name: HashMap<&'a str, Number>,
}

impl<'a> Servers<'a> {
    /// Reads all servers and groups; nothing where there are no servers.
    pub(super) fn resolve(
        context: &Context<'_>,
        servers: &Named<'a, ServerName, ServerSpec>,
        groups: &Named<'a, ServerName, List<Line>>,
    ) -> Option<Servers<'a>> {
        let mut all = Servers {
            names: Vec::with_capacity(servers.len()),
            keys: Vec::with_capacity(servers.len()),
            specs: Vec::with_capacity(servers.len()),
            above: Vec::new(),
            below: Vec::new(),
            doubtful: Members::default(),
            groups: Groups::default(),
            by_name: HashMap::with_capacity(servers.len()),
        };
        for (key, at) in servers {
            let Some(name) = key.value() else { continue };
            // One that is defined twice has been said.
            if all.by_name.insert(name.as_str(), all.names.len()).is_none() {
                all.names.push(name);
                all.keys.push(key.pos());
                all.specs.push(at.value());
            }
        }
        all.renumber();
        all.groups = Groups::resolve(context, &all, groups);
        if all.names.is_empty() {
            return None;
        }
        all.upstreams(context);
        all.check_each(context);
        all.check_keys(context);
        Some(all)
    }

    /// After a name that is defined twice, the first place counts.
    fn renumber(&mut self) {
        self.by_name = self.names.iter().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// The number of the server of this name.
    pub(super) fn find(&self, name: &str) -> Option<Number> {
        self.by_name.get(name).copied()
    }

    /// The server of this name; a fault where there is none.
    pub(super) fn expect(&self, context: &Context<'_>, pos: Pos, name: &str, what: &str) -> Option<Number> {
        let found = self.find(name);
        if found.is_none() {
            if self.groups.has(name) || name == "all" {
                let known = if name == "all" { "stands for a group" } else { "is a group" };
                context.fault(pos, format!("{} {known}, {what} is a server", quoted(name)), "name the server itself");
            } else {
                context.fault(pos, format!("no server {}", quoted(name)), self.hint(context, name, &[]));
            }
        }
        found
    }

    /// What a name that does not exist was most likely meant to be.
    pub(super) fn hint(&self, context: &Context<'_>, name: &str, groups: &[&str]) -> String {
        // No work for what will not be shown.
        let names = self.names.iter().map(|name| name.as_str()).filter(|_| !context.reporter.is_full());
        match nearest(name, names.chain(groups.iter().copied())) {
            Some(near) => format!("did you mean {}?", quoted(near)),
            None => "define it below `servers:`".to_owned(),
        }
    }

    /// Names for a message: the first few, and how many more there are.
    pub(super) fn list(&self, numbers: impl Iterator<Item = Number>) -> String {
        const SHOWN: usize = 3;
        let all: Vec<Number> = numbers.collect();
        let shown: Vec<String> = all.iter().take(SHOWN).map(|number| quoted(self.names[*number].as_str())).collect();
        match all.len().saturating_sub(SHOWN) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    }

    /// How sets come to a server.
    pub(super) fn delivery(&self, number: Number) -> Delivery {
        self.specs[number].and_then(|spec| spec.delivery.value().copied()).unwrap_or(Delivery::Pull)
    }

    /// Whether it is a host without certsync.
    pub(super) fn is_bare(&self, number: Number) -> bool {
        self.specs[number].is_some_and(|spec| matches!(spec.via.value(), Some(ViaSpec::Rsync(_))))
    }

    /// The servers without an upstream; none where one of them cannot be read.
    pub(super) fn roots(&self) -> Option<Vec<Number>> {
        let is_root = |number: &Number| self.specs[*number].is_some_and(|spec| !spec.upstream.is_written());
        self.specs.iter().all(Option::is_some).then(|| (0..self.count()).filter(is_root).collect())
    }

    /// Everything below these, and they themselves.
    pub(super) fn reached_from(&self, tops: impl Iterator<Item = Number>) -> Members {
        closure(self.count(), tops, &self.below)
    }

    /// Everything above these, and they themselves.
    pub(super) fn reaching(&self, ends: impl Iterator<Item = Number>) -> Members {
        closure(self.count(), ends, &self.above)
    }

    /// Who is above whom.
    fn upstreams(&mut self, context: &Context<'_>) {
        let mut places: Vec<Vec<(Number, Pos)>> = vec![Vec::new(); self.count()];
        let mut doubtful: Vec<Number> = Vec::new();
        for (number, place) in places.iter_mut().enumerate() {
            let (found, is_sure) = self.specs[number].map_or((Vec::new(), false), |spec| self.upstreams_of(context, spec));
            *place = found;
            if !is_sure {
                doubtful.push(number);
            }
        }
        doubtful.append(&mut self.cut_cycles(context, &mut places));
        self.below = vec![Vec::new(); self.count()];
        for (number, list) in places.iter().enumerate() {
            for (upper, pos) in list {
                self.below[*upper].push(number);
                if self.is_bare(*upper) {
                    let message = format!("{} is a host without certsync, which passes nothing on", quoted(self.names[*upper].as_str()));
                    context.fault(*pos, message, "name another upstream");
                }
            }
        }
        self.above = places.into_iter().map(|list| list.into_iter().map(|(upper, _)| upper).collect()).collect();
        self.doubtful = self.reached_from(doubtful.into_iter());
    }

    /// The upstreams of one server, and whether that is all of them.
    fn upstreams_of(&self, context: &Context<'_>, spec: &ServerSpec) -> (Vec<(Number, Pos)>, bool) {
        let mut found: Vec<(Number, Pos)> = Vec::new();
        let Some(list) = spec.upstream.value() else { return (found, !spec.upstream.is_written()) };
        if list.0.is_empty() {
            context.fault(spec.upstream.pos(), "`upstream` is empty", "name a server, or leave the key out: then it is an origin");
        }
        let mut is_sure = !list.0.is_empty();
        let mut known: HashSet<Number> = HashSet::new();
        for at in &list.0 {
            let upper = at.value().and_then(|name| self.expect(context, at.pos(), &name.0, "an upstream"));
            match upper {
                None => is_sure = false,
                Some(upper) if !known.insert(upper) => {
                    context.fault(at.pos(), format!("{} stands here twice", quoted(self.names[upper].as_str())), "remove one");
                }
                Some(upper) => found.push((upper, at.pos())),
            }
        }
        (found, is_sure)
    }

    /// Takes out one upstream of each cycle, with a fault; returns the servers that had it.
    fn cut_cycles(&self, context: &Context<'_>, places: &mut [Vec<(Number, Pos)>]) -> Vec<Number> {
        let mut in_cycles = Vec::new();
        let back = walk(places.len(), |number, next| places[number].get(next).map(|(upper, _)| *upper)).cycles;
        for (number, next, cycle) in &back {
            // Everybody else in the cycle is below this one.
            in_cycles.push(*number);
            if !cycle.is_empty() {
                let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|number| self.names[*number].as_str()).collect();
                context.fault(places[*number][*next].1, cycle_of("upstreams", &names), "one of them must get its sets from elsewhere");
            }
        }
        for (number, next, _) in back.iter().rev() {
            places[*number].remove(*next);
        }
        in_cycles
    }

    /// What can be said of one server alone.
    fn check_each(&self, context: &Context<'_>) {
        for (number, spec) in self.specs.iter().enumerate() {
            let Some(spec) = spec else { continue };
            let name = quoted(self.names[number].as_str());
            if !spec.address.is_written() {
                context.fault(self.keys[number], "the server has no `address`", "write its host name or address");
            }
            if spec.port.value() == Some(&0) {
                context.fault(spec.port.pos(), "there is no port 0", "leave it out for 22");
            }
            let upstreams = spec.upstream.value().map(|list| list.0.as_slice()).unwrap_or_default();
            if let (Some(Delivery::Push), Some(second)) = (spec.delivery.value(), upstreams.get(1)) {
                let message = format!("{name} is pushed to, and has more than one upstream");
                context.fault(second.pos(), message, "a server that several upstreams may serve pulls: `delivery: trigger` or `pull`");
            }
            let patterns = spec.from.value().map(|list| list.0.as_slice()).unwrap_or_default();
            if !patterns.is_empty() && patterns.iter().all(|at| at.value().is_some_and(|pattern| pattern.0.starts_with('!'))) {
                context.fault(spec.from.pos(), "a `from` of exceptions alone lets nobody in", "write `*` as well");
            }
            if let Some(ViaSpec::Rsync(_)) = spec.via.value() {
                bare::check(context, spec);
            }
        }
    }

    /// A key is who somebody is: no two servers may have one.
    fn check_keys(&self, context: &Context<'_>) {
        let mut first: HashMap<&SshKey, (Number, Pos)> = HashMap::with_capacity(self.count());
        for (number, spec) in self.specs.iter().enumerate() {
            let keys = spec.and_then(|spec| spec.public_key.value()).map(|list| list.0.as_slice()).unwrap_or_default();
            for at in keys {
                let Some(key) = at.value() else { continue };
                if let Some((other, pos)) = first.insert(&key.0, (number, at.pos())) {
                    let message = format!("this is the `public_key` of {} too", quoted(self.names[other].as_str()));
                    let place = context.reporter.place(pos);
                    context.fault(at.pos(), message, format!("it is first written at {place}; each host makes its own"));
                }
            }
        }
    }
}

/// The values of a list without fault.
pub(super) fn values<T>(at: &At<List<T>>) -> impl Iterator<Item = &T> {
    at.value().into_iter().flat_map(List::values)
}

/// Everything that can be reached from the first ones, they themselves included.
fn closure(count: usize, first: impl Iterator<Item = Number>, next: &[Vec<Number>]) -> Members {
    let mut found = Members::none(count);
    let mut open: Vec<Number> = first.filter(|number| found.add(*number)).collect();
    while let Some(number) = open.pop() {
        open.extend(next[number].iter().filter(|next| found.add(**next)));
    }
    found
}

/// A cycle in words: `a → b → a`, a long one without its middle.
pub(super) fn cycle_of(what: &str, names: &[&str]) -> String {
    const SHOWN: usize = 6;
    let shown: Vec<String> = match names.len() {
        0..=SHOWN => names.iter().map(|name| quoted(name)).collect(),
        many => {
            let (head, tail) = (&names[..SHOWN / 2], &names[many - SHOWN / 2..]);
            head.iter()
                .map(|name| quoted(name))
                .chain([format!("… {} more …", many - SHOWN)])
                .chain(tail.iter().map(|name| quoted(name)))
                .collect()
        }
    };
    format!("a cycle of {what}: {}", shown.join(" → "))
}

/// So many cycles are told with their nodes: in a dense tangle there are as many as edges.
const MOST_CYCLES: usize = 100;

/// A walk over a graph, depth first.
pub(super) struct Walk {
    /// The edges that close a cycle: node, which of its edges, and the nodes of the cycle in their order ([`MOST_CYCLES`] times).
    /// Those of one node come in ascending order.
    pub cycles: Vec<(usize, usize, Vec<usize>)>,
    /// All nodes, each after those that its edges lead to; in a cycle one of them is first.
    pub order: Vec<usize>,
}

/// Walks over a graph of so many nodes. Edge number `next` of a node is asked for by `edge`.
pub(super) fn walk(count: usize, edge: impl Fn(usize, usize) -> Option<usize>) -> Walk {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Never,
        OnPath,
        Done,
    }
    let mut seen = vec![Seen::Never; count];
    let mut walk = Walk { cycles: Vec::new(), order: Vec::with_capacity(count) };
    // Nodes on the way to the present one, each with its next edge.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for start in 0..count {
        if seen[start] == Seen::Never {
            seen[start] = Seen::OnPath;
            path.push((start, 0));
        }
        while let Some((node, next)) = path.last_mut() {
            let (from, at) = (*node, *next);
            *next += 1;
            match edge(from, at) {
                None => {
                    seen[from] = Seen::Done;
                    walk.order.push(from);
                    path.pop();
                }
                Some(to) if seen[to] == Seen::Never => {
                    seen[to] = Seen::OnPath;
                    path.push((to, 0));
                }
                Some(to) if seen[to] == Seen::OnPath => {
                    let shown = if walk.cycles.len() < MOST_CYCLES { path.len() } else { 0 };
                    let begin = path.iter().take(shown).position(|(node, _)| *node == to).unwrap_or(shown);
                    walk.cycles.push((from, at, path[begin..shown].iter().map(|(node, _)| *node).collect()));
                }
                Some(_) => {}
            }
        }
    }
    walk
}

#[cfg(test)]
mod tests {
    use super::{cycle_of, walk};

    #[test]
    fn every_cycle_has_an_edge_that_closes_it() {
        let edges = [vec![1], vec![2, 0], vec![0, 2], vec![0]];
        let walked = walk(4, |node, next| edges[node].get(next).copied());
        assert_eq!(walked.order, [2, 1, 0, 3]);
        let found = walked.cycles;
        let closing: Vec<(usize, usize)> = found.iter().map(|(from, at, _)| (*from, *at)).collect();
        assert_eq!(closing, [(2, 0), (2, 1), (1, 1)]);
        assert_eq!(found[0].2, [0, 1, 2]);
        assert_eq!(found[1].2, [2]);
    }

    #[test]
    fn a_long_cycle_is_shown_without_its_middle() {
        let names: Vec<String> = (0..9).map(|number| format!("s{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(cycle_of("groups", &names), "a cycle of groups: `s0` → `s1` → `s2` → … 3 more … → `s6` → `s7` → `s8`");
        assert_eq!(cycle_of("upstreams", &["a", "a"]), "a cycle of upstreams: `a` → `a`");
    }
}
