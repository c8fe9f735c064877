//! An origin that is killed while it serves those below.

use crate::large::Versions;
use crate::needs_a_fleet;
use crate::support::{Chance, Fleet, Node, server, whole_or};
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Instant;

const CERTS: &str = "hooks:\n  note: { run: \"sha256sum </srv/live/cert.pem >>/srv/noted\" }\n\
    certs:\n  example.com: { source: /srv/source, targets: [web1, web2, edge1], install: { dest: /srv/live, hooks: [note] } }\n";

/// For which certificates the hook has run here.
fn noted(node: &Node) -> Vec<String> {
    fs::read_to_string(node.path("noted")).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn an_origin_that_was_killed_at_any_moment_goes_on_where_it_was() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("web1", "upstream: mgmt, delivery: push, user: root"),
        server("web2", "upstream: mgmt, delivery: push, user: root"),
        server("edge1", "upstream: web1, delivery: push, user: root"),
    ];
    let fleet = Fleet::new(&servers, CERTS);
    let (mgmt, others) = (fleet.node("mgmt"), ["web1", "web2", "edge1"].map(|name| fleet.node(name)));
    let mut versions = Versions::default();
    versions.renew(mgmt);
    let begun = Instant::now();
    mgmt.certsync(&["apply"]).ok();
    let usual = begun.elapsed();
    let mut chance = Chance::new("an origin that was killed");
    for round in 0..whole_or(50, 6) {
        versions.renew(mgmt);
        let moment = chance.moment(usual);
        let case = format!("round {round}, killed after {moment:?} of some {usual:?}");
        let mut apply = mgmt.inside("/opt/certsync");
        let apply = apply.arg("apply").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut apply = apply.spawn().expect("it starts");
        sleep(moment);
        kill_certsync(mgmt);
        apply.wait().expect("it has ended");
        for node in others {
            versions.are_there_whole(node, &case);
        }
        let said = mgmt.certsync(&["apply", "--format", "json"]);
        assert_eq!(said.status, Some(0), "{case}: {said:?}");
        let case = format!("{case}: {said:?}");
        versions.last_is_at(&others, &case);
        for node in others {
            versions.are_whole_at(node, &case);
            let hash = noted(node).pop().unwrap_or_default();
            let certificate = fs::File::open(node.path("live/cert.pem")).expect("it is there");
            let wanted = node.inside("sha256sum").stdin(certificate).output().expect("a hash").stdout;
            assert_eq!(hash.as_bytes(), wanted.trim_ascii_end(), "{case}: the hook of {} ran for it", node.name);
        }
    }
}

/// Kills certsync itself; the `ssh` that it has started find out.
fn kill_certsync(node: &Node) {
    let script = "for p in /proc/[0-9]*; do if [ \"$(cat $p/comm 2>/dev/null)\" = certsync ]; then kill -KILL ${p#/proc/}; fi; done";
    let _ = node.inside("sh").args(["-c", script]).stderr(Stdio::null()).status().expect("it runs");
}
