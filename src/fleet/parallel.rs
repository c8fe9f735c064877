//! Talking to many hosts at once: each on its own, so that one that hangs or refuses neither stops nor slows the others.

use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, scope};

/// A thread that talks to one server needs little.
const STACK: usize = 512 << 10;

/// Does `work` for all of these, at most `most` at once, in their order; `done` is called with each answer as it comes.
pub fn in_parallel<T: Send, R: Send>(items: Vec<T>, most: u32, work: impl Fn(T) -> R + Sync, mut done: impl FnMut(R)) {
    let threads = items.len().min(most as usize).max(1);
    let queue = Mutex::new(VecDeque::from(items));
    let (sender, receiver) = channel();
    scope(|scope| {
        for _ in 0..threads {
            let (queue, sender, work): (_, Sender<R>, _) = (&queue, sender.clone(), &work);
            let one = move || {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(item) = next else { return };
                    // Nobody listens any more once the others have failed badly.
                    if sender.send(work(item)).is_err() {
                        return;
                    }
                }
            };
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
    for item in queue.into_inner().unwrap_or_else(PoisonError::into_inner) {
        done(work(item));
    }
}
