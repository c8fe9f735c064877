//! A report as an operator reads it: per set a header and a unified diff, then the hooks, then one line that sums up.

mod servers;

use super::{Change, HookReport, HookResult, InstallReport, Outcome, Reason, Report, ServerResult, SetReport, Tense};
use crate::base::{HookName, printable, printable_json};
use similar::{ChangeTag, TextDiff};
use std::fmt::Write;

/// Whether colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Plain text.
    No,
    /// With SGR sequences (ECMA-48, 8.3.117).
    Yes,
}

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Sets with something to say.
    Changes,
    /// Unchanged sets as well.
    All,
}

#[derive(Clone, Copy)]
enum Style {
    Bold,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Paint {
    fn line(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => "1",
            Style::Red => "31",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Cyan => "36",
        };
        match self {
            Paint::No => format!("{text}\n"),
            Paint::Yes => format!("\u{1b}[{code}m{text}\u{1b}[0m\n"),
        }
    }
}

/// The report as data, with a final line break.
pub fn json(report: &Report) -> String {
    // A report holds no map with keys that are not text and no number that JSON lacks, so writing it cannot fail.
    let mut out = printable_json(&serde_json::to_string_pretty(report).unwrap_or_default());
    out.push('\n');
    out
}

/// The report as text, with a final line break. Errors are named by their cause alone; who prints the report prints
/// them in full, with their hints, on stderr.
pub fn text(report: &Report, tense: Tense, paint: Paint, detail: Detail) -> String {
    if tense == Tense::Plan && !report.servers.is_empty() {
        return servers::plans_text(report, paint, detail);
    }
    let mut out = String::new();
    for set in report.sets.iter().filter(|set| detail == Detail::All || says_something(set)) {
        out.push_str(&set_text(set, tense, paint));
    }
    out.push_str(&hooks_text(&report.hooks, tense, paint));
    out.push_str(&servers::servers_text(&report.servers, paint));
    for error in &report.errors {
        out.push_str(&paint.line(Style::Red, &format!("error: {}", printable(&error.to_string()))));
    }
    for warning in &report.warnings {
        out.push_str(&paint.line(Style::Yellow, &format!("warning: {}", printable(warning))));
    }
    out.push_str(&paint.line(Style::Bold, &summary(report, tense)));
    out
}

fn says_something(set: &SetReport) -> bool {
    set.result != Outcome::Unchanged
        || set.reason.is_some()
        || set.error.is_some()
        || !set.warnings.is_empty()
        || set.installs.iter().any(install_says_something)
}

fn install_says_something(install: &InstallReport) -> bool {
    install.result != Outcome::Unchanged
        || install.changed
        || !install.diff.is_empty()
        || !install.notes.is_empty()
        || install.error.is_some()
}

fn set_text(set: &SetReport, tense: Tense, paint: Paint) -> String {
    let gone = if !set.installs.is_empty() && set.installs.iter().all(is_removed) { Gone::Yes } else { Gone::No };
    let mut out = paint.line(Style::Bold, &header(set.name.as_str(), set.result, set.reason, tense, gone));
    if let Some(error) = &set.error {
        // The header has named the set; a file or place must be named here.
        let text = if error.subject == set.name.as_str() { error.cause.clone() } else { error.to_string() };
        out.push_str(&paint.line(Style::Red, &format!("  error: {}", printable(&text))));
    }
    for warning in &set.warnings {
        out.push_str(&paint.line(Style::Yellow, &format!("  warning: {}", printable(warning))));
    }
    for install in set.installs.iter().filter(|install| install_says_something(install)) {
        out.push_str(&install_text(set, install, tense, paint));
    }
    out
}

fn install_text(set: &SetReport, install: &InstallReport, tense: Tense, paint: Paint) -> String {
    let mut out = String::new();
    if install.result != set.result || (install.reason.is_some() && install.reason != set.reason) {
        let gone = if is_removed(install) { Gone::Yes } else { Gone::No };
        let _ = writeln!(out, "  {}", header(install.dest.as_str(), install.result, install.reason, tense, gone));
    }
    if let Some(error) = install.error.as_ref().filter(|error| Some(*error) != set.error.as_ref()) {
        let inside = error.subject.strip_prefix(install.dest.as_str()).is_some_and(|rest| rest.starts_with('/'));
        let text = if inside { error.to_string() } else { format!("{}: {}", install.dest, error.cause) };
        out.push_str(&paint.line(Style::Red, &format!("  error: {}", printable(&text))));
    }
    for note in &install.notes {
        let _ = writeln!(out, "  note: {}: {}", install.dest, printable(note));
    }
    for change in &install.diff {
        out.push_str(&change_text(install.dest.as_str(), change, paint));
    }
    out
}

