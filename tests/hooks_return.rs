//! A failing check: what is taken back, what goes forward again, and what happens at the next apply.

mod support;

use support::site::{Issued, Site, issue};

/// The check fails for as long as the key that is installed is one that `bad` names, or while `broken` is there.
const SPEC: &str = "version: 1
hooks:
  web:
    check: 'echo check >> [DIR]/log; ! test -e [DIR]/broken && ! cmp -s [DIR]/bad [DIR]/dest/a/privkey.pem'
    run: 'echo run >> [DIR]/log'
certs:
  a: { source: src/a, install: { dest: '[DIR]/dest/a', hooks: [web] } }
";

const BLAMED: &str =
    "certsync: error: hook web: its check fails with the new a and passes without it: [DIR]/dest/a is back at the former one
  hint: mend the set at its source; a changed set or spec is tried again by itself, --retry tries now";

fn renew(site: &Site, age: i64) -> Issued {
    let issued = issue(&["a.test"], age);
    site.source("a", &issued);
    issued
}

/// A host on which the first version is installed, its hook done, and the second, bad one is at the source.
fn with_bad_renewal(spec: &str) -> (Site, Issued, Issued) {
    let site = Site::new(spec);
    let good = renew(&site, 3);
    site.apply(0);
    site.log();
    let bad = renew(&site, 2);
    site.write("bad", &bad.key);
    (site, good, bad)
}

#[test]
fn a_version_that_a_check_rejects_goes_back_and_stays_back() {
    for spec in [SPEC.to_owned(), SPEC.replace("hooks: [web]", "hooks: [web], layout: flat")] {
        let (site, good, _) = with_bad_renewal(&spec);
        let run = site.apply(1).says(BLAMED);
        assert_eq!((run.set("a"), run.install("a", "dest/a")), ("rolled_back", "rolled_back"));
        assert_eq!(run.hooks(), ["web check failed", "web check ok", "web run ok"]);
        assert!(site.shows("dest/a", &good));
        assert_eq!(site.log(), ["check", "check", "run"]);
        for _ in 0..2 {
            let state = site.read("state/state.json");
            let plan = site.plan(1);
            assert_eq!((plan.set("a"), plan.changed()), ("rolled_back", false));
            let run = site.apply(1).says(BLAMED);
            assert_eq!((run.set("a"), run.changed(), run.hooks().len()), ("rolled_back", false, 0));
            assert_eq!(site.read("state/state.json"), state);
        }
        assert!(site.log().is_empty());
        assert!(site.shows("dest/a", &good));
    }
}

#[test]
fn a_changed_source_is_tried_again() {
    let (site, _, _) = with_bad_renewal(SPEC);
    site.apply(1);
    let better = renew(&site, 1);
    let run = site.apply(0);
    assert_eq!((run.set("a"), site.shows("dest/a", &better)), ("installed", true));
    assert!(!site.apply(0).changed());
    assert_eq!(site.state()["installs"][0]["returned"], serde_json::Value::Null);
}

#[test]
fn a_changed_spec_is_tried_again() {
    let (site, good, bad) = with_bad_renewal(SPEC);
    site.apply(1);
    site.log();
    site.edit("echo check ", "echo other check ");
    assert_eq!(site.apply(1).set("a"), "rolled_back");
    assert!(site.shows("dest/a", &good));
    assert_eq!(site.log(), ["other check", "other check", "run"]);
    site.edit(" && ! cmp -s [DIR]/bad [DIR]/dest/a/privkey.pem".replace("[DIR]", &site.dir().display().to_string()).as_str(), "");
    assert_eq!(site.apply(0).set("a"), "installed");
    assert!(site.shows("dest/a", &bad));
}

#[test]
fn retry_tries_again_and_may_fail_again() {
    let (site, good, bad) = with_bad_renewal(SPEC);
    site.apply(1);
    site.log();
    assert_eq!(site.call(&["apply", "--retry", "--format", "json"]).ends(1).set("a"), "rolled_back");
    assert!(site.shows("dest/a", &good));
    assert_eq!(site.log(), ["check", "check", "run"]);
    site.remove("bad");
    assert_eq!(site.apply(1).set("a"), "rolled_back");
    assert_eq!(site.call(&["plan", "--retry", "--format", "json"]).ends(0).set("a"), "installed");
    assert_eq!(site.call(&["apply", "--retry", "--format", "json"]).ends(0).set("a"), "installed");
    assert!(site.shows("dest/a", &bad));
    assert!(!site.apply(0).changed());
}

