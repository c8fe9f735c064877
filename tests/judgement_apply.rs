//! Judgement where it meets what is installed: refusals, doors, revoked keys.

mod support;

use support::site::{Issued, Site, Wanted, issue, issue_again, issue_with};

const SPEC: &str = "version: 1
certs:
  a: { source: src/a, names: [a.test], install: '[DIR]/dest/a' }
  b: { source: src/b, install: '[DIR]/dest/b' }
";

fn site() -> (Site, Issued) {
    let site = Site::new(SPEC);
    let a = issue(&["a.test"], 3);
    site.source("a", &a);
    site.source("b", &issue(&["b.test"], 3));
    site.apply(0);
    (site, a)
}

/// The set `a` is refused for `why`, stays as it was, and `b` goes on.
#[track_caller]
fn is_refused(site: &Site, a: &Issued, why: &str, door: Option<&str>) {
    let b = issue(&["b.test"], 2);
    site.source("b", &b);
    assert_eq!(site.plan(1).set("a"), "refused");
    let run = site.apply(1).says("certsync: error: a: refused: ").says(why).says("\n  hint: ");
    assert_eq!((run.set("a"), run.set("b")), ("refused", "installed"));
    assert!(site.shows("dest/a", a) && site.shows("dest/b", &b));
    assert_eq!(run.find_set("a")["error"]["kind"], "judgement");
    let Some(door) = door else { return };
    assert!(run.stderr.contains(&format!("--accept a={door}")), "{}", run.stderr);
    let run = site.call(&["apply", "--format", "json", "--accept", &format!("a={door}")]).ends(0);
    assert_eq!(run.set("a"), "installed");
    let run = site.apply(0);
    assert!(!run.changed(), "{}", run.stdout);
}

#[test]
fn an_expired_leaf() {
    let (site, a) = site();
    site.source("a", &issue_with(&Wanted { names: &["a.test"], from: -2, to: -1 }));
    is_refused(&site, &a, "expired at", Some("expired"));
}

#[test]
fn a_leaf_that_is_not_valid_yet() {
    let (site, a) = site();
    site.source("a", &issue_with(&Wanted { names: &["a.test"], from: 2, to: 60 }));
    is_refused(&site, &a, "is not valid before", Some("not_yet_valid"));
}

#[test]
fn names_that_are_not_covered() {
    let (site, a) = site();
    site.source("a", &issue(&["other.test"], 1));
    is_refused(&site, &a, "no certificate covers a.test; the set has other.test", Some("names"));
}

#[test]
fn a_key_without_its_certificate() {
    let (site, a) = site();
    site.write("src/a/privkey.pem", &issue(&["a.test"], 1).key);
    is_refused(&site, &a, "privkey.pem", Some("unpaired_key"));
}

#[test]
fn two_halves_of_two_renewals_that_reuse_a_key() {
    let (site, a) = site();
    let wanted = |from| Wanted { names: &["a.test"], from, to: 60 };
    let (one, two) = (issue_again(&wanted(-2), &a), issue_again(&wanted(-1), &a));
    site.source("a", &one);
    site.write("src/a/cert.pem", &two.chain);
    is_refused(&site, &a, "both for one key", Some("chain"));
}

#[test]
fn an_older_leaf() {
    let (site, a) = site();
    site.source("a", &issue(&["a.test"], 9));
    is_refused(&site, &a, "is older than the one last accepted", Some("older"));
}

#[test]
fn a_revoked_key_for_which_there_is_no_door() {
    let (site, a) = site();
    let known = issue(&["a.test"], 1);
    site.spec(&format!("{SPEC}revoked_keys: ['{}']\n", known.fingerprint()));
    site.source("a", &known);
    is_refused(&site, &a, "is in revoked_keys", None);
    site.call(&["apply", "--accept", "a=older", "--accept", "a=chain"]).ends(1);
    assert!(site.shows("dest/a", &a));
}

#[test]
fn a_door_in_the_spec_and_its_closing_judge_the_same_version_again() {
    let (site, a) = site();
    let expired = issue_with(&Wanted { names: &["a.test"], from: -2, to: -1 });
    site.source("a", &expired);
    site.apply(1);
    site.edit("names: [a.test]", "names: [a.test], accept: [expired]");
    let run = site.apply(0);
    assert_eq!(run.set("a"), "installed");
    site.edit(", accept: [expired]", "");
    let run = site.apply(1);
    assert_eq!((run.set("a"), site.shows("dest/a", &expired)), ("refused", true));
    site.edit("names: [a.test]", "names: [a.test], accept: [expired]");
    assert_eq!(site.apply(0).set("a"), "unchanged");
    let _ = a;
}

