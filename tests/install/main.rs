//! What `plan` and `apply` promise on one host (design, sections 3 to 7), proved on the built program with real files.

mod adoption;
mod carry;
mod clock;
mod cost;
mod damaged_state;
mod dest;
mod drift;
#[path = "../support/flips.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod flips;
mod host;
mod kill;
mod layouts;
#[path = "../support/leaks.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod leaks;
mod lost_state;
mod pairs;
mod passed_over;
mod patterns;
mod quiet;
mod scale;
mod soundness;
mod source;
mod state;
mod strangers;
