//! A stream of bytes both ways with a deadline for everything, over two descriptors.

use super::output::{Output, set_nonblocking};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long the far end is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For each single read and write, in which at least one byte must move.
    pub each: Duration,
    /// For all of it.
    pub until: Instant,
}

impl Patience {
    /// `each` for a single step, `whole` for everything from now on.
    pub fn new(each: Duration, whole: Duration) -> Patience {
        Patience { each, until: Instant::now() + whole }
    }
}

/// A stream of bytes both ways. A read or write that the far end does not get on with fails with `ErrorKind::TimedOut`, a write to one that
/// has gone with `ErrorKind::BrokenPipe`.
///
/// What the far end prints on a third descriptor is taken in passing, so that it never keeps the far end waiting.
pub struct Link {
    input: OwnedFd,
    /// None once no more is written.
    output: Option<OwnedFd>,
    errors: Option<Errors>,
    patience: Patience,
    ends: Ends,
    heard: Heard,
    trouble: Option<Trouble>,
}

/// Whose descriptors they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Own,
    /// Shared with whoever started us, and to be left as they were.
    Lent,
}

/// How the stream has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The far end has closed it.
    Ended,
    /// The far end did not get on with it in time.
    Late,
    /// Something else.
    Broken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Something,
}

struct Errors {
    pipe: OwnedFd,
    tail: Output,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Link {
    /// Reads from `input`, writes to `output`.
    pub fn new(input: OwnedFd, output: OwnedFd, patience: Patience) -> io::Result<Link> {
        set_nonblocking(&input)?;
        set_nonblocking(&output)?;
        Ok(Link { input, output: Some(output), errors: None, patience, ends: Ends::Own, heard: Heard::Nothing, trouble: None })
    }

    /// Over this process's own stdin and stdout, which are left as they were found.
    pub fn over_stdio(patience: Patience) -> io::Result<Link> {
        let (input, output) = (io::stdin().as_fd().try_clone_to_owned()?, io::stdout().as_fd().try_clone_to_owned()?);
        let mut link = Link::new(input, output, patience)?;
        link.ends = Ends::Lent;
        Ok(link)
    }

    /// The same, which also takes what is printed to `pipe` and keeps the last `kept` bytes of it.
    pub(super) fn with_errors(mut self, pipe: OwnedFd, kept: usize) -> io::Result<Link> {
        set_nonblocking(&pipe)?;
        self.errors = Some(Errors { pipe, tail: Output::keeping(kept) });
        Ok(self)
    }

    /// From now on each single step may take this long: some answers come only when work is done.
    pub fn wait_each(&mut self, each: Duration) {
        self.patience.each = each;
    }

    /// How long the far end is waited for.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Tells the far end that no more comes: it reads the end of the stream.
    pub fn finish(&mut self) {
        if let Some(output) = self.output.take() {
            self.give_back(&output);
        }
    }

    /// How it has failed, if it has: by a read or a write, the end of the stream included.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }

    /// Whether the far end has hung up. Nothing is read, and nothing is waited for.
    pub fn is_gone(&self) -> bool {
        let hung_up = |descriptor: &OwnedFd| {
            // A socket whose far end only stopped sending: sshd gives a command one socket for both ways.
            let stopped = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
            let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
            let mut asked = [PollFd::new(descriptor.as_fd(), stopped)];
            // A flag that nix has no name for makes it name none.
            poll(&mut asked, PollTimeout::ZERO).is_ok() && asked[0].revents().is_none_or(|events| events.intersects(gone))
        };
        hung_up(&self.input) || self.output.as_ref().is_some_and(hung_up)
    }

    /// Whether a single byte has come.
    pub(super) fn has_heard(&self) -> bool {
        self.heard == Heard::Something
    }

    /// What was printed beside the stream, its end.
    pub(super) fn errors(&mut self) -> String {
        self.errors.as_mut().map(|errors| errors.tail.text()).unwrap_or_default()
    }

    /// Takes what is printed beside the stream, for `time` at most; returns when something came, or nothing more can come.
    pub(super) fn take_errors(&mut self, time: Duration) {
        let Some(errors) = self.errors.as_mut().filter(|errors| !errors.tail.is_closed()) else {
            std::thread::sleep(time);
            return;
        };
        if poll(&mut [PollFd::new(errors.pipe.as_fd(), PollFlags::POLLIN)], timeout(time)).is_ok_and(|ready| ready > 0) {
            // More than a pipe holds, and an end to it for one who never stops.
            for _ in 0..16 {
                if !errors.tail.read_some(&errors.pipe) {
                    break;
                }
            }
        }
    }

    /// Waits until the descriptor of `way` is ready, the far end has gone, or it has taken too long.
    fn wait(&mut self, way: Way, deadline: Instant) -> io::Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(too_long());
            }
            let (main, flags) = match (way, &self.output) {
                (Way::In, _) => (self.input.as_fd(), PollFlags::POLLIN),
                (Way::Out, Some(output)) => (output.as_fd(), PollFlags::POLLOUT),
                (Way::Out, None) => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            let errors = self.errors.as_mut().filter(|errors| !errors.tail.is_closed());
            let (is_ready, has_errors) = poll_both(main, flags, errors.as_ref().map(|errors| errors.pipe.as_fd()), timeout(left))?;
            if let Some(errors) = errors.filter(|_| has_errors) {
                errors.tail.read_some(&errors.pipe);
            }
            if is_ready {
                return Ok(());
            }
        }
    }

    /// When the step that begins now must have got on.
    fn deadline(&self) -> io::Result<Instant> {
        let now = Instant::now();
        if now >= self.patience.until { Err(too_long()) } else { Ok(self.patience.until.min(now + self.patience.each)) }
    }

    fn give_back(&self, descriptor: &OwnedFd) {
        if self.ends == Ends::Lent {
            let flags = fcntl(descriptor, FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
            // What cannot be given back is lost with this process, which ends soon.
            let _ = flags.and_then(|flags| fcntl(descriptor, FcntlArg::F_SETFL(flags.difference(OFlag::O_NONBLOCK))));
        }
    }
}

