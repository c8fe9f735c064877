//! When a hook is due, in which order hooks run, and how often.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use support::site::{Site, issue};

const ONE: &str = "version: 1
hooks:
  reload: { run: 'echo run >> [DIR]/log' }
certs:
  a: { source: src/a, install: { dest: '[DIR]/dest/a', hooks: [reload] } }
";

fn mode(site: &Site, path: &str, mode: u32) {
    fs::set_permissions(site.path(path), fs::Permissions::from_mode(mode)).expect("a mode is set");
}

#[test]
fn a_new_install_and_a_renewal_run_the_hook_once_each() {
    let site = Site::new(ONE);
    site.source("a", &issue(&["a.test"], 2));
    assert_eq!(site.plan(0).hooks(), ["reload run due"]);
    assert_eq!(site.apply(0).hooks(), ["reload run ok"]);
    assert_eq!(site.log(), ["run"]);
    assert!(site.apply(0).hooks().is_empty());
    site.source("a", &issue(&["a.test"], 1));
    assert_eq!(site.apply(0).hooks(), ["reload run ok"]);
    assert!(!site.apply(0).changed());
    assert_eq!(site.log(), ["run"]);
}

#[test]
fn drift_of_content_runs_the_hook() {
    let site = Site::new(ONE);
    let one = issue(&["a.test"], 2);
    site.source("a", &one);
    site.apply(0);
    site.log();
    let file = fs::canonicalize(site.path("dest/a/privkey.pem")).expect("a link into a generation");
    fs::write(file, "somebody else's").expect("it is overwritten");
    let run = site.apply(0);
    assert_eq!((run.set("a"), site.log()), ("repaired", vec!["run".to_owned()]));
    assert!(site.shows("dest/a", &one));
}

#[test]
fn a_missing_link_is_repaired_with_the_hook() {
    let site = Site::new(ONE);
    site.source("a", &issue(&["a.test"], 2));
    site.apply(0);
    site.log();
    site.remove("dest/a/privkey.pem");
    assert_eq!(site.apply(0).set("a"), "repaired");
    assert_eq!(site.log(), ["run"]);
}

#[test]
fn drift_of_a_mode_alone_runs_no_hook() {
    let site = Site::new(ONE);
    site.source("a", &issue(&["a.test"], 2));
    site.apply(0);
    site.log();
    let file = fs::canonicalize(site.path("dest/a/privkey.pem")).expect("a link into a generation");
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("a mode is set");
    assert!(site.plan(0).hooks().is_empty());
    let run = site.apply(0);
    assert_eq!((run.set("a"), run.hooks().len(), site.log().len()), ("repaired", 0, 0));
    mode(&site, "dest/a", 0o700);
    let run = site.apply(0);
    assert_eq!((run.set("a"), run.hooks().len()), ("repaired", 0));
}

#[test]
fn a_changed_mode_in_the_spec_alone_runs_no_hook() {
    let site = Site::new(ONE);
    site.source("a", &issue(&["a.test"], 2));
    site.apply(0);
    site.log();
    site.edit("hooks: [reload]", "hooks: [reload], key_mode: '0640'");
    let run = site.apply(0);
    assert_eq!((run.set("a"), run.hooks().len(), site.log().len()), ("installed", 0, 0));
}

#[test]
fn adoption_of_equal_files_runs_no_hook_and_of_others_does() {
    let site = Site::new(ONE);
    let one = issue(&["a.test"], 2);
    site.source("a", &one);
    site.write("dest/a/fullchain.pem", &one.chain);
    site.write("dest/a/privkey.pem", &one.key);
    let run = site.apply(0);
    assert_eq!((run.set("a"), run.hooks().len(), site.log().len()), ("installed", 0, 0));
    assert!(site.apply(0).hooks().is_empty());

    let site = Site::new(ONE);
    site.source("a", &issue(&["a.test"], 1));
    site.write("dest/a/fullchain.pem", &one.chain);
    site.write("dest/a/privkey.pem", &one.key);
    assert_eq!(site.apply(0).hooks(), ["reload run ok"]);
}

#[test]
fn all_checks_then_all_runs_then_all_verifies_in_the_order_of_the_spec() {
    let site = Site::new(
        "version: 1
hooks:
  z: { check: 'echo check z >> [DIR]/log', run: 'echo run z >> [DIR]/log' }
  m: { run: 'echo run m >> [DIR]/log' }
  b: { check: 'echo check b >> [DIR]/log', run: 'echo run b >> [DIR]/log', verify: { tls: '127.0.0.1:1', server_name: a.test }, timeout: 1s }
  unused: { run: 'echo unused >> [DIR]/log' }
certs:
  a: { source: src/a, install: { dest: '[DIR]/dest/a', hooks: [b, m] } }
  c: { source: src/c, install: { dest: '[DIR]/dest/c', hooks: [z] } }
",
    );
    site.source("a", &issue(&["a.test"], 2));
    site.source("c", &issue(&["c.test"], 2));
    let expected = ["z check due", "z run due", "m run due", "b check due", "b run due", "b verify due"];
    assert_eq!(site.plan(0).hooks(), expected);
    let run = site.apply(1);
    assert_eq!(run.hooks(), ["z check ok", "b check ok", "z run ok", "m run ok", "b run ok", "b verify failed"]);
    assert_eq!(site.log(), ["check z", "check b", "run z", "run m", "run b"]);
}

