//! The process itself: its memory, its arguments, its core.

use super::him::{HIM, as_him};
use super::host::{Host, is_root};
use super::leaks;
use super::pairs::Pair;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A host that is all his, with the program in it, and a hook that waits for `go`.
fn his_host() -> (Host, Pair) {
    let host = Host::new();
    let pair = Pair::new("site.test", 1);
    host.source("live", &pair);
    let line = "echo > [DIR]/started; while [ -e [DIR]/started ] && [ ! -e [DIR]/go ]; do sleep 0.02; done";
    host.spec(&format!(
        "version: 1\nhooks:\n  wait: {{ run: \"{line}\" }}\ncerts:\n  site: {{ source: live, install: {{ dest: ssl, hooks: [wait] }} }}\n"
    ));
    fs::copy(env!("CARGO_BIN_EXE_certsync"), host.at("certsync")).expect("a copy of the program");
    for (path, _) in host.snapshot() {
        chown(path, Some(HIM), Some(HIM)).expect("it is given to him");
    }
    (host, pair)
}

fn started(host: &Host, child: &mut Child) {
    let begun = Instant::now();
    while !host.has("started") {
        assert!(child.try_wait().expect("a child").is_none(), "it ended");
        assert!(begun.elapsed() < Duration::from_secs(30), "its hook does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn apply(host: &Host) -> Child {
    let mut command = as_him(&host.at("certsync").display().to_string());
    host.environment(&mut command);
    let mut child = command.arg("apply").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    started(host, &mut child);
    child
}

/// What a process of the same user may try on another.
const TRIES: [&str; 5] = [
    "head -c 1 /proc/$0/environ | grep -q .",
    "head -c 1 /proc/$0/maps | grep -q .",
    "readlink /proc/$0/cwd",
    "ls /proc/$0/fd/",
    "timeout -s INT 2 strace -o /dev/null -e trace=none -p $0 2>&1 | grep -q attached",
];

fn works(line: &str, pid: u32) -> bool {
    as_him("sh").args(["-c", line, &pid.to_string()]).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("sh").success()
}

#[test]
fn another_process_of_the_same_user_learns_nothing_of_it() {
    if !is_root() {
        return;
    }
    let (host, pair) = his_host();
    let mut child = apply(&host);
    let pid = child.id();
    // The same on a program that does not care shows that the tries are tries.
    let mut plain = as_him("sleep").arg("60").env("A", "b").spawn().expect("sleep");
    std::thread::sleep(Duration::from_millis(300));
    // Yama keeps him from tracing even that.
    let yama = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|scope| scope.trim() != "0");
    let tries = if yama { &TRIES[..4] } else { &TRIES[..] };
    let control: Vec<&str> = tries.iter().copied().filter(|line| !works(line, plain.id())).collect();
    let told: Vec<&str> = TRIES.into_iter().filter(|line| works(line, pid)).collect();
    plain.kill().and_then(|()| plain.wait()).expect("its end");
    let of = |name: &str| fs::read(format!("/proc/{pid}/{name}")).expect("what root may read");
    let (arguments, variables, limits) = (of("cmdline"), of("environ"), String::from_utf8(of("limits")).expect("text"));
    host.write("go", "");
    assert!(child.wait().expect("its end").success());
    assert_eq!((control, told), (Vec::new(), Vec::new()));
    for line in leaks::key_lines(&pair.key) {
        assert!(![&arguments, &variables].iter().any(|bytes| bytes.windows(line.len()).any(|window| window == line.as_bytes())));
    }
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("the limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

#[test]
fn it_leaves_no_core() {
    if !is_root() {
        return;
    }
    let (host, _) = his_host();
    let mut command = Command::new("sh");
    host.environment(&mut command);
    let line = format!("ulimit -c unlimited && exec setpriv --reuid {HIM} --regid {HIM} --clear-groups ./certsync apply");
    let mut child = command.args(["-c", &line]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs");
    started(&host, &mut child);
    assert!(Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().expect("kill").success());
    let status = child.wait().expect("its end");
    host.write("go", "");
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}

#[test]
fn no_program_is_started_with_a_byte_of_a_key() {
    if !is_root() {
        return;
    }
    let (host, pair) = Host::one("");
    host.apply().has_status(2);
    let trace = host.dir().with_extension("trace");
    let mut command = Command::new("strace");
    host.environment(&mut command);
    command.args(["-f", "-v", "-s", "1000000", "-e", "trace=execve", "-o"]).arg(&trace);
    let next = host.renew(2);
    assert!(command.args([env!("CARGO_BIN_EXE_certsync"), "apply", "-q"]).status().expect("strace").success());
    let text = fs::read_to_string(&trace).expect("the trace");
    fs::remove_file(trace).expect("it is removed");
    assert!(text.matches("execve(").count() >= 3 && text.contains("CERTSYNC_CHANGES"), "{text}");
    for line in [pair, next].iter().flat_map(|pair| leaks::key_lines(&pair.key)) {
        assert!(!text.contains(&line));
    }
}
