//! Talking to many hosts at once: each on its own, so that one that hangs or refuses neither stops nor slows the others.

use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, scope, sleep};
use std::time::{Duration, Instant};

/// A thread that talks to one server needs little.
const STACK: usize = 512 << 10;

/// What came of one try.
pub enum Tried<T, R> {
    /// That is the answer.
    Done(R),
    /// It is tried again, after so long a pause, once the others have had their turn.
    Again(T, Duration),
}

/// Those that wait, each with the moment from which it may be tried.
struct Queue<T>(Mutex<VecDeque<(Instant, T)>>);

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, T)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one whose moment has come, waiting for it if need be; nothing where nobody waits.
    fn next(&self) -> Option<T> {
        loop {
            let pause = {
                let (mut waiting, now) = (self.lock(), Instant::now());
                if let Some(at) = waiting.iter().position(|(from, _)| *from <= now) {
                    return waiting.remove(at).map(|(_, item)| item);
                }
                waiting.iter().map(|(from, _)| *from - now).min()?
            };
            sleep(pause);
        }
    }

    /// Works until nobody waits any more, or nobody listens.
    fn serve<R>(&self, work: &impl Fn(T) -> Tried<T, R>, mut answer: impl FnMut(R) -> bool) {
        while let Some(item) = self.next() {
            match work(item) {
                Tried::Done(done) => {
                    if !answer(done) {
                        return;
                    }
                }
                Tried::Again(item, pause) => self.lock().push_back((Instant::now() + pause, item)),
            }
        }
    }
}

/// Does `work` for all of these, at most `most` at once, in their order; `done` is called with each answer as it comes.
pub fn in_parallel<T: Send, R: Send>(items: Vec<T>, most: u32, work: impl Fn(T) -> Tried<T, R> + Sync, mut done: impl FnMut(R)) {
    let threads = items.len().min(most as usize).max(1);
    let now = Instant::now();
    let queue = Queue(Mutex::new(items.into_iter().map(|item| (now, item)).collect()));
    let (sender, receiver) = channel();
    scope(|scope| {
        for _ in 0..threads {
            let (queue, sender, work): (_, Sender<R>, _) = (&queue, sender.clone(), &work);
            // Nobody listens any more once the others have failed badly.
            let one = move || queue.serve(work, |answer| sender.send(answer).is_ok());
            if let Err(error) = Builder::new().stack_size(STACK).spawn_scoped(scope, one) {
                tracing::warn!("fewer servers at once: no thread is to be had: {error}");
                break;
            }
        }
        drop(sender);
        for answer in receiver {
            done(answer);
        }
    });
    // Only where not a single thread was to be had is anything left.
    queue.serve(&work, |answer| {
        done(answer);
        true
    });
}

#[cfg(test)]
mod tests {
    use super::{Tried, in_parallel};
    use std::time::Duration;

    #[test]
    fn who_is_tried_again_waits_until_the_others_have_had_their_turn() {
        let mut order = Vec::new();
        let work = |(name, tries): (&'static str, u32)| match tries {
            0 => Tried::Done(name),
            more => Tried::Again((name, more - 1), Duration::from_millis(1)),
        };
        in_parallel(vec![("twice", 2), ("once", 1), ("never", 0), ("nor this", 0)], 1, work, |name| order.push(name));
        assert_eq!(order, ["never", "nor this", "once", "twice"]);
        let mut count = 0;
        in_parallel(
            (0..100).map(|name| (name, name % 3)).collect(),
            8,
            |(name, tries)| match tries {
                0 => Tried::Done(name),
                more => Tried::Again((name, more - 1), Duration::ZERO),
            },
            |_| count += 1,
        );
        assert_eq!(count, 100);
    }
}
