//! Faults of a spec: each with its place, the line, a caret and a hint.

use crate::base::{Error, ErrorKind, printable};
use std::cell::{Cell, RefCell};
use std::fmt;

/// More faults than this are not listed.
pub const MOST_FAULTS: usize = 100;

/// So many are kept while reading, which does not go from the first line to the last.
const MOST_KEPT: usize = 10 * MOST_FAULTS;

/// The longest piece of a line that is shown, in characters.
const SHOWN: usize = 120;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file as the operator named it.
    pub file: String,
    /// Line, from 1; 0 where the fault is about the file as a whole.
    pub line: u32,
    /// Column in characters, from 1; 0 where the fault is about the file as a whole.
    pub column: u32,
    /// What is wrong; printable, lower case, no full stop.
    pub message: String,
    /// The line, printable, cut where it is long; empty where there is none to show.
    pub source: String,
    /// The line under it, with the carets.
    pub caret: String,
    /// The way out.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault of a file as a whole: it cannot be read, or others may write it.
    pub(super) fn of_file(file: &str, message: impl Into<String>, hint: Option<String>) -> Fault {
        Fault { file: printable(file), line: 0, column: 0, message: message.into(), source: String::new(), caret: String::new(), hint }
    }

    /// A fault at a place whose line is not to be shown.
    pub(super) fn at(file: &str, (line, column): (u32, u32), message: impl Into<String>, hint: Option<String>) -> Fault {
        Fault { line, column, ..Fault::of_file(file, message, hint) }
    }

    /// `file:line:column`, or the file alone.
    pub fn place(&self) -> String {
        if self.line == 0 { self.file.clone() } else { format!("{}:{}:{}", self.file, self.line, self.column) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "certsync: error: {}: {}", self.place(), self.message)?;
        if !self.source.is_empty() {
            let number = self.line.to_string();
            writeln!(f, "  {number} | {}", self.source)?;
            writeln!(f, "  {:width$} | {}", "", self.caret, width = number.len())?;
        }
        match &self.hint {
            Some(hint) => writeln!(f, "  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Every fault of a spec, in the order of its lines; at most [`MOST_FAULTS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The faults; never empty.
    pub list: Vec<Fault>,
    /// Whether there were more than are listed.
    pub more: bool,
}

impl Faults {
    /// One fault that stands alone.
    pub(super) fn one(fault: Fault) -> Faults {
        Faults { list: vec![fault], more: false }
    }

    /// The faults as errors of kind `spec` (subject `file:line:column`), for JSON.
    pub fn errors(&self) -> Vec<Error> {
        let error =
            |fault: &Fault| Error { kind: ErrorKind::Spec, subject: fault.place(), cause: fault.message.clone(), hint: fault.hint.clone() };
        self.list.iter().map(error).collect()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.list {
            write!(f, "{fault}")?;
        }
        if self.more { writeln!(f, "certsync: error: the spec has more faults: the first {MOST_FAULTS} are shown") } else { Ok(()) }
    }
}

impl std::error::Error for Faults {}

impl From<Faults> for Vec<Error> {
    fn from(faults: Faults) -> Vec<Error> {
        faults.errors()
    }
}

/// A place in one of the files of a spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Pos {
    /// Index of the file, in the order of reading.
    pub file: u32,
    /// Line, from 1; 0: the file as a whole.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Characters to underline on that line.
    pub length: u32,
}

/// The files read and the faults found so far.
#[derive(Default)]
pub(super) struct Reporter {
    files: RefCell<Vec<SourceText>>,
    found: RefCell<Vec<Found>>,
    more: Cell<bool>,
}

/// A file as read.
struct SourceText {
    name: String,
    lines: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    pos: Pos,
    message: String,
    hint: Option<String>,
}

impl Reporter {
    /// Makes a file known; the index is what its positions carry.
    pub(super) fn add_file(&self, name: &str, text: &str) -> u32 {
        let mut files = self.files.borrow_mut();
        files.push(SourceText { name: printable(name), lines: lines(text) });
        u32::try_from(files.len() - 1).unwrap_or(u32::MAX)
    }

    /// Records a fault; the same one twice counts once.
    pub(super) fn fault(&self, pos: Pos, message: impl Into<String>, hint: Option<String>) {
        let found = Found { pos, message: message.into(), hint };
        let mut list = self.found.borrow_mut();
        if list.len() >= MOST_KEPT {
            self.more.set(true);
        } else if !list.contains(&found) {
            list.push(found);
        }
    }

    /// Whether one more fault would not be shown, so that no work need be put into its words.
    pub(super) fn is_full(&self) -> bool {
        self.found.borrow().len() >= MOST_KEPT
    }

    /// One fault that stands alone, whatever else was found.
    pub(super) fn alone(&self, pos: Pos, message: String, hint: Option<String>) -> Faults {
        Faults::one(render(&self.files.borrow(), Found { pos, message, hint }))
    }

    /// `file:line` of a position, for messages that point at a second place.
    pub(super) fn place(&self, pos: Pos) -> String {
        match self.files.borrow().get(pos.file as usize) {
            Some(file) => format!("{}:{}:{}", file.name, pos.line, pos.column),
            None => format!("{}:{}", pos.line, pos.column),
        }
    }

    /// Everything found, in the order of files and lines; nothing where the spec is right.
    pub(super) fn into_faults(self) -> Option<Faults> {
        let mut found = self.found.into_inner();
        found.sort();
        let more = self.more.get() || found.len() > MOST_FAULTS;
        found.truncate(MOST_FAULTS);
        let files = self.files.into_inner();
        let list: Vec<Fault> = found.into_iter().map(|found| render(&files, found)).collect();
        if list.is_empty() { None } else { Some(Faults { list, more }) }
    }
}

/// The lines as YAML counts them: a carriage return alone ends one too (YAML 1.2.2, 5.4).
fn lines(text: &str) -> Vec<String> {
    let each = text.split_inclusive('\n').map(|line| line.strip_suffix("\r\n").or(line.strip_suffix('\n')).unwrap_or(line));
    each.flat_map(|line| line.split('\r').map(str::to_owned)).collect()
}

fn render(files: &[SourceText], found: Found) -> Fault {
    let Found { pos, message, hint } = found;
    let Some(file) = files.get(pos.file as usize) else { return Fault::of_file("spec", message, hint) };
    let line = (pos.line as usize).checked_sub(1).and_then(|index| file.lines.get(index));
    let (source, caret) = line.map(|line| show(line, pos)).unwrap_or_default();
    Fault { file: file.name.clone(), line: pos.line, column: pos.column, message, source, caret, hint }
}

/// The line and the carets under it. A long line is cut around the place; what is not printable is shown escaped.
fn show(line: &str, pos: Pos) -> (String, String) {
    let column = (pos.column as usize).saturating_sub(1);
    let start = if column < SHOWN { 0 } else { column - SHOWN / 4 };
    let piece = |from: usize, count: usize| -> String {
        let raw: String = line.chars().skip(from).take(count).map(|c| if c == '\t' { ' ' } else { c }).collect();
        printable(&raw)
    };
    let before = piece(start, column - start);
    let under = piece(column, (pos.length as usize).min(SHOWN));
    let mut shown = if start > 0 { String::from("…") } else { String::new() };
    let indent = shown.chars().count() + before.chars().count();
    shown.push_str(&piece(start, SHOWN));
    if line.chars().count() > start + SHOWN {
        shown.push('…');
    }
    let width = under.chars().count().clamp(1, SHOWN.saturating_sub(indent).max(1));
    (shown.trim_end().to_owned(), format!("{}{}", " ".repeat(indent), "^".repeat(width)))
}

/// Text from the spec for a message: printable, cut where it is long, in backquotes.
pub(super) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", printable(&cut))
}

