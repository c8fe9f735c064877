//! This host among the others: settings, rollout, and the part of the topology that it has to do with.

use super::super::desired::SetSource;
use super::super::fault::quoted;
use super::super::fleet::{
    Beyond, Canary, DEADLINE, Delivery, EntryKind, Fleet, FleetSettings, Members, Parts, Rollout, Route, Server, Stage,
};
use super::super::types_fleet::{CanarySpec, FleetSpec, RolloutSpec, ServerSpec};
use super::servers::{Number, Servers, values};
use super::topology::{Role, Topology, Way};
use super::{Context, bare};
use crate::base::{ServerName, SetName};
use std::time::Duration;

/// How many servers at once, where the spec says nothing.
const PARALLEL: u32 = 64;
const RETRIES: u32 = 3;
const STALE_AFTER: Duration = Duration::from_secs(2 * 24 * 60 * 60);
const PORT: u16 = 22;
const USER: &str = "certsync";
/// The group of the unprivileged gate; a host without it has none.
const GATE_GROUP: &str = "certsync";

/// An entry of `certs:` with its way.
pub(super) struct Going {
    pub entry: SetName,
    pub source: SetSource,
    pub kind: EntryKind,
    pub way: Way,
}

/// This host's part; nothing where it is not known who this host is.
pub(super) fn resolve(context: &Context<'_>, topology: Option<&Topology<'_>>, going: Vec<Going>) -> Option<Fleet> {
    let settings = settings(context);
    let rollout = rollout(context, topology);
    let topology = topology?;
    let (servers, me) = (&topology.servers, topology.me?);
    let mut near = topology.mine.clone();
    near.add_all(&Members::of(servers.count(), servers.above[me].iter().copied()));
    let beyond = servers.reaching(std::iter::once(me)).without(&near);
    let near: Vec<Number> = near.iter().collect();
    let mut local: Vec<Option<Number>> = vec![None; servers.count()];
    near.iter().enumerate().for_each(|(at, number)| local[*number] = Some(at));
    let routes = going.into_iter().filter(|going| going.way.role != Role::Nothing);
    let routes = routes.filter_map(|going| route(topology, me, &local, going)).collect();
    let name = |number: &Number| servers.names[*number].clone();
    // Of those below this host it does not matter who else serves them.
    let known = |number: &Number, upper: &Number| local[*upper].is_some() || *number == me || !topology.mine.has(*number);
    let server = |number: &Number| {
        let upstreams = servers.above[*number].iter().filter(|upper| known(number, upper)).map(name).collect();
        Some(server(context, name(number), upstreams, servers.specs[*number]?))
    };
    let far = |number: Number| {
        let address = servers.specs[number]?.address.value()?.0.clone();
        Some(Beyond { name: name(&number), address, upstreams: servers.above[number].iter().map(name).collect() })
    };
    Some(Fleet::new(Parts {
        me: name(&me),
        servers: near.iter().map(server).collect::<Option<_>>()?,
        beyond: beyond.iter().map(far).collect::<Option<_>>()?,
        settings,
        rollout: rollout.map(|rollout| of_these(rollout, servers, &local)),
        routes,
        spec_hash: context.written.hash,
    }))
}

/// Where a set that comes by here begins, passes through and ends, as far as this host has to do with those servers.
fn route(topology: &Topology<'_>, me: Number, local: &[Option<Number>], going: Going) -> Option<Route> {
    let origin = going.way.origin?;
    let servers = &topology.servers;
    let reached = topology.reached_from(origin);
    let ends = going.way.targets.and(&topology.mine);
    let through = servers.reaching(ends.iter()).and(&topology.mine);
    let above = servers.above[me].iter().copied().filter(|upper| me != origin && reached.has(*upper));
    let own = std::iter::once(me);
    let count = local.iter().flatten().count();
    let near = |members: &mut dyn Iterator<Item = Number>| Members::of(count, members.filter_map(|number| local[number]));
    Some(Route {
        entry: going.entry,
        origin: servers.names[origin].clone(),
        source: going.source,
        kind: going.kind,
        targets: near(&mut ends.iter()),
        through: near(&mut through.iter().chain(above).chain(own)),
    })
}

