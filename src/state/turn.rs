//! Whose turn it is: two locks and the request markers (design, section 5, step 2).
//!
//! `run.lock` is held by the one that works, `next.lock` by the one that works next. The one that holds `next.lock` has not read
//! the requests yet, so whoever leaves a request and then finds it taken may go: the request will be seen. And whoever finds it free
//! takes its place. The caller's loop:
//!
//! 1. [`take_turn`] with [`Turn::Run`] or [`Turn::Request`],
//! 2. read the requests, work, remove those that were read,
//! 3. drop the [`TurnGuard`],
//! 4. while [`again`]: [`take_turn`] with [`Turn::Again`], and from 2.

use super::requests::{Request, Scope, leave, pending};
use crate::base::{Error, ErrorKind, Result};
use crate::host::Dir;
use crate::host::lock::{Lock, Wait, holder, take, take_free};
use std::time::Duration;

/// The lock of the one that works.
pub(super) const RUN: &str = "run.lock";
/// The lock of the one that works next.
pub(super) const NEXT: &str = "next.lock";

/// For what a turn is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// For a command that wants to work itself, and waits for it.
    Run,
    /// For a request that anybody may serve; it is left on disk first.
    Request(Request),
    /// For requests that came in during the turn that has just ended; nobody's if another one waits already.
    Again,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// It is ours.
    Turn(TurnGuard),
    /// Somebody else waits for it already and will see the request.
    SomebodyWillServe,
}

/// The turn; over when dropped.
#[derive(Debug)]
pub struct TurnGuard {
    _run: Lock,
}

/// Takes the turn for `who` (`certsync apply`). [`Turn::Run`] waits at most `wait` behind another that waits; after that it leaves a request
/// for all sets and fails (kind `Lock`). Behind the one that works everybody waits without limit.
pub fn take_turn(dir: &Dir, who: &str, kind: Turn, wait: Duration) -> Result<Outcome> {
    let next = match &kind {
        Turn::Run => take(dir, NEXT, Wait::AtMost(wait))?,
        Turn::Request(request) => {
            leave(dir, request)?;
            take(dir, NEXT, Wait::Try)?
        }
        Turn::Again => take(dir, NEXT, Wait::Try)?,
    };
    let next = match (next, kind) {
        (Some(next), _) => next,
        (None, Turn::Request(_) | Turn::Again) => return Ok(Outcome::SomebodyWillServe),
        (None, Turn::Run) => last_try(dir, who, wait)?,
    };
    let run = take(dir, RUN, Wait::Forever)?;
    drop(next);
    match run {
        Some(run) => Ok(Outcome::Turn(TurnGuard { _run: run })),
        None => Err(Error::new(ErrorKind::Lock, RUN, "not to be had")),
    }
}

/// The turn where nobody works or waits and both locks have been used before: nothing is made and nothing waited for.
pub fn take_free_turn(dir: &Dir) -> Option<TurnGuard> {
    let next = take_free(dir, NEXT)?;
    let run = take_free(dir, RUN);
    drop(next);
    run.map(|run| TurnGuard { _run: run })
}

/// Whether another turn is due, after the last one was given back: a request came in that nobody else waits to serve.
pub fn again(dir: &Dir) -> bool {
    // In this order: a request found here is this caller's to serve, so one that goes away because it meets the lock
    // during this glance is served as well.
    pending(dir) && take(dir, NEXT, Wait::Try).is_ok_and(|next| next.is_some())
}

/// Whether a request that was left before needs no run of its own: somebody waits who will see it.
pub fn will_be_served(dir: &Dir) -> bool {
    // Whoever only glances at the lock as we do here starts a run afterwards, and that one sees it as well.
    take(dir, NEXT, Wait::Try).is_ok_and(|next| next.is_none())
}

/// Leaves a request in place of a run that has waited too long. The others may all have finished between its last look
/// at the lock and the request, and nobody would serve it: hence one more try.
fn last_try(dir: &Dir, who: &str, waited: Duration) -> Result<Lock> {
    let worker = holder(dir, RUN);
    leave(dir, &Request { command: who.to_owned(), scope: Scope::All })?;
    take(dir, NEXT, Wait::Try)?.ok_or_else(|| {
        let cause = format!("held by {worker}, and another one waits for it; waited {} s", waited.as_secs());
        Error::new(ErrorKind::Lock, "the lock of the state directory", cause)
            .hint("the one that waits will apply everything; --lock-timeout sets how long to wait")
    })
}

#[cfg(test)]
mod tests {
    use super::{NEXT, Outcome, RUN, Turn, again, take_free_turn, take_turn};
    use crate::base::{ErrorKind, Result};
    use crate::host::Dir;
    use crate::host::lock::{Wait, take};
    use crate::state::requests::{Request, Scope, pending, read, remove};
    use crate::state::test_dir::{open, with_dir};
    use std::collections::BTreeSet;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread::{scope, sleep};
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(60);

    fn request(command: &str) -> Turn {
        Turn::Request(Request { command: command.into(), scope: Scope::All })
    }

