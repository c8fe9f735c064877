//! Running a hook's command, in a world of its own (design, section 4).
//!
//! No code of ours runs between fork and exec. Instead a command is started through this same program, called
//! again with a hidden first argument (the shim): it becomes the user, sets up the process and then execs the command.
//! What to run, as whom and with which environment goes to it over a socket, so that nothing of it is seen in an argument list;
//! on the same socket it answers, and the silence after `READY` (the socket is close-on-exec) is the proof that the command was started.

mod harden;
mod owner;
mod shim;
mod stop;
pub(super) mod temporary;

pub use harden::harden;
pub use shim::{shim, shim_if_asked};
pub use temporary::TemporaryFile;

use crate::base::{Error, ErrorKind, printable};
use crate::host::output::{Output, set_nonblocking};
use crate::spec::{Command, HookUser};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use shim::{Answer, Order};
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};
use stop::{Stops, obey};

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

/// The fixed search path of a hook.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long after SIGTERM a process group is killed for good.
const GRACE: Duration = Duration::from_secs(2);
/// How long the output of what a command left behind is still read.
const DRAIN: Duration = Duration::from_millis(100);
/// How much of the end of what a command prints is kept, in bytes.
const KEPT: usize = 64 * 1024;
/// How long an event that has no descriptor to wait on may go unnoticed.
const NAP: Duration = Duration::from_millis(20);

/// Runs `job` to its end or its timeout. After the timeout its session's process group gets SIGTERM, and SIGKILL as soon as
/// the command has ended and closed its output, at the latest 2 seconds later. What an ended command left running in
/// the background is neither killed nor waited for.
///
/// A signal that tells this process to stop meanwhile ends the command in the same way, and this process after it.
pub fn run(job: &Job<'_>) -> Ended {
    run_through(Path::new("/proc/self/exe"), job)
}

/// [`run`] with another program as the shim: for programs that use this library but do not call [`shim_if_asked`],
/// such as its tests.
pub fn run_through(program: &Path, job: &Job<'_>) -> Ended {
    let deadline = Instant::now() + job.timeout;
    // Before there is a command to leave behind. Without it we would end as any program does.
    let stops = Stops::hold().ok().flatten();
    match start(program, job) {
        Ok(mut running) => {
            running.stops = stops;
            running.finish(deadline)
        }
        Err(error) => not_started(format!("cannot start {}: {}", printable(&program.to_string_lossy()), text(&error)), String::new()),
    }
}

struct Running {
    child: Child,
    pipe: OwnedFd,
    socket: UnixStream,
    output: Output,
    stops: Option<Stops>,
    /// What told us to stop.
    stop: Option<Signal>,
}

fn start(program: &Path, job: &Job<'_>) -> io::Result<Running> {
    let (socket, theirs) = UnixStream::pair()?;
    let (pipe, writer) = io::pipe()?;
    let fallback;
    let program = if program.exists() {
        program
    } else {
        fallback = std::env::current_exe()?;
        &fallback
    };
    // The command value owns our copies of the far ends: it must be gone before the first read.
    let mut child = std::process::Command::new(program)
        .arg(shim::ARGUMENT)
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    let sent = match send_order(&socket, job) {
        // It went away without listening: what it has answered tells why.
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(()),
        sent => sent,
    };
    if let Err(error) = sent.and_then(|()| set_nonblocking(&pipe)) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    Ok(Running { child, pipe: pipe.into(), socket, output: Output::keeping(KEPT), stops: None, stop: None })
}

fn send_order(mut socket: &UnixStream, job: &Job<'_>) -> io::Result<()> {
    let user = job.user;
    let fixed = [("PATH", PATH), ("LANG", "C.UTF-8"), ("SHELL", "/bin/sh")];
    let own = [("HOME", &user.home), ("USER", &user.name), ("LOGNAME", &user.name)].map(|(key, value)| (key, value.as_str()));
    let mut env: Vec<(String, String)> = fixed.into_iter().chain(own).map(|(key, value)| (key.into(), value.into())).collect();
    env.extend(job.env.iter().cloned());
    let argv = match job.command {
        Command::Argv(argv) => argv.clone(),
        Command::Shell(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
    };
    let order = Order { uid: user.uid, gid: user.gid, user: user.name.clone(), argv, env, core: harden::former_core_limit() };
    socket.set_write_timeout(Some(job.timeout.max(NAP)))?;
    socket.write_all(&serde_json::to_vec(&order)?)?;
    match socket.shutdown(Shutdown::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        done => done,
    }
}

impl Running {
    fn finish(mut self, deadline: Instant) -> Ended {
        let in_time = self.wait(deadline, Until::Ended);
        if !in_time {
            self.signal(Signal::SIGTERM);
            self.wait(Instant::now() + GRACE, Until::EndedAndSilent);
            // The leader is not reaped yet, so its number cannot have become another group's.
            self.signal(Signal::SIGKILL);
        }
        self.wait(Instant::now() + DRAIN, Until::EndedAndSilent);
        let status = self.child.wait();
        drop(self.stops.take());
        if let Some(stop) = self.stop {
            tracing::warn!("told to stop by {stop}: the command that ran was ended, and is owed");
            obey(stop);
        }
        let answer = shim::read_answer(&self.socket);
        let output = self.output.text();
        match (answer, status) {
            (Answer::Failed(why), _) => not_started(why, output),
            _ if !in_time => Ended { how: End::TimedOut, output },
            (Answer::Nothing, _) => not_started("the program that was to start it did not answer".into(), output),
            (Answer::Started, Ok(status)) => {
                let how = match (status.code(), status.signal()) {
                    (Some(code), _) => End::Exit(code),
                    (None, signal) => End::Signal(signal.unwrap_or_default()),
                };
                Ended { how, output }
            }
            (Answer::Started, Err(error)) => not_started(format!("how it ended cannot be learned: {}", text(&error)), output),
        }
    }

    /// Reads output until the command has come to `until`, or `deadline` has passed, or we are told to stop (while it has not ended);
    /// whether it has come to it.
    fn wait(&mut self, deadline: Instant, until: Until) -> bool {
        let mut nap = Duration::from_millis(1);
        loop {
            // In this order: what a command printed before it ended is read after its end was seen.
            let ended = self.has_ended();
            let more = self.output.read_some(&self.pipe);
            if ended && (until == Until::Ended || self.output.is_closed()) {
                return true;
            }
            if until == Until::Ended {
                self.stop = self.stops.as_ref().and_then(Stops::next);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stop.is_some() && until == Until::Ended {
                return false;
            }
            if more {
                continue;
            }
            if self.output.is_closed() {
                sleep(nap.min(left));
                nap = (nap * 2).min(NAP);
            } else {
                let timeout = PollTimeout::try_from(NAP.min(left)).unwrap_or(PollTimeout::ZERO);
                let _ = poll(&mut [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)], timeout);
            }
        }
    }

    /// Whether the command itself has ended; it is left unreaped.
    fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.pid()), flags) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => false,
            Ok(_) | Err(_) => true,
        }
    }

    fn signal(&self, signal: Signal) {
        // Without a group the shim has not come to make one.
        if killpg(self.pid(), signal).is_err() {
            let _ = kill(self.pid(), signal);
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Ended,
    EndedAndSilent,
}

fn not_started(why: String, output: String) -> Ended {
    Ended { how: End::NotStarted(why), output }
}

/// An operating system error in words.
fn text(error: &io::Error) -> String {
    Error::io(ErrorKind::Hook, "", error).cause
}
