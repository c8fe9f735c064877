//! What each kind of peer gets of a gate, asked over ssh with a key as a thief would have it.

use crate::first::{installed, renew};
use crate::keys::spoken_of;
use crate::needs_a_fleet;
use crate::support::{Fleet, Node, server};
use certsync::base::{ContentHash, Digest, SetName};
use certsync::fleet::carrier::{Identity, connect};
use certsync::fleet::wire::{Hello, Message, Offered, Refusal, Version, Waits, Wire};
use certsync::host::ssh::Connection;
use certsync::host::walk;
use certsync::material::Material;
use certsync::spec::Limits;
use certsync::state::{Level, Offers, SetStanding, Spread, Standing, Store};
use std::fs;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);
fn nothing() -> ContentHash {
    ContentHash::from_bytes([0; 32])
}
const LIMITS: Limits = Limits { file: 1 << 20, set: 1 << 20, files: 100 };

/// Logs in with the key of `from`, and says hello with another spec than theirs.
fn log_in(fleet: &Fleet, from: &str, to: &str) -> Wire<Connection> {
    let from = fleet.node(from);
    let at = from.path("state").to_str().and_then(|path| path.parse().ok()).expect("a path");
    let dir = walk::open_private(&at).expect("its state directory");
    let identity = Identity::of(&dir, &at).expect("its keys");
    let mut wire = connect(&spoken_of(fleet.node(to), fleet), &identity, (LONG, LONG)).expect("ssh starts");
    wire.greet(&Hello::of(&from.name.parse().expect("a name"), nothing())).expect("a hello");
    wire
}

fn ask(wire: &mut Wire<Connection>, message: &Message) -> Message {
    wire.send(message).expect("it is sent");
    wire.must().expect("an answer")
}

/// What is in the store of a node: its present version and that version's material.
fn stored(node: &Node, set: &str) -> (Version, Material) {
    let at = node.path("state").to_str().and_then(|path| path.parse().ok()).expect("a path");
    let (dir, _) = walk::find_shared(&at).expect("to be opened").expect("a state directory");
    let set: SetName = set.parse().expect("a name");
    let offer = Offers::load(&dir, &at).expect("what it passes on").of_set(&set).cloned().expect("an offer");
    let material = Store::new(&dir, &at).load(&set, &offer.digest).expect("material");
    (Version { set, digest: offer.digest, revision: offer.revision }, material)
}

/// Every request that there is, with what an answer to it is called.
fn requests() -> [(Message, &'static str); 7] {
    [
        (Message::Fetch { have: nothing() }, "offer"),
        (Message::Report { servers: Vec::new() }, "noted"),
        (Message::Push { sets: Vec::new() }, "wanted"),
        (Message::Apply { wait: Waits::Own }, "report"),
        (Message::Trigger { wait: None }, "triggered"),
        (Message::Trigger { wait: Some(Waits::Own) }, "report"),
        (Message::Plan { sets: Vec::new(), below: Vec::new() }, "wanted"),
    ]
}

#[test]
fn every_kind_of_peer_gets_what_is_its_own_and_is_told_why_not_the_rest() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("pushed", "upstream: mgmt, delivery: push, user: root"),
        server("signalled", "upstream: mgmt, delivery: trigger, user: root"),
        server("alone", "upstream: mgmt, user: root"),
    ];
    let certs = "certs:\n  example.com: { source: /srv/source, targets: [pushed, signalled, alone], install: /srv/live }\n";
    let fleet = Fleet::new(&servers, certs);
    renew(fleet.node("mgmt"));
    fleet.node("mgmt").certsync(&["apply", "--local"]).ok();
    for (from, to, allowed) in [
        ("pushed", "mgmt", "fetch report"),
        ("alone", "mgmt", "fetch report"),
        ("mgmt", "pushed", "push apply trigger plan"),
        ("mgmt", "signalled", "trigger plan"),
        ("mgmt", "alone", "trigger plan"),
    ] {
        // In one conversation: what is refused does not end it.
        let mut wire = log_in(&fleet, from, to);
        for (request, good) in requests() {
            let mut answer = ask(&mut wire, &request);
            let case = format!("{from} asks {to} for {}: {answer:?}", request.name());
            if !allowed.contains(request.name()) {
                let Message::Refused(Refusal { cause, spec, .. }) = &answer else { panic!("{case}") };
                assert!(cause.starts_with("may not ") && *spec != nothing(), "{case}");
                continue;
            }
            assert_eq!(answer.name(), good, "{case}");
            match &answer {
                Message::Offer { .. } => answer = ask(&mut wire, &Message::Want { sets: Vec::new() }),
                Message::Wanted { .. } => answer = wire.must().expect("that nothing is left, or a plan"),
                _ => {}
            }
            if let Message::Planned { size } = answer {
                assert!(wire.receive_plan(size, 1 << 20).is_ok_and(|plan| plan.starts_with(b"{")), "{case}");
            }
            assert!(["end", "received", "planned", good].contains(&answer.name()), "{case}");
        }
        wire.send(&Message::Bye).expect("good bye");
    }
}

