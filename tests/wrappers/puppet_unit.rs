//! The Puppet module by itself: its own checks and its own tests, as its users run them.

use crate::{is_left_out, top};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn module() -> PathBuf {
    top().join("modules/puppet/certsync")
}

/// Runs a command in a folder; what it says. It has to succeed.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("CERTSYNC_TEST_PROGRAM", env!("CARGO_BIN_EXE_certsync"))
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    said
}

/// The manifests below a folder.
fn manifests(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(manifests(&path));
        } else if path.extension().is_some_and(|ending| ending == "pp") {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn the_module_is_right_for_puppet_s_own_checks() {
    if is_left_out("the_module_is_right_for_puppet_s_own_checks", &["puppet", "puppet-lint"]) {
        return;
    }
    let manifests = manifests(&module());
    assert!(manifests.iter().any(|path| path.ends_with("/manifests/init.pp")), "{manifests:?}");
    let paths: Vec<&str> = manifests.iter().map(String::as_str).collect();
    run(&module(), "puppet", &[&["parser", "validate"][..], &paths].concat());
    // From the module's folder, for the sake of its .puppet-lint.rc; by the whole path, which tells the module's name.
    run(&module(), "puppet-lint", &["--fail-on-warnings", &module().display().to_string()]);
}

#[test]
fn the_module_s_own_tests_pass() {
    if is_left_out("the_module_s_own_tests_pass", &["puppet", "rspec", "openssl", "diff"]) {
        return;
    }
    let said = run(&module(), "rspec", &["--no-color"]);
    let summary = said.lines().find(|line| line.contains(" examples, ")).unwrap_or_else(|| panic!("no summary: {said}"));
    // Nothing is left out for want of a program.
    assert!(summary.ends_with(" 0 failures") && !summary.starts_with("0 "), "{said}");
}

/// With `CERTSYNC_REGENERATE=1` the file is written anew.
#[test]
fn the_module_s_reference_is_what_its_source_says() {
    if is_left_out("the_module_s_reference_is_what_its_source_says", &["puppet"]) {
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    let has_strings = Command::new("puppet").args(["strings", "--help"]).current_dir(scratch.path()).output();
    if !has_strings.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: the_module_s_reference_is_what_its_source_says: puppet-strings is not installed");
        return;
    }
    // It leaves a folder of its own where it runs.
    run(scratch.path(), "cp", &["-r", &module().display().to_string(), "certsync"]);
    let copy = scratch.path().join("certsync");
    let warned = run(&copy, "puppet", &["strings", "generate", "--format", "markdown", "--out", "made.md"]);
    assert!(!warned.contains("[warn]") && !warned.contains("[error]"), "{warned}");
    let made = fs::read_to_string(copy.join("made.md")).expect("a reference");
    let path = module().join("REFERENCE.md");
    if std::env::var_os("CERTSYNC_REGENERATE").is_some_and(|value| value == "1") {
        fs::write(&path, &made).expect("it is written");
    }
    assert!(made.contains("certsync_apply") && made.contains("certsync::to_yaml"), "{made}");
    assert!(
        fs::read_to_string(&path).is_ok_and(|kept| kept == made),
        "REFERENCE.md is not what puppet strings makes: run CERTSYNC_REGENERATE=1 cargo test --test wrappers reference"
    );
}
