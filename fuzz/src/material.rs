//! Sets: no bytes make certsync panic, show a private key or anything a terminal acts on, or pass a key for something public; what is
//! accepted has a certificate for each key.

use crate::shown;
use certsync::base::{KeyFingerprint, RelPath, Secret};
use certsync::material::{
    FileKind, Judging, Material, Refusal, SetFacts, certificate_fingerprints, covers, describe, judge, kind_of, mixed, render,
};
use certsync::spec::Accept;
use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;

const EVERY_DOOR: [Accept; 6] = [Accept::Expired, Accept::NotYetValid, Accept::Names, Accept::Chain, Accept::UnpairedKey, Accept::Older];

/// What a set is judged under, as `judging.json` of the cases in `tests/cases/material` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Under {
    /// Unix seconds.
    pub now: i64,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    accept: BTreeSet<Accept>,
    #[serde(default)]
    revoked: BTreeSet<KeyFingerprint>,
}

impl Under {
    /// Nothing but the time.
    pub fn at(now: i64) -> Under {
        Under { now, names: Vec::new(), accept: BTreeSet::new(), revoked: BTreeSet::new() }
    }
}

/// One file of a set.
pub type File<'a> = (RelPath, &'a [u8]);

/// Takes `data` for a case: its first line is what it is judged under; each file begins with a line `=== set/NAME`, or `=== before/NAME`
/// for the set last accepted.
pub fn check(data: &[u8]) {
    let mut parts = Parts(data);
    let first = parts.next().unwrap_or_default();
    let under = serde_json::from_slice(first).unwrap_or_else(|_| Under::at(1_795_262_400));
    let (mut set, mut before) = (Vec::new(), Vec::new());
    for part in parts {
        let end = part.iter().position(|byte| *byte == b'\n').unwrap_or(part.len());
        let name = String::from_utf8_lossy(&part[..end]);
        let bytes = part.get(end + 1..).unwrap_or_default();
        let (list, name) = match (name.strip_prefix("set/"), name.strip_prefix("before/")) {
            (Some(name), _) => (&mut set, name),
            (_, Some(name)) => (&mut before, name),
            _ => continue,
        };
        if let Ok(path) = name.parse::<RelPath>() {
            list.push((path, bytes));
        }
    }
    let previous = (!before.is_empty()).then(|| material(&before).facts().clone());
    holds(&set, &under, previous.as_deref());
}

/// What stands between the lines that begin a file.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        const MARK: &[u8] = b"\n=== ";
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.windows(MARK.len()).position(|window| window == MARK);
        let part = &self.0[..end.unwrap_or(self.0.len())];
        self.0 = end.map_or(&[][..], |end| &self.0[end + MARK.len()..]);
        Some(part)
    }
}

