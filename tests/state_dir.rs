//! The state directory: apart from what is read and written, and named where it cannot be used. And what a call names must exist.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use support::site::{Site, issue};

fn site(spec: &str) -> Site {
    let site = Site::new(spec);
    site.source("a", &issue(&["a.test"], 2));
    site
}

const ONE: &str = "version: 1\ncerts: { a: { source: src/a, install: '[DIR]/dest/a' } }\n";

#[test]
fn a_state_directory_among_what_is_read_or_written_is_refused_and_not_made() {
    let pattern = "version: 1\ncerts: { p: { source: src/*, install: '[DIR]/dest/{name}' } }\n";
    for (spec, state, why) in [
        (ONE, "src/a/state", "lies in [DIR]/src/a, the source of set a"),
        (ONE, "src/a", "lies in [DIR]/src/a, the source of set a"),
        (ONE, "src", "holds [DIR]/src/a, the source of set a"),
        (ONE, "dest/a/state", "lies in [DIR]/dest/a, a dest of set a"),
        (ONE, "dest", "holds [DIR]/dest/a, a dest of set a"),
        (ONE, "link/state", "lies in [DIR]/src/a, the source of set a"),
        (pattern, "src/state", "lies in [DIR]/src, the source of set p"),
        (pattern, "dest", "holds [DIR]/dest/{name}, a dest of set p"),
    ] {
        let site = site(spec);
        symlink(site.path("src/a"), site.path("link")).expect("a link");
        let shown = format!("[DIR]/{state}");
        let state = site.path(state).display().to_string();
        let was = fs::metadata(&state).is_ok();
        for command in ["plan", "apply", "status"] {
            site.call(&[command, "--state-dir", &state])
                .ends(if command == "status" { 3 } else { 1 })
                .says(&format!("certsync: error: {shown}: the state directory {why}\n"))
                .says("--state-dir");
        }
        assert_eq!(fs::metadata(&state).is_ok(), was, "{state}");
        assert!(!site.has("dest/a/privkey.pem"));
    }
}

#[test]
fn a_dest_that_a_link_leads_into_the_state_is_refused() {
    let site = site("version: 1\ncerts: { a: { source: src/a, install: '[DIR]/link/a' } }\n");
    fs::create_dir(site.path("state")).expect("a directory");
    symlink(site.path("state"), site.path("link")).expect("a link");
    site.call(&["apply"]).ends(1).says("the state directory holds ");
}

#[test]
fn a_link_in_the_place_of_the_state_is_called_one() {
    let site = site(ONE);
    site.apply(0);
    fs::rename(site.path("state/state.json"), site.path("elsewhere.json")).expect("renamed");
    symlink(site.path("elsewhere.json"), site.path("state/state.json")).expect("a link");
    site.call(&["apply"]).ends(1).says("certsync: error: [DIR]/state/state.json: a symbolic link in the place of the state file");
}

#[test]
fn a_lock_that_cannot_be_had_is_named_in_full() {
    let site = site(ONE);
    site.apply(0);
    site.remove("state/next.lock");
    fs::create_dir(site.path("state/next.lock")).expect("a directory");
    site.call(&["apply"]).ends(1).says("certsync: error: [DIR]/state/next.lock: is a directory\n");
}

#[test]
fn a_door_for_a_set_that_is_not_there_is_a_wrong_call() {
    let site = site(
        "version: 1\ncerts: { example: { source: src/a, install: '[DIR]/dest/a' }, p: { source: src/*, install: '[DIR]/p/{name}' } }\n",
    );
    for command in ["plan", "apply"] {
        let run = site.call(&[command, "--accept", "exmaple=older", "--format", "json"]).ends(1);
        assert_eq!(run.json["errors"][0]["kind"], "usage");
        run.says("certsync: error: --accept: no set exmaple on this host\n  hint: did you mean `example`?\n");
        site.call(&[command, "--accept", "zzzzzz=older"]).ends(1).says("  hint: there are `example`, `a`\n");
    }
    assert!(!site.has("dest/a"));
    site.call(&["apply", "--accept", "a=older", "--accept", "example=older"]).ends(0);
}
