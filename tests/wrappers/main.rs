//! What sites bring certsync to their hosts with, run for real on whole hosts that are thrown away.
//!
//! Not part of a plain `cargo test`; run by `cargo test --test wrappers`, as root. What a test needs and does not find here, it names.

mod ansible;
mod fresh;
#[path = "../support/hosts.rs"]
mod hosts;
mod puppet;
mod puppet_cost;
mod puppet_unit;
mod same;

use hosts::{Host, lacking};
use std::path::Path;

/// Where certbot keeps a set on a host.
const LIVE: &str = "/etc/letsencrypt/live/www.example.com";
/// Where it is installed.
const DEST: &str = "/etc/nginx/tls";

/// A spec with that set, whose hook counts, in YAML on one line. `attributes` are further ones of its install.
fn one_set(attributes: &str) -> String {
    format!(
        "{{ version: 1, hooks: {{ count: {{ run: [sh, -c, 'date >>/srv/run'] }} }}, certs: {{ www.example.com: {{ source: {LIVE}, \
         install: {{ dest: {DEST}, hooks: [count]{attributes} }} }} }} }}"
    )
}

/// The top of the project.
fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a test has to be left out, which it says.
fn is_left_out(test: &str, programs: &[&str]) -> bool {
    let why = lacking(programs);
    if let Some(why) = &why {
        eprintln!("skipped: {test}: {why}");
    }
    why.is_some()
}

/// Everything below the folders that a wrapper may touch, with owners, modes, times of change and contents; Puppet makes folders of its own in its own.
fn tree(host: &Host) -> String {
    host.run("find /etc /usr/bin /var/lib/certsync /srv/certsync /var/spool/cron -not -path '/etc/puppet*' -printf '%p %U:%G %m %s %T@ %l\\n' 2>/dev/null | sort")
}

/// What a host was, it is still; `said` is what the tool printed.
#[track_caller]
fn assert_same(host: &Host, before: &str, said: &str) {
    let now = tree(host);
    if now != before {
        let lines = |text: &str, other: &str, sign: char| -> String {
            text.lines().filter(|line| !other.lines().any(|of_other| of_other == *line)).map(|line| format!("{sign}{line}\n")).collect()
        };
        panic!("something has changed:\n{}{}{said}", lines(before, &now, '-'), lines(&now, before, '+'));
    }
}

/// No line of a private key that lies in the folder stands in the text.
fn assert_no_key(host: &Host, folder: &str, text: &str) {
    let key = host.run(&format!("cat {folder}/privkey.pem"));
    for line in key.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!text.contains(line), "a line of a key is shown");
    }
}
