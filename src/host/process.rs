//! Running a hook's command.

use crate::base::{AbsPath, Result};
use crate::spec::{Command, HookUser};
use std::time::Duration;

/// One command to run.
pub struct Job<'a> {
    /// What to run.
    pub command: &'a Command,
    /// As whom, with all of that user's groups.
    pub user: &'a HookUser,
    /// Added to the fixed environment (PATH, HOME, LANG, USER, LOGNAME, SHELL).
    pub env: Vec<(String, String)>,
    /// When its process group is killed.
    pub timeout: Duration,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// In which way.
    pub how: End,
    /// What it printed on stdout and stderr, in order, the last 64 KiB of it, printable (line breaks kept).
    pub output: String,
}

/// In which way a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It was killed after its timeout.
    TimedOut,
    /// It could not be started; why.
    NotStarted(String),
}

/// Runs `job` to its end or its timeout.
pub fn run(job: &Job<'_>) -> Ended {
    let _ = job;
    todo!()
}

/// The hidden second half of [`run`]: called by `main` when this process was started as the shim. Becomes the
/// user, sets umask 022, cwd `/`, no stdin, then execs; returns only on failure.
pub fn shim(arguments: &[std::ffi::OsString]) -> std::process::ExitCode {
    let _ = arguments;
    todo!()
}

/// Writes `bytes` to a new file readable by `user` alone, in a private temporary directory, and removes both when dropped:
/// what `CERTSYNC_CHANGES` names.
pub struct TemporaryFile {
    path: AbsPath,
}

impl TemporaryFile {
    /// Makes it.
    pub fn new(bytes: &[u8], user: &HookUser) -> Result<TemporaryFile> {
        let _ = (bytes, user);
        todo!()
    }
    /// Where it is.
    pub fn path(&self) -> &AbsPath {
        &self.path
    }
}

/// Makes this process fit to hold keys: not dumpable, no core file; as root, no supplementary groups. Called once at the start.
pub fn harden() -> Result<()> {
    todo!()
}
