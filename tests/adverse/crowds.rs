//! Very many: foreign files beside certsync's own, and sets behind one hook.

use super::host::{Host, Run, there};
use super::mounts::{Elsewhere, Mount, may_mount};
use super::pairs::Pair;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// The system calls of an `apply -q` that finds nothing to do, by strace.
#[track_caller]
fn calls(host: &Host) -> Vec<String> {
    let mut command = Command::new("strace");
    host.environment(&mut command);
    command.args(["-f", "-y", "-o"]).arg(host.at("trace")).arg(env!("CARGO_BIN_EXE_certsync")).args(["apply", "-q", "--detailed-exitcode"]);
    let output = command.output().expect("strace");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = host.read("trace");
    host.remove("trace");
    text.lines().map(str::to_owned).collect()
}

fn stamps(host: &Host, folder: &str) -> BTreeMap<String, (u64, u32, i64, i64)> {
    let entries = fs::read_dir(host.at(folder)).expect("a listing").flatten();
    let foreign = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("foreign"));
    foreign
        .map(|entry| {
            let m = entry.metadata().expect("metadata");
            (entry.file_name().to_string_lossy().into_owned(), (m.ino(), m.mode(), m.ctime(), m.ctime_nsec()))
        })
        .collect()
}

#[test]
fn ten_thousand_foreign_files_cost_nothing_and_are_not_touched() {
    if !may_mount() || !there("strace") {
        return;
    }
    let elsewhere = Elsewhere::new(|at| Mount::tmpfs(at, "size=512m"));
    for layout in ["generations", "flat"] {
        let host = elsewhere.host();
        host.spec_one(&format!("layout: {layout}"));
        host.source("live", &Pair::new("site.test", 1));
        host.apply().has_status(2);
        host.quiet();
        let few = calls(&host).len();
        for number in 0..10_000 {
            host.write(&format!("ssl/foreign-{number}.pem"), "not ours");
        }
        let before = stamps(&host, "ssl");
        host.quiet();
        let many = calls(&host);
        let listed = many.iter().any(|line| line.contains("getdents64(") && line.contains("/ssl>"));
        assert!(!listed && many.len() <= few + 5, "{layout}: {few} calls without them, {} with them", many.len());
        let pair = host.renew(2);
        host.write("ssl/cert.pem.new", "not ours either");
        host.apply().has_status(2);
        host.quiet();
        host.shows("ssl", &pair);
        assert_eq!(stamps(&host, "ssl"), before);
        eprintln!("{layout}: {few} system calls alone, {} among 10,000 foreign files", many.len());
    }
}

/// A directory has to be listed to know what is in it, but what `only` leaves out costs no call of its own.
#[test]
fn ten_thousand_foreign_files_in_a_source_are_listed_and_no_more() {
    if !may_mount() || !there("strace") {
        return;
    }
    let elsewhere = Elsewhere::new(|at| Mount::tmpfs(at, "size=512m"));
    let host = elsewhere.host();
    host.spec("version: 1\ncerts:\n  site: { source: live, only: [\"*.pem\"], install: ssl }\n");
    host.source("live", &Pair::new("site.test", 1));
    host.apply().has_status(2);
    host.quiet();
    let few = calls(&host).len();
    for number in 0..10_000 {
        host.write(&format!("live/foreign-{number}.txt"), "no material");
    }
    host.quiet();
    let many = calls(&host);
    assert!(many.len() <= few + 100, "{few} calls without them, {} with them", many.len());
    assert!(many.iter().all(|line| !line.contains("foreign-") || line.contains("getdents64(")), "none is looked at by itself");
}

const LINEAGES: &str = "\
version: 1
hooks:
  log: { run: \"cat $CERTSYNC_CHANGES >[DIR]/changes; echo ran >>[DIR]/hooks.log\" }
certs:
  lineages:
    source: live/*
    install: { dest: \"ssl/{name}\", hooks: [log] }
";

#[test]
fn a_first_install_of_thousands_of_sets_runs_its_hook_once() {
    if !may_mount() {
        return;
    }
    let count = if std::env::var_os("CERTSYNC_SLICE").is_some() { 300 } else { 10_000 };
    let elsewhere = Elsewhere::new(|at| Mount::tmpfs(at, "size=4g,nr_inodes=2000000"));
    let host = elsewhere.host();
    host.spec(LINEAGES);
    let pair = Pair::new("site.test", 1);
    for number in 0..count {
        host.source(&format!("live/n{number:05}"), &pair);
    }
    timed(&host, count, "first install").has_status(2);
    assert_eq!(host.hooks(), 1);
    let changes: Value = serde_json::from_str(&host.read("changes")).expect("JSON");
    let listed = changes["changes"].as_array().map_or(0, Vec::len);
    assert_eq!(listed, count, "every set is in CERTSYNC_CHANGES");
    for number in [0, count / 2, count - 1] {
        host.shows(&format!("ssl/n{number:05}"), &pair);
    }
    timed(&host, count, "nothing to do").has_status(0).says_nothing();
    let renewed = Pair::new("site.test", 2);
    host.source("live/n00007", &renewed);
    let run = timed(&host, count, "one renewed").has_status(2);
    assert_eq!(run.set("n00007")["result"], "installed");
    host.shows("ssl/n00007", &renewed);
    assert_eq!(host.hooks(), 2);
    let changes: Value = serde_json::from_str(&host.read("changes")).expect("JSON");
    assert_eq!(changes["changes"].as_array().map_or(0, Vec::len), 1);
    timed(&host, count, "nothing to do again").has_status(0).says_nothing();
    assert_eq!(host.hooks(), 2);
}

/// `apply`, its wall time, CPU time and peak memory printed, where `time` is there.
#[track_caller]
fn timed(host: &Host, count: usize, what: &str) -> Run {
    let args = ["apply", "--format", "json", "--detailed-exitcode"];
    if !there("/usr/bin/time") {
        return Run::of(host.command(&args).output().expect("it runs"));
    }
    let mut command = Command::new("/usr/bin/time");
    host.environment(&mut command);
    command.args(["-q", "-o"]).arg(host.at("figures")).args(["-f", "%e s, CPU %U + %S s, peak %M KiB", env!("CARGO_BIN_EXE_certsync")]);
    let run = Run::of(command.args(args).output().expect("time"));
    eprintln!("{count} sets, {what}: {}", host.read("figures").trim());
    run
}
