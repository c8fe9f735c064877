//! Sets as bytes: PEM and X.509 facts, the digest, judgement. No I/O.

mod facts;

pub use facts::{Description, FileKind, Leaf, SetFacts};
