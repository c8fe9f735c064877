//! Orphans, and `certsync remove`.

mod support;

use support::site::{Issued, Site, issue};

const SPEC: &str = "version: 1
hooks: { reload: { run: 'echo run >> [DIR]/log' } }
certs:
  a:
    source: src/a
    install:
      - { dest: '[DIR]/dest/1', hooks: [reload] }
      - { dest: '[DIR]/there', layout: flat }
  b: { source: src/b, install: '[DIR]/shared' }
";

fn site() -> (Site, Issued) {
    let site = Site::new(SPEC);
    let a = issue(&["a.test"], 2);
    site.source("a", &a);
    site.write("src/a/sub/folder/extra.pem", &a.chain);
    site.source("b", &issue(&["b.test"], 2));
    site.write("there/foreign", "mine");
    site.apply(0);
    site.log();
    (site, a)
}

fn without_a(site: &Site) {
    site.spec("version: 1\ncerts: { b: { source: src/b, install: '[DIR]/shared' } }\n");
}

#[test]
fn an_orphan_stays_and_is_a_warning_with_its_days() {
    let (site, a) = site();
    without_a(&site);
    let warning = "a stays at [DIR]/dest/1 though it no longer belongs there, valid for 60 more days; certsync remove deletes it";
    for command in ["plan", "apply"] {
        let run = site.call(&[command, "--format", "json", "--detailed-exitcode"]).ends(0);
        assert_eq!((run.set("a"), run.changed()), ("orphaned", false));
        assert_eq!(run.find_set("a")["warnings"][0], warning);
    }
    assert!(site.shows("dest/1", &a) && site.shows("there", &a));
    let status = site.call(&["status"]).ends(0);
    assert!(
        status.stdout.lines().any(|line| line.contains("dest/1") && line.contains("60") && line.ends_with("orphaned")),
        "{}",
        status.stdout
    );
    assert!(site.log().is_empty());
}

#[test]
fn remove_deletes_files_generations_store_and_state_and_leaves_what_is_not_ours() {
    let (site, _) = site();
    without_a(&site);
    let run = site.call(&["remove", "a", "--format", "json"]).ends(0);
    assert_eq!((run.set("a"), run.changed(), run.hooks().len(), site.log().len()), ("orphaned", true, 0, 0));
    assert!(!site.has("dest/1"), "certsync made it, and it is empty");
    assert_eq!(std::fs::read_dir(site.path("there")).expect("it stays").count(), 1);
    assert_eq!(site.read("there/foreign"), "mine");
    assert!(!site.has("state/store/a") && !site.read("state/state.json").contains("a.test"));
    let run = site.apply(0);
    assert_eq!((run.set("b"), run.find_set("a")), ("unchanged", &serde_json::Value::Null));
    site.call(&["remove", "a"]).ends(1).says("certsync: error: a: is not installed here\n");
}

#[test]
fn a_set_that_belongs_here_is_not_removed() {
    let (site, a) = site();
    site.call(&["remove", "a"])
        .ends(1)
        .says("certsync: error: a: belongs to this host: only an orphaned set is removed\n  hint: take it out of the spec first\n");
    assert!(site.shows("dest/1", &a));
}

#[test]
fn one_of_two_places_is_removed_alone() {
    let (site, a) = site();
    site.edit(&format!("      - {{ dest: '{}/there', layout: flat }}\n", site.dir().display()), "");
    let run = site.apply(0);
    assert_eq!((run.set("a"), run.json["sets"].as_array().map(Vec::len)), ("unchanged", Some(2)));
    site.call(&["remove", "a"]).ends(0);
    assert!(site.shows("dest/1", &a) && !site.has("there/privkey.pem") && site.has("there/foreign"));
    assert!(site.has("state/store/a"));
    assert_eq!(site.apply(0).set("a"), "unchanged");
}

#[test]
fn a_flat_file_that_somebody_changed_stays() {
    let (site, _) = site();
    without_a(&site);
    site.write("there/privkey.pem", "somebody else's");
    site.remove("dest/1/fullchain.pem");
    site.write("dest/1/fullchain.pem", "somebody else's");
    site.call(&["remove", "a"]).ends(0);
    assert_eq!(site.read("there/privkey.pem"), "somebody else's");
    assert_eq!(site.read("dest/1/fullchain.pem"), "somebody else's");
    assert!(!site.has("there/fullchain.pem") && !site.has("dest/1/privkey.pem") && !site.has("dest/1/.certsync"));
}

#[test]
fn another_set_in_the_same_place_is_left_alone() {
    let site = Site::new(
        "version: 1\ncerts:\n  a: { source: src/a, install: { dest: '[DIR]/d', files: { a.pem: [fullchain.pem] } } }\n  b: { source: src/b, install: { dest: '[DIR]/d', files: { b.pem: [fullchain.pem] } } }\n",
    );
    site.source("a", &issue(&["a.test"], 2));
    let b = issue(&["b.test"], 2);
    site.source("b", &b);
    site.apply(0);
    site.spec("version: 1\ncerts:\n  b: { source: src/b, install: { dest: '[DIR]/d', files: { b.pem: [fullchain.pem] } } }\n");
    site.call(&["remove", "a"]).ends(0);
    assert_eq!((site.read("d/b.pem"), site.has("d/a.pem"), site.has("d/.certsync/a")), (b.chain, false, false));
    assert!(!site.apply(0).changed());
}

#[test]
fn a_place_that_is_gone_already_is_no_error() {
    let (site, _) = site();
    without_a(&site);
    site.remove("dest/1");
    site.remove("there");
    site.call(&["remove", "a"]).ends(0);
    assert!(!site.has("state/store/a"));
}

#[test]
fn a_set_of_a_pattern_that_matches_no_more_is_an_orphan() {
    let site = Site::new("version: 1\ncerts:\n  all: { source: src/*, install: '[DIR]/dest/{name}' }\n");
    site.source("a", &issue(&["a.test"], 2));
    site.source("b", &issue(&["b.test"], 2));
    site.apply(0);
    site.remove("src/a");
    assert_eq!(site.apply(0).set("a"), "orphaned");
    site.call(&["remove", "a"]).ends(0);
    assert!(!site.has("dest/a") && site.has("dest/b"));
    site.remove("src/b");
    let run = site.apply(1).says("matches nothing any more");
    assert_ne!(run.set("b"), "orphaned");
    site.call(&["remove", "b"]).ends(1).says("matches nothing any more");
    assert!(site.has("dest/b/privkey.pem"));
}

#[test]
fn the_last_set_can_be_taken_out_of_the_spec_and_removed() {
    let (site, _) = site();
    site.spec("version: 1\ncerts: {}\n");
    site.apply(0);
    for set in ["a", "b"] {
        site.call(&["remove", set]).ends(0);
    }
    assert!(!site.has("shared") && !site.has("dest/1"));
}

#[test]
fn an_orphan_of_no_pattern_is_removed_while_a_pattern_cannot_be_read() {
    let (site, _) = site();
    site.spec("version: 1\ncerts:\n  a: { source: live/*, install: '[DIR]/lineages/{name}' }\n");
    site.apply(1);
    let run = site.call(&["remove", "b"]).ends(0);
    assert!(run.stdout.contains("b: removed\n") && run.stdout.ends_with("applied: 1 removed\n"), "{}", run.stdout);
    site.call(&["remove", "a"]).ends(0);
    assert!(!site.has("shared") && !site.has("dest/1"));
}
