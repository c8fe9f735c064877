//! A tier that is cut off by its network cable, and plugged in again.

use crate::hosts::{Hosts, Link, lacking};
use crate::runbooks::{READY, filled};

const SPEC: &str = "version: 1
fleet: { deadline: 6s, retries: 0 }
servers:
  mgmt: { address: 10.0.0.1, public_key: \"ssh-ed25519 AAAA…mgmt\", host_key: \"ssh-ed25519 AAAA…mgmt.sshd\" }
  hub: { address: 10.0.0.2, upstream: mgmt, delivery: trigger, public_key: \"ssh-ed25519 AAAA…hub\", host_key: \"ssh-ed25519 AAAA…hub.sshd\" }
  edge: { address: 10.0.0.3, upstream: hub, delivery: push, public_key: \"ssh-ed25519 AAAA…edge\", host_key: \"ssh-ed25519 AAAA…edge.sshd\" }
  web: { address: 10.0.0.4, upstream: mgmt, delivery: push, public_key: \"ssh-ed25519 AAAA…web\", host_key: \"ssh-ed25519 AAAA…web.sshd\" }
certs:
  example.com: { source: /etc/letsencrypt/live/example.com, targets: [edge, web], install: /srv/live }
";
const LIVE: &str = "/etc/letsencrypt/live/example.com";
const INSTALLED: &str = "cat /srv/live/cert.pem";

#[test]
fn a_tier_without_its_cable_is_named_and_has_everything_once_it_is_plugged_in() {
    let test = "a_tier_without_its_cable_is_named_and_has_everything_once_it_is_plugged_in";
    if let Some(why) = lacking(&["sudo"]) {
        eprintln!("skipped: {test}: {why}");
        return;
    }
    let mut hosts = Hosts::new();
    for (name, last) in [("mgmt", 1), ("hub", 2), ("edge", 3), ("web", 4)] {
        hosts.start(name, [10, 0, 0, last].into(), READY);
    }
    let spec = filled(&hosts, SPEC);
    hosts.hosts().iter().for_each(|host| host.write("/etc/certsync/certsync.yaml", &spec));
    for name in ["hub", "edge", "web"] {
        hosts.host(name).output("certsync apply -q");
    }
    let (mgmt, edge, web) = (hosts.host("mgmt"), hosts.host("edge"), hosts.host("web"));
    let first = mgmt.issue(LIVE);
    mgmt.run("certsync apply && certsync trigger --wait hub");
    assert_eq!([edge.run(INSTALLED), web.run(INSTALLED)], [first.clone(), first.clone()]);

    hosts.set_link("hub", Link::Down);
    let second = mgmt.issue(LIVE);
    let said = mgmt.output("certsync apply 2>&1");
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(!said.status.success() && text.contains("hub     unreachable"), "{text}");
    assert_eq!([edge.run(INSTALLED), web.run(INSTALLED)], [first, second.clone()], "{text}");
    // Those that are cut off keep and mend what they have.
    edge.run("rm /srv/live/cert.pem && certsync apply -q && test -s /srv/live/cert.pem");
    assert!(!hosts.host("hub").output("certsync apply -q").status.success(), "its upstream cannot be reached");

    hosts.set_link("hub", Link::Up);
    mgmt.run("certsync apply && certsync trigger --wait hub");
    assert_eq!(edge.run(INSTALLED), second);
    assert_eq!(mgmt.run("certsync apply -q && certsync status --fleet --warn 1d").lines().next(), Some("OK - 3 servers, all in step"));
}
