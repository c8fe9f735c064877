//! `rollout`: canaries, batches, an end after too many failures, and where the next run goes on.

use crate::broken::fake;
use crate::first::{installed, renew};
use crate::needs_a_fleet;
use crate::support::{Fleet, Node, server};
use serde_json::Value;
use std::fs;

/// So many servers, each of which writes down when its hook ran; the hook fails where `/srv/broken` is.
fn fleet(count: usize, rollout: &str) -> Fleet {
    let names: Vec<String> = (1..=count).map(|at| format!("web{at}")).collect();
    let mut servers = vec![server("mgmt", "user: root")];
    servers.extend(names.iter().map(|name| server(name, "upstream: mgmt, delivery: push, user: root")));
    let rest = format!(
        "fleet: {{ retries: 0 }}\nrollout: {{ {rollout} }}\nhooks:\n  reload: {{ run: \"date +%s%N >/srv/began; sleep 0.3; \
         date +%s%N >/srv/ended; test ! -e /srv/broken\" }}\ncerts:\n  example.com: {{ source: /srv/source, targets: [{}], \
         install: {{ dest: /srv/live, hooks: [reload] }} }}\n",
        names.join(", ")
    );
    let fleet = Fleet::new(&servers, &rest);
    for name in &names {
        fleet.node(name).certsync(&["apply"]);
    }
    fleet
}

fn apply(node: &Node, args: &[&str]) -> (Option<i32>, Value) {
    let answer = node.certsync(&[&["apply", "--format", "json"], args].concat());
    (answer.status, serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}")))
}

/// Each server's result and the level of its set.
fn told(report: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let servers = report["servers"].as_array().expect("servers");
    servers.iter().map(|one| format!("{} {} {}", word(&one["name"]), word(&one["result"]), word(&one["sets"][0]["level"]))).collect()
}

fn time(node: &Node, what: &str) -> u128 {
    node.read(what).trim().parse().expect("a time")
}

/// How many hooks ran at once, at most.
fn at_once(nodes: &[&Node]) -> usize {
    let spans: Vec<(u128, u128)> = nodes.iter().map(|node| (time(node, "began"), time(node, "ended"))).collect();
    spans.iter().map(|(began, _)| spans.iter().filter(|(from, to)| from <= began && began < to).count()).max().unwrap_or(0)
}

#[test]
fn a_canary_goes_first_and_one_that_is_away_is_none() {
    needs_a_fleet!();
    let fleet = fleet(3, "canary: 1");
    let (mgmt, webs) = (fleet.node("mgmt"), ["web1", "web2", "web3"].map(|name| fleet.node(name)));
    renew(mgmt);
    apply(mgmt, &[]);
    for others in &webs[1..] {
        assert!(time(webs[0], "ended") <= time(others, "began"), "web1 was through before {}", others.name);
    }
    fake(webs[0], "exit 1");
    let certificate = renew(mgmt);
    let (status, report) = apply(mgmt, &[]);
    assert_eq!(
        (status, told(&report)),
        (Some(1), ["web1 unreachable done", "web2 done done", "web3 done done"].map(String::from).to_vec())
    );
    assert!(time(webs[1], "ended") <= time(webs[2], "began"), "web2 is the canary in its place");
    assert_eq!(installed(webs[2]), certificate);
}

#[test]
fn a_canary_that_fails_keeps_all_others_as_they_are_until_it_is_mended() {
    needs_a_fleet!();
    let fleet = fleet(3, "canary: [web2]");
    let (mgmt, webs) = (fleet.node("mgmt"), ["web1", "web2", "web3"].map(|name| fleet.node(name)));
    let first = renew(mgmt);
    assert_eq!(apply(mgmt, &[]).0, Some(0));
    webs[1].write("broken", "");
    let second = renew(mgmt);
    for _ in 0..2 {
        let (status, report) = apply(mgmt, &[]);
        assert_eq!(status, Some(1));
        assert_eq!(told(&report), ["web1 waiting done", "web2 failed installed", "web3 waiting done"], "{report:#}");
        assert!(report["errors"][0]["cause"].as_str().is_some_and(|cause| cause.contains("goes first has failed")), "{report:#}");
        let digests: Vec<&Value> = report["servers"].as_array().expect("servers").iter().map(|one| &one["sets"][0]["digest"]).collect();
        assert!(digests[0] == digests[2] && digests[0] != digests[1], "it says which are on what: {report:#}");
        assert_eq!(webs.map(installed), [first.clone(), second.clone(), first.clone()]);
    }
    fs::remove_file(webs[1].path("broken")).expect("it is there");
    let (status, report) = apply(mgmt, &[]);
    assert_eq!((status, webs.map(installed)), (Some(0), [&second, &second, &second].map(String::clone)), "{report:#}");
}

