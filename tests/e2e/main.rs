//! certsync with the real programs around it: ACME clients before it, servers after it.
//!
//! Not part of a plain `cargo test`; run by `cargo test --test e2e`. What a test needs and does not find here, it names.

mod certbot_nginx;
mod clients;
mod examples;
mod key_leaks;
mod lineages;
mod runbooks;
mod servers;
mod servers_start;
mod support;
