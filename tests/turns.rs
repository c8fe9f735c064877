//! Whose turn it is: several runs at once, requests that nobody may lose, locks that nobody inherits.

mod support;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};
use support::site::{Site, issue};

/// The hook of `a` takes its time, and notes when it began and ended.
const SPEC: &str = "version: 1
hooks:
  slow: { run: 'echo begin >> [DIR]/log; while test -e [DIR]/wait; do sleep 0.02; done; echo end >> [DIR]/log' }
certs:
  a: { source: src/a, install: { dest: '[DIR]/dest/a', hooks: [slow] } }
  b: { source: src/b, install: '[DIR]/dest/b' }
";

fn site() -> Site {
    let site = Site::new(SPEC);
    site.source("a", &issue(&["a.test"], 5));
    site.source("b", &issue(&["b.test"], 5));
    site.apply(0);
    site.log();
    site
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts an apply that stays in its hook until `wait` goes.
fn busy(site: &Site) -> std::process::Child {
    site.source("a", &issue(&["a.test"], 4));
    site.write("wait", "");
    let child = site.start(&["apply", "--format", "json"], &[]);
    until("the hook begins", || site.has("log"));
    child
}

#[test]
fn two_applies_at_once_work_one_after_the_other() {
    let site = site();
    let first = busy(&site);
    let second = site.start(&["apply", "--format", "json"], &[]);
    std::thread::sleep(Duration::from_millis(200));
    let b = issue(&["b.test"], 4);
    site.source("b", &b);
    site.remove("wait");
    let (first, second) = (site.end(first).ends(0), site.end(second).ends(0));
    assert_eq!((first.set("a"), second.set("a"), second.set("b")), ("installed", "unchanged", "installed"));
    assert!(site.shows("dest/b", &b));
    assert_eq!(site.log(), ["begin", "end"]);
}

#[test]
fn a_deploy_hook_during_an_apply_waits_as_the_next_one() {
    let site = site();
    let first = busy(&site);
    let b = issue(&["b.test"], 4);
    site.source("b", &b);
    let hook = site.start(&["deploy-hook", "--format", "json"], &[("RENEWED_LINEAGE", "[DIR]/src/b")]);
    std::thread::sleep(Duration::from_millis(200));
    let second = site.call_with(&["deploy-hook", "--format", "json"], &[("RENEWED_LINEAGE", "[DIR]/src/b")]).ends(0);
    assert!(second.stdout.contains("another certsync waits for its turn and will do this too"), "{}", second.stdout);
    site.remove("wait");
    site.end(first).ends(0);
    assert_eq!(site.end(hook).ends(0).set("b"), "installed");
    assert!(site.shows("dest/b", &b));
    assert_eq!(left(&site), 0);
}

fn left(site: &Site) -> usize {
    std::fs::read_dir(site.path("state/requests")).map(Iterator::count).unwrap_or(0)
}

#[test]
fn a_request_left_to_a_rollback_or_a_remove_or_a_command_that_fails_is_served() {
    for command in [&["rollback", "a"][..], &["rollback", "nowhere"], &["remove", "nowhere"], &["rollback", "a", "--release"]] {
        let site = site();
        let first = busy(&site);
        let waiting = site.start(command, &[]);
        std::thread::sleep(Duration::from_millis(300));
        let b = issue(&["b.test"], 4);
        site.source("b", &b);
        let hook = site.call_with(&["deploy-hook", "--format", "json"], &[("RENEWED_LINEAGE", "[DIR]/src/b")]).ends(0);
        assert!(hook.stdout.contains("another certsync waits"), "{}", hook.stdout);
        site.remove("wait");
        site.end(first).ends(0);
        let waited = site.end(waiting);
        assert_eq!(waited.status, Some(i32::from(command != ["rollback", "a"])), "{waited:?}");
        assert!(site.shows("dest/b", &b), "{command:?}");
        assert_eq!(left(&site), 0);
    }
}

#[test]
fn a_lock_that_is_not_to_be_had_names_its_holder() {
    let site = site();
    let first = busy(&site);
    let second = site.start(&["apply"], &[]);
    std::thread::sleep(Duration::from_millis(300));
    let third = site.call(&["apply", "--lock-timeout", "1s", "--format", "json"]).ends(1);
    let (pid, text) = (first.id(), &third.stderr);
    assert!(text.contains(&format!("held by pid {pid} (")) && text.contains("--lock-timeout"), "{text}");
    assert_eq!(third.json["errors"][0]["kind"], "lock");
    assert_eq!(left(&site), 1, "what it wanted is left to the one that waits");
    site.remove("wait");
    site.end(first).ends(0);
    site.end(second).ends(0);
    assert_eq!(left(&site), 0);
}

#[test]
fn a_plan_and_a_status_wait_for_nobody() {
    let site = site();
    let first = busy(&site);
    let start = Instant::now();
    site.call(&["plan", "--format", "json"]);
    site.call(&["status"]);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(site.has("wait"));
    site.remove("wait");
    site.end(first).ends(0);
}

#[test]
fn a_killed_holder_frees_the_lock_and_its_hook_is_still_owed() {
    let site = site();
    let mut first = busy(&site);
    first.kill().expect("it is killed");
    first.wait().expect("it ends");
    site.log();
    site.remove("wait");
    std::thread::sleep(Duration::from_millis(100));
    site.log();
    let run = site.call(&["apply", "--lock-timeout", "2s", "--format", "json"]).ends(0);
    assert_eq!(run.hooks(), ["slow run ok"]);
    assert_eq!(site.log(), ["begin", "end"]);
}

#[test]
fn no_renewal_is_lost_at_any_timing() {
    let site = Site::new("version: 1\ncerts:\n  all: { source: src/*, install: '[DIR]/dest/{name}' }\n");
    for set in ["a", "b", "c", "d"] {
        site.source(set, &issue(&[&format!("{set}.test")], 80));
    }
    site.apply(0);
    let random = |below: u64| RandomState::new().build_hasher().finish() % below;
    for round in 0..60 {
        std::thread::scope(|scope| {
            let site = &site;
            for set in ["a", "b", "c", "d"] {
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(random(60)));
                    site.source(set, &issue(&[&format!("{set}.test")], 79 - round));
                    // One that finds another set between its certificate and its key may refuse that one, and say so.
                    if set == "a" {
                        site.call(&["apply"]);
                    } else {
                        site.call_with(&["deploy-hook"], &[("RENEWED_LINEAGE", &format!("[DIR]/src/{set}"))]);
                    }
                });
            }
        });
        for set in ["a", "b", "c", "d"] {
            let read = |place: &str| site.read(&format!("{place}/{set}/privkey.pem"));
            assert_eq!(read("src"), read("dest"), "round {round}, set {set}");
        }
        assert_eq!(left(&site), 0);
    }
}
