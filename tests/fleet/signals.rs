//! Many signals at once, down two tiers.

use crate::first::{certs, installed, renew};
use crate::needs_a_fleet;
use crate::support::{Fleet, Node, server};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How often somebody has asked something of this node.
fn conversations(node: &Node) -> usize {
    node.log().lines().filter(|line| line.starts_with("Starting session")).count()
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
        for node in [mgmt, web1] {
            let trigger =
                node.inside("/opt/certsync").arg("trigger").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            signals.push(trigger.expect("it starts"));
        }
        std::thread::sleep(Duration::from_millis(round * 37 % 190));
    }
    for mut signal in signals {
        signal.wait().expect("it ends");
    }
    let nodes = [mgmt, web1, edge1];
    // Nobody says anything any more once there is nothing to be said.
    let (mut before, mut since, end) = (Vec::new(), Instant::now(), Instant::now() + Duration::from_secs(40));
    while since.elapsed() < Duration::from_secs(2) {
        let now: Vec<usize> = nodes.iter().map(|node| conversations(node)).collect();
        if now != before {
            (before, since) = (now, Instant::now());
        }
        assert!(Instant::now() < end, "they are never quiet: {before:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!([installed(web1), installed(edge1)], [last.clone(), last]);
    eprintln!("conversations: {before:?}");
    // Ten of the renewals, ten signals, and none for its own sake; and no more runs than somebody asked for.
    assert!(before[2] <= 41 && before[0] <= before[1] + 2, "{before:?}");
}
