//! Being told to stop while a command runs: the command is ended first.

use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// By which we are told to stop.
const STOP: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Holds the signals that would end us back, until it is dropped: those that nobody has looked at then have their usual effect.
pub(super) struct Stops {
    queue: SignalFd,
    before: SigSet,
}

impl Stops {
    /// Begins; nothing where there is nothing to hold back. A signal that our caller has us ignore stays ignored: blocked, it would be
    /// queued all the same.
    pub(super) fn hold() -> nix::Result<Option<Stops>> {
        let before = SigSet::thread_get_mask()?;
        let ignored = ignored();
        let mut held = SigSet::empty();
        STOP.into_iter().filter(|stop| !before.contains(*stop) && !is_in(ignored, *stop)).for_each(|stop| held.add(stop));
        if held.iter().next().is_none() {
            return Ok(None);
        }
        let queue = SignalFd::with_flags(&held, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        held.thread_block()?;
        Ok(Some(Stops { queue, before }))
    }

    /// What has come, without waiting.
    pub(super) fn next(&self) -> Option<Signal> {
        let info = self.queue.read_signal().ok()??;
        Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()
    }
}

impl Drop for Stops {
    fn drop(&mut self) {
        // Fails for no mask that the kernel itself has told.
        let _ = self.before.thread_set_mask();
    }
}

/// Has the effect on us that was held back, which ends us as if nothing had been held.
pub(super) fn obey(stop: Signal) {
    let _ = raise(stop);
}

/// The set of ignored signals as `/proc` shows it; where it does not, none.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn is_in(mask: u64, signal: Signal) -> bool {
    mask >> (signal as u32 - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::{Stops, ignored, is_in};
    use nix::sys::signal::{SigSet, Signal, raise};

    #[test]
    fn a_signal_is_held_back_and_told() -> nix::Result<()> {
        let before = SigSet::thread_get_mask()?;
        let Some(stops) = Stops::hold()? else {
            eprintln!("skipped: all of them are ignored");
            return Ok(());
        };
        assert_eq!(stops.next(), None);
        if !is_in(ignored(), Signal::SIGTERM) {
            raise(Signal::SIGTERM)?;
            assert_eq!(stops.next(), Some(Signal::SIGTERM));
        }
        drop(stops);
        assert_eq!(SigSet::thread_get_mask()?, before);
        Ok(())
    }

    #[test]
    fn the_pipe_signal_that_programs_of_this_language_ignore_is_seen() {
        if std::path::Path::new("/proc/self/status").exists() {
            assert!(is_in(ignored(), Signal::SIGPIPE) && !is_in(ignored(), Signal::SIGKILL));
        }
    }
}
