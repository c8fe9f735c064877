//! Many at once: applies, deploy-hooks, rollbacks and plans, at any moment of each other. `CERTSYNC_SLICE` does less of it.

mod crowd;
mod host;
#[path = "../support/mod.rs"]
mod support;
mod timings;
mod traced;
mod waiting;