#[test]
fn the_old_version_back_at_the_source_ends_it() {
    let (site, good, _) = with_bad_renewal(SPEC);
    site.apply(1);
    site.source("a", &good);
    site.call(&["apply", "--accept", "a=older", "--format", "json"]).ends(0);
    let status = site.call(&["status", "--format", "json"]).ends(0);
    assert_eq!(status.json["installs"][0]["returned"], false);
    assert!(!site.apply(0).changed());
}

#[test]
fn something_else_is_broken_and_the_new_version_stays_until_it_is_mended() {
    for spec in [SPEC.to_owned(), SPEC.replace("hooks: [web]", "hooks: [web], layout: flat")] {
        let site = Site::new(&spec);
        renew(&site, 3);
        site.apply(0);
        site.log();
        let new = renew(&site, 2);
        site.write("broken", "");
        let text = site.call(&["apply"]).ends(1).says("certsync: error: hook web: check failed with exit status 1");
        assert!(
            text.stdout.contains("the check of hook web fails with the former certificates too: something else is broken"),
            "{}",
            text.stdout
        );
        assert!(site.shows("dest/a", &new));
        assert_eq!(site.log(), ["check", "check"]);
        let run = site.apply(1);
        assert_eq!((run.set("a"), run.hooks().last().cloned()), ("unchanged", Some("web run owed".to_owned())));
        assert!(site.shows("dest/a", &new));
        site.log();
        site.remove("broken");
        assert_eq!(site.apply(0).hooks(), ["web check ok", "web run ok"]);
        assert_eq!(site.log(), ["check", "run"]);
        assert!(!site.apply(0).changed());
    }
}

#[test]
fn a_first_install_with_a_failing_check_stays_and_is_owed() {
    let site = Site::new(SPEC);
    let first = renew(&site, 3);
    site.write("broken", "");
    let run = site.apply(1);
    assert_eq!((run.set("a"), run.hooks()), ("installed", vec!["web check failed".into(), "web run owed".into()]));
    assert!(site.shows("dest/a", &first));
    let run = site.apply(1);
    assert_eq!((run.set("a"), run.hooks().len()), ("unchanged", 2));
    site.remove("broken");
    assert_eq!(site.apply(0).hooks(), ["web check ok", "web run ok"]);
    assert_eq!(site.log(), ["check", "check", "check", "run"]);
}

#[test]
fn a_check_that_cannot_be_started_takes_nothing_back() {
    let site = Site::new(SPEC);
    renew(&site, 3);
    site.apply(0);
    let new = renew(&site, 2);
    site.edit("check: 'echo check", "check: [no-such-program] #");
    let run = site.apply(1).says("certsync: error: hook web: check could not be started: no-such-program: no such file or directory");
    assert_eq!((run.set("a"), run.hooks()), ("installed", vec!["web check failed".into(), "web run owed".into()]));
    assert!(site.shows("dest/a", &new));
}

/// Two hooks; `web` judges `a`, `mail` judges `b`.
const TWO: &str = "version: 1
hooks:
  web: { check: 'echo check web >> [DIR]/log; ! cmp -s [DIR]/bad [DIR]/dest/1/privkey.pem', run: 'echo run web >> [DIR]/log' }
  mail: { check: 'echo check mail >> [DIR]/log; ! cmp -s [DIR]/bad [DIR]/dest/2/privkey.pem', run: 'echo run mail >> [DIR]/log' }
certs:
  a: { source: src/a, install: [ { dest: '[DIR]/dest/1', hooks: [web] }, { dest: '[DIR]/dest/2', hooks: [web, mail] }, { dest: '[DIR]/dest/3' } ] }
  b: { source: src/b, install: { dest: '[DIR]/dest/4', hooks: [mail] } }
";

