//! Telling from a name whether the process that gave it is still there.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs::{read_link, read_to_string};

/// A process: numbers are given out again, so its start belongs to it, and its namespace, without which a number says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    namespace: u64,
    pid: i32,
    start: u64,
}

impl Owner {
    /// This process; nothing where `/proc` does not tell.
    pub(super) fn this() -> Option<Owner> {
        let pid = Pid::this().as_raw();
        Some(Owner { namespace: own_namespace()?, pid, start: start_of(pid)? })
    }

    /// As a part of a name: `<namespace>-<pid>-<start>`.
    pub(super) fn to_name(&self) -> String {
        format!("{}-{}-{}", self.namespace, self.pid, self.start)
    }

    /// Reads what [`Owner::to_name`] wrote.
    pub(super) fn from_name(text: &str) -> Option<Owner> {
        let mut parts = text.split('-');
        let owner = Owner { namespace: parts.next()?.parse().ok()?, pid: parts.next()?.parse().ok()?, start: parts.next()?.parse().ok()? };
        (parts.next().is_none() && owner.pid > 0).then_some(owner)
    }

    /// Whether it has surely ended. Of another namespace nothing is known.
    pub(super) fn is_gone(&self) -> bool {
        if own_namespace() != Some(self.namespace) {
            return false;
        }
        // Not by a look into /proc alone, which may be mounted so that it hides even our own processes.
        kill(Pid::from_raw(self.pid), None) == Err(Errno::ESRCH) || start_of(self.pid).is_some_and(|start| start != self.start)
    }
}

fn own_namespace() -> Option<u64> {
    read_link("/proc/self/ns/pid").ok()?.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// When it started, in clock ticks since boot: field 22 of its `stat`; the name in field 2 may hold anything, brackets too.
fn start_of(pid: i32) -> Option<u64> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Owner;

    #[test]
    fn a_process_is_gone_when_it_has_ended_or_its_number_is_anothers() {
        let Some(this) = Owner::this() else {
            eprintln!("skipped: no /proc");
            return;
        };
        assert_eq!(Owner::from_name(&this.to_name()), Some(this.clone()));
        assert!(!this.is_gone());
        assert!(Owner { start: this.start + 1, ..this.clone() }.is_gone());
        assert!(Owner { pid: i32::MAX, ..this.clone() }.is_gone());
        assert!(!Owner { pid: i32::MAX, namespace: this.namespace + 1, ..this }.is_gone());
    }

    #[test]
    fn other_names_are_of_nobody() {
        for name in ["", "1", "1-2", "1-2-x", "1-2-3-4", "1-0-3", "0123456789abcdef"] {
            assert_eq!(Owner::from_name(name), None, "{name}");
        }
    }
}
