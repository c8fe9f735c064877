//! `certsync plan --remote`: what every server below would do, and nothing done.

use crate::broken::{fake, framed};
use crate::first::renew;
use crate::gate_user::{has_sudo, rules, sudo_has};
use crate::needs_a_fleet;
use crate::support::{Fleet, Node, server};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Three ways of delivery and a second tier.
fn fleet() -> Fleet {
    let servers = [
        server("mgmt", "user: root"),
        server("web1", "upstream: mgmt, delivery: push, user: root"),
        server("hub", "upstream: mgmt, delivery: trigger, user: root"),
        server("edge1", "upstream: hub, delivery: push, user: root"),
        server("alone", "upstream: mgmt, user: root"),
    ];
    let certs = "hooks:\n  reload: { run: \"true\" }\ncerts:\n  example.com: { source: /srv/source, targets: [web1, edge1, alone], \
                 install: { dest: /srv/live, hooks: [reload] } }\n";
    Fleet::new(&servers, certs)
}

fn planned(node: &Node, args: &[&str]) -> (Option<i32>, Value) {
    let answer = node.certsync(&[&["plan", "--remote", "--format", "json"], args].concat());
    (answer.status, serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}")))
}

/// Each server's name and result.
fn results(plan: &Value) -> Vec<String> {
    let servers = plan["servers"].as_array().expect("servers");
    servers.iter().map(|one| format!("{} {}", one["name"].as_str().unwrap_or("-"), one["result"].as_str().unwrap_or("-"))).collect()
}

/// All that lies below a folder, with what tells a change. sshd's own log and the lock files' times are nobody's state.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).expect("a folder").flatten() {
            let stat = fs::symlink_metadata(entry.path()).expect("its metadata");
            found.insert(entry.path(), (stat.ino(), stat.ctime(), stat.ctime_nsec()));
            if stat.is_dir() {
                open.push(entry.path());
            }
        }
    }
    found
}

fn states(fleet: &Fleet) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    fleet.nodes().iter().flat_map(|node| everything(&node.path(""))).collect()
}

#[test]
fn every_server_s_plan_holds_what_it_would_get_and_nothing_is_changed() {
    needs_a_fleet!();
    let fleet = fleet();
    let mgmt = fleet.node("mgmt");
    for name in ["web1", "hub", "edge1", "alone"] {
        fleet.node(name).certsync(&["apply"]);
    }
    // Nothing was applied at the origin yet: what its source has is in nobody's store.
    let certificate = renew(mgmt);
    let before = states(&fleet);
    let (status, plan) = planned(mgmt, &["--detailed-exitcode"]);
    assert_eq!(results(&plan), ["web1 done", "hub done", "edge1 done", "alone done"], "{plan:#}");
    assert_eq!((status, &plan["changed"], &plan["failed"]), (Some(2), &json!(true), &json!(false)));
    for server in plan["servers"].as_array().expect("servers").iter().filter(|one| one["name"] != "hub") {
        let own = &server["plan"];
        assert_eq!(own["server"], server["name"]);
        assert_eq!(own["sets"][0]["result"], "installed", "{server:#}");
        let diff = own["sets"][0]["installs"][0]["diff"].to_string();
        assert!(diff.contains("CN=") || diff.contains("subject"), "{diff}");
        assert!(own["hooks"][0]["name"] == "reload" && own["hooks"][0]["result"] == "due", "{server:#}");
    }
    let text = mgmt.certsync(&["plan", "--remote"]).ok();
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("==> ")).collect();
    assert_eq!(heads, ["==> mgmt <==", "==> web1 <==", "==> hub <==", "==> edge1 <==", "==> alone <=="], "{text}");
    assert_eq!(text.matches("+++ /srv/live/cert.pem").count(), 3, "{text}");
    assert!(text.ends_with("servers: 4 to change\n"), "{text}");
    let after = states(&fleet);
    let changed: Vec<_> = after.iter().filter(|(path, stat)| before.get(*path) != Some(stat)).map(|(path, _)| path).collect();
    assert!(changed.is_empty() && before.len() == after.len(), "{changed:?}");

    let (status, plan) = planned(mgmt, &["--limit", "edge1", "--detailed-exitcode"]);
    assert_eq!((status, results(&plan)), (Some(2), vec!["edge1 done".to_owned()]), "{plan:#}");
    let unknown = mgmt.certsync(&["plan", "--remote", "--limit", "nobody"]);
    assert!(unknown.status == Some(1) && unknown.stderr.contains("nobody: is not below this host"), "{unknown:?}");

    mgmt.certsync(&["apply"]).ok();
    fleet.node("alone").certsync(&["apply"]).ok();
    crate::support::process::eventually("edge1 has it", || crate::first::installed(fleet.node("edge1")) == certificate);
    let (status, plan) = planned(mgmt, &["--detailed-exitcode"]);
    assert_eq!((status, results(&plan)), (Some(0), ["web1", "hub", "edge1", "alone"].map(|name| format!("{name} unchanged")).to_vec()));
    // Drift there is part of it.
    fs::remove_file(fleet.node("edge1").path("live/cert.pem")).expect("it is there");
    let (status, plan) = planned(mgmt, &["--detailed-exitcode"]);
    assert_eq!((status, results(&plan).contains(&"edge1 done".to_owned())), (Some(2), true), "{plan:#}");
}

