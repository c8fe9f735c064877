//! What is on the host now, at one `dest`. Changes nothing.

mod look;
mod types;

pub use look::{Depth, How, is_leftover, observe, own_dir, read_generation};
pub use types::{
    CURRENT, META, META_MODE, Marker, OWNER_FILE, ObservedDest, ObservedDir, ObservedFile, ObservedInstall, ObservedName, ObservedTree,
    Rights,
};
