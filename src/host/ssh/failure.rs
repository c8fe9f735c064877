//! Why a connection failed, from what ssh printed and how it ended.

use super::text;
use crate::base::{Error, ErrorKind, printable};
use crate::host::link::Trouble;
use std::io;

/// What a failed connection means for whoever decides whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// `ssh` is not there, or could not be started.
    NotStarted,
    /// Nobody answers there, or the connection broke before anything was said.
    Unreachable,
    /// The far end's key is not the one it should have, or none is known.
    HostKey,
    /// The far end does not take our key.
    KeyRefused,
    /// The far end was there, and ended too early.
    Closed,
    /// It was there or not, and took too long.
    Deadline,
}

/// A failed connection, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it means.
    pub why: Why,
    /// The cause, printable.
    pub cause: String,
    /// The way out, where there is one to name.
    pub hint: Option<String>,
}

impl Failure {
    /// As the error of `subject`.
    pub fn into_error(self, kind: ErrorKind, subject: impl Into<String>) -> Error {
        Error { kind, subject: subject.into(), cause: self.cause, hint: self.hint }
    }
}

/// What is at the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Far {
    /// A server of the spec, with certsync.
    Certsync,
    /// A server of the spec that has rsync only.
    Rsync,
    /// A master that is no server of the spec.
    Master,
}

/// What hints are made of.
pub struct Hints {
    pub(super) address: String,
    pub(super) port: u16,
    /// Whether the spec says what the host key is.
    pub(super) has_known: bool,
    /// Whether ssh was given a key.
    pub(super) has_identity: bool,
    pub(super) far: Far,
}

/// How ssh ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Running,
    Exit(i32),
    Signal(i32),
}

/// What had come from the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Silent,
    Answered,
}

/// The status with which ssh itself fails (ssh(1), EXIT STATUS).
pub(super) const SSH_FAILED: i32 = 255;

pub(super) fn not_started(program: &str, error: &io::Error) -> Failure {
    let hint = (error.kind() == io::ErrorKind::NotFound).then(|| "install OpenSSH's client, as the package openssh-client".into());
    Failure { why: Why::NotStarted, cause: format!("{program} cannot be started: {}", text(error)), hint }
}

/// What `trouble` with the stream means, with what was printed beside it.
pub(super) fn explain(trouble: Trouble, end: End, before: Before, printed: &str, hints: &Hints) -> Failure {
    let line = last_line(printed);
    let said = |fallback: &str| line.map_or_else(|| fallback.to_owned(), in_our_form);
    let plain = |why, cause| Failure { why, cause, hint: None };
    if trouble == Trouble::Late {
        let cause = if before == Before::Silent { "no answer in time" } else { "it stopped answering, and the time for it is over" };
        return plain(Why::Deadline, cause.into());
    }
    match end {
        End::Exit(SSH_FAILED) => {
            if let Some(failure) = of_keys(printed, hints) {
                return failure;
            }
            match before {
                Before::Silent => plain(Why::Unreachable, said("ssh failed without a word")),
                Before::Answered => plain(Why::Closed, format!("the connection broke: {}", said("ssh failed without a word"))),
            }
        }
        End::Exit(0) => plain(Why::Closed, format!("the far end closed the connection too early{}", after_colon(line))),
        End::Exit(code) => {
            let hint =
                matches!(code, 126 | 127).then(|| "certsync must be installed there, and its line in authorized_keys name it".to_owned());
            Failure { why: Why::Closed, cause: format!("the far end ended with status {code}{}", after_colon(line)), hint }
        }
        End::Signal(signal) => plain(Why::Closed, format!("ssh was ended by signal {signal}{}", after_colon(line))),
        End::Running if trouble == Trouble::Ended => {
            plain(Why::Closed, format!("the far end closed the connection too early{}", after_colon(line)))
        }
        End::Running => plain(Why::Closed, "the stream to it failed".into()),
    }
}

/// What ssh says of a host key that is not the right one, or of a key of ours that is not let in.
pub(in crate::host) fn of_keys(printed: &str, hints: &Hints) -> Option<Failure> {
    if let Some(line) = find(printed, HOST_KEY) {
        return Some(Failure { why: Why::HostKey, cause: in_our_form(line), hint: Some(host_key_hint(hints)) });
    }
    let line = find(printed, KEY_REFUSED)?;
    Some(Failure { why: Why::KeyRefused, cause: in_our_form(line), hint: Some(key_hint(hints)) })
}

/// The more telling words first.
const HOST_KEY: &[&str] = &["host key is known for", " has changed and you have requested strict checking", "Host key verification failed"];
const KEY_REFUSED: &[&str] = &["Permission denied (", "Too many authentication failures"];

fn find<'a>(printed: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().find_map(|word| printed.lines().rev().find(|line| line.contains(word)))
}

