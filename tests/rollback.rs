//! `certsync rollback`: where it goes, what it holds, when it refuses.

mod support;

use support::site::{Issued, Site, issue};

const SPEC: &str = "version: 1
hooks: { reload: { run: 'echo run >> [DIR]/log' } }
certs:
  a: { source: src/a, install: [ { dest: '[DIR]/dest/1', hooks: [reload] }, { dest: '[DIR]/dest/2', layout: flat } ] }
";

fn renew(site: &Site, age: i64) -> Issued {
    let issued = issue(&["a.test"], age);
    site.source("a", &issued);
    issued
}

/// A host that has had as many versions as there are.
fn after(spec: &str, versions: i64) -> (Site, Vec<Issued>) {
    let site = Site::new(spec);
    let issued = (0..versions)
        .map(|i| {
            let issued = renew(&site, 20 - i);
            site.apply(0);
            issued
        })
        .collect();
    site.log();
    (site, issued)
}

fn everywhere(site: &Site, issued: &Issued) -> bool {
    site.shows("dest/1", issued) && site.shows("dest/2", issued)
}

#[test]
fn every_install_goes_back_hooks_run_and_the_set_is_held() {
    let (site, v) = after(SPEC, 2);
    let run = site.call(&["rollback", "a", "--format", "json"]).ends(0);
    assert_eq!(
        (run.set("a"), run.find_set("a")["reason"].as_str(), run.hooks()),
        ("installed", Some("rollback"), vec!["reload run ok".into()])
    );
    assert!(everywhere(&site, &v[0]));
    assert_eq!(site.log(), ["run"]);
    for _ in 0..2 {
        let run = site.apply(0);
        assert_eq!((run.set("a"), run.install("a", "dest/1"), run.changed(), run.hooks().len()), ("held", "held", false, 0));
        assert_eq!(site.plan(0).set("a"), "held");
    }
    assert!(everywhere(&site, &v[0]));
    let status = site.call(&["status", "--format", "json"]).ends(0);
    assert_eq!((status.json["installs"][0]["held"].as_bool(), status.json["installs"][0]["result"].as_str()), (Some(true), Some("held")));
}

#[test]
fn a_changed_source_ends_the_hold() {
    let (site, _) = after(SPEC, 2);
    site.call(&["rollback", "a"]).ends(0);
    let newer = renew(&site, 1);
    let run = site.apply(0);
    assert_eq!((run.set("a"), run.find_set("a")["reason"].as_str()), ("installed", Some("renewed")));
    assert!(everywhere(&site, &newer));
    assert!(!site.apply(0).changed());
}

#[test]
fn release_goes_forward_to_what_the_source_has() {
    let (site, v) = after(SPEC, 2);
    site.call(&["rollback", "a", "--release"]).ends(1).says("certsync: error: a: is not held\n");
    site.call(&["rollback", "a"]).ends(0);
    site.log();
    let run = site.call(&["rollback", "a", "--release", "--format", "json"]).ends(0);
    assert_eq!((run.set("a"), site.log()), ("installed", vec!["run".to_owned()]));
    assert!(everywhere(&site, &v[1]));
    assert!(!site.apply(0).changed());
}

#[test]
fn a_digest_or_its_beginning_chooses_the_version() {
    let (site, v) = after(SPEC, 3);
    let digest = |run: &support::site::Run| run.json["installs"][0]["digest"].as_str().unwrap_or_default().to_owned();
    let newest = digest(&site.call(&["status", "--format", "json"]));
    let oldest = site.state()["installs"][0]["former"][1]["digest"].as_str().unwrap_or_default().to_owned();
    site.call(&["rollback", "a", "--to", &oldest[..10]]).ends(0);
    assert!(everywhere(&site, &v[0]));
    site.call(&["rollback", "a", "--to", "ffffffffff"]).ends(1).says("certsync: error: a: has no kept version ffffffffff\n  hint: ");
    assert!(everywhere(&site, &v[0]));
    site.call(&["rollback", "a", "--to", &newest]).ends(0);
    assert!(everywhere(&site, &v[2]));
    assert_eq!(site.apply(0).set("a"), "unchanged", "at the newest nothing is held");
}

#[test]
fn a_second_rollback_goes_further_back_until_nothing_is_left() {
    let (site, v) = after(SPEC, 3);
    site.call(&["rollback", "a"]).ends(0);
    assert!(everywhere(&site, &v[1]));
    site.call(&["rollback", "a"]).ends(0);
    assert!(everywhere(&site, &v[0]));
    site.call(&["rollback", "a"]).ends(1).says("certsync: error: a: has no former version here\n");
    assert!(everywhere(&site, &v[0]));
    assert_eq!(site.apply(0).set("a"), "held");
    site.call(&["rollback", "a", "--release"]).ends(0);
    assert!(everywhere(&site, &v[2]));
}

