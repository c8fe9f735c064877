//! The tables of `docs/compared-with-scripts.md` say what was observed. `CERTSYNC_REGENERATE=1` writes them again.

use super::{mirror, pull, push};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

/// What one failure did, in the words of the table.
pub struct Observed {
    pub script: String,
    pub certsync: String,
}

/// One test for each failure, and the list of them. `NAME: "what happens" => FUNCTION`
#[macro_export]
macro_rules! failures {
    ($setup:literal: $($name:ident: $what:literal,)*) => {
        /// Every row of this set-up's table.
        pub const ROWS: (&str, &[&str]) = ($setup, &[$($what),*]);

        $(
            #[test]
            fn $name() {
                $crate::needs_a_fleet!();
                if $crate::setups::is_lacking() {
                    return;
                }
                $crate::setups::table::compare($setup, $what, &play::$name());
            }
        )*
    };
}

fn document() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compared-with-scripts.md"))
}

/// The rows of the table after `<!-- observed: SETUP -->`: the number of their lines, and their cells.
fn rows(text: &str, setup: &str) -> Vec<(usize, [String; 3])> {
    let begin = text.lines().position(|line| line == format!("<!-- observed: {setup} -->")).expect("a table for each set-up");
    let lines = text.lines().enumerate().skip(begin + 3).take_while(|(_, line)| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    lines.map(|(at, line)| (at, cells(line).try_into().unwrap_or_else(|cells| panic!("line {}: three cells: {cells:?}", at + 1)))).collect()
}

/// Holds a row against what was observed, or writes it.
pub fn compare(setup: &str, what: &str, observed: &Observed) {
    // Whatever stands in the table: this may not be.
    for mixed in ["with the old key", "with the new key", "without a key", "is down"] {
        assert!(!observed.certsync.contains(mixed), "{what}: certsync: {}", observed.certsync);
    }
    static WRITING: Mutex<()> = Mutex::new(());
    let _one = WRITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let text = fs::read_to_string(document()).expect("the document");
    let found = rows(&text, setup).into_iter().find(|(_, cells)| cells[0] == what);
    let (at, cells) = found.unwrap_or_else(|| panic!("no row for {what:?}"));
    let seen = [what.to_owned(), observed.script.clone(), observed.certsync.clone()];
    if cells != seen && std::env::var_os("CERTSYNC_REGENERATE").is_some() {
        let mut lines: Vec<&str> = text.lines().collect();
        let line = format!("| {} |", seen.join(" | "));
        lines[at] = &line;
        fs::write(document(), lines.join("\n") + "\n").expect("it is written");
        return;
    }
    assert_eq!(cells, seen, "docs/compared-with-scripts.md:{}", at + 1);
}

#[test]
fn every_row_is_played_and_every_failure_has_its_row() {
    let text = fs::read_to_string(document()).expect("the document");
    for (setup, played) in [pull::ROWS, push::ROWS, mirror::ROWS] {
        let told: BTreeSet<String> = rows(&text, setup).into_iter().map(|(_, [what, ..])| what).collect();
        assert_eq!(told, played.iter().map(|what| (*what).to_owned()).collect(), "{setup}");
    }
}
