//! What a key opens, and how it is changed for another one.

use crate::needs_a_fleet;
use crate::support::{Fleet, Login, Node, server};
use certsync::base::{ContentHash, Error};
use certsync::fleet::carrier::{Identity, connect, explained};
use certsync::fleet::wire::Hello;
use certsync::host::ssh::Why;
use certsync::host::walk;
use certsync::spec::fleet::{Delivery, Server, Via};
use std::path::{Path, PathBuf};
use std::time::Duration;

const CERTS: &str = "certs:\n  example.com: { source: /srv/source, targets: all, install: /srv/live }\n";

fn pair(user: &str) -> Fleet {
    Fleet::new(&[server("mgmt", user), server("web1", &format!("upstream: mgmt, delivery: push, {user}"))], CERTS)
}

/// Where somebody has copied a key to.
struct Stolen(tempfile::TempDir);

impl Stolen {
    fn copy(key: &Path) -> Stolen {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::copy(key, dir.path().join("key")).expect("a copy");
        Stolen(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("key")
    }
}

/// Logs in as the node `from` does, but from outside: its state directory is where we see it.
fn call(from: &Node, to: &Server, whole: Duration) -> std::result::Result<Hello, (Error, Option<Why>)> {
    let at = from.path("state").to_str().and_then(|path| path.parse().ok()).expect("a path");
    let dir = walk::open_private(&at).expect("its state directory");
    let identity = Identity::of(&dir, &at).expect("its keys");
    let mut wire = connect(to, &identity, (whole, whole)).expect("ssh starts");
    let hello = Hello::of(&from.name.parse().expect("a name"), ContentHash::of(b"another spec"));
    wire.greet(&hello).map_err(|error| explained(&mut wire, error, to))
}

/// A node as the spec has it.
pub fn spoken_of(node: &Node, fleet: &Fleet) -> Server {
    let spec = fleet.spec();
    let line = spec.lines().find(|line| line.starts_with(&format!("  {}: ", node.name))).expect("its line");
    let host_key = line.split("host_key: \"").nth(1).and_then(|rest| rest.split('"').next()).expect("its host key");
    Server {
        name: node.name.parse().expect("a name"),
        address: "127.0.0.1".into(),
        port: node.port,
        user: node.user().into(),
        upstreams: Vec::new(),
        delivery: Delivery::Push,
        via: Via::Ssh,
        public_keys: Vec::new(),
        host_keys: vec![host_key.parse().expect("a key")],
        from: Vec::new(),
    }
}

#[test]
fn a_key_opens_the_gate_and_nothing_else() {
    needs_a_fleet!();
    for user in ["user: root", "user: certsync"] {
        let fleet = pair(user);
        let web1 = fleet.node("web1");
        let login = Login { to: web1, key: fleet.node("mgmt").key() };
        for command in ["id; touch /srv/home/owned /tmp/owned-by-certsync-test", "sh -i", "scp -t /tmp"] {
            let answer = login.ask(command);
            assert!(!answer.stdout.contains("uid=") && login.is_let_in(), "{answer:?}");
        }
        assert!(!web1.path("home/owned").exists() && !Path::new("/tmp/owned-by-certsync-test").exists());
        let log = web1.log();
        let id = fleet.node("mgmt").certsync(&["keygen", "-q"]).ok();
        let id = id.trim_end().parse::<certsync::base::SshKey>().expect("a key").id();
        let forced = format!(
            "forced-command (key-option) '/opt/certsync gate --peer mgmt --key {id} --spec /srv/certsync.yaml --state-dir /srv/state --as web1'"
        );
        let started: Vec<&str> = log.lines().filter(|line| line.starts_with("Starting session")).collect();
        assert!(!started.is_empty() && started.iter().all(|line| line.contains(&forced)), "{log}");
        let refused = |args: &[&str], words: &str| {
            let answer = login.run(args);
            assert!(answer.stderr.contains(words) && !answer.stdout.contains("SSH-2.0"), "{answer:?}");
        };
        refused(&["-tt", "127.0.0.1"], "PTY allocation request failed");
        refused(&["-W", &format!("127.0.0.1:{}", web1.port), "127.0.0.1"], "stdio forwarding failed");
        refused(&["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", "-N", "127.0.0.1"], "remote port forwarding failed");
        // Files would come over the same forced command.
        login.run(&["-s", "127.0.0.1", "sftp"]);
        let log = web1.log();
        assert!(log.lines().filter(|line| line.starts_with("Starting session")).all(|line| line.contains(&forced)), "{log}");
    }
}

#[test]
fn a_stranger_and_a_host_that_is_neither_above_nor_below_are_not_let_in() {
    needs_a_fleet!();
    let servers =
        [server("mgmt", "user: root"), server("web1", "upstream: mgmt, user: root"), server("edge1", "upstream: web1, user: root")];
    let fleet = Fleet::new(&servers, CERTS);
    let is_let_in = |from: &str, to: &str| Login { to: fleet.node(to), key: fleet.node(from).key() }.is_let_in();
    for (from, to, wanted) in [
        ("mgmt", "web1", true),
        ("web1", "mgmt", true),
        ("web1", "edge1", true),
        ("edge1", "web1", true),
        ("mgmt", "edge1", false),
        ("edge1", "mgmt", false),
        ("web1", "web1", false),
    ] {
        assert_eq!(is_let_in(from, to), wanted, "{from} to {to}");
    }
}

#[test]
fn sshd_may_ask_for_each_key_instead() {
    needs_a_fleet!();
    let mut fleet = pair("user: certsync");
    let web1 = fleet.node("web1");
    web1.write("home/certsync/.ssh/authorized_keys", "");
    let login = |fleet: &Fleet| Login { to: fleet.node("web1"), key: fleet.node("mgmt").key() }.is_let_in();
    assert!(!login(&fleet));
    web1.set_sshd(
        "AuthorizedKeysCommand /opt/certsync authorized-keys --spec /srv/certsync.yaml --state-dir /srv/state --as web1 --for-key %f\n\
         AuthorizedKeysCommandUser nobody",
    );
    assert!(login(&fleet), "{}", fleet.node("web1").log());
    assert!(!Login { to: fleet.node("web1"), key: fleet.node("web1").key() }.is_let_in(), "its own key is no peer's");
    assert!(fleet.node("web1").log().contains("'/opt/certsync gate --peer mgmt "));
    // Whoever leaves the spec is out at once.
    let other = fleet.node("web1").public_keys.clone();
    fleet.node_mut("mgmt").public_keys = vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINVl+zv5A11gDeOz4UN0HgOjWTm44YyH0qzfBIcVUQc2".into()];
    assert_ne!(other, fleet.node("mgmt").public_keys);
    let spec = fleet.spec();
    fleet.node("web1").write("certsync.yaml", &spec);
    assert!(!login(&fleet));
}

#[test]
fn a_key_is_changed_for_another_without_a_gap() {
    needs_a_fleet!();
    let mut fleet = pair("user: certsync");
    let former = Stolen::copy(&fleet.node("mgmt").key());
    let lets_in = |fleet: &Fleet, key: PathBuf| Login { to: fleet.node("web1"), key }.is_let_in();
    let in_use = |fleet: &Fleet| lets_in(fleet, fleet.node("mgmt").key());
    assert!(in_use(&fleet));
    let next = fleet.node("mgmt").certsync(&["keygen", "--next"]).ok();
    assert!(in_use(&fleet), "the next key is not in use yet");
    fleet.node_mut("mgmt").public_keys.push(next.trim_end().to_owned());
    fleet.tell();
    assert!(in_use(&fleet));
    fleet.node("mgmt").certsync(&["keygen", "--activate"]).ok();
    assert!(in_use(&fleet), "the next key is in use and known");
    assert!(lets_in(&fleet, former.path()), "and the former one still is");
    fleet.node_mut("mgmt").public_keys.remove(0);
    fleet.tell();
    assert!(in_use(&fleet));
    assert!(!lets_in(&fleet, former.path()) && !lets_in(&fleet, fleet.node("mgmt").path("state/keys/previous")));
}

#[test]
fn certsync_logs_in_and_says_why_where_it_cannot() {
    needs_a_fleet!();
    let fleet = pair("user: certsync");
    let (mgmt, web1) = (fleet.node("mgmt"), spoken_of(fleet.node("web1"), &fleet));
    let long = Duration::from_secs(60);
    let hello = call(mgmt, &web1, long).map_err(|(error, _)| error).expect("the far end is certsync");
    assert_eq!(hello.name.as_str(), "web1");
    assert!(fleet.node("web1").log().contains("'/opt/certsync gate --peer mgmt "));

    let mut other_key = web1.clone();
    other_key.host_keys = vec![mgmt.public_keys[0].parse().expect("a key")];
    let (error, why) = call(mgmt, &other_key, long).expect_err("another host key");
    assert!(why == Some(Why::HostKey) && error.cause.contains("requested strict checking"), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("ssh-keyscan -p") && hint.contains("the spec's host_key")));

    let (refused, why) = call(fleet.node("web1"), &web1, long).expect_err("its own key is no peer's");
    assert_eq!((refused.cause.as_str(), why), ("certsync@127.0.0.1: Permission denied (publickey)", Some(Why::KeyRefused)));
    assert!(refused.hint.is_some_and(|hint| hint.contains("certsync authorized-keys")));

    // It is let in, and certsync ends there.
    fleet.node("web1").write("certsync.yaml", "version: 1\ncerts: {}\n");
    let (ended, why) = call(mgmt, &web1, long).expect_err("no fleet there");
    assert_eq!(why, Some(Why::Closed));
    assert!(ended.cause.starts_with("the far end ended with status 1: "), "{ended}");

    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let hanging = Server { port: silent.local_addr().expect("its address").port(), ..web1 };
    let (late, why) = call(mgmt, &hanging, Duration::from_millis(700)).expect_err("nobody answers");
    assert_eq!((late.subject.as_str(), late.cause.as_str(), why), ("web1", "no answer in time", Some(Why::Deadline)));
    drop(silent);
    let (gone, why) = call(mgmt, &hanging, long).expect_err("nobody is there");
    assert!(gone.cause.ends_with("Connection refused") && why == Some(Why::Unreachable), "{gone}");
}