#[test]
fn repairs_do_not_push_out_the_former_version() {
    let (site, v) = after(SPEC, 2);
    for _ in 0..4 {
        site.remove("dest/1/privkey.pem");
        let file = std::fs::canonicalize(site.path("dest/1/fullchain.pem")).expect("a link into a generation");
        std::fs::write(file, "somebody else's").expect("it is overwritten");
        assert_eq!(site.apply(0).set("a"), "repaired");
    }
    site.call(&["rollback", "a"]).ends(0);
    assert!(everywhere(&site, &v[0]));
}

#[test]
fn drift_is_repaired_while_the_set_is_held() {
    let (site, v) = after(SPEC, 2);
    site.call(&["rollback", "a"]).ends(0);
    site.remove("dest/2/privkey.pem");
    assert_eq!(site.apply(0).install("a", "dest/2"), "repaired");
    assert!(everywhere(&site, &v[0]));
    assert_eq!(site.apply(0).set("a"), "held");
}

#[test]
fn what_the_store_lost_comes_back_from_a_generation_in_place() {
    let (site, v) = after(SPEC, 2);
    site.remove("state/store");
    site.call(&["rollback", "a"]).ends(0);
    assert!(everywhere(&site, &v[0]));
}

#[test]
fn without_its_material_it_is_refused_whole() {
    let (site, v) = after(SPEC, 2);
    let former = site.state()["installs"][0]["former"][0]["digest"].as_str().unwrap_or_default().to_owned();
    for (place, dest) in ["dest/1", "dest/2"].into_iter().enumerate() {
        let name = site.state()["installs"][place]["former"][0]["name"].as_str().unwrap_or_default().to_owned();
        site.remove(&format!("{dest}/.certsync/a/{name}"));
    }
    site.remove(&format!("state/store/a/{former}"));
    site.call(&["rollback", "a"]).ends(1).says("is not in the store");
    assert!(everywhere(&site, &v[1]));
    assert_eq!(site.apply(0).set("a"), "unchanged");
}

#[test]
fn a_set_that_is_not_here_is_told() {
    let (site, _) = after(SPEC, 1);
    site.call(&["rollback", "b"]).ends(1).says("certsync: error: b: is not installed here\n  hint: certsync status lists what is\n");
    site.call(&["rollback", "a"]).ends(1).says("certsync: error: a: has no former version here\n");
}

#[test]
fn what_was_there_before_certsync_is_no_version_to_roll_back_to() {
    let site = Site::new(SPEC);
    let old = issue(&["a.test"], 5);
    site.write("dest/1/fullchain.pem", &old.chain);
    site.write("dest/1/privkey.pem", &old.key);
    let new = renew(&site, 2);
    site.apply(0);
    site.call(&["rollback", "a"])
        .ends(1)
        .says("has no former version here\n  hint: what was there before certsync came is kept in .certsync");
    assert!(everywhere(&site, &new));
}

#[test]
fn a_failing_hook_of_a_rollback_fails_it_and_stays_owed() {
    let (site, v) = after(SPEC, 2);
    site.edit("'echo run", "'test -e [DIR]/fine && echo run");
    site.call(&["rollback", "a"]).ends(1).says("hook reload: run failed with exit status 1");
    assert!(everywhere(&site, &v[0]));
    assert_eq!(site.apply(1).set("a"), "held");
    site.write("fine", "");
    assert_eq!(site.apply(0).hooks(), ["reload run ok"]);
}

#[test]
fn a_refused_source_does_not_end_the_hold() {
    let (site, v) = after(SPEC, 2);
    site.call(&["rollback", "a"]).ends(0);
    site.source("a", &issue(&["a.test"], -2));
    assert_eq!(site.apply(1).set("a"), "refused");
    assert!(everywhere(&site, &v[0]));
    site.source("a", &v[1]);
    assert_eq!(site.apply(0).set("a"), "held");
}

#[test]
fn an_orphaned_set_is_not_rolled_back() {
    let (site, v) = after(SPEC, 2);
    site.spec("version: 1\ncerts: { b: { source: src/a, install: '[DIR]/other' } }\n");
    site.call(&["rollback", "a"]).ends(1).says("certsync: error: a: is not in the spec\n  hint: certsync remove deletes an orphaned set\n");
    assert!(everywhere(&site, &v[1]));
}
