//! certsync beside what people use now, in one run: `cargo bench --bench compare -- --help`.
//!
//! What is measured, and against which bar, is told in `docs/performance.md`. Bars are printed, never asserted: time is no test.

mod cases;
mod machine;
mod measure;
#[path = "../../tests/install/pairs.rs"]
#[allow(dead_code, reason = "the tests use other parts of it")]
mod pairs;
mod report;
mod rivals;
mod tree;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares certsync with what people use now.
#[derive(Debug, Parser)]
#[command(name = "compare")]
struct Options {
    /// How many sets, in the cases through a pattern set
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000")]
    sets: Vec<usize>,
    /// How many sets, in the case of a small spec
    #[arg(long, value_delimiter = ',', default_value = "1,10")]
    small: Vec<usize>,
    /// Measure each command this often, instead of as often as its size allows
    #[arg(long)]
    rounds: Option<usize>,
    /// Measure this certsync instead of the one that cargo has built beside
    #[arg(long, value_name = "FILE")]
    certsync: Option<PathBuf>,
    /// Leave Puppet out
    #[arg(long)]
    no_puppet: bool,
    /// Leave Ansible out
    #[arg(long)]
    no_ansible: bool,
    /// Where the trees are made, in a directory of their own that is removed at the end
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
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
    let work = tempfile::Builder::new().prefix("certsync-compare-").tempdir_in(options.work.clone().unwrap_or_else(std::env::temp_dir));
    let work = work.expect("a directory for the trees");
    let mut report = report::Report::new(machine::Machine::of(work.path(), options.certsync.as_deref()));
    cases::run(&options, work.path(), &mut report);
    report.finish();
    for (file, text) in [(&options.json, report.json()), (&options.markdown, report.markdown())] {
        if let Some(file) = file {
            std::fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
    ExitCode::SUCCESS
}
