//! The state directory: lost, old, damaged, somebody else's.

use super::host::{Host, is_root};
use std::fs;

const LAYOUTS: [&str; 2] = ["generations", "flat"];

#[test]
fn a_lost_state_costs_one_hook_and_no_content() {
    for layout in LAYOUTS {
        let (host, pair) = Host::installed(&format!("layout: {layout}"));
        host.remove("state");
        let current = host.current("ssl", "site");
        host.plan().has_status(2);
        host.apply().has_status(2);
        assert_eq!((host.hooks(), host.current("ssl", "site")), (1, current));
        host.shows("ssl", &pair);
        host.quiet();
    }
}

#[test]
fn a_lost_state_together_with_a_renewal_keeps_what_was_there_as_former() {
    for layout in LAYOUTS {
        let (host, _) = Host::installed(&format!("layout: {layout}"));
        let former = host.current("ssl", "site");
        host.remove("state");
        let pair = host.renew(2);
        host.apply().has_status(2);
        host.shows("ssl", &pair);
        assert_eq!((host.hooks(), host.generations("ssl", "site")[0].as_str()), (1, former.as_str()));
        assert_eq!(host.state()["installs"][0]["former"][0]["name"], former.as_str());
        host.quiet();
    }
}

#[test]
fn an_older_copy_of_the_state_costs_one_hook() {
    for layout in LAYOUTS {
        let (host, _) = Host::installed(&format!("layout: {layout}"));
        let old = host.read("state/state.json");
        let pair = host.renew(2);
        host.apply().has_status(2);
        host.quiet();
        host.forget_hooks();
        host.write("state/state.json", old);
        host.mode("state/state.json", 0o600);
        let (current, count) = (host.current("ssl", "site"), host.generations("ssl", "site").len());
        host.apply().has_status(2);
        assert_eq!((host.hooks(), host.current("ssl", "site")), (1, current));
        assert_eq!(host.generations("ssl", "site").len(), count);
        host.shows("ssl", &pair);
        host.quiet();
    }
}

/// A state that is refused: exit 1, nothing touched, and the way out works.
#[track_caller]
fn refused(host: &Host, complaint: &str) {
    let before = host.snapshot();
    host.json(&["plan"]).has_status(1).complains(complaint).complains("--new-state");
    assert_eq!(host.snapshot(), before);
    host.json(&["apply"]).has_status(1).complains(complaint).complains("--new-state");
    let state = host.read("state/state.json");
    host.json(&["plan", "--new-state"]).has_status(2);
    assert_eq!(host.read("state/state.json"), state, "plan changes nothing");
    host.json(&["apply", "--new-state"]).has_status(2);
    let kept = fs::read_dir(host.at("state")).expect("a listing").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let kept: Vec<String> = kept.filter(|name| name.starts_with("state.json.")).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(host.read(&format!("state/{}", kept[0])), state, "the evidence is kept");
    assert_eq!(host.hooks(), 1);
    host.quiet();
}

#[test]
fn a_damaged_state_is_refused_and_names_the_way_out() {
    for damage in ["", "{", "{\"version\": 1}", "null", "{\"version\": \"x\"}"] {
        let (host, _) = Host::installed("");
        host.write("state/state.json", damage);
        refused(&host, "damaged");
    }
}

#[test]
fn a_newer_state_is_refused() {
    let (host, _) = Host::installed("");
    host.write("state/state.json", host.read("state/state.json").replacen("\"version\":1", "\"version\":99", 1));
    refused(&host, "written by a newer certsync (version 99");
}

#[test]
fn a_state_of_another_spec_is_refused() {
    let (host, _) = Host::installed("");
    let moved = host.read("state/state.json").replacen("/certsync.yaml\"", "/elsewhere.yaml\"", 1);
    host.write("state/state.json", moved);
    refused(&host, "serves another spec");
}

#[test]
fn a_state_that_another_host_wrote_makes_every_hook_run_once() {
    let (host, pair) = Host::installed("");
    let mut state = host.state();
    state["host"] = "another-host".into();
    host.write("state/state.json", state.to_string());
    host.plan().has_status(2);
    host.apply().has_status(2);
    assert_eq!(host.hooks(), 1);
    host.shows("ssl", &pair);
    host.quiet();
}

#[test]
fn a_state_directory_that_others_may_write_is_refused() {
    for path in ["state", "state/state.json"] {
        let (host, _) = Host::installed("");
        let mode = if path == "state" { 0o777 } else { 0o666 };
        host.mode(path, mode);
        host.json(&["plan"]).has_status(1).complains("hint: ");
        host.json(&["apply"]).has_status(1).complains("hint: ");
        assert_eq!(host.mode_of(path), format!("{mode:04o}"), "nothing touched");
    }
}

#[test]
fn a_state_directory_of_somebody_else_is_refused() {
    if !is_root() {
        return;
    }
    let (host, _) = Host::installed("");
    std::os::unix::fs::chown(host.at("state"), Some(4321), Some(4321)).expect("chown");
    host.json(&["apply"]).has_status(1).complains("hint: ");
}

#[test]
fn a_lost_store_is_filled_again_from_the_source() {
    let (host, pair) = Host::installed("");
    host.remove("state/store");
    host.quiet();
    host.write("ssl/cert.pem", "drift");
    host.apply().has_status(2);
    host.shows("ssl", &pair);
    assert!(host.has("state/store/site"));
}

#[test]
fn a_damaged_store_is_not_installed() {
    let (host, pair) = Host::installed("");
    let digest = host.state()["sets"]["site"]["digest"].as_str().expect("a digest").to_owned();
    host.write(&format!("state/store/site/{digest}/cert.pem"), "damaged");
    host.write("ssl/cert.pem", "drift");
    host.apply().has_status(2);
    host.shows("ssl", &pair);
    host.write(&format!("state/store/site/{digest}/cert.pem"), "damaged");
    host.remove("live");
    host.write("ssl/cert.pem", "drift");
    host.apply().has_status(4).complains("is not what was stored");
}

#[test]
fn what_killed_runs_left_in_the_state_directory_is_swept() {
    let (host, _) = Host::installed("");
    host.write("state/.new-1-2-3", "half a state");
    host.apply().has_status(0);
    assert!(!host.has("state/.new-1-2-3"));
    host.quiet();
}
