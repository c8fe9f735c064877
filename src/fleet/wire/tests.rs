use super::testing::{hello, limits, material, messages, one_of_each, recorded, version, wire};
use super::{FileHead, Message, Refusal, Version};
use crate::base::{ContentHash, Digest, Error};
use crate::material::Material;

/// A set with an empty file, one of several pieces, and one in a folder.
fn sample() -> Material {
    let much = vec![b'x'; 150_000];
    material(&[("cert.pem", b"a certificate\n"), ("empty.pem", b""), ("much.bin", &much), ("sub/key.pem", b"\x00\xff key")])
}

fn sent(version: &Version, material: &Material) -> Vec<u8> {
    recorded(|wire| wire.send_set(version, None, material).expect("sent"))
}

fn head(path: &str, bytes: &[u8]) -> FileHead {
    FileHead { path: path.parse().expect("a path"), size: bytes.len() as u64, sha256: ContentHash::of(bytes) }
}

/// A set whose head says `files`, under the digest that they have, followed by these bytes as pieces.
fn forged(files: Vec<FileHead>, pieces: &[&[u8]]) -> Vec<u8> {
    let digest = Digest::of(files.iter().map(|file| (file.path.as_str(), &file.sha256)));
    let mut out = messages(&[Message::Set { version: version(digest), pattern: None, files }]);
    for piece in pieces {
        out.extend(u32::try_from(piece.len()).expect("short").to_be_bytes());
        out.push(1);
        out.extend_from_slice(piece);
    }
    out
}

/// Why a set is not taken; the conversation is over then.
fn refusal(bytes: &[u8]) -> Error {
    let mut wire = wire(bytes);
    let error = wire.receive_set(&limits()).err().expect("refused");
    assert!(wire.is_broken(), "{error}");
    assert!(!error.to_string().contains(char::is_control), "{error}");
    error
}

#[test]
fn a_set_comes_as_it_was_sent() {
    let material = sample();
    let mut bytes = sent(&version(material.digest()), &material);
    bytes.extend(messages(&[Message::End]));
    let mut wire = wire(&bytes);
    let came = wire.receive_set(&limits()).expect("no error").expect("a set");
    let back = came.material.expect("its material");
    assert_eq!((came.version, back.digest()), (version(material.digest()), material.digest()));
    let files = |material: &Material| -> Vec<_> { material.files().iter().map(|f| (f.path.clone(), f.bytes.expose().to_vec())).collect() };
    assert_eq!(files(&back), files(&material));
    assert!(wire.receive_set(&limits()).expect("no error").is_none(), "that was all");
    assert!(!wire.is_broken());
}

#[test]
fn a_set_cut_off_at_any_byte_is_none() {
    let material = material(&[("cert.pem", b"a certificate"), ("key.pem", b"a key")]);
    let bytes = sent(&version(material.digest()), &material);
    for end in 0..bytes.len() {
        let error = refusal(&bytes[..end]);
        assert!(error.cause.contains("cut off") || error.cause.contains("closed the connection"), "at {end}: {error}");
    }
}

#[test]
fn a_set_with_any_byte_changed_is_none_or_the_same() {
    let material = material(&[("cert.pem", b"a certificate"), ("key.pem", b"a key")]);
    let bytes = sent(&version(material.digest()), &material);
    for place in 0..bytes.len() {
        let mut other = bytes.clone();
        other[place] ^= 1;
        // Another revision or name is not told by the digest: who may bring what is somebody else's question.
        if let Ok(Some(came)) = wire(&other).receive_set(&limits()) {
            let back = came.material.expect("its material");
            assert!(back.digest() == material.digest() && came.version.digest == material.digest(), "at {place}");
        }
    }
}

#[test]
fn a_wrong_hash_of_a_file_and_a_wrong_digest_are_told() {
    let mut file = head("cert.pem", b"abc");
    file.sha256 = ContentHash::of(b"abd");
    assert!(refusal(&forged(vec![file], &[b"abc"])).cause.contains("its SHA-256 is another one"));
    let material = sample();
    assert!(refusal(&sent(&version(Digest::from_bytes([1; 32])), &material)).cause.contains("its digest is another one"));
}

#[test]
fn what_is_over_a_limit_is_refused_before_its_bytes_come() {
    let big = |size| FileHead { size, ..head("big.pem", b"") };
    // Nothing follows any of these heads: to wait for bytes would be another error.
    assert!(refusal(&forged(vec![big((1 << 20) + 1)], &[])).cause.contains("limits.file allows 1048576"));
    assert!(refusal(&forged(vec![big(10 << 30)], &[])).cause.contains("limits.set"));
    let three = ["a", "b", "c"].map(|path| FileHead { size: 1 << 20, ..head(path, b"") });
    assert!(refusal(&forged(three.to_vec(), &[])).cause.contains("limits.set"));
    let overflow = ["a", "b"].map(|path| FileHead { size: u64::MAX, ..head(path, b"") });
    assert!(refusal(&forged(overflow.to_vec(), &[])).cause.contains("limits.set"));
    let eleven = (0..11).map(|i| head(&format!("{i}.pem"), b"")).collect();
    assert!(refusal(&forged(eleven, &[])).cause.contains("11 files, limits.files allows 1 to 10"));
    assert!(refusal(&forged(Vec::new(), &[])).cause.contains("0 files"));
}

