//! The log on stderr.

use super::cli::{GlobalArgs, LogFormat};
use std::io::stderr;
use tracing::Level;

/// Starts it: warnings, and with each `-v` a level more.
pub(super) fn start(global: &GlobalArgs) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => Level::ERROR,
        (false, 0) => Level::WARN,
        (false, 1) => Level::INFO,
        (false, 2) => Level::DEBUG,
        (false, _) => Level::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(stderr).with_ansi(false);
    // A second start in one process (a test) keeps the first.
    let _ = match global.log_format {
        LogFormat::Text => log.without_time().with_target(false).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}
