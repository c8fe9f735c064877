//! Every spec that a document shows, whole or in part, is validated.

use super::document::{Block, Document};
use super::top;
use assert_cmd::Command;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Validates every `yaml` block, as the server that a comment `<!-- as: NAME -->` before it names; panics with all faults.
pub fn validate_all(document: &Document) {
    let blocks = document.blocks.iter().filter(|block| block.language == "yaml");
    let faults: Vec<String> = blocks.filter_map(|block| fault(document, block)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn fault(document: &Document, block: &Block) -> Option<String> {
    let spec = without_accounts(&framed(document, block));
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir_all(dir.path().join("certs.d")).expect("a folder to include");
    let at = dir.path().join("certsync.yaml");
    let done = Command::new(env!("CARGO_BIN_EXE_certsync"))
        .args(["validate", "-", "--at"])
        .arg(&at)
        .args(block.marked("as").iter().flat_map(|name| ["--as", name]))
        .env_remove("CERTSYNC_SPEC")
        .env_remove("CERTSYNC_AS")
        .env("CERTSYNC_STATE_DIR", dir.path().join("state"))
        .write_stdin(spec.clone())
        .output()
        .expect("certsync runs");
    let told = String::from_utf8_lossy(&done.stderr);
    (!done.status.success()).then(|| format!("{}:{}: {told}\n{spec}", document.path, block.line))
}

/// A part of a spec, in its frame: the line `…` is replaced by it, indented as that line is.
fn framed(document: &Document, block: &Block) -> String {
    let Some(name) = block.marked("frame") else { return block.text.clone() };
    let path = top().join(format!("tests/docs/frames/{name}.yaml"));
    let frame = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}:{}: frame {name}: {error}", document.path, block.line));
    let mut whole = String::new();
    for line in frame.lines() {
        if line.trim() == "…" {
            let indent = &line[..line.len() - "…".len()];
            block.text.lines().for_each(|line| whole.push_str(&format!("{indent}{line}\n")));
        } else {
            whole.push_str(line);
            whole.push('\n');
        }
    }
    whole
}

/// Users and groups of the documents' hosts need not exist here: who runs the test stands for all of them.
pub fn without_accounts(spec: &str) -> String {
    let us = fs::metadata("/proc/self").expect("Linux");
    let mut out = String::new();
    for line in spec.lines() {
        let mut line = line.to_owned();
        for (key, id) in [("owner: ", us.uid()), ("group: ", us.gid()), ("user: ", us.uid())] {
            let mut from = 0;
            while let Some(at) = line[from..].find(key).map(|at| from + at + key.len()) {
                let end = line[at..].find([',', ' ', '}']).map_or(line.len(), |length| at + length);
                line.replace_range(at..end, &id.to_string());
                from = at;
            }
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}
