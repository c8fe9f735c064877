//! Both layouts: what `dest` shows after an install, a renewal, a change of the spec.

use super::host::{Host, is_root};
use super::pairs::Pair;
use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn a_first_install_shows_links_into_one_generation() {
    let (host, pair) = Host::one("");
    let run = host.planned_and_applied("installed", "new");
    assert_eq!(run.paths(), [".", "cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"]);
    host.shows("ssl", &pair);
    assert_eq!(host.link("ssl/privkey.pem"), ".certsync/site/current/privkey.pem");
    assert!(host.current("ssl", "site").starts_with("1-"));
    assert_eq!(host.mode_of("ssl"), "0755");
    assert_eq!((host.mode_of("ssl/cert.pem"), host.mode_of("ssl/privkey.pem")), ("0644".into(), "0600".into()));
    assert_eq!(host.read("ssl/.certsync/owner"), format!("{}\n", host.at("state").display()));
    assert_eq!(host.hooks(), 1);
}

#[test]
fn a_first_flat_install_shows_real_files() {
    let (host, pair) = Host::one("layout: flat");
    host.planned_and_applied("installed", "new");
    host.shows("ssl", &pair);
    assert!(host.at("ssl/privkey.pem").symlink_metadata().expect("it").is_file());
    assert_eq!((host.mode_of("ssl/cert.pem"), host.mode_of("ssl/privkey.pem")), ("0644".into(), "0600".into()));
    assert_eq!(host.hooks(), 1);
}

#[test]
fn a_renewal_switches_every_file_and_keeps_the_former_generation() {
    for layout in ["generations", "flat"] {
        let (host, _) = Host::installed(&format!("layout: {layout}"));
        let former = host.current("ssl", "site");
        let pair = host.renew(2);
        let run = host.planned_and_applied("installed", "renewed");
        assert_eq!(run.paths(), ["cert.pem", "fullchain.pem", "privkey.pem"], "{layout}");
        host.shows("ssl", &pair);
        assert_eq!(host.hooks(), 1, "{layout}");
        assert_eq!(host.generations("ssl", "site"), [former, host.current("ssl", "site")]);
    }
}

#[test]
fn nested_folders_are_carried_over_with_relative_links() {
    for layout in ["generations", "flat"] {
        let (host, pair) = Host::one(&format!("layout: {layout}, dir_mode: drwxr-x---"));
        host.write("live/sub/deep/extra.txt", "text");
        host.planned_and_applied("installed", "new");
        host.shows("ssl", &pair);
        assert_eq!(host.read("ssl/sub/deep/extra.txt"), "text");
        if layout == "generations" {
            assert_eq!(host.link("ssl/sub/deep/extra.txt"), "../../.certsync/site/current/sub/deep/extra.txt");
        }
        for folder in ["ssl", "ssl/sub", "ssl/sub/deep", &format!("ssl/.certsync/site/{}/sub", host.current("ssl", "site"))] {
            assert_eq!(host.mode_of(folder), "0750", "{folder}");
        }
        host.write("live/sub/deep/extra.txt", "other");
        host.planned_and_applied("installed", "renewed");
        assert_eq!(host.read("ssl/sub/deep/extra.txt"), "other");
    }
}

#[test]
fn joined_files_hold_their_parts_in_order_and_are_private() {
    let (host, pair) = Host::one("files: { '{name}.pem': [fullchain.pem, privkey.pem] }");
    host.planned_and_applied("installed", "new");
    assert_eq!(host.read("ssl/site.pem"), pair.joined());
    assert_eq!(host.mode_of("ssl/site.pem"), "0600");
    assert!(!host.has("ssl/privkey.pem"));
}