fn material(files: &[File<'_>]) -> Material {
    Material::new(files.iter().map(|(path, bytes)| (path.clone(), Secret::new(bytes.to_vec()))).collect())
}

/// Everything that must hold of a set.
pub fn holds(files: &[File<'_>], under: &Under, previous: Option<&SetFacts>) {
    let set = material(files);
    let mut said = Said::default();
    for (path, bytes) in files.iter().rev() {
        file(path, bytes, under.now, &mut said);
    }
    said.add(set.warnings().join("\n"));
    facts(set.facts(), &mut said);
    judged(&set, under, previous, &mut said);
    in_any_order(files, &set, under, previous);
    rendered(&set);
    said.holds_no_key(files, &under.names);
}

/// Everything that was shown.
#[derive(Default)]
struct Said(String);

impl Said {
    fn add(&mut self, text: String) {
        shown::lines(&text);
        self.0.push_str(&text);
        self.0.push('\n');
    }

    /// No part of a private key, be it as base64 or as hexadecimal. What stands in the open elsewhere in the input may be shown.
    fn holds_no_key(&self, files: &[File<'_>], names: &[String]) {
        const LONG_ENOUGH: usize = 20;
        let mut open: Vec<u8> = files.iter().flat_map(|(path, _)| [path.as_str().as_bytes(), b"\n"].concat()).collect();
        open.extend_from_slice(names.join(", ").as_bytes());
        let mut private: Vec<&[u8]> = Vec::new();
        for (_, bytes) in files {
            split(bytes, &mut open, &mut private);
        }
        let whole = files.iter().map(|(_, bytes)| *bytes).filter(|bytes| private.is_empty() && kind_of(bytes) == FileKind::PrivateKey);
        let in_hex: Vec<String> = whole.flat_map(|der| der.chunks_exact(LONG_ENOUGH / 2)).map(certsync::base::hex).collect();
        assert!(!in_hex.iter().any(|piece| self.0.contains(piece)), "a piece of a private key is shown\n{}", self.0);
        // As it is shown: bytes that are no text look alike, and so do blanks.
        let open = words(&String::from_utf8_lossy(&open), |_| true);
        // Of public keys.
        let said = words(&self.0, |word| !word.contains("SHA256:"));
        for line in private {
            for piece in line.chunks_exact(LONG_ENOUGH) {
                let text = String::from_utf8_lossy(piece);
                assert!(!said.contains(&*text) || open.contains(&*text), "a piece of a private key is shown: {text}\n{}", self.0);
            }
        }
    }
}

/// The wanted words of a text with one blank between them.
fn words(text: &str, wanted: fn(&str) -> bool) -> String {
    text.split_whitespace().filter(|word| wanted(word)).collect::<Vec<_>>().join(" ")
}

fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// The lines of a file, apart: those in blocks of private keys, and all others.
fn split<'a>(bytes: &'a [u8], open: &mut Vec<u8>, private: &mut Vec<&'a [u8]>) {
    let mut inside = false;
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_end();
        let begins = line.starts_with(b"-----BEGIN ");
        if begins || line.starts_with(b"-----END ") {
            inside = begins && has(line, b"PRIVATE KEY");
        }
        if inside && !begins {
            private.push(line);
        } else {
            open.extend_from_slice(line);
            open.push(b'\n');
        }
    }
}

fn file(path: &RelPath, bytes: &[u8], now: i64, said: &mut Said) {
    let description = describe(bytes, now);
    assert_eq!(description.kind, kind_of(bytes));
    assert!(!description.lines.is_empty(), "{path} has no description");
    description.lines.iter().for_each(|line| shown::line(line));
    said.add(description.lines.join("\n"));
    let told = description.lines.iter().filter(|line| *line == "certificate").count();
    assert_eq!(certificate_fingerprints(bytes).len(), told, "each certificate is described: {:?}", description.lines);
    if description.kind.is_public() {
        assert!(!bytes.to_ascii_uppercase().windows(11).any(|window| window == b"PRIVATE KEY"), "{path} speaks of a private key");
        let key = bodies(bytes, |_| true).into_iter().find(|body| key_of(body).is_some());
        assert!(key.is_none(), "{path} holds a private key and is taken for {:?}", description.kind);
    }
}

/// The file itself and those of its PEM blocks whose first line is wanted, decoded, as lenient as can be.
fn bodies(bytes: &[u8], wanted: fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let mut out = vec![bytes.to_vec()];
    let mut text: Option<Vec<u8>> = None;
    for line in bytes.split(|byte| *byte == b'\n') {
        if line.starts_with(b"-----BEGIN ") {
            text = wanted(line.trim_ascii_end()).then(Vec::new);
        } else if line.starts_with(b"-----END ") {
            out.extend(text.take().map(|text| from_base64(&text)));
        } else if let Some(text) = &mut text {
            text.extend_from_slice(line);
        }
    }
    out
}

fn from_base64(text: &[u8]) -> Vec<u8> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// A private key as rustls reads it, who is asked as a second opinion.
fn key_of(der: &[u8]) -> Option<Arc<dyn SigningKey>> {
    PrivateKeyDer::try_from(der.to_vec()).ok().and_then(|key| any_supported_type(&key).ok())
}

fn facts(facts: &SetFacts, said: &mut Said) {
    for leaf in &facts.leaves {
        [&leaf.subject, &leaf.serial, &leaf.key_type].into_iter().for_each(|text| shown::line(text));
        leaf.names.iter().for_each(|name| shown::line(name));
        said.add(format!("{} {} {} {}", leaf.subject, leaf.names.join(" "), leaf.serial, leaf.key_type));
        assert!(facts.keys.contains(&leaf.key));
        for name in &leaf.names {
            covers(leaf, name);
        }
    }
    assert!(facts.keys.is_sorted_by(|a, b| a < b), "each key once, sorted");
    let written = serde_json::to_vec(facts).expect("facts are written");
    assert_eq!(serde_json::from_slice::<SetFacts>(&written).expect("facts are read"), *facts);
}

fn judged(set: &Material, under: &Under, previous: Option<&SetFacts>, said: &mut Said) {
    let with = |accept: &BTreeSet<Accept>, revoked: &BTreeSet<KeyFingerprint>| {
        judge(set, &Judging { names: &under.names, accept, revoked, previous, now: under.now })
    };
    let (every_door, no_door, nobody) = (BTreeSet::from(EVERY_DOOR), BTreeSet::new(), BTreeSet::new());
    let strict = with(&no_door, &under.revoked);
    for refusal in strict.as_ref().err().into_iter().flatten() {
        refused(refusal, said);
    }
    let found = with(&under.accept, &under.revoked);
    match (&found, &strict) {
        (Err(found), Err(strict)) => {
            assert!(!found.is_empty() && found.iter().all(|refusal| strict.contains(refusal)), "a door that is opened refuses");
            assert!(found.iter().all(|refusal| refusal.door.is_none_or(|door| !under.accept.contains(&door))), "an open door is open");
        }
        (Err(_), Ok(())) => panic!("a door that is opened refuses"),
        (Ok(()), _) => {}
    }
    assert!(with(&every_door, &nobody).is_ok(), "with every door open nothing but a revoked key is refused");
    for key in &set.facts().keys {
        assert!(with(&every_door, &BTreeSet::from([*key])).is_err(), "a revoked key passes");
    }
    if strict.is_ok() {
        pairs(set);
    }
}

fn refused(refusal: &Refusal, said: &mut Said) {
    shown::line(&refusal.message);
    assert!(refusal.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "{} has no way out", refusal.message);
    said.add(format!("{} {}", refusal.message, refusal.hint.as_deref().unwrap_or_default()));
}

/// Each key that rustls reads in an accepted set has a certificate there; which ones certsync reads and rustls does not are let pass.
fn pairs(set: &Material) {
    let all = |wanted| set.files().iter().flat_map(move |file| bodies(file.bytes.expose(), wanted));
    let certificates: Vec<CertificateDer<'static>> = all(|_| true).filter(|body| is_certificate(body)).map(CertificateDer::from).collect();
    // No program reads a key from a block of another label.
    for key in all(|line| line.ends_with(b"PRIVATE KEY-----")).filter_map(|body| key_of(&body)) {
        let is_other = |found: &CertificateDer<'static>| {
            let answer = CertifiedKey::new(vec![found.clone()], key.clone()).keys_match();
            matches!(answer, Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)))
        };
        assert!(!certificates.iter().all(is_other), "a key without its certificate is accepted");
    }
}