#[test]
fn who_does_not_answer_or_may_not_plan_is_named() {
    needs_a_fleet!();
    let mut servers = vec![server("mgmt", "user: root"), server("hub", "upstream: mgmt, delivery: trigger, user: root")];
    servers.push(server("edge1", "upstream: hub, delivery: push, user: root"));
    servers.push(server("plain", "upstream: mgmt, delivery: push, user: certsync"));
    let fleet = Fleet::new(&servers, &crate::first::certs("[edge1, plain]"));
    let (mgmt, hub) = (fleet.node("mgmt"), fleet.node("hub"));
    fleet.node("plain").certsync(&["apply"]);
    renew(mgmt);
    let (plain, with_sudo) = (fleet.node("plain"), has_sudo());
    let [to_apply, to_plan] = rules(plain);
    if with_sudo {
        sudo_has(plain, std::slice::from_ref(&to_apply));
    }
    fake(hub, "exit 1");
    let answer = mgmt.certsync(&["plan", "--remote"]);
    assert_eq!(answer.status, Some(1), "{answer:?}");
    assert!(answer.stdout.contains("error: was not asked: hub, above it, did not answer\n"), "{answer:?}");
    assert!(answer.stdout.ends_with("servers: 2 unreachable, 1 failed\n"), "{answer:?}");
    assert!(answer.stderr.contains("certsync plan: may not be run by the gate") || !with_sudo, "{answer:?}");
    assert!(answer.stderr.contains("a second rule for sudo lets it"), "{answer:?}");
    if with_sudo {
        sudo_has(plain, &[to_apply, to_plan]);
        let (status, plan) = planned(mgmt, &["--limit", "plain"]);
        assert_eq!((status, results(&plan)), (Some(0), vec!["plain done".to_owned()]), "{plan:#}");
    }
}

#[test]
fn what_a_hostile_server_tells_is_bounded_its_own_and_fit_for_a_terminal() {
    needs_a_fleet!();
    let push = "upstream: mgmt, delivery: push, user: root";
    let fleet = Fleet::new(&[server("mgmt", "user: root"), server("bad", push), server("good", push)], &crate::first::certs("[bad, good]"));
    let (mgmt, bad) = (fleet.node("mgmt"), fleet.node("bad"));
    fleet.node("good").certsync(&["apply"]);
    renew(mgmt);
    let hello = json!({"hello": {"versions": [1, 1], "certsync": "0.1.0", "name": "bad", "spec": "0".repeat(64)}}).to_string();
    let wanted = json!({"wanted": {"sets": [], "unwanted": []}}).to_string();
    let escapes = "\u{1b}[2J\u{9b}31m\r\u{202e}x";
    let install = json!({"dest": "/srv/live", "result": "installed", "changed": true, "notes": [escapes], "error": null,
        "diff": [{"path": escapes, "before": null, "after": format!("one\n{escapes}\n")}]});
    let set = json!({"name": "example.com", "digest": null, "result": "installed", "reason": "new", "error": null, "warnings": [escapes],
        "installs": [install]});
    let lie = |name: &str| json!({"name": name, "result": "unchanged", "sets": [], "hooks": [], "error": null, "seconds": 1.0});
    let hook = json!({"name": "reload", "set": null, "phase": "run", "result": "due", "status": null, "output": escapes});
    let report = |servers: Value| {
        let told = json!({"certsync": escapes, "server": "mgmt", "changed": false, "failed": false, "sets": [set], "hooks": [hook],
            "servers": servers, "errors": [], "warnings": [escapes]});
        told.to_string()
    };
    let tell = |plan: &str| {
        let announced = framed(0, json!({"planned": {"size": plan.len()}}).to_string().as_bytes());
        let pieces: Vec<u8> = plan.as_bytes().chunks(60_000).flat_map(|piece| framed(1, piece)).collect();
        let all = [framed(0, hello.as_bytes()), framed(0, wanted.as_bytes()), announced, pieces].concat();
        fs::write(bad.path("said"), all).expect("written");
        fake(bad, "cat /srv/said; exec sleep 100");
        mgmt.certsync(&["plan", "--remote", "--color", "never"])
    };
    let told = tell(&report(json!([])));
    assert!(told.status == Some(0) && told.stdout.contains("servers: 2 to change"), "what it says of itself is not believed: {told:?}");
    let printed = format!("{}{}", told.stdout, told.stderr);
    assert!(!printed.contains(|c: char| c.is_control() && c != '\n') && !printed.contains('\u{202e}'), "{told:?}");
    assert!(printed.contains("\\u{1b}[2J"), "{told:?}");
    // It speaks for another: that server's own answer is the one that counts.
    let told = tell(&report(json!([lie("good")])));
    assert!(told.status == Some(1) && told.stderr.contains("tells the plan of good, for which it was not asked"), "{told:?}");
    assert!(told.stdout.contains("==> good <==") && told.stdout.contains("servers: 1 to change, 1 failed"), "{told:?}");
    for (plan, words) in [("{}", "what it sent is no plan"), ("[[[[", "what it sent is no plan")] {
        let told = tell(plan);
        assert!(told.status == Some(1) && told.stderr.contains(words), "{told:?}");
    }
    let announced = framed(0, json!({"planned": {"size": 1u64 << 40}}).to_string().as_bytes());
    fs::write(bad.path("said"), [framed(0, hello.as_bytes()), framed(0, wanted.as_bytes()), announced].concat()).expect("written");
    let told = mgmt.certsync(&["plan", "--remote"]);
    assert!(told.status == Some(1) && told.stderr.contains("no more than 8388608 are taken"), "{told:?}");
}
