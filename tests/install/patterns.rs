//! Sources that end in `/*`.

use super::host::Host;
use super::pairs::Pair;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

const LINEAGES: &str = "\
version: 1
hooks:
  log: { run: \"echo ran >> [DIR]/hooks.log\" }
certs:
  lineages:
    source: live/*
    install: { dest: \"ssl/{name}\", hooks: [log] }
";

fn lineages(names: &[&str]) -> Host {
    let host = Host::new();
    host.spec(LINEAGES);
    for name in names {
        host.source(&format!("live/{name}"), &Pair::new("site.test", 1));
    }
    host.apply().has_status(2);
    host.quiet();
    host.forget_hooks();
    host
}

#[test]
fn each_directory_becomes_a_set_and_a_new_one_is_installed() {
    let host = lineages(&["a.test", "b.test"]);
    let pair = Pair::new("c.test", 1);
    host.source("live/c.test", &pair);
    host.write("live/README", "text");
    let run = host.apply().has_status(2);
    assert_eq!((&run.set("c.test")["reason"], &run.set("a.test")["result"]), (&"new".into(), &"unchanged".into()));
    host.shows("ssl/c.test", &pair);
    assert_eq!(host.hooks(), 1);
    host.quiet();
}

#[test]
fn a_lineage_that_is_gone_is_orphaned_and_stays() {
    let host = lineages(&["a.test", "b.test"]);
    let key = host.read("ssl/b.test/privkey.pem");
    host.remove("live/b.test");
    let plan = host.plan().has_status(0);
    assert_eq!(plan.set("b.test")["result"], "orphaned");
    assert!(plan.set("b.test")["warnings"][0].as_str().is_some_and(|warning| warning.contains("more days")), "{:#}", plan.json);
    assert_eq!(host.apply().has_status(0).set("b.test")["result"], "orphaned");
    assert_eq!(host.read("ssl/b.test/privkey.pem"), key);
    let done = host.command(&["remove", "b.test", "-q"]).output().expect("it runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(!host.has("ssl/b.test") && host.has("ssl/a.test/privkey.pem") && !host.has("state/store/b.test"));
    host.quiet();
}

#[test]
fn a_pattern_that_matches_nothing_any_more_is_a_failure_and_removes_nothing() {
    let host = lineages(&["a.test", "b.test"]);
    let key = host.read("ssl/b.test/privkey.pem");
    fs::rename(host.at("live"), host.at("away")).expect("a rename");
    fs::create_dir(host.at("live")).expect("a directory");
    let run = host.apply().has_status(4);
    run.complains("matches nothing any more");
    assert!(run.json["sets"].as_array().is_some_and(|sets| sets.iter().all(|set| set["result"] != "orphaned")), "{:#}", run.json);
    host.remove("live");
    host.apply().has_status(4).complains("no such directory");
    assert_eq!(host.read("ssl/b.test/privkey.pem"), key);
    host.mode("ssl/a.test/privkey.pem", 0o640);
    host.apply().has_status(6);
    assert_eq!(host.mode_of("ssl/a.test/privkey.pem"), "0600", "drift is repaired all the same");
    fs::rename(host.at("away"), host.at("live")).expect("a rename");
    host.quiet();
}

#[test]
fn a_pattern_that_has_never_matched_is_no_failure() {
    let host = Host::new();
    host.spec(LINEAGES);
    fs::create_dir(host.at("live")).expect("a directory");
    host.apply().has_status(0);
    host.quiet();
}

#[test]
fn a_set_defined_by_its_own_name_wins() {
    let host = lineages(&["a.test", "b.test"]);
    host.spec(&format!("{LINEAGES}  b.test: {{ source: own, install: elsewhere }}\n"));
    let pair = Pair::new("site.test", 5);
    host.source("own", &pair);
    let run = host.apply().has_status(2);
    assert_eq!(run.set("b.test")["result"], "installed");
    host.shows("elsewhere", &pair);
    assert!(host.has("ssl/b.test/privkey.pem"), "the former place is an orphan and stays");
    host.apply().has_status(0);
}

#[test]
fn names_that_cannot_be_sets_are_errors_of_their_own() {
    let host = lineages(&["a.test"]);
    fs::create_dir(host.at("live").join(OsStr::from_bytes(b"bad\xff"))).expect("a directory");
    fs::create_dir(host.at("live/new\nline")).expect("a directory");
    let pair = Pair::new("b.test", 1);
    host.source("live/b.test", &pair);
    let run = host.apply().has_status(6);
    run.complains("bad\\xff").complains("new\\nline");
    host.shows("ssl/b.test", &pair);
}

#[test]
fn names_with_odd_but_possible_characters_are_sets() {
    let host = lineages(&["xn--bcher-kva.example", "a_b-0001", "UPPER.example"]);
    assert!(host.has("ssl/a_b-0001/privkey.pem"));
    let host = Host::new();
    host.spec(LINEAGES);
    host.source("live/with space", &Pair::new("site.test", 1));
    let run = host.apply();
    if run.status == 2 {
        host.quiet();
    } else {
        run.has_status(4).complains("with space").complains("hint: ");
    }
}

#[test]
fn a_set_that_fails_does_not_stop_the_others() {
    let host = lineages(&["a.test", "b.test"]);
    host.write("live/a.test/privkey.pem", Pair::new("other.test", 1).key);
    let pair = Pair::new("site.test", 2);
    host.source("live/b.test", &pair);
    let run = host.apply().has_status(6);
    assert_eq!((&run.set("a.test")["result"], &run.set("b.test")["result"]), (&"refused".into(), &"installed".into()));
    host.shows("ssl/b.test", &pair);
}
