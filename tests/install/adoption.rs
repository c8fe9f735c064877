//! Files that are there already.

use super::host::Host;
use super::pairs::Pair;
use std::os::unix::fs::symlink;

/// A spec whose hook has a check that fails while `broken` is there.
const CHECKED: &str = "\
version: 1
hooks:
  log: { check: \"! grep -q . [DIR]/broken\", run: \"echo ran >> [DIR]/hooks.log\" }
certs:
  site:
    source: live
    install: { dest: ssl, hooks: [log] % }
";

#[test]
fn equal_files_are_adopted_without_a_hook() {
    for layout in ["generations", "flat"] {
        let (host, pair) = Host::one(&format!("layout: {layout}"));
        host.source("ssl", &pair);
        host.write("ssl/foreign.txt", "mine");
        let foreign = host.snapshot()[&host.at("ssl/foreign.txt")].clone();
        host.planned_and_applied("installed", "new");
        host.shows("ssl", &pair);
        assert_eq!(host.hooks(), 0, "{layout}");
        assert_eq!(host.snapshot()[&host.at("ssl/foreign.txt")], foreign);
        assert_eq!(host.generations("ssl", "site").len(), 1);
        assert_eq!(host.mode_of("ssl/privkey.pem"), "0600");
    }
}

#[test]
fn adopted_files_stay_as_the_former_generation() {
    for layout in ["generations", "flat"] {
        let (host, pair) = Host::one(&format!("layout: {layout}"));
        let old = Pair::new("site.test", 0);
        host.source("ssl", &old);
        host.planned_and_applied("installed", "new");
        host.shows("ssl", &pair);
        assert_eq!(host.hooks(), 1);
        let former = host.generations("ssl", "site")[0].clone();
        assert_eq!(host.read(&format!("ssl/.certsync/site/{former}/privkey.pem")), old.key, "{layout}");
        assert_eq!(host.mode_of(&format!("ssl/.certsync/site/{former}/privkey.pem")), "0600");
    }
}

#[test]
fn a_failing_check_takes_back_to_what_was_adopted() {
    for layout in ["generations", "flat"] {
        let host = Host::new();
        let pair = Pair::new("site.test", 1);
        host.source("live", &pair);
        let old = Pair::new("site.test", 0);
        host.source("ssl", &old);
        host.spec(
            &CHECKED
                .replace('%', &format!(", layout: {layout}"))
                .replace("grep -q . [DIR]/broken", "cmp -s [DIR]/ssl/cert.pem [DIR]/live/cert.pem"),
        );
        host.apply().has_status(6).is("rolled_back", "new");
        host.shows("ssl", &old);
        assert_eq!(host.hooks(), 1, "{layout}: the hook runs for what is there again");
        host.apply().has_status(4).is("rolled_back", "-");
        host.shows("ssl", &old);
    }
}

#[test]
fn some_of_the_files_are_adopted_and_the_others_made() {
    for layout in ["generations", "flat"] {
        let (host, pair) = Host::one(&format!("layout: {layout}"));
        host.write("ssl/cert.pem", &pair.cert);
        host.write("ssl/chain.pem", "an old chain\n");
        host.planned_and_applied("installed", "new");
        host.shows("ssl", &pair);
        assert_eq!(host.hooks(), 1);
    }
}

#[test]
fn a_foreign_link_at_a_wanted_name_is_an_error_and_stays() {
    for layout in ["generations", "flat"] {
        let (host, _) = Host::one(&format!("layout: {layout}"));
        host.write("elsewhere.pem", "text");
        host.write("ssl/foreign.txt", "mine");
        symlink("../elsewhere.pem", host.at("ssl/privkey.pem")).expect("a link");
        host.plan().has_status(1).complains("ssl/privkey.pem").complains("../elsewhere.pem").complains("hint: ");
        host.apply().has_status(4).is("failed", "-");
        assert_eq!(host.link("ssl/privkey.pem"), "../elsewhere.pem");
        host.remove("ssl/privkey.pem");
        host.apply().has_status(2);
        host.quiet();
    }
}

#[test]
fn a_directory_at_a_wanted_name_is_an_error_and_stays() {
    for layout in ["generations", "flat"] {
        let (host, _) = Host::one(&format!("layout: {layout}"));
        host.write("ssl/privkey.pem/file", "mine");
        host.plan().has_status(1).complains("ssl/privkey.pem: a directory is in its place");
        host.apply().has_status(4).complains("ssl/privkey.pem: a directory is in its place").complains("hint: ");
        assert_eq!(host.read("ssl/privkey.pem/file"), "mine");
    }
}

#[test]
fn a_foreign_file_at_a_name_that_is_new_to_the_set_is_an_error_and_stays() {
    for layout in ["generations", "flat"] {
        let (host, pair) = Host::installed(&format!("layout: {layout}"));
        host.write("ssl/extra.txt", "mine");
        host.mode("ssl/extra.txt", 0o600);
        host.write("live/extra.txt", "from the source");
        host.plan().has_status(1).complains("ssl/extra.txt: ");
        host.apply().has_status(4).complains("ssl/extra.txt: ").complains("hint: ");
        assert_eq!(host.read("ssl/extra.txt"), "mine", "{layout}");
        host.shows("ssl", &pair);
        host.remove("ssl/extra.txt");
        host.apply().has_status(2);
        assert_eq!(host.read("ssl/extra.txt"), "from the source");
        host.quiet();
    }
}

#[test]
fn an_equal_file_at_a_name_that_is_new_to_the_set_is_taken_over() {
    for layout in ["generations", "flat"] {
        let (host, _) = Host::installed(&format!("layout: {layout}"));
        host.write("ssl/extra.txt", "the same");
        host.mode("ssl/extra.txt", 0o600);
        host.write("live/extra.txt", "the same");
        host.apply().has_status(2);
        assert_eq!(host.read("ssl/extra.txt"), "the same");
        assert_eq!(host.hooks(), 0, "no byte has changed: {layout}");
        host.quiet();
    }
}
