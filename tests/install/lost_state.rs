//! A state that is lost, old or another host's: one hook too many at most, never one too few, and nothing else changes.
//!
//! Two sets in three places: `site` in `ssl` and (flat) in `flat`, `mail` as one joined file in `ssl` too. Foreign files lie beside them.

use super::host::{Host, Run};
use super::pairs::Pair;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

const SPEC: &str = "\
version: 1
hooks:
  web: { run: \"echo web >> [DIR]/hooks.log; test ! -e [DIR]/fails\" }
  mail: { check: \"true\", run: \"echo mail >> [DIR]/hooks.log\" }
certs:
  site:
    source: live
    install:
      - { dest: ssl, hooks: [web] }
      - { dest: flat, layout: flat, hooks: [web, mail] }
  mail:
    source: post
    install: { dest: ssl, files: { mail.pem: [fullchain.pem, privkey.pem] }, hooks: [mail] }
";

/// What each hook writes when all of it is owed.
const ALL: &str = "web\nmail\n";

/// Everything below `ssl` and `flat`: inode, rights, times of change, contents.
pub type Installed = BTreeMap<PathBuf, String>;

pub struct Site {
    pub host: Host,
    pub site: Pair,
    pub mail: Pair,
}

impl Site {
    /// Installed, with foreign files beside; the hooks are forgotten.
    pub fn new() -> Site {
        let host = Host::new();
        host.spec(SPEC);
        for dest in ["ssl", "flat"] {
            host.write(&format!("{dest}/foreign.txt"), "not ours");
            symlink("nowhere", host.at(&format!("{dest}/dangling"))).expect("a link");
        }
        let mut site = Site { host, site: Pair::new("site.test", 1), mail: Pair::new("mail.test", 1) };
        site.renew(1);
        site
    }

    /// A renewal of both sets, applied; the hooks are forgotten.
    pub fn renew(&mut self, number: u8) {
        self.come(number);
        self.host.apply().has_status(2);
        self.is_right();
        self.host.forget_hooks();
    }

    /// A renewal of both at the source.
    pub fn come(&mut self, number: u8) {
        (self.site, self.mail) = (Pair::new("site.test", number), Pair::new("mail.test", number));
        self.host.source("live", &self.site);
        self.host.source("post", &self.mail);
    }

    /// The present versions are shown, and no foreign file was touched.
    #[track_caller]
    pub fn is_right(&self) {
        for dest in ["ssl", "flat"] {
            self.host.shows(dest, &self.site);
            assert_eq!(self.host.read(&format!("{dest}/foreign.txt")), "not ours");
            assert_eq!(self.host.link(&format!("{dest}/dangling")), "nowhere");
        }
        assert_eq!(self.host.read("ssl/mail.pem"), self.mail.joined());
    }

    pub fn installed(&self) -> Installed {
        let mut found = Installed::new();
        for dest in ["ssl", "flat"] {
            list(&self.host.at(dest), &mut found);
        }
        found
    }

    pub fn hooks(&self) -> String {
        fs::read_to_string(self.host.at("hooks.log")).unwrap_or_default()
    }

    /// A copy of the state directory, beside.
    pub fn keep(&self, name: &str) {
        copy(&self.host.at("state"), &self.host.at(name));
    }

    /// Puts these of a copy back in place of what is there.
    pub fn restore(&self, name: &str, parts: &[&str]) {
        for part in parts {
            if self.host.has(&format!("state/{part}")) {
                self.host.remove(&format!("state/{part}"));
            }
            copy(&self.host.at(name).join(part), &self.host.at("state").join(part));
        }
    }

    /// One apply that runs these hooks, touches nothing that is installed, and after which nothing is to do.
    #[track_caller]
    pub fn costs(&self, hooks: &str) {
        let before = self.installed();
        let status = if hooks.is_empty() { 0 } else { 2 };
        self.host.plan().has_status(status);
        let run = self.host.apply().has_status(status);
        assert_eq!(self.hooks(), hooks, "{:#}\n{}", run.json, run.stderr);
        same(&before, &self.installed());
        self.host.quiet();
        self.host.forget_hooks();
    }
}

#[track_caller]
fn same(before: &Installed, after: &Installed) {
    for (path, what) in before {
        assert_eq!(after.get(path), Some(what), "{}", path.display());
    }
    let new: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    assert!(new.is_empty(), "{new:?}");
}

fn list(dir: &Path, found: &mut Installed) {
    for entry in fs::read_dir(dir).expect("a listing") {
        let path = entry.expect("an entry").path();
        let m = path.symlink_metadata().expect("metadata");
        let text = match fs::read_link(&path) {
            Ok(target) => target.display().to_string(),
            Err(_) => fs::read_to_string(&path).unwrap_or_default(),
        };
        let shown = format!("{} {:o} {}:{} {}.{} {text}", m.ino(), m.mode(), m.uid(), m.gid(), m.ctime(), m.ctime_nsec());
        if m.is_dir() {
            list(&path, found);
        }
        found.insert(path, shown);
    }
}

fn copy(from: &Path, to: &Path) {
    let metadata = from.symlink_metadata().expect("it is there");
    if metadata.is_dir() {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("a listing") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).expect("a copy");
    }
    fs::set_permissions(to, metadata.permissions()).expect("its mode");
}

#[test]
fn a_lost_state_directory_costs_each_hook_once() {
    let mut site = Site::new();
    site.renew(2);
    site.host.remove("state");
    site.costs(ALL);
    site.renew(3);
}

/// What of a copy from before three renewals comes back, and what it costs.
const PARTS: [(&[&str], &str); 6] = [
    (&["state.json"], ALL),
    (&["state.json", "cache"], ALL),
    (&["state.json", "store"], ALL),
    (&["state.json", "store", "cache"], ALL),
    (&["cache"], ""),
    (&["store"], ""),
];

#[test]
fn a_state_from_before_three_renewals_costs_each_hook_once() {
    for (parts, hooks) in PARTS {
        let mut site = Site::new();
        site.keep("backup");
        for number in 2..=4 {
            site.renew(number);
        }
        site.restore("backup", parts);
        site.costs(hooks);
        site.renew(5);
        site.host.json(&["rollback", "site"]);
        site.host.forget_hooks();
    }
}

#[test]
fn a_hook_that_was_owed_is_owed_after_any_loss() {
    for what in ["nothing", "lost", "old", "new"] {
        let mut site = Site::new();
        site.keep("backup");
        site.renew(2);
        site.renew(3);
        site.come(4);
        site.host.write("fails", "");
        site.host.apply().has_status(6);
        site.host.remove("fails");
        site.host.forget_hooks();
        match what {
            "lost" => site.host.remove("state"),
            "old" => site.restore("backup", &["state.json", "store", "cache"]),
            "new" => {
                site.host.json(&["apply", "--new-state"]).has_status(2);
            }
            _ => {}
        }
        if what != "new" {
            site.host.apply().has_status(2);
        }
        let hooks = site.hooks();
        assert_eq!(hooks.matches("web").count(), 1, "{what}: {hooks}");
        assert!(hooks.matches("mail").count() <= 1, "{what}: {hooks}");
        site.is_right();
        site.host.quiet();
    }
}

#[test]
fn an_old_state_does_not_bring_old_certificates_back_while_the_source_is_away() {
    for parts in [&["state.json"][..], &["state.json", "store", "cache"]] {
        let mut site = Site::new();
        site.keep("backup");
        for number in 2..=4 {
            site.renew(number);
        }
        site.restore("backup", parts);
        for folder in ["live", "post"] {
            fs::rename(site.host.at(folder), site.host.at(&format!("{folder}.away"))).expect("unmounted");
        }
        let before = site.installed();
        let run = site.host.apply();
        assert!([4, 6].contains(&run.status), "{:#}", run.json);
        same(&before, &site.installed());
        for folder in ["live", "post"] {
            fs::rename(site.host.at(&format!("{folder}.away")), site.host.at(folder)).expect("mounted");
        }
        let so_far = site.hooks();
        site.host.apply().has_status(2);
        assert_eq!((so_far.as_str(), site.hooks().as_str()), ("", ALL));
        same(&before, &site.installed());
        site.host.quiet();
    }
}

#[test]
fn an_old_state_does_not_bring_old_certificates_back_while_the_source_is_refused() {
    let mut site = Site::new();
    site.keep("backup");
    for number in 2..=4 {
        site.renew(number);
    }
    site.restore("backup", &["state.json", "store", "cache"]);
    site.host.write("live/privkey.pem", &site.mail.key);
    let before = site.installed();
    let run = site.host.apply();
    assert!([4, 6].contains(&run.status), "{:#}", run.json);
    run.complains("refused");
    same(&before, &site.installed());
    site.host.source("live", &site.site);
    site.host.apply().has_status(2);
    site.host.quiet();
}

#[test]
fn a_hold_that_was_released_after_the_backup_does_not_come_back() {
    let mut site = Site::new();
    site.renew(2);
    let rollback: fn(&Site, &[&str]) -> Run = |site, args| site.host.json(args);
    rollback(&site, &["rollback", "site"]).has_status(2);
    site.keep("backup");
    rollback(&site, &["rollback", "site", "--release"]).has_status(2);
    site.is_right();
    site.host.forget_hooks();
    site.restore("backup", &["state.json", "store", "cache"]);
    let before = site.installed();
    site.host.apply().has_status(2);
    same(&before, &site.installed());
    assert!(site.hooks().matches("web").count() == 1 && site.hooks().matches("mail").count() <= 1, "{}", site.hooks());
    site.host.quiet();
}

#[test]
fn a_version_taken_back_before_the_backup_and_let_in_since_stays() {
    let host = Host::new();
    host.spec(&SPEC.replace("check: \"true\"", "check: \"test ! -e [DIR]/fails\""));
    let mut site = Site { host, site: Pair::new("site.test", 1), mail: Pair::new("mail.test", 1) };
    for dest in ["ssl", "flat"] {
        site.host.write(&format!("{dest}/foreign.txt"), "not ours");
        symlink("nowhere", site.host.at(&format!("{dest}/dangling"))).expect("a link");
    }
    site.renew(1);
    // The check rejects the second version, and nothing else.
    let spec = SPEC.replace("check: \"true\"", "check: \"test ! -e [DIR]/fails || ! cmp -s [DIR]/fails [DIR]/flat/cert.pem\"");
    site.host.spec(&spec);
    site.come(2);
    site.host.write("fails", &site.site.cert);
    assert_eq!(site.host.apply().status, 6);
    site.keep("backup");
    site.host.remove("fails");
    site.host.json(&["apply", "--retry"]).has_status(2);
    site.is_right();
    site.host.forget_hooks();
    site.restore("backup", &["state.json", "store", "cache"]);
    let before = site.installed();
    site.host.apply().has_status(2);
    same(&before, &site.installed());
    site.host.quiet();
}

#[test]
fn the_state_of_another_host_is_worth_no_more_than_none() {
    let mut site = Site::new();
    // What another host of the same spec has: other generations, other facts.
    site.keep("here");
    let mut state = site.host.state();
    site.renew(2);
    site.renew(3);
    state["host"] = "another-host".into();
    site.host.write("here/state.json", state.to_string());
    site.restore("here", &["state.json", "store", "cache"]);
    site.costs(ALL);
}
