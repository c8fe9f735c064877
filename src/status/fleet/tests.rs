use super::{FleetInputs, FleetStatus, Has, fleet_status_of, json, prometheus, table, verdict};
use crate::base::{AbsPath, ContentHash, Digest, Error, ErrorKind, KeyFingerprint};
use crate::spec::{Desired, SpecInput, load};
use crate::state::{HookStanding, Level, Offers, Peer, SetStanding, Standing, TroubleKind};
use crate::status::{Health, Thresholds};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

/// 2026-11-01 00:00 UTC.
const NOW: i64 = 1_793_491_200;
const DAY: i64 = 86_400;

/// web1 and web2 are targets; web1 passes on to edge1, which is one; other has nothing to do with it.
const SPEC: &str = "\
version: 1
servers:
  mgmt: { address: a }
  web1: { address: b, upstream: mgmt, delivery: push }
  web2: { address: c, upstream: mgmt }
  edge1: { address: d, upstream: web1 }
  other: { address: e, upstream: mgmt }
certs:
  a: { source: /src/a, targets: [web1, web2, edge1], install: /srv/a }
  b: { source: /src/b, targets: [edge1], install: /srv/b }
fleet: { gate_group: none }
";

fn parsed<T: FromStr<Err: std::fmt::Display>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| unreachable!("{text}: {error}"))
}

fn desired(text: &str) -> Desired {
    let at: AbsPath = parsed("/nowhere/certsync.yaml");
    load(SpecInput::Text { text: text.into(), at }, Some("mgmt")).unwrap_or_else(|faults| unreachable!("{faults}")).desired
}