/// Waits for `main` and for something on `beside`: whether each of them is worth a look.
fn poll_both(main: BorrowedFd<'_>, flags: PollFlags, beside: Option<BorrowedFd<'_>>, time: PollTimeout) -> io::Result<(bool, bool)> {
    let mut both = [PollFd::new(main, flags), PollFd::new(beside.unwrap_or(main), PollFlags::POLLIN)];
    let asked = if beside.is_some() { &mut both[..] } else { &mut both[..1] };
    match poll(asked, time) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok((false, false)),
        Err(errno) => return Err(errno.into()),
    }
    // An error or hang-up is told by the read or write that follows.
    let seen = |descriptor: &PollFd<'_>| descriptor.revents().is_some_and(|events| !events.is_empty());
    Ok((seen(&both[0]), beside.is_some() && seen(&both[1])))
}

/// Rounded up, so that poll does not return early again and again.
fn timeout(time: Duration) -> PollTimeout {
    PollTimeout::try_from(time.as_millis().saturating_add(1)).unwrap_or(PollTimeout::from(u16::MAX))
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

impl Link {
    fn read_in_time(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let deadline = self.deadline()?;
        loop {
            match nix::unistd::read(&self.input, buffer) {
                Ok(read) => return Ok(read),
                Err(Errno::EAGAIN) => self.wait(Way::In, deadline)?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn write_in_time(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let deadline = self.deadline()?;
        loop {
            let Some(output) = &self.output else { return Err(io::ErrorKind::BrokenPipe.into()) };
            match nix::unistd::write(output, bytes) {
                Ok(written) => return Ok(written),
                Err(Errno::EAGAIN) => self.wait(Way::Out, deadline)?,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Remembers the first thing that went wrong.
    fn failed(&mut self, error: &io::Error) {
        self.trouble.get_or_insert(match error.kind() {
            io::ErrorKind::TimedOut => Trouble::Late,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Trouble::Ended,
            _ => Trouble::Broken,
        });
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.read_in_time(buffer).inspect_err(|error| self.failed(error))?;
        match read {
            0 if buffer.is_empty() => {}
            0 => self.failed(&io::ErrorKind::UnexpectedEof.into()),
            _ => self.heard = Heard::Something,
        }
        Ok(read)
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_in_time(bytes).inspect_err(|error| self.failed(error))
    }

    /// Nothing is kept back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.finish();
        self.give_back(&self.input);
    }
}

#[cfg(test)]
mod tests;
