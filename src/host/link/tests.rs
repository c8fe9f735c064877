use super::{Ends, Link, Patience, Trouble};
use crate::host::testing::Test;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_secs(60);

/// A link, what the far end writes with, and what it reads with.
fn link(each: Duration, whole: Duration) -> std::io::Result<(Link, PipeWriter, PipeReader)> {
    let (input, far_output) = pipe()?;
    let (far_input, output) = pipe()?;
    Ok((Link::new(input.into(), output.into(), Patience::new(each, whole))?, far_output, far_input))
}

#[test]
fn bytes_go_both_ways_also_more_than_a_pipe_holds() -> Test {
    let (mut link, mut far_output, mut far_input) = link(LONG, LONG)?;
    let much = vec![7; 3 << 20];
    scope(|scope| -> Test {
        let echo = scope.spawn(|| -> std::io::Result<Vec<u8>> {
            let mut all = Vec::new();
            far_input.read_to_end(&mut all)?;
            far_output.write_all(&all)?;
            drop(far_output);
            Ok(all)
        });
        link.write_all(&much)?;
        link.finish();
        let mut back = Vec::new();
        link.read_to_end(&mut back)?;
        assert!(back == much && echo.join().expect("no panic")? == much);
        assert_eq!(link.write(b"x").map_err(|error| error.kind()), Err(ErrorKind::BrokenPipe));
        Ok(())
    })
}

#[test]
fn a_far_end_that_says_nothing_is_not_waited_for_longer_than_each_step_may_take() -> Test {
    let (mut link, _far_output, _far_input) = link(SHORT, LONG)?;
    let began = Instant::now();
    assert_eq!(link.read(&mut [0; 8]).map_err(|error| error.kind()), Err(ErrorKind::TimedOut));
    assert!(began.elapsed() >= SHORT && began.elapsed() < LONG / 2);
    Ok(())
}

#[test]
fn a_far_end_that_takes_nothing_is_not_waited_for() -> Test {
    let (mut link, _far_output, _far_input) = link(SHORT, LONG)?;
    assert_eq!(link.write_all(&vec![0; 4 << 20]).map_err(|error| error.kind()), Err(ErrorKind::TimedOut));
    Ok(())
}

#[test]
fn one_that_drips_ends_at_the_deadline_of_the_whole() -> Test {
    let (mut link, mut far_output, _far_input) = link(LONG, 4 * SHORT)?;
    let began = Instant::now();
    scope(|scope| {
        let drip = scope.spawn(move || {
            while far_output.write_all(b".").is_ok() {
                sleep(Duration::from_millis(5));
            }
        });
        let ended = link.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert_eq!(ended, Err(ErrorKind::TimedOut));
        assert!(began.elapsed() >= 4 * SHORT && began.elapsed() < LONG / 2);
        drop(link);
        drip.join().expect("no panic");
    });
    Ok(())
}

#[test]
fn a_far_end_that_has_gone_is_told_from_one_that_is_slow() -> Test {
    let (mut slow, _far_output, _far_input) = link(SHORT, LONG)?;
    assert!(!slow.is_gone() && slow.trouble().is_none());
    assert!(slow.read(&mut [0; 8]).is_err() && !slow.is_gone());
    assert_eq!(slow.trouble(), Some(Trouble::Late));
    let (mut link, far_output, far_input) = link(LONG, LONG)?;
    drop((far_output, far_input));
    assert!(link.is_gone() && link.trouble().is_none());
    assert_eq!(link.read(&mut [0; 8])?, 0);
    assert_eq!(link.trouble(), Some(Trouble::Ended));
    assert_eq!(link.write(b"x").map_err(|error| error.kind()), Err(ErrorKind::BrokenPipe));
    Ok(())
}

#[test]
fn what_is_printed_beside_the_stream_keeps_nobody_waiting_and_its_end_is_kept() -> Test {
    let (link, mut far_output, _far_input) = link(LONG, LONG)?;
    let (errors, mut far_errors) = pipe()?;
    let mut link = link.with_errors(errors.into(), 64)?;
    scope(|scope| -> Test {
        let far = scope.spawn(move || -> std::io::Result<()> {
            // Far more than a pipe holds: the answer comes only when it was taken.
            far_errors.write_all(&b"much ado about nothing\n".repeat(20_000))?;
            far_errors.write_all(b"the end\n")?;
            far_output.write_all(b"answer")
        });
        let mut answer = [0; 6];
        link.read_exact(&mut answer)?;
        assert_eq!(&answer, b"answer");
        far.join().expect("no panic")?;
        link.take_errors(SHORT);
        let kept = link.errors();
        assert!(kept.ends_with("\nthe end\n") && kept.len() < 150, "{kept}");
        Ok(())
    })
}

#[test]
fn a_flood_beside_the_stream_does_not_move_the_deadline() -> Test {
    let (link, _far_output, _far_input) = link(2 * SHORT, LONG)?;
    let (errors, mut far_errors) = pipe()?;
    let mut link = link.with_errors(errors.into(), 64)?;
    scope(|scope| {
        let flood = scope.spawn(move || while far_errors.write_all(&[b'x'; 4096]).is_ok() {});
        let began = Instant::now();
        assert_eq!(link.read(&mut [0; 8]).map_err(|error| error.kind()), Err(ErrorKind::TimedOut));
        assert!(began.elapsed() < LONG / 2);
        drop(link);
        flood.join().expect("no panic");
    });
    Ok(())
}

#[test]
fn descriptors_that_were_lent_are_left_as_they_were() -> Test {
    let is_nonblocking = |descriptor: &OwnedFd| fcntl(descriptor, FcntlArg::F_GETFL).map(|flags| flags & OFlag::O_NONBLOCK.bits() != 0);
    let ((input, _far_output), (_far_input, output)) = (pipe()?, pipe()?);
    // They share what the flags belong to.
    let same = [input.as_fd().try_clone_to_owned()?, output.as_fd().try_clone_to_owned()?];
    let mut link = Link::new(input.into(), output.into(), Patience::new(LONG, LONG))?;
    link.ends = Ends::Lent;
    assert!(is_nonblocking(&same[0])? && is_nonblocking(&same[1])?);
    drop(link);
    assert!(!is_nonblocking(&same[0])? && !is_nonblocking(&same[1])?);
    Ok(())
}

#[test]
fn a_far_end_behind_a_socket_is_seen_to_hang_up_too() -> Test {
    // sshd gives a command one socket for both ways.
    let (near, far) = UnixStream::pair()?;
    let link = Link::new(near.try_clone()?.into(), near.into(), Patience::new(LONG, LONG))?;
    assert!(!link.is_gone());
    (&far).write_all(b"unread")?;
    assert!(!link.is_gone());
    far.shutdown(Shutdown::Write)?;
    assert!(link.is_gone());
    Ok(())
}
