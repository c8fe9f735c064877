//! Somebody who can write the spec, its include folder or the state directory: refused with a hint, by every command.

use super::him::HIM;
use super::host::{Host, is_root};
use super::pairs::Pair;
use std::fs::{self, rename};
use std::os::unix::fs::{lchown, symlink};

const COMMANDS: [&[&str]; 7] =
    [&["plan"], &["apply"], &["status"], &["deploy-hook"], &["rollback", "site"], &["remove", "site"], &["validate"]];

struct Spoiled {
    name: &'static str,
    /// Commands that do not look there.
    but: &'static [&'static str],
    by: fn(&Host),
}

fn give(host: &Host, path: &str) {
    lchown(host.at(path), Some(HIM), Some(HIM)).expect("it is given to him");
}

/// Below `conf` lie the spec, the include folder with a file, and beside it the state directory.
fn host() -> Host {
    let host = Host::new();
    host.mode(".", 0o755);
    host.source("live", &Pair::new("site.test", 1));
    host.write("conf/spec/certsync.yaml", "version: 1\ninclude: [certs.d/*.yaml]\n");
    let certs = format!("certs:\n  site: {{ source: {0}/live, install: {0}/ssl }}\n", host.dir().display());
    host.write("conf/spec/certs.d/site.yaml", certs);
    fs::create_dir(host.at("var")).expect("a directory");
    host
}

/// Moves what is at `path` to his directory and leaves a link of his there.
fn behind_his_link(host: &Host, path: &str) {
    fs::create_dir(host.at("aside")).expect("a directory");
    rename(host.at(path), host.at("aside/it")).expect("a rename");
    symlink(host.at("aside/it"), host.at(path)).expect("a link");
    give(host, path);
}

const SPOILED: [Spoiled; 19] = [
    Spoiled { name: "a spec its group may write", but: &[], by: |host| host.mode("conf/spec/certsync.yaml", 0o664) },
    Spoiled { name: "a spec everybody may write", but: &[], by: |host| host.mode("conf/spec/certsync.yaml", 0o646) },
    Spoiled { name: "a spec of his", but: &[], by: |host| give(host, "conf/spec/certsync.yaml") },
    Spoiled { name: "a spec in a directory everybody may write", but: &[], by: |host| host.mode("conf/spec", 0o777) },
    Spoiled { name: "a spec in a directory of his", but: &[], by: |host| give(host, "conf/spec") },
    Spoiled { name: "a spec below a directory of his", but: &[], by: |host| give(host, "conf") },
    Spoiled { name: "a spec below a directory its group may write", but: &[], by: |host| host.mode("conf", 0o775) },
    Spoiled { name: "a spec behind a link of his", but: &[], by: |host| behind_his_link(host, "conf/spec/certsync.yaml") },
    Spoiled { name: "a directory behind a link of his", but: &[], by: |host| behind_his_link(host, "conf/spec") },
    Spoiled { name: "an include folder everybody may write", but: &[], by: |host| host.mode("conf/spec/certs.d", 0o1777) },
    Spoiled { name: "an include folder of his", but: &[], by: |host| give(host, "conf/spec/certs.d") },
    Spoiled { name: "an include folder behind a link of his", but: &[], by: |host| behind_his_link(host, "conf/spec/certs.d") },
    Spoiled { name: "an included file of his", but: &[], by: |host| give(host, "conf/spec/certs.d/site.yaml") },
    Spoiled { name: "an included file its group may write", but: &[], by: |host| host.mode("conf/spec/certs.d/site.yaml", 0o664) },
    Spoiled { name: "an included file behind a link of his", but: &[], by: |host| behind_his_link(host, "conf/spec/certs.d/site.yaml") },
    Spoiled { name: "a state directory everybody may write", but: &["validate"], by: |host| host.mode("var/state", 0o777) },
    Spoiled { name: "a state directory of his", but: &["validate"], by: |host| give(host, "var/state") },
    Spoiled { name: "a state directory below a directory of his", but: &["validate"], by: |host| give(host, "var") },
    Spoiled { name: "a state directory behind a link of his", but: &["validate"], by: |host| behind_his_link(host, "var/state") },
];

const STATE_FILE: [Spoiled; 3] = [
    Spoiled { name: "a state file of his", but: &["validate"], by: |host| give(host, "var/state/state.json") },
    Spoiled { name: "a state file its group may write", but: &["validate"], by: |host| host.mode("var/state/state.json", 0o660) },
    Spoiled { name: "a state file behind a link of his", but: &["validate"], by: |host| behind_his_link(host, "var/state/state.json") },
];

#[track_caller]
fn run(host: &Host, args: &[&str]) -> (bool, String) {
    let mut command = host.command(args);
    command.env("CERTSYNC_SPEC", host.at("conf/spec/certsync.yaml")).env("CERTSYNC_STATE_DIR", host.at("var/state"));
    command.env("RENEWED_LINEAGE", host.at("live"));
    let output = command.output().expect("the program runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_others_could_have_written_is_refused_by_every_command_with_a_hint() {
    if !is_root() {
        return;
    }
    for spoiled in SPOILED.iter().chain(&STATE_FILE) {
        let host = host();
        assert_eq!(run(&host, &["apply"]), (true, String::new()), "{}", spoiled.name);
        host.source("live", &Pair::new("site.test", 2));
        let before = host.read("ssl/cert.pem");
        (spoiled.by)(&host);
        for args in COMMANDS.into_iter().filter(|args| !spoiled.but.contains(&args[0])) {
            let (good, said) = run(&host, args);
            assert!(!good, "{}: {args:?} believed it\n{said}", spoiled.name);
            assert!(said.contains("certsync: error: ") && said.contains("hint: "), "{}: {args:?}\n{said}", spoiled.name);
        }
        assert_eq!(host.read("ssl/cert.pem"), before, "{}: something was installed", spoiled.name);
    }
}

#[test]
fn a_state_directory_is_not_made_where_others_could_exchange_it() {
    if !is_root() {
        return;
    }
    for spoil in [|host: &Host| give(host, "var"), |host: &Host| host.mode("var", 0o777)] {
        let host = host();
        spoil(&host);
        let (good, said) = run(&host, &["apply"]);
        assert!(!good && said.contains("hint: "), "{said}");
        assert!(!host.has("var/state") && !host.has("ssl"));
    }
}
