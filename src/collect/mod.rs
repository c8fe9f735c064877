//! Step 4 of apply: read each set this host needs, and judge it.

mod names;
mod read;
mod received;

pub use names::{Named, name_sets};
pub use read::{Accepted, Found, collect, reread};
pub use received::{Asked, Incoming, Received, Renewal, admit, expected, judge_again, keep_for_now};
