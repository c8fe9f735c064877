//! Rules of the code base that a compiler does not hold: who may use whom, who may touch the system, what is declared and used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Each folder of `src/` and the folders it may use; the flow runs from top to bottom. `base` may be used by all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("base", &[]),
    // Which users exist, and who may write to a spec.
    ("spec", &["host::users", "host::walk"]),
    ("material", &["spec"]),
    // Types only: what a command, a limit and a verification are.
    ("host", &["spec"]),
    ("state", &["host", "material", "spec"]),
    ("observe", &["host", "material", "spec", "state"]),
    ("collect", &["host", "material", "spec", "state"]),
    // Pure: nothing here that could look at the system.
    ("plan", &["material", "observe", "spec", "state"]),
    ("progress", &[]),
    ("survey", &["collect", "host", "material", "observe", "plan", "progress", "spec", "state"]),
    ("apply", &["collect", "host", "material", "observe", "plan", "progress", "spec", "state", "survey"]),
    ("status", &["host", "material", "observe", "plan", "spec", "state"]),
    ("commands", &["apply", "collect", "host", "material", "observe", "plan", "progress", "spec", "state", "status", "survey"]),
];

/// Where each way to the operating system may be named. All others go through `host`.
const DOORS: &[(&str, &[&str])] = &[
    ("nix::", &["src/host/"]),
    ("xattr::", &["src/host/"]),
    ("std::process::Command", &["src/host/"]),
    ("TcpStream", &["src/host/"]),
    // The spec is read by the one folder that checks who may write it.
    ("std::fs", &["src/host/", "src/spec/load.rs"]),
    ("fs::write", &["src/host/"]),
];

#[test]
fn folders_use_only_those_before_them() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = BTreeSet::new();
    let mut known = BTreeSet::new();
    for file in code("src") {
        let folder = folder_of(&file);
        if matches!(folder.as_str(), "lib" | "main") {
            continue;
        }
        let Some(may_use) = allowed.get(folder.as_str()) else {
            wrong.insert(format!("src/{folder} is in no row of the table"));
            continue;
        };
        known.insert(folder.clone());
        for used in crate_paths(&without_tests(&read(&file))) {
            let first = used.split("::").next().unwrap_or_default();
            let fine =
                first == folder || first == "base" || may_use.iter().any(|rule| used == *rule || used.starts_with(&format!("{rule}::")));
            if !fine {
                wrong.insert(format!("{}: may not use crate::{used}", relative(&file)));
            }
        }
    }
    assert!(known.len() > 5, "the sources were not found");
    assert!(wrong.is_empty(), "{}", list(&wrong));
}

#[test]
fn only_host_talks_to_the_operating_system() {
    let mut wrong = BTreeSet::new();
    for file in code("src") {
        let path = relative(&file);
        let text = without_tests(&read(&file));
        for (door, places) in DOORS {
            if text.lines().any(|line| !line.trim_start().starts_with("//") && names(line, door))
                && !places.iter().any(|place| path.starts_with(place))
            {
                wrong.insert(format!("{path}: {door}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", list(&wrong));
}

#[test]
fn every_dependency_is_used() {
    let manifest = read(&Path::new(ROOT).join("Cargo.toml"));
    let texts = |folders: &[&str]| folders.iter().flat_map(|folder| rust_files(folder)).map(|file| read(&file)).collect::<String>();
    let (product, tests) = (texts(&["src"]), texts(&["src", "tests"]));
    let mut unused = BTreeSet::new();
    for (section, used_in) in [("[dependencies]", &product), ("[dev-dependencies]", &tests)] {
        for name in keys(&manifest, section) {
            let path = format!("{}::", name.replace('-', "_"));
            if !used_in.contains(&path) {
                unused.insert(format!("{section} {name}"));
            }
        }
    }
    assert!(unused.is_empty(), "{}", list(&unused));
}

/// Every `crate::a::b` in a text, cut to two steps; a group such as `crate::{a, b}` counts as each of its parts.
fn crate_paths(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for after in line.split("crate::").skip(1) {
            let group = after.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let parts: Vec<&str> = group.map_or_else(|| vec![after], |(inside, _)| inside.split(',').collect());
            for part in parts {
                let steps: Vec<String> = part.trim().split("::").take(2).map(word).take_while(|step| !step.is_empty()).collect();
                found.insert(steps.join("::"));
            }
        }
    }
    found.remove("");
    found
}

/// Whether a line names a path, and not only one that ends the same (`unix::` is not `nix::`).
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| !line[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_'))
}

fn word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// A source without its unit tests, which may do what they need: they stand at the end of a file.
fn without_tests(text: &str) -> String {
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

fn folder_of(file: &Path) -> String {
    let inside = file.strip_prefix(Path::new(ROOT).join("src")).expect("a file of src");
    let first = inside.components().next().expect("a first step").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn keys(manifest: &str, section: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| line.trim() != section).skip(1).take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once('=')).map(|(key, _)| key.trim().to_owned()).filter(|key| !key.starts_with('#')).collect()
}

/// The code itself: tests beside it (`tests.rs`, `testing.rs`) are left out.
fn code(folder: &str) -> Vec<PathBuf> {
    let is_test = |path: &Path| {
        let inside = path.strip_prefix(ROOT).unwrap_or(path);
        inside.components().any(|step| matches!(step.as_os_str().to_str(), Some("tests" | "tests.rs" | "testing.rs" | "test_dir.rs")))
    };
    rust_files(folder).into_iter().filter(|path| !is_test(path)).collect()
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn relative(file: &Path) -> String {
    file.strip_prefix(ROOT).unwrap_or(file).display().to_string()
}

fn list(lines: &BTreeSet<String>) -> String {
    lines.iter().map(|line| format!("\n  {line}")).collect()
}
