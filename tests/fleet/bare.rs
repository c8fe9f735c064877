//! Servers without certsync: what is brought there, the command, and what is known of them.

use crate::first::renew;
use crate::needs_a_fleet;
use crate::support::{Fleet, Node, server};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

pub const CERTS: &str = "certs:\n  example.com: { source: /srv/source, targets: [old1], install: [] }\nfleet: { retries: 0 }\n";
/// Notes with which arguments it was called, and fails as long as `/srv/broken` is there.
const RELOAD: &str = "#!/bin/sh\nprintf '<%s>' \"$@\" >>/srv/ran\necho >>/srv/ran\necho about to reload\n\
    if [ -e /srv/broken ]; then echo 'no such service' >&2; exit 3; fi\n";

/// mgmt, and old1 below it with this `via`.
pub fn fleet(via: &str, certs: &str) -> Fleet {
    let old1 = format!("upstream: mgmt, delivery: push, user: root, via: {{ {via} }}");
    let fleet = Fleet::new(&[server("mgmt", "user: root"), server("old1", &old1)], certs);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    old1.let_in("restrict", &mgmt.public_keys[0]);
    old1.write("reload", RELOAD);
    fs::set_permissions(old1.path("reload"), fs::Permissions::from_mode(0o755)).expect("its mode");
    fleet
}

pub fn there(old1: &Node) -> String {
    fs::read_to_string(old1.path("live/example.com/cert.pem")).unwrap_or_default()
}

