//! A clock that stands wrong, for certsync alone, by libfaketime: stamps of files stay those of the kernel, as after a clock was set.

use super::host::{Host, ONE, Run};
use super::pairs::Pair;
use std::fs::{self, File, FileTimes};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// `faketime`, where it is there; says so otherwise.
fn faketime() -> bool {
    let there = Command::new("faketime").args(["-f", "+0", "true"]).status().is_ok_and(|status| status.success());
    if !there {
        eprintln!("skipped: needs faketime");
    }
    there
}

/// A call at this time (`2024-01-03 12:00:00`, or `+3650d`).
#[track_caller]
fn at(time: &str, host: &Host, args: &[&str]) -> Run {
    let mut command = Command::new("faketime");
    host.environment(&mut command);
    command.env("NO_FAKE_STAT", "1").env("DONT_FAKE_MONOTONIC", "1").env("TZ", "UTC");
    command.args(["-f", &if time.starts_with(['+', '-']) { time.to_owned() } else { format!("@{time}") }]);
    command.args([env!("CARGO_BIN_EXE_certsync"), args[0], "--format", "json", "--detailed-exitcode"]).args(&args[1..]);
    Run::of(command.output().expect("faketime"))
}

const APPLY: &[&str] = &["apply"];

#[test]
fn a_renewal_of_tomorrow_is_refused_by_a_clock_set_back_and_installed_when_it_is_right() {
    if !faketime() {
        return;
    }
    let (host, first) = Host::one("");
    at("2024-01-04 00:00:00", &host, APPLY).has_status(2).is("installed", "new");
    host.forget_hooks();
    let second = host.renew(20);
    for verb in ["plan", "apply"] {
        let run = at("2024-01-04 00:00:00", &host, &[verb]);
        assert_eq!(run.status, if verb == "plan" { 1 } else { 4 });
        run.is("refused", "-");
        run.complains("is not valid before 2024-01-21").complains("hint: ");
    }
    host.shows("ssl", &first);
    assert_eq!(host.hooks(), 0);
    // What is installed is kept in order all the same.
    host.mode("ssl/privkey.pem", 0o640);
    at("2024-01-04 00:00:00", &host, APPLY).has_status(6);
    assert_eq!(host.mode_of("ssl/privkey.pem"), "0600");
    host.shows("ssl", &first);
    host.forget_hooks();
    host.planned_and_applied("installed", "renewed");
    host.shows("ssl", &second);
    assert_eq!(host.hooks(), 1);
}

#[test]
fn what_is_installed_stays_when_the_clock_is_set_far_ahead() {
    if !faketime() {
        return;
    }
    let (host, first) = Host::installed("");
    let ahead = "+36500d";
    let run = at(ahead, &host, APPLY).has_status(0);
    assert!(run.json["sets"][0]["warnings"][0].as_str().is_some_and(|text| text.contains("ran out")), "{:#}", run.json);
    host.shows("ssl", &first);
    host.write("ssl/cert.pem", "drift");
    at(ahead, &host, APPLY).has_status(2).is("repaired", "drift");
    host.shows("ssl", &first);
    let second = host.renew(2);
    let run = at(ahead, &host, APPLY).has_status(4);
    run.is("refused", "-");
    run.complains("expired at 2099-01-01").complains("hint: ");
    host.shows("ssl", &first);
    host.forget_hooks();
    host.apply().has_status(2).is("installed", "renewed");
    host.quiet();
    host.shows("ssl", &second);
    assert_eq!(host.hooks(), 1);
}

#[test]
fn revisions_go_on_upwards_after_a_run_in_the_future() {
    if !faketime() {
        return;
    }
    let (host, _) = Host::one("");
    let revision = |host: &Host| host.state()["sets"]["site"]["revision"].as_u64().expect("a revision");
    at("+3650d", &host, APPLY).has_status(2);
    let ahead = revision(&host);
    host.quiet();
    host.renew(2);
    host.apply().has_status(2);
    assert_eq!(revision(&host), ahead + 1, "never below what was seen");
    host.renew(3);
    at("-365d", &host, APPLY).has_status(2);
    assert_eq!(revision(&host), ahead + 2);
    host.quiet();
}

/// Every stamp of a file lies in the future of that clock: nothing is believed, everything is read, each time.
#[test]
fn a_clock_set_back_makes_the_cache_useless_and_nothing_worse() {
    if !faketime() {
        return;
    }
    for before in ["+0", "-365d"] {
        let (host, _) = Host::one("");
        at(before, &host, APPLY).has_status(2);
        for _ in 0..3 {
            let run = at("-365d", &host, APPLY).has_status(0);
            run.says_nothing();
        }
        for path in ["live/chain.pem", "ssl/chain.pem"] {
            let text = host.read(path);
            let time = fs::metadata(host.at(path)).and_then(|metadata| metadata.modified()).expect("a time");
            host.write(path, text.replacen("-----END", "----- ND", 1));
            let file = File::options().write(true).open(host.at(path)).expect("it opens");
            file.set_times(FileTimes::new().set_modified(time)).expect("its time");
            assert_ne!(at("-365d", &host, &["plan"]).status, 0, "{path}");
            assert_ne!(host.plan().status, 0, "{path}");
            host.write(path, text);
            assert!(matches!(at("-365d", &host, APPLY).status, 0 | 2));
        }
        host.quiet();
    }
}

#[test]
fn times_in_the_future_in_the_state_directory_hinder_nothing() {
    let (host, _) = Host::installed("");
    let future = SystemTime::now() + Duration::from_secs(10 * 365 * 86_400);
    fs::create_dir(host.at("state/.new-9-9")).expect("a leftover");
    for name in ["last-run", "last-success", "cache", "state.json", "run.lock", "next.lock", "live", "."] {
        let path = if name == "live" { host.at("live/cert.pem") } else { host.at("state").join(name) };
        let file = File::open(&path).expect("it opens");
        file.set_times(FileTimes::new().set_modified(future)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for format in ["text", "json", "prometheus"] {
        let output = host.command(&["status", "--format", format]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    host.quiet();
    let run = fs::metadata(host.at("state/last-run")).and_then(|metadata| metadata.modified()).expect("a time");
    assert!(run < SystemTime::now() + Duration::from_secs(60), "the last run is now");
    let pair = host.renew(2);
    host.planned_and_applied("installed", "renewed");
    host.shows("ssl", &pair);
}

/// A request that came in under a clock that was ahead is served.
#[test]
fn a_request_of_the_future_is_served() {
    if !faketime() {
        return;
    }
    let host = Host::new();
    host.spec(&ONE.replace(" % ", " "));
    let pair = Pair::new("site.test", 1);
    host.source("live", &pair);
    let mut command = Command::new("faketime");
    host.environment(&mut command);
    command.env("NO_FAKE_STAT", "1").env("DONT_FAKE_MONOTONIC", "1").env("RENEWED_LINEAGE", host.at("live"));
    let output = command.args(["-f", "+3650d", env!("CARGO_BIN_EXE_certsync"), "deploy-hook", "-q"]).output().expect("faketime");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    host.shows("ssl", &pair);
    assert_eq!(host.hooks(), 1);
    host.quiet();
}
