//! The directory itself: made, found, shared, refused.

use super::host::{Host, is_root};
use std::fs;

#[test]
fn a_dest_that_was_there_keeps_its_mode_and_the_plan_says_so() {
    let (host, pair) = Host::one("");
    host.write("ssl/foreign.txt", "mine");
    host.mode("ssl", 0o711);
    let plan = host.plan().has_status(2);
    assert!(
        plan.json["sets"][0]["installs"][0]["notes"][0].as_str().is_some_and(|note| note.contains("was there before")),
        "{:#}",
        plan.json
    );
    host.planned_and_applied("installed", "new");
    host.shows("ssl", &pair);
    assert_eq!(host.mode_of("ssl"), "0711");
    host.mode("ssl", 0o700);
    host.quiet();
}

#[test]
fn a_dest_that_was_there_gets_what_the_install_names() {
    let (host, _) = Host::one("dir_mode: drwxr-x---");
    fs::create_dir(host.at("ssl")).expect("a directory");
    host.mode("ssl", 0o711);
    let run = host.planned_and_applied("installed", "new");
    assert_eq!((run.paths()[0], host.mode_of("ssl").as_str()), (".", "0750"));
    host.mode("ssl", 0o755);
    host.planned_and_applied("repaired", "drift");
    assert_eq!(host.mode_of("ssl"), "0750");
}

#[test]
fn a_dest_that_others_could_exchange_is_refused() {
    let host = Host::new();
    host.source("live", &super::pairs::Pair::new("site.test", 1));
    host.spec("version: 1\ncerts:\n  site: { source: live, install: { dest: shared/ssl, dir_mode: drwxr-x--- } }\n");
    fs::create_dir_all(host.at("shared/ssl")).expect("directories");
    host.mode("shared", 0o777);
    host.mode("shared/ssl", 0o711);
    host.plan().has_status(1).complains("lies where others may exchange it").complains("hint: set its owner");
    host.apply().has_status(4);
    assert_eq!(host.mode_of("shared/ssl"), "0711");
    host.mode("shared/ssl", 0o750);
    host.apply().has_status(2);
    host.quiet();
}

#[test]
fn defaults_do_not_change_a_dest_that_was_there() {
    let host = Host::new();
    host.source("live", &super::pairs::Pair::new("site.test", 1));
    host.spec("version: 1\ndefaults: { dir_mode: drwx------ }\ncerts:\n  site: { source: live, install: ssl }\n");
    fs::create_dir(host.at("ssl")).expect("a directory");
    host.mode("ssl", 0o755);
    host.apply().has_status(2);
    assert_eq!(host.mode_of("ssl"), "0755");
    assert_eq!(host.mode_of(&format!("ssl/.certsync/site/{}", host.current("ssl", "site"))), "0700");
    host.quiet();
}

#[test]
fn the_owner_of_a_dest_that_certsync_made_is_repaired() {
    if !is_root() {
        return;
    }
    let (host, _) = Host::installed("owner: 4321, group: 1234");
    std::os::unix::fs::chown(host.at("ssl"), Some(1), Some(1)).expect("chown");
    host.planned_and_applied("repaired", "drift");
    assert_eq!((host.owner_of("ssl"), host.hooks()), ((4321, 1234), 0));
}

#[test]
fn a_dest_shared_by_sets_is_repaired_whichever_made_it() {
    let host = Host::new();
    for name in ["a", "b"] {
        host.source(name, &super::pairs::Pair::new("site.test", 1));
    }
    let files = "files: { '{name}.pem': [fullchain.pem, privkey.pem] }";
    host.spec(&format!(
        "version: 1\ncerts:\n  a: {{ source: a, install: {{ dest: ssl, {files} }} }}\n  b: {{ source: b, install: {{ dest: ssl, {files} }} }}\n"
    ));
    host.apply().has_status(2);
    host.remove("ssl");
    host.apply().has_status(2);
    host.mode("ssl", 0o700);
    host.apply().has_status(2);
    assert_eq!(host.mode_of("ssl"), "0755");
    host.quiet();
}

#[test]
fn missing_parents_are_made() {
    let host = Host::new();
    host.source("live", &super::pairs::Pair::new("site.test", 1));
    host.spec("version: 1\ncerts:\n  site: { source: live, install: { dest: a/b/ssl, dir_mode: drwx------ } }\n");
    host.apply().has_status(2);
    assert_eq!((host.mode_of("a"), host.mode_of("a/b"), host.mode_of("a/b/ssl")), ("0755".into(), "0755".into(), "0700".into()));
    host.quiet();
}

#[test]
fn a_dest_of_another_state_directory_is_refused() {
    let (host, pair) = Host::installed("");
    host.renew(2);
    let run = host.json(&["apply", "--state-dir", "other"]);
    run.has_status(4)
        .complains(&format!("managed by another certsync, whose state is in {}", host.at("state").display()))
        .complains("hint: ");
    host.shows("ssl", &pair);
    host.json(&["plan", "--state-dir", "third"]).has_status(1);
    assert!(!host.has("third"), "plan makes nothing");
}

#[test]
fn a_file_in_the_place_of_a_dest_is_an_error() {
    let (host, _) = Host::one("");
    host.write("ssl", "text");
    host.plan().has_status(1).complains("is no directory");
    host.apply().has_status(4).complains("is no directory");
    assert_eq!(host.read("ssl"), "text");
}

#[test]
fn an_install_that_fails_does_not_stop_the_others() {
    let host = Host::new();
    let pair = super::pairs::Pair::new("site.test", 1);
    host.source("live", &pair);
    host.spec("version: 1\ncerts:\n  site: { source: live, install: [bad, good] }\n");
    host.write("bad", "text");
    let run = host.apply().has_status(6);
    assert_eq!(run.set("site")["result"], "failed");
    let results: Vec<_> =
        run.set("site")["installs"].as_array().expect("installs").iter().map(|install| install["result"].clone()).collect();
    assert_eq!(results, ["failed", "installed"]);
    host.shows("good", &pair);
}
