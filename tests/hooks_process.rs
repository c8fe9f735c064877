//! How a hook's command is run: its world, its end, its output.

use certsync::host::process::{End, Ended, Job, TemporaryFile, harden, run_through};
use certsync::host::users;
use certsync::spec::{Command, HookUser};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

fn me() -> HookUser {
    let user = users::running_user();
    HookUser { name: user.name, uid: user.uid, gid: user.gid, home: user.home }
}

fn other(name: &str) -> Option<HookUser> {
    if users::running_user().uid != 0 {
        eprintln!("skipped: needs root");
        return None;
    }
    users::user(name).map(|user| HookUser { name: user.name, uid: user.uid, gid: user.gid, home: user.home })
}

fn run_as(user: &HookUser, command: &Command, env: &[(&str, &str)], timeout: Duration) -> Ended {
    let env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    run_through(Path::new(env!("CARGO_BIN_EXE_certsync")), &Job { command, user, env, timeout })
}

fn shell(line: &str) -> Ended {
    run_as(&me(), &Command::Shell(line.into()), &[], LONG)
}

fn argv(words: &[&str]) -> Ended {
    run_as(&me(), &Command::Argv(words.iter().map(|word| (*word).to_owned()).collect()), &[], LONG)
}

fn exit(code: i32, output: &str) -> Ended {
    Ended { how: End::Exit(code), output: output.into() }
}

#[test]
fn a_command_runs_as_it_is_written_and_a_string_through_the_shell() {
    assert_eq!(argv(&["printf", "%s|", "a b", "$HOME", ""]), exit(0, "a b|$HOME||"));
    assert_eq!(shell("echo out; echo err >&2; exit 3"), exit(3, "out\nerr\n"));
}

#[test]
fn codes_126_and_127_of_a_command_are_its_own() {
    assert_eq!(shell("exit 127"), exit(127, ""));
    assert_eq!(shell("exit 126"), exit(126, ""));
}

#[test]
fn a_command_that_cannot_be_started_is_told_apart_and_says_why() {
    let why = |ended: Ended| match ended.how {
        End::NotStarted(why) => why,
        how => format!("{how:?}"),
    };
    assert_eq!(why(argv(&["no-such-command-of-certsync"])), "no-such-command-of-certsync: no such file or directory");
    assert_eq!(why(argv(&["/etc"])), "/etc: permission denied");
    assert_eq!(why(argv(&["true", &"x".repeat(200_000)])), "true: argument list too long");
    let command = Command::Argv(vec!["true".into()]);
    let job = Job { command: &command, user: &me(), env: Vec::new(), timeout: LONG };
    // A program that does not know the shim's argument must never count as a hook that succeeded.
    assert_eq!(why(run_through(Path::new("/bin/true"), &job)), "the program that was to start it did not answer");
}

#[test]
fn a_death_by_signal_is_told_apart() {
    assert_eq!(shell("kill -9 $$").how, End::Signal(9));
}

#[test]
fn a_hook_has_a_fixed_environment_and_its_own() {
    let user = me();
    let ended = run_as(&user, &Command::Argv(vec!["env".into()]), &[("FOO", "b a\nr")], LONG);
    let mut lines: Vec<&str> = ended.output.lines().collect();
    lines.sort_unstable();
    let (home, logname, name) = (format!("HOME={}", user.home), format!("LOGNAME={}", user.name), format!("USER={}", user.name));
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut expected = vec!["FOO=b a", "r", &home, "LANG=C.UTF-8", &logname, path, "SHELL=/bin/sh", &name];
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[test]
fn a_hook_has_the_root_as_its_directory_no_input_and_umask_022() {
    assert_eq!(shell("pwd; umask; cat; readlink /proc/self/fd/0"), exit(0, "/\n0022\n/dev/null\n"));
}

#[test]
fn a_hook_leads_its_own_session() {
    // Fields of proc_pid_stat(5): pid, (comm), state, ppid, pgrp, session, tty.
    let ended = shell("read -r pid rest < /proc/self/stat; echo $$ $(cut -d' ' -f5,6,7 /proc/$$/stat)");
    let numbers: Vec<&str> = ended.output.split_whitespace().collect();
    assert!(numbers.len() == 4 && numbers[0] == numbers[1] && numbers[0] == numbers[2] && numbers[3] == "0", "{numbers:?}");
}

#[test]
fn no_descriptor_and_no_ignored_pipe_signal_is_handed_on() -> std::io::Result<()> {
    // Not close-on-exec, as a careless caller of certsync would leave it.
    let leaked = std::fs::File::open("/dev/zero")?;
    let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty());
    nix::fcntl::fcntl(&leaked, flags)?;
    assert!(leaked.as_raw_fd() > 2);
    // Looked at by the shell itself, without a pipe of its own; some shells keep a descriptor 10.
    let list = "for f in /proc/$$/fd/*; do n=${f##*/}; test $n = 10 || ! test -e $f || echo $n; done";
    assert_eq!(argv(&["sh", "-c", list]), exit(0, "0\n1\n2\n"));
    let ended = argv(&["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"]);
    let values: Vec<u64> = ended.output.split_whitespace().filter_map(|word| u64::from_str_radix(word, 16).ok()).collect();
    assert!(values.len() == 2 && values[0] == 0 && values[1] & (1 << 12) == 0, "{}", ended.output);
    Ok(())
}

