//! The only door to the operating system: descriptor-relative file operations, users, processes, clock, locks.

pub mod clock;
pub mod dir;
pub mod lock;
pub mod process;
pub mod source;
pub mod tls;
pub mod users;
pub mod walk;

pub use dir::{Dir, Entry, Kind, Stat};
