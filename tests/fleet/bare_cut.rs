//! Servers without certsync that are not there, hang or are others; a hub that is killed.

use crate::bare::{CERTS, fleet, ran, there};
use crate::first::renew;
use crate::needs_a_fleet;
use crate::support::process::eventually;
use crate::support::{Fleet, Node, server};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};

fn key_there(old1: &Node) -> String {
    fs::read_to_string(old1.path("live/example.com/privkey.pem")).unwrap_or_default()
}

/// What sshd there starts instead of what it is asked for, which stands in SSH_ORIGINAL_COMMAND.
fn through(fleet: &Fleet, script: &str) {
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    old1.write("through", &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(old1.path("through"), fs::Permissions::from_mode(0o755)).expect("its mode");
    old1.let_in("restrict,command=\"/srv/through\"", &mgmt.public_keys[0]);
}

fn copies(mgmt: &Node) -> usize {
    fs::read_dir(mgmt.path("state/bringing")).map(Iterator::count).unwrap_or_default()
}

/// A run that goes on by itself, and its number.
fn start(mgmt: &Node, args: &[&str]) -> (Child, Pid) {
    let child = mgmt.inside("/opt/certsync").args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.expect("it starts");
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let mut inner = None;
    eventually("certsync runs", || {
        inner = fs::read_to_string(&children).ok().and_then(|text| text.trim().parse().ok()).map(Pid::from_raw);
        inner.is_some()
    });
    (child, inner.expect("its number"))
}

fn end((mut child, inner): (Child, Pid)) {
    kill(inner, Signal::SIGKILL).expect("it is killed");
    child.wait().expect("it ends");
}

#[test]
fn one_that_is_not_there_or_hangs_is_named_and_holds_up_nobody() {
    needs_a_fleet!();
    let old = "upstream: mgmt, delivery: push, user: root, via: { rsync: /srv/live }";
    let servers = [server("mgmt", "user: root"), server("old1", old), server("old2", old)];
    let certs = "certs:\n  example.com: { source: /srv/source, targets: all, install: [] }\nfleet: { retries: 0, deadline: 8s }\n";
    let mut fleet = Fleet::new(&servers, &certs.replace("targets: all", "targets: [old1, old2]"));
    fleet.node("old2").let_in("restrict", &fleet.node("mgmt").public_keys[0]);
    // Not let in; then let in by one that says nothing, then by one that stops in the middle.
    for (script, words) in [
        (None, "Permission denied (publickey)"),
        (Some("PATH=/nowhere; eval \"$SSH_ORIGINAL_COMMAND\""), "rsync: not found"),
        (Some("echo hello there; eval \"$SSH_ORIGINAL_COMMAND\""), "protocol"),
        (Some("exec sleep 100"), "rsync was not through in time"),
        (
            Some("dd bs=1 count=200 status=none | sh -c \"$SSH_ORIGINAL_COMMAND\" | head -c 60; exec sleep 100"),
            "rsync was not through in time",
        ),
    ] {
        if let Some(script) = script {
            through(&fleet, script);
        }
        let certificate = renew(fleet.node("mgmt"));
        let said = fleet.node("mgmt").certsync(&["apply"]);
        assert_eq!(said.status, Some(1), "{said:?}");
        assert!(said.stderr.contains("old1: ") && said.stderr.contains(words), "{words}: {said:?}");
        assert!(!said.stderr.contains("old2: "), "{said:?}");
        assert_eq!((there(fleet.node("old2")), there(fleet.node("old1"))), (certificate, String::new()));
    }
    let port = fleet.node("old1").port;
    fleet.node_mut("old1").port = 1;
    fleet.tell();
    let said = fleet.node("mgmt").certsync(&["apply"]);
    assert!(said.status == Some(1) && said.stderr.contains("Connection refused"), "{said:?}");
    fleet.node_mut("old1").port = port;
    fleet.tell();
    let (mgmt, old1, old2) = (fleet.node("mgmt"), fleet.node("old1"), fleet.node("old2"));
    old1.let_in("restrict", &mgmt.public_keys[0]);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(there(old1), there(old2));
    assert_eq!(copies(mgmt), 0);
}

#[test]
fn a_host_with_another_key_gets_nothing() {
    needs_a_fleet!();
    let fleet = fleet("rsync: /srv/live, command: [/srv/reload]", CERTS);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    renew(mgmt);
    let right = old1.read("host_key");
    let other = old1.inside("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", "/srv/other_key"]).status().expect("ssh-keygen");
    assert!(other.success());
    old1.set_sshd("HostKey /srv/other_key");
    old1.write("host_key", &old1.read("other_key"));
    old1.set_sshd("");
    let said = mgmt.certsync(&["apply"]);
    assert_eq!((said.status, there(old1), ran(old1).len()), (Some(1), String::new(), 0), "{said:?}");
    assert!(said.stderr.contains("strict checking") && said.stderr.contains("the spec's host_key must be that key"), "{said:?}");
    assert_ne!(old1.read("host_key"), right);
}

