//! The way that was walked last: it need not be walked anew for each of the sets that lie side by side.

use super::{Dir, Stat};
use nix::sys::stat::stat;
use std::cell::RefCell;
use std::rc::Rc;

/// The directories on a way, each held open.
#[derive(Clone, Default)]
pub(super) struct Trodden {
    /// From `/` on.
    pub(super) stack: Vec<Rc<Dir>>,
    /// Their names, without the root's: `stack` is one longer.
    pub(super) names: Vec<String>,
    /// Their metadata, as it was when they were entered.
    pub(super) stats: Vec<Stat>,
}

thread_local! {
    /// The last way that nobody else can change: ten thousand sets mostly lie in one directory, and each is walked to several times.
    static TRODDEN: RefCell<Option<(String, Trodden)>> = const { RefCell::new(None) };
}

impl Trodden {
    /// The way to `path`, if it is the last one walked, still leads to the same directory, and nothing on it has another owner or mode.
    pub(super) fn recall(path: &str) -> Option<Trodden> {
        let known = TRODDEN.with_borrow(|known| known.as_ref().filter(|(at, _)| at == path).map(|(_, known)| known.clone()))?;
        let rights = |stat: &Stat| (stat.uid, stat.gid, stat.mode);
        let is_as_before = |(dir, before): (&Rc<Dir>, &Stat)| dir.stat().is_ok_and(|now| rights(&now) == rights(before));
        let leads_there = known.stats.last()?.is_same(&Stat::from(&stat(path).ok()?));
        (leads_there && known.stack.iter().zip(&known.stats).all(is_as_before)).then_some(known)
    }

    /// Remembers this way, which nobody else can change, as the one to `path`.
    pub(super) fn remember(&self, path: &str) {
        if !path.is_empty() {
            TRODDEN.set(Some((path.to_owned(), self.clone())));
        }
    }
}
