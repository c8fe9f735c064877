//! Public keys as OpenSSH writes them (sshd(8), AUTHORIZED_KEYS FILE FORMAT), and their fingerprints.

use super::base64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// Why a text is no public key, or no fingerprint of one. It repeats nothing of the text but its first word, where that is a plain one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKeyError(String);

impl fmt::Display for SshKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SshKeyError {}

/// The longest line that is looked at, in bytes: an RSA key of 16384 bits has 2.8 KiB.
const LONGEST: usize = 8 * 1024;

/// What follows the type's name within a key of that type.
#[derive(Clone, Copy)]
enum Part {
    /// A string of this many bytes.
    Bytes(usize),
    /// The name of a curve.
    Curve(&'static str),
    /// A point on a curve, uncompressed, so that it begins with a 4, of this many bytes with it.
    Point(usize),
    /// A positive number (RFC 4251, section 5, mpint), written in the one way it is.
    Number,
    /// The application that a security key was enrolled for.
    Application,
}

/// The types OpenSSH knows, with the layout of their keys: RFC 4253 (6.6), RFC 5656 (3.1), RFC 8709 (4), and PROTOCOL.u2f of OpenSSH.
const KINDS: &[(&str, &[Part])] = &[
    ("ssh-ed25519", &[Part::Bytes(32)]),
    ("ecdsa-sha2-nistp256", &[Part::Curve("nistp256"), Part::Point(65)]),
    ("ecdsa-sha2-nistp384", &[Part::Curve("nistp384"), Part::Point(97)]),
    ("ecdsa-sha2-nistp521", &[Part::Curve("nistp521"), Part::Point(133)]),
    ("ssh-rsa", &[Part::Number, Part::Number]),
    ("sk-ssh-ed25519@openssh.com", &[Part::Bytes(32), Part::Application]),
    ("sk-ecdsa-sha2-nistp256@openssh.com", &[Part::Curve("nistp256"), Part::Point(65), Part::Application]),
];

/// A public key of OpenSSH: read from `ssh-ed25519 AAAA… [comment]`, written without the comment. One key has one value: two that are equal
/// have the same fingerprint, and the other way round.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SshKey {
    kind: &'static str,
    blob: Vec<u8>,
}

impl SshKey {
    /// The Ed25519 key of these 32 bytes (RFC 8709).
    pub fn ed25519(public: &[u8; 32]) -> SshKey {
        const KIND: &str = "ssh-ed25519";
        let mut blob = Vec::new();
        for part in [KIND.as_bytes(), public] {
            blob.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            blob.extend_from_slice(part);
        }
        SshKey { kind: KIND, blob }
    }

    /// Its bytes as they stand in a line in base64.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Its type, as `ssh-ed25519`.
    pub fn algorithm(&self) -> &'static str {
        self.kind
    }

    /// Its fingerprint.
    pub fn id(&self) -> SshKeyId {
        SshKeyId(Sha256::digest(&self.blob).into())
    }
}

impl FromStr for SshKey {
    type Err = SshKeyError;

    fn from_str(text: &str) -> Result<Self, SshKeyError> {
        let wrong = |why: String| Err(SshKeyError(why));
        if text.contains("PRIVATE KEY-") {
            return wrong("this is a private key: only its public half, the line in the file that ends in .pub, belongs here".into());
        }
        if text.len() > LONGEST {
            return wrong(format!("a public key is longer than {LONGEST} bytes"));
        }
        // A line break would begin another line of authorized_keys, with options of somebody else's choice.
        if text.chars().any(|c| c.is_control()) {
            return wrong("a public key holds a line break or another control character".into());
        }
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let Some(first) = words.next() else {
            return wrong("a public key is empty".into());
        };
        let Some((kind, parts)) = KINDS.iter().find(|(kind, _)| *kind == first) else {
            return wrong(not_a_kind(first));
        };
        let Some(blob) = words.next().and_then(base64::decode) else {
            return wrong(format!("after {kind} there is no base64 of a key"));
        };
        match layout(&blob, kind, parts) {
            Ok(()) => Ok(SshKey { kind, blob }),
            Err(why) => wrong(why),
        }
    }
}