#[test]
fn a_timeout_kills_the_whole_group() {
    let start = Instant::now();
    let line = "trap '' TERM; (trap '' TERM; sleep 77.125) & echo begun; sleep 77.125";
    let ended = run_as(&me(), &Command::Shell(line.into()), &[], Duration::from_millis(300));
    assert_eq!(ended, Ended { how: End::TimedOut, output: "begun\n".into() });
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    std::thread::sleep(Duration::from_millis(100));
    let left = std::process::Command::new("pgrep").args(["-f", "^sleep 77.125"]).output();
    assert!(left.is_ok_and(|output| output.stdout.is_empty()));
}

#[test]
fn a_command_that_heeds_the_term_signal_may_clean_up() {
    let start = Instant::now();
    let line = "trap 'echo bye; exit 0' TERM; echo begun; while :; do sleep 0.05; done";
    let ended = run_as(&me(), &Command::Shell(line.into()), &[], Duration::from_millis(400));
    assert_eq!(ended.how, End::TimedOut);
    assert!(ended.output.ends_with("bye\n"), "{}", ended.output);
    assert!(start.elapsed() < Duration::from_millis(2300), "{:?}", start.elapsed());
}

#[test]
fn a_daemon_that_keeps_the_pipe_is_neither_waited_for_nor_killed() {
    let start = Instant::now();
    let ended = shell("sleep 5 & echo $!");
    assert!(start.elapsed() < Duration::from_millis(4700), "{:?}", start.elapsed());
    assert_eq!(ended.how, End::Exit(0));
    let pid = ended.output.trim().to_owned();
    assert!(Path::new("/proc").join(&pid).exists(), "{pid}");
    assert!(std::process::Command::new("kill").arg(&pid).status().is_ok_and(|status| status.success()));
}

