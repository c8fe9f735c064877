//! What is recorded: the state file, the cache, the store.

mod cache;
mod file;
pub mod requests;
mod store;
mod sweep;
#[cfg(test)]
mod test_dir;
pub mod turn;
mod types;

pub use cache::{Acl, Belief, Cache, Known};
pub use store::{Store, short};
pub use sweep::sweep;
pub use types::{GenerationState, Hold, Inode, InstallState, Mark, Returned, STATE_VERSION, SetState, State, parse_generation};
