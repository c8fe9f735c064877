//! Nothing to do: nothing is said, nothing changes, and a plan never writes. What it costs is in `cost`.

use super::host::{Host, Run, is_root, there};
use std::fs::{self, File, FileTimes};

#[test]
fn a_plan_changes_nothing_on_disk() {
    let (host, _) = Host::one("");
    let untouched = |host: &Host, status: i32| {
        let before = host.snapshot();
        host.plan().has_status(status);
        assert_eq!(host.snapshot(), before);
    };
    untouched(&host, 2);
    host.apply().has_status(2);
    untouched(&host, 0);
    host.renew(2);
    untouched(&host, 2);
    host.write("ssl/cert.pem", "drift");
    untouched(&host, 2);
    host.spec_one("layout: flat, dir_mode: drwx------");
    untouched(&host, 2);
    host.remove("live");
    untouched(&host, 1);
}

#[test]
fn the_report_has_the_shape_of_the_contract() {
    let (host, _) = Host::one("");
    for run in [host.plan(), host.apply(), host.apply()] {
        let keys = |value: &serde_json::Value| {
            let mut keys: Vec<String> = value.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default();
            keys.sort();
            keys
        };
        for key in ["certsync", "server", "changed", "failed", "sets", "hooks", "servers", "errors"] {
            assert!(keys(&run.json).contains(&key.to_owned()), "{key} in {:#}", run.json);
        }
        for key in ["name", "digest", "result", "reason", "installs", "error"] {
            assert!(keys(&run.json["sets"][0]).contains(&key.to_owned()), "{key}");
        }
        for key in ["dest", "result", "changed", "diff"] {
            assert!(keys(&run.json["sets"][0]["installs"][0]).contains(&key.to_owned()), "{key}");
        }
        if run.status == 2 {
            assert_eq!(keys(&run.json["sets"][0]["installs"][0]["diff"][0]), ["after", "before", "path"]);
            for key in ["name", "set", "phase", "result", "status", "output"] {
                assert!(keys(&run.json["hooks"][0]).contains(&key.to_owned()), "{key}");
            }
        }
    }
}

#[test]
fn without_details_only_failures_are_told_by_the_exit_status() {
    let (host, _) = Host::one("");
    let status = |args: &[&str]| host.command(args).output().expect("it runs").status.code();
    assert_eq!((status(&["plan", "-q"]), status(&["apply", "-q"]), status(&["apply", "-q"])), (Some(0), Some(0), Some(0)));
    host.remove("live");
    assert_eq!((status(&["plan"]), status(&["apply"])), (Some(1), Some(1)));
}

#[test]
fn a_change_of_the_same_size_with_its_time_restored_is_seen() {
    for path in ["live/fullchain.pem", "ssl/fullchain.pem"] {
        let (host, _) = Host::installed("");
        let text = host.read(path);
        let time = fs::metadata(host.at(path)).expect("metadata").modified().expect("a time");
        fs::write(host.at(path), text.replacen("-----END", "----- ND", 1)).expect("a write");
        File::options()
            .write(true)
            .open(host.at(path))
            .expect("it opens")
            .set_times(FileTimes::new().set_modified(time))
            .expect("its time");
        assert_ne!(host.plan().status, 0, "{path}");
    }
}

#[test]
fn the_cache_is_disposable() {
    let (host, _) = Host::installed("");
    host.remove("state/cache");
    host.quiet();
    assert!(host.has("state/cache"), "it is written again");
    let whole = fs::read(host.at("state/cache")).expect("the cache");
    for damaged in [Vec::new(), b"rubbish".to_vec(), whole[..whole.len() / 2].to_vec()] {
        host.write("state/cache", damaged);
        host.quiet();
        assert_eq!(fs::read(host.at("state/cache")).expect("the cache"), whole);
    }
    host.remove("state/cache");
    fs::create_dir(host.at("state/cache")).expect("a directory");
    let run = host.apply().has_status(0);
    assert!(run.json["warnings"][0].as_str().is_some_and(|warning| warning.contains("cache")), "{:#}", run.json);
}

#[test]
fn verify_content_reads_everything_and_changes_nothing_else() {
    let (host, _) = Host::installed("");
    host.json(&["plan", "--verify-content"]).has_status(0).says_nothing();
    host.json(&["apply", "--verify-content"]).has_status(0).says_nothing();
    if there("strace") && is_root() {
        let read = host.traced("read,pread64", &["apply", "-q", "--verify-content"]);
        for file in ["live/privkey.pem", "/privkey.pem"] {
            assert!(read.iter().any(|line| line.contains(file)), "{file} in {read:#?}");
        }
    }
    host.quiet();
}

#[test]
fn two_applies_at_once_both_end_well() {
    let (host, _) = Host::installed("");
    let pair = host.renew(2);
    let children: Vec<_> = (0..4)
        .map(|_| {
            let mut command = host.command(&["apply", "--format", "json"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("it runs")
        })
        .collect();
    let changed = children.into_iter().map(|child| Run::of(child.wait_with_output().expect("it ends")).has_status(0));
    assert_eq!(changed.filter(|run| run.json["changed"] == true).count(), 1);
    host.shows("ssl", &pair);
    assert_eq!(host.hooks(), 1);
}