#[test]
fn a_change_of_the_files_mapping_is_a_change_of_the_spec() {
    let (host, pair) = Host::installed("files: { '{name}.pem': [fullchain.pem, privkey.pem] }");
    host.spec_one("files: { tls.crt: [fullchain.pem], tls.key: [privkey.pem] }");
    host.planned_and_applied("installed", "spec");
    assert_eq!((host.read("ssl/tls.crt"), host.read("ssl/tls.key")), (pair.fullchain(), pair.key.clone()));
    assert_eq!(host.read("ssl/site.pem"), pair.joined(), "without prune it is carried");
    assert_eq!(host.hooks(), 1);
    host.spec_one("files: { tls.crt: [fullchain.pem], tls.key: [privkey.pem] }, prune: true");
    host.planned_and_applied("installed", "spec");
    assert!(!host.has("ssl/site.pem"));
}

const SHARED: &str = "\
version: 1
hooks:
  log: { run: \"echo ran >> [DIR]/hooks.log\" }
certs:
  a: { source: a, install: { dest: ssl, files: { '{name}.pem': [fullchain.pem, privkey.pem] }, hooks: [log] } }
  b: { source: b, install: [{ dest: ssl, files: { '{name}.pem': [fullchain.pem, privkey.pem] }, hooks: [log] }, { dest: other, hooks: [log] }] }
";

#[test]
fn sets_share_a_dest_and_a_set_has_several_installs() {
    let host = Host::new();
    let (a, b) = (Pair::new("a.test", 1), Pair::new("b.test", 1));
    host.source("a", &a);
    host.source("b", &b);
    host.spec(SHARED);
    host.apply().has_status(2);
    assert_eq!((host.read("ssl/a.pem"), host.read("ssl/b.pem")), (a.joined(), b.joined()));
    host.shows("other", &b);
    assert_eq!(host.hooks(), 1, "one run for all");
    host.quiet();
    let b = Pair::new("b.test", 2);
    host.source("b", &b);
    let run = host.apply().has_status(2);
    assert_eq!((&run.set("a")["result"], &run.set("b")["result"]), (&"unchanged".into(), &"installed".into()));
    assert_eq!((host.read("ssl/a.pem"), host.read("ssl/b.pem")), (a.joined(), b.joined()));
    host.shows("other", &b);
    host.quiet();
}

#[test]
fn two_whole_sets_that_write_one_name_do_not_fight_over_it() {
    let host = Host::new();
    let a = Pair::new("a.test", 1);
    host.source("a", &a);
    host.source("b", &Pair::new("b.test", 1));
    host.spec("version: 1\ncerts:\n  a: { source: a, install: ssl }\n  b: { source: b, install: ssl }\n");
    host.apply().has_status(6).complains("ssl/cert.pem: ");
    host.shows("ssl", &a);
    let run = host.apply().has_status(4);
    assert_eq!(run.set("a")["result"], "unchanged");
    run.complains("ssl/cert.pem: ").complains("hint: ");
    host.shows("ssl", &a);
}

#[test]
fn surplus_generations_go_and_as_many_as_wanted_stay() {
    for keep in [1_u8, 2, 5] {
        let (host, _) = Host::installed(&format!("keep: {keep}"));
        for number in 2..=8 {
            host.renew(number);
            host.apply().has_status(2);
        }
        assert_eq!(host.generations("ssl", "site").len(), usize::from(keep) + 1, "the current one and {keep}");
        assert_eq!(std::fs::read_dir(host.at("state/store/site")).expect("the store").count(), 2 * (usize::from(keep) + 1));
        host.quiet();
    }
}

#[test]
fn fewer_generations_are_kept_as_soon_as_the_spec_says_so() {
    let (host, _) = Host::installed("keep: 5");
    for number in 2..=5 {
        host.renew(number);
        host.apply().has_status(2);
    }
    host.spec_one("keep: 1");
    host.apply().has_status(0);
    assert_eq!(host.generations("ssl", "site").len(), 2);
    assert_eq!(std::fs::read_dir(host.at("state/store/site")).expect("the store").count(), 4);
    host.quiet();
}

#[test]
fn modes_are_what_the_spec_says_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        for layout in ["generations", "flat"] {
            let (host, _) = Host::one(&format!("layout: {layout}, dir_mode: drwxr-s---, file_mode: -rw-r--r--, key_mode: '0640'"));
            host.write("live/sub/extra.txt", "text");
            let mut command = Command::new("sh");
            host.environment(&mut command);
            command.arg0("sh").args(["-c", &format!("umask {umask}; exec \"$0\" apply -q"), env!("CARGO_BIN_EXE_certsync")]);
            assert!(command.status().expect("sh").success());
            for (path, mode) in [
                ("ssl", "2750"),
                ("ssl/sub", "2750"),
                ("ssl/sub/extra.txt", "0640"),
                ("ssl/cert.pem", "0644"),
                ("ssl/privkey.pem", "0640"),
                ("ssl/.certsync", "0755"),
                ("ssl/.certsync/site", "0755"),
                ("ssl/.certsync/owner", "0644"),
                ("state/state.json", "0600"),
                ("state/store", "0700"),
                (&format!("ssl/.certsync/site/{}", host.current("ssl", "site")), "2750"),
            ] {
                assert_eq!(host.mode_of(path), mode, "{path} under {umask}");
            }
            host.quiet();
        }
    }
}

