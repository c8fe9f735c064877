//! Plans: whatever stands at a `dest` and whatever a set holds, the diff is one that can be carried out, and what is shown of it is plain
//! text without a byte of a key, valid JSON, and a patch that makes "after" of "before".

mod host;
mod patch;

use crate::shown;
use arbitrary::{Arbitrary, Unstructured};
use certsync::base::{Error, ErrorKind};
use certsync::plan::{
    Change, Detail, Diffed, Due, HookPlan, HookReport, HookResult, InstallPlan, InstallReport, Outcome, Paint, Phase, Plan, Reason, Report,
    SetPlan, SetReport, Step, Tense, diff, json, text,
};
use host::{Host, KEY};

/// Texts that nobody has looked at yet, where a report may hold some.
#[derive(Arbitrary, Debug)]
struct Words<'a> {
    changes: Vec<(&'a str, Option<&'a str>, Option<&'a str>)>,
    notes: Vec<&'a str>,
    warnings: Vec<&'a str>,
    error: Option<(&'a str, &'a str, Option<&'a str>)>,
    output: &'a str,
    hook: &'a str,
    choice: u8,
}

/// Reads from `data` a host, what it should be, and some texts.
pub fn check(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(host) = Host::arbitrary(&mut input) else { return };
    let Ok(words) = Words::arbitrary(&mut input) else { return };
    let found = host.with(|situation| {
        let Diffed::Plan(plan) = diff(situation) else { panic!("the files are known, and yet they are asked for") };
        let Diffed::Plan(again) = diff(situation) else { panic!("the same question, another answer") };
        assert_eq!(format!("{plan:?}"), format!("{again:?}"), "the same question, another answer");
        host.may_be(&plan, situation);
        *plan
    });
    steps(&found);
    let report = report(&host, found, &words);
    for tense in [Tense::Plan, Tense::Done] {
        as_text(&report, tense);
    }
    as_json(&report);
    for change in report.sets.iter().flat_map(|set| &set.installs).flat_map(|install| &install.diff).take(8) {
        patch::holds(change);
    }
}

/// What is to be done is in an order in which it can be done.
fn steps(plan: &InstallPlan) {
    let place = |wanted: fn(&Step) -> bool| plan.steps.iter().position(wanted);
    let (stage, switch) = (place(|step| *step == Step::Stage), place(|step| *step == Step::Switch));
    assert_eq!(stage.is_some(), switch.is_some(), "{:?}", plan.steps);
    assert_eq!(stage.is_some(), plan.next.is_some(), "{:?}", plan.steps);
    assert!(stage <= switch, "{:?}", plan.steps);
    if plan.error.is_some() {
        assert!(plan.steps.is_empty() && plan.next.is_none() && plan.record.is_none(), "a plan that failed does something");
    }
    if let Some(make) = place(|step| *step == Step::MakeDest) {
        assert_eq!(make, 0, "{:?}", plan.steps);
    }
    let replaced = plan.steps.iter().position(|step| matches!(step, Step::Replace(_) | Step::Unpublish(_)));
    assert!(replaced.is_none_or(|replaced| switch.is_none_or(|switch| switch < replaced)), "{:?}", plan.steps);
    for change in &plan.changes {
        assert_ne!(change.before, change.after, "{}", change.path);
    }
    if let Some(next) = &plan.next {
        assert!(next.files.is_sorted_by(|a, b| a.path < b.path), "each file once, sorted");
    }
}

fn report(host: &Host<'_>, plan: InstallPlan, words: &Words<'_>) -> Report {
    let set = SetPlan {
        name: host.set(),
        digest: None,
        result: plan.result,
        reason: plan.reason,
        error: None,
        warnings: words.warnings.iter().map(ToString::to_string).collect(),
        installs: vec![plan],
    };
    let phases = vec![Phase::Check, Phase::Run, Phase::Verify];
    let hook =
        words.hook.parse().ok().map(|name| HookPlan { name, due: Due::Owed, sets: vec![host.set()], phases, each: vec![host.set()] });
    let mut report = Report::of_plan(&Plan { sets: vec![set], hooks: hook.iter().cloned().collect() }, None);
    let error = words.error.map(|(subject, cause, hint)| Error {
        kind: ErrorKind::Install,
        subject: subject.to_owned(),
        cause: cause.to_owned(),
        hint: hint.map(str::to_owned),
    });
    report.sets.push(raw(host, words, error.clone()));
    report.errors.extend(error);
    report.warnings = words.warnings.iter().map(ToString::to_string).collect();
    report.hooks.extend(hook.map(|hook| HookReport {
        name: hook.name,
        set: None,
        phase: Phase::Run,
        result: HookResult::Failed,
        status: Some(i32::from(words.choice)).filter(|status| *status < 128),
        output: words.output.to_owned(),
    }));
    report
}

/// A set of which everything that can be any text is.
fn raw(host: &Host<'_>, words: &Words<'_>, error: Option<Error>) -> SetReport {
    let diff = words.changes.iter().take(4).map(|(path, before, after)| Change {
        path: path.to_string(),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    });
    let all = [Outcome::Unchanged, Outcome::Installed, Outcome::Repaired, Outcome::Refused, Outcome::RolledBack, Outcome::Failed];
    let result = all[usize::from(words.choice) % all.len()];
    let install = InstallReport {
        dest: host.dest(),
        result,
        changed: result.is_change(),
        reason: Some(Reason::Drift),
        diff: diff.collect(),
        notes: words.notes.iter().map(ToString::to_string).collect(),
        error: error.clone(),
    };
    SetReport {
        name: host.set(),
        digest: None,
        result,
        reason: Some(Reason::Drift),
        installs: vec![install],
        error,
        warnings: words.warnings.iter().map(ToString::to_string).collect(),
    }
}

fn as_text(report: &Report, tense: Tense) {
    let plain = text(report, tense, Paint::No, Detail::Changes);
    shown::lines(&plain);
    no_key(&plain);
    assert!(plain.ends_with('\n'));
    let painted = text(report, tense, Paint::Yes, Detail::Changes);
    let bare = ["0", "1", "31", "32", "33", "36"].iter().fold(painted, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
    assert_eq!(bare, plain, "colour changes nothing but the colour");
    shown::lines(&text(report, tense, Paint::No, Detail::All));
}

fn as_json(report: &Report) {
    let text = json(report);
    shown::lines(&text);
    no_key(&text);
    let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for (set, told) in report.sets.iter().zip(read["sets"].as_array().expect("sets")) {
        for (install, told) in set.installs.iter().zip(told["installs"].as_array().expect("installs")) {
            for (change, told) in install.diff.iter().zip(told["diff"].as_array().expect("a diff")) {
                let side = |side: &Option<String>| serde_json::to_value(side).expect("JSON");
                assert_eq!((&told["before"], &told["after"]), (&side(&change.before), &side(&change.after)));
            }
        }
    }
}

/// No line of the test's own key is shown.
fn no_key(text: &str) {
    for line in KEY.lines().filter(|line| !line.starts_with('-')) {
        for piece in line.as_bytes().chunks_exact(16) {
            let piece = String::from_utf8_lossy(piece);
            assert!(!text.contains(&*piece), "a piece of a private key is shown: {piece}\n{text}");
        }
    }
}
