//! Faults of what lies between hosts: late, stalled, cut off, silent, gone.

use crate::first::certs;
use crate::large::{LARGE, Told, Versions, in_place};
use crate::needs_a_fleet;
use crate::support::{Chance, Fleet, Way, server, whole_or};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(6);
const PUSH: &str = "upstream: mgmt, delivery: push, user: root";

fn settings() -> String {
    format!("fleet: {{ deadline: {}s, retries: 0 }}\n{}", DEADLINE.as_secs(), certs("[bad, good]"))
}

/// Ways on which no set arrives: what ssh itself says before is some four thousand bytes.
fn ends(chance: &mut Chance) -> Vec<Way> {
    let mut ways = vec![Way::Refused, Way::SilentAfter(0), Way::CutAfter(20), Way::CutAfter(LARGE / 2), Way::SilentAfter(LARGE / 2)];
    let mut somewhere = || usize::try_from(chance.below(LARGE as u64)).expect("small");
    ways.extend((0..whole_or(24, 2)).map(|_| Way::CutAfter(somewhere())));
    ways.extend((0..whole_or(12, 0)).map(|_| Way::SilentAfter(somewhere())));
    ways
}

#[test]
fn a_push_that_breaks_off_leaves_that_server_as_it_was_and_the_others_served() {
    needs_a_fleet!();
    let mut fleet = Fleet::new(&[server("mgmt", "user: root"), server("bad", PUSH), server("good", PUSH)], &settings());
    let between = fleet.put_before("bad");
    fleet.tell();
    let (mgmt, bad, good) = (fleet.node("mgmt"), fleet.node("bad"), fleet.node("good"));
    let mut versions = Versions::default();
    versions.renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    versions.last_is_at(&[bad, good], "at first");
    for way in ends(&mut Chance::new("a push that breaks off")) {
        let case = format!("{way:?}");
        let before = in_place(bad);
        versions.renew(mgmt);
        between.set(way);
        let said = mgmt.certsync(&["apply", "--format", "json"]);
        assert!(said.status != Some(0) && said.stderr.contains("bad"), "{case}: {said:?}");
        let told = Told::of(&said);
        assert_eq!((told.result("bad"), told.result("good")), ("unreachable", "done"), "{case}: {said:?}");
        assert!(!told.cause("bad").is_empty(), "{case}");
        assert!(told.seconds("good") < DEADLINE.as_secs_f64(), "{case}: {said:?}");
        assert!(in_place(bad) == before, "{case}: nothing has come");
        versions.last_is_at(&[good], &case);
        between.set(Way::Open);
        mgmt.certsync(&["apply"]).ok();
        versions.last_is_at(&[bad, good], &case);
        versions.are_whole_at(bad, &case);
    }
}

#[test]
fn a_push_whose_end_is_cut_off_is_made_again_and_believed_only_where_it_was_heard() {
    needs_a_fleet!();
    let mut fleet = Fleet::new(&[server("mgmt", "user: root"), server("bad", PUSH), server("good", PUSH)], &settings());
    let between = fleet.put_before("bad");
    fleet.tell();
    let (mgmt, bad, good) = (fleet.node("mgmt"), fleet.node("bad"), fleet.node("good"));
    let mut versions = Versions::default();
    let mut chance = Chance::new("a push whose end is cut off");
    for _ in 0..whole_or(30, 4) {
        // From the last piece of the set to the report and good-bye.
        let after = LARGE + usize::try_from(chance.below(12_000)).expect("small");
        let case = format!("cut after {after}");
        versions.renew(mgmt);
        between.set(Way::CutAfter(after));
        let said = mgmt.certsync(&["apply", "--format", "json"]);
        if Told::of(&said).result("bad") == "done" {
            versions.last_is_at(&[bad], &case);
        } else {
            assert!(said.status != Some(0) && said.stderr.contains("bad"), "{case}: {said:?}");
        }
        versions.last_is_at(&[good], &case);
        between.set(Way::Open);
        mgmt.certsync(&["apply"]).ok();
        versions.last_is_at(&[bad, good], &case);
        versions.are_whole_at(bad, &case);
    }
}

#[test]
fn a_fetch_that_breaks_off_leaves_what_is_there_and_says_so() {
    needs_a_fleet!();
    let pull = "upstream: mgmt, user: root";
    let mut fleet = Fleet::new(&[server("mgmt", "user: root"), server("bad", pull), server("good", pull)], &settings());
    let between = fleet.put_before("mgmt");
    fleet.tell();
    let (mgmt, bad) = (fleet.node("mgmt"), fleet.node("bad"));
    let mut versions = Versions::default();
    versions.renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    bad.certsync(&["apply"]).ok();
    for way in ends(&mut Chance::new("a fetch that breaks off")) {
        let case = format!("{way:?}");
        let before = in_place(bad);
        versions.renew(mgmt);
        mgmt.certsync(&["apply"]).ok();
        between.set(way);
        let said = bad.certsync(&["apply", "--format", "json"]);
        assert!(said.status != Some(0) && said.stderr.contains("mgmt"), "{case}: {said:?}");
        assert!(said.stdout.contains("\"kind\": \"upstream\"") || said.stdout.contains("\"kind\":\"upstream\""), "{case}: {said:?}");
        assert!(in_place(bad) == before, "{case}: nothing has come");
        between.set(Way::Open);
        bad.certsync(&["apply"]).ok();
        versions.last_is_at(&[bad], &case);
        versions.are_whole_at(bad, &case);
    }
}

#[test]
fn what_is_only_late_or_stalls_for_a_while_arrives_and_holds_up_nobody_else() {
    needs_a_fleet!();
    let stall = Duration::from_secs(whole_or(30, 3));
    // A round trip of 300 ms.
    let late = Way::Late(Duration::from_millis(150));
    let settings = format!("fleet: {{ deadline: 60s, retries: 0 }}\n{}", certs("[bad, good, pulls]"));
    let pull = "upstream: mgmt, user: root";
    let servers = [server("mgmt", "user: root"), server("bad", PUSH), server("good", PUSH), server("pulls", pull)];
    let mut fleet = Fleet::new(&servers, &settings);
    let (to_bad, to_mgmt) = (fleet.put_before("bad"), fleet.put_before("mgmt"));
    fleet.tell();
    let (mgmt, bad, good, pulls) = (fleet.node("mgmt"), fleet.node("bad"), fleet.node("good"), fleet.node("pulls"));
    let mut versions = Versions::default();
    for way in [late, Way::Stalls(1_500, stall), Way::Stalls(LARGE / 2, stall)] {
        let case = format!("{way:?}");
        versions.renew(mgmt);
        to_bad.set(way);
        to_mgmt.set(way);
        let said = mgmt.certsync(&["apply", "--format", "json"]);
        assert_eq!(said.status, Some(0), "{case}: {said:?}");
        let told = Told::of(&said);
        // They begin at the same time.
        assert!(told.seconds("good") < told.seconds("bad"), "{case}: {said:?}");
        pulls.certsync(&["apply"]).ok();
        versions.last_is_at(&[bad, good, pulls], &case);
    }
}
