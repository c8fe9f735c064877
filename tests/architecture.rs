//! ARCHITECTURE.md is true: who uses whom, who talks to the operating system, what each dependency is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(top().join("ARCHITECTURE.md")).expect("the page is there")
}

/// The rows of the table after a comment, as their cells.
fn table(comment: &str) -> Vec<Vec<String>> {
    let page = page();
    let after = page.split_once(&format!("<!-- {comment} -->")).unwrap_or_else(|| panic!("no table {comment}")).1.to_owned();
    let rows = after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands in backticks.
fn codes(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(|word| word.trim_end_matches('/').to_owned()).collect()
}

/// Every source file below src/, its path there, and its text without tests.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(top().join("src").join(&folder)).expect("a folder").flatten() {
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if !["tests", "testing", "test_dir"].iter().any(|name| path.file_stem().is_some_and(|stem| stem == *name)) {
                let text = fs::read_to_string(entry.path()).expect("a source file");
                found.push((path.display().to_string(), without_tests(&text)));
            }
        }
    }
    assert!(found.len() > 50, "the sources were found");
    found
}

/// Tests stand last in a file. Comments say nothing about who uses whom.
fn without_tests(text: &str) -> String {
    let code = text.find("#[cfg(test)]\nmod tests").map_or(text, |end| &text[..end]);
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

fn folder_of(path: &str) -> &str {
    path.split(['/', '.']).next().unwrap_or_default()
}

fn used(text: &str) -> BTreeSet<String> {
    let rest = text.split("crate::").skip(1);
    rest.map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()).collect()
}

#[test]
fn folders_use_only_what_the_page_says() {
    let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in table("folders") {
        // What stands after "not" is forbidden.
        let uses = row[2].split("; not ").next().unwrap_or_default();
        allowed.insert(codes(&row[0]).into_iter().next().expect("a folder's name"), codes(uses));
    }
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let folder = folder_of(&path).to_owned();
        if matches!(path.as_str(), "main.rs" | "lib.rs") {
            continue;
        }
        let Some(may) = allowed.get(&folder) else {
            wrong.push(format!("{path}: its folder is not on the page"));
            continue;
        };
        for other in used(&text).into_iter().filter(|other| *other != folder) {
            if !may.contains(&other) {
                wrong.push(format!("{path} uses {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn spec_reaches_the_host_in_two_questions_only() {
    let asked: BTreeSet<String> = sources()
        .iter()
        .filter(|(path, _)| path.starts_with("spec/"))
        .flat_map(|(_, text)| {
            let rest = text.split("crate::host::").skip(1).map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_'));
            rest.map(Iterator::collect).collect::<Vec<String>>()
        })
        .collect();
    let two = BTreeSet::from(["users".to_owned(), "walk".to_owned()]);
    assert_eq!(asked, two, "who somebody is, and who may write a file");
}

#[test]
fn nothing_is_unsafe() {
    for (path, text) in sources() {
        assert!(!text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe"), "{path}");
    }
}

#[test]
fn only_host_talks_to_the_operating_system() {
    const CALLS: [&str; 14] = [
        "std::fs",
        " nix::",
        "(nix::",
        "process::Command",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "ToSocketAddrs",
        ".canonicalize(",
        ".metadata(",
        ".symlink_metadata(",
        ".exists(",
        "xattr::",
    ];
    let allowed: BTreeSet<String> = table("system calls outside host/").iter().flat_map(|row| codes(&row[0])).collect();
    let mut found = BTreeSet::new();
    for (path, text) in sources().iter().filter(|(path, _)| folder_of(path) != "host") {
        if CALLS.iter().any(|call| text.contains(call)) {
            found.insert(path.clone());
        }
    }
    assert_eq!(found, allowed);
}

#[test]
fn every_dependency_is_argued_for() {
    let manifest = fs::read_to_string(top().join("Cargo.toml")).expect("the manifest");
    let section = |name: &str| {
        let after = manifest.split_once(&format!("\n[{name}]\n")).expect("a section").1.to_owned();
        let lines = after.lines().take_while(|line| !line.starts_with('[')).map(str::to_owned).collect::<Vec<_>>();
        lines.iter().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>()
    };
    let told: BTreeSet<String> = table("dependencies").iter().flat_map(|row| codes(&row[0])).collect();
    assert_eq!(section("dependencies"), told);
    let page = page();
    for name in section("dev-dependencies") {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
