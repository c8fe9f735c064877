//! The other hosts in a spec: which way each set goes, who may have it, and what one host needs of the spec.

mod random;

use certsync::base::{AbsPath, ServerName, SetName};
use certsync::host::users::User;
use certsync::spec::fleet::{Canary, Delivery, Fleet, Stage};
use certsync::spec::{Desired, Faults, Loaded, Running, SetSource, SpecInput, Surroundings, Trust, load_with, resolved_yaml};

const KEYS: [&str; 2] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGmZnYRdrGIAkrMMtHAjFJbWsPlBuvSA3VUlqTTkBtHR",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFLJp2n5lWMY8SX+BE5EuCA7VsNUyq3hSykKy4S8KA2M",
];

/// Three tiers, two origins, a server with two upstreams, and a host without certsync.
fn example() -> String {
    r#"
version: 1
defaults: { owner: root, group: ssl-cert }
hooks:
  reload: { run: [systemctl, reload, nginx] }
  only-there: { run: [x], user: somebody-of-edge2 }
servers:
  mgmt:  { address: ssl.example.com, port: 2222, public_key: "KEY0 mgmt", from: ["10.0.0.0/8", "!10.1.0.0/16"] }
  other: { address: other.example.com }
  web1:  { address: 10.0.0.11, upstream: mgmt, delivery: trigger, public_key: ["KEY1"], host_key: "KEY1" }
  web2:  { address: 10.0.0.12, upstream: [mgmt, other], delivery: trigger }
  edge1: { address: edge1.example.net, upstream: [web1, web2], delivery: trigger, user: tls }
  edge2: { address: edge2.example.net, upstream: web2, delivery: push }
  old1:  { address: 10.0.0.99, upstream: web2, delivery: push, via: { rsync: /certsync/live, command: "/usr/local/bin/reload x" } }
  alone: { address: 10.0.0.13, upstream: mgmt }
groups:
  web: [web1, web2]
  edges: [edge1, edge2]
  most: [web, edges]
certs:
  a: { source: /srv/a, origin: mgmt, targets: [most, old1], install: /etc/a }
  b:
    source: { rsync: "ssl@ssl.example.com:/home/ushio/ssl", port: 2222, identity: keys/id }
    origin: other
    targets: [edge1, edge2]
    install:
      - { dest: /etc/b, targets: edge1, hooks: reload, owner: ushio }
      - { dest: /etc/b2, targets: [edges], hooks: only-there, owner: 33, group: unknown-here, prune: true }
  lineages: { source: /srv/live/*, origin: mgmt, targets: [most, old1, alone], names: [x.test], install: "/etc/live/{name}" }
  here: { source: here, origin: web1, targets: [web1, edge1], install: { dest: /etc/here, hooks: [reload], dir_mode: drwx------ } }
fleet: { parallel: 8, deadline: 1m, retries: 0, stale_after: 12h }
rollout: { canary: [web2, edge1], batch: 5, max_failures: 0 }
"#
    .replace("KEY0", KEYS[0])
    .replace("KEY1", KEYS[1])
}

fn some_user(name: &str) -> Option<User> {
    Some(User { name: name.into(), uid: if name == "root" { 0 } else { name.len() as u32 }, gid: 7, home: "/home".into() })
}

fn surroundings() -> Surroundings {
    Surroundings {
        user: some_user,
        group: |name| Some((name.into(), if name == "root" { 0 } else { name.len() as u32 })),
        running: Running { user: some_user("root").expect("root"), group: ("root".into(), 0), groups: vec![0] },
        host_name: || "web1.example.com".into(),
        look: |_| None,
        target: |_| None,
        trust: Trust::Skip,
    }
}

fn load_as(text: &str, name: Option<&str>) -> Result<Loaded, Faults> {
    let at: AbsPath = "/etc/certsync/certsync.yaml".parse().expect("a path");
    load_with(SpecInput::Text { text: text.into(), at }, name, &surroundings())
}

fn desired(text: &str, name: &str) -> Desired {
    load_as(text, Some(name)).unwrap_or_else(|faults| panic!("{name}: {faults}\n{text}")).desired
}

fn fleet(desired: &Desired) -> &Fleet {
    desired.fleet.as_ref().expect("a fleet")
}

fn server(name: &str) -> ServerName {
    name.parse().expect("a name")
}

fn set(name: &str) -> SetName {
    name.parse().expect("a name")
}

const ALL: [&str; 8] = ["mgmt", "other", "web1", "web2", "edge1", "edge2", "old1", "alone"];

/// The sets of a host: name, where from, how many installs.
fn sets(desired: &Desired) -> Vec<String> {
    let sets = desired.sets.iter().map(|set| format!("{} from {}: {}", set.name, set.source, set.installs.len()));
    let patterns = desired.patterns.iter().map(|set| format!("{}/* from {}: {}", set.name, set.parent, set.template.installs.len()));
    sets.chain(patterns).collect()
}

#[test]
fn each_host_takes_its_part() {
    let of = |name: &str| sets(&desired(&example(), name));
    assert_eq!(of("mgmt"), ["a from /srv/a: 0", "lineages/* from /srv/live: 0"]);
    assert_eq!(of("other"), ["b from ssl@ssl.example.com:/home/ushio/ssl: 0"]);
    assert_eq!(of("web1"), ["a from the upstream: 1", "here from /etc/certsync/here: 1", "lineages/* from the upstream: 1"]);
    assert_eq!(of("web2"), ["a from the upstream: 1", "b from the upstream: 0", "lineages/* from the upstream: 1"]);
    assert_eq!(
        of("edge1"),
        ["a from the upstream: 1", "b from the upstream: 2", "here from the upstream: 1", "lineages/* from the upstream: 1"]
    );
    assert_eq!(of("edge2"), ["a from the upstream: 1", "b from the upstream: 1", "lineages/* from the upstream: 1"]);
    assert_eq!(of("alone"), ["lineages/* from the upstream: 1"]);
}

#[test]
fn hooks_and_accounts_are_those_of_this_host() {
    let hooks = |name: &str| desired(&example(), name).hooks.iter().map(|hook| hook.name.to_string()).collect::<Vec<_>>();
    assert_eq!(hooks("mgmt"), Vec::<String>::new());
    assert_eq!(hooks("web1"), ["reload"]);
    assert_eq!(hooks("edge2"), ["only-there"]);
    // Nobody asks this host for the accounts of another one.
    let nobody = Surroundings { user: |name| some_user(name).filter(|user| user.name == "root"), ..surroundings() };
    let at: AbsPath = "/etc/certsync/certsync.yaml".parse().expect("a path");
    let load = |name| load_with(SpecInput::Text { text: example(), at: at.clone() }, Some(name), &nobody);
    assert!(load("web1").is_ok());
    assert!(load("edge1").is_err_and(|faults| faults.to_string().contains("no user `ushio` on this host")));
}

#[test]
fn a_host_sees_its_upstreams_and_what_is_below() {
    let names = |servers: &mut dyn Iterator<Item = &certsync::spec::fleet::Server>| servers.map(|s| s.name.to_string()).collect::<Vec<_>>();
    let web2 = desired(&example(), "web2");
    let web2 = fleet(&web2);
    assert_eq!(names(&mut web2.servers.iter()), ["mgmt", "other", "web2", "edge1", "edge2", "old1"]);
    assert_eq!(names(&mut web2.upstreams()), ["mgmt", "other"]);
    assert_eq!(names(&mut web2.downstreams()), ["edge1", "edge2", "old1"]);
    assert_eq!(names(&mut web2.below(&server("edge1"))), Vec::<String>::new());
    let mgmt = desired(&example(), "mgmt");
    let mgmt = fleet(&mgmt);
    assert_eq!(names(&mut mgmt.servers.iter()), ["mgmt", "web1", "web2", "edge1", "edge2", "old1", "alone"]);
    assert_eq!(names(&mut mgmt.below(&server("web2"))), ["edge1", "edge2", "old1"]);
    assert_eq!(names(&mut mgmt.below(&server("mgmt"))), ["web1", "web2", "edge1", "edge2", "old1", "alone"]);
    assert_eq!(names(&mut mgmt.below(&server("nobody"))), Vec::<String>::new());
    assert!(mgmt.is_below(&server("edge1"), &server("web1")) && !mgmt.is_below(&server("web1"), &server("edge1")));
    assert!(mgmt.server(&server("other")).is_none(), "this host has nothing to do with it");
    assert_eq!(mgmt.me().port, 2222);
    assert_eq!((mgmt.settings.parallel, mgmt.settings.retries, mgmt.settings.deadline.as_secs()), (8, 0, 60));
    assert_eq!(mgmt.settings.gate_group, Some(("certsync".into(), 8)));
    assert_eq!(
        mgmt.server(&server("alone")).map(|alone| (alone.delivery, alone.port, alone.user.as_str())),
        Some((Delivery::Pull, 22, "certsync"))
    );
}

#[test]
fn a_server_may_have_what_ends_there_or_below() {
    let may = |me: &str, peer: &str, entry: &str| fleet(&desired(&example(), me)).is_entitled(&server(peer), &set(entry));
    for (me, peer, entry, expected) in [
        ("mgmt", "web1", "a", true),
        ("mgmt", "edge2", "a", true),
        ("mgmt", "alone", "a", false),
        ("mgmt", "alone", "lineages", true),
        ("mgmt", "web2", "b", false), // it is other's to give
        ("mgmt", "web1", "here", false),
        ("mgmt", "web1", "unknown", false),
        ("mgmt", "nobody", "a", false),
        ("other", "web2", "b", true), // to pass it on
        ("other", "web2", "a", false),
        ("web1", "edge1", "here", true),
        ("web1", "edge1", "b", false), // it comes the other way
        ("web2", "edge1", "b", true),
        ("web2", "old1", "b", false),
        ("web2", "old1", "a", true),
        ("edge1", "web1", "a", true), // the upstream it comes from
        ("edge1", "web1", "b", false),
        ("edge1", "web2", "here", false),
    ] {
        assert_eq!(may(me, peer, entry), expected, "{peer} of {me}: {entry}");
    }
    let web2 = desired(&example(), "web2");
    assert!(!fleet(&web2).is_target(&server("web2"), &set("b")) && fleet(&web2).is_target(&server("edge2"), &set("b")));
    let all = "version: 1
servers: { a: { address: a }, b: { address: b, upstream: a }, c: { address: c, upstream: b } }
certs: { x: { source: /srv/x, targets: all, install: /etc/x }, y: { source: /srv/y, origin: b, targets: [b, c], install: /etc/y } }
";
    let all = desired(all, "a");
    let of_x: Vec<bool> = ["a", "b", "c"].iter().map(|name| fleet(&all).is_target(&server(name), &set("x"))).collect();
    assert_eq!(of_x, [false, true, true], "all are all but the origin");
    assert!(fleet(&all).route(&set("y")).is_none(), "it does not come by here");
}

#[test]
fn what_is_printed_for_a_host_is_a_spec_that_gives_the_same() {
    for name in ALL {
        let loaded = load_as(&example(), Some(name)).unwrap_or_else(|faults| panic!("{faults}"));
        let yaml = resolved_yaml(&loaded);
        let again = load_as(&yaml, Some(name)).unwrap_or_else(|faults| panic!("{name}: {faults}\n{yaml}"));
        assert_eq!(resolved_yaml(&again), yaml, "{name}");
        let mut same = again.desired;
        let hash = fleet(&loaded.desired).spec_hash;
        assert_ne!(fleet(&same).spec_hash, hash, "another text");
        same.fleet.as_mut().expect("a fleet").spec_hash = hash;
        assert_eq!(same, loaded.desired, "{name}\n{yaml}");
    }
}

#[test]
fn what_is_printed_holds_no_more_than_the_host_needs() {
    let edge2 = resolved_yaml(&load_as(&example(), Some("edge2")).expect("no fault"));
    for strange in ["edge1", "old1", "alone", "web1", KEYS[0], KEYS[1], "reload", "/etc/here"] {
        assert!(!edge2.contains(strange), "{strange}:\n{edge2}");
    }
    assert!(edge2.contains("web2") && edge2.contains("unknown-here"), "{edge2}");
}

#[test]
fn the_host_name_says_who_this_host_is() {
    let me = |text: &str, host: fn() -> String| {
        let at: AbsPath = "/etc/certsync.yaml".parse().expect("a path");
        let here = Surroundings { host_name: host, ..surroundings() };
        let loaded = load_with(SpecInput::Text { text: text.into(), at }, None, &here);
        loaded.map_err(|faults| faults.list[0].message.clone()).map(|loaded| fleet(&loaded.desired).me.to_string())
    };
    let spec = |servers: &str| format!("version: 1\nservers: {{ {servers} }}\ncerts: {{}}\n");
    let short = spec("web1: { address: 10.0.0.1 }, web2: { address: 10.0.0.2, upstream: web1 }");
    assert_eq!(me(&short, || "web2".into()), Ok("web2".into()));
    assert_eq!(me(&short, || "WEB2.example.com".into()), Ok("web2".into()), "without its domain, in whatever case");
    let full = spec("web2: { address: 10.0.0.1 }, web2.example.com: { address: 10.0.0.2 }");
    assert_eq!(me(&full, || "web2.example.com".into()), Ok("web2.example.com".into()), "the full name comes first");
    let address = spec("a: { address: web2.example.com }, b: { address: web2 }");
    assert_eq!(me(&address, || "web2.example.com".into()), Ok("a".into()));
    assert_eq!(me(&address, || "web2.example.org".into()), Ok("b".into()));
    let twice = spec("a: { address: web2 }, b: { address: web2, port: 23 }");
    assert_eq!(me(&twice, || "web2".into()), Err("`a`, `b` could all be this host: tried `web2`".into()));
    let nobody = "none of these servers is this host: tried `x.test` and `x` among the names and the addresses";
    assert_eq!(me(&short, || "x.test".into()), Err(nobody.into()));
    assert_eq!(
        load_as(&short, Some("web2")).map(|loaded| fleet(&loaded.desired).me.to_string()).ok(),
        Some("web2".into()),
        "whoever says it is believed"
    );
}

#[test]
fn a_host_that_stands_alone_reads_a_master_over_rsync_itself() {
    let text = "version: 1\ncerts:\n  a: { source: { rsync: \"h:x/*\", identity: id }, install: \"/etc/{name}\" }\n";
    let loaded = load_as(text, None).expect("no fault");
    assert!(loaded.desired.fleet.is_none());
    let SetSource::Rsync(from) = &loaded.desired.patterns[0].parent else { panic!("rsync") };
    assert_eq!((from.from.as_str(), from.identity.as_ref().map(AbsPath::as_str)), ("h:x", Some("/etc/certsync/id")));
    let made = loaded.desired.patterns[0].expand(&set("b.test")).expect("a set");
    assert_eq!(made.source.to_string(), "h:x/b.test");
    assert_eq!(load_as(&resolved_yaml(&loaded), None).map(|again| again.desired), Ok(loaded.desired));
}

#[test]
fn nothing_is_installed_on_a_host_without_certsync() {
    let sets = |name: &str| sets(&desired(&example(), name));
    assert_eq!(
        sets("old1"),
        ["a from the upstream: 0", "lineages/* from the upstream: 0"],
        "it is no host of ours, whoever asks for its part"
    );
    let spec = |certs: &str| {
        format!(
            "version: 1
servers:
  mgmt: {{ address: a }}
  web1: {{ address: b, upstream: mgmt }}
  old1: {{ address: c, upstream: mgmt, delivery: push, via: {{ rsync: /live, command: [reload, \"{{name}}\"] }} }}
  old2: {{ address: d, upstream: mgmt, delivery: push, via: {{ rsync: /live, command: 'reload \"${{name}}\"' }} }}
groups: {{ old: [old1, old2], some: [web1, old1] }}
certs:
  x: {{ source: /srv/x, {certs} }}
"
        )
    };
    let faults = |certs: &str| load_as(&spec(certs), Some("mgmt")).err().map(|faults| faults.to_string()).unwrap_or_default();
    for good in [
        "targets: all, install: /etc/x",
        "targets: some, install: /etc/x",
        "targets: old, install: []",
        "targets: all, install: { dest: /etc/x, targets: [some] }",
    ] {
        assert_eq!(faults(good), "", "{good}");
    }
    for (bad, place, message) in [
        ("targets: old1, install: /etc/x", "9:48", "`old1` is a host without certsync, where nothing is installed"),
        ("targets: old, install: { dest: /etc/x }", "9:47", "`old1`, `old2` are hosts without certsync, where nothing is installed"),
        ("targets: all, install: { dest: /etc/x, targets: [web1, old2] }", "9:79", "`old2` is a host without certsync, where nothing"),
        ("targets: all, install: { dest: /etc/x, targets: [web1, old] }", "9:79", "`old1`, `old2` are hosts without certsync"),
    ] {
        let told = faults(bad);
        assert!(told.contains(&format!("{place}: {message}")), "{bad}: {told}");
        assert_eq!(told.matches("error:").count().max(1), 1, "{told}");
    }
}

#[test]
fn every_file_of_a_spec_counts_in_its_hash() {
    let hash = |text: &str| fleet(&desired(text, "web1")).spec_hash;
    assert_eq!(hash(&example()), hash(&example()));
    assert_ne!(hash(&example()), hash(&format!("{}# x\n", example())));
}

#[test]
fn a_change_may_be_brought_to_all_before_anybody_switches() {
    let text = "version: 1\nservers:\n  mgmt: { address: 10.0.0.1 }\n  web1: { address: 10.0.0.2, upstream: mgmt, delivery: push }\n  \
                web2: { address: 10.0.0.3, upstream: mgmt, delivery: trigger }\nrollout: { stage: all, canary: 1 }\ncerts:\n  \
                a: { source: /srv/a, targets: all, install: /etc/a }\n";
    for name in ["mgmt", "web1"] {
        let loaded = load_as(text, Some(name)).expect("no fault");
        let rollout = loaded.desired.fleet.as_ref().and_then(|fleet| fleet.rollout.clone()).expect("a rollout");
        assert_eq!((rollout.stage, &rollout.canary), (Some(Stage::All), &Some(Canary::Number(1))));
        let again = load_as(&resolved_yaml(&loaded), Some(name)).expect("what is printed is a spec");
        assert_eq!(again.desired.fleet.and_then(|fleet| fleet.rollout), Some(rollout));
    }
}
