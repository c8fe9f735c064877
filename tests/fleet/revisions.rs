//! Which version counts, where clocks, disks and certificate authorities do not agree.

use crate::first::{certs, installed};
use crate::needs_a_fleet;
use crate::support::node::Answer;
use crate::support::process::eventually;
use crate::support::{Fleet, Node, server};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// Three tiers: signalled, and pushed to.
fn tiers() -> Fleet {
    let servers = [
        server("mgmt", "user: root"),
        server("web1", "upstream: mgmt, delivery: trigger, user: root"),
        server("edge1", "upstream: web1, delivery: push, user: root"),
    ];
    let fleet = Fleet::new(&servers, &certs("[mgmt, web1, edge1]"));
    for name in ["web1", "edge1"] {
        fleet.node(name).certsync(&["apply"]);
    }
    fleet
}

/// Puts a certificate at the source that is valid from and to so many days from now.
fn issue(node: &Node, from: i64, to: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs().cast_signed();
    let at = |days: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs((now + days * DAY).cast_unsigned());
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["example.com".to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (at(from), at(to));
    let certificate = params.self_signed(&key).expect("it is signed").pem();
    node.write("source/cert.pem", &certificate);
    node.write("source/privkey.pem", &key.serialize_pem());
    certificate
}

/// Runs certsync there with a clock that is so many hours off; nothing where there is no faketime.
fn with_clock_off(node: &Node, hours: i64, args: &[&str]) -> Option<Answer> {
    let there = node.inside("faketime").args(["-f", "+0", "true"]).output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped: the clock cannot be set without faketime");
        return None;
    }
    let mut faked = node.inside("faketime");
    let faked =
        faked.env("NO_FAKE_STAT", "1").env("DONT_FAKE_MONOTONIC", "1").args(["-f", &format!("{hours:+}h"), "/opt/certsync"]).args(args);
    let output = faked.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Answer { status: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

#[track_caller]
fn everywhere(fleet: &Fleet, certificate: &str) {
    for node in fleet.nodes() {
        eventually(&format!("{} has it", node.name), || installed(node) == certificate);
    }
}

#[test]
fn a_replacement_from_another_authority_is_let_in_once_and_then_goes_everywhere() {
    needs_a_fleet!();
    let fleet = tiers();
    let mgmt = fleet.node("mgmt");
    let first = issue(mgmt, -3, 80);
    mgmt.certsync(&["apply"]).ok();
    everywhere(&fleet, &first);
    // The other authority dates its certificates further back.
    let other = issue(mgmt, -9, 60);
    let refused = mgmt.certsync(&["apply"]);
    assert!(refused.status == Some(1) && refused.stderr.contains("--accept example.com=older"), "{refused:?}");
    everywhere(&fleet, &first);
    mgmt.certsync(&["apply", "--accept", "example.com=older"]).ok();
    everywhere(&fleet, &other);
    for node in fleet.nodes() {
        node.certsync(&["apply"]).ok();
        assert_eq!(installed(node), other, "{} goes on with it, and asks no more", node.name);
    }
}

#[test]
fn a_rollback_at_the_origin_reaches_every_tier_and_so_does_its_release() {
    needs_a_fleet!();
    let fleet = tiers();
    let mgmt = fleet.node("mgmt");
    let first = issue(mgmt, -3, 80);
    mgmt.certsync(&["apply"]).ok();
    everywhere(&fleet, &first);
    let second = issue(mgmt, -2, 80);
    mgmt.certsync(&["apply"]).ok();
    everywhere(&fleet, &second);
    for _ in 0..2 {
        mgmt.certsync(&["rollback", "example.com"]).ok();
        everywhere(&fleet, &first);
        // It stays so whoever applies.
        for node in fleet.nodes() {
            node.certsync(&["apply"]).ok();
        }
        everywhere(&fleet, &first);
        mgmt.certsync(&["rollback", "example.com", "--release"]).ok();
        everywhere(&fleet, &second);
    }
}

#[test]
fn a_server_that_was_off_for_two_months_gets_what_is_new_and_is_seen_to_be_missing_until_then() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("web1", "upstream: mgmt, user: root"),
        server("web2", "upstream: mgmt, delivery: push, user: root"),
    ];
    let fleet = Fleet::new(&servers, &certs("[web1, web2]"));
    let (mgmt, webs) = (fleet.node("mgmt"), [fleet.node("web1"), fleet.node("web2")]);
    let past = -60 * 24;
    let first = issue(mgmt, -61, -1);
    let Some(made) = with_clock_off(webs[1], past, &["apply"]) else { return };
    made.ok();
    // The gate of web2 has the clock of this machine: the certificate that has run out since then must be let in by it.
    fleet.node("web2").write("certsync.yaml", &fleet.spec().replace("source: /srv/source", "source: /srv/source, accept: [expired]"));
    for node in [mgmt, webs[0]] {
        with_clock_off(node, past, &["apply"]).expect("as before").ok();
    }
    assert_eq!(webs.map(installed), [first.clone(), first.clone()]);
    fleet.tell();
    // Now they are off, and there are renewals.
    let key = "home/root/.ssh/authorized_keys";
    let lines = webs[1].read(key);
    webs[1].write(key, "");
    for (from, to, hours) in [(-31, 29, -30 * 24), (-1, 89, 0)] {
        issue(mgmt, from, to);
        let said = with_clock_off(mgmt, hours, &["apply"]).expect("as before");
        assert!(said.status == Some(1) && said.stderr.contains("web2"), "{said:?}");
    }
    let last = mgmt.read("source/cert.pem");
    let alarm = mgmt.certsync(&["status", "--fleet", "--warn", "21d", "--crit", "7d"]);
    let words = |name: &str| alarm.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_default().contains("STALE");
    assert!(alarm.status == Some(2) && words("web1") && words("web2"), "{alarm:?}");
    assert_eq!(webs.map(installed), [first.clone(), first]);
    // They are back.
    webs[1].write(key, &lines);
    webs[0].certsync(&["apply"]).ok();
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(webs.map(installed), [last.clone(), last]);
    let well = mgmt.certsync(&["status", "--fleet", "--warn", "21d"]);
    assert_eq!((well.status, well.stdout.lines().next()), (Some(0), Some("OK - 2 servers, all in step")), "{well:?}");
}