/// Whether certsync reads a certificate in it; trust settings may stand behind one.
fn is_certificate(der: &[u8]) -> bool {
    !certificate_fingerprints(der).is_empty() || !certificate_fingerprints(&crate::der::pem("CERTIFICATE", der)).is_empty()
}

fn in_any_order(files: &[File<'_>], set: &Material, under: &Under, previous: Option<&SetFacts>) {
    let mut names: Vec<&RelPath> = files.iter().map(|(path, _)| path).collect();
    names.sort();
    if !names.is_sorted_by(|a, b| a < b) {
        return;
    }
    let turned: Vec<File<'_>> = files.iter().rev().cloned().collect();
    let turned = material(&turned);
    assert_eq!((turned.digest(), turned.facts(), turned.warnings()), (set.digest(), set.facts(), set.warnings()));
    let judging = Judging { names: &under.names, accept: &under.accept, revoked: &under.revoked, previous, now: under.now };
    assert_eq!(judge(&turned, &judging), judge(set, &judging), "the order of files changes the judgement");
}

fn rendered(set: &Material) {
    let files = render(set, None).expect("every file, same name");
    assert_eq!(files.len(), set.files().len());
    for (shown, file) in files.iter().zip(set.files()) {
        assert_eq!((&shown.path, shown.bytes.expose(), shown.kind), (&file.path, file.bytes.expose(), file.kind));
    }
    let carried: Vec<RelPath> = set.files().iter().filter(|file| file.kind == FileKind::PrivateKey).map(|file| file.path.clone()).collect();
    for refusal in mixed(set, &carried, &BTreeSet::new()) {
        shown::line(&refusal.message);
    }
}
