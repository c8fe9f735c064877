//! Processes that go on by themselves: a run of certsync that a gate starts and does not wait for.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

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

/// A process that is told something on its standard input, and then answers.
#[derive(Debug)]
pub struct Answering {
    child: Child,
    input: Option<ChildStdin>,
}

impl Answering {
    /// Starts `program`; what it prints on stderr is nobody's.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn start(program: &Path, arguments: &[OsString]) -> io::Result<Answering> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).current_dir("/");
        let mut child = command.spawn()?;
        Ok(Answering { input: child.stdin.take(), child })
    }

    /// That was all it is told: what it prints on stdout until its end, at most `limit` bytes.
    ///
    /// # Errors
    /// What the kernel says; `FileTooLarge`: it prints more.
    pub fn answer(mut self, limit: u64) -> io::Result<Vec<u8>> {
        drop(self.input.take());
        let mut bytes = Vec::new();
        let read = match self.child.stdout.take() {
            Some(stdout) => stdout.take(limit + 1).read_to_end(&mut bytes),
            None => Ok(0),
        };
        if bytes.len() as u64 > limit {
            // It would wait for a reader for ever.
            self.child.kill()?;
            self.child.wait()?;
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it prints more than {limit} bytes")));
        }
        self.child.wait()?;
        read.map(|_| bytes)
    }
}

impl Write for Answering {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.input.as_mut().map_or_else(|| Err(io::ErrorKind::BrokenPipe.into()), |input| input.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input.as_mut().map_or(Ok(()), Write::flush)
    }
}
