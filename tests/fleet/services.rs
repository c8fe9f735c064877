//! The units in the documentation, in a real systemd.

use crate::hosts::{Hosts, Init, lacking};
use crate::runbooks::{READY, filled};

/// The block of docs/fleet.md behind the mention of this file.
fn unit(file: &str) -> &'static str {
    let (_, rest) = include_str!("../../docs/fleet.md").split_once(&format!("/etc/systemd/system/{file}")).expect("it is shown");
    let (_, rest) = rest.split_once("```ini\n").expect("a block");
    rest.split_once("```").expect("its end").0
}

const SPEC: &str = "version: 1
servers:
  mgmt: { address: 10.0.0.1, public_key: \"ssh-ed25519 AAAA…mgmt\", host_key: \"ssh-ed25519 AAAA…mgmt.sshd\" }
  web1: { address: 10.0.0.11, upstream: mgmt, delivery: push, public_key: \"ssh-ed25519 AAAA…web1\", host_key: \"ssh-ed25519 AAAA…web1.sshd\" }
certs:
  www.example.com: { source: /etc/letsencrypt/live/www.example.com, targets: [web1], install: /etc/nginx/tls }
";

#[test]
fn a_path_unit_has_applied_what_an_unprivileged_gate_got() {
    if let Some(why) = lacking(&["systemctl"]) {
        eprintln!("skipped: a_path_unit_has_applied_what_an_unprivileged_gate_got: {why}");
        return;
    }
    let mut hosts = Hosts::new();
    hosts.start("mgmt", [10, 0, 0, 1].into(), READY);
    // As the others are, but without the rule for sudo.
    let without = format!("{READY}\nrm /etc/sudoers.d/certsync\n");
    if let Err(why) = hosts.start_with(Init::Systemd, "web1", [10, 0, 0, 11].into(), &without) {
        eprintln!("skipped: a_path_unit_has_applied_what_an_unprivileged_gate_got: {why}");
        return;
    }
    let spec = filled(&hosts, SPEC);
    let (mgmt, web1) = (hosts.host("mgmt"), hosts.host("web1"));
    for host in [mgmt, web1] {
        host.write("/etc/certsync/certsync.yaml", &spec);
    }
    for file in ["certsync-inbox.path", "certsync-inbox.service"] {
        web1.write(&format!("/etc/systemd/system/{file}"), unit(file));
    }
    web1.run("certsync apply -q && systemctl daemon-reload && systemctl enable -q --now certsync-inbox.path");
    for _ in 0..2 {
        let certificate = mgmt.issue("/etc/letsencrypt/live/www.example.com");
        let said = mgmt.run("certsync apply");
        assert!(said.contains("servers: 1 done"), "{said}{}", web1.run("journalctl --no-pager -u 'certsync*'"));
        assert_eq!(web1.run("cat /etc/nginx/tls/cert.pem"), certificate);
    }
    // One run for each, and none for nothing.
    let runs = web1.run("journalctl --no-pager -u certsync-inbox.service | grep -c 'Finished certsync'");
    assert_eq!(runs.trim(), "2");
}
