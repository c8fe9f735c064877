//! What goes wrong around certsync: full, read-only and foreign file systems, clocks, sources and hooks that misbehave; and whether
//! what it takes for unchanged is. Needs root and a mount namespace of its own, which `scripts/prove adverse` makes.

mod copies;
mod crowds;
#[path = "../support/flips.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod flips;
#[path = "../install/host.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod host;
#[path = "../support/leaks.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod leaks;
mod mounts;
#[path = "../install/pairs.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod pairs;
mod soundness;
mod space;
mod watched;