#[test]
fn changed_names_judge_an_unchanged_version_again() {
    let (site, a) = site();
    site.edit("names: [a.test]", "names: [a.test, www.a.test]");
    let run = site.apply(1).says("no certificate covers www.a.test");
    assert_eq!((run.set("a"), site.shows("dest/a", &a)), ("refused", true));
    site.edit(", www.a.test", "");
    assert_eq!(site.apply(0).set("a"), "unchanged");
}

#[test]
fn drift_of_a_refused_set_is_repaired_all_the_same() {
    let (site, a) = site();
    site.source("a", &issue(&["other.test"], 1));
    site.remove("dest/a/privkey.pem");
    let run = site.apply(1);
    assert_eq!((run.set("a"), run.install("a", "dest/a"), site.shows("dest/a", &a)), ("refused", "repaired", true));
}

#[test]
fn a_refused_set_comes_to_no_new_place() {
    let (site, a) = site();
    site.edit(
        "install: '[DIR]/dest/a'".replace("[DIR]", &site.dir().display().to_string()).as_str(),
        "install: ['[DIR]/dest/a', '[DIR]/new']",
    );
    site.source("a", &issue(&["other.test"], 1));
    let run = site.apply(1);
    assert_eq!((run.install("a", "dest/a"), run.install("a", "new")), ("unchanged", "refused"));
    assert!(!site.has("new") && site.shows("dest/a", &a));
    let site = Site::new(SPEC);
    site.source("a", &issue(&["other.test"], 1));
    site.source("b", &issue(&["b.test"], 1));
    assert_eq!(site.apply(1).set("a"), "refused");
    assert!(!site.has("dest/a") && !site.has("state/store/a"));
}

#[test]
fn a_new_place_judges_again() {
    let (site, a) = site();
    let expired = issue_with(&Wanted { names: &["a.test"], from: -2, to: -1 });
    site.source("a", &expired);
    site.call(&["apply", "--accept", "a=expired"]).ends(0);
    assert!(!site.apply(0).changed());
    site.edit(
        "install: '[DIR]/dest/a'".replace("[DIR]", &site.dir().display().to_string()).as_str(),
        "install: ['[DIR]/dest/a', '[DIR]/new']",
    );
    assert_eq!(site.apply(1).set("a"), "refused");
    assert!(!site.has("new") && site.shows("dest/a", &expired));
    let _ = a;
}

#[test]
fn what_is_installed_and_runs_out_is_a_warning_and_its_drift_is_repaired() {
    let site = Site::new(SPEC);
    let short = issue_with(&Wanted { names: &["a.test"], from: -9, to: -3 });
    site.source("a", &short);
    site.source("b", &issue(&["b.test"], 1));
    site.call(&["apply", "--accept", "a=expired"]).ends(0);
    let run = site.apply(0);
    assert_eq!(run.find_set("a")["warnings"][0], "a: its certificate ran out 2 days ago");
    site.remove("dest/a/privkey.pem");
    let run = site.apply(0);
    assert_eq!((run.set("a"), site.shows("dest/a", &short)), ("repaired", true));
}

