//! What is done under faults. Each scenario is prepared once (`start`), and before every run made due again (`arm`).

use super::bench::{Bench, CERT, Ends, KEY, Place, pair};
use super::pairs::Pair;

pub struct Scenario {
    pub name: &'static str,
    pub command: &'static [&'static str],
    /// From an empty host to one on which nothing is to do.
    pub start: fn(&mut Bench),
    /// From there to the moment before the run, as often as wanted.
    pub arm: fn(&mut Bench),
    pub ends: Ends,
    /// Whether the sources may be gone after the run.
    pub without_source: bool,
}

const SET: (&str, &str) = (CERT, KEY);

fn place(set: &'static str, dest: &'static str, before: Option<&'static Pair>, after: &'static Pair) -> Place {
    let names = if set == "side" { ("side-cert.pem", "side-key.pem") } else { SET };
    Place { set, dest, names, before, after: vec![after], at_rest: true, by_path: true }
}

/// A spec of the set `site` with these installs and a hook that writes down what it sees.
fn spec(bench: &mut Bench, check: &str, sees: &[&'static str], installs: &[&str]) {
    let parts: Vec<String> = sees
        .iter()
        .map(|path| if path.ends_with("/current") { format!("readlink [DIR]/{path}") } else { format!("cat [DIR]/{path}") })
        .collect();
    let installs: String = installs.iter().map(|install| format!("      - {{ {install}, hooks: [note] }}\n")).collect();
    bench.hook_sees = sees.to_vec();
    bench.host.spec(&format!(
        "version: 1\nhooks:\n  note: {{ check: {check}, run: \"{{ {}; }} > [DIR]/seen\" }}\ncerts:\n  site:\n    source: live\n    accept: [older]\n    install:\n{installs}",
        parts.join("; ")
    ));
}

const PASSES: &str = "[/bin/true]";

fn forget_seen(bench: &Bench) {
    let _ = std::fs::remove_file(bench.host.at("seen"));
}

fn nothing(_: &mut Bench) {}

pub const FIRST: Scenario =
    Scenario { name: "first install", command: &["apply"], start: nothing, arm: first, ends: Ends::Settled, without_source: false };

/// Into a folder that others use, and into one that is not there, nor is the one above it.
fn first(bench: &mut Bench) {
    bench.wipe();
    spec(bench, PASSES, &["ssl/fullchain.pem", "new/deep/dest/fullchain.pem"], &["dest: ssl", "dest: new/deep/dest"]);
    let now = bench.turn("site").1;
    bench.put("live", now);
    bench.strangers_in("ssl");
    bench.strangers_in("neighbour");
    bench.places = vec![place("site", "ssl", None, now), place("site", "new/deep/dest", None, now)];
}

pub const FIRST_FLAT: Scenario = Scenario {
    name: "first install, flat",
    command: &["apply"],
    start: nothing,
    arm: first_flat,
    ends: Ends::Settled,
    without_source: true,
};

fn first_flat(bench: &mut Bench) {
    first(bench);
    spec(bench, PASSES, &["ssl/fullchain.pem"], &["dest: ssl, layout: flat"]);
    bench.places.truncate(1);
    bench.places[0].by_path = false;
}

pub const RENEWAL: Scenario =
    Scenario { name: "renewal", command: &["apply"], start: renewal_start, arm: renewal, ends: Ends::Settled, without_source: false };

/// Two installs of one set, one dest shared by two sets, a hook for all three.
const TWO_SETS: &str = "\
version: 1
hooks:
  note: { check: [/bin/true], run: \"cat [DIR]/ssl/fullchain.pem [DIR]/other/fullchain.pem [DIR]/ssl/side-cert.pem > [DIR]/seen\" }
certs:
  site:
    source: live
    accept: [older]
    install:
      - { dest: ssl, hooks: [note] }
      - { dest: other, hooks: [note] }
  side:
    source: live-side
    accept: [older]
    install: { dest: ssl, hooks: [note], files: { side-cert.pem: [fullchain.pem], side-key.pem: [privkey.pem] } }
";

fn renewal_start(bench: &mut Bench) {
    bench.host.spec(TWO_SETS);
    bench.hook_sees = vec!["ssl/fullchain.pem", "other/fullchain.pem", "ssl/side-cert.pem"];
    bench.strangers_in("ssl");
    bench.strangers_in("neighbour");
    // Until as many former generations are kept as there may be.
    for _ in 0..4 {
        renewal(bench);
        bench.settle();
    }
}

fn renewal(bench: &mut Bench) {
    let (before, after) = bench.turn("site");
    let side = (pair("side", index(before)), pair("side", index(after)));
    bench.put("live", after);
    bench.put("live-side", side.1);
    bench.places = vec![
        place("site", "ssl", Some(before), after),
        place("site", "other", Some(before), after),
        place("side", "ssl", Some(side.0), side.1),
    ];
    forget_seen(bench);
}

/// Which of its pool a pair is.
fn index(wanted: &Pair) -> usize {
    (0..).find(|number| pair("site", *number).key == wanted.key).expect("a pair of the pool")
}

pub const RENEWAL_FLAT: Scenario = Scenario {
    name: "renewal, flat",
    command: &["apply"],
    start: renewal_flat_start,
    arm: renewal_flat,
    ends: Ends::Settled,
    without_source: true,
};

fn renewal_flat_start(bench: &mut Bench) {
    spec(bench, PASSES, &["ssl/fullchain.pem", "other/fullchain.pem"], &["dest: ssl, layout: flat", "dest: other, layout: flat"]);
    bench.strangers_in("ssl");
    for _ in 0..4 {
        renewal_flat(bench);
        bench.settle();
    }
}

fn renewal_flat(bench: &mut Bench) {
    let (before, after) = bench.turn("site");
    bench.put("live", after);
    bench.places = vec![place("site", "ssl", Some(before), after), place("site", "other", Some(before), after)];
    bench.places.iter_mut().for_each(|place| place.by_path = false);
    forget_seen(bench);
}

pub const ADOPTION: Scenario =
    Scenario { name: "adoption", command: &["apply"], start: nothing, arm: adoption, ends: Ends::Settled, without_source: false };

/// One dest holds the version before, the other one already what the source has.
fn adoption(bench: &mut Bench) {
    bench.wipe();
    spec(bench, PASSES, &["ssl/fullchain.pem", "other/fullchain.pem"], &["dest: ssl", "dest: other"]);
    let (before, after) = bench.turn("site");
    bench.put("live", after);
    bench.put("ssl", before);
    bench.put("other", after);
    bench.strangers_in("ssl");
    bench.strangers_in("neighbour");
    bench.places = vec![place("site", "ssl", Some(before), after), place("site", "other", Some(after), after)];
}

pub const ADOPTION_FLAT: Scenario =
    Scenario { name: "adoption, flat", command: &["apply"], start: nothing, arm: adoption_flat, ends: Ends::Settled, without_source: true };

fn adoption_flat(bench: &mut Bench) {
    adoption(bench);
    spec(bench, PASSES, &["ssl/fullchain.pem"], &["dest: ssl, layout: flat"]);
    bench.places.truncate(1);
    bench.places[0].by_path = false;
}

pub const TO_FLAT: Scenario = Scenario {
    name: "generations to flat",
    command: &["apply"],
    start: layout_start,
    arm: to_flat,
    ends: Ends::Settled,
    without_source: true,
};
pub const TO_GENERATIONS: Scenario = Scenario {
    name: "flat to generations",
    command: &["apply"],
    start: layout_start,
    arm: to_generations,
    ends: Ends::Settled,
    without_source: true,
};

fn layout(bench: &mut Bench, layout: &str) {
    spec(bench, PASSES, &["ssl/fullchain.pem"], &[&format!("dest: ssl, layout: {layout}")]);
}

fn layout_start(bench: &mut Bench) {
    layout(bench, "generations");
    bench.strangers_in("ssl");
    for _ in 0..3 {
        let now = bench.turn("site").1;
        bench.put("live", now);
        bench.settle();
    }
}

fn change_layout(bench: &mut Bench, from: &str, to: &str) {
    layout(bench, from);
    bench.settle();
    layout(bench, to);
    let now = bench.now("site");
    bench.places = vec![place("site", "ssl", Some(now), now)];
}

fn to_flat(bench: &mut Bench) {
    change_layout(bench, "generations", "flat");
}

fn to_generations(bench: &mut Bench) {
    change_layout(bench, "flat", "generations");
}

pub const DRIFT: Scenario =
    Scenario { name: "drift", command: &["apply"], start: drift_start, arm: drift, ends: Ends::Settled, without_source: false };

fn drift_start(bench: &mut Bench) {
    spec(bench, PASSES, &["ssl/fullchain.pem", "ssl/.certsync/site/current"], &["dest: ssl", "dest: other"]);
    bench.strangers_in("ssl");
    for _ in 0..4 {
        let now = bench.turn("site").1;
        bench.put("live", now);
        bench.settle();
    }
}

/// A certificate that was damaged, and a link that was lost; elsewhere a key that all may read.
fn drift(bench: &mut Bench) {
    let now = bench.now("site");
    bench.host.write("ssl/fullchain.pem", "damaged\n");
    bench.host.remove("ssl/privkey.pem");
    bench.host.mode("other/privkey.pem", 0o644);
    bench.places = vec![place("site", "ssl", Some(now), now), place("site", "other", Some(now), now)];
    bench.places[0].at_rest = false;
    forget_seen(bench);
}

pub const ROLLBACK: Scenario = Scenario {
    name: "rollback",
    command: &["rollback", "site"],
    start: rollback_start,
    arm: rollback,
    ends: Ends::Settled,
    without_source: false,
};

fn rollback_start(bench: &mut Bench) {
    spec(bench, PASSES, &["ssl/fullchain.pem", "other/fullchain.pem"], &["dest: ssl", "dest: other"]);
    bench.strangers_in("ssl");
    for _ in 0..3 {
        let now = bench.turn("site").1;
        bench.put("live", now);
        bench.settle();
    }
}

/// A rollback that came to nothing leaves the newest version; the plain apply that follows holds whichever it finds.
fn rollback(bench: &mut Bench) {
    release(bench);
    let (before, after) = bench.turn("site");
    bench.put("live", after);
    bench.settle();
    bench.places = ["ssl", "other"].map(|dest| Place { after: vec![before, after], ..place("site", dest, Some(after), before) }).into();
}

fn release(bench: &Bench) {
    if bench.host.state()["sets"]["site"]["hold"].is_null() {
        return;
    }
    let output = bench.call(&["rollback", "site", "--release", "-q"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub const PRUNE: Scenario =
    Scenario { name: "prune", command: &["apply"], start: nothing, arm: prune, ends: Ends::Settled, without_source: false };

/// A file leaves the source; in one dest its name is a link, in the other, flat, a file.
fn prune(bench: &mut Bench) {
    bench.wipe();
    spec(bench, PASSES, &["ssl/.certsync/site/current"], &["dest: ssl, prune: true", "dest: other, prune: true, layout: flat"]);
    let now = bench.turn("site").1;
    bench.put("live", now);
    bench.host.write("live/sub/old.txt", "old\n");
    bench.strangers_in("ssl");
    bench.settle();
    bench.host.remove("live/sub/old.txt");
    bench.places = vec![place("site", "ssl", Some(now), now), place("site", "other", Some(now), now)];
    bench.gone = vec!["ssl/sub/old.txt", "other/sub/old.txt"];
    forget_seen(bench);
}

pub const CHECK: Scenario =
    Scenario { name: "failing check", command: &["apply"], start: check_start, arm: check, ends: Ends::RolledBack, without_source: false };
pub const CHECK_FLAT: Scenario = Scenario {
    name: "failing check, flat",
    command: &["apply"],
    start: check_flat_start,
    arm: check_flat,
    ends: Ends::RolledBack,
    without_source: false,
};

/// The check refuses what was noted in `bad`.
fn check_spec(bench: &mut Bench, layout: &str) {
    let installs = [format!("dest: ssl, layout: {layout}"), format!("dest: other, layout: {layout}")];
    let installs: Vec<&str> = installs.iter().map(String::as_str).collect();
    let refuses = "\"! cmp -s [DIR]/bad [DIR]/ssl/fullchain.pem && ! cmp -s [DIR]/bad [DIR]/other/fullchain.pem\"";
    spec(bench, refuses, &["ssl/fullchain.pem", "other/fullchain.pem"], &installs);
    bench.strangers_in("ssl");
    for number in [0, 1] {
        bench.put("live", pair("site", number));
        bench.settle();
    }
    bench.turn("site");
    bench.turn("site");
}

fn check_start(bench: &mut Bench) {
    check_spec(bench, "generations");
}

fn check_flat_start(bench: &mut Bench) {
    check_spec(bench, "flat");
}

/// What is in place stays; each time something else comes that fails the check.
fn check(bench: &mut Bench) {
    let good = pair("site", 1);
    let bad = loop {
        let bad = bench.turn("site").1;
        if bad.key != good.key && bad.key != pair("site", 0).key {
            break bad;
        }
    };
    bench.put("live", bad);
    bench.host.write("bad", bad.fullchain());
    // At rest the new pair may be in place: the check has not been asked yet.
    bench.places = ["ssl", "other"].map(|dest| place("site", dest, Some(good), good)).into();
    for place in &mut bench.places {
        place.before = Some(bad);
    }
    forget_seen(bench);
}

fn check_flat(bench: &mut Bench) {
    check(bench);
    bench.places.iter_mut().for_each(|place| place.by_path = false);
}

/// So many that they are brought to disk together.
pub const MANY: Scenario = Scenario {
    name: "first install of many",
    command: &["apply"],
    start: many_start,
    arm: many_are_new,
    ends: Ends::Settled,
    without_source: false,
};
pub const MANY_RENEWALS: Scenario = Scenario {
    name: "renewal of many",
    command: &["apply"],
    start: many_are_there,
    arm: many_are_new,
    ends: Ends::Settled,
    without_source: false,
};

const LINEAGES: &str = "\
version: 1
hooks:
  note: { check: [/bin/true], run: \"cat [DIR]/all/set0/fullchain.pem [DIR]/flat/set0/fullchain.pem > [DIR]/seen\" }
certs:
  lineages:
    source: \"many/*\"
    accept: [older]
    install: [{ dest: \"all/{name}\", hooks: [note] }, { dest: \"flat/{name}\", layout: flat, hooks: [note] }]
";

fn many_start(bench: &mut Bench) {
    bench.host.spec(LINEAGES);
    bench.hook_sees = vec!["all/set0/fullchain.pem", "flat/set0/fullchain.pem"];
}

fn many_are_new(bench: &mut Bench) {
    let (before, now) = bench.turn("site");
    (0..10).for_each(|number| bench.put(&format!("many/set{number}"), now));
    let known = bench.host.has("state").then_some(before);
    bench.places = vec![place("set0", "all/set0", known, now), place("set9", "flat/set9", known, now)];
    forget_seen(bench);
}

fn many_are_there(bench: &mut Bench) {
    many_start(bench);
    for _ in 0..4 {
        many_are_new(bench);
        bench.settle();
    }
}

pub const REMOVE: Scenario =
    Scenario { name: "remove", command: &["remove", "site"], start: remove_start, arm: remove, ends: Ends::Settled, without_source: false };

const SIDE: &str = "\
version: 1
certs:
  side:
    source: live-side
    accept: [older]
    install: { dest: ssl, files: { side-cert.pem: [fullchain.pem], side-key.pem: [privkey.pem] } }
";

fn remove_start(bench: &mut Bench) {
    bench.strangers_in("ssl");
}

/// A set leaves the spec; in one dest it has a neighbour and is in the way of others, the other dest is its own, and flat.
fn remove(bench: &mut Bench) {
    let (before, now) = bench.turn("site");
    bench.put("live-side", pair("side", 0));
    for pair in [before, now] {
        bench.put("live", pair);
        let site = "  site:\n    source: live\n    accept: [older]\n    install: [{ dest: ssl }, { dest: own, layout: flat }]\n";
        bench.host.spec(&format!("{SIDE}{site}"));
        bench.settle();
    }
    bench.host.spec(SIDE);
    bench.places = vec![place("side", "ssl", Some(pair("side", 0)), pair("side", 0))];
    bench.gone_at_last = vec!["ssl/fullchain.pem", "ssl/privkey.pem", "ssl/.certsync/site", "own", "state/store/site"];
}
