//! The hosts below, as a table.

use super::{Detail, Paint, Style, text};
use crate::base::printable;
use crate::plan::{Report, ServerReport, ServerResult, Tense};
use crate::state::Level;
use std::fmt::Write;

/// A line for each server that has something to say, and how many have not.
pub(super) fn servers_text(servers: &[ServerReport], paint: Paint) -> String {
    // Whoever had everything and was not asked is only counted.
    let is_told = |server: &ServerReport| server.result != ServerResult::Unchanged || server.error.is_some() || !server.sets.is_empty();
    let told: Vec<&ServerReport> = servers.iter().filter(|server| is_told(server)).collect();
    let mut out = String::new();
    if told.is_empty() {
        return out;
    }
    let rows: Vec<[String; 4]> = told.iter().map(|server| row(server)).collect();
    let heads = ["server", "result", "sets", "seconds"].map(str::to_owned);
    let widths: Vec<usize> =
        (0..4).map(|column| rows.iter().chain([&heads]).map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    out.push_str(&paint.line(Style::Bold, &line(&heads, &widths)));
    for (server, row) in told.iter().zip(&rows) {
        let style = if server.result.is_failure() { Style::Red } else { Style::Green };
        out.push_str(&paint.line(style, &line(row, &widths)));
        if let Some(error) = &server.error {
            out.push_str(&paint.line(Style::Red, &format!("  error: {}", printable(&error.cause))));
        }
    }
    let rest = servers.len() - told.len();
    if rest > 0 {
        let _ = writeln!(out, "{rest} more have everything");
    }
    out
}

/// The plan of this host and that of each server, each below its name; then how many servers came to what.
pub(super) fn plans_text(report: &Report, paint: Paint, detail: Detail) -> String {
    let mut own = Report { servers: Vec::new(), ..report.clone() };
    own.settle(Tense::Plan);
    let head = |name: &str| paint.line(Style::Bold, &format!("==> {} <==", printable(name)));
    let mut out = head(report.server.as_deref().unwrap_or("this host"));
    out.push_str(&text(&own, Tense::Plan, paint, detail));
    for server in &report.servers {
        out.push('\n');
        out.push_str(&head(&server.name));
        if let Some(plan) = &server.plan {
            out.push_str(&text(plan, Tense::Plan, paint, detail));
        }
        if let Some(error) = &server.error {
            out.push_str(&paint.line(Style::Red, &format!("error: {}", printable(&error.cause))));
        }
    }
    let words = [
        (ServerResult::Done, "to change"),
        (ServerResult::Unchanged, "with nothing to do"),
        (ServerResult::Unreachable, word(ServerResult::Unreachable)),
        (ServerResult::Failed, word(ServerResult::Failed)),
    ];
    let counted = words.map(|(result, word)| (report.servers.iter().filter(|server| server.result == result).count(), word));
    let words: Vec<String> = counted.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    out.push('\n');
    out.push_str(&paint.line(Style::Bold, &format!("servers: {}", words.join(", "))));
    out
}

fn line(row: &[String; 4], widths: &[usize]) -> String {
    let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
    cells.join("  ").trim_end().to_owned()
}

fn row(server: &ServerReport) -> [String; 4] {
    // Of one that does not answer is known what it had, and that is not what is asked.
    let sets = if server.result == ServerResult::Unreachable { "-".to_owned() } else { sets(server) };
    [printable(&server.name), word(server.result).to_owned(), sets, format!("{:.1}", server.seconds)]
}

/// What became of a server, in a word.
pub(super) fn word(result: ServerResult) -> &'static str {
    match result {
        ServerResult::Unchanged => "unchanged",
        ServerResult::Done => "done",
        ServerResult::Waiting => "waiting",
        ServerResult::Unreachable => "unreachable",
        ServerResult::Failed => "failed",
    }
}

/// How many sets are at which level there.
fn sets(server: &ServerReport) -> String {
    let levels = [
        (Level::Done, "done"),
        (Level::Held, "held"),
        (Level::Installed, "installed"),
        (Level::Stored, "stored"),
        (Level::Refused, "refused"),
        (Level::Failed, "failed"),
    ];
    let counted = levels.iter().map(|(level, word)| (server.sets.iter().filter(|set| set.level == *level).count(), word));
    let words: Vec<String> = counted.filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if words.is_empty() { "-".into() } else { words.join(", ") }
}
