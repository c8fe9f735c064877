//! Those that wait, those that wait no longer, and those that may keep nobody waiting.

use super::host::Host;
use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An apply that stays in a hook until `hold` goes.
fn at_work(host: &Host) -> Child {
    host.renew("a", 3);
    host.site.write("hold", "");
    let child = host.site.start(&["apply", "--format", "json"], &[]);
    until("a hook begins", || host.site.has("inside"));
    child
}

/// Whether `pid` holds this lock or waits for it.
fn is_at(host: &Host, lock: &str, pid: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = fs::metadata(host.site.path("state").join(lock)).expect("a lock").ino();
    let locks = fs::read_to_string("/proc/locks").expect("the locks");
    locks.lines().any(|line| line.contains(&format!(" {pid} ")) && line.contains(&format!(":{inode} ")))
}

#[test]
fn those_that_wait_say_for_whom() {
    let host = Host::installed();
    let worker = at_work(&host);
    let next = host.site.start(&["apply", "--format", "json"], &[]);
    until("one waits", || is_at(&host, "next.lock", next.id()));
    let others: Vec<Child> =
        [&["apply"][..], &["rollback", "b"], &["remove", "nowhere"]].iter().map(|args| host.site.start(args, &[])).collect();
    std::thread::sleep(Duration::from_millis(2500));
    host.site.remove("hold");
    let (worker_id, next_id) = (worker.id(), next.id());
    host.site.end(worker).ends(0);
    host.site.end(next).ends(0).says(&format!("waiting for run.lock, held by pid {worker_id} (")).says("certsync apply");
    for other in others {
        let run = host.site.end(other);
        let said = format!("waiting for next.lock, held by pid {next_id} (");
        assert!(run.stderr.contains(&said), "{said:?} is not in {}", run.stderr);
        assert_eq!(run.stderr.matches("waiting for next.lock").count(), 1, "once is enough: {}", run.stderr);
    }
}

#[test]
fn those_that_need_not_wait_are_silent() {
    let host = Host::installed();
    host.renew("a", 3);
    let run = host.site.apply(0);
    assert_eq!(run.stderr, "");
}

#[test]
fn what_an_impatient_one_wanted_is_done_even_if_the_one_that_waited_is_killed() {
    let host = Host::installed();
    let worker = at_work(&host);
    let mut next = host.site.start(&["apply"], &[]);
    until("one waits", || is_at(&host, "next.lock", next.id()));
    host.renew("b", 4);
    let run = host.site.call(&["apply", "--lock-timeout", "1s", "--format", "json"]).ends(1);
    assert!(run.stderr.contains(&format!("held by pid {} (", worker.id())), "{}", run.stderr);
    assert_eq!(host.requests(), 1);
    next.kill().expect("it is killed");
    next.wait().expect("it ends");
    host.site.remove("hold");
    host.site.end(worker).ends(0);
    host.is_current("b", "served by the one that worked");
    assert_eq!(host.requests(), 0);
    host.hooks_ran_once();
}

#[test]
fn what_is_left_to_one_that_fails_is_done_by_the_next() {
    let host = Host::installed();
    let worker = at_work(&host);
    let mut next = host.site.start(&["apply"], &[]);
    until("one waits", || is_at(&host, "next.lock", next.id()));
    host.renew("b", 4);
    let hook = host.deploy_hook("b");
    assert!(hook.stdout.contains("another certsync waits"), "{}", hook.stdout);
    let mut worker = worker;
    // Both are gone at once: nobody is left but the request.
    next.kill().expect("it is killed");
    worker.kill().expect("it is killed");
    next.wait().expect("it ends");
    worker.wait().expect("it ends");
    host.site.remove("hold");
    until("the hook that was left alone ends", || !host.site.has("inside"));
    assert_eq!(host.requests(), 1);
    host.deploy_hook("c");
    host.is_current("b", "served by a deploy-hook for another set");
    assert_eq!(host.requests(), 0);
}

/// A daemon that a hook started, with all that it inherited; ended with the test.
struct Daemon(nix::unistd::Pid);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(self.0, nix::sys::signal::Signal::SIGKILL);
    }
}

impl Daemon {
    fn of(host: &Host) -> Daemon {
        let pid = host.site.read("daemon").trim().parse().expect("a process id");
        Daemon(nix::unistd::Pid::from_raw(pid))
    }

    /// What it has open.
    fn descriptors(&self) -> Vec<String> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.0)).expect("it lives");
        let link = |entry: std::io::Result<fs::DirEntry>| Some(fs::read_link(entry.ok()?.path()).ok()?.display().to_string());
        entries.filter_map(link).collect()
    }
}

#[test]
fn a_daemon_that_a_hook_leaves_behind_keeps_no_lock() {
    let host = Host::installed();
    host.site.edit("hook.sh b b'", "hook.sh b b; setsid sh -c \"echo \\$\\$ > [DIR]/daemon; exec sleep 600\" & sleep 0.3'");
    host.renew("b", 2);
    host.site.apply(0);
    let daemon = Daemon::of(&host);
    let open = daemon.descriptors();
    assert!(!open.is_empty(), "it lives");
    let dir = host.site.dir().display().to_string();
    assert!(open.iter().all(|path| !path.starts_with(&dir)), "it holds {open:?}");
    let pid = daemon.0.as_raw().unsigned_abs();
    assert!(!is_at(&host, "run.lock", pid) && !is_at(&host, "next.lock", pid));
    host.renew("c", 2);
    let run = host.site.call(&["apply", "--lock-timeout", "0s", "--format", "json"]).ends(0);
    assert_eq!((run.set("c"), run.stderr.as_str()), ("installed", ""));
}

#[test]
fn a_daemon_of_a_killed_run_keeps_no_lock() {
    let host = Host::installed();
    host.site.edit("b: { run: 'sh ", "b: { run: 'setsid sh -c \"echo \\$\\$ > [DIR]/daemon; exec sleep 600\" & sleep 0.3; sh ");
    host.renew("b", 2);
    host.site.write("hold", "");
    let mut worker = host.site.start(&["apply"], &[]);
    until("the daemon lives", || host.site.has("daemon") && host.site.has("inside"));
    worker.kill().expect("it is killed");
    worker.wait().expect("it ends");
    let _daemon = Daemon::of(&host);
    host.site.remove("hold");
    until("the hook that was left alone ends", || !host.site.has("inside"));
    // With the lock kept it would wait as long as the daemon lives.
    let mut next = host.site.start(&["apply", "--lock-timeout", "0s", "--format", "json"], &[]);
    until("the next run ends", || next.try_wait().is_ok_and(|status| status.is_some()));
    let run = host.site.end(next).ends(0);
    assert!(run.hooks().contains(&"b run ok".to_owned()), "what the killed run owed: {:?}", run.hooks());
    let _second = Daemon::of(&host);
    host.is_current("b", "after the kill");
}
