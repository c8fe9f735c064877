//! What a second run of the role costs, beside a play that has nothing but the command.

use super::{Run, Version, control, play, run_with};
use crate::hosts::Hosts;
use crate::{LIVE, is_left_out, one_set};
use std::time::Instant;

/// Of each play; what is told is the median.
pub const TURNS: usize = 5;

const BARE: &str = "- hosts: localhost
  gather_subset: [min]
  tasks:
    - ansible.builtin.command: certsync apply
";

#[test]
#[ignore = "a measurement: scripts/prove wrappers-cost"]
fn a_second_run_of_the_role_is_measured() {
    if is_left_out("a_second_run_of_the_role_is_measured", &["ansible-playbook", "cron", "sudo"]) {
        return;
    }
    let mut hosts = Hosts::new();
    control(&mut hosts, "web1", [10, 0, 0, 11].into());
    let host = hosts.host("web1");
    host.issue(LIVE);
    let site = play(&one_set(""), "");
    println!("| ansible-core | play | tasks | seconds | beside the bare command |\n|---|---|---|---|---|");
    for version in [Version::Debian, Version::Newest] {
        let Some(program) = version.playbook(host) else { continue };
        run_with(host, &program, &site, "").ok();
        // By turns, so that whatever else the machine does meets both alike.
        let (mut bare, mut whole) = (Vec::new(), Vec::new());
        let mut count = 0;
        for _ in 0..TURNS {
            bare.push(timed(|| run_with(host, &program, BARE, "").ok()).1);
            let (run, seconds) = timed(|| run_with(host, &program, &site, "").ok());
            assert_eq!(run.changed(), 0, "{}", run.text);
            whole.push(seconds);
            count = tasks(&run);
        }
        let (bare, whole) = (median(bare), median(whole));
        let told = host.run(&format!("{program} --version"));
        let name = told.lines().next().and_then(|line| line.split("core ").nth(1)).unwrap_or_default().trim_end_matches(']').to_owned();
        println!("| {name} | `command: certsync apply` | 1 | {bare:.1} | 1 |");
        println!("| {name} | the role, nothing to do | {count} | {whole:.1} | {:.1} |", whole / bare);
    }
}

/// How many tasks were done on the host: gathering facts, and what is only thought about, are not counted.
fn tasks(run: &Run) -> usize {
    let is_done = |task: &&str| {
        let name = task.split(']').next().unwrap_or_default();
        let is_ours = !name.contains("Gathering Facts") && !name.contains("Validating arguments");
        is_ours && task.lines().any(|line| line.starts_with("ok: ") || line.starts_with("changed: "))
    };
    run.text.split("\nTASK [").skip(1).filter(is_done).count()
}

/// What the work came to, and the seconds it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let began = Instant::now();
    let answer = work();
    (answer, began.elapsed().as_secs_f64())
}

/// The one in the middle.
pub fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
