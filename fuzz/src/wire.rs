//! The conversation of two hosts: whatever comes, either end comes to an end of it, takes no more than its limits allow and nothing that its
//! digest does not cover, and shows nothing that a terminal acts on.

use crate::shown;
use certsync::base::{ContentHash, Error};
use certsync::fleet::wire::{Hello, Link, Message, Version, Wire};
use certsync::spec::Limits;
use std::io::{self, Cursor, Read, Write};

const LIMITS: Limits = Limits { file: 512, set: 1024, files: 4 };

/// The far end: it says `rest` and hears everything.
struct Far<'a> {
    rest: Cursor<&'a [u8]>,
    written: Vec<u8>,
}

impl Read for Far<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.rest.read(buffer)
    }
}

impl Write for Far<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link for Far<'_> {
    fn is_gone(&mut self) -> bool {
        self.rest.position() >= self.rest.get_ref().len() as u64
    }

    fn wait_each(&mut self, _: std::time::Duration) {}
}

/// Takes `data`, but for its first byte, for what a client says to a gate, a gate to a client, or a gate left in the inbox.
pub fn check(data: &[u8]) {
    let Some((side, said)) = data.split_first() else { return };
    let mut wire = Wire::new(Far { rest: Cursor::new(said), written: Vec::new() }, "web1");
    let mine = Hello::of(&"mgmt".parse().expect("a name"), ContentHash::of(b"spec"));
    match side % 3 {
        0 => gate(&mut wire, &mine),
        1 => client(&mut wire, &mine),
        _ => sets(&mut wire),
    }
}

fn gate(wire: &mut Wire<Far<'_>>, mine: &Hello) {
    match wire.greet_back(mine) {
        Ok(theirs) => greeted(&theirs),
        Err(error) => return told(&error),
    }
    loop {
        match wire.hear() {
            Ok(None | Some(Message::Bye)) => return,
            Ok(Some(Message::Push { sets: offered })) => {
                offered.iter().for_each(|offered| version(&offered.version));
                sets(wire);
            }
            Ok(Some(message)) => heard(&message),
            Err(error) => {
                assert!(wire.is_broken());
                return told(&error);
            }
        }
        if wire.is_broken() {
            return;
        }
    }
}

fn client(wire: &mut Wire<Far<'_>>, mine: &Hello) {
    match wire.greet(mine) {
        Ok(theirs) => greeted(&theirs),
        Err(error) => return told(&error),
    }
    wire.send(&Message::Fetch { have: ContentHash::of(b"") }).expect("sent");
    match wire.must() {
        Ok(message) => heard(&message),
        Err(error) => return told(&error),
    }
    sets(wire);
}

/// Sets until there are no more.
fn sets(wire: &mut Wire<Far<'_>>) {
    loop {
        match wire.receive_set(&LIMITS) {
            Ok(None) => return,
            Ok(Some(came)) => {
                version(&came.version);
                match came.material {
                    Ok(material) => {
                        assert_eq!(material.digest(), came.version.digest, "the digest covers what came");
                        let sizes = material.files().iter().map(|file| file.bytes.len() as u64);
                        assert!(sizes.clone().all(|size| size <= LIMITS.file) && sizes.sum::<u64>() <= LIMITS.set);
                        assert!((1..=LIMITS.files as usize).contains(&material.files().len()));
                        for file in material.files() {
                            assert!(file.path.steps().all(|step| !matches!(step, "" | "." | ".." | ".certsync")));
                            shown::line(file.path.as_str());
                        }
                    }
                    Err(why) => told(&why.error(certsync::base::ErrorKind::Peer, &"web1".parse().expect("a name"), ContentHash::of(b""))),
                }
            }
            Err(error) => {
                assert!(wire.is_broken(), "after an error nothing more is believed");
                return told(&error);
            }
        }
    }
}

fn greeted(theirs: &Hello) {
    shown::line(theirs.name.as_str());
    shown::line(&theirs.certsync);
}

fn version(version: &Version) {
    let name = version.set.as_str();
    shown::line(name);
    assert!(!name.contains('/') && !name.starts_with('.') && name != "owner" && !name.is_empty());
}

/// A message is read again as what it was, and its texts can be shown.
fn heard(message: &Message) {
    shown::line(message.name());
    if matches!(message, Message::Unknown(_)) {
        return;
    }
    let mut out = Wire::new(Far { rest: Cursor::new(b""), written: Vec::new() }, "web1");
    out.send(message).expect("what was heard can be said");
    let written = std::mem::take(&mut out.link().written);
    let again = Wire::new(Far { rest: Cursor::new(&written), written: Vec::new() }, "web1").hear().expect("a message").expect("one");
    assert_eq!(again, *message);
    if let Message::Report { servers } = message {
        for server in servers {
            shown::line(&server.certsync);
            server.errors.iter().chain(server.hooks.iter().map(|hook| &hook.last)).for_each(|text| shown::line(text));
            server.sets.values().filter_map(|set| set.error.as_deref()).for_each(shown::line);
        }
    }
    if let Message::Refused(why) | Message::Without { why, .. } = message {
        told(&why.error(certsync::base::ErrorKind::Peer, &"web1".parse().expect("a name"), ContentHash::of(b"")));
    }
}

fn told(error: &Error) {
    shown::line(&error.subject);
    shown::line(&error.cause);
    error.hint.as_deref().into_iter().for_each(shown::line);
}
