//! `certsync forget`.

mod support;

use support::site::{Site, issue};

fn site() -> Site {
    let site = Site::new("version: 1\ncerts: { a: { source: src/a, install: '[DIR]/dest/a' } }\n");
    site.source("a", &issue(&["a.test"], 2));
    site.apply(0);
    site.call(&["keygen"]).ends(0);
    site
}

#[test]
fn the_state_goes_and_what_is_installed_stays() {
    let site = site();
    let installed = site.read("dest/a/fullchain.pem");
    // What killed runs leave, and a state that was set aside.
    site.write("state/.new-1-2", "");
    site.call(&["apply", "--new-state"]).ends(0);
    let state = site.path("state").display().to_string();
    assert_eq!(site.call(&["forget", &state]).ends(0).stdout, "forgotten: [DIR]/state; what is installed stays as it is\n");
    assert!(!site.has("state"));
    assert_eq!(site.read("dest/a/fullchain.pem"), installed);
    assert_eq!(site.call(&["forget", &state]).ends(0).stdout, "nothing to forget: [DIR]/state is not there\n");
    // It begins anew, with what is there.
    site.apply(0);
    assert_eq!(site.read("dest/a/fullchain.pem"), installed);
}

#[test]
fn what_is_not_certsync_s_stays() {
    let site = site();
    site.write("state/notes/mine", "precious");
    site.write("state/state.json.bak", "precious");
    let state = site.path("state").display().to_string();
    let run = site.call(&["forget", &state]).ends(0);
    assert!(run.stderr.contains("kept what is not certsync's: notes, state.json.bak"), "{}", run.stderr);
    assert_eq!((site.read("state/notes/mine"), site.read("state/state.json.bak")), ("precious".to_owned(), "precious".to_owned()));
    let run = site.call(&["forget", &state]).ends(1);
    assert!(run.stderr.contains("[DIR]/state: is no state directory of certsync's"), "{}", run.stderr);
    assert_eq!(std::fs::read_dir(&state).expect("it is there").count(), 2, "no lock is left in it either");
    // A name alone says nothing.
    site.write("other/keys/precious", "");
    site.call(&["forget", &site.path("other").display().to_string()]).ends(1);
    assert!(site.has("other/keys/precious"));
    site.call(&["forget"]).ends(1);
}

#[test]
fn a_run_that_is_going_on_is_waited_for() {
    let site = Site::new(
        "version: 1
hooks: { slow: { run: 'while test -e [DIR]/held; do sleep 0.05; done; test -e [DIR]/state/state.json && echo whole >[DIR]/told' } }
certs: { a: { source: src/a, install: { dest: '[DIR]/dest/a', hooks: [slow] } } }
",
    );
    site.source("a", &issue(&["a.test"], 2));
    site.write("held", "");
    let apply = site.start(&["apply"], &[]);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !site.has("dest/a/fullchain.pem") {
        assert!(std::time::Instant::now() < end, "nothing is installed");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let state = site.path("state").display().to_string();
    let forget = site.start(&["forget", &state], &[]);
    site.remove("held");
    site.end(apply).ends(0);
    site.end(forget).ends(0);
    assert_eq!(site.read("told"), "whole\n");
    assert!(!site.has("state"));
}
