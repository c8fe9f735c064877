//! Many signals at once, down two tiers.

use crate::first::{certs, installed, renew};
use crate::gate_user::{has_sudo, rules, sudo_has};
use crate::needs_a_fleet;
use crate::support::process::eventually;
use crate::support::{Chance, Fleet, Node, server, whole_or};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// How often somebody has asked something of this node.
fn conversations(node: &Node) -> usize {
    node.log().lines().filter(|line| line.starts_with("Starting session")).count()
}

/// How often this peer has: once in each run of its own, and once for each signal.
fn conversations_of(node: &Node, peer: &str) -> usize {
    let gate = format!(" gate --peer {peer} ");
    node.log().lines().filter(|line| line.starts_with("Starting session") && line.contains(&gate)).count()
}

fn signal(node: &Node) -> Child {
    let mut trigger = node.inside("/opt/certsync");
    trigger.arg("trigger").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// Waits until nobody says anything any more.
fn let_be_quiet(nodes: &[&Node]) -> Vec<usize> {
    let (mut before, mut since, end) = (Vec::new(), Instant::now(), Instant::now() + Duration::from_secs(120));
    while since.elapsed() < Duration::from_secs(2) {
        let now: Vec<usize> = nodes.iter().map(|node| conversations(node)).collect();
        if now != before {
            (before, since) = (now, Instant::now());
        }
        assert!(Instant::now() < end, "they are never quiet: {before:?}");
        sleep(Duration::from_millis(50));
    }
    before
}

#[test]
fn many_signals_bring_the_last_version_everywhere_and_come_to_an_end() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("web1", "upstream: mgmt, delivery: trigger, user: root"),
        server("edge1", "upstream: web1, delivery: trigger, user: root"),
    ];
    let fleet = Fleet::new(&servers, &certs("[web1, edge1]"));
    for name in ["web1", "edge1"] {
        fleet.node(name).certsync(&["apply"]);
    }
    let (mgmt, web1, edge1) = (fleet.node("mgmt"), fleet.node("web1"), fleet.node("edge1"));
    let mut last = String::new();
    let mut signals = Vec::new();
    for round in 0..10u64 {
        last = renew(mgmt);
        mgmt.certsync(&["apply"]).ok();
        signals.extend([mgmt, web1].map(signal));
        sleep(Duration::from_millis(round * 37 % 190));
    }
    for mut signal in signals {
        signal.wait().expect("it ends");
    }
    let before = let_be_quiet(&[mgmt, web1, edge1]);
    assert_eq!([installed(web1), installed(edge1)], [last.clone(), last]);
    eprintln!("conversations: {before:?}");
    // Ten of the renewals, ten signals, and none for its own sake; and no more runs than somebody asked for.
    assert!(before[2] <= 41 && before[0] <= before[1] + 2, "{before:?}");
}

#[test]
fn many_signals_to_a_gate_that_is_not_root_make_few_runs() {
    needs_a_fleet!();
    if !has_sudo() {
        return;
    }
    const SIGNALS: usize = 20;
    let servers = [server("mgmt", "user: root"), server("web1", "upstream: mgmt, delivery: trigger, user: certsync")];
    let certs = "hooks:\n  slow: { run: \"touch /srv/began; while test ! -e /srv/go; do sleep 0.05; done\", timeout: 10m }\n\
        certs:\n  example.com: { source: /srv/source, targets: [web1], install: { dest: /srv/live, hooks: [slow] } }\n";
    let fleet = Fleet::new(&servers, certs);
    let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
    web1.certsync(&["apply"]);
    let [rule, _] = rules(web1);
    sudo_has(web1, &[rule]);
    renew(mgmt);
    let before = conversations_of(mgmt, "web1");
    mgmt.certsync(&["apply"]).ok();
    eventually("web1 works", || web1.path("began").exists());
    for _ in 0..SIGNALS {
        mgmt.certsync(&["trigger"]).ok();
    }
    web1.write("go", "");
    let is_waiting = || {
        let left = std::fs::read_dir(web1.path("state/inbox")).expect("the inbox").flatten();
        left.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("request-"))
    };
    eventually("every request is served", || !is_waiting());
    let_be_quiet(&[mgmt, web1]);
    // The one that worked, one for all that came meanwhile, and what each of them tells above.
    let asked = conversations_of(mgmt, "web1") - before;
    eprintln!("{SIGNALS} signals: asked above {asked} times");
    assert!(asked <= 4, "{asked}");
}