#[test]
fn a_key_that_is_not_what_the_spec_says_is_no_peer_s_and_a_renamed_server_is() {
    needs_a_fleet!();
    let servers =
        [server("mgmt", "user: root"), server("web1", "upstream: mgmt, user: root"), server("web2", "upstream: mgmt, user: root")];
    let fleet = Fleet::new(&servers, "certs:\n  example.com: { source: /srv/source, targets: all, install: /srv/live }\n");
    let id = |name: &str| fleet.node(name).public_keys[0].parse::<certsync::base::SshKey>().expect("a key").id().to_string();
    let mgmt = fleet.node("mgmt");
    mgmt.certsync(&["apply", "--local"]);
    let gate = |peer: &str, key: &str| {
        let answer = mgmt.certsync(&["gate", "--peer", peer, "--key", key]);
        assert_ne!(answer.status, Some(0), "{answer:?}");
        answer.stderr
    };
    let stranger = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (peer, key, words) in [
        ("web1", stranger, "another public_key"),
        ("nobody", stranger, "is not in this host's spec"),
        ("web1", id("web2").as_str(), "another public_key"),
        ("mgmt", id("mgmt").as_str(), "neither an upstream"),
    ] {
        let said = gate(peer, key);
        assert!(said.contains(words), "{peer} with {key}: {said}");
    }
    // It is called otherwise in the line that sshd has still got.
    let said = gate("www1", &id("web1"));
    assert!(!said.contains("public_key") && !said.contains("not in this host's spec"), "{said}");
}

#[test]
fn a_stolen_key_gets_the_sets_of_its_server_alone() {
    needs_a_fleet!();
    let servers =
        [server("mgmt", "user: root"), server("web1", "upstream: mgmt, user: root"), server("web2", "upstream: mgmt, user: root")];
    let certs = "certs:\n  example.com: { source: /srv/source, targets: [web1], install: /srv/live }\n  \
                 b.test: { source: /srv/source, targets: [web2], install: /srv/b, names: [example.com] }\n";
    let fleet = Fleet::new(&servers, certs);
    renew(fleet.node("mgmt"));
    fleet.node("mgmt").certsync(&["apply"]).ok();
    let mut wire = log_in(&fleet, "web1", "mgmt");
    let Message::Offer { sets: Some(sets) } = ask(&mut wire, &Message::Fetch { have: nothing() }) else { panic!("no offer") };
    assert_eq!(sets.iter().map(|offered| offered.version.set.as_str()).collect::<Vec<_>>(), ["example.com"]);
    let (foreign, _) = stored(fleet.node("mgmt"), "b.test");
    let own = sets[0].version.clone();
    // The digest of a set of its own does not open another one's.
    let mixed = Version { set: foreign.set.clone(), ..own.clone() };
    wire.send(&Message::Want { sets: vec![foreign, mixed, own.clone()] }).expect("it is sent");
    let mut got = Vec::new();
    while let Some(came) = wire.receive_set(&LIMITS).expect("whole answers") {
        match came.material {
            Ok(_) => got.push(came.version),
            Err(why) => assert_eq!(why.cause, "is nothing that web1 may have"),
        }
    }
    assert_eq!(got, [own]);
}

/// Brings one version to web1 as mgmt, and has it applied; what web1 says of it then.
fn bring(fleet: &Fleet, version: &Version, material: &Material) -> Message {
    let mut wire = log_in(fleet, "mgmt", "web1");
    let offered = Offered { version: version.clone(), pattern: None, signature: None, spread: Spread::Released };
    let Message::Wanted { sets, .. } = ask(&mut wire, &Message::Push { sets: vec![offered] }) else { panic!("not wanted") };
    if !sets.is_empty() {
        wire.send_set(version, None, material).expect("it is sent");
        wire.send(&Message::End).expect("it is sent");
    }
    assert_eq!(wire.must().expect("an answer"), Message::Received);
    ask(&mut wire, &Message::Apply { wait: Waits::Own })
}

#[test]
fn what_is_older_or_another_under_the_same_number_is_refused() {
    needs_a_fleet!();
    let servers = [server("mgmt", "user: root"), server("web1", "upstream: mgmt, delivery: push, user: root")];
    let fleet = Fleet::new(&servers, "certs:\n  example.com: { source: /srv/source, targets: [web1], install: /srv/live }\n");
    let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
    web1.certsync(&["apply"]);
    renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    let (older, former) = stored(mgmt, "example.com");
    let present = renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    let (newer, _) = stored(mgmt, "example.com");
    assert!(newer.revision > older.revision && installed(web1) == present);
    let same_number = Version { revision: newer.revision, ..older.clone() };
    for (version, words) in [(&older, "is older than"), (&same_number, "is another version here")] {
        let Message::Report { servers } = bring(&fleet, version, &former) else { panic!("no report") };
        let told = format!("{servers:?}");
        assert!(told.contains(words), "{told}");
        assert_eq!(installed(web1), present);
        assert!(
            fs::read_dir(web1.path("state/inbox"))
                .expect("the inbox")
                .flatten()
                .all(|left| !left.file_name().as_encoded_bytes().starts_with(b"push-"))
        );
    }
    assert!(!web1.path("state/refused").exists(), "a key in a push that was refused stays nowhere");
    // Nor does it stand in the way of what is new.
    let last = renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(installed(web1), last);
}

