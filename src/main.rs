//! Parses, calls, exits; everything else is in the library.

use certsync::commands;
use certsync::host::process::{harden, shim_if_asked};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Started by ourselves to become a hook's command.
    if let Some(code) = shim_if_asked() {
        return code;
    }
    match harden() {
        Ok(()) => commands::run(std::env::args_os()),
        Err(error) => commands::refuse(&error),
    }
}
