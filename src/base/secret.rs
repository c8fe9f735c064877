//! Bytes that may hold a private key.

use super::ContentHash;
use zeroize::Zeroizing;

/// Bytes that may hold a private key: no `Debug`, `Display`, `Clone` or `Serialize`, wiped when dropped.
///
/// Everything read from a source is held in this type, public or not, so that no code path has to decide
/// before the bytes were looked at.
#[derive(Default)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over `bytes`; the caller must not have kept a copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(Zeroizing::new(bytes))
    }

    /// The bytes themselves: for hashing, parsing and writing to a checked descriptor, nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as plain ones: only for files of certsync's own that never hold a key, its state and its cache.
    pub fn into_public(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// SHA-256 of the bytes.
    pub fn sha256(&self) -> ContentHash {
        ContentHash::of(&self.0)
    }
}
