//! Many certsyncs with real sshds between them.
//!
//! Not part of a plain `cargo test`; run by `cargo test --test fleet`, as root. What a test needs and does not find here, it names.

#![allow(clippy::duplicate_mod, reason = "what the end-to-end tests have is used here with their own copy of what it uses")]

mod bare;
mod bare_cut;
mod bare_others;
mod broken;
mod cable;
mod faults;
mod first;
mod further_turn;
mod gate_user;
#[path = "../support/hosts.rs"]
mod hosts;
mod keys;
mod kills;
mod large;
mod masters;
mod partition;
mod peers;
mod plans;
mod revisions;
mod rollout;
mod runbooks;
mod services;
mod setups;
mod signals;
mod stage;
mod status;
#[path = "../support/fleet/mod.rs"]
mod support;
mod upstreams;

/// Leaves a test out, loudly, where something it needs is not here.
#[macro_export]
macro_rules! needs_a_fleet {
    () => {
        if $crate::support::is_lacking(std::thread::current().name().unwrap_or("a test")) {
            return;
        }
    };
}