/// How the command was called so far.
pub fn ran(old1: &Node) -> Vec<String> {
    fs::read_to_string(old1.path("ran")).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn mode(node: &Node, path: &str) -> u32 {
    fs::metadata(node.path(path)).unwrap_or_else(|error| panic!("{path}: {error}")).mode() & 0o7777
}

#[test]
fn a_renewal_is_brought_once_and_then_nobody_is_asked() {
    needs_a_fleet!();
    let fleet = fleet("rsync: /srv/live, command: [/srv/reload, \"{name}\"]", CERTS);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    for round in 1..=2 {
        let certificate = renew(mgmt);
        let said = mgmt.certsync(&["apply", "--detailed-exitcode"]);
        assert_eq!((said.status, there(old1)), (Some(2), certificate), "{said:?}");
        assert_eq!(ran(old1), vec!["<example.com>"; round]);
        assert_eq!((mode(old1, "live/example.com"), mode(old1, "live/example.com/privkey.pem")), (0o700, 0o600));
        let logins = old1.logins();
        assert_eq!(logins, 2 * round, "rsync, and the command");
        let again = mgmt.certsync(&["apply", "--detailed-exitcode"]);
        assert_eq!((again.status, old1.logins()), (Some(0), logins), "{again:?}");
    }
    mgmt.forgets();
}

#[test]
fn a_command_that_fails_is_owed_and_nothing_is_sent_again_for_it() {
    needs_a_fleet!();
    let fleet = fleet("rsync: /srv/live, command: /srv/reload \"$@\"", CERTS);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    old1.write("broken", "");
    let certificate = renew(mgmt);
    let inode = || fs::metadata(old1.path("live/example.com/cert.pem")).expect("it is there").ino();
    let mut first = None;
    for round in 1..=2 {
        let said = mgmt.certsync(&["apply", "--format", "json"]);
        assert_eq!((said.status, there(old1)), (Some(1), certificate.clone()), "{said:?}");
        assert_eq!(ran(old1), vec!["<example.com>"; round]);
        let told: serde_json::Value = serde_json::from_str(&said.stdout).expect("json");
        let server = &told["servers"][0];
        assert_eq!((&server["name"], &server["result"]), (&"old1".into(), &"failed".into()), "{server}");
        assert_eq!(server["sets"][0]["level"], "failed", "{server}");
        assert_eq!(server["error"]["cause"], "its command ended with status 3: no such service", "{server}");
        assert_eq!(*first.get_or_insert_with(inode), inode(), "it is there and is not sent again");
    }
    let status = mgmt.certsync(&["status", "--fleet"]).stdout;
    assert!(status.contains("failed") && status.contains("its command ended with status 3: no such service"), "{status}");
    fs::remove_file(old1.path("broken")).expect("mended");
    mgmt.certsync(&["apply"]).ok();
    assert_eq!((ran(old1).len(), inode()), (3, first.expect("an inode")));
    let logins = old1.logins();
    mgmt.certsync(&["apply"]).ok();
    assert_eq!((ran(old1).len(), old1.logins()), (3, logins));
}

#[test]
fn what_is_known_of_it_is_that_it_is_stored() {
    needs_a_fleet!();
    let fleet = fleet("rsync: /srv/live", CERTS);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    renew(mgmt);
    let told: serde_json::Value = serde_json::from_str(&mgmt.certsync(&["apply", "--format", "json"]).ok()).expect("json");
    assert_eq!((&told["servers"][0]["result"], &told["servers"][0]["sets"][0]["level"]), (&"done".into(), &"stored".into()), "{told}");
    let status: serde_json::Value = serde_json::from_str(&mgmt.certsync(&["status", "--fleet", "--format", "json"]).ok()).expect("json");
    let server = &status["servers"][0];
    assert_eq!(
        (&server["stale"], &server["without_certsync"], &server["certsync"]),
        (&false.into(), &true.into(), &serde_json::Value::Null)
    );
    assert_eq!((&server["sets"][0]["level"], &server["sets"][0]["has"]), (&"stored".into(), &"all".into()), "{server}");
    let table = mgmt.certsync(&["status", "--fleet"]).ok();
    assert!(table.contains("stored") && table.contains("no certsync there") && table.contains("1 server, all in step"), "{table}");
    let logins = old1.logins();
    let signalled = mgmt.certsync(&["trigger", "old1"]);
    assert!(signalled.stderr.contains("old1: has no certsync that could be signalled"), "{signalled:?}");
    mgmt.certsync(&["apply", "--limit", "old1"]).ok();
    assert_eq!(old1.logins(), logins);
}

#[test]
fn who_asks_again_has_drift_mended_and_the_command_run_for_that_alone() {
    needs_a_fleet!();
    let fleet = fleet("rsync: /srv/live, command: [/srv/reload, \"{name}\"]", CERTS);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    let certificate = renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    // What the host itself has done with it stays, but for the content.
    let file = old1.path("live/example.com/cert.pem");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("its mode");
    old1.write("live/example.com/own", "mine");
    mgmt.certsync(&["apply", "--refresh"]).ok();
    assert_eq!((ran(old1).len(), mode(old1, "live/example.com/cert.pem")), (1, 0o644));
    fs::write(&file, "spoilt").expect("written");
    mgmt.certsync(&["apply", "--refresh"]).ok();
    assert_eq!((ran(old1).len(), there(old1), mode(old1, "live/example.com/cert.pem")), (2, certificate, 0o644));
    fs::remove_dir_all(old1.path("live")).expect("gone");
    mgmt.certsync(&["apply", "--refresh"]).ok();
    assert_eq!((ran(old1).len(), mode(old1, "live/example.com/privkey.pem")), (3, 0o600));
}

#[test]
fn a_key_that_may_run_rsync_alone_is_enough_without_a_command() {
    needs_a_fleet!();
    if !std::path::Path::new("/usr/bin/rrsync").exists() {
        eprintln!("skipped: rrsync is not installed");
        return;
    }
    let mut fleet = fleet("rsync: /live", CERTS);
    let certificate = {
        let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
        old1.let_in("restrict,command=\"/usr/bin/rrsync -wo /srv\"", &mgmt.public_keys[0]);
        let certificate = renew(mgmt);
        mgmt.certsync(&["apply"]).ok();
        assert_eq!((there(old1), mode(old1, "live/example.com/privkey.pem")), (certificate.clone(), 0o600));
        fs::write(old1.path("live/example.com/cert.pem"), "spoilt").expect("written");
        mgmt.certsync(&["apply", "--refresh"]).ok();
        assert_eq!(there(old1), certificate);
        renew(mgmt)
    };
    fleet.node_mut("old1").set_rest("upstream: mgmt, delivery: push, user: root, via: { rsync: /live, command: [/srv/reload] }");
    fleet.tell();
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    let said = mgmt.certsync(&["apply"]);
    assert_eq!((said.status, there(old1)), (Some(1), certificate), "{said:?}");
    let cause = "old1: the key may run nothing but rsync there (rrsync), and so not `command`";
    assert!(said.stderr.contains(cause) && said.stderr.contains("hint: leave `command` out"), "{said:?}");
    assert!(!old1.path("ran").exists());
}

#[test]
fn two_sets_come_together_and_one_that_cannot_be_written_does_not_hold_up_the_other() {
    needs_a_fleet!();
    let certs = "certs:\n  \"it's $(touch x) a\": { source: /srv/source, targets: [old1], install: [] }\n  \
                 münchen: { source: /srv/source, targets: [old1], install: [] }\n  \
                 elsewhere: { source: /srv/source, targets: [mgmt], install: [] }\nfleet: { retries: 0 }\n";
    let fleet = fleet("rsync: /srv/live, command: [/srv/reload, \"{name}\", \"--{name}\"]", certs);
    let (mgmt, old1) = (fleet.node("mgmt"), fleet.node("old1"));
    let odd = "<it's $(touch x) a><--it's $(touch x) a>";
    // A file where the folder should be, with something below that cannot make way: a mount would be the same.
    fs::create_dir_all(old1.path("live/münchen/cert.pem/in-the-way")).expect("in the way");
    let certificate = renew(mgmt);
    let said = mgmt.certsync(&["apply"]);
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.stderr.contains("old1: münchen could not be brought"), "{said:?}");
    let table = mgmt.certsync(&["status", "--fleet"]).stdout;
    assert!(table.contains("failed") && table.contains("münchen could not be brought"), "{table}");
    let at = |set: &str| fs::read_to_string(old1.path(&format!("live/{set}/cert.pem"))).unwrap_or_default();
    assert_eq!((at("it's $(touch x) a"), ran(old1)), (certificate.clone(), vec![odd.to_owned()]));
    assert!(!old1.path("live/elsewhere").exists(), "it does not go there");
    fs::remove_dir_all(old1.path("live/münchen/cert.pem")).expect("out of the way");
    mgmt.certsync(&["apply"]).ok();
    assert_eq!((at("münchen"), ran(old1)), (certificate, vec![odd.to_owned(), "<münchen><--münchen>".to_owned()]));
    assert_eq!(fs::read_dir(old1.path("live/münchen")).expect("a folder").count(), 2, "nothing is left beside the two files");
}