#[test]
fn a_command_that_prints_without_end_is_stopped_and_its_last_words_kept() {
    let start = Instant::now();
    let ended = run_as(&me(), &Command::Argv(vec!["yes".into(), "é".into()]), &[], Duration::from_millis(300));
    assert_eq!(ended.how, End::TimedOut);
    assert!(ended.output.starts_with('[') && ended.output.len() < 66_000, "{}", ended.output.len());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn nothing_remains_of_a_command_that_has_ended() {
    for _ in 0..20 {
        assert_eq!(argv(&["true"]), exit(0, ""));
    }
    let me = std::process::id().to_string();
    let zombies = std::process::Command::new("ps").args(["--ppid", &me, "-o", "stat=,comm="]).output();
    let text = zombies.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    assert!(!text.lines().any(|line| line.starts_with('Z') && line.contains("true")), "{text}");
}

#[test]
fn a_hook_becomes_its_user_with_all_groups_and_cannot_go_back() {
    let Some(user) = other("nobody") else { return };
    let line = "id -u; id -ru; id -g; id -G; grep -E '^Cap(Prm|Eff)' /proc/self/status";
    let ended = run_as(&user, &Command::Shell(line.into()), &[], LONG);
    let none = "0000000000000000";
    let (uid, gid) = (user.uid, user.gid);
    assert_eq!(ended, exit(0, &format!("{uid}\n{uid}\n{gid}\n{gid}\nCapPrm:    {none}\nCapEff:    {none}\n")));
}

#[test]
fn a_user_that_is_not_ours_needs_root() {
    if users::running_user().uid == 0 {
        return;
    }
    let root = HookUser { name: "root".into(), uid: 0, gid: 0, home: "/root".into() };
    let ended = run_as(&root, &Command::Shell("id".into()), &[], LONG);
    assert_eq!(ended.how, End::NotStarted("cannot become root: certsync does not run as root".into()));
}

#[test]
fn a_hardened_process_runs_hooks_and_gives_back_the_core_limit() {
    let before = shell("ulimit -S -c").output;
    assert_eq!(harden(), Ok(()));
    assert_eq!(harden(), Ok(()), "a second time is harmless");
    assert_eq!(nix::sys::prctl::get_dumpable(), Ok(false));
    assert_eq!(nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE).map(|(soft, _)| soft), Ok(0));
    assert_eq!(shell("ulimit -S -c"), exit(0, &before));
    let command = Command::Argv(vec!["true".into()]);
    let job = Job { command: &command, user: &me(), env: Vec::new(), timeout: LONG };
    // This test's own program is no certsync: that it could be started at all is what counts here.
    let ended = run_through(Path::new("/proc/self/exe"), &job);
    assert!(!matches!(&ended.how, End::NotStarted(why) if why.starts_with("cannot start")), "{ended:?}");
}

#[test]
fn no_blocked_signal_is_handed_on() {
    assert_eq!(shell("grep SigBlk: /proc/self/status").output.trim_start_matches("SigBlk:").trim(), "0000000000000000");
}

#[test]
fn what_a_killed_run_left_for_its_hook_is_swept_and_nothing_else() -> Result<(), Box<dyn std::error::Error>> {
    let file = TemporaryFile::new(b"{}", &me())?;
    let dir = file.path().as_path().parent().ok_or("a folder")?.to_owned();
    let name = dir.file_name().and_then(|name| name.to_str()).ok_or("a name")?.to_owned();
    let parts: Vec<&str> = name.split('-').collect();
    let ["certsync", namespace, pid, start, _] = parts.as_slice() else { return Err(name.into()) };
    let make = |owner: [&str; 3], file: &str| -> std::io::Result<_> {
        let made = dir.with_file_name(format!("certsync-{}-0123456789abcdef", owner.join("-")));
        std::fs::create_dir(&made)?;
        std::fs::write(made.join(file), "{}")?;
        Ok(made)
    };
    let later = (start.parse::<u64>()? + 1).to_string();
    let gone = [make([namespace, "2147483647", start], "changes.json")?, make([namespace, pid, &later], "changes.json")?];
    let elsewhere = make(["1", pid, &later], "changes.json")?;
    // Not a name that certsync gives.
    let others = make(["of", "somebody", "else"], "something")?;
    let again = TemporaryFile::new(b"{}", &me());
    let there = |path: &std::path::PathBuf| path.exists();
    let seen = (gone.iter().any(there), there(&elsewhere), others.join("something").exists(), file.path().as_path().exists());
    for left in gone.iter().chain([&elsewhere, &others]) {
        let _ = std::fs::remove_dir_all(left);
    }
    assert!(again.is_ok());
    assert_eq!(seen, (false, true, true, true));
    Ok(())
}

#[test]
fn a_temporary_file_is_for_its_user_alone_and_gone_with_its_folder() -> Result<(), certsync::base::Error> {
    let user = other("nobody").unwrap_or_else(me);
    let file = TemporaryFile::new(b"{}", &user)?;
    let path = file.path().as_path().to_owned();
    let metadata = std::fs::metadata(&path).map(|m| (m.uid(), m.permissions().mode() & 0o777)).ok();
    assert_eq!(metadata, Some((user.uid, 0o400)));
    let ended = run_as(&user, &Command::Shell("cat \"$CERTSYNC_CHANGES\"".into()), &[("CERTSYNC_CHANGES", file.path().as_str())], LONG);
    assert_eq!(ended, exit(0, "{}"));
    drop(file);
    assert!(!path.exists());
    assert!(path.parent().is_some_and(|folder| !folder.exists()));
    Ok(())
}
