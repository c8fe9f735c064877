//! `rollout: { stage: all }`: brought to all first, and nobody switches before.

use crate::broken::fake;
use crate::first::{certs, installed, renew, renew_with};
use crate::needs_a_fleet;
use crate::support::process::eventually;
use crate::support::{Fleet, Node, server};
use serde_json::Value;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

const PUSH: &str = "upstream: mgmt, delivery: push, user: root";

/// Two servers that are pushed to, each with a first certificate.
fn two(rollout: &str) -> (Fleet, String) {
    let servers = [server("mgmt", "user: root"), server("web1", PUSH), server("web2", PUSH)];
    let fleet = Fleet::new(&servers, &format!("fleet: {{ retries: 0 }}\nrollout: {{ {rollout} }}\n{}", certs("[web1, web2]")));
    for name in ["web1", "web2"] {
        fleet.node(name).certsync(&["apply"]);
    }
    let first = renew(fleet.node("mgmt"));
    fleet.node("mgmt").certsync(&["apply"]).ok();
    assert_eq!(have(&fleet, &["web1", "web2"]), [first.clone(), first.clone()]);
    (fleet, first)
}

fn have(fleet: &Fleet, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| installed(fleet.node(name))).collect()
}

fn is_stored(node: &Node, certificate: &str) -> bool {
    let versions = fs::read_dir(node.path("state/store/example.com")).map(|all| all.flatten().collect()).unwrap_or_else(|_| Vec::new());
    versions.iter().any(|version| fs::read_to_string(version.path().join("cert.pem")).is_ok_and(|text| text == certificate))
}

fn json(node: &Node, args: &[&str]) -> (Option<i32>, Value) {
    let answer = node.certsync(&[args, &["--format", "json"]].concat());
    (answer.status, serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}")))
}

#[test]
fn nobody_switches_before_all_have_it_and_then_all_do() {
    needs_a_fleet!();
    let (fleet, first) = two("stage: all");
    let (mgmt, web1, web2) = (fleet.node("mgmt"), fleet.node("web1"), fleet.node("web2"));
    fake(web2, "exit 1");
    let second = renew(mgmt);
    let said = mgmt.certsync(&["apply"]);
    assert!(said.status == Some(1), "{said:?}");
    assert!(said.stderr.contains("example.com: web2 does not have the new version yet, nobody switches to it\n"), "{said:?}");
    assert_eq!(have(&fleet, &["web1", "web2"]), [first.clone(), first.clone()]);
    assert!(is_stored(web1, &second) && !is_stored(web2, &second));
    // Its own runs mend what is installed, and leave alone what waits.
    let (status, report) = json(web1, &["apply", "--detailed-exitcode"]);
    assert_eq!((status, &report["sets"][0]["result"]), (Some(0), &Value::from("unchanged")), "{report:#}");
    fs::remove_file(web1.path("live/cert.pem")).expect("it is there");
    web1.certsync(&["apply"]).ok();
    assert_eq!(installed(web1), first);
    assert!(is_stored(web1, &second), "it is kept");
    // Once more, in vain: web1 is not asked again.
    let (status, report) = json(mgmt, &["apply"]);
    assert_eq!((status, report["servers"][0]["result"].as_str()), (Some(1), Some("unchanged")), "{report:#}");
    let fleet_status: Value = serde_json::from_str(&mgmt.certsync(&["status", "--fleet", "--format", "json"]).stdout).expect("JSON");
    assert_eq!(fleet_status["servers"][0]["sets"][0]["level"], "stored", "{fleet_status:#}");
    fleet.tell_one(web2);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(have(&fleet, &["web1", "web2"]), [second.clone(), second.clone()]);
    assert!(!web1.path("state/staged.json").exists(), "nothing waits any more");
    let (status, report) = json(mgmt, &["apply", "--detailed-exitcode"]);
    assert_eq!(status, Some(0), "{report:#}");
    // Everybody is there: all of it is one run.
    let third = renew(mgmt);
    let (status, report) = json(mgmt, &["apply"]);
    assert_eq!((status, have(&fleet, &["web1", "web2"])), (Some(0), vec![third.clone(), third]), "{report:#}");
    assert_eq!(report["servers"].as_array().map(Vec::len), Some(2), "each is told once: {report:#}");
}

