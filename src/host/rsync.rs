//! Running the system's rsync (rsync(1)) over ssh or to an rsync daemon, as a client.
//!
//! Over ssh the login is the same as everywhere here: no question is asked, the host key is always checked, nothing is forwarded. What comes
//! from the far end is bounded: in time, in what it prints, and by whoever watches what it writes.

mod failure;
mod files;
pub mod listing;

pub use failure::{Failure, Why};
pub use files::{check_identity, check_password_file};

use super::output::{Output, set_nonblocking};
use super::ssh::Login;
use crate::base::AbsPath;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How much of what is printed as errors is kept, in bytes.
const KEPT: usize = 8 * 1024;
/// How long rsync may take to end what it has started, once it was told to.
const GRACE: Duration = Duration::from_secs(2);
/// How often whoever watches is asked, and an end noticed that has no descriptor to wait on.
const TICK: Duration = Duration::from_millis(20);
/// How long its end may go unnoticed once it has closed what it prints to.
const NAP: Duration = Duration::from_millis(1);

/// How the far end is reached.
#[derive(Debug, Clone, Copy)]
pub enum Over<'a> {
    /// Over ssh. A place there is written `host:path` with [`Over::place`].
    Ssh(&'a Login),
    /// An rsync daemon, `rsync://…`.
    Daemon {
        /// Where it is not the usual one, and not in the address.
        port: Option<u16>,
        /// The file with the password, where it wants one.
        password_file: Option<&'a AbsPath>,
    },
}

impl Over<'_> {
    /// The directory `path` there, as rsync writes it: for a daemon the whole address.
    pub fn place(&self, path: &str) -> String {
        match self {
            Over::Ssh(login) => format!("{}:{path}", login.rsync_host()),
            Over::Daemon { .. } => path.to_owned(),
        }
    }
}

/// One run of rsync.
#[derive(Debug)]
pub struct Rsync<'a> {
    /// How the far end is reached.
    pub over: Over<'a>,
    /// Its options.
    pub options: &'a [&'a str],
    /// What is read, and what is written, if anything is.
    pub places: &'a [&'a str],
    /// What it reads on stdin.
    pub input: &'a [u8],
    /// How much it may print, in bytes: more is a failure.
    pub most: usize,
    /// When it must be through.
    pub until: Instant,
}

