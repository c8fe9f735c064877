//! What is on the host now, at one `dest`. Changes nothing.

mod look;
mod types;

pub use look::{Depth, How, TAKEN, is_foreign_folder, is_leftover, marker, observe, own_dir, read_generation};
pub use types::{
    CURRENT, META, META_MODE, Marker, OWNER_FILE, ObservedDest, ObservedDir, ObservedFile, ObservedInstall, ObservedName, ObservedTree,
    Rights,
};