/// Whether an orphan's files have just been deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    Yes,
    No,
}

/// `remove` is the only one that changes an orphan.
fn is_removed(install: &InstallReport) -> bool {
    install.result == Outcome::Orphaned && install.changed
}

fn header(name: &str, result: Outcome, reason: Option<Reason>, tense: Tense, gone: Gone) -> String {
    let what = match (result, reason) {
        (Outcome::Unchanged, Some(Reason::Hook)) => return format!("{name}: hook owed"),
        (Outcome::Orphaned, _) if gone == Gone::Yes => return format!("{name}: removed"),
        _ => outcome_words(result, tense),
    };
    match reason {
        Some(reason) => format!("{name}: {what} ({})", reason_words(reason)),
        None => format!("{name}: {what}"),
    }
}

/// What a result is called.
fn outcome_words(result: Outcome, tense: Tense) -> &'static str {
    match (result, tense) {
        (Outcome::Unchanged, _) => "unchanged",
        (Outcome::Held, _) => "held by a rollback",
        (Outcome::Waiting, _) => "waiting",
        (Outcome::Orphaned, _) => "orphaned",
        (Outcome::Installed, Tense::Plan) => "to install",
        (Outcome::Installed, Tense::Done) => "installed",
        (Outcome::Repaired, Tense::Plan) => "to repair",
        (Outcome::Repaired, Tense::Done) => "repaired",
        (Outcome::Staged, Tense::Plan) => "to stage",
        (Outcome::Staged, Tense::Done) => "staged",
        (Outcome::Refused, _) => "refused",
        (Outcome::RolledBack, _) => "rolled back",
        (Outcome::Failed, _) => "failed",
    }
}

fn reason_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Renewed => "renewed",
        Reason::New => "new",
        Reason::Drift => "drift",
        Reason::Spec => "spec changed",
        Reason::Hook => "hook owed",
        Reason::Rollback => "rollback",
    }
}

/// The unified diff of one file, as `diff -u` writes it.
fn change_text(dest: &str, change: &Change, paint: Paint) -> String {
    if change.before == change.after {
        return String::new();
    }
    let path = match change.path.as_str() {
        "." => dest.to_owned(),
        path => printable(&format!("{}/{path}", dest.trim_end_matches('/'))),
    };
    let side = |content: &Option<String>| if content.is_some() { path.clone() } else { "/dev/null".to_owned() };
    let mut out = paint.line(Style::Bold, &format!("--- {}", side(&change.before)));
    out.push_str(&paint.line(Style::Bold, &format!("+++ {}", side(&change.after))));
    let (before, after) = (lines(change.before.as_deref()), lines(change.after.as_deref()));
    let diff = TextDiff::from_lines(&before, &after);
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        out.push_str(&paint.line(Style::Cyan, hunk.header().to_string().trim_end()));
        for line in hunk.iter_changes() {
            let content = line.value().trim_end_matches('\n');
            match line.tag() {
                ChangeTag::Equal => {
                    let _ = writeln!(out, " {content}");
                }
                ChangeTag::Delete => out.push_str(&paint.line(Style::Red, &format!("-{content}"))),
                ChangeTag::Insert => out.push_str(&paint.line(Style::Green, &format!("+{content}"))),
            }
        }
    }
    out
}

/// One side of a diff: every line printable and ended, so that no two sides differ by a missing line break.
fn lines(content: Option<&str>) -> String {
    content.unwrap_or_default().lines().map(|line| printable(line) + "\n").collect()
}

/// One line for each hook and set: what its parts came to, or would.
fn hooks_text(hooks: &[HookReport], tense: Tense, paint: Paint) -> String {
    let mut out = String::new();
    let mut rest = hooks;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|hook| hook.name == first.name && hook.set == first.set).count();
        let (group, others) = rest.split_at(same.max(1));
        rest = others;
        let parts: Vec<String> = group.iter().map(|hook| phase_text(hook, tense)).collect();
        let whose = first.set.as_ref().map(|set| format!(" for {set}")).unwrap_or_default();
        let line = format!("hook {}{whose}: {}", first.name, parts.join(", "));
        let style = match tense {
            Tense::Done if group.iter().any(|hook| hook.result != HookResult::Ok) => Style::Red,
            _ => Style::Bold,
        };
        out.push_str(&paint.line(style, &line));
    }
    out
}