/// The known word that `text` was most likely meant to be, if any is near.
pub(super) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text: Vec<char> = text.chars().take(64).flat_map(char::to_lowercase).collect();
    let mut best: Option<(usize, &str)> = None;
    for word in known {
        let chars: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
        let allowed = (text.len().max(chars.len()) / 3).clamp(1, 3);
        if text.len().abs_diff(chars.len()) > allowed {
            continue;
        }
        let far = distance(&text, &chars);
        if far <= allowed && best.is_none_or(|(least, _)| far < least) {
            best = Some((far, word));
        }
    }
    best.map(|(_, word)| word)
}

/// `did you mean …?`, or the list of what is known.
pub fn suggest(text: &str, known: &[&str], otherwise: &str) -> Option<String> {
    if let Some(word) = nearest(text, known.iter().copied()).filter(|word| *word != text) {
        return Some(format!("did you mean {}?", quoted(word)));
    }
    if known.is_empty() || known.len() > 20 {
        return None;
    }
    let list: Vec<String> = known.iter().map(|word| quoted(word)).collect();
    Some(format!("{otherwise} {}", list.join(", ")))
}

/// Edit distance in which two neighbours exchanged count once (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::{Pos, lines, nearest, show};

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        assert_eq!(nearest("dset", ["dest", "owner"]), Some("dest"));
        assert_eq!(nearest("hook", ["hooks", "group"]), Some("hooks"));
        assert_eq!(nearest("zebra", ["dest", "owner"]), None);
    }

    #[test]
    fn lines_are_counted_as_yaml_counts_them() {
        assert_eq!(lines("a\nb\r\nc\rd\n\n"), ["a", "b", "c", "d", ""]);
        assert_eq!(lines("a\r"), ["a", ""]);
        assert_eq!(lines("a\r\r\nb"), ["a", "", "b"]);
    }

    #[test]
    fn carets_stand_under_the_word_even_behind_a_tab() {
        let pos = Pos { file: 0, line: 1, column: 6, length: 4 };
        assert_eq!(show("\ta: {dset}", pos), (" a: {dset}".to_owned(), "     ^^^^".to_owned()));
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{}here{}", "x".repeat(500), "y".repeat(500));
        let (shown, caret) = show(&line, Pos { file: 0, line: 1, column: 501, length: 4 });
        let at = caret.find('^').unwrap_or_default();
        assert_eq!(shown.chars().skip(at).take(4).collect::<String>(), "here");
        assert!(shown.chars().count() < 130);
    }
}
