//! The cases: nothing to do, one renewed, everything new; and how cost grows.

use crate::Options;
use crate::measure::{Candidate, Line, Sample, Series, in_turns};
use crate::report::{Bar, Report};
use crate::rivals::{self, FLOOR, SCRIPT, SCRIPT_LINKS};
use crate::tree::{HOOK, Source, Tree, name, remove, renewed};
use std::path::Path;

/// certsync with nothing to do, as it is called in the tables.
pub const APPLY: &str = "certsync apply";
const PLAN: &str = "certsync plan";
/// From so many sets on, the bars of a large tree hold.
const LARGE: usize = 1_000;
/// Puppet needs nine seconds for a thousand sets, Ansible two for one.
const MOST_FOR_PUPPET: usize = 1_000;
const MOST_FOR_ANSIBLE: usize = 10;

/// Runs them all.
pub fn run(options: &Options, work: &Path, report: &mut Report) {
    let certsync = options.certsync.as_deref();
    let floor = rivals::build_floor(work);
    report.note_version("rsync");
    let puppet = !options.no_puppet && rivals::there("puppet");
    let ansible = !options.no_ansible && rivals::there("ansible-playbook");
    for program in [("puppet", puppet), ("ansible-playbook", ansible)].into_iter().filter(|(_, used)| *used).map(|(program, _)| program) {
        report.note_version(program);
    }
    let hook = in_turns(&[Candidate::new(HOOK, Line::new(HOOK))], 20).remove(0);
    report.note(format!(
        "{HOOK} as a command of its own: {:.2} ms of CPU, {:.1} MiB at its peak",
        hook.median(Sample::cpu),
        hook.peak() / 1024.0
    ));
    for &sets in &options.small {
        small(&Tree::new(work.join("small"), sets, Source::Plain).with(certsync), &floor, rounds(options, sets), report);
        remove(&work.join("small"));
    }
    let mut growth = Vec::new();
    for &sets in &options.sets {
        let tree = Tree::new(work.join("tree"), sets, Source::Certbot).with(certsync);
        let rounds = rounds(options, sets);
        first_install(&tree, rounds.min(if sets > LARGE { 2 } else { 5 }), report);
        tree.copy();
        tree.settle();
        let mut others = Vec::new();
        if puppet && sets <= MOST_FOR_PUPPET {
            others.push(rivals::puppet(&tree));
        }
        if ansible && sets <= MOST_FOR_ANSIBLE {
            others.push(rivals::ansible(&tree));
        }
        growth.push((sets, quiet(&tree, &floor, others, rounds, report)));
        one_renewed(&tree, rounds.min(5), &hook, report);
        remove(&work.join("tree"));
    }
    report.growth(&growth);
}

fn rounds(options: &Options, sets: usize) -> usize {
    options.rounds.unwrap_or(match sets {
        0..=10 => 40,
        11..=100 => 20,
        101..=1_000 => 11,
        _ => 7,
    })
}

/// A spec of some sets with nothing to do, from plain directories, beside the script's rsync.
fn small(tree: &Tree, floor: &Path, rounds: usize, report: &mut Report) {
    tree.certsync("apply").arg("-q").run();
    tree.copy();
    tree.settle();
    let apply = Candidate::new(APPLY, tree.certsync("apply").arg("-q"));
    let plan = Candidate::new(PLAN, tree.certsync("plan").arg("-q"));
    let candidates = [apply, plan, rivals::floor(floor, tree), rivals::rsync("-avzic", tree), rivals::rsync("-a", tree)];
    let series = in_turns(&candidates, rounds);
    let title = format!("nothing to do, {} in the spec, plain directories", sets_word(tree.sets));
    let (ours, script) = (&series[0], named(&series, SCRIPT));
    report.bar(Bar::at_most(&title, "CPU, ms", 3.0, ours.median(Sample::cpu)));
    report.bar(Bar::at_most(&title, "wall, ms", 3.0, ours.median(wall)));
    report.bar(Bar::at_most(&title, &format!("wall, × {SCRIPT}"), 0.1, ours.median(wall) / script.median(wall)));
    report.bar(Bar::at_most(&title, "peak memory, MiB", 8.0, ours.peak() / 1024.0));
    report.table(&title, series);
}

/// A pattern set with nothing to do; the CPU of certsync.
fn quiet(tree: &Tree, floor: &Path, others: Vec<Candidate>, rounds: usize, report: &mut Report) -> f64 {
    let apply = Candidate::new(APPLY, tree.certsync("apply").arg("-q"));
    let plan = Candidate::new(PLAN, tree.certsync("plan").arg("-q"));
    let mut candidates = vec![apply, plan, rivals::floor(floor, tree), rivals::rsync("-avzicL", tree), rivals::rsync("-aL", tree)];
    candidates.extend(others);
    let series = in_turns(&candidates, rounds);
    let title = format!("nothing to do, {} through a pattern set", sets_word(tree.sets));
    let (ours, floor, script) = (&series[0], named(&series, FLOOR), named(&series, SCRIPT_LINKS));
    if tree.sets >= LARGE {
        let cpu = ours.median(Sample::cpu);
        report.bar(Bar::at_most(&title, &format!("CPU, × {FLOOR}"), 0.7, cpu / floor.median(Sample::cpu)));
        report.bar(Bar::at_most(&title, &format!("CPU, × {SCRIPT_LINKS}"), 0.5, cpu / script.median(Sample::cpu)));
        report.bar(Bar::at_most(&title, &format!("wall, × {SCRIPT_LINKS}"), 1.0 / 3.0, ours.median(wall) / script.median(wall)));
        report.bar(Bar::at_most(&title, "peak memory, MiB", 48.0, ours.peak() / 1024.0));
    }
    let cpu = ours.median(Sample::cpu);
    report.table(&title, series);
    cpu
}

