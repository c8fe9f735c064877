//! One run of a scenario under plain strace: which calls change files, in which order.

use super::bench::Bench;
use super::scenarios::Scenario;
use super::trace::{Call, Effect, read};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

/// What a run of certsync did, without what its hooks did.
pub struct Recording {
    /// Every call of certsync itself.
    pub calls: Vec<Call>,
    /// The host's directory then.
    pub dir: PathBuf,
    /// How often a process that certsync started made each call: where a fault counts more, it can only meet certsync.
    pub most_by_others: BTreeMap<String, usize>,
}

/// certsync under strace with these options; the trace goes to `trace` beside the host, not into it.
pub fn strace(bench: &Bench, options: &[String], args: &[&str]) -> (Output, Vec<Call>) {
    let trace = bench.host.dir().with_extension("trace");
    // With a `/run` of its own: certsync sweeps there, and what others have in it must not count.
    let mut command = Command::new("unshare");
    bench.host.environment(&mut command);
    command.args(["--mount", "sh", "-c", "mount -t tmpfs tmpfs /run && exec \"$@\"", "sh", "strace"]);
    command.arg("-o").arg(&trace).args(options).arg(env!("CARGO_BIN_EXE_certsync")).args(args);
    let output = command.output().expect("strace runs");
    let calls = read(&trace);
    let _ = std::fs::remove_file(&trace);
    (output, calls)
}

impl Recording {
    /// Runs the scenario without a fault.
    ///
    /// Fails where a call turns up that may change files and that nobody has looked at, and where anything but certsync's first thread
    /// changes files: its faults would not be tried.
    pub fn of(bench: &Bench, scenario: &Scenario) -> Recording {
        let options = ["-f", "-y", "-s", "1000000"].map(str::to_owned);
        let (output, calls) = strace(bench, &options, scenario.command);
        let all = Processes::told_apart(calls);
        let unknown: Vec<_> = all.certsync.iter().filter(|call| call.effect() == Effect::Unknown).collect();
        assert!(unknown.is_empty(), "{}: calls that nobody has looked at: {unknown:#?}", scenario.name);
        let strange: Vec<_> = all.beside.iter().filter(|call| call.effect() != Effect::Harmless).collect();
        assert!(strange.is_empty(), "{}: file-changing calls outside the first thread: {strange:#?}", scenario.name);
        assert!(
            all.certsync.iter().any(|call| call.effect() == Effect::Changes),
            "{}: {}",
            scenario.name,
            String::from_utf8_lossy(&output.stderr)
        );
        Recording { calls: all.certsync, dir: bench.host.dir().to_owned(), most_by_others: all.most }
    }
}

struct Processes {
    /// Calls of the first thread.
    certsync: Vec<Call>,
    /// Calls of other threads of certsync, and of its shim before it becomes a hook.
    beside: Vec<Call>,
    most: BTreeMap<String, usize>,
}

impl Processes {
    fn told_apart(calls: Vec<Call>) -> Processes {
        let first = calls.first().expect("a call").pid;
        let mut hooks = Vec::new();
        let mut counts: BTreeMap<(u32, String), usize> = BTreeMap::new();
        let (mut certsync, mut beside) = (Vec::new(), Vec::new());
        for call in calls {
            if call.pid == first {
                certsync.push(call);
                continue;
            }
            *counts.entry((call.pid, call.name.clone())).or_default() += 1;
            if hooks.contains(&call.pid) {
                continue;
            }
            if call.name == "execve" && call.succeeded() && call.string(0) != Some("/proc/self/exe") {
                hooks.push(call.pid);
            } else {
                beside.push(call);
            }
        }
        // What a hook starts is no part of certsync either.
        let mut most: BTreeMap<String, usize> = BTreeMap::new();
        for ((_, name), count) in counts {
            let known = most.entry(name).or_default();
            *known = (*known).max(count);
        }
        Processes { certsync, beside, most }
    }
}
