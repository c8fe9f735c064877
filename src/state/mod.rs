//! What is recorded: the state file, the cache, the store.

pub mod requests;
#[cfg(test)]
mod test_dir;
pub mod turn;
mod types;

pub use types::{GenerationState, Hold, Inode, InstallState, Mark, Returned, STATE_VERSION, SetState, State};
