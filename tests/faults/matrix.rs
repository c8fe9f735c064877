//! Every point of a scenario, tried by several workers at a time.

use super::bench::{Bench, Ends, Found};
use super::cut::Before;
use super::points::{self, Kind, Point};
use super::record::{Recording, strace};
use super::scenarios::Scenario;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// How often a point is tried anew where the fault met another call than meant: whether contents are read again can depend on the clock.
const TRIES: u32 = 5;
/// Points of one scenario in a slice.
const SLICE: usize = 24;

/// Tries the scenario's points and prints what came of them; panics unless all held.
pub fn run(scenario: &Scenario) {
    run_some(scenario, chosen);
}

/// The same with the points that are meant only, in a slice too.
pub fn run_those(scenario: &Scenario, meant: fn(&Point) -> bool) {
    run_some(scenario, |all| all.iter().filter(|point| meant(point)).cloned().collect());
}

fn run_some(scenario: &Scenario, choose: impl FnOnce(&[Point]) -> Vec<Point>) {
    let started = Instant::now();
    let mut bench = Bench::new();
    (scenario.start)(&mut bench);
    (scenario.arm)(&mut bench);
    let recording = Recording::of(&bench, scenario);
    bench.is_settled(scenario.ends).expect("without a fault all is well");
    drop(bench);
    let all = points::of(&recording);
    let chosen = choose(&all);
    assert!(!chosen.is_empty(), "{}: there are such points", scenario.name);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(2, usize::from) + 1;
    std::thread::scope(|scope| {
        for _ in 0..workers.min(chosen.len()) {
            scope.spawn(|| work(scenario, &chosen, &next, &results));
        }
    });
    let results = results.into_inner().expect("all workers ended well");
    assert_eq!(results.len(), chosen.len(), "every point was tried");
    report(scenario, &all, &results, started);
}

/// All of them; in a slice some, spread over the run and over the kinds; or those that CERTSYNC_POINT names.
fn chosen(all: &[Point]) -> Vec<Point> {
    if let Some(wanted) = std::env::var_os("CERTSYNC_POINT") {
        let wanted = wanted.to_string_lossy().into_owned();
        return all.iter().filter(|point| wanted.split('|').any(|part| point.to_string().contains(part))).cloned().collect();
    }
    if std::env::var_os("CERTSYNC_SLICE").is_none() {
        return all.to_vec();
    }
    // A step that shares no factor with the number of kinds at a call meets all kinds.
    let step = (all.len() / SLICE).max(1) | 1;
    all.iter().step_by(step).cloned().collect()
}

fn work(scenario: &Scenario, points: &[Point], next: &AtomicUsize, results: &Mutex<Vec<(Kind, Found<()>)>>) {
    let mut bench = None;
    while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
        let held = try_point(scenario, point, &mut bench);
        if held.is_err() {
            bench = None;
        }
        let held = held.map_err(|why| format!("{point}: {why}"));
        results.lock().expect("no worker panics here").push((point.kind, held));
    }
}

/// Tries one point, on the host of the point before if all held there, and on a new one if the fault missed.
fn try_point(scenario: &Scenario, point: &Point, bench: &mut Option<Bench>) -> Found<()> {
    for _ in 0..TRIES {
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let bench = bench.get_or_insert_with(|| {
                let mut bench = Bench::new();
                (scenario.start)(&mut bench);
                bench
            });
            (scenario.arm)(bench);
            let before = matches!(point.kind, Kind::PowerCut(_)).then(|| Before::of(bench));
            let (output, calls) = strace(bench, &point.options(), scenario.command);
            if !point.was_met(&calls, bench.host.dir()) {
                return Ok(false);
            }
            if let (Some(before), Kind::PowerCut(loss)) = (before, point.kind) {
                before.cut(bench, &calls, loss);
            }
            judge(scenario, point, bench, &output).map(|()| true)
        }));
        match tried {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => *bench = None,
            Ok(Err(why)) => return Err(why),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                return Err(text.unwrap_or_default());
            }
        }
    }
    Err("the fault never met the call it was meant for".into())
}

/// What must hold after one run with a fault, and after the next without.
fn judge(scenario: &Scenario, point: &Point, bench: &Bench, output: &Output) -> Found<()> {
    bench.keeps_keys(output)?;
    let stands = bench.stands();
    if let Kind::Fails(error) = point.kind {
        says_so(scenario, error, point, bench, output)?;
    }
    stands?;
    if scenario.without_source {
        bench.rolls_forward()?;
    }
    bench.recovers(scenario.ends)?;
    if bench.gone_at_last.is_empty() { Ok(()) } else { bench.comes_to_its_end(scenario.command, point.kind) }
}

/// A run that met an error says so and exits non-zero; or all is in place nevertheless, and it says at least a warning.
fn says_so(scenario: &Scenario, error: &str, point: &Point, bench: &Bench, output: &Output) -> Found<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {
            bench.is_settled(Ends::Settled).and_then(|()| bench.is_gone(point.kind)).map_err(|why| format!("exit status 0, but {why}"))?;
            // What was interrupted is simply done again.
            let again = error == "EINTR" && point.call == "write";
            let warned = said.contains("WARN ")
                || String::from_utf8_lossy(&output.stdout).lines().any(|line| line.trim_start().starts_with("warning: "));
            if again || warned { Ok(()) } else { Err(format!("exit status 0 without a word: {said}")) }
        }
        Some(1) if said.contains("certsync: error: ") => Ok(()),
        code => Err(format!("exit status {code:?} in {}, saying: {said}", scenario.name)),
    }
}

fn report(scenario: &Scenario, all: &[Point], results: &[(Kind, Found<()>)], started: Instant) {
    let mut kinds: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    for (kind, held) in results {
        let (tried, good) = kinds.entry(*kind).or_default();
        *tried += 1;
        *good += usize::from(held.is_ok());
    }
    let words: Vec<String> = kinds.iter().map(|(kind, (tried, good))| format!("{kind} {good}/{tried}")).collect();
    let good = results.iter().filter(|(_, held)| held.is_ok()).count();
    println!(
        "{}: {} points, {} tried, {good} held ({}), {} s",
        scenario.name,
        all.len(),
        results.len(),
        words.join(", "),
        started.elapsed().as_secs()
    );
    let bad: Vec<&String> = results.iter().filter_map(|(_, held)| held.as_ref().err()).collect();
    bad.iter().for_each(|why| println!("  {why}"));
    assert!(bad.is_empty(), "{}: {} points did not hold", scenario.name, bad.len());
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}: {}", self.kind, self.call, self.nth, self.signature)
    }
}
