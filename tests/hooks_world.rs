//! What a hook finds around it, how it ends, and what is owed after that.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};
use support::site::{Site, is_root, issue};

fn site(hook: &str) -> Site {
    let site = Site::new(&format!(
        "version: 1
hooks:
  h: {{ {hook} }}
certs:
  a: {{ source: src/a, install: {{ dest: '[DIR]/dest/a', hooks: [h] }} }}
  b: {{ source: src/b, install: {{ dest: '[DIR]/dest/b', hooks: [h] }} }}
"
    ));
    site.source("a", &issue(&["a.test"], 2));
    site.source("b", &issue(&["b.test"], 2));
    site
}

#[test]
fn the_changes_are_a_file_that_is_gone_afterwards() {
    let site = site("run: 'echo $CERTSYNC_CHANGES > [DIR]/where; cat $CERTSYNC_CHANGES > [DIR]/changes'");
    site.apply(0);
    let changes: serde_json::Value = serde_json::from_str(&site.read("changes")).expect("it is JSON");
    let list = changes["changes"].as_array().expect("a list");
    let dir = site.dir().display().to_string();
    let seen: Vec<_> = list.iter().map(|one| (one["set"].as_str(), one["dest"].as_str(), one["files"].clone())).collect();
    let files = |set: &str| serde_json::json!([format!("{dir}/dest/{set}/fullchain.pem"), format!("{dir}/dest/{set}/privkey.pem")]);
    let (a, b) = (format!("{dir}/dest/a"), format!("{dir}/dest/b"));
    assert_eq!(seen, [(Some("a"), Some(a.as_str()), files("a")), (Some("b"), Some(b.as_str()), files("b"))]);
    let place = site.read("where");
    assert!(!std::path::Path::new(place.trim()).exists(), "{place}");

    site.source("b", &issue(&["b.test"], 1));
    site.apply(0);
    let changes: serde_json::Value = serde_json::from_str(&site.read("changes")).expect("it is JSON");
    assert_eq!(changes["changes"].as_array().map(Vec::len), Some(1), "{changes}");
}

#[test]
fn a_hook_has_a_world_of_its_own() {
    let site =
        site("run: 'env > [DIR]/env; pwd > [DIR]/cwd; umask > [DIR]/umask; readlink /proc/self/fd/0 > [DIR]/stdin', env: { FOO: 'b ar' }");
    site.call_with(&["apply"], &[("SECRET_OF_THE_CALLER", "x"), ("LD_PRELOAD_X", "y")]).ends(0);
    let env = site.read("env");
    for line in ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "FOO=b ar"] {
        assert!(env.lines().any(|found| found == line), "{line} is not in {env}");
    }
    assert!(!env.contains("SECRET_OF_THE_CALLER") && !env.contains("RENEWED"), "{env}");
    assert_eq!((site.read("cwd"), site.read("umask"), site.read("stdin")), ("/\n".into(), "0022\n".into(), "/dev/null\n".into()));
}

#[test]
fn a_hook_runs_as_its_user_and_can_read_the_changes() {
    if !is_root() {
        return;
    }
    let site = site("run: 'cat $CERTSYNC_CHANGES > /dev/null && id -u > [DIR]/open/who', user: nobody");
    fs::create_dir(site.path("open")).expect("a directory");
    std::os::unix::fs::chown(site.path("open"), Some(65_534), None).expect("it is given away");
    site.apply(0);
    assert_eq!(site.read("open/who"), "65534\n");
    assert_eq!(fs::metadata(site.path("open/who")).map(|meta| meta.uid()).ok(), Some(65_534));
}

#[test]
fn a_run_that_is_told_to_stop_ends_its_hook_first() {
    let site = site("run: 'test -e [DIR]/pid && exit; sleep 1234.5 & echo $! > [DIR]/new; mv [DIR]/new [DIR]/pid; sleep 1234.5'");
    let child = site.start(&["apply"], &[]);
    let start = Instant::now();
    while !site.has("pid") && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = site.read("pid").trim().to_owned();
    let told = std::process::Command::new("kill").arg(child.id().to_string()).status();
    assert!(told.is_ok_and(|status| status.success()));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.signal(), Some(15), "{output:?}");
    assert!(start.elapsed() < Duration::from_secs(60));
    // Ended, whether or not somebody has asked yet how; the kernel needs a moment for it where the machine is busy.
    let left = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_ended = || left().is_empty() || left().contains(") Z ");
    let start = Instant::now();
    while !is_ended() && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(is_ended(), "{}", left());
    let run = site.apply(0);
    assert_eq!(run.hooks(), ["h run ok"], "it was owed");
    site.apply(0);
}

