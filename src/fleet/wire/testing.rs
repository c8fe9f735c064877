//! What the tests of this folder share.

use super::{FileHead, Hello, Link, Message, Offered, Refusal, Version, Waits, Wire};
use crate::base::{ContentHash, Digest, KeyFingerprint, Secret};
use crate::material::Material;
use crate::spec::Limits;
use crate::state::{HookStanding, Level, SetStanding, Spread, Standing};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::time::Duration;

/// A far end that has said all it will say, and hears everything.
pub struct Both {
    rest: io::Cursor<Vec<u8>>,
    /// What was written to it.
    pub written: Vec<u8>,
}

impl Both {
    /// One that says `bytes` and then closes.
    pub fn new(bytes: &[u8]) -> Both {
        Both { rest: io::Cursor::new(bytes.to_vec()), written: Vec::new() }
    }
}

impl Read for Both {
    /// In small pieces, as it may come.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(7);
        self.rest.read(&mut buffer[..length])
    }
}

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for Both {
    fn is_gone(&mut self) -> bool {
        false
    }

    fn wait_each(&mut self, _: Duration) {}
}

/// A wire whose far end says `bytes`.
pub fn wire(bytes: &[u8]) -> Wire<Both> {
    Wire::new(Both::new(bytes), "web1")
}

/// What is on the wire after `said`.
pub fn recorded(said: impl FnOnce(&mut Wire<Both>)) -> Vec<u8> {
    let mut wire = wire(b"");
    said(&mut wire);
    std::mem::take(&mut wire.link().written)
}

/// What is on the wire after these messages.
pub fn messages(list: &[Message]) -> Vec<u8> {
    recorded(|wire| list.iter().for_each(|message| wire.send(message).expect("sent")))
}

pub fn limits() -> Limits {
    Limits { file: 1 << 20, set: 2 << 20, files: 10 }
}

pub fn hello(name: &str) -> Hello {
    Hello::of(&name.parse().expect("a name"), ContentHash::of(name.as_bytes()))
}

pub fn material(files: &[(&str, &[u8])]) -> Material {
    Material::new(files.iter().map(|(path, bytes)| (path.parse().expect("a path"), Secret::new(bytes.to_vec()))).collect())
}

pub fn version(digest: Digest) -> Version {
    Version { set: "example.com".parse().expect("a name"), digest, revision: 1_700_000_000_000 }
}

pub fn standing() -> Standing {
    let set = SetStanding {
        digest: Digest::from_bytes([3; 32]),
        revision: 4,
        level: Level::Installed,
        since: 1_700_000_000,
        not_before: Some(1_690_000_000),
        not_after: None,
        error: Some("hook failed".into()),
        keys: vec![KeyFingerprint::of_spki(b"key")],
    };
    Standing {
        server: "web1".parse().expect("a name"),
        at: 1_700_000_001,
        certsync: "0.1.0".into(),
        spec: ContentHash::of(b"spec"),
        sets: BTreeMap::from([("example.com".parse().expect("a name"), set)]),
        hooks: vec![HookStanding { name: "reload".parse().expect("a name"), set: None, last: "exit 1".into() }],
        errors: vec!["no space left".into()],
    }
}

/// Every message there is, once, filled in.
pub fn one_of_each() -> Vec<Message> {
    let version = || version(Digest::from_bytes([1; 32]));
    let offered = || Offered {
        version: version(),
        pattern: Some("lineages".parse().expect("a name")),
        signature: Some("later".into()),
        spread: Spread::Staged,
    };
    let why = || Refusal { subject: "web1".into(), cause: "no".into(), hint: Some("ask again".into()), spec: ContentHash::of(b"spec") };
    let file = FileHead { path: "a/b.pem".parse().expect("a path"), size: 3, sha256: ContentHash::of(b"abc") };
    vec![
        Message::Hello(hello("web1")),
        Message::Fetch { have: ContentHash::of(b"") },
        Message::Offer { sets: Some(vec![offered()]) },
        Message::Want { sets: vec![version()] },
        Message::Push { sets: vec![offered()] },
        Message::Wanted { sets: vec![version()], unwanted: vec![("example.com".parse().expect("a name"), why())] },
        Message::Set { version: version(), pattern: None, files: vec![file] },
        Message::Without { version: version(), why: why() },
        Message::End,
        Message::Brought {
            peer: "mgmt".parse().expect("a name"),
            key: "SHA256:x".into(),
            staged: vec![version()],
            released: vec![version()],
        },
        Message::Received,
        Message::Apply { wait: Waits::Tree },
        Message::Trigger { wait: None },
        Message::Triggered,
        Message::Later,
        Message::Report { servers: vec![standing()] },
        Message::ReportPart { number: 3, servers: vec![standing()] },
        Message::Noted,
        Message::Plan { sets: vec![offered()], below: vec!["web2".parse().expect("a name")] },
        Message::Planned { size: 2 },
        Message::Refused(why()),
        Message::Bye,
    ]
}
