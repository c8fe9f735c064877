//! Many sets: one apply, one hook; how long it takes is printed, not judged.

use super::host::Host;
use super::pairs::Pair;
use std::fs;
use std::time::{Duration, Instant};

const MANY: &str = "\
version: 1
hooks:
  log: { run: \"echo ran >> [DIR]/hooks.log\" }
certs:
  lineages:
    source: live/*
    install: { dest: \"ssl/{name}\", hooks: [log] }
";

fn many(count: usize) -> Host {
    let host = Host::new();
    host.spec(MANY);
    let pair = Pair::new("site.test", 1);
    for number in 0..count {
        let folder = host.at(&format!("live/n{number:05}"));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("tls.crt"), pair.fullchain()).expect("a file");
        fs::write(folder.join("tls.key"), &pair.key).expect("a file");
    }
    host
}

type Step = fn(&Host);

fn timed(call: impl FnOnce()) -> Duration {
    let start = Instant::now();
    call();
    start.elapsed()
}

#[test]
fn many_sets_are_one_apply_and_one_hook() {
    let (few, lots) = (many(100), many(800));
    let steps: [(&str, Step); 4] = [
        ("first apply", |host| drop(host.apply().has_status(2))),
        ("second apply", |host| drop(host.apply().has_status(0))),
        ("plan", |host| drop(host.plan().has_status(0))),
        ("status", |host| assert!(host.command(&["status"]).output().expect("it runs").status.success())),
    ];
    for (name, step) in steps {
        let (small, large) = (timed(|| step(&few)), timed(|| step(&lots)));
        eprintln!("{name}: {small:?} for 100, {large:?} for 800");
    }
    assert_eq!(lots.hooks(), 1);
}

#[test]
fn more_files_and_folders_than_descriptors_are_installed() {
    for layout in ["generations", "flat"] {
        let (host, pair) = Host::one(&format!("layout: {layout}"));
        for number in 0..150 {
            host.write(&format!("live/extra-{number}.txt"), "text");
            host.write(&format!("live/folder-{number}/extra.txt"), "text");
        }
        let mut limited = std::process::Command::new("sh");
        host.environment(&mut limited);
        limited.args(["-c", "ulimit -n 100; exec \"$0\" apply -q --detailed-exitcode", env!("CARGO_BIN_EXE_certsync")]);
        let output = limited.output().expect("sh");
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        host.shows("ssl", &pair);
        assert_eq!(host.read("ssl/folder-149/extra.txt"), "text");
    }
}