#[test]
fn no_more_than_a_batch_switch_at_once() {
    needs_a_fleet!();
    let fleet = fleet(4, "batch: 2");
    let (mgmt, webs) = (fleet.node("mgmt"), ["web1", "web2", "web3", "web4"].map(|name| fleet.node(name)));
    renew(mgmt);
    assert_eq!(apply(mgmt, &[]).0, Some(0));
    assert!(at_once(&webs) <= 2);
    assert!(
        webs[..2].iter().all(|one| webs[2..].iter().all(|other| time(one, "began") < time(other, "began"))),
        "in the order of the spec"
    );
}

#[test]
fn too_many_failures_end_it_and_the_next_run_goes_on_there() {
    needs_a_fleet!();
    let fleet = fleet(4, "batch: 1, max_failures: 1");
    let (mgmt, webs) = (fleet.node("mgmt"), ["web1", "web2", "web3", "web4"].map(|name| fleet.node(name)));
    let first = renew(mgmt);
    assert_eq!(apply(mgmt, &[]).0, Some(0));
    webs[0].write("broken", "");
    webs[2].write("broken", "");
    let second = renew(mgmt);
    let (status, report) = apply(mgmt, &[]);
    assert_eq!(status, Some(1));
    assert_eq!(told(&report), ["web1 failed installed", "web2 done done", "web3 failed installed", "web4 waiting done"], "{report:#}");
    assert!(report["errors"][0]["cause"].as_str().is_some_and(|cause| cause.starts_with("2 servers have failed")), "{report:#}");
    assert_eq!(installed(webs[3]), first);
    // One is mended: the other one alone is not too many.
    fs::remove_file(webs[0].path("broken")).expect("it is there");
    let (status, report) = apply(mgmt, &[]);
    assert_eq!(told(&report), ["web1 done done", "web2 unchanged -", "web3 failed installed", "web4 done done"], "{report:#}");
    assert_eq!((status, installed(webs[3])), (Some(1), second));
}

#[test]
fn now_serves_all_at_once() {
    needs_a_fleet!();
    let fleet = fleet(3, "canary: 1, batch: 1, max_failures: 0");
    let (mgmt, webs) = (fleet.node("mgmt"), ["web1", "web2", "web3"].map(|name| fleet.node(name)));
    webs[0].write("broken", "");
    let certificate = renew(mgmt);
    let (_, report) = apply(mgmt, &[]);
    assert_eq!(told(&report), ["web1 failed installed", "web2 waiting -", "web3 waiting -"], "{report:#}");
    let (status, report) = apply(mgmt, &["--now"]);
    assert_eq!(told(&report), ["web1 failed installed", "web2 done done", "web3 done done"], "{report:#}");
    assert_eq!((status, webs.map(installed)), (Some(1), [&certificate, &certificate, &certificate].map(String::clone)));
}

#[test]
fn a_server_that_gets_nothing_of_what_spreads_is_no_canary_of_it() {
    needs_a_fleet!();
    let mut servers = vec![server("mgmt", "user: root")];
    servers.extend(["web1", "web2", "web3"].map(|name| server(name, "upstream: mgmt, delivery: push, user: root")));
    let certs = "rollout: { canary: 1 }\nhooks:\n  reload: { run: \"test ! -e /srv/broken\" }\ncerts:\n  \
                 other: { source: /srv/other, targets: [web1], install: /srv/b }\n  \
                 example.com: { source: /srv/source, targets: [web2, web3], install: { dest: /srv/live, hooks: [reload] } }\n";
    let fleet = Fleet::new(&servers, certs);
    let mgmt = fleet.node("mgmt");
    for name in ["web1", "web2", "web3"] {
        fleet.node(name).certsync(&["apply"]);
    }
    mgmt.write("other/ca.pem", &{
        let key = rcgen::KeyPair::generate().expect("a key");
        rcgen::CertificateParams::new(Vec::new()).expect("no name").self_signed(&key).expect("it is signed").pem()
    });
    let first = renew(mgmt);
    assert_eq!(apply(mgmt, &[]).0, Some(0));
    fleet.node("web2").write("broken", "");
    renew(mgmt);
    let (_, report) = apply(mgmt, &[]);
    assert_eq!(installed(fleet.node("web3")), first, "{report:#}");
}
