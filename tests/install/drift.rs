//! What somebody else changed on the host is put right, and hooks follow exactly when a reader saw other bytes.

use super::host::{Host, is_root, there};
use std::os::unix::fs::{chown, symlink};
use std::process::Command;

const LAYOUTS: [&str; 2] = ["generations", "flat"];

/// Changes something, and expects the plan to name these paths, the repair to restore everything, and so many hooks.
#[track_caller]
fn drifts(layout: &str, hooks: usize, paths: &[&str], change: impl FnOnce(&Host)) {
    let (host, pair) = Host::installed(&format!("layout: {layout}"));
    change(&host);
    let run = host.planned_and_applied("repaired", "drift");
    if !paths.is_empty() {
        assert_eq!(run.paths(), paths, "{layout}");
    }
    host.shows("ssl", &pair);
    assert_eq!(host.hooks(), hooks, "{layout}: hooks");
    assert_eq!((host.mode_of("ssl/cert.pem"), host.mode_of("ssl/privkey.pem")), ("0644".into(), "0600".into()));
}

#[test]
fn changed_content_at_a_name_is_repaired_and_hooks_run() {
    drifts("flat", 1, &["cert.pem"], |host| host.write("ssl/cert.pem", "changed"));
    drifts("generations", 1, &["cert.pem"], |host| host.write("ssl/cert.pem", "changed through the link"));
}

#[test]
fn changed_content_in_the_generation_behind_flat_files_is_repaired_without_a_hook() {
    drifts("flat", 0, &[], |host| host.write(&format!("ssl/.certsync/site/{}/cert.pem", host.current("ssl", "site")), "changed"));
}

#[test]
fn a_generation_that_drifted_is_nothing_to_go_back_to() {
    let (host, _) = Host::installed("");
    let drifted = host.current("ssl", "site");
    host.write("ssl/cert.pem", "changed");
    host.apply().has_status(2);
    let state = host.state();
    let former = state["installs"][0]["former"].as_array().expect("a list").clone();
    assert!(former.iter().all(|former| former["name"] != drifted.as_str()), "{former:?}");
}

#[test]
fn a_changed_mode_is_repaired_without_a_hook() {
    for layout in LAYOUTS {
        drifts(layout, 0, &["privkey.pem"], |host| host.mode("ssl/privkey.pem", 0o644));
        drifts(layout, 0, &[], |host| host.mode(&format!("ssl/.certsync/site/{}", host.current("ssl", "site")), 0o777));
    }
}

#[test]
fn a_changed_owner_is_repaired_without_a_hook() {
    if !is_root() {
        return;
    }
    for layout in LAYOUTS {
        drifts(layout, 0, &["privkey.pem"], |host| chown(host.at("ssl/privkey.pem"), Some(4321), Some(4321)).expect("chown"));
    }
}

#[test]
fn a_missing_name_is_made_again_and_hooks_run() {
    for layout in LAYOUTS {
        drifts(layout, 1, &["privkey.pem"], |host| host.remove("ssl/privkey.pem"));
    }
}

#[test]
fn a_link_that_was_replaced_by_a_file_comes_back() {
    drifts("generations", 1, &["privkey.pem"], |host| {
        host.remove("ssl/privkey.pem");
        host.write("ssl/privkey.pem", "other");
    });
    drifts("generations", 0, &["cert.pem"], |host| {
        let text = host.read("ssl/cert.pem");
        host.remove("ssl/cert.pem");
        host.write("ssl/cert.pem", text);
    });
}

#[test]
fn a_name_that_was_replaced_by_a_foreign_link_comes_back() {
    for layout in LAYOUTS {
        drifts(layout, 1, &["privkey.pem"], |host| {
            host.write("elsewhere", "text");
            host.remove("ssl/privkey.pem");
            symlink("../elsewhere", host.at("ssl/privkey.pem")).expect("a link");
        });
    }
}

#[test]
fn a_missing_or_dangling_current_is_repaired() {
    for (layout, hooks) in [("generations", 1), ("flat", 0)] {
        drifts(layout, hooks, &[], |host| host.remove("ssl/.certsync/site/current"));
        drifts(layout, hooks, &[], |host| {
            host.remove("ssl/.certsync/site/current");
            symlink("7-000000000000", host.at("ssl/.certsync/site/current")).expect("a link");
        });
        drifts(layout, hooks, &[], |host| host.remove(&format!("ssl/.certsync/site/{}", host.current("ssl", "site"))));
    }
}

#[test]
fn a_generation_that_is_gone_is_nothing_to_go_back_to() {
    let (host, _) = Host::installed("");
    host.remove(&format!("ssl/.certsync/site/{}", host.current("ssl", "site")));
    host.apply().has_status(2);
    assert_eq!(host.state()["installs"][0]["former"], serde_json::json!([]));
}

#[test]
fn certsyncs_own_folder_comes_back() {
    drifts("generations", 1, &[], |host| host.remove("ssl/.certsync"));
    drifts("flat", 0, &[], |host| host.remove("ssl/.certsync"));
    for layout in LAYOUTS {
        drifts(layout, if layout == "flat" { 0 } else { 1 }, &[], |host| host.remove("ssl/.certsync/site"));
        drifts(layout, 0, &[".certsync/owner"], |host| host.remove("ssl/.certsync/owner"));
    }
}

