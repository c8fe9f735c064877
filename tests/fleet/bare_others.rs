//! Servers without certsync among others: tiers, rollouts, keys, accounts, time.

use crate::bare::{CERTS, fleet, there};
use crate::first::{installed, renew};
use crate::needs_a_fleet;
use crate::support::{Fleet, server};
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn one_below_a_middle_tier_is_known_at_the_origin() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("web1", "upstream: mgmt, delivery: push, user: root"),
        server("old1", "upstream: web1, delivery: push, user: root, via: { rsync: /srv/live }"),
    ];
    let certs = "certs:\n  example.com: { source: /srv/source, targets: [web1, old1], install: /srv/live }\nfleet: { retries: 0 }\n";
    let fleet = Fleet::new(&servers, certs);
    let (mgmt, web1, old1) = (fleet.node("mgmt"), fleet.node("web1"), fleet.node("old1"));
    old1.let_in("restrict", &web1.public_keys[0]);
    web1.certsync(&["apply"]);
    let certificate = renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!((installed(web1), there(old1)), (certificate.clone(), certificate));
    let table = mgmt.certsync(&["status", "--fleet"]).ok();
    let line = table.lines().find(|line| line.starts_with("old1")).unwrap_or_default();
    assert!(line.contains("stored") && table.contains("2 servers, all in step"), "{table}");
}

#[test]
fn a_canary_without_certsync_is_through_when_it_is_stored_and_failed_when_its_command_is() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("old1", "upstream: mgmt, delivery: push, user: root, via: { rsync: /srv/live, command: 'test ! -e /srv/broken' }"),
        server("web1", "upstream: mgmt, delivery: push, user: root"),
    ];
    let certs = "certs:\n  example.com: { source: /srv/source, targets: [web1, old1], install: /srv/live }\n\
                 fleet: { retries: 0 }\nrollout: { canary: 1, max_failures: 0 }\n";
    let fleet = Fleet::new(&servers, certs);
    let (mgmt, web1, old1) = (fleet.node("mgmt"), fleet.node("web1"), fleet.node("old1"));
    old1.let_in("restrict", &mgmt.public_keys[0]);
    web1.certsync(&["apply"]);
    let first = renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!((there(old1), installed(web1)), (first.clone(), first.clone()));
    old1.write("broken", "");
    let second = renew(mgmt);
    let said = mgmt.certsync(&["apply"]);
    assert_eq!((said.status, there(old1), installed(web1)), (Some(1), second.clone(), first), "{said:?}");
    assert!(said.stderr.contains("old1: its command ended with status 1"), "{said:?}");
    fs::remove_file(old1.path("broken")).expect("mended");
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(installed(web1), second);
}

#[test]
fn its_key_is_let_in_by_no_gate() {
    needs_a_fleet!();
    let mut fleet = fleet("rsync: /srv/live", CERTS);
    let made = fleet.node("old1").inside("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "/srv/own_key"]).status();
    assert!(made.expect("ssh-keygen").success());
    let key = fleet.node("old1").read("own_key.pub").trim_end().to_owned();
    let rest = format!("upstream: mgmt, delivery: push, user: root, public_key: {key:?}, via: {{ rsync: /srv/live }}");
    fleet.node_mut("old1").set_rest(&rest);
    fleet.tell();
    let mgmt = fleet.node("mgmt");
    mgmt.certsync(&["validate"]).ok();
    assert_eq!(mgmt.certsync(&["authorized-keys"]).ok(), "");
    let id = mgmt
        .inside("ssh-keygen")
        .args(["-lf", "/dev/stdin"])
        .stdin(fs::File::open(fleet.node("old1").path("own_key.pub")).expect("a key"))
        .output();
    let id = String::from_utf8(id.expect("ssh-keygen").stdout).expect("text").split(' ').nth(1).expect("a fingerprint").to_owned();
    let gate = ["gate", "--peer", "old1", "--key", &id, "--spec", "/srv/certsync.yaml", "--state-dir", "/srv/state", "--as", "mgmt"];
    let said = mgmt.certsync(&gate);
    let told = format!("{}{}", said.stdout, said.stderr);
    assert!(told.contains("is a host without certsync in this host's spec, which never logs in"), "{said:?}");
}

#[test]
fn whoever_logs_in_there_owns_what_was_brought_and_may_be_anybody() {
    needs_a_fleet!();
    let old1 = "upstream: mgmt, delivery: push, via: { rsync: /srv/home/certsync/live, command: 'id -un >/srv/home/certsync/who' }";
    let fleet = Fleet::new(&[server("mgmt", "user: root"), server("old1", old1)], CERTS);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    old1.let_in("restrict", &mgmt.public_keys[0]);
    renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    let key = fs::metadata(old1.path("home/certsync/live/example.com/privkey.pem")).expect("it is there");
    assert_eq!((key.uid(), key.mode() & 0o7777), (crate::support::node::GATE.1, 0o600));
    assert_eq!(old1.read("home/certsync/who"), "certsync\n");
}

#[test]
fn what_was_heard_too_long_ago_is_compared_again() {
    needs_a_fleet!();
    let fleet = fleet("rsync: /srv/live", &CERTS.replace("retries: 0", "retries: 0, stale_after: 1s"));
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    let certificate = renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    fs::write(old1.path("live/example.com/cert.pem"), "spoilt").expect("written");
    crate::support::process::eventually("it is stale, and mended", || {
        mgmt.certsync(&["apply"]).ok();
        there(old1) == certificate
    });
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    needs_a_fleet!();
    let fleet = fleet("rsync: /srv/no/such/place", CERTS);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    renew(mgmt);
    let said = mgmt.certsync(&["apply"]);
    assert!(said.status == Some(1) && said.stderr.contains("old1: ") && said.stderr.contains("/srv/no/such/place"), "{said:?}");
    assert!(!said.stderr.contains("unreachable"), "{said:?}");
    fs::create_dir_all(old1.path("no/such")).expect("made");
    mgmt.certsync(&["apply"]).ok();
    assert!(old1.path("no/such/place/example.com/cert.pem").exists());
}

#[test]
fn nothing_is_deleted_there_and_what_should_not_be_there_is_told() {
    needs_a_fleet!();
    let mut fleet = fleet("rsync: /srv/live", CERTS);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    let first = renew(mgmt);
    mgmt.write("source/more.pem", &first);
    mgmt.certsync(&["apply"]).ok();
    fs::remove_file(mgmt.path("source/more.pem")).expect("gone");
    let certificate = renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!((there(old1), old1.read("live/example.com/more.pem")), (certificate.clone(), first));
    let pem = mgmt.path("source/privkey.pem");
    let public = std::process::Command::new("openssl").args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(&pem).output();
    let key = certsync::base::ContentHash::of(&public.expect("openssl").stdout);
    let revoked = format!("revoked_keys: [\"SHA256:{key}\"]\n");
    fleet.set_certs(&format!("{CERTS}{revoked}"));
    fleet.tell();
    let table = fleet.node("mgmt").certsync(&["status", "--fleet"]).stdout;
    assert!(table.contains("revoked key"), "{table}");
    fleet.set_certs(&CERTS.replace("[old1]", "[mgmt]"));
    fleet.tell();
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    mgmt.certsync(&["apply"]).ok();
    let table = mgmt.certsync(&["status", "--fleet"]).ok();
    assert!(table.contains("is not to be had from here") && !table.contains("STALE"), "{table}");
    assert_eq!(there(old1), certificate);
}
