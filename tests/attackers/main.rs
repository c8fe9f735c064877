//! Each attacker of SECURITY.md, played by root and by a real user against the built program: `scripts/prove attackers`. Needs root.

#[path = "../install/host.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod host;
#[path = "../support/leaks.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod leaks;
#[path = "../install/pairs.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod pairs;

#[path = "../faults/trace.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod trace;

mod believed;
mod fortress;
mod him;
mod hooks;
mod model;
mod moved;
mod names;
mod planted;
mod process;
mod swapped;
mod wider;
