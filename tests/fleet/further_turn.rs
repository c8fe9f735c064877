//! A further turn of a run, for requests that another run has served by then.

use crate::first::{installed, renew};
use crate::needs_a_fleet;
use crate::support::process::eventually;
use crate::support::{Fleet, Node, server};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Stdio};
use std::time::Duration;

const CERTS: &str = "hooks:\n  wait: { run: \"sh /srv/wait\" }\n\
    certs:\n  example.com: { source: /srv/source, targets: [web1], install: { dest: /srv/live, hooks: [wait] } }\n";
/// Stays until it is let go.
const WAIT: &str = "touch /srv/in-hook\nwhile ! [ -e /srv/go ]; do sleep 0.02; done\nrm -f /srv/in-hook /srv/go\n";

fn start(node: &Node) -> Child {
    let null = Stdio::null;
    node.inside("/opt/certsync").args(["apply", "--format", "json"]).stdin(null()).stdout(null()).stderr(null()).spawn().expect("it starts")
}

fn is_in_hook(node: &Node) -> bool {
    node.path("in-hook").exists()
}

/// Whether somebody has this lock: `next` is the one that the next run takes.
pub fn is_taken(node: &Node, lock: &str) -> bool {
    let number = fs::metadata(node.path(&format!("state/{lock}.lock"))).expect("the lock").ino();
    fs::read_to_string("/proc/locks").expect("all locks").contains(&format!(":{number} "))
}

/// Stops those that have called the node at their end, or lets them go on.
fn signal_gate(node: &Node, signal: &str) {
    let script = format!("for p in /proc/[0-9]*; do if [ \"$(cat $p/comm)\" = certsync ]; then kill -{signal} ${{p#/proc/}}; fi; done");
    assert!(node.inside("sh").args(["-c", &script]).status().expect("it runs").success());
}

/// Lets every hook go until they have ended.
fn let_end(node: &Node, mut runs: Vec<Child>) {
    eventually("the runs end", || {
        if is_in_hook(node) {
            node.write("go", "");
        }
        runs.retain_mut(|run| run.try_wait().expect("its status").is_none());
        runs.is_empty()
    });
}

#[test]
fn what_a_further_turn_finds_above_is_installed_or_left_for_the_next_run() {
    needs_a_fleet!();
    let fleet = Fleet::new(&[server("mgmt", "user: root"), server("web1", "upstream: mgmt, user: root")], CERTS);
    let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
    web1.write("wait", WAIT);
    let publish = || {
        let certificate = renew(mgmt);
        mgmt.certsync(&["apply"]).ok();
        certificate
    };
    publish();
    let first = start(web1);
    eventually("the first run is in its hook", || is_in_hook(web1));
    web1.write("state/requests/by-the-test", "{\"command\":\"the test\",\"scope\":\"all\"}");
    fs::set_permissions(web1.path("state/requests"), fs::Permissions::from_mode(0o700)).expect("its mode");
    let second = start(web1);
    eventually("the second run waits", || is_taken(web1, "next"));
    // It is long in saying above how it stands: meanwhile the second one has its turn, and serves the request.
    signal_gate(mgmt, "STOP");
    let later = publish();
    web1.write("go", "");
    eventually("the second run is in its hook", || installed(web1) == later && is_in_hook(web1));
    // The first one still sees the request, and waits for a turn to serve it.
    signal_gate(mgmt, "CONT");
    eventually("the first run waits", || is_taken(web1, "next"));
    std::thread::sleep(Duration::from_millis(100));
    let last = publish();
    let_end(web1, vec![first, second]);
    let_end(web1, vec![start(web1)]);
    assert_eq!(installed(web1), last);
}
