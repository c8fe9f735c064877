//! What is known about a set without its bytes: safe to store, print and compare.

use crate::base::{ContentHash, KeyFingerprint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Facts of a whole set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetFacts {
    /// The leaves: certificates whose key is in the set; without keys, the first that is not a CA.
    pub leaves: Vec<Leaf>,
    /// Fingerprints of the public halves of all keys and of all leaves' keys, sorted, each once.
    pub keys: Vec<KeyFingerprint>,
}

/// One leaf certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leaf {
    /// Subject in RFC 4514 style, printable.
    pub subject: String,
    /// DNS names and IP addresses of subjectAltName (common name where there is none), printable, sorted.
    pub names: Vec<String>,
    /// Serial number in lower-case hexadecimal.
    pub serial: String,
    /// Start of validity, Unix seconds.
    pub not_before: i64,
    /// End of validity, Unix seconds.
    pub not_after: i64,
    /// SHA-256 of the DER certificate.
    pub fingerprint: ContentHash,
    /// Fingerprint of its public key.
    pub key: KeyFingerprint,
    /// Kind of key: `RSA 2048`, `EC P-256`, `Ed25519`.
    pub key_type: String,
}

impl SetFacts {
    /// The earliest end of validity of its leaves, Unix seconds.
    pub fn not_after(&self) -> Option<i64> {
        self.leaves.iter().map(|leaf| leaf.not_after).min()
    }

    /// Whether one of its keys is among these.
    pub fn has_key_of(&self, keys: &BTreeSet<KeyFingerprint>) -> bool {
        self.keys.iter().any(|key| keys.contains(key))
    }
}

/// What a file was recognised as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Certificates and nothing private.
    Certificates,
    /// Revocation lists.
    Crl,
    /// Certificate signing requests.
    Csr,
    /// Diffie-Hellman parameters.
    DhParameters,
    /// Public keys.
    PublicKey,
    /// Holds a private key, alone or beside certificates.
    PrivateKey,
    /// Anything else; carried privately.
    Unrecognised,
}

impl FileKind {
    /// Whether it may be shown and get `file_mode`.
    pub fn is_public(self) -> bool {
        !matches!(self, FileKind::PrivateKey | FileKind::Unrecognised)
    }
}

/// One file in an operator's words: what plan's diff compares line by line. Never a byte of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// What the file is.
    pub kind: FileKind,
    /// Printable lines.
    pub lines: Vec<String>,
}
