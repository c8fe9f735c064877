//! A patcher: what `diff -u` promises, read back.

use certsync::base::printable;
use certsync::plan::{Change, Detail, InstallReport, Outcome, Paint, Report, SetReport, Tense, text};

/// The unified diff that is shown of `change`, applied to "before", gives "after".
pub fn holds(change: &Change) {
    let shown = text(&report(change), Tense::Plan, Paint::No, Detail::Changes);
    let lines: Vec<&str> = shown.lines().collect();
    let [_, body @ .., _] = &lines[..] else { panic!("a header and a sum: {shown}") };
    if change.before == change.after {
        assert!(body.is_empty(), "{shown}");
        return;
    }
    let [from, to, hunks @ ..] = body else { panic!("two names: {shown}") };
    assert_eq!((from.starts_with("--- /"), to.starts_with("+++ /")), (true, true), "{shown}");
    assert_eq!((*from == "--- /dev/null", *to == "+++ /dev/null"), (change.before.is_none(), change.after.is_none()), "{shown}");
    let (before, after) = (side(&change.before), side(&change.after));
    assert_eq!(patched(&before, hunks), after, "{shown}");
}

fn report(change: &Change) -> Report {
    let dest = "/d".parse().expect("a path");
    let install = InstallReport {
        dest,
        result: Outcome::Installed,
        changed: true,
        reason: None,
        diff: vec![change.clone()],
        notes: Vec::new(),
        error: None,
    };
    let mut report = Report::new(None);
    let name = "s".parse().expect("a name");
    let (installs, result) = (vec![install], Outcome::Installed);
    report.sets.push(SetReport { name, digest: None, result, reason: None, installs, error: None, warnings: Vec::new() });
    report
}

fn side(content: &Option<String>) -> Vec<String> {
    content.as_deref().unwrap_or_default().lines().map(printable).collect()
}

fn patched(before: &[String], hunks: &[&str]) -> Vec<String> {
    let (mut after, mut at, mut rest) = (Vec::new(), 0, hunks);
    while let [header, more @ ..] = rest {
        let (start, mut old, mut new) = ranges(header);
        after.extend_from_slice(&before[at..start]);
        at = start;
        rest = more;
        while old > 0 || new > 0 {
            let [line, more @ ..] = rest else { panic!("a hunk is cut short") };
            rest = more;
            let (sign, content) = line.split_at(1);
            if sign != "+" {
                assert_eq!(before[at], content, "a line that is not there is kept or removed");
                (at, old) = (at + 1, old - 1);
            }
            if sign != "-" {
                after.push(content.to_owned());
                new -= 1;
            }
        }
    }
    after.extend_from_slice(&before[at..]);
    after
}

/// Of `@@ -start,count +start,count @@`: the first line of the old side, from 0, and how many of each.
fn ranges(header: &str) -> (usize, usize, usize) {
    let inner = header.strip_prefix("@@ -").and_then(|rest| rest.strip_suffix(" @@")).unwrap_or_else(|| panic!("no hunk: {header}"));
    let (old, new) = inner.split_once(" +").expect("two ranges");
    let range = |text: &str| {
        let (start, count) = text.split_once(',').unwrap_or((text, "1"));
        (start.parse::<usize>().expect("a line"), count.parse::<usize>().expect("a count"))
    };
    let ((start, old), (_, new)) = (range(old), range(new));
    (if old == 0 { start } else { start - 1 }, old, new)
}