#[test]
fn a_hub_that_is_killed_leaves_no_half_set_and_no_copy() {
    needs_a_fleet!();
    let fleet = fleet("rsync: /srv/live, command: [/srv/reload]", CERTS);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    let mut before = renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    for bytes in [0, 40, 400, 900] {
        let key = key_there(old1);
        // So many bytes go through; then nothing until it is told to go on.
        let stall = "touch /srv/asked; while [ ! -e /srv/go ]; do sleep 0.05; done; cat";
        through(&fleet, &format!("(dd bs=1 count={bytes} status=none; {stall}) | (sh -c \"$SSH_ORIGINAL_COMMAND\"; touch /srv/over)"));
        for file in ["asked", "go", "over"] {
            let _ = fs::remove_file(old1.path(file));
        }
        renew(mgmt);
        let hub = start(mgmt, &["apply"]);
        eventually(&format!("it stalls after {bytes} bytes"), || old1.path("asked").exists());
        end(hub);
        assert_eq!((there(old1), key_there(old1), copies(mgmt)), (before.clone(), key, 1), "{bytes}");
        let calls = ran(old1).len();
        let certificate = renew(mgmt);
        let both = mgmt.read("source/privkey.pem");
        old1.let_in("restrict", &mgmt.public_keys[0]);
        mgmt.certsync(&["apply"]).ok();
        assert_eq!((there(old1), key_there(old1), copies(mgmt)), (certificate.clone(), both.clone(), 0), "{bytes}");
        assert_eq!(ran(old1).len(), calls + 1);
        // What the killed one had begun comes to its end and changes nothing any more.
        old1.write("go", "");
        eventually(&format!("the former one is over after {bytes}"), || old1.path("over").exists());
        assert_eq!((there(old1), key_there(old1)), (certificate.clone(), both), "{bytes}");
        // What it has left beside the files, for nobody else to read, goes with the next delivery.
        before = renew(mgmt);
        mgmt.certsync(&["apply"]).ok();
        let names: Vec<_> =
            fs::read_dir(old1.path("live/example.com")).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!((there(old1), names.len()), (before.clone(), 2), "{bytes}: {names:?}");
    }
}

#[test]
fn a_hub_that_is_killed_before_the_command_was_through_owes_it() {
    needs_a_fleet!();
    let fleet =
        fleet("rsync: /srv/live, command: '/srv/reload \"$@\"; touch /srv/asked; while [ ! -e /srv/go ]; do sleep 0.05; done'", CERTS);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    let certificate = renew(mgmt);
    let hub = start(mgmt, &["apply"]);
    eventually("the command runs", || old1.path("asked").exists());
    end(hub);
    assert_eq!((there(old1), ran(old1).len()), (certificate, 1));
    old1.write("go", "");
    mgmt.certsync(&["apply"]).ok();
    assert_eq!((ran(old1).len(), copies(mgmt)), (2, 0));
    // The same for what somebody has spoilt there, which is brought again although the record had it.
    fs::remove_file(old1.path("go")).expect("gone");
    fs::remove_file(old1.path("asked")).expect("gone");
    fs::write(old1.path("live/example.com/cert.pem"), "spoilt").expect("written");
    let hub = start(mgmt, &["apply", "--refresh"]);
    eventually("the command runs", || old1.path("asked").exists());
    end(hub);
    old1.write("go", "");
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(ran(old1).len(), 4);
}

#[test]
fn a_command_that_does_not_end_is_named_and_owed() {
    needs_a_fleet!();
    let certs = CERTS.replace("retries: 0", "retries: 3, deadline: 8s");
    let fleet = fleet("rsync: /srv/live, command: 'echo >>/srv/ran; if [ -e /srv/hang ]; then sleep 100; fi'", &certs);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    old1.write("hang", "");
    let certificate = renew(mgmt);
    let said = mgmt.certsync(&["apply"]);
    assert!(said.status == Some(1) && said.stderr.contains("old1: its command did not end in time"), "{said:?}");
    assert_eq!((there(old1), ran(old1).len()), (certificate, 1), "and is not tried again at once");
    fs::remove_file(old1.path("hang")).expect("mended");
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(ran(old1).len(), 2);
}