/// Why the first word is not the type of a key that is taken.
fn not_a_kind(first: &str) -> String {
    let known = || KINDS.iter().map(|(kind, _)| *kind).collect::<Vec<_>>().join(", ");
    // Lower case only: a piece of base64 is not repeated, it may come from a private key.
    let plain = first.len() <= 40 && first.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'@'));
    match first {
        _ if first.starts_with("SHA256:") => {
            "this is a fingerprint: the whole public key is needed, the line in the file that ends in .pub".into()
        }
        "ssh-dss" => "a DSA key: OpenSSH takes them no more, make one with ssh-keygen -t ed25519".into(),
        _ if first.contains("-cert-v01@") => "a certificate of a key: write the public key itself".into(),
        _ if first.starts_with("AAAA") => format!("before the base64 the type of the key is missing, one of {}", known()),
        _ if plain => format!("begins with {first}, not with the type of a key: {}", known()),
        _ => format!("does not begin with the type of a key: {}", known()),
    }
}

/// Whether a key's bytes are what its type says, all of them.
fn layout(blob: &[u8], kind: &str, parts: &[Part]) -> Result<(), String> {
    let cut = || format!("a key of type {kind} is cut short");
    let (inner, mut rest) = string(blob).ok_or_else(cut)?;
    if inner != kind.as_bytes() {
        return Err(format!("a key that calls itself {kind} is one of another type inside"));
    }
    for part in parts {
        let (value, after) = string(rest).ok_or_else(cut)?;
        rest = after;
        let good = match part {
            Part::Bytes(length) => value.len() == *length,
            Part::Curve(name) => value == name.as_bytes(),
            Part::Point(length) => value.len() == *length && value[0] == 4,
            Part::Number => matches!(value, [1..=127, ..] | [0, 128..=255, ..]),
            Part::Application => value.is_ascii(),
        };
        if !good {
            return Err(format!("a key of type {kind} does not hold what such a key holds"));
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(format!("a key of type {kind} is followed by bytes that do not belong to it")) }
}

/// A string of RFC 4251, section 5: its length in four bytes, then itself; and what comes after it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, base64::encode_padded(&self.blob))
    }
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id())
    }
}

impl Serialize for SshKey {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SshKey {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for SshKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SshKey".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A public key as OpenSSH writes it: its type and base64, optionally a comment",
            "pattern": "^ *(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ +[A-Za-z0-9+/]+={0,2}( .*)?$"
        })
    }
}

/// SHA-256 of a public key's bytes, written `SHA256:` and base64 without padding, as `ssh-keygen -l` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SshKeyId([u8; 32]);

impl SshKeyId {
    /// The 32 bytes in hexadecimal: for the name of a file, where a fingerprint's slash cannot be.
    pub fn hex(&self) -> String {
        super::hex(&self.0)
    }
}

impl FromStr for SshKeyId {
    type Err = SshKeyError;

    fn from_str(text: &str) -> Result<Self, SshKeyError> {
        let bytes = text.strip_prefix("SHA256:").and_then(base64::decode).and_then(|bytes| bytes.try_into().ok());
        let wrong =
            || SshKeyError("not the fingerprint of a public key: SHA256: and 43 characters of base64, as ssh-keygen -l shows it".into());
        bytes.map(SshKeyId).ok_or_else(wrong)
    }
}

impl fmt::Display for SshKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", base64::encode(&self.0))
    }
}

impl fmt::Debug for SshKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SshKeyId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SshKeyId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for SshKeyId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SshKeyId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "SHA-256 of a public key of OpenSSH: SHA256: and base64, as ssh-keygen -l shows it",
            "pattern": "^SHA256:[A-Za-z0-9+/]{43}=?$"
        })
    }
}

#[cfg(test)]
mod tests;
