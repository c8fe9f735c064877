//! Status as a table for people.

use super::{Drift, InstallStatus, Owed, StatusReport};
use crate::base::printable;
use crate::material::utc;
use std::fmt::Write;

/// The table, with a final line break.
pub fn table(status: &StatusReport) -> String {
    let mut rows = vec![["SET", "DEST", "DIGEST", "DAYS", "NOT AFTER", "SINCE", "NOTES"].map(str::to_owned)];
    rows.extend(status.installs.iter().map(row));
    // The number of days is the only column of numbers.
    let mut out = if status.installs.is_empty() { "nothing is installed\n".to_owned() } else { columns(&rows, 3) };
    for error in &status.errors {
        let _ = writeln!(out, "error: {}", printable(&error.to_string()));
    }
    let when = |time: Option<i64>| time.map_or_else(|| "never".to_owned(), minute);
    let _ = writeln!(out, "last run {}, last success {}", when(status.last_run), when(status.last_success));
    out
}

/// The rows with their cells below each other; those of column `numbers` end below each other.
pub(super) fn columns<const N: usize>(rows: &[[String; N]], numbers: usize) -> String {
    let widths: Vec<usize> = (0..N).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let space = " ".repeat(width - cell.chars().count());
            line.push_str(&if i == numbers { format!("{space}{cell}  ") } else { format!("{cell}{space}  ") });
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn row(install: &InstallStatus) -> [String; 7] {
    let dash = || "-".to_owned();
    [
        install.set.to_string(),
        install.dest.to_string(),
        install.digest.map_or_else(dash, |digest| digest.to_string()[..12].to_owned()),
        install.days_left.map_or_else(dash, |days| days.to_string()),
        install.not_after.map_or_else(dash, date),
        install.since.map_or_else(dash, minute),
        notes(install).join("; "),
    ]
}

/// What an operator should know about one place, in words.
pub(super) fn notes(install: &InstallStatus) -> Vec<String> {
    let mut notes = Vec::new();
    if install.generation.is_none() {
        notes.push("not installed".to_owned());
    }
    if let Some(error) = &install.error {
        notes.push(printable(&error.cause));
    }
    if install.unfinished {
        notes.push("unfinished: the next apply goes on".to_owned());
    }
    if install.revoked {
        notes.push("revoked key".to_owned());
    }
    if install.returned {
        notes.push("newer version rolled back".to_owned());
    }
    for hook in install.owed() {
        let part = if hook.owed == Owed::Verify { " (verify)" } else { "" };
        notes.push(format!("owed: {}{part}", hook.name));
    }
    match install.drift {
        Drift::No => {}
        Drift::Yes => notes.push("drift".to_owned()),
        Drift::Unknown if install.orphaned => {}
        Drift::Unknown => notes.push("drift unknown".to_owned()),
    }
    if install.orphaned {
        notes.push("orphaned".to_owned());
    }
    if install.held {
        notes.push("held by a rollback".to_owned());
    }
    notes
}

/// `2027-01-02`, UTC.
fn date(unix: i64) -> String {
    utc(unix).split(' ').next().unwrap_or_default().to_owned()
}

/// `2027-01-02 03:04Z`.
pub(super) fn minute(unix: i64) -> String {
    let full = utc(unix);
    format!("{}Z", full.rsplit_once(':').map_or(full.as_str(), |(minute, _)| minute))
}