#[test]
fn owner_and_group_are_what_the_spec_says() {
    if !is_root() {
        return;
    }
    for layout in ["generations", "flat"] {
        let (host, pair) = Host::one(&format!("layout: {layout}, owner: 4321, group: 1234, dir_mode: drwxr-s---, key_mode: '0640'"));
        host.write("live/sub/extra.txt", "text");
        host.planned_and_applied("installed", "new");
        host.shows("ssl", &pair);
        for path in
            ["ssl", "ssl/sub", "ssl/sub/extra.txt", "ssl/privkey.pem", &format!("ssl/.certsync/site/{}/sub", host.current("ssl", "site"))]
        {
            assert_eq!(host.owner_of(path), (4321, 1234), "{path}");
        }
        assert_eq!(host.owner_of("ssl/.certsync").0, 0);
        host.spec_one(&format!("layout: {layout}, owner: 4322, group: 1234, dir_mode: drwxr-s---, key_mode: '0640'"));
        host.forget_hooks();
        host.planned_and_applied("installed", "spec");
        assert_eq!((host.owner_of("ssl"), host.owner_of("ssl/privkey.pem")), ((4322, 1234), (4322, 1234)));
        assert_eq!(host.hooks(), 0, "no byte has changed");
    }
}

#[test]
fn a_change_of_layout_changes_no_content_and_owes_no_hook() {
    let (host, pair) = Host::installed("");
    host.write("ssl/foreign.txt", "mine");
    host.spec_one("layout: flat");
    host.planned_and_applied("installed", "spec");
    host.shows("ssl", &pair);
    assert!(host.at("ssl/privkey.pem").symlink_metadata().expect("it").is_file());
    host.spec_one("layout: generations");
    host.planned_and_applied("installed", "spec");
    host.shows("ssl", &pair);
    assert_eq!(host.link("ssl/privkey.pem"), ".certsync/site/current/privkey.pem");
    assert_eq!((host.hooks(), host.read("ssl/foreign.txt").as_str()), (0, "mine"));
}

#[test]
fn a_change_of_layout_together_with_a_renewal_is_one_install() {
    for (before, after) in [("generations", "flat"), ("flat", "generations")] {
        let (host, _) = Host::installed(&format!("layout: {before}"));
        host.spec_one(&format!("layout: {after}"));
        let pair = host.renew(2);
        host.planned_and_applied("installed", "renewed");
        host.shows("ssl", &pair);
        assert_eq!(host.hooks(), 1);
    }
}

#[test]
fn a_change_of_layout_together_with_pruning_leaves_nothing_behind() {
    for (before, after) in [("generations", "flat"), ("flat", "generations")] {
        let (host, _) = Host::one(&format!("layout: {before}"));
        host.write("live/extra.txt", "text");
        host.apply().has_status(2);
        host.remove("live/extra.txt");
        host.spec_one(&format!("layout: {after}, prune: true"));
        host.planned_and_applied("installed", "renewed");
        assert!(!host.has("ssl/extra.txt"), "{before} to {after}");
    }
}