#[test]
fn a_timeout_kills_the_group_and_the_hook_stays_owed() {
    let site = site("run: 'sleep 1234.5 & echo $! > [DIR]/pid; sleep 1234.5', timeout: 1s");
    let start = Instant::now();
    let run = site.apply(1).says("certsync: error: hook h: run did not end within 1 s and was killed");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(run.hooks(), ["h run failed"]);
    let pid = site.read("pid");
    // Where nobody waits for orphans, a dead one stays as a zombie.
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    site.edit("sleep 1234.5 & echo", "echo");
    site.edit("sleep 1234.5'", "true'");
    assert_eq!(site.apply(0).hooks(), ["h run ok"]);
}

#[test]
fn a_daemon_that_keeps_the_pipe_is_not_waited_for_and_keeps_no_lock() {
    let site = site("run: 'sleep 30 & echo $! > [DIR]/pid'");
    let start = Instant::now();
    site.apply(0);
    site.source("a", &issue(&["a.test"], 1));
    site.call(&["apply", "--lock-timeout", "1s"]).ends(0);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let pid = site.read("pid").trim().to_owned();
    assert!(std::process::Command::new("kill").arg(&pid).status().is_ok_and(|status| status.success()), "{pid} is gone");
}

#[test]
fn output_is_shown_on_failure_only_printable_and_bounded() {
    let site = site(
        "run: 'echo hello; test -e [DIR]/fine || { printf \"\\033[31mred\\n\"; yes 0123456789 | head -c 1100000; echo last words >&2; exit 7; }'",
    );
    let text = site.call(&["apply"]).ends(1).says("certsync: error: hook h: run failed with exit status 7\n").says("  | last words\n");
    assert!(!text.stderr.contains('\u{1b}') && text.stderr.len() < 500_000, "{}", text.stderr.len());
    let run = site.apply(1);
    let output = run.json["hooks"][0]["output"].as_str().unwrap_or_default().to_owned();
    assert!(output.len() < 70_000 && output.ends_with("last words\n"), "{}", output.len());
    assert_eq!(run.json["hooks"][0]["status"], 7);
    site.write("fine", "");
    let run = site.apply(0);
    assert_eq!((run.json["hooks"][0]["output"].as_str(), run.json["hooks"][0]["status"].as_i64()), (Some(""), Some(0)));
}

#[test]
fn endless_output_ends_with_the_timeout() {
    let site = site("run: [\"yes\"], timeout: 1s");
    let start = Instant::now();
    site.apply(1).says("run did not end within 1 s");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn endless_output_takes_no_memory() {
    let site = site("run: [\"yes\"], timeout: 2s");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -v 300000; exec \"$0\" apply -q", env!("CARGO_BIN_EXE_certsync")]);
    command.env("CERTSYNC_SPEC", site.path("certsync.yaml")).env("CERTSYNC_STATE_DIR", site.path("state"));
    let output = command.output().expect("sh");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("run did not end within 2 s") && said.len() < 500_000, "{said}");
}

#[test]
fn a_hook_that_closes_its_output_is_waited_for_all_the_same() {
    let site = site("run: 'exec >&- 2>&-; sleep 0.5; test -e [DIR]/fine || exit 3; echo ran >> [DIR]/log'");
    let run = site.apply(1).says("certsync: error: hook h: run failed with exit status 3");
    assert_eq!((run.set("a"), run.hooks()), ("installed", vec!["h run failed".into()]));
    site.write("fine", "");
    assert_eq!(site.apply(0).hooks(), ["h run ok"]);
    assert_eq!(site.log(), ["ran"]);
}

#[test]
fn a_failing_run_fails_every_apply_until_it_succeeds_exactly_once() {
    let site = site("run: 'test -e [DIR]/fine && echo run >> [DIR]/log'");
    for _ in 0..3 {
        let run = site.apply(1).says("certsync: error: hook h: run failed with exit status 1");
        assert_eq!(run.hooks(), ["h run failed"]);
    }
    let code = site.call(&["apply", "--detailed-exitcode"]).status;
    assert_eq!(code, Some(6));
    site.write("fine", "");
    assert_eq!(site.apply(0).hooks(), ["h run ok"]);
    assert!(!site.apply(0).changed());
    assert_eq!(site.log(), ["run"]);
}

#[test]
fn a_run_that_cannot_be_started_says_so_and_stays_owed() {
    let site = site("run: [/nonexistent/program]");
    let run = site.apply(1).says("certsync: error: hook h: run could not be started: /nonexistent/program: no such file or directory");
    assert_eq!((run.set("a"), run.hooks()), ("installed", vec!["h run failed".into()]));
    site.edit("/nonexistent/program", "/bin/true");
    assert_eq!(site.apply(0).hooks(), ["h run ok"]);
}

#[test]
fn a_death_by_signal_is_told() {
    let site = site("run: 'test -e [DIR]/fine || kill -9 $$'");
    for _ in 0..2 {
        assert_eq!(site.apply(1).says("certsync: error: hook h: run was ended by signal 9").hooks(), ["h run failed"]);
    }
    site.write("fine", "");
    assert_eq!(site.apply(0).hooks(), ["h run ok"]);
}
