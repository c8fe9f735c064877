//! The fleet as a monitoring plugin answers.

use super::table::{server_notes, set_notes, summary};
use super::{FleetSet, FleetStatus, Has, ServerStatus};
use crate::base::printable;
use crate::state::{Level, TroubleKind};
use crate::status::health::{Health, Thresholds, Verdict, problems};
use std::time::Duration;

/// Judges `status`: a server that is stale, refuses, has failed, is without what it should have or uses a revoked key, and an end of
/// validity within `crit`, is critical; one that cannot be reached but has everything, a hook that is owed, and an end within `warn`, is a
/// warning.
pub fn verdict(status: &FleetStatus, thresholds: Thresholds) -> Verdict {
    let mut found: Vec<(Health, String)> = status.errors.iter().map(|error| (Health::Critical, printable(&error.to_string()))).collect();
    for server in &status.servers {
        let health = health_of(server, status.now, thresholds);
        if health != Health::Ok {
            found.push((health, format!("{}: {}", server.name, words(server, status.now, thresholds).join(", "))));
        }
    }
    found.sort_by_key(|(health, _)| std::cmp::Reverse(*health));
    let health = found.first().map_or(Health::Ok, |(health, _)| *health);
    let line = if found.is_empty() { summary(status) } else { problems(&found) };
    Verdict { health, line: format!("{} - {line}", health.word()) }
}

/// How one server is.
pub(super) fn health_of(server: &ServerStatus, now: i64, thresholds: Thresholds) -> Health {
    let trouble = match &server.trouble {
        None => Health::Ok,
        Some(trouble) if trouble.kind == TroubleKind::Unreachable => Health::Warning,
        Some(_) => Health::Critical,
    };
    let stale = if server.stale { Health::Critical } else { Health::Ok };
    let owes = if server.hooks.is_empty() && server.errors.is_empty() { Health::Ok } else { Health::Warning };
    let sets = server.sets.iter().map(|set| health_of_set(set, now, thresholds)).max().unwrap_or(Health::Ok);
    trouble.max(stale).max(owes).max(sets)
}

fn health_of_set(set: &FleetSet, now: i64, thresholds: Thresholds) -> Health {
    let has = match set.has {
        Has::All | Has::Surplus => Health::Ok,
        Has::Unfinished if set.level == Some(Level::Installed) => Health::Warning,
        Has::Unfinished | Has::Other | Has::Nothing => Health::Critical,
    };
    let failed = if set.revoked || matches!(set.level, Some(Level::Failed | Level::Refused)) { Health::Critical } else { Health::Ok };
    has.max(failed).max(end(set, now, thresholds))
}

fn end(set: &FleetSet, now: i64, thresholds: Thresholds) -> Health {
    // What nobody should have from here any more is no longer renewed.
    let Some(end) = set.not_after.filter(|_| set.has != Has::Surplus) else { return Health::Ok };
    let within =
        |limit: Option<Duration>| limit.is_some_and(|limit| end.saturating_sub(now) < i64::try_from(limit.as_secs()).unwrap_or(i64::MAX));
    if within(thresholds.crit) || end <= now {
        Health::Critical
    } else if within(thresholds.warn) {
        Health::Warning
    } else {
        Health::Ok
    }
}

fn words(server: &ServerStatus, now: i64, thresholds: Thresholds) -> Vec<String> {
    let mut words = server_notes(server, now);
    for set in server.sets.iter().filter(|set| health_of_set(set, now, thresholds) != Health::Ok) {
        let mut notes = set_notes(set);
        if end(set, now, thresholds) != Health::Ok {
            let days = set.days_left.filter(|days| *days >= 0);
            notes.push(days.map_or_else(|| "expired".to_owned(), |days| format!("{days} days left")));
        }
        let level = match set.level {
            Some(Level::Failed) => " failed",
            Some(Level::Refused) => " refused",
            _ => "",
        };
        let notes = if notes.is_empty() { String::new() } else { format!(": {}", notes.join(", ")) };
        words.push(format!("{}{level}{notes}", set.set));
    }
    words
}
