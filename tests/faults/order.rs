//! The order of barriers and names in recorded runs, and that the model which judges it can fail.

use super::bench::Bench;
use super::can_inject;
use super::power::{There, complaints, tree};
use super::record::Recording;
use super::scenarios::{self, Scenario};
use super::trace::Call;
use std::collections::{BTreeMap, BTreeSet};

/// A recorded run, and what was there before it.
struct Run {
    recording: Recording,
    before: BTreeMap<String, There>,
}

impl Run {
    fn of(scenario: &Scenario) -> Run {
        let mut bench = Bench::new();
        (scenario.start)(&mut bench);
        (scenario.arm)(&mut bench);
        let before = tree(bench.host.dir());
        let recording = Recording::of(&bench, scenario);
        bench.is_settled(scenario.ends).expect("without a fault all is well");
        Run { recording, before }
    }

    fn complaints(&self, calls: &[Call]) -> Vec<String> {
        complaints(calls, &self.recording.dir, self.before.clone())
    }

    /// The kinds of barriers: what is synced, whatever it is called in this run.
    fn barriers(&self) -> BTreeSet<String> {
        let barriers = self.recording.calls.iter().filter(|call| is_barrier(call));
        barriers.map(|call| call.signature(&self.recording.dir)).collect()
    }

    /// The barriers without which, one kind at a time, the model has something to say; and the others.
    fn needed(&self) -> (Vec<String>, Vec<String>) {
        let without = |barrier: &String| {
            let is_it = |call: &Call| is_barrier(call) && call.signature(&self.recording.dir) == *barrier;
            let left: Vec<Call> = self.recording.calls.iter().filter(|call| !is_it(call)).cloned().collect();
            !self.complaints(&left).is_empty()
        };
        self.barriers().into_iter().partition(without)
    }
}

fn is_barrier(call: &Call) -> bool {
    ["fsync", "fdatasync", "syncfs"].contains(&call.name.as_str())
}

#[test]
fn nothing_is_shown_before_it_is_on_disk() {
    if !can_inject() {
        return;
    }
    let mut wrong = Vec::new();
    for scenario in [
        scenarios::FIRST,
        scenarios::FIRST_FLAT,
        scenarios::RENEWAL,
        scenarios::RENEWAL_FLAT,
        scenarios::ADOPTION,
        scenarios::ADOPTION_FLAT,
        scenarios::TO_FLAT,
        scenarios::TO_GENERATIONS,
        scenarios::DRIFT,
        scenarios::ROLLBACK,
        scenarios::PRUNE,
        scenarios::REMOVE,
        scenarios::CHECK,
        scenarios::CHECK_FLAT,
        scenarios::MANY,
        scenarios::MANY_RENEWALS,
    ] {
        let run = Run::of(&scenario);
        let found = run.complaints(&run.recording.calls);
        let (needed, others) = run.needed();
        println!(
            "{}: {} calls, {} barriers of {} kinds, {} of them needed, {} complaints",
            scenario.name,
            run.recording.calls.len(),
            run.recording.calls.iter().filter(|call| is_barrier(call)).count(),
            needed.len() + others.len(),
            needed.len(),
            found.len()
        );
        // A dest or the folder of its set in which nothing has changed is synced all the same.
        let spare = |other: &&String| !["/ssl>", "/other>", "/.certsync/site>"].iter().any(|end| other.ends_with(end));
        // A removal forgets only what is gone for good; the model asks no more than that nothing half gone is shown.
        let spare = |other: &&String| scenario.name != scenarios::REMOVE.name && spare(other);
        wrong.extend(others.iter().filter(spare).map(|other| format!("{}: nobody would miss {other}", scenario.name)));
        wrong.extend(found.into_iter().map(|complaint| format!("{}: {complaint}", scenario.name)));
    }
    let text = wrong.join("\n");
    assert!(wrong.is_empty(), "{text}");
}

/// The calls of a recorded renewal, changed by `change`, must not pass.
fn is_noticed(change: impl Fn(&mut Vec<Call>), complaint: &str) {
    if !can_inject() {
        return;
    }
    let run = Run::of(&scenarios::RENEWAL);
    let mut calls = run.recording.calls.clone();
    assert_eq!(run.complaints(&calls), Vec::<String>::new());
    change(&mut calls);
    let found = run.complaints(&calls);
    assert!(found.iter().any(|found| found.contains(complaint)), "{found:#?}");
}

/// Where the first call stands that gives something this name.
fn first_named(calls: &[Call], name: &str) -> usize {
    calls.iter().position(|call| call.name.starts_with("rename") && call.string(3) == Some(name)).expect("such a call")
}

#[test]
fn a_switch_before_the_state_is_noticed() {
    let change = |calls: &mut Vec<Call>| {
        let (state, switch) = (first_named(calls, "state.json"), first_named(calls, "current"));
        let call = calls.remove(state);
        calls.insert(switch, call);
    };
    is_noticed(change, "before the state announced it");
}

#[test]
fn a_switch_before_the_state_is_on_disk_is_noticed() {
    let change = |calls: &mut Vec<Call>| {
        let (state, switch) = (first_named(calls, "state.json"), first_named(calls, "current"));
        let synced = (state..switch).find(|at| is_barrier(&calls[*at])).expect("an fsync of the state directory");
        calls.remove(synced);
    };
    is_noticed(change, "[DIR]/state/state.json is not on disk before");
}

#[test]
fn a_hook_mark_that_is_kept_is_noticed() {
    let change = |calls: &mut Vec<Call>| {
        let state = first_named(calls, "state.json");
        for call in &mut calls[..state] {
            if call.name == "write" {
                let marked = "\\\"marks\\\":{\\\"note\\\":{\\\"run\\\":\\\"1-0\\\",\\\"verify\\\":null}}";
                call.args[1] = call.args[1].replace("\\\"marks\\\":{}", marked);
            }
        }
    };
    is_noticed(change, "while the mark of a hook was on disk");
}

#[test]
fn a_generation_that_is_written_after_its_barrier_is_noticed() {
    let change = |calls: &mut Vec<Call>| {
        let written = calls
            .iter()
            .position(|call| call.name == "write" && call.path_of(0).is_some_and(|path| path.contains("/ssl/.certsync/site/.new")));
        let mut late = calls[written.expect("a write into a generation")].clone();
        let switch = first_named(calls, "current");
        let synced = calls[..switch]
            .iter()
            .rev()
            .filter(|call| is_barrier(call))
            .find_map(|call| call.path_of(0).filter(|path| path.ends_with("/fullchain.pem")));
        late.args[0] = format!("9<{}>", synced.expect("an fsync of a generation's file"));
        calls.insert(switch, late);
    };
    is_noticed(change, "is not on disk before");
}
