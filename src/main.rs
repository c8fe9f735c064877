//! certsync, the program: parses, calls, exits.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = certsync::host::process::shim_if_asked() {
        return code;
    }
    ExitCode::SUCCESS
}
