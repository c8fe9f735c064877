//! Three ways in which people have certificates on many hosts today, each a shell script around rsync: the same failures happen to the script
//! and, beside it on the same nodes, to the example that replaces it.
//!
//! Each test plays one failure and puts what it saw into words; `docs/compared-with-scripts.md` has to say the same.

mod certbot;
mod mirror;
#[path = "../../install/pairs.rs"]
#[allow(dead_code, reason = "the other suite uses other parts of it")]
mod pairs;
mod pull;
mod push;
#[path = "../../e2e/support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "the other suite uses other parts of it")]
mod real;
mod table;
mod web;
mod world;

/// Leaves a test out, loudly, where a program is not here that these need beside those of every fleet.
pub fn is_lacking() -> bool {
    let missing = real::missing(&["rsync", "strace", "setsid", "sudo", "nginx", "openssl", "certbot", "pebble"]);
    if let Some(program) = missing {
        real::skip(std::thread::current().name().unwrap_or("a test"), format_args!("{program} is not installed"));
    }
    missing.is_some()
}
