//! What is recorded: the state file, the cache, the store.

mod types;

pub use types::{GenerationState, Hold, Inode, InstallState, Mark, Returned, STATE_VERSION, SetState, State};
