//! What is recorded: the state file, the cache, the store.

pub mod answers;
mod asleep;
mod cache;
mod contents;
mod file;
mod floors;
pub mod inbox;
pub mod mirror;
mod names;
mod offers;
mod peers;
pub mod requests;
mod share;
mod staged;
mod standing;
mod store;
mod sweep;
#[cfg(test)]
pub(crate) mod test_dir;
mod trail;
pub mod turn;
mod types;

pub use cache::{Cache, Common, Quiet};
pub use contents::{Acl, Belief, Contents, Known, Looked};
pub use floors::{Floor, Floors, floors, keep_floors, raise, retract};
pub use names::{MARKS, is_of_state};
pub use offers::{Offer, Offers, Spread};
pub use peers::{InStep, Index, Peer, Peers, Trouble, TroubleKind};
pub use share::share;
pub use staged::{Released, Staged, forget_past, keep_released, keep_staged, released, staged};
pub use standing::{HookStanding, Level, SetStanding, Standing, in_parts};
pub use store::{Fresh, Store, short};
pub use sweep::sweep;
pub use trail::{Print, Step, Trace, What};
pub use types::{GenerationState, Hold, Inode, InstallState, Mark, Returned, STATE_VERSION, SetState, State, parse_generation};