#[test]
fn names_that_are_no_files_of_a_set_are_refused() {
    for path in [".certsync", ".certsync/owner", "a/.certsync/b"] {
        assert!(refusal(&forged(vec![head(path, b"x")], &[b"x"])).cause.contains("is no name of a set's file"), "{path}");
    }
    assert!(refusal(&forged(vec![head("a", b"x"), head("a", b"y")], &[b"x", b"y"])).cause.contains("comes twice"));
    assert!(
        refusal(&forged(vec![head("a", b"x"), head("a-b", b""), head("a/b", b"y")], &[b"x", b"y"])).cause.contains("a file and a folder")
    );
}

#[test]
fn bytes_that_were_not_announced_and_messages_among_them_are_refused() {
    let one = || vec![head("cert.pem", b"abc")];
    for pieces in [&[&b"abcd"[..]][..], &[b"ab", b"cd"], &[b"", b"abc"], &[b"a", b""]] {
        assert!(refusal(&forged(one(), pieces)).cause.contains("a piece of a file"), "{pieces:?}");
    }
    let mut broken_in = forged(one(), &[b"ab"]);
    broken_in.extend(messages(&[Message::End]));
    assert!(refusal(&broken_in).cause.contains("a piece of a file"));
    // More than there should be comes where a message is due.
    let mut wire = wire(&forged(one(), &[b"abc", b"d"]));
    assert!(wire.receive_set(&limits()).is_ok());
    assert!(wire.receive_set(&limits()).is_err() && wire.is_broken());
}

#[test]
fn a_set_that_does_not_come_is_told_and_the_next_one_comes() {
    let material = sample();
    let why = Refusal { subject: "store".into(), cause: "gone\n".into(), hint: None, spec: ContentHash::of(b"") };
    let bytes = recorded(|wire| {
        wire.send_without(&version(Digest::from_bytes([1; 32])), &why).expect("sent");
        wire.send_set(&version(material.digest()), None, &material).expect("sent");
    });
    let mut wire = wire(&bytes);
    let first = wire.receive_set(&limits()).expect("no error").expect("a set");
    assert_eq!(first.material.err().expect("not this one").cause, "gone\\n");
    assert!(wire.receive_set(&limits()).expect("no error").expect("a set").material.is_ok());
}

#[test]
fn every_message_comes_as_it_was_sent_and_cut_off_anywhere_it_is_none() {
    for message in one_of_each() {
        let bytes = messages(std::slice::from_ref(&message));
        assert_eq!(wire(&bytes).hear().ok().flatten().as_ref(), Some(&message));
        for end in 1..bytes.len() {
            assert!(wire(&bytes[..end]).hear().is_err(), "{} cut off at {end}", message.name());
        }
    }
}

#[test]
fn what_only_a_newer_certsync_says_can_be_refused_and_what_follows_is_heard() {
    let mut bytes = vec![0, 0, 0, 17, 0];
    bytes.extend(br#"{"rename": [1,2]}"#);
    bytes.extend(messages(&[Message::Bye]));
    let mut wire = wire(&bytes);
    assert_eq!(wire.hear().ok().flatten(), Some(Message::Unknown("rename".into())));
    assert!(!wire.is_broken());
    assert_eq!(wire.hear().ok().flatten(), Some(Message::Bye));
    assert!(wire.send(&Message::Unknown("rename".into())).is_err(), "it is never said");
}

#[test]
fn a_length_that_is_only_claimed_costs_nothing() {
    // 32 MiB, of which nothing comes.
    let error = wire(&[2, 0, 0, 0, 0, b'{']).hear().expect_err("cut off");
    assert!(error.cause.contains("cut off"), "{error}");
    assert!(wire(&[2, 0, 0, 1, 0]).hear().expect_err("too long").cause.contains("too long"));
}

#[test]
fn both_sides_come_to_the_same_version_or_say_the_same() {
    let (mut mine, mut theirs) = (hello("web1"), hello("mgmt"));
    (mine.versions, theirs.versions) = ((1, 7), (3, 5));
    let mut gate = wire(&messages(&[Message::Hello(mine.clone())]));
    assert_eq!(gate.greet_back(&theirs).ok(), Some(mine.clone()));
    let mut client = wire(&gate.link().written.clone());
    assert_eq!(client.greet(&mine).ok(), Some(theirs.clone()));

    (mine.versions, theirs.versions) = ((1, 2), (3, 4));
    let mut gate = wire(&messages(&[Message::Hello(mine.clone())]));
    let told = gate.greet_back(&theirs).expect_err("none is common");
    assert!(told.cause.contains("speaks versions 1 to 2") && told.hint.is_some_and(|hint| hint == "update certsync on that host"));
    let mut client = wire(&gate.link().written.clone());
    let told = client.greet(&mine).expect_err("none is common");
    assert!(told.cause.contains("speaks versions 3 to 4") && told.hint.is_some_and(|hint| hint == "update certsync on this host"));
}

#[test]
fn a_shell_that_greets_is_told_from_certsync() {
    for said in [&b"Welcome to example.net!\r\n"[..], b"\x1b[2J\x1b[H...", b"SSH-2.0-x\n"] {
        let told = wire(said).greet(&hello("web1")).expect_err("no certsync");
        assert!(told.cause.contains("is it certsync that answers there?"), "{told}");
    }
    for said in [messages(&[Message::Bye]), messages(&[Message::Received]), Vec::new(), b"\0\0\0\x02\0{}".to_vec()] {
        assert!(wire(&said).greet(&hello("web1")).is_err());
        assert!(wire(&said).greet_back(&hello("web1")).is_err());
    }
}