    fn is_turn(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Turn(_))
    }

    #[test]
    fn a_turn_is_had_at_once_where_nobody_works() -> Result<()> {
        with_dir(|dir, _| {
            assert!(is_turn(&take_turn(dir, "one", Turn::Run, LONG)?));
            assert!(is_turn(&take_turn(dir, "two", request("two"), LONG)?));
            assert!(again(dir), "its marker is unread");
            Ok(())
        })
    }

    #[test]
    fn a_free_turn_is_had_only_where_nobody_works_or_waits_and_nothing_must_be_made() -> Result<()> {
        with_dir(|dir, path| {
            assert!(take_free_turn(dir).is_none());
            assert_eq!(std::fs::read_dir(path).map(Iterator::count).ok(), Some(0), "nothing is made");
            drop(take_turn(dir, "one", Turn::Run, LONG)?);
            for held in [NEXT, RUN] {
                let _held = take(dir, held, Wait::Try)?;
                assert!(take_free_turn(dir).is_none(), "{held}");
            }
            let free = take_free_turn(dir);
            assert!(free.is_some() && take(dir, RUN, Wait::Try)?.is_none() && take(dir, NEXT, Wait::Try)?.is_some());
            Ok(())
        })
    }

    #[test]
    fn a_request_is_left_to_the_one_that_waits() -> Result<()> {
        with_dir(|dir, _| {
            let _next = take(dir, NEXT, Wait::Try)?;
            assert!(!is_turn(&take_turn(dir, "hook", request("hook"), LONG)?));
            assert!(pending(dir));
            assert!(!again(dir), "the waiter will serve it");
            assert!(!is_turn(&take_turn(dir, "hook", Turn::Again, LONG)?));
            Ok(())
        })
    }

    #[test]
    fn a_run_that_waited_too_long_leaves_a_request_and_names_the_holder() -> Result<()> {
        with_dir(|dir, _| {
            let _run = take(dir, RUN, Wait::Try)?;
            let _next = take(dir, NEXT, Wait::Try)?;
            let error = take_turn(dir, "certsync apply", Turn::Run, Duration::from_millis(30)).err();
            let text = error.as_ref().map(|error| (error.kind, error.cause.clone())).unwrap_or((ErrorKind::Spec, String::new()));
            assert!(text.0 == ErrorKind::Lock && text.1.contains(&format!("pid {} (", std::process::id())), "{error:?}");
            assert_eq!(read(dir)?.into_iter().map(|(_, request)| request.scope).collect::<Vec<_>>(), [Scope::All]);
            Ok(())
        })
    }

    #[test]
    fn the_next_one_is_free_to_be_taken_as_soon_as_work_begins() -> Result<()> {
        with_dir(|dir, _| {
            let _turn = take_turn(dir, "one", Turn::Run, LONG)?;
            assert!(take(dir, NEXT, Wait::Try)?.is_some());
            assert!(take(dir, RUN, Wait::Try)?.is_none());
            Ok(())
        })
    }

    /// What a command does: its turns, until nothing is left. Notes what it served.
    fn command(dir: &Dir, name: &str, kind: Turn, work: Duration, served: &Mutex<BTreeSet<String>>) -> Result<()> {
        let mut outcome = take_turn(dir, name, kind, LONG)?;
        while let Outcome::Turn(turn) = outcome {
            let (names, requests): (Vec<String>, Vec<Request>) = read(dir)?.into_iter().unzip();
            sleep(work);
            if let Ok(mut served) = served.lock() {
                served.extend(requests.into_iter().map(|request| request.command));
            }
            remove(dir, &names)?;
            drop(turn);
            if !again(dir) {
                break;
            }
            outcome = take_turn(dir, name, Turn::Again, LONG)?;
        }
        Ok(())
    }

    /// Numbers that differ from run to run; a failure prints nothing about them, since timing cannot be repeated anyway.
    fn random(below: u64) -> u64 {
        use std::hash::{BuildHasher, Hasher, RandomState};
        RandomState::new().build_hasher().finish() % below
    }

    #[test]
    fn no_request_is_lost_at_any_timing() -> Result<()> {
        with_dir(|_, path| {
            for round in 0..60 {
                let served = Mutex::new(BTreeSet::new());
                let failures = AtomicU32::new(0);
                scope(|scope| {
                    for i in 0..6 {
                        let (served, failures) = (&served, &failures);
                        scope.spawn(move || {
                            sleep(Duration::from_micros(random(3000)));
                            let name = format!("{round}-{i}");
                            let kind = if i == 0 { Turn::Run } else { request(&name) };
                            // A descriptor of its own for each, as between processes.
                            let done = open(path).map(|dir| command(&dir, &name, kind, Duration::from_micros(random(2000)), served));
                            if !matches!(done, Ok(Ok(()))) {
                                failures.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                    }
                });
                let expected: BTreeSet<String> = (1..6).map(|i| format!("{round}-{i}")).collect();
                assert_eq!(failures.into_inner(), 0);
                assert_eq!(served.into_inner().ok(), Some(expected), "round {round}");
            }
            Ok(())
        })
    }
}
