//! Sets as bytes: PEM and X.509 facts, the digest, judgement, descriptions. No I/O, no clock: pure functions of bytes.

mod certificate;
mod chain;
mod contents;
mod der;
mod describe;
mod facts;
mod half;
mod judge;
mod key;
mod name;
mod pem;
mod render;
mod set;
mod signature;
mod spki;
mod time;

pub use describe::{certificate_fingerprints, describe, kind_of};
pub use facts::{Description, FileKind, Leaf, SetFacts};
pub use half::mixed;
pub use judge::{Judging, Refusal, judge};
pub use name::covers;
pub use render::{RenderedFile, render};
pub use set::{Material, MaterialFile};
pub use time::utc;