#[test]
fn an_origin_that_lost_its_state_goes_on_above_its_servers_and_asks_where_their_clock_was_ahead() {
    needs_a_fleet!();
    for (hours, asks) in [(0, false), (30 * 24, true)] {
        let servers = [server("mgmt", "user: root"), server("web1", "upstream: mgmt, delivery: push, user: root")];
        let fleet = Fleet::new(&servers, &certs("[web1]"));
        let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
        web1.certsync(&["apply"]);
        let first = issue(mgmt, -3, 80);
        let Some(said) = with_clock_off(mgmt, hours, &["apply"]) else { return };
        said.ok();
        assert_eq!(installed(web1), first);
        // All is gone but its keys.
        for entry in fs::read_dir(mgmt.path("state")).expect("its state").flatten().filter(|entry| entry.file_name() != "keys") {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("it is gone");
        }
        let second = issue(mgmt, -2, 80);
        // What it brings first has a number of its own clock; then it hears what web1 has seen.
        let said = mgmt.certsync(&["apply"]);
        if asks {
            assert_eq!(installed(web1), first, "{said:?}");
            let said = mgmt.certsync(&["apply"]);
            assert!(said.status == Some(1) && said.stderr.contains("--new-revisions"), "{said:?}");
            assert_eq!(installed(web1), first);
            mgmt.certsync(&["apply", "--new-revisions"]);
        }
        mgmt.certsync(&["apply"]).ok();
        assert_eq!(installed(web1), second);
    }
}

#[test]
fn a_set_that_the_receiver_s_spec_lacks_is_told_and_stops_nothing_else() {
    needs_a_fleet!();
    let servers = [server("mgmt", "user: root"), server("web1", "upstream: mgmt, delivery: push, user: root")];
    let mut fleet = Fleet::new(&servers, &certs("[web1]"));
    fleet.node("web1").certsync(&["apply"]);
    let more = format!("{}  more: {{ source: /srv/more, targets: [web1], install: /srv/more-live }}\n", certs("[web1]"));
    fleet.set_certs(&more);
    let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
    // Only the origin has the new spec.
    fleet.tell_one(mgmt);
    let certificate = issue(mgmt, -3, 80);
    for file in ["cert.pem", "privkey.pem"] {
        mgmt.write(&format!("more/{file}"), &mgmt.read(&format!("source/{file}")));
    }
    let said = mgmt.certsync(&["apply"]);
    assert_eq!(installed(web1), certificate, "{said:?}");
    assert!(said.status == Some(1) && said.stderr.contains("more") && said.stderr.contains("spec"), "{said:?}");
    let known = mgmt.certsync(&["status", "--fleet"]).ok();
    assert!(known.contains("refused to be served since"), "{known}");
    assert!(!web1.path("more-live").exists() && !web1.path("state/store/more").exists());
    fleet.tell_one(web1);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(web1.read("more-live/cert.pem"), certificate);
    let known = mgmt.certsync(&["status", "--fleet"]).ok();
    assert!(!known.contains("refused"), "{known}");
}
