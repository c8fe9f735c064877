//! What must hold whatever the bytes are: one module for each fuzz target, each with one function `check` that panics where it does not.

pub mod cache;
pub mod der;
pub mod material;
pub mod plan;
pub mod shown;
pub mod spec;
pub mod state;
pub mod wire;
