//! Running a document's commands, in order, in a root directory of its own.

use super::document::{Block, Command, Document, matches};
use super::{leaks, top};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command as Process, Stdio};

/// Ends what one command printed.
const END: char = '\u{1e}';
/// Directories of a host that lie below the document's root instead.
const HOST: [&str; 3] = ["/etc/", "/srv/", "/var/"];
/// Programs that hooks name and that have a stand-in.
const STAND_INS: [&str; 2] = ["nginx", "systemctl"];

/// Runs every `console` block; panics with all that differs.
pub fn run(document: &Document) {
    let blocks: Vec<&Block> =
        document.blocks.iter().filter(|block| block.language == "console" || block.marked("file").is_some()).collect();
    if !blocks.iter().any(|block| block.language == "console") {
        return;
    }
    let missing: Vec<&str> = ["bash", "openssl", "python3"].into_iter().filter(|program| !has(program)).collect();
    if !missing.is_empty() {
        skip(&document.path, &format!("it needs {}", missing.join(", ")));
        return;
    }
    let root = tempfile::Builder::new().prefix("certsync-docs-").tempdir().expect("a temporary directory");
    let root_path = root.path().canonicalize().expect("it is there");
    prepare(&root_path);
    let mut script = String::from("exec 2>&1\n");
    let mut commands: Vec<Command> = Vec::new();
    let mut files = 0;
    for block in blocks {
        if let Some(path) = block.marked("file") {
            // The file is there from the moment at which the document shows it.
            files += 1;
            let staged = root_path.join(format!("files/{files}"));
            fs::write(&staged, in_root(&block.text, &root_path, Within::File)).expect("a file is written");
            let place = in_root(path, &root_path, Within::Command);
            script.push_str(&format!("mkdir -p \"$(dirname {place})\" && install -m 644 {} {place}\n", staged.display()));
            continue;
        }
        if block.marked("root").is_some() && !may_mount() {
            skip(&format!("{}:{}", document.path, block.line), "needs root and a mount namespace");
            continue;
        }
        for command in block.commands() {
            assert!(command.host.is_none(), "{}:{}: there is one host here", document.path, command.line);
            script.push_str(&in_root(&command.text, &root_path, Within::Command));
            script.push_str(&format!("\nprintf '{END}%d{END}' $?\n"));
            commands.push(command);
        }
    }
    let printed = bash(&script, &root_path);
    compare(document, &commands, &printed);
}

/// Written past the test runner's capture, which hides what passing tests print.
fn skip(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "{what}: skipped: {why}");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Command,
    File,
}

/// Host paths moved below the root; in files, the programs of hooks replaced by their stand-ins.
fn in_root(text: &str, root: &Path, within: Within) -> String {
    let root = root.display().to_string();
    let mut moved = String::with_capacity(text.len());
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let begins = !(before.is_alphanumeric() || "/._-}*".contains(before));
        if begins && HOST.iter().any(|dir| text[at..].starts_with(dir)) {
            moved.push_str(&root);
        }
        moved.push(c);
        before = c;
    }
    if within == Within::File {
        for program in STAND_INS {
            for part in ["check", "run"] {
                moved = moved.replace(&format!("{part}: [{program},"), &format!("{part}: [{root}/bin/{program},"));
            }
        }
    }
    moved
}

fn prepare(root: &Path) {
    for dir in ["bin", "home", "files", "etc/certsync", "srv", "var/lib", "project"] {
        fs::create_dir_all(root.join(dir)).expect("a directory is made");
    }
    for entry in fs::read_dir(top().join("tests/docs/bin")).expect("stand-ins").flatten() {
        let place = root.join("bin").join(entry.file_name());
        fs::copy(entry.path(), &place).expect("a stand-in is copied");
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).expect("it can be run");
    }
    copy_tree(&top().join("examples"), &root.join("project/examples"));
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory is made");
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).expect("a mode is set");
    for entry in fs::read_dir(from).expect("a directory is read").flatten() {
        let place = to.join(entry.file_name());
        match entry.path() {
            path if path.is_dir() && entry.file_name() != "out" => copy_tree(&path, &place),
            path if path.is_file() => {
                fs::copy(&path, &place).expect("a file is copied");
                fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).expect("a mode is set");
            }
            _ => {}
        }
    }
}

fn bash(script: &str, root: &Path) -> String {
    let file = root.join("files/script");
    fs::write(&file, script).expect("the script is written");
    let program = Path::new(env!("CARGO_BIN_EXE_certsync"));
    let dir = program.parent().expect("it lies somewhere").display();
    let path = format!("{}:{dir}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", root.join("bin").display());
    let output = Process::new("bash")
        .arg(&file)
        .current_dir(root.join("project"))
        .env_clear()
        .env("PATH", path)
        .env("HOME", root.join("home"))
        .env("LANG", "C.UTF-8")
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .env("ROOT", root)
        .env("CERTSYNC", program)
        .env("CERTSYNC_SPEC", root.join("etc/certsync/certsync.yaml"))
        .env("CERTSYNC_STATE_DIR", root.join("var/lib/certsync"))
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    leaks::note(root, &root.join("var/lib/certsync"), &output.stdout, &output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.replace(&format!("{}/bin/", root.display()), "").replace(&root.display().to_string(), "")
}

fn compare(document: &Document, commands: &[Command], printed: &str) {
    let mut parts = printed.split(END);
    let mut faults = String::new();
    for command in commands {
        let (text, status) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("not run"));
        let lines: Vec<&str> = text.lines().collect();
        let expected: Vec<String> = {
            let mut lines = command.expected.clone();
            while lines.last().is_some_and(|line| line.trim().is_empty()) {
                lines.pop();
            }
            lines
        };
        if status != "0" || !matches(&expected, &lines) {
            faults.push_str(&format!("{}:{}: $ {}\nstatus {status}, it printed:\n{text}\n", document.path, command.line, command.text));
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

fn has(program: &str) -> bool {
    Process::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn may_mount() -> bool {
    Process::new("unshare").args(["-m", "true"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
