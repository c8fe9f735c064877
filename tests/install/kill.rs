//! A run that is killed at any step: whoever reads finds a whole pair, and the next run finishes the job.

use super::host::{Host, there};
use super::pairs::Pair;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

const CALLS: &str = "write,mkdirat,symlinkat,renameat,renameat2,unlinkat,fchmod,fsync,syncfs,utimensat";

/// Two installs of one set; the hook notes which certificate it saw.
const TWO: &str = "\
version: 1
hooks:
  note: { run: \"cat [DIR]/ssl/cert.pem [DIR]/other/cert.pem > [DIR]/seen\" }
certs:
  site:
    source: live
    accept: [older]
    install:
      - { dest: ssl, layout: %, hooks: [note] }
      - { dest: other, layout: %, hooks: [note] }
";

fn strace(host: &Host, options: &[&str]) -> Command {
    let mut command = Command::new("strace");
    host.environment(&mut command);
    command.args(["-o"]).arg(host.at("trace")).args(options).args([env!("CARGO_BIN_EXE_certsync"), "apply", "-q"]);
    command
}

/// How often each call is made in a run.
fn counted(host: &Host) -> BTreeMap<String, u32> {
    assert!(strace(host, &["-e", &format!("trace={CALLS}")]).status().expect("strace").success());
    let mut counts = BTreeMap::new();
    for line in host.read("trace").lines() {
        if let Some((call, _)) = line.split_once('(') {
            *counts.entry(call.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// Kills a run just before the `number`th `call`; whether it came to that.
fn killed(host: &Host, call: &str, number: u32) -> bool {
    let output = strace(host, &["-e", &format!("trace={call}"), "-e", &format!("inject={call}:signal=KILL:when={number}")]).output();
    use std::os::unix::process::ExitStatusExt;
    let status = output.expect("strace").status;
    status.signal() == Some(9) || status.code() == Some(137)
}

#[track_caller]
fn nothing_left(dir: &Path) {
    for entry in fs::read_dir(dir).expect("a listing") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.starts_with(".new-") && !name.starts_with(".trash-"), "{}", entry.path().display());
        if entry.file_type().expect("a type").is_dir() {
            nothing_left(&entry.path());
        }
    }
}

#[track_caller]
fn is_whole(host: &Host, folder: &str, pairs: &[&Pair], when: &str) {
    let (cert, key) = (host.read(&format!("{folder}/cert.pem")), host.read(&format!("{folder}/privkey.pem")));
    assert!(pairs.iter().any(|pair| pair.cert == cert && pair.key == key), "half a pair in {folder} after {when}");
}

/// The next run ends well, the one after it has nothing to do, and the hook has seen what is installed.
#[track_caller]
fn recovers(host: &Host, pair: &Pair, when: &str) {
    let run = host.apply();
    assert!([0, 2].contains(&run.status), "after {when}: {:#}\n{}", run.json, run.stderr);
    assert_eq!(host.plan().status, 0, "after {when}");
    for dest in ["ssl", "other"] {
        host.shows(dest, pair);
    }
    assert_eq!(host.read("seen"), pair.cert.repeat(2), "the hook after {when}");
    for folder in ["ssl", "other", "state"] {
        nothing_left(&host.at(folder));
    }
}

/// At most so many points of one call: the first ones, and then evenly spread.
fn points(count: u32, most: u32) -> Vec<u32> {
    let step = count.div_ceil(most).max(1);
    (1..=count).step_by(step as usize).collect()
}

fn renewals(layout: &str) {
    if !there("strace") {
        return;
    }
    let host = Host::new();
    host.spec(&TWO.replace('%', layout));
    let pairs = [Pair::new("site.test", 1), Pair::new("site.test", 2)];
    host.source("live", &pairs[0]);
    host.apply().has_status(2);
    host.source("live", &pairs[1]);
    let mut turn = 1;
    let mut reached = 0;
    for (call, count) in counted(&host) {
        for number in points(count, 12) {
            turn = 1 - turn;
            let (pair, when) = (&pairs[turn], format!("{call} {number} of {count}, {layout}"));
            host.source("live", pair);
            reached += u32::from(killed(&host, &call, number));
            for dest in ["ssl", "other"] {
                is_whole(&host, &format!("{dest}/.certsync/site/current"), &[&pairs[0], &pairs[1]], &when);
                if layout == "generations" {
                    is_whole(&host, dest, &[&pairs[0], &pairs[1]], &when);
                }
            }
            recovers(&host, pair, &when);
        }
    }
    assert!(reached > 30, "only {reached} points");
}

#[test]
fn a_renewal_killed_anywhere_is_finished_by_the_next_run() {
    renewals("generations");
}

#[test]
fn a_flat_renewal_killed_anywhere_is_finished_by_the_next_run() {
    renewals("flat");
}

#[test]
fn an_adoption_killed_anywhere_is_finished_by_the_next_run() {
    if !there("strace") {
        return;
    }
    let (old, new) = (Pair::new("site.test", 1), Pair::new("site.test", 2));
    let fresh = || {
        let host = Host::new();
        host.spec(&TWO.replace('%', "generations"));
        host.source("live", &new);
        host.source("ssl", &old);
        host.source("other", &old);
        host
    };
    let mut reached = 0;
    for (call, count) in counted(&fresh()).into_iter().filter(|(call, _)| !["write", "fchmod", "utimensat"].contains(&call.as_str())) {
        for number in points(count, 8) {
            let (host, when) = (fresh(), format!("{call} {number} of {count}, adoption"));
            reached += u32::from(killed(&host, &call, number));
            for dest in ["ssl", "other"] {
                is_whole(&host, dest, &[&old, &new], &when);
            }
            recovers(&host, &new, &when);
        }
    }
    assert!(reached > 20, "only {reached} points");
}

#[test]
fn a_change_of_layout_with_a_renewal_killed_anywhere_never_shows_half_a_set() {
    if !there("strace") {
        return;
    }
    let (old, new) = (Pair::new("site.test", 1), Pair::new("site.test", 2));
    let fresh = || {
        let host = Host::new();
        host.spec(&TWO.replace('%', "flat"));
        host.source("live", &old);
        host.apply().has_status(2);
        host.spec(&TWO.replace('%', "generations"));
        host.source("live", &new);
        host
    };
    for (call, count) in counted(&fresh()).into_iter().filter(|(call, _)| ["renameat", "renameat2", "unlinkat"].contains(&call.as_str())) {
        for number in points(count, 12) {
            let (host, when) = (fresh(), format!("{call} {number} of {count}, change of layout"));
            killed(&host, &call, number);
            for dest in ["ssl", "other"] {
                is_whole(&host, dest, &[&old, &new], &when);
            }
            recovers(&host, &new, &when);
        }
    }
}
