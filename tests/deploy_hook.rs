//! `certsync deploy-hook` as certbot, lego and acme.sh call it.

mod support;

use std::os::unix::fs::symlink;
use support::site::{Site, issue};

const SPEC: &str = "version: 1
hooks:
  a: { run: 'echo a >> [DIR]/log' }
  b: { run: 'echo b >> [DIR]/log' }
certs:
  a: { source: live/a, install: { dest: '[DIR]/dest/a', hooks: [a] } }
  b: { source: live/b, install: { dest: '[DIR]/dest/b', hooks: [b] } }
";

fn put(site: &Site, set: &str, age: i64) {
    let issued = issue(&[&format!("{set}.test")], age);
    site.write(&format!("live/{set}/fullchain.pem"), &issued.chain);
    site.write(&format!("live/{set}/privkey.pem"), &issued.key);
}

fn site() -> Site {
    let site = Site::new(SPEC);
    put(&site, "a", 9);
    put(&site, "b", 9);
    site.apply(0);
    site.log();
    site
}

/// Both sets are renewed; only `a` is to come, and with it its hook.
#[track_caller]
fn brings_a_alone(site: &Site, env: &[(&str, &str)]) {
    put(site, "a", 8);
    put(site, "b", 8);
    let run = site.call_with(&["deploy-hook", "--format", "json"], env).ends(0);
    assert_eq!((run.set("a"), run.json["sets"].as_array().map(Vec::len), run.hooks()), ("installed", Some(1), vec!["a run ok".to_owned()]));
    assert_eq!(site.log(), ["a"]);
    assert_eq!(site.apply(0).set("b"), "installed");
}

#[test]
fn certbot_names_the_lineage() {
    brings_a_alone(&site(), &[("RENEWED_LINEAGE", "[DIR]/live/a"), ("RENEWED_DOMAINS", "a.test")]);
}

#[test]
fn a_slash_at_the_end_does_not_matter() {
    brings_a_alone(&site(), &[("RENEWED_LINEAGE", "[DIR]/live/a/")]);
}

#[test]
fn another_way_to_the_same_directory_is_the_same() {
    let site = site();
    symlink(site.path("live"), site.path("link")).expect("a link");
    brings_a_alone(&site, &[("RENEWED_LINEAGE", "[DIR]/link/./a")]);
}

#[test]
fn steps_upward_mean_what_the_kernel_says() {
    let site = site();
    site.write("elsewhere/deep/file", "");
    symlink(site.path("elsewhere/deep"), site.path("live/link")).expect("a link");
    brings_a_alone(&site, &[("RENEWED_LINEAGE", "[DIR]/live/link/../../live/b/../a")]);
}

#[test]
fn lego_and_acme_sh_name_a_file() {
    brings_a_alone(&site(), &[("LEGO_CERT_PATH", "[DIR]/live/a/a.test.crt"), ("LEGO_CERT_KEY_PATH", "[DIR]/live/a/a.test.key")]);
    brings_a_alone(&site(), &[("LEGO_HOOK_CERT_PATH", "[DIR]/live/a/a.test.crt")]);
    brings_a_alone(&site(), &[("CERT_FULLCHAIN_PATH", "[DIR]/live/a/fullchain.cer"), ("CERT_PATH", "[DIR]/live/a/a.test.cer")]);
}

#[test]
fn a_lineage_of_no_set_is_a_note_and_no_failure() {
    let site = site();
    for lineage in ["[DIR]/live/c", "[DIR]/dest/a", "relative", "/"] {
        let run = site.call_with(&["deploy-hook"], &[("RENEWED_LINEAGE", lineage)]).ends(0);
        assert!(run.stdout.contains("warning: no set is read from ") && run.stdout.contains("nothing to do"), "{}", run.stdout);
    }
    assert!(site.log().is_empty());
}

#[test]
fn without_a_client_it_is_a_wrong_call() {
    let site = site();
    site.call(&["deploy-hook"])
        .ends(1)
        .says("certsync: error: certsync deploy-hook: nothing says what was renewed: RENEWED_LINEAGE")
        .says("\n  hint: ");
    site.call_with(&["deploy-hook"], &[("RENEWED_LINEAGE", "")]).ends(1);
}

#[test]
fn a_new_lineage_of_a_pattern_is_installed() {
    let site = Site::new("version: 1\ncerts:\n  all: { source: live/*, install: '[DIR]/dest/{name}' }\n");
    put(&site, "a", 9);
    site.apply(0);
    put(&site, "b", 9);
    let run = site.call_with(&["deploy-hook", "--format", "json"], &[("RENEWED_LINEAGE", "[DIR]/live/b")]).ends(0);
    assert_eq!((run.set("b"), run.json["sets"].as_array().map(Vec::len)), ("installed", Some(1)));
    assert!(site.has("dest/b/privkey.pem"));
    assert!(!site.apply(0).changed());
}

#[test]
fn one_folder_of_lego_serves_several_sets() {
    let site = Site::new(
        "version: 1
certs:
  a: { source: lego, only: ['a.test.*'], install: '[DIR]/dest/a' }
  b: { source: lego, only: ['b.test.*'], install: '[DIR]/dest/b' }
",
    );
    for (set, age) in [("a", 9), ("b", 9), ("b", 8)] {
        let issued = issue(&[&format!("{set}.test")], age);
        site.write(&format!("lego/{set}.test.crt"), &issued.chain);
        site.write(&format!("lego/{set}.test.key"), &issued.key);
        if age == 9 && set == "b" {
            site.apply(0);
        }
    }
    let run = site.call_with(&["deploy-hook", "--format", "json"], &[("LEGO_CERT_PATH", "[DIR]/lego/b.test.crt")]).ends(0);
    assert_eq!((run.set("a"), run.set("b")), ("unchanged", "installed"));
    assert_eq!(site.read("dest/b/b.test.key"), site.read("lego/b.test.key"));
}

#[test]
fn a_refused_renewal_fails_the_hook_with_the_reason() {
    let site = site();
    put(&site, "a", 20);
    site.call_with(&["deploy-hook"], &[("RENEWED_LINEAGE", "[DIR]/live/a")]).ends(1).says("certsync: error: a: refused: ").says("older");
}

#[test]
fn orphans_and_other_sets_are_left_alone() {
    let site = site();
    site.spec(&SPEC.replace("  b: { source: live/b, install: { dest: '[DIR]/dest/b', hooks: [b] } }\n", ""));
    site.remove("dest/b/privkey.pem");
    put(&site, "a", 8);
    let run = site.call_with(&["deploy-hook", "--format", "json"], &[("RENEWED_LINEAGE", "[DIR]/live/a")]).ends(0);
    assert_eq!(run.json["sets"].as_array().map(Vec::len), Some(1));
    assert!(!site.has("dest/b/privkey.pem") && site.has("dest/b/fullchain.pem"));
}