fn server(context: &Context<'_>, name: ServerName, upstreams: Vec<ServerName>, spec: &ServerSpec) -> Server {
    Server {
        name,
        address: spec.address.value().map(|address| address.0.clone()).unwrap_or_default(),
        port: spec.port.value().copied().unwrap_or(PORT),
        user: spec.user.value().map_or_else(|| USER.to_owned(), |user| user.0.clone()),
        upstreams,
        delivery: spec.delivery.value().copied().unwrap_or(Delivery::Pull),
        via: bare::via(context, spec),
        public_keys: values(&spec.public_key).map(|key| key.0.clone()).collect(),
        host_keys: values(&spec.host_key).map(|key| key.0.clone()).collect(),
        from: values(&spec.from).map(|pattern| pattern.0.clone()).collect(),
    }
}

fn settings(context: &Context<'_>) -> FleetSettings {
    let none = FleetSpec::default();
    let written = context.written.spec.fleet.value().unwrap_or(&none);
    if written.parallel.value() == Some(&0) {
        context.fault(written.parallel.pos(), "`parallel` must be at least 1", "leave it out for 64");
    }
    FleetSettings {
        parallel: written.parallel.value().copied().unwrap_or(PARALLEL),
        deadline: written.deadline.value().map_or(DEADLINE, |period| period.0),
        retries: written.retries.value().copied().unwrap_or(RETRIES),
        stale_after: written.stale_after.value().map_or(STALE_AFTER, |period| period.0),
        gate_group: context.gate_group(&written.gate_group, GATE_GROUP),
    }
}

fn rollout(context: &Context<'_>, topology: Option<&Topology<'_>>) -> Option<Rollout> {
    let written: &RolloutSpec = context.written.spec.rollout.value()?;
    if written.batch.value() == Some(&0) {
        context.fault(written.batch.pos(), "`batch` must be at least 1", "leave it out for all at once");
    }
    let stage = written.stage.value().copied();
    if let (Some(Stage::All), Some(topology)) = (stage, topology) {
        let waiting = topology.waiting();
        if !waiting.is_empty() {
            let names = topology.servers.list(waiting.iter());
            let message = format!("`stage: all` needs servers that can be told when to switch, and these come on their own: {names}");
            context.fault(written.stage.pos(), message, "give them `delivery: trigger` or `push`, or leave `stage` out");
        }
    }
    let canary = canary(context, topology, written);
    Some(Rollout { canary, batch: written.batch.value().copied(), max_failures: written.max_failures.value().copied(), stage })
}

fn canary(context: &Context<'_>, topology: Option<&Topology<'_>>, written: &RolloutSpec) -> Option<Canary> {
    match written.canary.value()? {
        CanarySpec::Number(0) => {
            context.fault(written.canary.pos(), "`canary` must be at least 1", "leave it out for none");
            None
        }
        CanarySpec::Number(number) => Some(Canary::Number(*number)),
        CanarySpec::Names(list) => {
            let servers = &topology?.servers;
            let mut names: Vec<ServerName> = Vec::new();
            for at in list {
                let Some(text) = at.value() else { continue };
                let Some(number) = servers.expect(context, at.pos(), &text.0, "a canary") else { continue };
                let name = servers.names[number];
                if names.contains(name) {
                    context.fault(at.pos(), format!("{} stands here twice", quoted(name.as_str())), "remove one");
                }
                names.push(name.clone());
            }
            Some(Canary::Names(names))
        }
    }
}

/// The rollout as far as it is about these servers.
fn of_these(rollout: Rollout, servers: &Servers<'_>, local: &[Option<Number>]) -> Rollout {
    let is_here = |name: &ServerName| servers.find(name.as_str()).is_some_and(|number| local[number].is_some());
    let canary = match rollout.canary {
        Some(Canary::Names(names)) => Some(Canary::Names(names.into_iter().filter(is_here).collect())),
        other => other,
    };
    Rollout { canary: canary.filter(|canary| *canary != Canary::Names(Vec::new())), ..rollout }
}
