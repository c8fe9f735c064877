//! What certsync is compared with, as command lines that have nothing to do on a tree that certsync and rsync have brought up to date.

use crate::measure::{Candidate, Line, Rounds};
use crate::tree::{Tree, slashed};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The floor, as it is called in the tables.
pub const FLOOR: &str = "stat of every entry";
/// What the shell script runs on a live tree of links.
pub const SCRIPT_LINKS: &str = "rsync -avzicL --dry-run";
/// What it runs on plain directories.
pub const SCRIPT: &str = "rsync -avzic --dry-run";
/// Puppet, as it is called in the tables.
pub const PUPPET: &str = "puppet apply --noop";
/// Ansible, the same.
pub const ANSIBLE: &str = "ansible-playbook --check";

/// Compiles the floor; where it is.
pub fn build_floor(work: &Path) -> PathBuf {
    let program = work.join("stat_floor");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/compare/stat_floor.c");
    Line::new("cc").args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(source).run();
    program
}

/// The floor for this tree.
pub fn floor(program: &Path, tree: &Tree) -> Candidate {
    Candidate::new(FLOOR, Line::new(program).arg(tree.live()).arg(tree.installed()))
}

/// rsync for this tree, with these options: `-avzic` …
pub fn rsync(options: &str, tree: &Tree) -> Candidate {
    let line = Line::new("rsync").args([options, "--dry-run"]).arg(slashed(&tree.live())).arg(slashed(&tree.copied()));
    // Twice, it would list what is alike as well.
    let changes = if options.contains('i') { line.run() } else { line.clone().arg("-i").run() };
    assert!(!changes.contains(".pem"), "rsync has nothing to do either: {changes}");
    Candidate::new(&format!("rsync {options} --dry-run"), line)
}

/// Whether a program can be started; says so when not.
pub fn there(program: &str) -> bool {
    let found =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// Puppet with one recursive file resource over the copied tree.
pub fn puppet(tree: &Tree) -> Candidate {
    let (live, copied) = (tree.live(), tree.copied());
    let manifest = tree.dir().join("site.pp");
    let text = format!(
        "file {{ '{}':\n  ensure => directory,\n  recurse => true,\n  links => follow,\n  source => 'file://{}',\n  source_permissions => use,\n}}\n",
        copied.display(),
        live.display()
    );
    fs::write(&manifest, text).expect("the manifest");
    let home = tree.dir().join("puppet");
    let line = Line::new("puppet").args(["apply", "--noop", "--confdir"]).arg(home.join("etc")).arg("--vardir").arg(home.join("var"));
    Candidate::new(PUPPET, line.arg(manifest)).rounds(Rounds::AtMost(2))
}

/// Ansible with one copy task for each set, on this host, without asking for its facts.
pub fn ansible(tree: &Tree) -> Candidate {
    let playbook = tree.dir().join("playbook.yml");
    let names: Vec<String> = (0..tree.sets).map(crate::tree::name).collect();
    let text = format!(
        "- hosts: localhost\n  connection: local\n  gather_facts: false\n  vars: {{ ansible_python_interpreter: \"{{{{ ansible_playbook_python }}}}\" }}\n  tasks:\n    - ansible.builtin.copy:\n        src: {live}/{{{{ item }}}}/\n        \
         dest: {copied}/{{{{ item }}}}/\n        mode: preserve\n      loop: [{}]\n",
        names.join(", "),
        live = tree.live().display(),
        copied = tree.copied().display(),
    );
    fs::write(&playbook, text).expect("the playbook");
    let line = Line::new("ansible-playbook").args(["--check", "-i", "localhost,"]).arg(playbook);
    Candidate::new(ANSIBLE, line.env("ANSIBLE_HOME", tree.dir().join("ansible"))).rounds(Rounds::AtMost(1))
}
