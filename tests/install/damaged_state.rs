//! A state directory that is damaged: what cannot be believed is refused with the way out, what can costs one hook too many at most.

use super::lost_state::Site;
use std::fs;

/// How far apart the bytes are that are changed; `scripts/prove lost-state` changes each.
fn step() -> usize {
    std::env::var("CERTSYNC_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(151)
}

/// The state is replaced, one apply is made, and then what is installed must be right and no hook have run twice. A state that
/// is refused changes nothing, and `--new-state` leads out of it with every hook run once. Whether it was refused.
#[track_caller]
fn survives(site: &Site, state: &[u8], what: &str) -> bool {
    let host = &site.host;
    host.write("state/state.json", state);
    let before = site.installed();
    let mut run = host.apply();
    let refused = run.status == 1;
    if refused {
        assert!(run.stderr.contains("state.json: ") && run.stderr.contains("--new-state"), "{what}: {}", run.stderr);
        assert_eq!(host.read_bytes("state/state.json"), state, "{what}");
        assert!(before == site.installed() && site.hooks().is_empty(), "{what}: something was touched");
        run = host.json(&["apply", "--new-state"]);
        assert_eq!(site.hooks(), "web\nmail\n", "{what}");
        assert!(before == site.installed(), "{what}: something was touched");
    }
    assert!([0, 2].contains(&run.status), "{what}: {:#}\n{}", run.json, run.stderr);
    site.is_right();
    let hooks = site.hooks();
    assert!(hooks.matches("web").count() <= 1 && hooks.matches("mail").count() <= 1, "{what}: {hooks}");
    let after = site.installed();
    host.apply().has_status(0).says_nothing();
    assert!(after == site.installed() && site.hooks() == hooks, "{what}: a second apply did something");
    host.forget_hooks();
    refused
}

/// Puts everything back as it was, evidence removed; generations that a strange state made are left.
fn again(site: &Site, good: &[u8]) {
    site.host.write("state/state.json", good);
    for entry in fs::read_dir(site.host.at("state")).expect("a listing") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("state.json.")) {
            fs::remove_file(path).expect("it is removed");
        }
    }
}

#[test]
fn a_state_with_one_bit_changed_anywhere_is_refused_or_costs_one_hook_at_most() {
    let mut site = Site::new();
    site.renew(2);
    let (mut refused, mut believed) = (0, 0);
    let mut at = 0;
    loop {
        // What a strange state made is part of the next one, so that every change meets a state that fits.
        let good = site.host.read_bytes("state/state.json");
        if at >= good.len() {
            break;
        }
        let mut bad = good.clone();
        bad[at] ^= 1 << (at * 5 % 7);
        let around = String::from_utf8_lossy(&bad[at.saturating_sub(20)..(at + 20).min(bad.len())]).into_owned();
        if survives(&site, &bad, &format!("byte {at}: …{around}…")) {
            refused += 1;
            again(&site, &site.host.read_bytes("state/state.json"));
        } else {
            believed += 1;
        }
        at += step();
    }
    println!("{} changes of one bit: {refused} refused, {believed} believed", refused + believed);
    assert!(refused > 5 && believed > 5, "{refused} refused, {believed} believed");
}

#[test]
fn a_hook_that_is_owed_stays_so_whatever_bit_of_the_state_changes() {
    let mut site = Site::new();
    site.renew(2);
    site.come(3);
    site.host.write("fails", "");
    site.host.apply().has_status(6);
    site.host.remove("fails");
    site.host.forget_hooks();
    site.keep("owing");
    let good = site.host.read_bytes("state/state.json");
    for at in (0..good.len()).step_by(step() * 2) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at * 3 % 7);
        site.restore("owing", &["state.json", "store", "cache"]);
        site.host.write("state/state.json", &bad);
        let run = site.host.apply();
        if run.status == 1 {
            site.host.json(&["apply", "--new-state"]).has_status(2);
        }
        assert_eq!(site.hooks().matches("web").count(), 1, "byte {at}: {}", site.hooks());
        site.is_right();
        site.host.forget_hooks();
        again(&site, &good);
    }
}