#[test]
fn a_server_that_says_it_has_seen_the_future_is_named_and_stops_nothing_for_good() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("web1", "upstream: mgmt, user: root"),
        server("web2", "upstream: mgmt, delivery: push, user: root"),
    ];
    let fleet = Fleet::new(&servers, "certs:\n  example.com: { source: /srv/source, targets: [web1, web2], install: /srv/live }\n");
    fleet.node("web2").certsync(&["apply"]);
    let says = |fleet: &Fleet, revision: u64| {
        let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
        let now = certsync::host::clock::unix_seconds();
        let seen = SetStanding {
            digest: Digest::from_bytes([7; 32]),
            revision,
            level: Level::Done,
            since: now,
            not_before: None,
            not_after: None,
            error: None,
            keys: Vec::new(),
        };
        let standing = Standing {
            server: web1.name.parse().expect("a name"),
            at: now,
            certsync: "0".into(),
            spec: nothing(),
            sets: [("example.com".parse().expect("a name"), seen)].into(),
            hooks: Vec::new(),
            errors: Vec::new(),
        };
        assert_eq!(ask(&mut log_in(fleet, "web1", "mgmt"), &Message::Report { servers: vec![standing] }), Message::Noted);
        mgmt.certsync(&["apply"]);
        mgmt.certsync(&["apply"])
    };
    renew(fleet.node("mgmt"));
    fleet.node("mgmt").certsync(&["apply"]).ok();
    fleet.node("web1").certsync(&["apply"]).ok();
    // What no clock gives is not believed, and does no harm either.
    let said = says(&fleet, u64::MAX);
    assert_eq!(said.status, Some(0), "{said:?}");
    let future = certsync::host::clock::unix_milliseconds() + 365 * 24 * 60 * 60 * 1000;
    let said = says(&fleet, future);
    assert!(said.status == Some(1) && said.stderr.contains("web1 has seen revision"), "{said:?}");
    // The others get what is new all the same.
    let certificate = renew(fleet.node("mgmt"));
    fleet.node("mgmt").certsync(&["apply"]);
    assert_eq!(installed(fleet.node("web2")), certificate);
    // It says the truth again.
    fleet.node("web1").certsync(&["apply"]).ok();
    assert_eq!(installed(fleet.node("web1")), certificate);
    // The run that hears it still speaks of what it knew when it began.
    fleet.node("mgmt").certsync(&["apply"]);
    fleet.node("mgmt").certsync(&["apply"]).ok();
    // Or it has to go.
    let said = says(&fleet, future);
    assert_eq!(said.status, Some(1), "{said:?}");
    let without: String = fleet.spec().lines().filter(|line| !line.starts_with("  web1:")).map(|line| format!("{line}\n")).collect();
    fleet.node("mgmt").write("certsync.yaml", &without.replace("[web1, web2]", "[web2]"));
    fleet.node("mgmt").certsync(&["apply"]).ok();
}

#[test]
fn a_report_in_parts_is_taken_whole_and_has_no_more_parts_than_servers() {
    needs_a_fleet!();
    let servers = [server("mgmt", "user: root"), server("hub", "upstream: mgmt, user: root"), server("edge1", "upstream: hub, user: root")];
    let fleet = Fleet::new(&servers, "certs:\n  example.com: { source: /srv/source, targets: [edge1], install: /srv/live }\n");
    let mgmt = fleet.node("mgmt");
    renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    let standing = |name: &str| Standing {
        server: name.parse().expect("a name"),
        at: certsync::host::clock::unix_seconds(),
        certsync: format!("of {name}"),
        spec: nothing(),
        sets: std::collections::BTreeMap::new(),
        hooks: Vec::new(),
        errors: Vec::new(),
    };
    let part = |number: u32, name: &str| Message::ReportPart { number, servers: vec![standing(name)] };
    let mut wire = log_in(&fleet, "hub", "mgmt");
    assert_eq!(ask(&mut wire, &part(0, "hub")), Message::Noted);
    for refused in [part(2, "hub"), part(u32::MAX, "hub"), part(0, "mgmt")] {
        assert_eq!(ask(&mut wire, &refused).name(), "refused");
    }
    assert_eq!(ask(&mut wire, &Message::Report { servers: vec![standing("edge1")] }), Message::Noted);
    let told = || mgmt.certsync(&["status", "--fleet", "--format", "json"]).stdout;
    let is_known = |told: &str| told.contains("\"of hub\"") && told.contains("\"of edge1\"");
    assert!(is_known(&told()), "while it lies in the inbox: {}", told());
    mgmt.certsync(&["apply"]).ok();
    assert!(is_known(&told()), "{}", told());
}
