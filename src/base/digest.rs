//! Hashes: of a file, of a set, of a generation, of a public key.

use super::base64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]].map(char::from);
    bytes.iter().flat_map(digits).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut out = [0u8; 32];
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(out)
}

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes 32 bytes that are already such a hash.
            pub fn from_bytes(bytes: [u8; 32]) -> Self { $name(bytes) }
            /// The 32 bytes.
            pub fn as_bytes(&self) -> &[u8; 32] { &self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&hex(&self.0)) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&hex(&self.0[..6])) }
        }
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                unhex(text).map($name).ok_or_else(|| format!("not 64 hexadecimal digits: {}", super::printable(text)))
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.collect_str(self) }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
            }
        }
    };
}

hash_type!(
    /// SHA-256 of one file's content, in hexadecimal.
    ContentHash
);
hash_type!(
    /// The version of a set: SHA-256 over the version tag and the sorted, length-prefixed list of
    /// (relative path, SHA-256 of content). Owner and mode are no part of it.
    Digest
);
hash_type!(
    /// SHA-256 over the paths and contents of one generation, rendered and carried files alike.
    GenerationHash
);

impl ContentHash {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        ContentHash(Sha256::digest(bytes).into())
    }
}

fn list_hash<'a>(tag: &str, files: impl IntoIterator<Item = (&'a str, &'a ContentHash)>) -> [u8; 32] {
    let mut sorted: Vec<_> = files.into_iter().collect();
    sorted.sort();
    let mut hasher = Sha256::new();
    hasher.update(tag.as_bytes());
    hasher.update([0]);
    for (path, hash) in sorted {
        hasher.update((path.len() as u64).to_be_bytes());
        hasher.update(path.as_bytes());
        hasher.update(hash.0);
    }
    hasher.finalize().into()
}

impl Digest {
    /// The digest of a set of files given as (relative path, content hash), in any order.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a ContentHash)>) -> Self {
        Digest(list_hash("certsync set 1", files))
    }
}

impl GenerationHash {
    /// The hash of a generation's files given as (relative path, content hash), in any order.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a ContentHash)>) -> Self {
        GenerationHash(list_hash("certsync generation 1", files))
    }
}

/// SHA-256 of a public key's DER SubjectPublicKeyInfo (RFC 5280, 4.1.2.7), written `SHA256:` and base64
/// without padding, as ssh-keygen writes fingerprints. Also read: base64 with padding, and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyFingerprint([u8; 32]);

impl KeyFingerprint {
    /// The fingerprint of a DER SubjectPublicKeyInfo.
    pub fn of_spki(der: &[u8]) -> Self {
        KeyFingerprint(Sha256::digest(der).into())
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", base64::encode(&self.0))
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyFingerprint {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("not a key fingerprint: {}", super::printable(text));
        let body = text.strip_prefix("SHA256:").ok_or_else(wrong)?;
        if let Some(bytes) = unhex(&body.to_ascii_lowercase()) {
            return Ok(KeyFingerprint(bytes));
        }
        base64::decode(body).and_then(|bytes| bytes.try_into().ok()).map(KeyFingerprint).ok_or_else(wrong)
    }
}

impl Serialize for KeyFingerprint {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyFingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for KeyFingerprint {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "KeyFingerprint".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "SHA-256 of a public key (DER SubjectPublicKeyInfo): SHA256: and base64 or 64 hexadecimal digits",
            "pattern": "^SHA256:([A-Za-z0-9+/]{43}=?|[0-9a-fA-F]{64})$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ContentHash, Digest, KeyFingerprint};

    #[test]
    fn a_key_fingerprint_reads_what_it_writes() {
        let key = KeyFingerprint::of_spki(b"some key");
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(format!("SHA256:{}", super::hex(&key.0)).parse(), Ok(key));
        assert_eq!(key.to_string().len(), "SHA256:".len() + 43);
    }

    #[test]
    fn the_order_of_files_does_not_change_a_digest() {
        let (a, b) = (ContentHash::of(b"a"), ContentHash::of(b"b"));
        assert_eq!(Digest::of([("x", &a), ("y", &b)]), Digest::of([("y", &b), ("x", &a)]));
        assert_ne!(Digest::of([("x", &a), ("y", &b)]), Digest::of([("x", &b), ("y", &a)]));
    }
}
