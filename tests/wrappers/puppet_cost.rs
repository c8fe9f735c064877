//! What a second run of the class costs, beside a manifest that has nothing but the command.

use crate::ansible::cost::{TURNS, median, timed};
use crate::hosts::{Hosts, Init};
use crate::puppet::{apply, control, data, run};
use crate::{LIVE, is_left_out, one_set};

const BARE: &str = "--execute \"exec { '/usr/bin/certsync apply': }\"";

#[test]
#[ignore = "a measurement: scripts/prove wrappers-cost"]
fn a_second_run_of_the_class_is_measured() {
    if is_left_out("a_second_run_of_the_class_is_measured", &["puppet", "cron", "sudo"]) {
        return;
    }
    let mut hosts = Hosts::new();
    control(&mut hosts, Init::Sshd, "web1", [10, 0, 0, 11].into()).expect("a host starts");
    let host = hosts.host("web1");
    host.issue(LIVE);
    let site = data(&one_set(""), "");
    run(host, &site, "").made();
    // By turns, so that whatever else the machine does meets both alike.
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    let mut count = 0;
    for _ in 0..TURNS {
        bare.push(timed(|| apply(host, BARE).made()).1);
        let (run, seconds) = timed(|| run(host, &site, "").nothing());
        whole.push(seconds);
        count = run.resources();
    }
    let (bare, whole) = (median(bare), median(whole));
    let version = host.run("puppet --version").trim().to_owned();
    println!("| Puppet | manifest | resources | seconds | beside the bare command |\n|---|---|---|---|---|");
    println!("| {version} | `exec {{ 'certsync apply': }}` | 1 | {bare:.1} | 1 |");
    println!("| {version} | the class, nothing to do | {count} | {whole:.1} | {:.1} |", whole / bare);
}
