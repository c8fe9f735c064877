//! What was measured, as text while it runs, as Markdown and as JSON.

use crate::machine::{Machine, first_line};
use crate::measure::{Sample, Series};
use serde::Serialize;
use std::fmt::Write as _;

/// The largest exponent of growth that still counts as linear, since a fit is never exact.
const LINEAR: f64 = 1.05;

/// Everything measured.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    notes: Vec<String>,
    tables: Vec<Table>,
    bars: Vec<Bar>,
}

#[derive(Debug, Serialize)]
struct Table {
    title: String,
    /// The first is certsync's; the others are compared with it.
    series: Vec<Series>,
}

/// A figure and where its bar is.
#[derive(Debug, Serialize)]
pub struct Bar {
    case: String,
    figure: String,
    at_most: f64,
    measured: f64,
    reached: bool,
}

impl Bar {
    /// A bar that is reached by what is not above it.
    pub fn at_most(case: &str, figure: &str, at_most: f64, measured: f64) -> Bar {
        Bar { case: case.to_owned(), figure: figure.to_owned(), at_most, measured, reached: measured <= at_most }
    }

    fn verdict(&self) -> &'static str {
        if self.reached { "reached" } else { "MISSED" }
    }
}

impl Report {
    /// Nothing yet.
    pub fn new(machine: Machine) -> Report {
        let report = Report { machine, notes: Vec::new(), tables: Vec::new(), bars: Vec::new() };
        println!("{}", report.head());
        report
    }

    fn head(&self) -> String {
        let Machine { processor, processors, kernel, file_system, load, build, .. } = &self.machine;
        format!("{processors} × {processor}, Linux {kernel}, {file_system}, load {load}, {build}")
    }

    /// Notes which version of a rival is used.
    pub fn note_version(&mut self, program: &str) {
        let line = first_line(program);
        let line = if line.starts_with(char::is_numeric) { format!("{program} {line}") } else { line };
        self.machine.versions.push(line);
    }

    /// Notes something that a reader of the tables should know.
    pub fn note(&mut self, text: String) {
        println!("{text}");
        self.notes.push(text);
    }

    /// Adds a bar.
    pub fn bar(&mut self, bar: Bar) {
        self.bars.push(bar);
    }

    /// Adds what was measured in one case, and prints it.
    pub fn table(&mut self, title: &str, series: Vec<Series>) {
        let table = Table { title: title.to_owned(), series };
        println!("\n{title}");
        for row in table.rows() {
            let [name, rest @ ..] = row.as_slice() else { continue };
            println!("  {name:<40}{}", rest.iter().map(|cell| format!("{cell:>17}")).collect::<String>());
        }
        self.tables.push(table);
    }

    /// Adds how CPU grows with the number of files: the slope of a straight line through the logarithms.
    pub fn growth(&mut self, cpu: &[(usize, f64)]) {
        if cpu.len() < 2 {
            return;
        }
        let points: Vec<(f64, f64)> = cpu.iter().map(|&(sets, cpu)| ((sets * 4) as f64, cpu)).collect();
        let case = "growth of CPU with the number of files, nothing to do";
        let steps: Vec<String> =
            points.windows(2).map(|pair| format!("{:.2} from {} to {} files", exponent(pair), pair[0].0, pair[1].0)).collect();
        self.note(format!("\n{case}: CPU = files^{:.2} ({})", exponent(&points), steps.join(", ")));
        self.bar(Bar::at_most(case, "exponent of the fit over all sizes", LINEAR, exponent(&points)));
        if let Some(last) = points.len().checked_sub(2) {
            self.bar(Bar::at_most(case, "exponent of the last step", LINEAR, exponent(&points[last..])));
        }
    }

    /// Prints the bars.
    pub fn finish(&self) {
        println!("\nbars{}", if self.machine.build == "debug build" { ", which mean nothing for this build" } else { "" });
        for bar in &self.bars {
            let Bar { case, figure, at_most, measured, .. } = bar;
            println!("  {:<8} {measured:>8.2}, at most {at_most:.2}: {figure}; {case}", bar.verdict());
        }
        println!("{}", self.machine.versions.join("; "));
        println!("load at the start {}: above 0.5 these are figures of a busy machine", self.machine.load);
    }

    /// Every sample and every bar.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and text")
    }

    /// The tables, for a page.
    pub fn markdown(&self) -> String {
        let mut out = format!("{}.\n{}.\n", self.head(), self.machine.versions.join("; "));
        out += "\n| case | figure | measured | at most | |\n|---|---|---:|---:|---|\n";
        for bar in &self.bars {
            let Bar { case, figure, at_most, measured, .. } = bar;
            let _ = writeln!(out, "| {case} | {figure} | {measured:.2} | {at_most:.2} | {} |", bar.verdict().to_lowercase());
        }
        for table in &self.tables {
            let _ = writeln!(out, "\n{}:\n", table.title);
            for (number, row) in table.rows().iter().enumerate() {
                let _ = writeln!(out, "| {} |", row.join(" | "));
                if number == 0 {
                    out += "|---|---:|---:|---:|---:|---:|\n";
                }
            }
        }
        for note in &self.notes {
            let _ = writeln!(out, "\n{}.", note.trim());
        }
        out
    }
}

impl Table {
    /// A heading and a row for each command, as text.
    fn rows(&self) -> Vec<Vec<String>> {
        let heading = ["", "CPU ms, min/median", "wall ms, min/median", "peak MiB", "certsync's CPU", "certsync's wall"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        let Some(ours) = self.series.first() else { return rows };
        for series in &self.series {
            let both = |figure| format!("{}/{}", short(series.least(figure)), short(series.median(figure)));
            let times = |figure| format!("× {:.3}", ours.median(figure) / series.median(figure));
            rows.push(vec![
                series.name.clone(),
                both(Sample::cpu),
                both(|sample| sample.wall),
                format!("{:.1}", series.peak() / 1024.0),
                times(Sample::cpu),
                times(|sample| sample.wall),
            ]);
        }
        rows
    }
}

/// Three figures that count.
fn short(milliseconds: f64) -> String {
    match milliseconds {
        ms if ms >= 100.0 => format!("{ms:.0}"),
        ms if ms >= 10.0 => format!("{ms:.1}"),
        ms => format!("{ms:.2}"),
    }
}

/// The slope of the least-squares line through the logarithms of the points.
fn exponent(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let (mean_x, mean_y) = (logs.iter().map(|(x, _)| x).sum::<f64>() / count, logs.iter().map(|(_, y)| y).sum::<f64>() / count);
    let above: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    above / logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>()
}