#[test]
fn a_server_tells_that_it_has_it_and_a_newer_one_takes_its_place() {
    needs_a_fleet!();
    let (fleet, first) = two("stage: all");
    let (mgmt, web1, web2) = (fleet.node("mgmt"), fleet.node("web1"), fleet.node("web2"));
    fake(web2, "exit 1");
    renew(mgmt);
    let (_, report) = json(mgmt, &["apply"]);
    let told = &report["servers"][0];
    assert_eq!((told["name"].as_str(), told["result"].as_str()), (Some("web1"), Some("done")), "{report:#}");
    assert_eq!(told["sets"][0]["level"], "stored", "{report:#}");
    let newer = renew(mgmt);
    mgmt.certsync(&["apply"]);
    assert_eq!(installed(web1), first);
    fleet.tell_one(web2);
    // What was lost there meanwhile is brought again.
    fs::remove_dir_all(web1.path("state/store/example.com")).expect("the store");
    for _ in 0..2 {
        mgmt.certsync(&["apply"]);
    }
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(have(&fleet, &["web1", "web2"]), [newer.clone(), newer]);
}

/// What the origin knows of web2 is as old as that.
fn long_silent(mgmt: &Node, seconds: i64) {
    let mut aged = 0;
    for entry in fs::read_dir(mgmt.path("state/peers")).expect("records").flatten() {
        let mut peer: Value = serde_json::from_slice(&fs::read(entry.path()).expect("a record")).expect("JSON");
        if peer["server"] == "web2" {
            for at in ["/contact", "/standing/at"] {
                let time = peer.pointer_mut(at).expect("a time");
                *time = Value::from(time.as_i64().expect("a number") - seconds);
            }
            fs::write(entry.path(), peer.to_string()).expect("written");
            aged += 1;
        }
    }
    assert_eq!(aged, 1);
}

#[test]
fn one_that_is_silent_for_long_is_not_waited_for() {
    needs_a_fleet!();
    let (fleet, first) = two("stage: all");
    let (mgmt, web2) = (fleet.node("mgmt"), fleet.node("web2"));
    fake(web2, "exit 1");
    let second = renew(mgmt);
    long_silent(mgmt, 86_400);
    assert_eq!(mgmt.certsync(&["apply"]).status, Some(1));
    assert_eq!(have(&fleet, &["web1", "web2"]), [first.clone(), first.clone()]);
    long_silent(mgmt, 2 * 86_400);
    let said = mgmt.certsync(&["apply"]);
    assert!(said.status == Some(1) && !said.stderr.contains("nobody switches"), "{said:?}");
    assert_eq!(have(&fleet, &["web1", "web2"]), [second.clone(), first]);
    fleet.tell_one(web2);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(installed(web2), second);
}

#[test]
fn what_is_in_use_and_runs_out_is_not_waited_for() {
    needs_a_fleet!();
    let (fleet, _) = two("stage: all");
    let (mgmt, web2) = (fleet.node("mgmt"), fleet.node("web2"));
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()).expect("small");
    let dated = |begin: i64, end: i64| {
        renew_with(mgmt, |params| {
            let day = |days: i64| {
                rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(u64::try_from(now + days * 86_400).expect("later"))
            };
            (params.not_before, params.not_after) = (day(begin), day(end));
        })
    };
    let old = dated(-70, 20);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(have(&fleet, &["web1", "web2"]), [old.clone(), old.clone()]);
    fake(web2, "exit 1");
    let new = dated(-1, 89);
    let said = mgmt.certsync(&["apply"]);
    assert!(said.status == Some(1) && said.stdout.contains("what is in use has not long to live"), "{said:?}");
    assert_eq!(have(&fleet, &["web1", "web2"]), [new.clone(), old]);
    fleet.tell_one(web2);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(installed(web2), new);
}

#[test]
fn now_waits_for_nobody() {
    needs_a_fleet!();
    let (fleet, first) = two("stage: all");
    let mgmt = fleet.node("mgmt");
    fake(fleet.node("web2"), "exit 1");
    let second = renew(mgmt);
    for (args, expected) in [(&["apply"][..], &first), (&["apply", "--now"], &second)] {
        assert_eq!(mgmt.certsync(args).status, Some(1));
        assert_eq!(have(&fleet, &["web1", "web2"]), [expected.clone(), first.clone()], "{args:?}");
    }
}

