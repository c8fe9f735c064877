//! What a fleet costs, in one run: `cargo bench --bench fleet -- --help`.
//!
//! What is measured, and against which bar, is told in `docs/performance.md`. Bars are printed, never asserted: time is no test. What can be
//! counted is asserted.

mod group;
mod in_step;
#[path = "../compare/machine.rs"]
mod machine;
#[path = "../compare/measure.rs"]
#[allow(dead_code, reason = "compare uses other parts of it")]
mod measure;
mod nodes;
#[path = "../../tests/install/pairs.rs"]
#[allow(dead_code, reason = "the tests use other parts of it")]
mod pairs;
#[path = "../compare/report.rs"]
#[allow(dead_code, reason = "compare uses other parts of it")]
mod report;
#[path = "../../tests/support/fleet/mod.rs"]
mod support;

use clap::Parser;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// Measures a fleet.
#[derive(Debug, Parser)]
#[command(name = "fleet")]
struct Options {
    /// How many servers are in step, in the case with nothing to do; 0 leaves it out
    #[arg(long, default_value_t = 3_000)]
    servers: usize,
    /// How many sets each of them has
    #[arg(long, default_value_t = 100)]
    sets: usize,
    /// Measure each command of that case this often
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// How many nodes with an sshd each, in the case of a renewal; 0 leaves it out
    #[arg(long, default_value_t = 200)]
    nodes: usize,
    /// How many of them Ansible has to do with
    #[arg(long, default_value_t = 20)]
    ansible_nodes: usize,
    /// Measure each way of bringing the renewal this often
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Leave Ansible out
    #[arg(long)]
    no_ansible: bool,
    /// Write every sample and every bar to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables to this file, as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == measure::ALONE) {
        return measure::alone(args);
    }
    let options = Options::parse();
    let work = tempfile::Builder::new().prefix("certsync-fleet-size-").tempdir().expect("a directory");
    let mut report = report::Report::new(machine::Machine::of(work.path(), None));
    if options.servers > 0 {
        in_step::run(&options, work.path(), &mut report);
    }
    if options.nodes > 0 {
        nodes::run(&options, &mut report);
    }
    report.finish();
    for (file, text) in [(&options.json, report.json()), (&options.markdown, report.markdown())] {
        if let Some(file) = file {
            std::fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
    ExitCode::SUCCESS
}

/// Whether a program can be started; says so when not.
fn is_there(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = asked.is_ok_and(|status| status.success());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}
