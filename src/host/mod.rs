//! The only door to the operating system: descriptor-relative file operations, users, processes, clock, locks.

mod acl;
pub mod clock;
pub mod dir;
mod file;
pub mod lock;
pub mod process;
pub mod source;
mod stat;
pub mod tls;
mod tree;
pub mod users;
pub mod walk;

pub use dir::{Dir, Durability, Entry, Kind, Stat, unique, write_atomic};
