//! A tier that cannot be reached, and can be again.

use crate::further_turn::is_taken;
use crate::large::{Told, Versions};
use crate::needs_a_fleet;
use crate::support::{Fleet, Way, server};
use std::time::{Duration, Instant};

const PUSH: &str = "upstream: mgmt, delivery: push, user: root";

fn certs(targets: &str) -> String {
    format!(
        "fleet: {{ deadline: 8s, retries: 0 }}\ncerts:\n  example.com: {{ source: /srv/source, targets: {targets}, install: /srv/live }}\n"
    )
}

/// Tries until it is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_tier_that_is_pushed_to_and_cut_off_is_named_and_catches_up_once_it_can_be_reached() {
    needs_a_fleet!();
    let below = "upstream: hub, delivery: push, user: root";
    let servers =
        [server("mgmt", "user: root"), server("hub", PUSH), server("other", PUSH), server("edge1", below), server("edge2", below)];
    let mut fleet = Fleet::new(&servers, &certs("all"));
    let [to_hub, to_edge1, to_edge2] = ["hub", "edge1", "edge2"].map(|name| fleet.put_before(name));
    fleet.tell();
    let [mgmt, hub, other, edge1, edge2] = ["mgmt", "hub", "other", "edge1", "edge2"].map(|name| fleet.node(name));
    let mut versions = Versions::default();
    versions.renew(mgmt);
    eventually("all have the first one", || {
        mgmt.certsync(&["apply"]).status == Some(0) && [edge1, edge2].iter().all(|edge| versions.is_last_at(edge))
    });

    // The lower tier: one swallows everything, of the other nobody is there.
    versions.renew(mgmt);
    to_edge1.set(Way::SilentAfter(0));
    to_edge2.set(Way::Refused);
    let said = mgmt.certsync(&["apply", "--format", "json"]);
    let told = Told::of(&said);
    assert_eq!((told.result("hub"), told.result("other")), ("done", "done"), "{said:?}");
    assert!(said.stdout.contains("below hub, edge1, edge2 have not everything yet"), "{said:?}");
    versions.last_is_at(&[hub, other], "below the hub nobody is there");
    for edge in [edge1, edge2] {
        versions.are_whole_at(edge, "cut off");
    }
    // It may still be at it for the sake of those above.
    eventually("the hub has given up both", || !is_taken(hub, "deliver"));
    let named = hub.certsync(&["apply", "--format", "json"]);
    assert_ne!(named.status, Some(0), "{named:?}");
    let told = Told::of(&named);
    assert_eq!((told.result("edge1"), told.result("edge2")), ("unreachable", "unreachable"), "{named:?}");
    to_edge1.set(Way::Open);
    to_edge2.set(Way::Open);
    eventually("the lower tier is back", || {
        mgmt.certsync(&["apply"]).status == Some(0) && [edge1, edge2].iter().all(|edge| versions.is_last_at(edge))
    });

    // The upper one, and with it all below.
    versions.renew(mgmt);
    to_hub.set(Way::SilentAfter(0));
    let said = mgmt.certsync(&["apply", "--format", "json"]);
    let told = Told::of(&said);
    assert_eq!((said.status == Some(0), told.result("hub"), told.result("other")), (false, "unreachable", "done"), "{said:?}");
    to_hub.set(Way::Open);
    eventually("the upper tier is back", || {
        mgmt.certsync(&["apply"]).status == Some(0) && [edge1, edge2].iter().all(|edge| versions.is_last_at(edge))
    });
    versions.last_is_at(&[hub, other], "the upper tier is back");
    let before = to_hub.connections();
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(to_hub.connections(), before, "all have said that they have it");
}

#[test]
fn a_tier_that_is_signalled_and_cut_off_is_named_and_catches_up_once_it_can_be_reached() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("hub", "upstream: mgmt, delivery: trigger, user: root"),
        server("edge", "upstream: hub, delivery: trigger, user: root"),
    ];
    let mut fleet = Fleet::new(&servers, &certs("all"));
    let (to_hub, to_edge) = (fleet.put_before("hub"), fleet.put_before("edge"));
    fleet.tell();
    let [mgmt, hub, edge] = ["mgmt", "hub", "edge"].map(|name| fleet.node(name));
    let mut versions = Versions::default();
    let arrives = |versions: &Versions, case: &str| eventually(case, || versions.is_last_at(edge));
    versions.renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    arrives(&versions, "at first");
    versions.renew(mgmt);
    // Neither is it signalled nor can it ask.
    to_edge.set(Way::Refused);
    to_hub.set(Way::Refused);
    let said = mgmt.certsync(&["apply", "--format", "json"]);
    assert_eq!((said.status == Some(0), Told::of(&said).result("hub")), (false, "unreachable"), "{said:?}");
    // It has its own way up.
    hub.certsync(&["apply"]);
    versions.last_is_at(&[hub], "the hub asks by itself");
    let asked = edge.certsync(&["apply"]);
    assert!(asked.status != Some(0) && asked.stderr.contains("hub"), "{asked:?}");
    let named = hub.certsync(&["apply", "--format", "json"]);
    assert_eq!((named.status == Some(0), Told::of(&named).result("edge")), (false, "unreachable"), "{named:?}");
    versions.are_whole_at(edge, "cut off");
    to_edge.set(Way::Open);
    to_hub.set(Way::Open);
    hub.certsync(&["apply"]).ok();
    arrives(&versions, "the tier is back");
}
