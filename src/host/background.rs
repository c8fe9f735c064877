//! Processes that go on by themselves: a run of certsync that a gate starts and does not wait for.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that was started, and ends when it wants.
#[derive(Debug)]
pub struct Background {
    child: Child,
}

/// How a process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// It runs.
    Running,
    /// It has ended well.
    EndedWell,
    /// It has ended otherwise.
    EndedBadly,
}

/// Starts `program` in a process group of its own, with nothing on its standard streams. It outlives this process.
///
/// # Errors
/// What the kernel says.
pub fn start(program: &Path, arguments: &[OsString]) -> io::Result<Background> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.current_dir("/").process_group(0);
    Ok(Background { child: command.spawn()? })
}

impl Background {
    /// How it stands.
    pub fn stands(&mut self) -> Stands {
        match self.child.try_wait() {
            Ok(None) => Stands::Running,
            Ok(Some(status)) if status.success() => Stands::EndedWell,
            Ok(Some(_)) | Err(_) => Stands::EndedBadly,
        }
    }
}

/// Runs `program` to its end and returns what it printed on stdout, at most `limit` bytes.
///
/// # Errors
/// What the kernel says; `FileTooLarge`: it prints more.
pub fn output(program: &Path, arguments: &[OsString], limit: u64) -> io::Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).current_dir("/");
    let mut child = command.spawn()?;
    let mut bytes = Vec::new();
    let read = match child.stdout.take() {
        Some(stdout) => stdout.take(limit + 1).read_to_end(&mut bytes),
        None => Ok(0),
    };
    if bytes.len() as u64 > limit {
        // It would wait for a reader for ever.
        child.kill()?;
        child.wait()?;
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it prints more than {limit} bytes")));
    }
    child.wait()?;
    read.map(|_| bytes)
}
