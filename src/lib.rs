//! certsync makes a host what one YAML spec says: certificate sets, owners, groups, modes, hooks.
//!
//! The flow, and the folders that show it, are drawn in `ARCHITECTURE.md`.

pub mod apply;
pub mod base;
pub mod collect;
pub mod commands;
pub mod fleet;
pub mod host;
pub mod material;
pub mod observe;
pub mod plan;
pub mod progress;
pub mod spec;
pub mod state;
pub mod status;
pub mod survey;