#[test]
fn no_signal_at_any_moment_of_any_renewal_is_lost_and_there_are_no_more_runs_than_signals() {
    needs_a_fleet!();
    // The last signal of each round comes after its last renewal; the others at any moment.
    const SIGNALS: usize = 10;
    let (rounds, time) = (whole_or(10, 1), Duration::from_secs(6));
    let servers = [
        server("mgmt", "user: root"),
        server("web1", "upstream: mgmt, delivery: trigger, user: root"),
        server("web2", "upstream: mgmt, delivery: trigger, user: root"),
        server("edge1", "upstream: web1, delivery: trigger, user: root"),
    ];
    let fleet = Fleet::new(&servers, &certs("[web1, web2, edge1]"));
    let [mgmt, web1, web2, edge1] = ["mgmt", "web1", "web2", "edge1"].map(|name| fleet.node(name));
    let mut chance = Chance::new("signals at random moments");
    let mut renewals = 0;
    for _ in 0..rounds {
        let mut moments: Vec<Duration> = (1..SIGNALS).map(|_| chance.moment(time)).collect();
        moments.sort();
        let (begun, is_over) = (Instant::now(), AtomicBool::new(false));
        let mut signals = Vec::new();
        let last = scope(|scope| {
            let renewing = scope.spawn(|| {
                let mut made = Vec::new();
                while !is_over.load(Ordering::SeqCst) || made.is_empty() {
                    made.push(renew(mgmt));
                    mgmt.certsync(&["apply", "--local"]).ok();
                }
                made
            });
            for moment in moments {
                sleep((begun + moment).saturating_duration_since(Instant::now()));
                signals.push(signal(mgmt));
            }
            sleep((begun + time).saturating_duration_since(Instant::now()));
            is_over.store(true, Ordering::SeqCst);
            let mut made = renewing.join().expect("renewals");
            renewals += made.len();
            made.pop().expect("one at least")
        });
        signals.push(signal(mgmt));
        for mut signal in signals {
            assert!(signal.wait().expect("it ends").success(), "everybody was signalled");
        }
        let_be_quiet(&[mgmt, web1, web2, edge1]);
        assert_eq!([web1, web2, edge1].map(installed), [last.clone(), last.clone(), last]);
    }
    let signalled = rounds * SIGNALS;
    assert_eq!(["web1", "web2"].map(|name| conversations_of(fleet.node(name), "mgmt")), [signalled, signalled]);
    let runs = ["web1", "web2"].map(|name| conversations_of(mgmt, name));
    let (edge_signalled, edge_runs) = (conversations_of(edge1, "web1"), conversations_of(web1, "edge1"));
    eprintln!("{renewals} renewals, {signalled} signals: {runs:?} runs; below: {edge_signalled} signals, {edge_runs} runs");
    assert!(runs[1] <= signalled + 1, "{runs:?}");
    assert!(edge_runs <= edge_signalled + 1, "{edge_runs} runs for {edge_signalled} signals");
    // What a host below reports is passed on above, by a run.
    assert!(runs[0] <= signalled + edge_runs + 1, "{runs:?}, {edge_runs}");
}

#[test]
fn whoever_waits_for_the_tree_hears_of_a_hook_that_fails_two_tiers_below_and_it_is_not_tried_for_ever() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("hub", "upstream: mgmt, delivery: trigger, user: root"),
        server("edge1", "upstream: hub, delivery: trigger, user: root"),
    ];
    let certs = "hooks:\n  service: { run: \"echo ran >>/srv/ran; test ! -e /srv/fail\" }\n\
        certs:\n  example.com: { source: /srv/source, targets: [edge1], install: { dest: /srv/live, hooks: [service] } }\n";
    let fleet = Fleet::new(&servers, certs);
    let (mgmt, edge1) = (fleet.node("mgmt"), fleet.node("edge1"));
    for name in ["hub", "edge1"] {
        fleet.node(name).certsync(&["apply"]);
    }
    let runs = || std::fs::read_to_string(edge1.path("ran")).unwrap_or_default().lines().count();
    edge1.write("fail", "");
    for round in 0..3 {
        let certificate = renew(mgmt);
        mgmt.certsync(&["apply"]).ok();
        let said = mgmt.certsync(&["trigger", "--wait"]);
        assert!(said.status == Some(1) && said.stderr.contains("edge1: example.com is installed there, but a hook"), "{round}: {said:?}");
        assert!(!said.stdout.contains("unreachable"), "{said:?}");
        assert_eq!(installed(edge1), certificate);
    }
    // Nothing is new, and nobody asks any more.
    let (mut before, mut since, end) = (0, Instant::now(), Instant::now() + Duration::from_secs(60));
    while since.elapsed() < Duration::from_secs(4) {
        if runs() != before {
            (before, since) = (runs(), Instant::now());
        }
        assert!(Instant::now() < end, "the hook is run for ever: {before} times");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::remove_file(edge1.path("fail")).expect("it is mended");
    let said = mgmt.certsync(&["trigger", "--wait", "--format", "json"]).ok();
    assert!(said.contains("\"edge1\""), "{said}");
    let again = mgmt.certsync(&["trigger", "--wait", "--detailed-exitcode"]);
    assert_eq!(again.status, Some(0), "{again:?}");
    eprintln!("the hook ran {before} times while it failed");
}
