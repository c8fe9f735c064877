//! What the READMEs say, on a Debian that has only what its installer brings: `scripts/prove fresh` makes the root directory and names it in
//! `CERTSYNC_TEST_FRESH`.

use crate::hosts::{Hosts, Init, lacking_on};
use crate::top;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The root directory, or why the test is left out, which is said.
fn fresh(test: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CERTSYNC_TEST_FRESH").map(PathBuf::from);
    let why = match &root {
        None => Some("CERTSYNC_TEST_FRESH names no root directory: scripts/prove fresh".to_owned()),
        Some(root) => lacking_on(root, &[]),
    };
    match why {
        None => root,
        Some(why) => {
            eprintln!("skipped: {test}: {why}");
            None
        }
    }
}

/// The first block of shell commands in a document.
fn commands(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(top().join(document)).expect("a document");
    let (_, rest) = text.split_once("```sh\n").expect("a block");
    let (block, _) = rest.split_once("```").expect("its end");
    block.lines().map(str::to_owned).collect()
}

/// A host with systemd, a checkout in `/root/certsync` that has been built, and no certsync elsewhere.
fn start(hosts: &mut Hosts, name: &str, address: Ipv4Addr) {
    hosts.start_with(Init::Systemd, name, address, "").expect("systemd runs");
    let host = hosts.host(name);
    for folder in ["roles", "modules", "examples"] {
        host.copy(&top().join(folder), &format!("/root/certsync/{folder}"));
    }
    host.run("mkdir -p certsync/target/release && mv /usr/bin/certsync certsync/target/release/ && ! command -v certsync");
}

#[test]
fn the_puppet_module_s_readme_brings_up_its_example() {
    let Some(root) = fresh("the_puppet_module_s_readme_brings_up_its_example") else {
        return;
    };
    let commands = commands("modules/puppet/certsync/README.md");
    assert_eq!(commands.len(), 2, "{commands:?}");
    let mut hosts = Hosts::on(&root);
    start(&mut hosts, "web1", [10, 0, 0, 11].into());
    let host = hosts.host("web1");
    for command in &commands {
        println!("{}", host.run_online(&format!("cd certsync && {command}")));
    }
    host.run("systemctl is-active nginx && cmp /etc/nginx/tls/www.example.com/cert.pem /etc/letsencrypt/live/www.example.com/cert.pem");
    let again = host.run_online(&format!("cd certsync && {} --detailed-exitcodes", commands[1]));
    assert!(!again.contains("Stage[main]"), "{again}");
}

#[test]
fn the_quickstart_works_without_root() {
    let Some(root) = fresh("the_quickstart_works_without_root") else {
        return;
    };
    let mut hosts = Hosts::on(&root);
    start(&mut hosts, "desk", [10, 0, 0, 21].into());
    let host = hosts.host("desk");
    // The program is the one of this test; building it needs what the README says.
    let readme = std::fs::read_to_string(top().join("README.md")).expect("a document");
    let (_, rest) = readme.split_once("$ cargo run -- ").expect("the first command");
    let words = rest.lines().next().expect("a line");
    host.run("useradd -m -s /bin/bash ada && mv certsync/target/release/certsync /usr/bin/ && cp -r --no-preserve=all certsync /home/ada/ && chown -R ada: /home/ada");
    let said = host.run(&format!("su - ada -c 'cd certsync && certsync {words}'"));
    assert!(said.contains("www.example.com: installed (new)\n") && said.ends_with("applied: 1 installed; hooks: reload\n"), "{said}");
    let again = host.run(&format!("su - ada -c 'cd certsync && certsync {words}'"));
    assert_eq!(again, "nothing to do: 1 unchanged\n");
}
