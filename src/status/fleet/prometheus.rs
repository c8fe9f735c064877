//! The fleet in the Prometheus text format.

use super::table::word;
use super::{FleetSet, FleetStatus, Has, ServerStatus};
use crate::status::prometheus::{count, family, labels};

/// Every metric that has a value, with a final line break.
pub fn prometheus(status: &FleetStatus) -> String {
    let mut out = String::new();
    let alone = |value: usize| [(String::new(), count(value))];
    family(&mut out, "certsync_fleet_servers", "Servers below this one.", &alone(status.servers.len()));
    family(&mut out, "certsync_fleet_errors", "Records of the fleet that could not be read.", &alone(status.errors.len()));
    for (name, help, value) in PER_SERVER {
        let one = |server: &ServerStatus| Some((labels(&[("server", server.name.as_str())]), value(server)?));
        let samples: Vec<_> = status.servers.iter().filter_map(one).collect();
        family(&mut out, name, help, &samples);
    }
    for (name, help, value) in PER_SET {
        let one = |(server, set): (&ServerStatus, &FleetSet)| {
            Some((labels(&[("server", server.name.as_str()), ("set", set.set.as_str())]), value(set)?))
        };
        family(&mut out, name, help, &sets(status).filter_map(one).collect::<Vec<_>>());
    }
    let level = |(server, set): (&ServerStatus, &FleetSet)| {
        let level = word(set.level?);
        Some((labels(&[("server", server.name.as_str()), ("set", set.set.as_str()), ("level", level)]), 1))
    };
    family(
        &mut out,
        "certsync_fleet_level",
        "What may be believed of a set on a server.",
        &sets(status).filter_map(level).collect::<Vec<_>>(),
    );
    out
}

fn sets(status: &FleetStatus) -> impl Iterator<Item = (&ServerStatus, &FleetSet)> {
    status.servers.iter().flat_map(|server| server.sets.iter().map(move |set| (server, set)))
}

type PerServer = (&'static str, &'static str, fn(&ServerStatus) -> Option<i64>);

const PER_SERVER: [PerServer; 5] = [
    ("certsync_fleet_last_contact_timestamp_seconds", "When a server was last heard of.", |server| server.last_contact),
    ("certsync_fleet_reported_timestamp_seconds", "When a server said what is known of it, by its own clock.", |server| server.reported),
    ("certsync_fleet_stale", "Whether what is known of a server is older than stale_after, or nothing is.", |s| Some(i64::from(s.stale))),
    ("certsync_fleet_trouble", "Whether a server could not be served when it was last contacted.", |server| {
        Some(i64::from(server.trouble.is_some()))
    }),
    ("certsync_fleet_hooks_failed", "Hooks of a server that failed or are owed.", |server| Some(count(server.hooks.len()))),
];

type PerSet = (&'static str, &'static str, fn(&FleetSet) -> Option<i64>);

const PER_SET: [PerSet; 3] = [
    ("certsync_fleet_certificate_not_after_seconds", "End of validity of what a server has, Unix time.", |set| set.not_after),
    ("certsync_fleet_in_step", "Whether a server has the version it should have, in use and its hooks done.", |set| {
        (set.has != Has::Surplus).then(|| i64::from(set.has == Has::All))
    }),
    ("certsync_fleet_revoked", "Whether a revoked key is in use on a server.", |set| Some(i64::from(set.revoked))),
];
