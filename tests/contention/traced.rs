//! What each of several at once really did, and when: recorded by strace.

use super::host::{Host, SETS, pause};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CALLS: &str = "execve,flock,openat,mkdirat,symlinkat,linkat,renameat,renameat2,unlinkat,fchmod,fchmodat,fchown,fchownat,utimensat";

/// One call of a traced process.
struct Call {
    name: String,
    text: String,
    /// Seconds when it began and ended.
    from: f64,
    to: f64,
}

/// Starts certsync under strace; the environment is the one of [`super::support::site::Site::call`].
fn start(host: &Host, trace: &Path, args: &[&str], lineage: Option<&str>) -> Child {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-ttt", "-T", "-y", "-e", &format!("trace={CALLS}"), "-o"])
        .arg(trace)
        .arg(env!("CARGO_BIN_EXE_certsync"))
        .args(args);
    command.env("CERTSYNC_SPEC", host.site.path("certsync.yaml")).env("CERTSYNC_STATE_DIR", host.site.path("state"));
    if let Some(set) = lineage {
        command.env("RENEWED_LINEAGE", host.site.path("src").join(set));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("strace runs")
}

/// The calls of certsync itself, not of its hooks: a process that certsync started and that became another program is one.
fn calls(trace: &Path) -> Vec<Call> {
    let text = fs::read_to_string(trace).expect("a trace");
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let main = lines.first().expect("a first line").0;
    let hooks: Vec<&str> = lines.iter().filter(|(pid, line)| *pid != main && line.contains(" execve(")).map(|(pid, _)| *pid).collect();
    let own = lines.iter().filter(|(pid, _)| !hooks.contains(pid));
    own.filter_map(|(_, line)| parse(line.trim_start())).collect()
}

/// `1700000000.123456 flock(3</path>, LOCK_EX) = 0 <0.000012>`; what failed changed nothing.
fn parse(line: &str) -> Option<Call> {
    let (time, rest) = line.split_once(' ')?;
    let from: f64 = time.parse().ok()?;
    let (rest, took) = rest.trim_end().strip_suffix('>')?.rsplit_once(" <")?;
    let took: f64 = took.parse().ok()?;
    let (text, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    match text.strip_prefix("<... ") {
        Some(resumed) => {
            let name = resumed.split(' ').next()?.to_owned();
            Some(Call { name, text: text.to_owned(), from: from - took, to: from })
        }
        None => Some(Call { name: text.split('(').next()?.to_owned(), text: text.to_owned(), from, to: from + took }),
    }
}

/// Whether it changes something that only the one at work may change.
fn changes(call: &Call, host: &Host) -> bool {
    let dir = host.site.dir().display().to_string();
    let made = call.name != "openat" || call.text.contains("O_CREAT");
    let everybodys = [format!("<{dir}/state/requests>"), ".lock\"".into(), format!("<{dir}>, \"state\""), "\"requests\"".into()];
    // The state directory and the folder of requests are made under another name first.
    let unnamed = match call.name.as_str() {
        "mkdirat" => call.text.contains("state>, \".new-"),
        name => name.starts_with("fch") && ["state/.new-", "state/requests/.new-"].iter().any(|part| call.text.contains(part)),
    };
    made && call.name != "execve"
        && call.name != "flock"
        && call.text.contains(&dir)
        && !unnamed
        && !everybodys.iter().any(|part| call.text.contains(part.as_str()))
}

/// From when to when a process held `run.lock`.
fn turns(calls: &[Call]) -> Vec<(f64, f64)> {
    let mut turns = Vec::new();
    let mut since = None;
    for call in calls.iter().filter(|call| call.name == "flock" && call.text.contains("/run.lock>")) {
        if call.text.contains("LOCK_UN") {
            turns.extend(since.take().map(|since| (since, call.from)));
        } else {
            since = Some(call.to);
        }
    }
    assert!(since.is_none(), "it was given back");
    turns
}

#[test]
fn nothing_is_changed_but_by_the_one_at_work() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: needs strace");
        return;
    }
    let host = Host::installed();
    for set in SETS {
        host.renew(set, 1);
    }
    let mut traces: Vec<PathBuf> = Vec::new();
    let mut children = Vec::new();
    let commands: [(&[&str], Option<&str>); 12] = [
        (&["apply", "-q"], None),
        (&["deploy-hook", "-q"], Some("a")),
        (&["plan", "-q"], None),
        (&["rollback", "b"], None),
        (&["deploy-hook", "-q"], Some("b")),
        (&["apply", "-q"], None),
        (&["deploy-hook", "-q"], Some("c")),
        (&["rollback", "b", "--release"], None),
        (&["plan", "-q"], None),
        (&["deploy-hook", "-q"], Some("d")),
        (&["apply", "-q"], None),
        (&["status"], None),
    ];
    for (number, (args, lineage)) in commands.into_iter().enumerate() {
        pause(Duration::from_millis(150));
        if let Some(set) = lineage {
            host.renew_at_once(set, 2 + number);
        }
        traces.push(host.site.path(&format!("trace.{number}")));
        children.push(start(&host, traces.last().expect("a trace"), args, lineage));
    }
    children.into_iter().for_each(|mut child| assert!(child.wait().is_ok()));
    let mut all = Vec::new();
    let mut changed = 0;
    for (trace, (args, _)) in traces.iter().zip(commands) {
        let calls = calls(trace);
        let own = turns(&calls);
        for call in calls.iter().filter(|call| changes(call, &host)) {
            changed += 1;
            let inside = own.iter().any(|(from, to)| *from <= call.from && call.to <= *to);
            assert!(inside, "{args:?} was not at work when it called {}", call.text);
        }
        all.extend(own);
    }
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    for pair in all.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "two at work at once: {pair:?}");
    }
    println!(
        "{} turns of {} processes, {changed} changes, each in a turn of its own process, no two turns at once",
        all.len(),
        traces.len()
    );
    assert!(all.len() >= 4 && changed > 50, "{} turns, {changed} changes", all.len());
    for set in SETS {
        host.release(set);
        host.is_current(set, "at the end");
    }
    host.hooks_ran_once();
}
