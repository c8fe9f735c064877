//! What the end-to-end tests share: a sandbox per test, real programs in it, and a record of everything certsync said and kept.

pub mod acme;
pub mod certsync;
#[path = "../../support/leaks.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
pub mod leaks;
pub mod mail;
pub mod pki;
pub mod postgres;
pub mod process;
pub mod sandbox;
pub mod tls;
pub mod web;

pub use certsync::{CHANGED, FAILED, UNCHANGED};
pub use sandbox::Sandbox;

use std::fmt::Display;
use std::io::Write;
use std::path::Path;

/// Says aloud that a test cannot run here. Written past the test runner's capture, which hides what passing tests print.
pub fn skip(test: &str, why: impl Display) {
    let _ = writeln!(std::io::stderr(), "{test}: skipped: {why}");
}

/// The first of `programs` that is not installed.
pub fn missing<'a>(programs: &[&'a str]) -> Option<&'a str> {
    programs.iter().copied().find(|program| find(program).is_none())
}

/// Where a program is: on the PATH, or where Debian keeps those for root.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"])
        .map(|folder| Path::new(folder).join(program))
        .find(|file| file.is_file())
}

/// Whether this process is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Leaves the test, saying why, where a program is missing: `needs!("nginx", "openssl")`, or `needs!(root, "postfix")`.
#[macro_export]
macro_rules! needs {
    (root $(, $program:literal)*) => {
        if !$crate::support::is_root() {
            return $crate::support::skip($crate::test_name!(), "needs root");
        }
        $crate::needs!($($program),*)
    };
    ($($program:literal),*) => {
        if let Some(program) = $crate::support::missing(&[$($program),*]) {
            return $crate::support::skip($crate::test_name!(), format_args!("{program} is not installed"));
        }
    };
}

/// The name of the running test: libtest names the thread after it.
#[macro_export]
macro_rules! test_name {
    () => {
        std::thread::current().name().unwrap_or("a test")
    };
}
