//! The only door to the operating system: descriptor-relative file operations, users, processes, clock, locks.

mod acl;
pub mod background;
pub mod beside;
pub mod clock;
pub mod dir;
pub mod edit;
mod file;
mod follow;
pub mod glance;
mod identity;
pub mod link;
pub mod lock;
pub mod orphan;
mod output;
pub mod process;
mod program;
mod resolve;
pub mod rsync;
pub mod scratch;
mod search;
pub mod source;
pub mod ssh;
mod stat;
#[cfg(test)]
mod testing;
pub mod tls;
mod tree;
mod trodden;
mod trust;
pub mod users;
pub mod walk;

pub use dir::{Dir, Durability, Entry, Kind, Stat, unique, write_atomic};
pub use file::Stream;
pub use program::this_program;
