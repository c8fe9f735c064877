//! Parses, calls, exits; everything else is in the library.

use certsync::commands;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Started by ourselves to become a hook's command.
    if let Some(code) = certsync::host::process::shim_if_asked() {
        return code;
    }
    commands::run(std::env::args_os())
}