#[test]
fn several_sets_and_installs_share_one_run() {
    let site = Site::new(
        "version: 1
hooks: { reload: { run: 'echo run >> [DIR]/log' } }
certs:
  a: { source: src/a, install: [ { dest: '[DIR]/dest/1', hooks: [reload] }, { dest: '[DIR]/dest/2', hooks: [reload], layout: flat } ] }
  b: { source: src/b, install: { dest: '[DIR]/dest/3', hooks: [reload] } }
",
    );
    site.source("a", &issue(&["a.test"], 2));
    site.source("b", &issue(&["b.test"], 2));
    site.apply(0);
    assert_eq!(site.log(), ["run"]);
    site.source("b", &issue(&["b.test"], 1));
    assert_eq!(site.apply(0).hooks(), ["reload run ok"]);
    assert_eq!(site.log(), ["run"]);
}

#[test]
fn a_hook_that_the_spec_gets_later_is_owed_once() {
    let site = Site::new(ONE);
    site.edit(", hooks: [reload]", "");
    site.source("a", &issue(&["a.test"], 2));
    site.apply(0);
    assert!(site.log().is_empty());
    site.edit("dest/a'", "dest/a', hooks: [reload]");
    let plan = site.call(&["plan", "--format", "json", "--detailed-exitcode"]).ends(2);
    assert_eq!(
        (plan.hooks(), plan.set("a"), plan.find_set("a")["reason"].as_str()),
        (vec!["reload run owed".into()], "unchanged", Some("hook"))
    );
    site.test().args(["plan"]).stdout("a: hook owed\nhook reload: run (owed)\nplan: 1 unchanged; hooks: reload\n").run();
    site.apply(0);
    assert_eq!(site.log(), ["run"]);
    assert!(!site.apply(0).changed());
    assert!(site.log().is_empty());
}

#[test]
fn a_hook_without_run_only_checks() {
    let site = Site::new(ONE);
    site.edit("run: 'echo run", "check: 'echo check");
    site.source("a", &issue(&["a.test"], 2));
    assert_eq!(site.apply(0).hooks(), ["reload check ok"]);
    assert!(site.apply(0).hooks().is_empty());
    assert_eq!(site.log(), ["check"]);
}

#[test]
fn a_hook_per_set_runs_once_for_each_changed_set_and_is_told_which() {
    let site = Site::new(
        "version: 1
hooks: { certbot: { run: 'echo $RENEWED_LINEAGE $RENEWED_DOMAINS >> [DIR]/log', per_set: true } }
certs:
  a: { source: src/a, install: [ { dest: '[DIR]/dest/1', hooks: [certbot] }, { dest: '[DIR]/dest/2', hooks: [certbot] } ] }
  b: { source: src/b, install: { dest: '[DIR]/dest/3', hooks: [certbot] } }
  c: { source: src/c, install: { dest: '[DIR]/dest/4', hooks: [certbot] } }
",
    );
    site.source("a", &issue(&["a.test", "www.a.test"], 2));
    site.source("b", &issue(&["b.test"], 2));
    site.source("c", &issue(&["c.test"], 2));
    site.apply(0);
    site.log();
    site.source("b", &issue(&["b.test"], 1));
    site.source("a", &issue(&["a.test", "www.a.test"], 1));
    let plan = site.plan(0);
    assert_eq!(plan.hooks(), ["certbot/a run due", "certbot/b run due"]);
    assert_eq!(site.apply(0).hooks(), ["certbot/a run ok", "certbot/b run ok"]);
    let dir = site.dir().display();
    assert_eq!(site.log(), [format!("{dir}/src/a a.test www.a.test"), format!("{dir}/src/b b.test")]);
}

#[test]
fn one_set_whose_hook_fails_stays_owed_alone() {
    let site = Site::new(
        "version: 1
hooks: { certbot: { run: 'echo $RENEWED_DOMAINS >> [DIR]/log; ! test -e [DIR]/$RENEWED_DOMAINS', per_set: true } }
certs:
  a: { source: src/a, install: { dest: '[DIR]/dest/1', hooks: [certbot] } }
  b: { source: src/b, install: { dest: '[DIR]/dest/3', hooks: [certbot] } }
",
    );
    site.source("a", &issue(&["a.test"], 2));
    site.source("b", &issue(&["b.test"], 2));
    site.write("a.test", "");
    let run = site.apply(1).says("certsync: error: hook certbot for a: run failed with exit status 1");
    assert_eq!(run.hooks(), ["certbot/a run failed", "certbot/b run ok"]);
    site.remove("a.test");
    site.log();
    assert_eq!(site.apply(0).hooks(), ["certbot/a run ok"]);
    assert_eq!(site.log(), ["a.test"]);
}
