//! Sets that had nothing to do are passed over as long as nothing that their last look depended on has changed. What is said and done must be
//! the same as without the cache.

use super::host::Host;
use super::pairs::Pair;
use serde_json::Value;

const SETS: [&str; 3] = ["a", "b", "c"];

/// Three sets with a hook each, installed and settled.
fn three() -> Host {
    let host = Host::new();
    host.spec(&spec(""));
    for set in SETS {
        host.source(&format!("live/{set}"), &Pair::new("site.test", 1));
    }
    host.apply().has_status(2);
    settle(&host);
    host
}

fn spec(more: &str) -> String {
    let hooks: String =
        SETS.iter().map(|set| format!("  {set}: {{ run: \"echo {set} >> '[DIR]/ran'; test ! -e '[DIR]/{set}-fails'\" }}\n")).collect();
    let sets: String = SETS
        .iter()
        .map(|set| format!("  {set}: {{ source: live/{set}, install: {{ dest: ssl/{set}, hooks: [{set}]{more} }} }}\n"))
        .collect();
    format!("version: 1\nhooks:\n{hooks}certs:\n{sets}")
}

fn settle(host: &Host) {
    if !host.has("ran") {
        host.write("ran", "");
    }
    std::thread::sleep(std::time::Duration::from_millis(20));
    host.apply().has_status(0);
    host.apply().has_status(0);
    host.remove("ran");
}

fn ran(host: &Host) -> String {
    if host.has("ran") { host.read("ran").replace('\n', " ").trim_end().to_owned() } else { String::new() }
}

/// A plan, and the same without the cache.
#[track_caller]
fn plans_alike(host: &Host) -> Value {
    let with = host.plan().json;
    host.write("kept", host.read_bytes("state/cache"));
    host.remove("state/cache");
    assert_eq!(host.plan().json, with);
    host.write("state/cache", host.read_bytes("kept"));
    host.remove("kept");
    with
}

#[test]
fn a_report_tells_of_passed_over_sets_as_of_any_other() {
    let host = three();
    let plan = plans_alike(&host);
    assert_eq!(plan["sets"].as_array().map(Vec::len), Some(3));
    assert!(plan["sets"][1]["digest"].is_string() && plan["sets"][1]["installs"][0]["result"] == "unchanged", "{plan:#}");
}

#[test]
fn one_renewal_leaves_what_is_recorded_of_the_others_as_it_was() {
    let host = three();
    let before = host.state();
    host.source("live/b", &Pair::new("site.test", 2));
    plans_alike(&host);
    host.apply().has_status(2);
    assert_eq!(ran(&host), "b");
    let after = host.state();
    for set in ["a", "c"] {
        assert_eq!(after["sets"][set], before["sets"][set]);
    }
    assert_ne!(after["sets"]["b"], before["sets"]["b"]);
    let installs = |state: &Value| state["installs"].as_array().cloned().unwrap_or_default();
    let (old, new) = (installs(&before), installs(&after));
    assert_eq!((new.len(), &new[0], &new[2]), (3, &old[0], &old[2]));
    settle(&host);
    plans_alike(&host);
    host.json(&["apply", "--verify-content"]).has_status(0).says_nothing();
}

#[test]
fn an_owed_hook_is_tried_at_every_run_while_the_other_sets_are_passed_over() {
    let host = three();
    host.write("b-fails", "");
    host.source("live/b", &Pair::new("site.test", 2));
    host.apply().has_status(6);
    for _ in 0..3 {
        host.apply().has_status(6);
    }
    assert_eq!(ran(&host), "b b b b");
    plans_alike(&host);
    host.remove("b-fails");
    host.apply().has_status(2);
    host.apply().has_status(0);
    assert_eq!(ran(&host), "b b b b b");
}

#[test]
fn whatever_the_spec_or_the_state_changes_is_seen() {
    let host = three();
    host.spec(&spec(", file_mode: -rw-------"));
    assert_eq!(plans_alike(&host)["changed"], true);
    host.spec(&spec(""));
    assert_eq!(plans_alike(&host)["changed"], false);
    let old = host.read_bytes("state/state.json");
    host.source("live/c", &Pair::new("site.test", 2));
    host.apply().has_status(2);
    settle(&host);
    host.write("state/state.json", old);
    host.mode("state/state.json", 0o600);
    assert_eq!(plans_alike(&host)["changed"], true, "the old state knows nothing of the renewal: its hook is owed");
    host.apply().has_status(2);
    assert_eq!(ran(&host), "c");
}