#[test]
fn only_the_installs_of_the_failing_hook_go_back() {
    let spec = TWO.replace("[web, mail]", "[mail]").replace("[DIR]/dest/2/privkey.pem", "[DIR]/dest/4/privkey.pem");
    let site = Site::new(&spec);
    let (a, b) = (renew(&site, 3), issue(&["b.test"], 3));
    site.source("b", &b);
    site.apply(0);
    site.log();
    let (new_a, new_b) = (renew(&site, 2), issue(&["b.test"], 2));
    site.source("b", &new_b);
    site.write("bad", &new_a.key);
    let run = site.apply(1);
    assert_eq!(
        (run.install("a", "dest/1"), run.install("a", "dest/2"), run.install("b", "dest/4")),
        ("rolled_back", "installed", "installed")
    );
    assert_eq!((run.set("a"), run.set("b")), ("rolled_back", "installed"));
    assert!(site.shows("dest/1", &a) && site.shows("dest/2", &new_a) && site.shows("dest/3", &new_a) && site.shows("dest/4", &new_b));
    assert_eq!(site.log(), ["check web", "check mail", "check web", "run web", "run mail"]);
    let run = site.apply(1);
    assert_eq!((run.set("a"), run.install("a", "dest/2"), run.changed()), ("rolled_back", "unchanged", false));
    assert!(site.log().is_empty());
}

#[test]
fn two_hooks_that_reject_a_shared_install_take_it_back_one_step_only() {
    let site = Site::new(TWO);
    let mut versions = Vec::new();
    site.source("b", &issue(&["b.test"], 3));
    for age in [5, 4, 3] {
        versions.push(renew(&site, age));
        site.apply(0);
    }
    site.log();
    let bad = renew(&site, 2);
    site.write("bad", &bad.key);
    let run = site.apply(1);
    assert_eq!(
        (run.install("a", "dest/1"), run.install("a", "dest/2"), run.install("a", "dest/3")),
        ("rolled_back", "rolled_back", "installed")
    );
    assert!(site.shows("dest/1", &versions[2]) && site.shows("dest/2", &versions[2]));
    assert_eq!(site.log(), ["check web", "check mail", "check web", "check mail", "run web", "run mail"]);
    assert_eq!(site.apply(1).hooks().len(), 0);
}

#[test]
fn names_that_only_the_rejected_version_had_vanish_again_and_come_again() {
    for spec in [SPEC.to_owned(), SPEC.replace("hooks: [web]", "hooks: [web], layout: flat")] {
        let (site, good, bad) = with_bad_renewal(&spec);
        site.write("src/a/sub/extra.pem", &bad.chain);
        site.apply(1);
        assert!(!site.has("dest/a/sub/extra.pem"));
        assert!(site.shows("dest/a", &good));
        site.remove("bad");
        site.call(&["apply", "--retry"]).ends(0);
        assert_eq!(site.read("dest/a/sub/extra.pem"), bad.chain);
    }
}

#[test]
fn drift_of_what_is_there_instead_is_repaired_and_is_no_new_try() {
    for spec in [SPEC.to_owned(), SPEC.replace("hooks: [web]", "hooks: [web], layout: flat")] {
        let (site, good, _) = with_bad_renewal(&spec);
        site.apply(1);
        site.log();
        site.remove("dest/a/privkey.pem");
        let run = site.apply(1).says(BLAMED);
        assert_eq!((run.set("a"), site.shows("dest/a", &good)), ("rolled_back", true));
        assert_eq!(site.log(), ["check", "run"]);
        let run = site.apply(1).says(BLAMED);
        assert_eq!((run.changed(), site.log().len(), site.shows("dest/a", &good)), (false, 0, true));
    }
}

#[test]
fn a_repair_that_a_check_rejects_does_not_bring_an_older_version_back() {
    let (site, _, bad) = with_bad_renewal(SPEC);
    site.remove("bad");
    site.apply(0);
    site.log();
    site.remove("dest/a/privkey.pem");
    site.write("bad", &bad.key);
    let run = site.apply(1);
    assert_eq!((run.set("a"), run.hooks()), ("repaired", vec!["web check failed".into(), "web run owed".into()]));
    assert!(site.shows("dest/a", &bad));
}

