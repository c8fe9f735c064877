//! One command measured: CPU, wall time, peak memory.
//!
//! The kernel lets a process start with the peak memory of the one it was forked from, and tells the CPU of children only as a sum. So each
//! command gets a parent of its own: this program again, small, with that one child. See [`alone`].

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The argument that makes this program the parent of one command.
pub const ALONE: &str = "--measure-alone";

/// What one run cost, its own children included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Milliseconds of CPU in user mode.
    pub user: f64,
    /// Milliseconds of CPU in the kernel.
    pub system: f64,
    /// Milliseconds from start to end.
    pub wall: f64,
    /// Peak resident memory of the largest process, KiB.
    pub peak: f64,
}

impl Sample {
    /// Milliseconds of CPU.
    pub fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// A command that is measured.
#[derive(Debug, Clone)]
pub struct Line {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Line {
    /// A command line.
    pub fn new(program: impl AsRef<OsStr>) -> Line {
        Line { program: program.as_ref().to_owned(), args: Vec::new(), env: Vec::new() }
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Line {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Line {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// With a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Line {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// As the arguments of another command, such as strace.
    #[must_use]
    pub fn under(self, other: Line) -> Line {
        Line { env: self.env, ..other.arg(self.program).args(self.args) }
    }

    /// Runs it in a parent of its own.
    ///
    /// # Panics
    /// If it does not end with status 0.
    pub fn measure(&self) -> Sample {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(ALONE).arg(&self.program).args(&self.args);
        let output = self.surroundings(&mut command).stdin(Stdio::null()).output().expect("this program starts");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{self:?}: {}: {stdout}{stderr}", output.status);
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{self:?}: {error}: {stdout}{stderr}"))
    }

    /// Runs it unmeasured; what it printed.
    ///
    /// # Panics
    /// If it does not end with status 0.
    pub fn run(&self) -> String {
        let mut command = Command::new(&self.program);
        let output = self.surroundings(command.args(&self.args)).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", Path::new(&self.program).display()));
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{self:?}: {}: {stdout}{stderr}", output.status);
        stdout.into_owned()
    }

    fn surroundings<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        for name in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("LC_ALL", "C.UTF-8")
    }
}

/// The other end of [`Line::measure`]: starts the command, waits, prints what it cost. The status it ended with is ours.
///
/// The kernel counts the CPU of a process when its parent waits for it. Those whose parent did not become our children here, and are waited for.
pub fn alone(mut args: impl Iterator<Item = OsString>) -> std::process::ExitCode {
    nix::sys::prctl::set_child_subreaper(true).expect("to become the parent of orphans");
    let mut command = Command::new(args.next().expect("a command"));
    command.args(args).stdout(Stdio::null());
    let start = Instant::now();
    let status = match command.status() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("{}: {error}", Path::new(command.get_program()).display());
            return 127.into();
        }
    };
    let wall = start.elapsed().as_secs_f64() * 1e3;
    while nix::sys::wait::wait().is_ok() {}
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("resource usage");
    let milliseconds = |time: nix::sys::time::TimeVal| time.num_microseconds() as f64 / 1e3;
    let (user, system) = (milliseconds(usage.user_time()), milliseconds(usage.system_time()));
    let sample = Sample { user, system, wall, peak: usage.max_rss() as f64 };
    println!("{}", serde_json::to_string(&sample).expect("numbers"));
    if status.success() { 0.into() } else { u8::try_from(status.code().unwrap_or(1)).unwrap_or(1).into() }
}

/// What several runs of one command cost.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    /// What ran.
    pub name: String,
    /// In the order of the runs.
    pub samples: Vec<Sample>,
}

impl Series {
    /// No sample yet.
    pub fn new(name: &str) -> Series {
        Series { name: name.to_owned(), samples: Vec::new() }
    }

    /// The least of a figure.
    pub fn least(&self, figure: fn(&Sample) -> f64) -> f64 {
        self.samples.iter().map(figure).fold(f64::INFINITY, f64::min)
    }

    /// The median of a figure.
    pub fn median(&self, figure: fn(&Sample) -> f64) -> f64 {
        let mut sorted: Vec<f64> = self.samples.iter().map(figure).collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() % 2 {
            _ if sorted.is_empty() => f64::NAN,
            0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        }
    }

    /// The largest peak, KiB.
    pub fn peak(&self) -> f64 {
        self.samples.iter().map(|sample| sample.peak).fold(0.0, f64::max)
    }
}

/// How often a command is measured.
#[derive(Debug, Clone, Copy)]
pub enum Rounds {
    /// As often as the others, after one run that warms up.
    All,
    /// Only so often, without a warm-up, since each run takes long.
    AtMost(usize),
}

/// One of the commands that are compared.
#[derive(Debug, Clone)]
pub struct Candidate {
    name: String,
    line: Line,
    rounds: Rounds,
}

impl Candidate {
    /// A command under its name in the tables.
    pub fn new(name: &str, line: Line) -> Candidate {
        Candidate { name: name.to_owned(), line, rounds: Rounds::All }
    }

    /// Measured so often.
    #[must_use]
    pub fn rounds(self, rounds: Rounds) -> Candidate {
        Candidate { rounds, ..self }
    }
}

/// Measures commands in turns, A B C A B C …, so that what the machine does meanwhile meets all alike.
pub fn in_turns(candidates: &[Candidate], rounds: usize) -> Vec<Series> {
    let mut all: Vec<Series> = candidates.iter().map(|candidate| Series::new(&candidate.name)).collect();
    for round in 0..=rounds {
        for (candidate, series) in candidates.iter().zip(&mut all) {
            match candidate.rounds {
                Rounds::All if round == 0 => drop(candidate.line.measure()),
                Rounds::AtMost(most) if round == 0 || round > most => {}
                Rounds::All | Rounds::AtMost(_) => series.samples.push(candidate.line.measure()),
            }
        }
    }
    all
}