#[test]
fn an_encrypted_key_is_carried_with_a_warning() {
    let (site, _) = site();
    site.write("key.pem", &issue(&["a.test"], 1).key);
    let done = std::process::Command::new("openssl")
        .args(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:secret", "-in"])
        .arg(site.path("key.pem"))
        .arg("-out")
        .arg(site.path("src/a/privkey.pem"))
        .status();
    assert!(done.is_ok_and(|status| status.success()), "openssl encrypts");
    let run = site.apply(0);
    assert_eq!(run.set("a"), "installed");
    assert!(run.find_set("a")["warnings"][0].as_str().unwrap_or_default().contains("encrypted"), "{}", run.stdout);
    assert!(site.read("dest/a/privkey.pem").contains("ENCRYPTED"));
}

#[test]
fn a_revoked_key_that_is_installed_stays_and_fails_at_every_apply() {
    let (site, a) = site();
    site.spec(&format!("{SPEC}revoked_keys: ['{}']\n", a.fingerprint()));
    for _ in 0..2 {
        let run = site.apply(1).says("certsync: error: a: refused: ").says("is in revoked_keys");
        assert_eq!((run.set("a"), run.changed(), site.shows("dest/a", &a)), ("refused", false, true));
    }
    let status = site.call(&["status", "--format", "json"]);
    assert_eq!(status.json["installs"][0]["revoked"], true);
    let better = issue(&["a.test"], 1);
    site.source("a", &better);
    assert_eq!(site.apply(0).set("a"), "installed");
    assert!(holds_nowhere(&site, &a));
}

/// Whether this key is in no file of the host but the spec's neighbours.
fn holds_nowhere(site: &Site, revoked: &Issued) -> bool {
    let body: String = revoked.key.lines().nth(1).unwrap_or_default().to_owned();
    let grep = std::process::Command::new("grep").args(["-rlF", "--", &body]).arg(site.path("dest")).arg(site.path("state")).output();
    let found = grep.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    assert_eq!(found, "");
    true
}

#[test]
fn a_former_version_with_a_revoked_key_is_purged_and_never_rolled_back_to() {
    for layout in ["generations", "flat"] {
        let site = Site::new(&SPEC.replace("install: '[DIR]/dest/a'", &format!("install: {{ dest: '[DIR]/dest/a', layout: {layout} }}")));
        let (old, new) = (issue(&["a.test"], 3), issue(&["a.test"], 2));
        site.source("b", &issue(&["b.test"], 3));
        for issued in [&old, &new] {
            site.source("a", issued);
            site.apply(0);
        }
        site.spec(&format!("{}revoked_keys: ['{}']\n", site.read("certsync.yaml"), old.fingerprint()));
        site.call(&["rollback", "a"]).ends(1);
        assert!(site.shows("dest/a", &new));
        let run = site.apply(0);
        let warnings: Vec<&str> = run.json["warnings"].as_array().into_iter().flatten().filter_map(|warning| warning.as_str()).collect();
        let told = |warning: &str| warning.contains("dest/a") && warning.contains("a former generation with the revoked key SHA256:");
        assert!(warnings.len() == 1 && told(warnings[0]), "{warnings:?}");
        assert!(!run.changed() && holds_nowhere(&site, &old));
        site.call(&["rollback", "a"]).ends(1).says("has no former version here");
    }
}

#[test]
fn a_failing_check_goes_back_to_no_revoked_key() {
    let site = Site::new(
        &SPEC
            .replace("version: 1", "version: 1\nhooks: { h: { check: '! test -e [DIR]/broken' } }")
            .replace("install: '[DIR]/dest/a'", "install: { dest: '[DIR]/dest/a', hooks: [h] }"),
    );
    let (old, new) = (issue(&["a.test"], 3), issue(&["a.test"], 2));
    site.source("b", &issue(&["b.test"], 3));
    site.source("a", &old);
    site.apply(0);
    site.source("a", &new);
    site.spec(&format!("{}revoked_keys: ['{}']\n", site.read("certsync.yaml"), old.fingerprint()));
    site.write("broken", "");
    let run = site.apply(1);
    assert_eq!((run.hooks(), site.shows("dest/a", &new)), (vec!["h check failed".to_owned()], true));
}

#[test]
fn a_rollback_that_holds_a_revoked_key_is_over() {
    let (site, old) = site();
    let new = issue(&["a.test"], 1);
    site.source("a", &new);
    site.apply(0);
    site.call(&["rollback", "a"]).ends(0);
    site.spec(&format!("{SPEC}revoked_keys: ['{}']\n", old.fingerprint()));
    assert_eq!(site.apply(0).set("a"), "installed");
    assert!(site.shows("dest/a", &new) && holds_nowhere(&site, &old));
}

#[test]
fn a_version_that_a_rollback_holds_off_is_gone_once_its_key_is_revoked() {
    let (site, old) = site();
    let new = issue(&["a.test"], 1);
    site.source("a", &new);
    site.apply(0);
    site.call(&["rollback", "a"]).ends(0);
    site.spec(&format!("{SPEC}revoked_keys: ['{}']\n", new.fingerprint()));
    site.apply(1);
    assert!(site.shows("dest/a", &old) && holds_nowhere(&site, &new));
}

#[test]
fn a_version_that_stays_back_at_a_revoked_key_is_tried_again() {
    let spec = SPEC
        .replace("version: 1", "version: 1\nhooks: { h: { check: '! cmp -s [DIR]/bad [DIR]/dest/a/privkey.pem' } }")
        .replace("install: '[DIR]/dest/a'", "install: { dest: '[DIR]/dest/a', hooks: [h] }");
    let site = Site::new(&spec);
    let (old, new) = (issue(&["a.test"], 3), issue(&["a.test"], 2));
    site.source("b", &issue(&["b.test"], 3));
    site.source("a", &old);
    site.apply(0);
    site.source("a", &new);
    site.write("bad", &new.key);
    assert_eq!(site.apply(1).set("a"), "rolled_back");
    site.spec(&format!("{spec}revoked_keys: ['{}']\n", old.fingerprint()));
    let run = site.apply(1);
    assert_eq!((run.set("a"), site.shows("dest/a", &new)), ("installed", true));
    assert!(holds_nowhere(&site, &old));
}

#[test]
fn a_revoked_key_in_what_was_adopted_is_purged() {
    let site = Site::new(SPEC);
    let (old, new) = (issue(&["a.test"], 3), issue(&["a.test"], 2));
    site.write("dest/a/fullchain.pem", &old.chain);
    site.write("dest/a/privkey.pem", &old.key);
    site.source("a", &new);
    site.source("b", &issue(&["b.test"], 3));
    site.apply(0);
    site.spec(&format!("{SPEC}revoked_keys: ['{}']\n", old.fingerprint()));
    site.apply(0);
    assert!(holds_nowhere(&site, &old));
}

#[test]
fn an_orphan_with_a_revoked_key_is_told_and_its_former_versions_are_purged() {
    let (site, old) = site();
    let new = issue(&["a.test"], 1);
    site.source("a", &new);
    site.apply(0);
    let without = "version: 1\ncerts: { b: { source: src/b, install: '[DIR]/dest/b' } }\n";
    site.spec(&format!("{without}revoked_keys: ['{}']\n", old.fingerprint()));
    site.apply(0);
    assert!(holds_nowhere(&site, &old));
    site.spec(&format!("{without}revoked_keys: ['{}']\n", new.fingerprint()));
    let run = site.apply(0);
    let warnings = run.find_set("a")["warnings"].to_string();
    assert!(warnings.contains("its key is in revoked_keys"), "{warnings}");
}

#[test]
fn an_accepted_version_that_was_never_installed_and_is_refused_now_stays_out() {
    for (word, why) in [("names", "no certificate covers"), ("revoked", "is in revoked_keys"), ("gone", "src/a")] {
        let (site, a) = site();
        let new = issue(&["a.test"], 2);
        site.source("a", &new);
        site.remove("dest/a/privkey.pem");
        site.write("dest/a/privkey.pem/in-the-way", "");
        let run = site.apply(1);
        assert_eq!(run.set("a"), "failed");
        site.remove("dest/a/privkey.pem");
        match word {
            "names" => site.edit("names: [a.test]", "names: [a.test, www.a.test]"),
            _ => site.spec(&format!("{SPEC}revoked_keys: ['{}']\n", new.fingerprint())),
        }
        if word == "gone" {
            site.remove("src/a");
        }
        site.apply(1).says(why);
        assert!(site.shows("dest/a", &a), "{word}");
    }
}

#[test]
fn a_version_that_a_check_rejected_leaves_no_key_in_the_place() {
    let spec = SPEC
        .replace("version: 1", "version: 1\nhooks: { h: { check: '! cmp -s [DIR]/bad [DIR]/dest/a/privkey.pem' } }")
        .replace("install: '[DIR]/dest/a'", "install: { dest: '[DIR]/dest/a', hooks: [h] }");
    let site = Site::new(&spec);
    site.source("b", &issue(&["b.test"], 3));
    site.source("a", &issue(&["a.test"], 3));
    site.apply(0);
    let bad = issue(&["a.test"], 2);
    site.source("a", &bad);
    site.write("bad", &bad.key);
    site.apply(1);
    let found =
        std::process::Command::new("grep").args(["-rlF", "--", bad.key.lines().nth(1).unwrap_or_default()]).arg(site.path("dest")).output();
    assert_eq!(found.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default(), "");
}