/// The last line that says something: not a frame of stars around a warning, not ssh's own tracing.
pub(super) fn last_line(printed: &str) -> Option<&str> {
    let says = |line: &&str| line.chars().any(char::is_alphanumeric) && !line.starts_with("debug");
    printed.lines().rev().map(str::trim).find(says)
}

/// A line of ssh's as a cause: printable, of a bounded length, no full stop; its own name before it says nothing.
pub(in crate::host) fn in_our_form(line: &str) -> String {
    let line = line.trim().trim_end_matches('.');
    let line = line.strip_prefix("ssh: ").unwrap_or(line);
    printable(&line.chars().take(300).collect::<String>())
}

fn after_colon(line: Option<&str>) -> String {
    line.map(|line| format!(": {}", in_our_form(line))).unwrap_or_default()
}

fn host_key_hint(hints: &Hints) -> String {
    let compare = format!(
        "`ssh-keyscan -p {} {}` shows what answers there, `ssh-keygen -lf` on the host itself what should",
        hints.port, hints.address
    );
    match (hints.has_known, hints.far) {
        (true, _) => format!("{compare}; the spec's host_key must be that key"),
        (false, Far::Master) => format!("{compare}; write it into known_hosts"),
        (false, Far::Certsync | Far::Rsync) => format!("{compare}; write it into the spec as host_key, or into known_hosts"),
    }
}

fn key_hint(hints: &Hints) -> String {
    if hints.far == Far::Master {
        let ours =
            if hints.has_identity { "the public half of `identity`" } else { "the public half of a key of ssh's own, or of `identity`" };
        return format!("{ours} must stand in the authorized_keys of that account");
    }
    let ours = if hints.has_identity {
        "`certsync keygen` here prints this host's key"
    } else {
        "`certsync keygen` gives this host a key of its own"
    };
    match hints.far {
        Far::Rsync => format!("{ours}; it must stand in the authorized_keys of that account"),
        Far::Certsync | Far::Master => {
            format!(
                "{ours}; `certsync authorized-keys --write FILE` there lets it in once the spec there has it as public_key and is valid"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Before, End, Failure, Far, Hints, Why, explain};
    use crate::host::link::Trouble;

    fn after(printed: &str, end: End) -> Failure {
        let hints = Hints { address: "10.0.0.1".into(), port: 2222, has_known: true, has_identity: true, far: Far::Certsync };
        explain(Trouble::Ended, end, Before::Silent, printed, &hints)
    }

    #[test]
    fn each_end_of_ssh_is_told_apart() {
        let refused = after("Welcome to example.net.\nroot@10.0.0.1: Permission denied (publickey).\n", End::Exit(255));
        assert_eq!((refused.why, refused.cause.as_str()), (Why::KeyRefused, "root@10.0.0.1: Permission denied (publickey)"));
        assert!(refused.hint.is_some_and(|hint| hint.contains("certsync keygen")));
        let unknown = "No ED25519 host key is known for web1 and you have requested strict checking.\nHost key verification failed.\n";
        let unknown = after(unknown, End::Exit(255));
        assert_eq!(unknown.why, Why::HostKey);
        assert_eq!(unknown.cause, "No ED25519 host key is known for web1 and you have requested strict checking");
        assert!(unknown.hint.is_some_and(|hint| hint.contains("ssh-keyscan -p 2222 10.0.0.1") && hint.contains("the spec's host_key")));
        let down = after("ssh: connect to host 10.0.0.1 port 2222: Connection refused\r\n", End::Exit(255));
        assert_eq!((down.why, down.cause.as_str()), (Why::Unreachable, "connect to host 10.0.0.1 port 2222: Connection refused"));
        let absent = after("bash: line 1: /usr/bin/certsync: No such file or directory\n", End::Exit(127));
        assert_eq!(absent.why, Why::Closed);
        assert_eq!(absent.cause, "the far end ended with status 127: bash: line 1: /usr/bin/certsync: No such file or directory");
        assert!(absent.hint.is_some());
        assert_eq!(after("", End::Exit(0)).cause, "the far end closed the connection too early");
        assert_eq!(after("", End::Signal(9)).cause, "ssh was ended by signal 9");
    }

    #[test]
    fn the_words_of_a_far_end_that_was_let_in_are_not_taken_for_those_of_ssh() {
        assert_eq!(after("Permission denied (publickey).\n", End::Exit(1)).why, Why::Closed);
    }

    #[test]
    fn what_a_terminal_would_act_on_and_frames_of_stars_are_not_repeated() {
        let loud = after("\u{1b}[2J gone\n@@@@@@@@@\n\n", End::Exit(3));
        assert_eq!(loud.cause, "the far end ended with status 3: \\u{1b}[2J gone");
        assert!(after(&"x".repeat(4000), End::Exit(3)).cause.len() < 400);
    }
}