fn key(name: &str) -> KeyFingerprint {
    KeyFingerprint::of_spki(name.as_bytes())
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

/// Both sets, each with version 2.
fn offers() -> Offers {
    let offer = serde_json::json!({
        "digest": digest(2), "revision": 2, "pattern": null, "keys": [key("new")], "not_before": null, "not_after": null
    });
    let offers = serde_json::json!({ "version": 1, "sets": { "a": offer, "b": offer } });
    serde_json::from_value(offers).unwrap_or_else(|error| unreachable!("{error}"))
}

fn has(version: u8, level: Level) -> SetStanding {
    SetStanding {
        digest: digest(version),
        revision: version.into(),
        level,
        since: NOW - DAY,
        not_before: None,
        not_after: Some(NOW + 30 * DAY),
        error: None,
        keys: vec![key(if version == 2 { "new" } else { "old" })],
    }
}

fn peer(name: &str, sets: &[(&str, SetStanding)]) -> Peer {
    let standing = Standing {
        server: parsed(name),
        at: NOW - 60,
        certsync: "1.2.3".into(),
        spec: ContentHash::of(b"spec"),
        sets: sets.iter().map(|(set, standing)| (parsed(set), standing.clone())).collect(),
        hooks: Vec::new(),
        errors: Vec::new(),
    };
    Peer { standing: Some(standing), contact: Some(NOW - 30), ..Peer::unknown(parsed(name)) }
}

fn all_done() -> Vec<Peer> {
    let done = || has(2, Level::Done);
    vec![peer("web1", &[("a", done()), ("b", done())]), peer("web2", &[("a", done())]), peer("edge1", &[("a", done()), ("b", done())])]
}

fn status_of(peers: Vec<Peer>, revoked: &[KeyFingerprint]) -> FleetStatus {
    let desired = desired(SPEC);
    let Some(fleet) = &desired.fleet else { unreachable!("a fleet") };
    let known: BTreeMap<_, _> = peers.into_iter().map(|peer| (peer.server.clone(), peer)).collect();
    let revoked: BTreeSet<_> = revoked.iter().copied().collect();
    fleet_status_of(FleetInputs { fleet, offers: &offers(), revoked: &revoked, known: &known, now: NOW, errors: Vec::new() })
}

fn told(status: &FleetStatus) -> (Health, String) {
    let verdict = verdict(status, Thresholds { warn: Some(Duration::from_secs(21 * 86_400)), crit: Some(Duration::from_secs(7 * 86_400)) });
    (verdict.health, verdict.line)
}

/// All are in step but for what `change` does to one of them.
fn but(at: usize, change: impl FnOnce(&mut Peer)) -> FleetStatus {
    let mut peers = all_done();
    change(&mut peers[at]);
    status_of(peers, &[])
}

fn standing(peer: &mut Peer) -> &mut Standing {
    peer.standing.get_or_insert_with(|| unreachable!("it has one"))
}

#[test]
fn where_all_have_everything_nothing_is_said() {
    let status = status_of(all_done(), &[]);
    assert_eq!(told(&status), (Health::Ok, "OK - 4 servers, all in step".into()));
    assert!(status.servers.iter().flat_map(|server| &server.sets).all(|set| set.has == Has::All));
    let other = status.servers.iter().find(|server| server.name.as_str() == "other");
    assert!(other.is_some_and(|other| !other.stale && other.sets.is_empty()), "it should have nothing");
}

#[test]
fn who_was_never_heard_of_stands_out() {
    let mut peers = all_done();
    peers.truncate(2);
    let status = status_of(peers, &[]);
    let expected = "\
SERVER  SET  DIGEST        DAYS  LEVEL  SINCE              LAST CONTACT       NOTES
web1    a    020202020202    30  done   2026-10-31 00:00Z  2026-10-31 23:59Z
web1    b    020202020202    30  done   2026-10-31 00:00Z  2026-10-31 23:59Z
web2    a    020202020202    30  done   2026-10-31 00:00Z  2026-10-31 23:59Z
other   -    -                -  -      -                  never
edge1   a    -                -  -      -                  never              STALE: never heard of; does not have it
edge1   b    -                -  -      -                  never              does not have it
4 servers: 1 without what they should have, 1 stale
";
    assert_eq!(table(&status, Thresholds::default()), expected);
    let line = "CRITICAL - edge1: STALE: never heard of, a: does not have it, b: does not have it";
    assert_eq!(told(&status), (Health::Critical, line.into()));
}

#[test]
fn a_host_between_that_repeats_old_words_makes_nobody_fresh() {
    let status = but(2, |edge1| standing(edge1).at = NOW - 5 * DAY);
    assert_eq!(told(&status), (Health::Critical, "CRITICAL - edge1: STALE: nothing new since 5 days".into()));
    assert_eq!(told(&but(2, |edge1| standing(edge1).at = NOW - 2 * DAY)).0, Health::Ok, "just within stale_after");
    let silent = but(2, |edge1| edge1.contact = Some(NOW - 3 * DAY));
    assert_eq!(told(&silent).1, "CRITICAL - edge1: STALE: nothing new since 3 days");
}

#[test]
fn what_a_server_lacks_is_critical_and_what_it_owes_a_warning() {
    let with = |level: Level| but(1, |web2| drop(standing(web2).sets.insert(parsed("a"), has(2, level))));
    assert_eq!(told(&with(Level::Stored)), (Health::Critical, "CRITICAL - web2: a: not installed yet".into()));
    assert_eq!(told(&with(Level::Installed)), (Health::Warning, "WARNING - web2: a: a hook is owed".into()));
    assert_eq!(told(&with(Level::Held)).0, Health::Ok);
    let old = |level: Level| but(1, |web2| drop(standing(web2).sets.insert(parsed("a"), has(1, level))));
    assert_eq!(told(&old(Level::Done)), (Health::Critical, "CRITICAL - web2: a: should be 020202020202".into()));
    assert_eq!(told(&old(Level::Held)).0, Health::Ok, "somebody wants it so");
    let refused = but(1, |web2| {
        let set = SetStanding { error: Some("a: older".into()), ..has(2, Level::Refused) };
        standing(web2).sets.insert(parsed("a"), set);
    });
    assert_eq!(told(&refused), (Health::Critical, "CRITICAL - web2: a refused: a: older".into()));
    let ends = but(1, |web2| {
        standing(web2).sets.insert(parsed("a"), SetStanding { not_after: Some(NOW + 10 * DAY), ..has(2, Level::Done) });
    });
    assert_eq!(told(&ends), (Health::Warning, "WARNING - web2: a: 10 days left".into()));
    let surplus = but(1, |web2| {
        standing(web2).sets.insert(parsed("c"), SetStanding { not_after: Some(NOW - DAY), ..has(1, Level::Done) });
    });
    assert_eq!(told(&surplus).0, Health::Ok, "it is not renewed any more");
}

#[test]
fn trouble_and_hooks_are_told_with_their_cause() {
    let error = Error::new(ErrorKind::Peer, "web1", "connection refused");
    let unreachable = but(0, |web1| web1.fail(TroubleKind::Unreachable, &error, NOW - DAY));
    assert_eq!(told(&unreachable), (Health::Warning, "WARNING - web1: unreachable since 2026-10-31 00:00Z: connection refused".into()));
    assert_eq!(told(&but(0, |web1| web1.fail(TroubleKind::Refused, &error, NOW))).0, Health::Critical);
    let owes = but(0, |web1| {
        standing(web1).hooks = vec![HookStanding { name: parsed("nginx"), set: None, last: "no\u{1b}[2J".into() }];
    });
    assert_eq!(told(&owes), (Health::Warning, "WARNING - web1: hook nginx: no\\u{1b}[2J".into()));
    assert!(!(json(&owes) + &table(&owes, Thresholds::default())).contains('\u{1b}'));
}

#[test]
fn who_still_uses_a_revoked_key_is_told_whatever_version_it_is_of() {
    let mut peers = all_done();
    standing(&mut peers[1]).sets.insert(parsed("a"), has(1, Level::Done));
    // A server of a version that says nothing of its keys.
    let silent = SetStanding { keys: Vec::new(), ..has(2, Level::Done) };
    standing(&mut peers[0]).sets.insert(parsed("a"), silent);
    let using = |status: &FleetStatus| -> Vec<String> {
        let all = status.servers.iter().flat_map(|server| server.sets.iter().map(move |set| (server, set)));
        all.filter(|(_, set)| set.revoked).map(|(server, set)| format!("{} {}", server.name, set.set)).collect()
    };
    let old = status_of(peers.clone(), &[key("old")]);
    assert_eq!(using(&old), ["web2 a"]);
    assert_eq!(told(&old).0, Health::Critical);
    assert!(told(&old).1.contains("web2: a: revoked key, should be"), "{}", told(&old).1);
    let new = status_of(peers.clone(), &[key("new")]);
    assert_eq!(using(&new), ["web1 a", "web1 b", "edge1 a", "edge1 b"]);
    assert!(status_of(peers, &[key("third")]).servers.iter().all(|server| server.sets.iter().all(|set| !set.revoked)));
}

#[test]
fn node_exporter_reads_a_line_for_each_server_and_set() {
    let mut peers = all_done();
    peers.remove(1);
    let text = prometheus(&status_of(peers, &[]));
    for line in [
        "certsync_fleet_servers 4",
        "certsync_fleet_stale{server=\"web1\"} 0",
        "certsync_fleet_stale{server=\"web2\"} 1",
        "certsync_fleet_in_step{server=\"edge1\",set=\"b\"} 1",
        "certsync_fleet_in_step{server=\"web2\",set=\"a\"} 0",
        "certsync_fleet_level{server=\"web1\",set=\"a\",level=\"done\"} 1",
        "certsync_fleet_certificate_not_after_seconds{server=\"web1\",set=\"a\"} 1796083200",
        "certsync_fleet_last_contact_timestamp_seconds{server=\"web1\"} 1793491170",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("certsync_fleet_last_contact_timestamp_seconds{server=\"web2\"}"), "never is no number");
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
}

#[test]
fn three_thousand_servers_are_no_trouble() {
    let servers: String = (0..3000).map(|i| format!("  s{i}: {{ address: a{i}, upstream: mgmt }}\n")).collect();
    let text = format!(
        "version: 1\nservers:\n  mgmt: {{ address: a }}\n{servers}certs:\n  a: {{ source: /src/a, targets: all, install: /srv/a }}\nfleet: {{ gate_group: none }}\n"
    );
    let desired = desired(&text);
    let Some(fleet) = &desired.fleet else { unreachable!("a fleet") };
    let known = (0..3000).map(|i| peer(&format!("s{i}"), &[("a", has(2, Level::Done))])).map(|peer| (peer.server.clone(), peer)).collect();
    let inputs = FleetInputs { fleet, offers: &offers(), revoked: &BTreeSet::new(), known: &known, now: NOW, errors: Vec::new() };
    let status = fleet_status_of(inputs);
    assert_eq!(told(&status), (Health::Ok, "OK - 3000 servers, all in step".into()));
    assert_eq!(table(&status, Thresholds::default()).lines().count(), 3002);
}
