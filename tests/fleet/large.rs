//! A set that is large enough to be cut off in the middle, and what a run tells of the others.

use crate::first::{installed, renew};
use crate::support::{Answer, Node};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

/// More than ssh and all pipes on the way take in at once.
pub const LARGE: usize = 900 << 10;

/// The contents of every file of one renewal.
pub type Version = BTreeMap<String, Vec<u8>>;

/// Renews the set of [`crate::first::certs`], with one large file beside certificate and key.
pub fn renew_large(node: &Node) -> Version {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    renew(node);
    let mut noise = COUNT.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_be_bytes()[0]
    };
    fs::write(node.path("source/large"), (0..LARGE).map(|_| byte()).collect::<Vec<u8>>()).expect("written");
    files(node, "source")
}

/// What is installed.
pub fn in_place(node: &Node) -> Version {
    if node.path("live").exists() { files(node, "live") } else { Version::new() }
}

fn files(node: &Node, folder: &str) -> Version {
    let listed = fs::read_dir(node.path(folder)).expect("a folder").flatten();
    let names = listed.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name != ".certsync");
    // While a first install goes on, a link may lead nowhere yet.
    names.filter_map(|name| Some((name.clone(), fs::read(node.path(folder).join(&name)).ok()?))).collect()
}

/// Every renewal so far.
#[derive(Default)]
pub struct Versions(Vec<Version>);

impl Versions {
    /// One more.
    pub fn renew(&mut self, node: &Node) -> &Version {
        self.0.push(renew_large(node));
        self.0.last().expect("it was put there")
    }

    /// That this node has one of them whole, or nothing.
    #[track_caller]
    pub fn are_there_whole(&self, node: &Node, case: &str) {
        let there = in_place(node);
        assert!(there.is_empty() || self.0.contains(&there), "{case}: {} has {:?}", node.name, there.keys());
    }

    /// The same, and that nothing waits there half.
    #[track_caller]
    pub fn are_whole_at(&self, node: &Node, case: &str) {
        self.are_there_whole(node, case);
        let inbox = fs::read_dir(node.path("state/inbox")).into_iter().flatten().flatten();
        let half: Vec<_> = inbox.map(|entry| entry.file_name()).filter(|name| name.as_encoded_bytes().starts_with(b"push-")).collect();
        assert!(half.is_empty(), "{case}: {}: {half:?}", node.name);
    }

    /// Whether this node has the last one.
    pub fn is_last_at(&self, node: &Node) -> bool {
        Some(&in_place(node)) == self.0.last()
    }

    /// That these nodes have the last one.
    #[track_caller]
    pub fn last_is_at(&self, nodes: &[&Node], case: &str) {
        for node in nodes {
            assert!(self.is_last_at(node), "{case}: {} has another one: {}", node.name, installed(node));
        }
    }
}

/// What a run says of each server.
pub struct Told(Value);

impl Told {
    /// Of `apply --format json`.
    #[track_caller]
    pub fn of(answer: &Answer) -> Told {
        Told(serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}")))
    }

    #[track_caller]
    fn server(&self, name: &str) -> &Value {
        let mut servers = self.0["servers"].as_array().into_iter().flatten();
        servers.find(|server| server["name"] == name).unwrap_or_else(|| panic!("{name} is not told of: {}", self.0))
    }

    /// What became of it: `done`, `unreachable` …
    #[track_caller]
    pub fn result(&self, name: &str) -> &str {
        self.server(name)["result"].as_str().expect("a word")
    }

    /// Why it failed.
    #[track_caller]
    pub fn cause(&self, name: &str) -> &str {
        self.server(name)["error"]["cause"].as_str().unwrap_or_else(|| panic!("no cause: {}", self.0))
    }

    /// How long it took.
    #[track_caller]
    pub fn seconds(&self, name: &str) -> f64 {
        self.server(name)["seconds"].as_f64().expect("a number")
    }
}