/// One set of all is renewed, each time another one; in turns with runs that have nothing to do.
fn one_renewed(tree: &Tree, rounds: usize, hook: &Series, report: &mut Report) {
    let apply = tree.certsync("apply").arg("-q");
    let mut quiet = Series::new("nothing to do");
    let mut renewal = Series::new("one renewed, its hook included");
    let mut only_one = true;
    for round in 0..rounds.min(tree.sets) {
        // Spread over the whole tree.
        let number = round * tree.sets / rounds;
        quiet.samples.push(apply.measure());
        tree.renew(number, &renewed(number, 2), 2);
        let (changed, told) = tree.planned();
        only_one &= changed == [name(number)] && told == [name(number)];
        renewal.samples.push(apply.measure());
        tree.settle();
    }
    let title = format!("one of {} renewed", sets_word(tree.sets));
    assert!(only_one, "{title}: the plan shows that one and no other");
    let without_hook = renewal.median(Sample::cpu) - hook.median(Sample::cpu);
    if tree.sets >= 10 * LARGE {
        let title = &title;
        report.bar(Bar::at_most(title, "CPU without the hook's own, × nothing to do", 1.2, without_hook / quiet.median(Sample::cpu)));
    }
    report.table(&title, vec![renewal, quiet]);
}

/// Everything new, beside a copy of the same tree that is then brought to disk.
fn first_install(tree: &Tree, rounds: usize, report: &mut Report) {
    let (source, copy) = (tree.dir().join("source"), tree.dir().join("cp"));
    let sync = Line::new("sync");
    let cp = Line::new("sh").args(["-c", "cp -a \"$1\" \"$2\" && sync", "sh"]);
    let mut ours = Series::new("certsync apply, first install");
    let mut theirs = Series::new("cp -a of the source; sync");
    let mut alike = Series::new("cp -a of what certsync installed; sync");
    for _ in 0..rounds {
        tree.forget();
        sync.run();
        ours.samples.push(tree.certsync("apply").arg("-q").measure());
        for (series, from) in [(&mut theirs, &source), (&mut alike, &tree.installed())] {
            sync.run();
            series.samples.push(cp.clone().arg(from).arg(&copy).measure());
            remove(&copy);
        }
    }
    sync.run();
    let title = format!("first install of {}", sets_word(tree.sets));
    let (user, system) = (ours.median(|sample| sample.user), ours.median(|sample| sample.system));
    let waiting = (ours.median(wall) - user - system).max(0.0);
    let shares =
        format!("{title}: {user:.0} ms of CPU in certsync itself, {system:.0} ms in the kernel, {waiting:.0} ms of waiting for the disk");
    if tree.sets >= 10 * LARGE {
        report.bar(Bar::at_most(&title, "wall, × cp -a of the source; sync", 3.0, ours.median(wall) / theirs.median(wall)));
    }
    report.table(&title, vec![ours, theirs, alike]);
    report.note(shares);
    if tree.sets == LARGE && rivals::there("strace") {
        report.note(format!("{title}, system calls by the time spent in them: {}", calls_of_first_install(tree)));
    }
}

/// The system calls of a first install in which most time is spent, as strace counts it: strace itself makes each call slower, so
/// these are shares, not times. Waiting for threads and children is left out.
fn calls_of_first_install(tree: &Tree) -> String {
    const SHOWN: usize = 10;
    tree.forget();
    let summary = tree.dir().join("calls");
    tree.certsync("apply")
        .arg("-q")
        .under(Line::new("strace").args(["-f", "-c", "-w", "-U", "name,time-percent,calls", "-o"]).arg(&summary))
        .run();
    let text = std::fs::read_to_string(&summary).expect("what strace counted");
    let rows = text.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [name, percent, calls] if !WAITING.contains(&name) => Some((name, percent.parse::<f64>().ok()?, calls.parse::<usize>().ok()?)),
        _ => None,
    });
    let rows: Vec<(&str, f64, usize)> = rows.filter(|(name, ..)| *name != "total").collect();
    let whole: f64 = rows.iter().map(|(_, percent, _)| percent).sum();
    let told = rows.iter().take(SHOWN).map(|(name, percent, calls)| {
        format!("{name} {:.0} % ({:.1} for each set)", percent * 100.0 / whole, *calls as f64 / tree.sets as f64)
    });
    told.collect::<Vec<_>>().join(", ")
}

/// Calls whose time is that of others.
const WAITING: [&str; 6] = ["wait4", "waitid", "futex", "poll", "ppoll", "clock_nanosleep"];

fn wall(sample: &Sample) -> f64 {
    sample.wall
}

fn named<'a>(series: &'a [Series], name: &str) -> &'a Series {
    series.iter().find(|series| series.name == name).expect("it was measured")
}

/// "1 set", "10,000 sets".
fn sets_word(sets: usize) -> String {
    let digits = sets.to_string();
    let (thousands, rest) = digits.split_at(digits.len().saturating_sub(3));
    let comma = if thousands.is_empty() { "" } else { "," };
    format!("{thousands}{comma}{rest} set{}", if sets == 1 { "" } else { "s" })
}