#[test]
fn certsyncs_own_folder_stays_open_to_readers() {
    for layout in LAYOUTS {
        drifts(layout, 0, &[".certsync"], |host| host.mode("ssl/.certsync", 0o700));
        drifts(layout, 0, &[".certsync/site"], |host| host.mode("ssl/.certsync/site", 0o700));
    }
}

#[test]
fn a_dest_that_is_gone_comes_back() {
    for layout in LAYOUTS {
        drifts(layout, 1, &[".", "cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"], |host| host.remove("ssl"));
    }
}

#[test]
fn a_dest_that_certsync_made_gets_its_mode_back() {
    for layout in LAYOUTS {
        drifts(layout, 0, &["."], |host| host.mode("ssl", 0o700));
    }
}

fn give_acl(host: &Host, path: &str, acl: &str) {
    let done = Command::new("setfacl").args(["-m", acl]).arg(host.at(path)).status().expect("setfacl");
    assert!(done.success());
}

#[test]
fn an_acl_that_widens_access_is_taken_away() {
    if !there("setfacl") {
        return;
    }
    for layout in LAYOUTS {
        drifts(layout, 0, &["privkey.pem"], |host| give_acl(host, "ssl/privkey.pem", "u:4321:r,m::r"));
        drifts(layout, 0, &["."], |host| give_acl(host, "ssl", "d:u:4321:r"));
        drifts(layout, 0, &[], |host| give_acl(host, &format!("ssl/.certsync/site/{}", host.current("ssl", "site")), "u:4321:rwx"));
    }
}

#[test]
fn a_file_added_to_a_generation_is_not_installed() {
    for layout in LAYOUTS {
        drifts(layout, 0, &[], |host| host.write(&format!("ssl/.certsync/site/{}/added.txt", host.current("ssl", "site")), "x"));
        let (host, _) = Host::installed(&format!("layout: {layout}"));
        let current = host.current("ssl", "site");
        for strange in ["added\nname", "added.txt"] {
            host.write(&format!("ssl/.certsync/site/{current}/{strange}"), "x");
        }
        host.apply().has_status(2);
        assert!(!host.has("ssl/added.txt") && !host.has(&format!("ssl/.certsync/site/{}/added.txt", host.current("ssl", "site"))));
        host.quiet();
    }
}

#[test]
fn a_fifo_in_a_generation_keeps_nobody_waiting() {
    for layout in LAYOUTS {
        drifts(layout, usize::from(layout == "generations"), &[], |host| {
            let file = format!("ssl/.certsync/site/{}/cert.pem", host.current("ssl", "site"));
            host.remove(&file);
            assert!(Command::new("mkfifo").arg(host.at(&file)).status().expect("mkfifo").success());
        });
    }
}

#[test]
fn drift_and_a_renewal_at_once_are_a_renewal() {
    for layout in LAYOUTS {
        let (host, _) = Host::installed(&format!("layout: {layout}"));
        host.remove("ssl/cert.pem");
        host.write("ssl/privkey.pem", "other");
        let pair = host.renew(2);
        host.planned_and_applied("installed", "renewed");
        host.shows("ssl", &pair);
        assert_eq!(host.hooks(), 1);
    }
}

#[test]
fn drift_is_repaired_without_the_source() {
    for layout in LAYOUTS {
        let (host, pair) = Host::installed(&format!("layout: {layout}"));
        host.remove("live");
        host.remove("ssl");
        host.apply().has_status(6).complains("no such directory");
        host.shows("ssl", &pair);
        host.apply().has_status(4);
        host.source("live", &pair);
        host.quiet();
    }
}

#[test]
fn a_current_that_somebody_pointed_at_the_former_generation_is_repaired() {
    for (layout, hooks) in [("generations", 1), ("flat", 0)] {
        let (host, _) = Host::installed(&format!("layout: {layout}"));
        let former = host.current("ssl", "site");
        let pair = host.renew(2);
        host.apply().has_status(2);
        host.forget_hooks();
        host.remove("ssl/.certsync/site/current");
        symlink(&former, host.at("ssl/.certsync/site/current")).expect("a link");
        host.planned_and_applied("repaired", "drift");
        host.shows("ssl", &pair);
        assert_eq!(host.hooks(), hooks, "{layout}");
        let state = host.state();
        let names: Vec<_> = state["installs"][0]["former"].as_array().into_iter().flatten().map(|former| former["name"].clone()).collect();
        assert!(names.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1), "{names:?}");
    }
}

#[test]
fn an_owed_hook_stays_owed_whatever_else_changes() {
    let spec = super::host::ONE.replace("echo ran", "test -e [DIR]/ok && echo ran");
    for change in [
        |host: &Host| host.remove("ssl/.certsync"),
        |host: &Host| host.mode("ssl/privkey.pem", 0o640),
        |host: &Host| host.remove("ssl/.certsync/owner"),
    ] {
        for layout in LAYOUTS {
            let host = Host::new();
            host.spec(&spec.replace('%', &format!(", layout: {layout}")));
            host.source("live", &super::pairs::Pair::new("site.test", 1));
            host.apply().has_status(6);
            change(&host);
            host.apply().has_status(6);
            host.write("ok", "");
            host.apply().has_status(2);
            assert_eq!(host.hooks(), 1, "{layout}");
            host.quiet();
        }
    }
}
