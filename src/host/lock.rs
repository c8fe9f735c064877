//! Locks and request markers (design, section 5, step 2).

use super::Dir;
use crate::base::Result;
use std::time::Duration;

/// A held lock file; unlocked when dropped. The descriptor is close-on-exec, and the file is never replaced.
pub struct Lock {
    _private: (),
}

/// How long to wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    Try,
    /// At most so long.
    AtMost(Duration),
    /// Until it is free.
    Forever,
}

/// Takes the lock file `name` in `dir` (made 0600 where missing) and writes into it who holds it (process id, command,
/// start time). `Ok(None)` when it was not to be had in time.
pub fn take(dir: &Dir, name: &str, who: &str, wait: Wait) -> Result<Option<Lock>> {
    let _ = (dir, name, who, wait);
    todo!()
}

/// Who holds the lock file `name`, as its holder wrote it; printable.
pub fn holder(dir: &Dir, name: &str) -> String {
    let _ = (dir, name);
    todo!()
}
