//! The documentation is run: what README.md and docs/ show is what happens.
//!
//! A document is text, and these fenced blocks:
//!
//! - `console`: lines that begin with `$ ` are commands (continued by lines that begin with `> `), the lines after them are all that
//!   the command prints. `…` within a line stands for anything, `…` alone for any number of lines. A command that does not end with
//!   status 0 is a fault; what fails on purpose is followed by `; echo "exit $?"`.
//! - `yaml`: a spec, or a part of one. It is validated.
//! - anything else (`sh`, `text`, `json`, …): shown only.
//!
//! A comment before a block says more:
//!
//! - `<!-- file: PATH -->`: the block is written to this file before the next command.
//! - `<!-- frame: NAME -->`: the block is a part of a spec; `tests/docs/frames/NAME.yaml` is what it is put into.
//! - `<!-- root -->`: the block needs root and a mount namespace; elsewhere it is skipped, aloud.
//! - `<!-- keys: TYPE -->`, `<!-- options: COMMAND -->`: before a table, see `reference`.
//!
//! Every document has a root directory of its own: `/etc/…`, `/srv/…` and `/var/…` lie below it, in commands and files; what is printed
//! is shown without it. `certbot`, `nginx`, `systemctl` and `cargo` are the stand-ins in `tests/docs/bin`.

mod document;
mod examples;
#[path = "../support/leaks.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod leaks;
mod reference;
mod run;
mod yaml;

use document::Document;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// These are run by `tests/fleet`, on many hosts.
const FLEET: &str = "docs/runbooks/fleet";

/// The top of the project.
fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

macro_rules! documents {
    ($($name:ident: $path:literal,)*) => {
        /// Every document that is run.
        const DOCUMENTS: &[&str] = &[$($path),*];

        $(
            #[test]
            fn $name() {
                let document = Document::read($path);
                yaml::validate_all(&document);
                run::run(&document);
            }
        )*
    };
}

documents! {
    readme: "README.md",
    getting_started: "docs/getting-started.md",
    spec: "docs/spec.md",
    commands: "docs/commands.md",
    hooks: "docs/hooks.md",
    acme_clients: "docs/acme-clients.md",
    layouts: "docs/layouts.md",
    monitoring: "docs/monitoring.md",
    performance: "docs/performance.md",
    fleet: "docs/fleet.md",
    compared_with_scripts: "docs/compared-with-scripts.md",
    masters: "docs/masters.md",
    runbook_migrate: "docs/runbooks/migrate-from-a-script.md",
    runbook_compromised_key: "docs/runbooks/compromised-key.md",
    runbook_broken_service: "docs/runbooks/broken-service.md",
    runbook_state_lost: "docs/runbooks/state-lost.md",
}

#[test]
fn no_document_is_left_out() {
    let mut found = BTreeSet::from(["README.md".to_owned()]);
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(top().join(&folder)).expect("docs/ is there") {
            let path = folder.join(entry.expect("an entry").file_name());
            if path == Path::new(FLEET) {
                continue;
            }
            if top().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                found.insert(path.display().to_string());
            }
        }
    }
    let listed: BTreeSet<String> = DOCUMENTS.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(found, listed);
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let others = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
    let mut broken = Vec::new();
    let fleet = std::fs::read_dir(top().join(FLEET)).expect("the folder").flatten();
    let fleet: Vec<String> = fleet.map(|entry| format!("{FLEET}/{}", entry.file_name().to_string_lossy())).collect();
    for path in DOCUMENTS.iter().chain(&others).copied().chain(fleet.iter().map(String::as_str)) {
        let text = std::fs::read_to_string(top().join(path)).expect("the document is there");
        let folder = Path::new(path).parent().expect("a file lies somewhere");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if link.starts_with("http") || link.starts_with("mailto:") {
                continue;
            }
            let target = if file.is_empty() { top().join(path) } else { top().join(folder).join(file) };
            let whole = match (std::fs::read_to_string(&target), anchor) {
                (_, "") => target.exists(),
                (Ok(text), anchor) => text.lines().filter(|line| line.starts_with('#')).any(|line| anchor_of(line) == anchor),
                (Err(_), _) => false,
            };
            if !whole {
                broken.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The anchor that Markdown viewers give a heading.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).map(|c| if c == ' ' { '-' } else { c }).collect()
}
