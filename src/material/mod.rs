//! Sets as bytes: PEM and X.509 facts, the digest, judgement. No I/O.

mod facts;
mod judge;
mod render;
mod set;

pub use facts::{Description, FileKind, Leaf, SetFacts};
pub use judge::{Judging, Refusal, judge};
pub use render::{RenderedFile, render};
pub use set::{Material, MaterialFile};

/// x
pub fn kind_of(_bytes: &[u8]) -> FileKind {
    FileKind::Unrecognised
}
/// Describes a file in an operator's words, days left at `now` (Unix seconds).
pub fn describe(bytes: &[u8], _now: i64) -> Description {
    Description { kind: kind_of(bytes), lines: vec![format!("{} bytes, sha256 {}", bytes.len(), crate::base::ContentHash::of(bytes))] }
}
/// SHA-256 of the DER of each certificate in a file, in the file's order.
pub fn certificate_fingerprints(_bytes: &[u8]) -> Vec<crate::base::ContentHash> {
    Vec::new()
}
/// Whether a leaf is good for a server of this name or address.
pub fn covers(_leaf: &Leaf, _server_name: &str) -> bool {
    false
}