impl Rsync<'_> {
    /// Runs it to its end and returns what it has printed on stdout. `watch` is asked again and again meanwhile, and ends it with a cause.
    ///
    /// # Errors
    /// It did not end well, or was ended.
    pub fn run(&self, watch: impl FnMut() -> Result<(), String>) -> Result<Vec<u8>, Failure> {
        self.run_with("rsync", watch)
    }

    fn run_with(&self, program: &str, mut watch: impl FnMut() -> Result<(), String>) -> Result<Vec<u8>, Failure> {
        let spawned = self.command(program).spawn();
        let child = spawned.map_err(|error| failure::not_started(program, &error))?;
        let mut running = Running::new(child, self.input).map_err(|error| failure::not_started(program, &error))?;
        let ended = running.see_through(self, &mut watch);
        let status = match ended {
            Ended::By(status) => status,
            Ended::Too(cut) => {
                running.stop();
                return Err(failure::cut(cut, &running.errors.text()));
            }
        };
        if status.success() {
            return Ok(std::mem::take(&mut running.out));
        }
        let hints = match self.over {
            Over::Ssh(login) => Some(login.hints()),
            Over::Daemon { .. } => None,
        };
        Err(failure::explain((status.code(), status.signal()), &running.errors.text(), hints.as_ref()))
    }

    fn command(&self, program: &str) -> Command {
        let left = self.until.saturating_duration_since(Instant::now());
        let mut command = Command::new(program);
        match self.over {
            Over::Ssh(login) => {
                let mut line = vec!["ssh".to_owned()];
                line.extend(login.options(left));
                line.push("--".into());
                command.arg("-e").arg(line.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
            }
            Over::Daemon { port, password_file } => {
                command.args(port.map(|port| format!("--port={port}")));
                command.args(password_file.map(|file| format!("--password-file={file}")));
                command.arg(format!("--contimeout={}", seconds(left)));
                // Without one it would ask for it, on a terminal if there is one.
                command.env("RSYNC_PASSWORD", "");
            }
        }
        // Should we be killed, it does not wait for ever for a far end that stands still.
        command.arg(format!("--timeout={}", seconds(left))).args(self.options).arg("--").args(self.places);
        // What would change the meaning of the command line.
        for name in ["RSYNC_RSH", "RSYNC_ICONV", "RSYNC_PARTIAL_DIR", "RSYNC_OLD_ARGS", "RSYNC_PROTECT_ARGS", "RSYNC_CHECKSUM_LIST"] {
            command.env_remove(name);
        }
        // Its messages and lists are read.
        command.env("LC_ALL", "C").env("LANG", "C").env("TZ", "UTC").current_dir("/");
        command.stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// A word for the option `-e`, which rsync splits at spaces; between quotes two of them stand for one (rsync(1), `--rsh`).
fn quoted(word: &str) -> String {
    if word.contains([' ', '\'', '"']) { format!("'{}'", word.replace('\'', "''")) } else { word.to_owned() }
}

fn seconds(time: Duration) -> u64 {
    time.as_secs().clamp(1, 3600)
}

/// What cut a run short.
enum Cut {
    /// It took too long.
    Late,
    /// It printed too much.
    Loud,
    /// Whoever watches says so.
    Watched(String),
}

enum Ended {
    By(ExitStatus),
    Too(Cut),
}

/// An rsync that runs. Dropped, it is killed.
struct Running<'a> {
    child: Child,
    input: Option<OwnedFd>,
    left: &'a [u8],
    output: Option<OwnedFd>,
    out: Vec<u8>,
    said: Option<OwnedFd>,
    errors: Output,
}

impl<'a> Running<'a> {
    fn new(mut child: Child, input: &'a [u8]) -> io::Result<Running<'a>> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let running = Running {
            child,
            input: stdin.map(OwnedFd::from),
            left: input,
            output: stdout.map(OwnedFd::from),
            out: Vec::new(),
            said: stderr.map(OwnedFd::from),
            errors: Output::keeping(KEPT),
        };
        for pipe in [&running.input, &running.output, &running.said].into_iter().flatten() {
            set_nonblocking(pipe)?;
        }
        Ok(running)
    }

    fn see_through(&mut self, call: &Rsync<'_>, watch: &mut impl FnMut() -> Result<(), String>) -> Ended {
        loop {
            // In this order: what was printed before the end is read after the end was seen. A child of its own, such as the master of
            // shared ssh connections, may keep the pipes open: that is not waited for.
            let status = self.child.try_wait().ok().flatten();
            self.exchange();
            if self.out.len() > call.most {
                return Ended::Too(Cut::Loud);
            }
            if let Err(cause) = watch() {
                return Ended::Too(Cut::Watched(cause));
            }
            if let Some(status) = status {
                return Ended::By(status);
            }
            let left = call.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ended::Too(Cut::Late);
            }
            self.wait(left.min(TICK));
        }
    }

    /// Moves what can be moved without waiting, a bounded amount of it.
    fn exchange(&mut self) {
        while let Some(pipe) = self.input.as_ref().filter(|_| !self.left.is_empty()) {
            match nix::unistd::write(pipe, self.left) {
                Ok(written) => self.left = &self.left[written..],
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                // Why nobody reads it is told by its end.
                Err(_) => self.left = &[],
            }
        }
        if self.left.is_empty() {
            self.input = None;
        }
        let mut chunk = [0; 64 * 1024];
        for _ in 0..64 {
            let Some(pipe) = &self.output else { break };
            match nix::unistd::read(pipe, &mut chunk) {
                Ok(0) => self.output = None,
                Ok(read) => self.out.extend_from_slice(&chunk[..read]),
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(_) => self.output = None,
            }
        }
        if let Some(pipe) = &self.said {
            for _ in 0..64 {
                if !self.errors.read_some(pipe) {
                    break;
                }
            }
            if self.errors.is_closed() {
                self.said = None;
            }
        }
    }

    /// Until something can be moved, for `time` at most.
    fn wait(&self, time: Duration) {
        let ins = [&self.output, &self.said].into_iter().flatten().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        let outs = self.input.iter().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
        let mut all: Vec<PollFd<'_>> = ins.chain(outs).collect();
        // With nothing to wait on it is a pause, and the end is near.
        let time = if all.is_empty() { time.min(NAP) } else { time };
        let _ = poll(&mut all, PollTimeout::try_from(time.as_millis().saturating_add(1)).unwrap_or(PollTimeout::ZERO));
    }

    /// Tells it to end: rsync ends its own children, ssh among them, when it is told so.
    fn stop(&mut self) {
        let pid = i32::try_from(self.child.id()).unwrap_or(i32::MAX);
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            // Its number is still its own: it was not waited for.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let until = Instant::now() + GRACE;
        while self.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < until {
            self.exchange();
            self.out.clear();
            self.wait(TICK);
        }
        self.exchange();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests;