#[test]
fn a_state_cut_short_filled_up_or_overwritten_is_refused() {
    let site = Site::new();
    let good = site.host.read_bytes("state/state.json");
    let mut bad: Vec<(String, Vec<u8>)> = (0..good.len() - 2)
        .step_by(step() * 5)
        .map(|length| (format!("{length} bytes of {}", good.len()), good[..length].to_vec()))
        .collect();
    bad.push(("zeros".into(), vec![0; good.len()]));
    bad.push(("zeros at the end".into(), [&good[..good.len() / 2], &vec![0; good.len() / 2]].concat()));
    bad.push(("twice".into(), good.repeat(2)));
    bad.push(("not UTF-8".into(), vec![0xff; 100]));
    bad.push(("a list".into(), b"[]".to_vec()));
    bad.push(("an older version than any".into(), replaced(&good, "\"version\":1", "\"version\":0")));
    bad.push(("a newer version".into(), replaced(&good, "\"version\":1", "\"version\":2")));
    bad.push(("another field".into(), replaced(&good, "{\"version\":1", "{\"more\":1,\"version\":1")));
    for (what, bad) in bad {
        assert!(survives(&site, &bad, &what), "{what} was believed");
        again(&site, &site.host.read_bytes("state/state.json"));
    }
}

/// Two places in the wrong order, or one twice, would be looked for in vain.
#[test]
fn a_state_whose_places_are_out_of_order_is_refused() {
    let site = Site::new();
    let state = site.host.state();
    let installs = state["installs"].as_array().expect("a list");
    for order in [vec![1, 0, 2], vec![2, 1, 0], vec![0, 0, 1, 2]] {
        let mut bad = state.clone();
        bad["installs"] = order.iter().map(|at| installs[*at].clone()).collect();
        assert!(survives(&site, bad.to_string().as_bytes(), &format!("{order:?}")), "{order:?} was believed");
        again(&site, &site.host.read_bytes("state/state.json"));
    }
}

fn replaced(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn evidence_is_never_overwritten() {
    let site = Site::new();
    for number in 0..4 {
        site.host.write("state/state.json", format!("damage {number}"));
        site.host.json(&["apply", "--new-state"]).has_status(2);
    }
    let names = fs::read_dir(site.host.at("state")).expect("a listing").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut kept: Vec<String> =
        names.filter(|name| name.starts_with("state.json.")).map(|name| site.host.read(&format!("state/{name}"))).collect();
    kept.sort();
    assert_eq!(kept, ["damage 0", "damage 1", "damage 2", "damage 3"]);
}

#[test]
fn a_damaged_cache_changes_nothing() {
    let site = Site::new();
    site.host.apply().has_status(0);
    let good = site.host.read_bytes("state/cache");
    let mut bad: Vec<Vec<u8>> = (0..good.len()).step_by(step()).map(|length| good[..length].to_vec()).collect();
    bad.extend((0..good.len()).step_by(step()).map(|at| {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        bad
    }));
    bad.push(vec![0; good.len()]);
    for bad in bad {
        site.host.write("state/cache", &bad);
        let before = site.installed();
        site.host.apply().has_status(0).says_nothing();
        assert!(before == site.installed() && site.hooks().is_empty(), "{bad:?}");
    }
}

#[test]
fn something_else_in_the_place_of_the_cache_is_a_warning_at_most() {
    for what in ["a directory", "a link", "a FIFO"] {
        let site = Site::new();
        site.host.remove("state/cache");
        site.host.write("elsewhere", "not ours");
        let cache = site.host.at("state/cache");
        match what {
            "a directory" => fs::create_dir(&cache).expect("a directory"),
            "a link" => std::os::unix::fs::symlink(site.host.at("elsewhere"), &cache).expect("a link"),
            _ => nix::unistd::mkfifo(&cache, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO"),
        }
        let before = site.installed();
        site.host.apply().has_status(0).says_nothing();
        assert!(before == site.installed() && site.hooks().is_empty(), "{what}");
        assert_eq!(site.host.read("elsewhere"), "not ours");
    }
}

#[test]
fn a_state_directory_that_vanishes_during_a_run_fails_it_and_costs_one_hook() {
    let mut site = Site::new();
    site.come(2);
    let spec = site.host.read("certsync.yaml");
    site.host.spec(&spec.replace("echo web >>", "rm -rf [DIR]/state; echo web >>"));
    let run = site.host.apply();
    assert_eq!(run.status, 6, "{:#}", run.json);
    run.complains("state");
    site.is_right();
    site.host.spec(&spec);
    site.host.forget_hooks();
    site.costs("web\nmail\n");
}
