//! `certsync status --fleet`, with what real servers have said.

use crate::first::renew;
use crate::needs_a_fleet;
use crate::support::{Fleet, Node, server};
use serde_json::Value;
use std::fs;

const CERTS: &str =
    "certs:\n  example.com: { source: /srv/source, targets: [web1, web2, edge1], install: /srv/live }\nfleet: { stale_after: 1h }\n";

fn told(node: &Node) -> Value {
    serde_json::from_str(&node.certsync(&["status", "--fleet", "--format", "json"]).ok()).expect("JSON")
}

/// Each server with its set's level and what it has.
fn levels(told: &Value) -> Vec<String> {
    let servers = told["servers"].as_array().expect("servers");
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    servers
        .iter()
        .map(|one| format!("{} {} {}", text(&one["name"]), text(&one["sets"][0]["level"]), text(&one["sets"][0]["has"])))
        .collect()
}

#[test]
fn it_tells_how_all_below_stand_and_takes_nothing() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("web1", "upstream: mgmt, delivery: push, user: root"),
        server("web2", "upstream: mgmt, user: root"),
        server("edge1", "upstream: web2, user: root"),
    ];
    let fleet = Fleet::new(&servers, CERTS);
    let mgmt = fleet.node("mgmt");
    fleet.node("web1").certsync(&["apply"]);
    renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    let nothing = "- nothing";
    assert_eq!(levels(&told(mgmt)), ["web1 done all".to_owned(), format!("web2 {nothing}"), format!("edge1 {nothing}")]);
    let alarm = mgmt.certsync(&["status", "--fleet", "--crit", "1d"]);
    assert_eq!(alarm.status, Some(2), "{alarm:?}");
    assert!(alarm.stdout.starts_with("CRITICAL - web2: STALE: never heard of, example.com: does not have it; edge1: "), "{alarm:?}");
    // They come, and what they say lies in the inbox until the next apply.
    for name in ["web2", "edge1", "web2"] {
        fleet.node(name).certsync(&["apply"]).ok();
    }
    let inbox = || fs::read_dir(mgmt.path("state/inbox")).expect("it is there").count();
    let waiting = inbox();
    assert!(waiting > 0);
    let all = ["web1 done all", "web2 done all", "edge1 done all"];
    assert_eq!(levels(&told(mgmt)), all);
    assert_eq!(inbox(), waiting);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(levels(&told(mgmt)), all, "it is the same once it was taken");
    let well = mgmt.certsync(&["status", "--fleet", "--warn", "1d"]);
    assert_eq!((well.status, well.stdout.lines().next()), (Some(0), Some("OK - 3 servers, all in step")), "{well:?}");
}
