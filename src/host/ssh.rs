//! Logging in to another host with the system's OpenSSH (ssh(1), ssh_config(5)).
//!
//! What the operator's ssh_config says holds: jump hosts, agents, certificates, algorithms. What certsync promises stands on the command
//! line, which goes before it: no question is asked, the host key is always checked, nothing is forwarded.

mod arguments;
mod failure;
mod remote;

pub use arguments::Login;
pub use failure::{Failure, Far, Why};
pub(super) use failure::{Hints, in_our_form, of_keys};
pub use remote::Finished;

use super::link::{Link, Patience, Trouble};
use crate::base::{Error, ErrorKind};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How much of what ssh and the far end print is kept, in bytes.
const KEPT: usize = 4 * 1024;
/// How long ssh may take to end after the stream has.
const GRACE: Duration = Duration::from_secs(2);
/// How long its end may go unnoticed, while it prints nothing.
const NAP: Duration = Duration::from_millis(5);

/// An `ssh` that runs. Dropped, it is killed.
pub struct Connection {
    link: Link,
    child: Child,
    hints: failure::Hints,
}

impl Connection {
    /// Starts `ssh`. Whether it gets anywhere is told by the first read.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn open(login: &Login, patience: Patience) -> Result<Connection, Failure> {
        Self::open_with("ssh", login, patience)
    }

    fn open_with(program: &str, login: &Login, patience: Patience) -> Result<Connection, Failure> {
        let left = patience.until.saturating_duration_since(Instant::now());
        // Nothing here that would have to be done between fork and exec: the start then copies none of our memory.
        let spawned = Command::new(program)
            .args(login.arguments(left))
            // Its messages are read.
            .env("LC_ALL", "C")
            .env("LANG", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|error| failure::not_started(program, &error))?;
        match over(&mut child, patience) {
            Ok(link) => Ok(Connection { link, child, hints: login.hints() }),
            Err(error) => {
                end(&mut child);
                Err(failure::not_started(program, &error))
            }
        }
    }

    /// The stream to the far end.
    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Why the stream has failed; none while it has not. ssh has said why by the time it ends, for which is waited a little.
    pub fn failure(&mut self) -> Option<Failure> {
        let trouble = self.link.trouble()?;
        self.link.finish();
        let status = self.wait(if trouble == Trouble::Ended { GRACE } else { Duration::ZERO });
        let end = status.map_or(failure::End::Running, |status| match (status.code(), status.signal()) {
            (Some(code), _) => failure::End::Exit(code),
            (None, signal) => failure::End::Signal(signal.unwrap_or_default()),
        });
        let heard = if self.link.has_heard() { failure::Before::Answered } else { failure::Before::Silent };
        Some(failure::explain(trouble, end, heard, &self.link.errors(), &self.hints))
    }

    /// Ends it in good order: nothing more is sent, and ssh may tell the far end good-bye.
    pub fn close(mut self) {
        self.link.finish();
        self.wait(GRACE);
    }

    /// How ssh has ended, after `time` at most.
    fn wait(&mut self, time: Duration) -> Option<std::process::ExitStatus> {
        let until = Instant::now() + time;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    self.link.take_errors(Duration::ZERO);
                    return Some(status);
                }
                // A master of shared connections may keep its end of the pipe open: that is not waited for.
                Ok(None) if Instant::now() < until => self.link.take_errors(NAP),
                Ok(None) => {
                    self.link.take_errors(Duration::ZERO);
                    return None;
                }
                Err(_) => return None,
            }
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.link.read(buffer)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.link.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.link.flush()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn over(child: &mut Child, patience: Patience) -> io::Result<Link> {
    let (Some(input), Some(output), Some(errors)) = (child.stdout.take(), child.stdin.take(), child.stderr.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    Link::new(input.into(), output.into(), patience)?.with_errors(errors.into(), KEPT)
}

/// Kills it, unless it has ended, and takes its number out of the table of processes.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// An operating system error in words.
fn text(error: &io::Error) -> String {
    Error::io(ErrorKind::Peer, "", error).cause
}

#[cfg(test)]
mod tests;
