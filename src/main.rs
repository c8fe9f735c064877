//! Parses, calls, exits; everything else is in the library.

use certsync::commands;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run(std::env::args_os())
}
