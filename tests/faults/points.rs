//! The points of a scenario: one fault at one call.

use super::record::Recording;
use super::trace::{CHANGING, Call, Effect};
use std::collections::BTreeMap;

/// What happens at a call.
///
/// strace 6.1 delivers an injected SIGKILL at the entry of a call, and the kernel does not execute a call whose caller is
/// about to die: the trace shows `mkdir("d2", 0700) = ?`, and there is no `d2` (with `error=` as well the same). So "right before" is
/// a kill at the entry of the call, and "right after" a kill at the entry of the next call of whatever kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    KilledBefore,
    KilledAfter,
    /// Killed before it, and then bereft of what is not on disk by then.
    PowerCut(Loss),
    /// The call is not executed and gives this error.
    Fails(&'static str),
}

/// What a power cut takes of all that is not on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Bytes: what has a name is there, and empty.
    Bytes,
    /// Names as well: what had another name or content before has it again.
    All,
}

impl Kind {
    /// Whether certsync dies of it.
    fn kills(self) -> bool {
        !matches!(self, Kind::Fails(_))
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::KilledBefore => f.write_str("killed before"),
            Kind::KilledAfter => f.write_str("killed after"),
            Kind::PowerCut(Loss::Bytes) => f.write_str("power cut, bytes lost"),
            Kind::PowerCut(Loss::All) => f.write_str("power cut, all lost"),
            Kind::Fails(error) => f.write_str(error),
        }
    }
}

/// One fault.
#[derive(Debug, Clone)]
pub struct Point {
    pub kind: Kind,
    /// The file-changing call it is about.
    pub call: String,
    /// The how manieth of that name.
    pub nth: usize,
    /// What the call looks like.
    pub signature: String,
    /// The call that strace tampers with, and the how manieth: the same one, or for a kill after it the next one.
    pub at: (String, usize),
    /// Whether strace may follow what certsync starts: with `--seccomp-bpf` it stops the program only where it must. It cannot
    /// deliver a signal then (6.1).
    pub follow: bool,
}

/// Calls that can be refused for lack of a right on the way.
const BY_NAME: &[&str] = &["mkdirat", "openat", "symlinkat", "linkat", "renameat", "renameat2", "unlinkat", "utimensat"];
/// Calls that a signal can interrupt.
const SLOW: &[&str] = &["write", "fsync"];

/// All points of a recorded run, in its order.
pub fn of(recording: &Recording) -> Vec<Point> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let numbered: Vec<(&Call, usize)> = recording
        .calls
        .iter()
        .map(|call| {
            let count = counts.entry(&call.name).or_default();
            *count += 1;
            (call, *count)
        })
        .collect();
    let mut points = Vec::new();
    for (i, (call, nth)) in numbered.iter().enumerate().filter(|(_, (call, _))| call.effect() == Effect::Changes) {
        let mut add = |kind: Kind, at: (&Call, usize)| {
            let most = recording.most_by_others.get(&at.0.name).copied().unwrap_or(0);
            points.push(Point {
                kind,
                call: call.name.clone(),
                nth: *nth,
                signature: call.signature(&recording.dir),
                at: (at.0.name.clone(), at.1),
                follow: !kind.kills() && at.1 > most,
            });
        };
        for kind in [Kind::KilledBefore, Kind::PowerCut(Loss::Bytes), Kind::PowerCut(Loss::All)] {
            add(kind, (call, *nth));
        }
        // Where the next call changes files too, that is the point before it.
        if let Some(next) = numbered.get(i + 1).filter(|(next, _)| next.effect() == Effect::Harmless) {
            add(Kind::KilledAfter, *next);
        }
        let refused = BY_NAME.contains(&call.name.as_str()).then_some("EACCES");
        let interrupted = SLOW.contains(&call.name.as_str()).then_some("EINTR");
        for error in ["EIO", "ENOSPC"].into_iter().chain(refused).chain(interrupted) {
            add(Kind::Fails(error), (call, *nth));
        }
    }
    points
}

impl Point {
    /// The options of strace.
    pub fn options(&self) -> Vec<String> {
        let what = match self.kind {
            Kind::KilledBefore | Kind::KilledAfter | Kind::PowerCut(_) => "signal=KILL".to_owned(),
            Kind::Fails(error) => format!("error={error}"),
        };
        let (name, nth) = &self.at;
        let follow: &[&str] = if self.follow { &["-f", "--seccomp-bpf"] } else { &[] };
        let traced = match self.kind {
            Kind::PowerCut(_) => CHANGING.join(","),
            _ if *name == self.call => name.clone(),
            _ => format!("{name},{}", self.call),
        };
        let rest =
            ["-y", "-s", "300", "-e", "signal=none", "-e", &format!("trace={traced}"), "-e", &format!("inject={name}:{what}:when={nth}")]
                .map(str::to_owned);
        follow.iter().map(|option| (*option).to_owned()).chain(rest).collect()
    }

    /// Whether the fault met the call it was meant for.
    pub fn was_met(&self, calls: &[Call], dir: &std::path::Path) -> bool {
        let Some(first) = calls.first().map(|call| call.pid) else { return false };
        let own: Vec<&Call> = calls.iter().filter(|call| call.pid == first).collect();
        let meant: Vec<&&Call> = own.iter().filter(|call| call.name == self.call).collect();
        let Some(target) = meant.get(self.nth - 1) else { return false };
        if target.signature(dir) != self.signature {
            return false;
        }
        let is_last = |call: &Call| own.last().is_some_and(|last| std::ptr::eq(*last, call));
        match self.kind {
            Kind::KilledBefore | Kind::PowerCut(_) => target.result.starts_with('?') && is_last(target),
            Kind::KilledAfter => {
                let last = own[own.len() - 1];
                !target.result.starts_with('?')
                    && last.name == self.at.0
                    && last.result.starts_with('?')
                    && std::ptr::eq(own[own.len() - 2], **target)
            }
            Kind::Fails(_) => target.was_injected(),
        }
    }
}
