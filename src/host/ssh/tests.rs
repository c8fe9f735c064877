use super::{Connection, Failure, Login, Why};
use crate::host::link::Patience;
use crate::host::testing::{Scene, Test};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

fn patience(whole: Duration) -> Patience {
    Patience::new(whole, whole)
}

/// A program in the place of ssh. A shell writes it: a descriptor of ours, inherited by what another test starts, would keep it from
/// being run.
fn instead(scene: &Scene, script: &str) -> std::io::Result<String> {
    let path = scene.at("ssh").display().to_string();
    let text = format!("#!/bin/sh\n{script}\n");
    let written = Command::new("sh").args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", &text, &path]).status()?;
    assert!(written.success());
    Ok(path)
}

fn nowhere() -> Login {
    Login::new("127.0.0.1", 1, "nobody").expect("plain")
}

/// Reads to the end, which comes too early.
fn failed(mut connection: Connection) -> Failure {
    assert_eq!(connection.failure(), None);
    let _ = connection.read_to_end(&mut Vec::new());
    connection.failure().expect("it has ended")
}

#[test]
fn bytes_travel_through_it_and_it_ends_when_nothing_more_is_sent() -> Test {
    let scene = Scene::new()?;
    let mut connection = Connection::open_with(&instead(&scene, "exec cat")?, &nowhere(), patience(LONG)).map_err(|f| f.cause)?;
    connection.write_all(b"there and back")?;
    let mut back = [0; 14];
    connection.read_exact(&mut back)?;
    assert_eq!(&back, b"there and back");
    let began = Instant::now();
    connection.close();
    assert!(began.elapsed() < Duration::from_secs(1), "cat ended by itself");
    Ok(())
}

#[test]
fn its_last_words_are_the_cause() -> Test {
    let scene = Scene::new()?;
    let program = instead(&scene, "echo 'Authorised use only' >&2; echo 'x@y: Permission denied (publickey).' >&2; exit 255")?;
    let failure = failed(Connection::open_with(&program, &nowhere(), patience(LONG)).map_err(|f| f.cause)?);
    assert_eq!((failure.why, failure.cause.as_str()), (Why::KeyRefused, "x@y: Permission denied (publickey)"));
    Ok(())
}

#[test]
fn one_that_hangs_is_killed_at_the_deadline_and_leaves_no_process() -> Test {
    let scene = Scene::new()?;
    let program = instead(&scene, &format!("echo $$ >{}; exec sleep 600", scene.at("pid").display()))?;
    let mut connection = Connection::open_with(&program, &nowhere(), patience(Duration::from_millis(500))).map_err(|f| f.cause)?;
    assert!(connection.read(&mut [0; 1]).is_err(), "nothing comes");
    let failure = connection.failure().expect("it has failed");
    assert_eq!((failure.why, failure.cause.as_str()), (Why::Deadline, "no answer in time"));
    drop(connection);
    let pid = std::fs::read_to_string(scene.at("pid"))?;
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "killed and reaped");
    Ok(())
}

#[test]
fn one_whose_child_keeps_the_pipes_open_is_not_waited_for() -> Test {
    let scene = Scene::new()?;
    // As a master of shared connections does.
    let program = instead(&scene, "sleep 8 & exec 1>&-; echo 'the end' >&2; exit 3")?;
    let connection = Connection::open_with(&program, &nowhere(), patience(Duration::from_secs(1))).map_err(|f| f.cause)?;
    let began = Instant::now();
    let failure = failed(connection);
    assert!(began.elapsed() < Duration::from_secs(6));
    assert!(matches!(failure.why, Why::Deadline | Why::Closed), "{failure:?}");
    Ok(())
}

#[test]
fn a_program_that_is_not_there_is_told() {
    let failure = Connection::open_with("/nonexistent/ssh", &nowhere(), patience(LONG)).err().expect("not there");
    assert_eq!((failure.why, failure.cause.as_str()), (Why::NotStarted, "/nonexistent/ssh cannot be started: no such file or directory"));
}

#[test]
fn it_speaks_english_and_has_our_environment() -> Test {
    let scene = Scene::new()?;
    let mut connection = Connection::open_with(&instead(&scene, "echo \"$LC_ALL $LANG ${PATH:+path}\"")?, &nowhere(), patience(LONG))
        .map_err(|f| f.cause)?;
    let mut said = String::new();
    connection.read_to_string(&mut said)?;
    assert_eq!(said, "C C path\n");
    Ok(())
}

/// The real one, where it is installed.
fn real(login: &Login, time: Duration) -> Option<Failure> {
    match Connection::open(login, patience(time)) {
        Ok(connection) => Some(failed(connection)),
        Err(failure) => {
            eprintln!("skipped: {}", failure.cause);
            None
        }
    }
}

#[test]
fn the_real_ssh_and_a_port_where_nobody_listens() -> Test {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let Some(failure) = real(&Login::new("127.0.0.1", port, "nobody")?, LONG) else { return Ok(()) };
    assert_eq!(failure.why, Why::Unreachable);
    assert_eq!(failure.cause, format!("connect to host 127.0.0.1 port {port}: Connection refused"));
    Ok(())
}

#[test]
fn the_real_ssh_and_a_server_that_hangs_or_closes() -> Test {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let login = Login::new("127.0.0.1", listener.local_addr()?.port(), "nobody")?;
    let Some(failure) = real(&login, Duration::from_millis(900)) else { return Ok(()) };
    assert_eq!(failure.why, Why::Deadline);
    let closing = std::thread::spawn(move || {
        // The first is the one before.
        for _ in 0..2 {
            drop(listener.accept());
        }
    });
    let failure = real(&login, LONG).ok_or("it was there before")?;
    assert_eq!(failure.why, Why::Unreachable, "{failure:?}");
    closing.join().expect("no panic");
    Ok(())
}
