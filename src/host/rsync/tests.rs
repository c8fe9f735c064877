use super::{Over, Rsync, Why, quoted};
use crate::host::ssh::{Far, Login};
use crate::host::testing::{Scene, Test};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

/// A program in the place of rsync, written by a shell: see the tests of ssh.
fn instead(scene: &Scene, script: &str) -> std::io::Result<String> {
    let path = scene.at("rsync").display().to_string();
    let text = format!("#!/bin/sh\n{script}\n");
    let written = Command::new("sh").args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", &text, &path]).status()?;
    assert!(written.success());
    Ok(path)
}

const DAEMON: Over<'static> = Over::Daemon { port: None, password_file: None };

fn call<'a>(over: Over<'a>, input: &'a [u8], time: Duration) -> Rsync<'a> {
    Rsync { over, options: &["-r"], places: &["from", "to"], input, most: 1 << 20, until: Instant::now() + time }
}

#[test]
fn ssh_is_started_as_everywhere_and_rsync_splits_its_words_where_they_end() -> Test {
    let scene = Scene::new()?;
    let program = instead(&scene, r#"printf '%s\n' "$@""#)?;
    let key = "/var/lib/it's mine/key".parse()?;
    let login = Login::written("fe80::1", Some(2222), Some("ssl"), Far::Master)?.with_key(&key)?;
    let over = Over::Ssh(&login);
    assert_eq!(over.place("/srv"), "[fe80::1]:/srv");
    let out = call(over, b"", LONG).run_with(&program, || Ok(())).map_err(|f| f.cause)?;
    let out = String::from_utf8(out)?;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "-e");
    assert!(lines[1].starts_with("ssh -T -a -x -o BatchMode=yes -o StrictHostKeyChecking=yes "), "{}", lines[1]);
    assert!(lines[1].contains(" -o 'IdentityFile=\"/var/lib/it''s mine/key\"' "), "{}", lines[1]);
    assert!(lines[1].ends_with(" -p 2222 -l ssl --"), "{}", lines[1]);
    assert!(lines[2].starts_with("--timeout="));
    assert_eq!(lines[3..], ["-r", "--", "from", "to"]);
    assert_eq!(quoted("plain"), "plain");
    Ok(())
}

#[test]
fn a_list_goes_in_and_a_list_comes_out() -> Test {
    let scene = Scene::new()?;
    let program = instead(&scene, "exec cat")?;
    let much = b"0123456789abcde\n".repeat(16 * 1024);
    assert_eq!(call(DAEMON, &much, LONG).run_with(&program, || Ok(())).map_err(|f| f.cause)?, much);
    Ok(())
}

#[test]
fn one_that_stalls_is_ended_at_the_deadline_and_leaves_no_process() -> Test {
    let scene = Scene::new()?;
    let program = instead(&scene, &format!("echo $$ >{}; echo 'a word' >&2; exec sleep 600", scene.at("pid").display()))?;
    let failure = call(DAEMON, b"", Duration::from_millis(500)).run_with(&program, || Ok(())).err().ok_or("it ended well")?;
    assert_eq!(failure.why, Why::Deadline);
    assert_eq!(failure.cause, "rsync was not through in time, and was ended: a word");
    let pid = std::fs::read_to_string(scene.at("pid"))?;
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "killed and reaped");
    Ok(())
}

#[test]
fn one_that_prints_without_end_is_ended() -> Test {
    let scene = Scene::new()?;
    let failure = call(DAEMON, b"", LONG).run_with(&instead(&scene, "exec yes")?, || Ok(())).err().ok_or("it ended well")?;
    assert_eq!(failure.why, Why::TooMuch);
    let failure = call(DAEMON, b"", LONG).run_with(&instead(&scene, "yes >&2")?, || Err("enough".into())).err().ok_or("it ended well")?;
    assert_eq!((failure.why, failure.cause.as_str()), (Why::TooMuch, "enough"));
    Ok(())
}

#[test]
fn a_missing_rsync_is_an_error_with_a_hint() -> Test {
    let failure = call(DAEMON, b"", LONG).run_with("/nowhere/rsync", || Ok(())).err().ok_or("it ran")?;
    assert_eq!((failure.why, failure.cause.as_str()), (Why::NotStarted, "/nowhere/rsync cannot be started: no such file or directory"));
    assert!(failure.hint.is_some_and(|hint| hint.contains("package rsync")));
    Ok(())
}
