//! The fleet as a table for people. Servers that need somebody stand last, where a terminal shows them.

use super::health::health_of;
use super::{FleetSet, FleetStatus, Has, ServerStatus};
use crate::base::printable;
use crate::state::{Level, TroubleKind};
use crate::status::health::{Health, Thresholds};
use crate::status::table::{columns, minute};
use std::fmt::Write;

/// The table, with a final line break.
pub fn table(status: &FleetStatus, thresholds: Thresholds) -> String {
    let mut servers: Vec<(Health, &ServerStatus)> =
        status.servers.iter().map(|server| (health_of(server, status.now, thresholds), server)).collect();
    servers.sort_by_key(|(health, _)| *health);
    let mut rows = vec![["SERVER", "SET", "DIGEST", "DAYS", "LEVEL", "SINCE", "LAST CONTACT", "NOTES"].map(str::to_owned)];
    rows.extend(servers.iter().flat_map(|(_, server)| rows_of(server, status.now)));
    let mut out = if status.servers.is_empty() { "there is no server below this one\n".to_owned() } else { columns(&rows, 3) };
    for error in &status.errors {
        let _ = writeln!(out, "error: {}", printable(&error.to_string()));
    }
    let _ = writeln!(out, "{}", summary(status));
    out
}

/// How many there are, and what is the matter with how many.
pub(super) fn summary(status: &FleetStatus) -> String {
    let lacks = |server: &ServerStatus| server.sets.iter().any(|set| matches!(set.has, Has::Other | Has::Nothing | Has::Unfinished));
    let fails = |server: &ServerStatus| {
        !server.hooks.is_empty() || server.sets.iter().any(|set| matches!(set.level, Some(Level::Failed | Level::Refused)))
    };
    let count = |is: &dyn Fn(&ServerStatus) -> bool| status.servers.iter().filter(|server| is(server)).count();
    let parts = [
        ("without what they should have", count(&lacks)),
        ("with a failure", count(&fails)),
        ("in trouble", count(&|server| server.trouble.is_some())),
        ("with a revoked key", count(&|server| server.sets.iter().any(|set| set.revoked))),
        ("stale", count(&|server| server.stale)),
    ];
    let count = status.servers.len();
    let mut line = if count == 1 { "1 server".to_owned() } else { format!("{count} servers") };
    let found: Vec<String> = parts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect();
    line.push_str(&if found.is_empty() { ", all in step".to_owned() } else { format!(": {}", found.join(", ")) });
    line
}

fn rows_of(server: &ServerStatus, now: i64) -> Vec<[String; 8]> {
    let dash = || "-".to_owned();
    let contact = || server.last_contact.map_or_else(|| "never".to_owned(), minute);
    let mut notes = Some(server_notes(server, now));
    let mut rows: Vec<[String; 8]> = server
        .sets
        .iter()
        .map(|set| {
            let words: Vec<String> = notes.take().into_iter().flatten().chain(set_notes(set)).collect();
            [
                server.name.to_string(),
                set.set.to_string(),
                set.digest.map_or_else(dash, |digest| digest.to_string()[..12].to_owned()),
                set.days_left.map_or_else(dash, |days| days.to_string()),
                set.level.map_or_else(dash, |level| word(level).to_owned()),
                set.since.map_or_else(dash, minute),
                contact(),
                words.join("; "),
            ]
        })
        .collect();
    if let Some(words) = notes {
        rows.push([server.name.to_string(), dash(), dash(), dash(), dash(), dash(), contact(), words.join("; ")]);
    }
    rows
}

/// A level as it is written everywhere.
pub(super) fn word(level: Level) -> &'static str {
    match level {
        Level::Failed => "failed",
        Level::Refused => "refused",
        Level::Stored => "stored",
        Level::Installed => "installed",
        Level::Held => "held",
        Level::Done => "done",
    }
}

/// What an operator should know about a server, whatever set it is.
pub(super) fn server_notes(server: &ServerStatus, now: i64) -> Vec<String> {
    let mut notes = Vec::new();
    let heard = server.last_contact.zip(server.reported).map(|(contact, reported)| contact.min(reported));
    match (server.stale, heard) {
        (true, None) => notes.push("STALE: never heard of".to_owned()),
        (true, Some(heard)) => notes.push(format!("STALE: nothing new since {}", ago(now.saturating_sub(heard)))),
        (false, _) => {}
    }
    if let Some(trouble) = &server.trouble {
        let kind = match trouble.kind {
            TroubleKind::Unreachable => "unreachable",
            TroubleKind::Refused => "refused to be served",
        };
        notes.push(format!("{kind} since {}: {}", minute(trouble.since), printable(&trouble.cause)));
    }
    if server.without_certsync {
        notes.push("no certsync there, stored is all that can be known".to_owned());
    }
    for hook in &server.hooks {
        let set = hook.set.as_ref().map(|set| format!(" ({set})")).unwrap_or_default();
        let last = if hook.last.is_empty() { String::new() } else { format!(": {}", printable(&hook.last)) };
        notes.push(format!("hook {}{set}{last}", hook.name));
    }
    notes.extend(server.errors.iter().map(|error| printable(error)));
    notes
}

/// What an operator should know about one set on a server.
pub(super) fn set_notes(set: &FleetSet) -> Vec<String> {
    let mut notes = Vec::new();
    if set.revoked {
        notes.push("revoked key".to_owned());
    }
    let short = |digest: &crate::base::Digest| digest.to_string()[..12].to_owned();
    match (set.has, &set.wanted) {
        (Has::Nothing, _) => notes.push("does not have it".to_owned()),
        (Has::Other, Some(wanted)) => notes.push(format!("should be {}", short(wanted))),
        (Has::Surplus, _) => notes.push("is not to be had from here".to_owned()),
        (Has::Unfinished, _) if set.level == Some(Level::Stored) => notes.push("not installed yet".to_owned()),
        (Has::Unfinished, _) if set.level == Some(Level::Installed) => notes.push("a hook is owed".to_owned()),
        _ => {}
    }
    if set.level == Some(Level::Held) {
        notes.push("held by a rollback".to_owned());
    }
    notes.extend(set.error.as_ref().map(|error| printable(error)));
    notes
}

/// A length of time in the largest unit of which there are at least two.
fn ago(seconds: i64) -> String {
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} hours", seconds / 3_600),
        _ => format!("{} minutes", seconds / 60),
    }
}