#[test]
fn a_lost_or_old_state_is_not_believed_after_a_run_over_another_set() {
    for lost in [true, false] {
        let host = three();
        let old = host.read_bytes("state/state.json");
        host.source("live/a", &Pair::new("site.test", 2));
        host.apply().has_status(2);
        settle(&host);
        if lost {
            host.remove("state/state.json");
        } else {
            host.write("state/state.json", &old);
            host.mode("state/state.json", 0o600);
        }
        let mut renewed = host.command(&["deploy-hook"]);
        assert!(renewed.env("RENEWED_LINEAGE", host.at("live/b")).status().expect("it runs").success());
        plans_alike(&host);
        host.apply();
        assert!(ran(&host).contains('a'), "the hook of a is owed: {}", ran(&host));
        host.apply().has_status(0);
        plans_alike(&host);
        assert_eq!(host.state()["installs"].as_array().map(Vec::len), Some(3));
    }
}

#[test]
fn a_state_that_is_written_otherwise_is_read_all_the_same() {
    let host = three();
    let pretty = |host: &Host| serde_json::to_string_pretty(&host.state()).expect("JSON");
    let reversed = |host: &Host| {
        let lines = host.read("state/state.json");
        let (head, rest) = lines.split_once("\n\"a\"").expect("the first set");
        let (a, rest) = rest.split_once(",\n\"b\"").expect("the second set");
        let (b, rest) = rest.split_once(",\n\"c\"").expect("the third set");
        let (c, rest) = rest.split_once("\n}").expect("the end");
        format!("{head}\n\"c\"{c},\n\"b\"{b},\n\"a\"{a}\n}}{rest}")
    };
    let ends = |host: &Host| host.read("state/state.json").replace('\n', "\r\n");
    let blank = |host: &Host| host.read("state/state.json").replacen('\n', "\n\n", 3);
    let forms: [&dyn Fn(&Host) -> String; 4] = [&pretty, &reversed, &ends, &blank];
    for (number, form) in forms.into_iter().enumerate() {
        let text = form(&host);
        host.write("state/state.json", text);
        host.mode("state/state.json", 0o600);
        settle(&host);
        host.source("live/b", &Pair::new("site.test", 10 + u8::try_from(number).expect("a small number")));
        let plan = plans_alike(&host);
        assert!(!plan.to_string().contains("orphaned"), "{plan:#}");
        host.apply().has_status(2);
        settle(&host);
        assert_eq!(host.state()["sets"].as_object().map(serde_json::Map::len), Some(3));
    }
}

#[test]
fn a_set_that_left_the_spec_is_an_orphan_though_the_others_are_passed_over() {
    let host = three();
    let without: String = spec("").lines().filter(|line| !line.starts_with("  b: { source")).map(|line| format!("{line}\n")).collect();
    host.spec(&without);
    for _ in 0..2 {
        let plan = plans_alike(&host);
        assert!(
            plan["sets"].as_array().is_some_and(|sets| sets.iter().any(|set| set["name"] == "b" && set["result"] == "orphaned")),
            "{plan:#}"
        );
        host.apply().has_status(0);
    }
    host.spec(&spec(""));
    assert_eq!(plans_alike(&host)["changed"], false);
    assert_eq!(host.state()["installs"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_rollback_and_its_release_are_seen_between_sets_that_are_passed_over() {
    let host = three();
    let second = Pair::new("site.test", 2);
    host.source("live/a", &second);
    host.apply().has_status(2);
    settle(&host);
    let rollback = |args: &[&str]| host.command(&[&["rollback", "a", "--spec"], args].concat()).output().expect("it runs").status.code();
    let spec = host.at("certsync.yaml").display().to_string();
    assert_eq!(rollback(&[&spec]), Some(0));
    assert_eq!(plans_alike(&host)["sets"][0]["result"], "held");
    host.apply().has_status(0);
    assert_eq!(rollback(&[&spec, "--release"]), Some(0));
    host.shows("ssl/a", &second);
    plans_alike(&host);
}