#[test]
fn canaries_go_first_once_all_have_it() {
    needs_a_fleet!();
    let servers = [server("mgmt", "user: root"), server("web1", PUSH), server("web2", PUSH)];
    let certs = "hooks:\n  reload: { run: \"test ! -e /srv/broken\" }\ncerts:\n  example.com: { source: /srv/source, targets: [web1, web2], \
                 install: { dest: /srv/live, hooks: [reload] } }\n";
    let fleet = Fleet::new(&servers, &format!("rollout: {{ stage: all, canary: 1, max_failures: 0 }}\n{certs}"));
    let (mgmt, web1, web2) = (fleet.node("mgmt"), fleet.node("web1"), fleet.node("web2"));
    for web in [web1, web2] {
        web.certsync(&["apply"]);
    }
    let first = renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    web1.write("broken", "");
    let second = renew(mgmt);
    let (status, report) = json(mgmt, &["apply"]);
    assert_eq!((status, have(&fleet, &["web1", "web2"])), (Some(1), vec![second.clone(), first]), "{report:#}");
    assert!(is_stored(web2, &second), "it only waits for its turn");
    let told = &report["servers"][1];
    assert_eq!((told["result"].as_str(), told["sets"][0]["level"].as_str()), (Some("waiting"), Some("stored")), "{report:#}");
    fs::remove_file(web1.path("broken")).expect("it is there");
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(installed(web2), second);
}

#[test]
fn all_tiers_have_it_before_anybody_switches() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("hub", "upstream: mgmt, delivery: trigger, user: root"),
        server("edge1", "upstream: hub, delivery: push, user: root"),
        server("edge2", "upstream: hub, delivery: trigger, user: root"),
        server("web1", "upstream: mgmt, delivery: trigger, user: root"),
    ];
    let fleet = Fleet::new(&servers, &format!("fleet: {{ retries: 0 }}\nrollout: {{ stage: all }}\n{}", certs("[edge1, edge2, web1]")));
    let mgmt = fleet.node("mgmt");
    for name in ["hub", "edge1", "edge2", "web1"] {
        fleet.node(name).certsync(&["apply"]);
    }
    let all = ["edge1", "edge2", "web1"];
    let first = renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(have(&fleet, &all), [&first, &first, &first].map(String::clone));
    fake(fleet.node("edge2"), "exit 1");
    let second = renew(mgmt);
    let said = mgmt.certsync(&["apply"]);
    assert!(said.status == Some(1) && said.stderr.contains("edge2 does not have the new version yet, nobody switches"), "{said:?}");
    assert_eq!(have(&fleet, &all), [&first, &first, &first].map(String::clone), "{said:?}");
    for name in ["hub", "edge1", "web1"] {
        assert!(is_stored(fleet.node(name), &second), "{name}: {said:?}");
        // By cron, say: what it fetches is still to be kept.
        fleet.node(name).certsync(&["apply"]);
    }
    assert_eq!(have(&fleet, &all), [&first, &first, &first].map(String::clone));
    fleet.tell_one(fleet.node("edge2"));
    // It comes by itself, and the origin hears of it at its next run.
    let mut said = mgmt.certsync(&["apply"]);
    eventually("all have switched", || {
        if have(&fleet, &all) != [&second, &second, &second].map(String::clone) {
            said = mgmt.certsync(&["apply"]);
            return false;
        }
        true
    });
    mgmt.certsync(&["apply"]).ok();
}

#[test]
fn an_origin_killed_between_bringing_and_its_word_goes_on_there() {
    needs_a_fleet!();
    let (fleet, mut last) = two("stage: all");
    let (mgmt, webs) = (fleet.node("mgmt"), [fleet.node("web1"), fleet.node("web2")]);
    for hundredths in [5, 12, 20, 28, 36, 45, 55, 70, 90] {
        let certificate = renew(mgmt);
        let after = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        mgmt.inside("timeout").args(["-s", "KILL", &after, "/opt/certsync", "apply"]).output().expect("it runs");
        let switched = webs.iter().filter(|web| installed(web) == certificate).count();
        assert!(webs.iter().all(|web| [&certificate, &last].contains(&&installed(web))), "after {after} s");
        assert!(switched == 0 || webs.iter().all(|web| is_stored(web, &certificate)), "after {after} s");
        mgmt.certsync(&["apply"]).ok();
        assert_eq!(have(&fleet, &["web1", "web2"]), [certificate.clone(), certificate.clone()], "after {after} s");
        last = certificate;
    }
}