#[test]
fn a_change_of_the_spec_that_a_check_rejects_goes_back_and_stays_back() {
    let site =
        Site::new(&SPEC.replace("! cmp -s [DIR]/bad [DIR]/dest/a/privkey.pem", "test $(stat -Lc %a [DIR]/dest/a/privkey.pem) = 600"));
    renew(&site, 3);
    site.apply(0);
    site.log();
    site.edit(
        "hooks: [web] }",
        "hooks: [web], key_mode: '0640', files: { privkey.pem: [privkey.pem], joined.pem: [fullchain.pem, privkey.pem] } }",
    );
    let run = site.apply(1).says(BLAMED);
    assert_eq!((run.set("a"), site.log()), ("rolled_back", vec!["check".into(), "check".into(), "run".into()]));
    assert!(site.has("dest/a/fullchain.pem") && !site.has("dest/a/joined.pem"));
    for _ in 0..2 {
        let run = site.apply(1).says(BLAMED);
        assert_eq!((run.set("a"), run.changed(), site.log().len()), ("rolled_back", false, 0));
    }
    site.edit("key_mode: '0640', ", "");
    assert_eq!(site.apply(0).set("a"), "installed");
    assert!(site.has("dest/a/joined.pem"));
}

#[test]
fn a_repair_of_what_is_there_instead_goes_no_further_back() {
    let site = Site::new(SPEC);
    let oldest = renew(&site, 9);
    site.apply(0);
    let good = renew(&site, 8);
    site.apply(0);
    let bad = renew(&site, 7);
    site.write("bad", &bad.key);
    site.apply(1);
    site.write("bad", &good.key);
    site.remove("dest/a/privkey.pem");
    site.apply(1);
    assert!(site.shows("dest/a", &good) && !site.shows("dest/a", &oldest));
}

#[test]
fn the_detailed_exit_status_tells_a_return_from_a_standstill() {
    let (site, _, _) = with_bad_renewal(SPEC);
    assert_eq!(site.call(&["plan", "--detailed-exitcode"]).status, Some(2));
    assert_eq!(site.call(&["apply", "--detailed-exitcode"]).status, Some(6));
    assert_eq!(site.call(&["apply", "--detailed-exitcode"]).status, Some(4));
    assert_eq!(site.call(&["plan", "--detailed-exitcode"]).status, Some(1));
}

#[test]
fn an_adopted_version_is_one_to_go_back_to() {
    let site = Site::new(SPEC);
    let (old, new) = (issue(&["a.test"], 3), renew(&site, 2));
    site.write("dest/a/fullchain.pem", &old.chain);
    site.write("dest/a/privkey.pem", &old.key);
    site.write("bad", &new.key);
    let run = site.apply(1).says(BLAMED);
    assert_eq!((run.set("a"), site.shows("dest/a", &old)), ("rolled_back", true));
    let run = site.apply(1).says(BLAMED);
    assert_eq!((run.set("a"), run.changed(), site.shows("dest/a", &old)), ("rolled_back", false, true));
}

#[test]
fn a_kill_while_going_back_is_finished_by_the_next_apply() {
    for spec in [SPEC.to_owned(), SPEC.replace("hooks: [web]", "hooks: [web], layout: flat")] {
        let (site, good, _) = with_bad_renewal(&spec);
        // The second check runs when the former version is in place; it kills certsync, its parent, once.
        site.edit(
            "echo check ",
            &format!(
                "test -e {0}/killed || ! cmp -s {0}/dest/a/privkey.pem {0}/good || {{ touch {0}/killed; kill -9 $PPID; }}; echo check ",
                site.dir().display()
            ),
        );
        site.write("good", &good.key);
        let killed = site.call(&["apply"]);
        assert_eq!(killed.status, None, "{killed:?}");
        assert!(site.shows("dest/a", &good));
        let run = site.apply(1).says(BLAMED);
        assert_eq!((run.set("a"), site.shows("dest/a", &good)), ("rolled_back", true));
        assert!(!site.apply(1).changed());
    }
}

#[test]
fn rejected_versions_do_not_pile_up() {
    let (site, good, _) = with_bad_renewal(SPEC);
    for age in [20, 19, 18, 17, 16] {
        let bad = renew(&site, -1);
        site.write("bad", &bad.key);
        let _ = age;
        site.call(&["apply", "--accept", "a=not_yet_valid"]).ends(1);
    }
    let kept = std::fs::read_dir(site.path("dest/a/.certsync/a")).expect("the set's folder").count();
    assert!(kept <= 4, "{kept}: current, its generation, and at most two more");
    assert!(site.shows("dest/a", &good));
}
