//! Timers and path units, under a real systemd.

use super::{play, run};
use crate::hosts::{Host, Hosts, Init};
use crate::{DEST, LIVE, assert_same, is_left_out, one_set, top, tree};
use std::time::{Duration, Instant};

/// Asks until it is so.
#[track_caller]
fn becomes(host: &Host, what: &str) {
    let end = Instant::now() + Duration::from_secs(120);
    while !host.output(what).status.success() {
        assert!(Instant::now() < end, "{what}: {}", host.run("journalctl --no-pager -n 40 2>&1; systemctl list-timers --no-pager"));
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_timer_and_a_path_unit_start_certsync_and_go_again() {
    if is_left_out("a_timer_and_a_path_unit_start_certsync_and_go_again", &["ansible-playbook", "systemctl", "cron", "sudo"]) {
        return;
    }
    let mut hosts = Hosts::new();
    if let Err(why) = hosts.start_with(Init::Systemd, "web1", [10, 0, 0, 11].into(), "mkdir -p /etc/nginx") {
        eprintln!("skipped: a_timer_and_a_path_unit_start_certsync_and_go_again: {why}");
        return;
    }
    let host = hosts.host("web1");
    host.copy(&top().join("roles/ansible"), "/srv/roles");
    host.issue(LIVE);
    run(host, &play(&one_set(""), ""), "").ok();
    host.run("test -e /etc/cron.d/certsync && test -e /etc/sudoers.d/certsync");

    // From cron to a timer, from sudo to a path unit; what it was before is gone.
    let units = "        certsync_schedule: timer\n        certsync_privilege: path_unit\n        certsync_interval: 30\n        certsync_splay: 0s\n";
    // With a host below it, so that there is a gate that may leave something.
    let origin = one_set("").replacen("{ source:", "{ targets: [web1, web2], source:", 1);
    let origin =
        origin.replacen("certs:", "servers: { web1: { address: 10.0.0.11 }, web2: { address: 10.0.0.12, upstream: web1 } }, certs:", 1);
    let site = play(&origin, units);
    let before = tree(host);
    let dry = run(host, &site, "--check --diff").ok();
    assert!(dry.changed() >= 2 && dry.text.contains("+OnUnitInactiveSec=30min"), "{}", dry.text);
    assert_same(host, &before, &dry.text);
    let changed = run(host, &site, "").ok();
    host.run("test ! -e /etc/cron.d/certsync && test ! -e /etc/sudoers.d/certsync");
    host.run("systemctl -q is-active certsync.timer certsync-inbox.path && systemctl -q is-enabled certsync.timer certsync-inbox.path");
    host.run("systemd-analyze verify certsync.timer certsync-inbox.path");
    assert!(
        !host.run("systemctl show -P NeedDaemonReload certsync.timer certsync.service certsync-inbox.path").contains("yes"),
        "{}",
        changed.text
    );
    let again = run(host, &site, "").ok();
    assert_eq!(again.changed(), 0, "{}", again.text);
    let before = tree(host);
    let dry = run(host, &site, "--check").ok();
    assert_eq!(dry.changed(), 0, "{}", dry.text);
    assert_same(host, &before, &dry.text);

    // What a gate without root has left starts a run by itself, and so does the timer, whose new interval counts at once.
    let second = host.issue(LIVE);
    host.write("/srv/second", &second);
    host.run("setpriv --reuid certsync --regid certsync --clear-groups touch /var/lib/certsync/inbox/request-test");
    becomes(host, &format!("cmp -s {DEST}/cert.pem /srv/second"));
    run(host, &play(&origin, &units.replace("interval: 30", "interval: 1")), "").ok();
    assert!(host.run("systemctl show -P TimersMonotonic certsync.timer").contains("OnUnitInactiveUSec=1min"));
    host.write("/srv/third", &host.issue(LIVE));
    becomes(host, &format!("cmp -s {DEST}/cert.pem /srv/third"));

    // And back.
    run(host, &play(&one_set(""), ""), "").ok();
    let gone = "! systemctl -q is-active certsync.timer && ! systemctl -q is-active certsync-inbox.path && test -z \"$(find /etc/systemd -name 'certsync*')\"";
    host.run(&format!("{gone} && systemctl cat certsync.timer 2>&1 | grep -q 'No files found'"));
    host.run("test -e /etc/cron.d/certsync && test -e /etc/sudoers.d/certsync");

    // What is taken away leaves no unit either, no run that waits for its moment, and nobody logged in; what is not its own stays.
    run(host, &play(&origin, &units.replace("splay: 0s", "splay: 10m")), "").ok();
    host.run("systemctl start --no-block certsync.service && echo mine >/var/lib/certsync/mine");
    host.run("setsid setpriv --reuid certsync --regid certsync --clear-groups sleep 600 >/dev/null 2>&1 &");
    let absent = play(&one_set(""), "        certsync_state: absent\n");
    run(host, &absent, "").ok();
    host.run(gone);
    assert_eq!(host.run("ls -A /var/lib/certsync; id certsync 2>/dev/null || true"), "mine\n");
    assert_eq!(run(host, &absent, "").ok().changed(), 0);
    host.run("systemctl list-units --all --no-legend 'certsync*' | { ! grep . ; }");
}
