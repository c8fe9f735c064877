//! Status as a monitoring plugin answers: one line and an exit status (Monitoring Plugins Development Guidelines).

use super::table::notes;
use super::{Drift, InstallStatus, StatusReport};
use crate::base::printable;
use std::time::Duration;

/// How soon an end of validity is a matter of concern.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// Warning when less is left.
    pub warn: Option<Duration>,
    /// Critical when less is left.
    pub crit: Option<Duration>,
}

/// How things are; the number is the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Exit status 0.
    Ok = 0,
    /// Exit status 1.
    Warning = 1,
    /// Exit status 2.
    Critical = 2,
}

impl Health {
    pub(super) fn word(self) -> &'static str {
        match self {
            Health::Ok => "OK",
            Health::Warning => "WARNING",
            Health::Critical => "CRITICAL",
        }
    }
}

/// The answer of a monitoring plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How things are.
    pub health: Health,
    /// One line, without a line break.
    pub line: String,
}

/// The most places named in one line; the table below has them all.
const NAMED: usize = 5;

/// Judges `status`: a failure, a revoked key in use or an end of validity within `crit` is critical; an end within `warn`, an owed
/// hook, drift, an orphan, a run that was cut off, a version that was taken back or a last run that failed is a warning.
pub fn verdict(status: &StatusReport, thresholds: Thresholds) -> Verdict {
    let mut found: Vec<(Health, String)> = Vec::new();
    for error in &status.errors {
        found.push((Health::Critical, printable(&error.to_string())));
    }
    for install in &status.installs {
        if let Some(problem) = judge(install, status.now, thresholds) {
            found.push(problem);
        }
    }
    if status.last_run_failed && found.is_empty() {
        found.push((Health::Warning, "the last run failed".to_owned()));
    }
    found.sort_by_key(|(health, _)| std::cmp::Reverse(*health));
    let health = found.first().map_or(Health::Ok, |(health, _)| *health);
    let line = if found.is_empty() { all_is_well(status) } else { problems(&found) };
    Verdict { health, line: format!("{} - {line}", health.word()) }
}

fn judge(install: &InstallStatus, now: i64, thresholds: Thresholds) -> Option<(Health, String)> {
    let mut health = Health::Ok;
    let mut words = Vec::new();
    if let Some(end) = install.not_after {
        let within = |limit: Option<Duration>| {
            limit.is_some_and(|limit| end.saturating_sub(now) < i64::try_from(limit.as_secs()).unwrap_or(i64::MAX))
        };
        if within(thresholds.crit) || end <= now {
            health = Health::Critical;
        } else if within(thresholds.warn) {
            health = Health::Warning;
        }
        if health != Health::Ok {
            words.push(if end <= now { "expired".to_owned() } else { format!("{} days left", end.saturating_sub(now).div_euclid(86_400)) });
        }
    }
    words.extend(notes(install).into_iter().filter(|note| note != "held by a rollback" && note != "drift unknown"));
    if install.error.is_some() || install.revoked || install.generation.is_none() {
        health = Health::Critical;
    }
    if install.owed().next().is_some() || install.drift == Drift::Yes || install.orphaned || install.returned || install.unfinished {
        health = health.max(Health::Warning);
    }
    (health != Health::Ok).then(|| (health, format!("{} at {}: {}", install.set, install.dest, words.join(", "))))
}

/// What is wrong, in one line; `found` is sorted already.
pub(super) fn problems(found: &[(Health, String)]) -> String {
    let mut line = found.iter().take(NAMED).map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("; ");
    if found.len() > NAMED {
        line.push_str(&format!("; and {} more", found.len() - NAMED));
    }
    line
}

fn all_is_well(status: &StatusReport) -> String {
    let count = status.installs.len();
    let count = if count == 1 { "1 install".to_owned() } else { format!("{count} installs") };
    let first = status.installs.iter().filter_map(|install| install.days_left.map(|days| (days, install))).min_by_key(|(days, _)| *days);
    match first {
        Some((days, install)) => format!("{count}, the first ends in {days} days ({} at {})", install.set, install.dest),
        None => count,
    }
}