fn phase_text(hook: &HookReport, tense: Tense) -> String {
    let word = hook.phase.word();
    match (hook.result, tense) {
        (HookResult::Ok, _) => format!("{word} ok"),
        (HookResult::Failed, _) => match hook.status {
            Some(status) => format!("{word} failed (exit status {status})"),
            None => format!("{word} failed"),
        },
        (HookResult::Owed, Tense::Plan) => format!("{word} (owed)"),
        (HookResult::Owed, Tense::Done) => format!("{word} owed"),
        (HookResult::Due, _) => word.to_owned(),
    }
}

/// The last line: how many installs came to what, and which hooks run or ran.
fn summary(report: &Report, tense: Tense) -> String {
    let counts = counts(report, tense);
    let hooks = hook_names(&report.hooks, tense);
    let nothing = !report.changed && !report.failed;
    let start = match (tense, nothing) {
        (Tense::Plan, false) => "plan: ",
        (Tense::Done, false) => "applied: ",
        (_, true) => "nothing to do: ",
    };
    let mut line = if counts.is_empty() && nothing { "nothing to do".to_owned() } else { format!("{start}{}", counts.join(", ")) };
    if counts.is_empty() && !nothing {
        line.push_str("nothing");
    }
    if !hooks.is_empty() {
        let _ = write!(line, "; hooks: {}", hooks.join(", "));
    }
    let servers: Vec<String> = [ServerResult::Done, ServerResult::Waiting, ServerResult::Unreachable, ServerResult::Failed]
        .into_iter()
        .map(|result| (report.servers.iter().filter(|server| server.result == result).count(), servers::word(result)))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if !servers.is_empty() {
        let _ = write!(line, "; servers: {}", servers.join(", "));
    }
    match uncounted_errors(report) {
        0 => {}
        1 => line.push_str("; 1 error"),
        more => drop(write!(line, "; {more} errors")),
    }
    line
}

/// The outcomes in the order in which they are counted.
const COUNTED: [Outcome; 10] = [
    Outcome::Installed,
    Outcome::Repaired,
    Outcome::Staged,
    Outcome::Refused,
    Outcome::RolledBack,
    Outcome::Failed,
    Outcome::Held,
    Outcome::Waiting,
    Outcome::Orphaned,
    Outcome::Unchanged,
];

fn counts(report: &Report, tense: Tense) -> Vec<String> {
    let outcomes: Vec<Outcome> = report.sets.iter().flat_map(set_outcomes).collect();
    let removed = report.sets.iter().flat_map(|set| &set.installs).filter(|install| is_removed(install)).count();
    let counted = COUNTED
        .iter()
        .map(|kind| (kind, outcomes.iter().filter(|outcome| *outcome == kind).count()))
        .map(|(kind, count)| (kind, if *kind == Outcome::Orphaned { count - removed.min(count) } else { count }))
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| match kind {
            Outcome::Held => format!("{count} held"),
            _ => format!("{count} {}", outcome_words(*kind, tense)),
        });
    let gone = (removed > 0).then(|| format!("{removed} removed"));
    gone.into_iter().chain(counted).collect()
}

/// A set counts once for each of its installs; one without any, or that fails as a whole, counts once.
fn set_outcomes(set: &SetReport) -> Vec<Outcome> {
    let fails_as_a_whole = set.error.is_some() && !set.installs.iter().any(|install| install.result.is_failure());
    if set.installs.is_empty() || fails_as_a_whole || matches!(set.result, Outcome::Refused | Outcome::Waiting) {
        return vec![set.result];
    }
    set.installs.iter().map(|install| install.result).collect()
}

/// Errors of which no outcome that is counted tells.
fn uncounted_errors(report: &Report) -> usize {
    let silent = |set: &&SetReport| {
        let erred = set.error.is_some() || set.installs.iter().any(|install| install.error.is_some());
        erred && !set_outcomes(set).iter().any(|outcome| outcome.is_failure())
    };
    report.errors.len() + report.sets.iter().filter(silent).count()
}

/// Each hook once; what was done says as well which of them failed, or did not come to run.
fn hook_names(hooks: &[HookReport], tense: Tense) -> Vec<String> {
    let mut names: Vec<(&HookName, Option<HookResult>)> = Vec::new();
    for hook in hooks {
        let worse = Some(hook.result).filter(|result| tense == Tense::Done && matches!(result, HookResult::Failed | HookResult::Owed));
        match names.iter_mut().find(|(name, _)| **name == hook.name) {
            Some((_, known)) if *known == Some(HookResult::Failed) => {}
            Some((_, known)) => *known = worse.or(*known),
            None => names.push((&hook.name, worse)),
        }
    }
    let text = |(name, worse): (&HookName, Option<HookResult>)| match worse {
        Some(HookResult::Failed) => format!("{name} failed"),
        Some(_) => format!("{name} owed"),
        None => name.to_string(),
    };
    names.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests;
