//! Why a run of rsync failed, from what it printed and how it ended (rsync(1), EXIT VALUES).

use super::Cut;
use crate::base::{Error, ErrorKind};
use crate::host::ssh::{self, Hints, in_our_form, of_keys};
use std::io;

/// What a failed run means for whoever decides what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// `rsync`, or the `ssh` it needs, is not there or could not be started.
    NotStarted,
    /// Nobody answers there, or the connection broke.
    Unreachable,
    /// The far end's key is not the one it should have, or none is known.
    HostKey,
    /// The far end does not let us in: our key, or our password.
    Denied,
    /// The far end does not have links followed there (`-L`).
    LinksRefused,
    /// Some of it could not be read or written, or went away meanwhile.
    Partial,
    /// It took too long.
    Deadline,
    /// There is more of it than there may be.
    TooMuch,
    /// Something else.
    Failed,
}

/// A failed run, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it means.
    pub why: Why,
    /// The cause, printable.
    pub cause: String,
    /// The way out, where there is one to name.
    pub hint: Option<String>,
    /// The last lines that rsync printed, each as a cause.
    pub lines: Vec<String>,
}

impl Failure {
    /// One of which rsync has said nothing.
    pub fn new(why: Why, cause: impl Into<String>, hint: Option<String>) -> Failure {
        Failure { why, cause: cause.into(), hint, lines: Vec::new() }
    }

    /// As the error of `subject`.
    pub fn into_error(self, kind: ErrorKind, subject: impl Into<String>) -> Error {
        Error { kind, subject: subject.into(), cause: self.cause, hint: self.hint }
    }

    /// Whether another place on the same host would fare no better.
    pub fn is_of_host(&self) -> bool {
        matches!(self.why, Why::NotStarted | Why::Unreachable | Why::HostKey | Why::Denied | Why::Deadline)
    }
}

pub(super) fn not_started(program: &str, error: &io::Error) -> Failure {
    let hint = (error.kind() == io::ErrorKind::NotFound).then(|| "install rsync, as the package rsync".into());
    let cause = format!("{program} cannot be started: {}", Error::io(ErrorKind::Peer, "", error).cause);
    Failure::new(Why::NotStarted, cause, hint)
}

pub(super) fn cut(cut: Cut, printed: &str) -> Failure {
    match cut {
        Cut::Late => {
            let said = telling(printed).map(|line| format!(": {}", cleaned(line))).unwrap_or_default();
            Failure::new(Why::Deadline, format!("rsync was not through in time, and was ended{said}"), None)
        }
        Cut::Loud => Failure::new(Why::TooMuch, "there is more to be listed than is read", None),
        Cut::Watched(cause) => Failure::new(Why::TooMuch, cause, None),
    }
}

/// What it means that rsync has ended with a status, or by a signal. `hints` belong to a login over ssh.
pub(super) fn explain((status, signal): (Option<i32>, Option<i32>), printed: &str, hints: Option<&Hints>) -> Failure {
    let Some(status) = status else {
        return Failure::new(Why::Failed, format!("rsync was ended by signal {}", signal.unwrap_or_default()), None);
    };
    // Only before the far end has said a word these are the words of ssh.
    let has_heard = !(printed.contains(" (0 bytes received so far)") || status == 255);
    if let Some(failure) = hints.filter(|_| !has_heard).and_then(|hints| of_keys(printed, hints)) {
        let why = if failure.why == ssh::Why::HostKey { Why::HostKey } else { Why::Denied };
        return Failure::new(why, failure.cause, failure.hint);
    }
    let line = telling(printed);
    let cause = line.map_or_else(|| format!("rsync ended with status {status} without a word"), cleaned);
    let says = |words: &[&str]| line.is_some_and(|line| words.iter().any(|word| line.contains(word)));
    let (why, hint) = match status {
        _ if says(REFUSED) => {
            let why = if says(LINKS) { Why::LinksRefused } else { Why::Failed };
            (why, Some("the account there, or the module, is limited to less than certsync asks for"))
        }
        _ if says(&["@ERROR: auth failed"]) => {
            (Why::Denied, Some("the user in the address and the password in password_file must be those of the module's secrets file"))
        }
        _ if says(&["Failed to exec ssh"]) => (Why::NotStarted, Some("install OpenSSH's client, as the package openssh-client")),
        _ if says(&["password file must", "could not open password file"]) => (Why::Denied, None),
        _ if says(&["no referent", "Too many levels of symbolic links"]) => {
            (Why::Partial, Some("a link there leads to nothing, or out of the module: what it leads to must lie in the module as well"))
        }
        _ if says(&["File too large", "No space left"]) => (Why::TooMuch, None),
        23..=25 => (Why::Partial, None),
        30 | 35 => (Why::Deadline, None),
        10 | 255 => (Why::Unreachable, None),
        127 => (Why::Failed, Some("rsync must be installed there, where that account finds it")),
        _ if !has_heard && says(&["ssh: ", "kex_exchange_identification", "Connection ", "connection "]) => (Why::Unreachable, None),
        _ => (Why::Failed, None),
    };
    Failure { lines: printed.lines().map(cleaned).collect(), ..Failure::new(why, cause, hint.map(String::from)) }
}

/// What rrsync and the daemon say of options that they do not take.
const REFUSED: &[&str] = &["has been disabled on this server", "is configured to refuse", "refused by the server"];
/// What they call the option that follows links.
const LINKS: &[&str] = &["option -L ", "option -L,", "copy-links", "--copy-links"];

/// The line that says why: what follows from it, and rsync's summary, come after it.
fn telling(printed: &str) -> Option<&str> {
    let lines = || printed.lines().rev().map(str::trim).filter(|line| line.chars().any(char::is_alphanumeric));
    let is_summary = |line: &str| {
        line.starts_with("rsync error:")
            || line.starts_with("rsync warning:")
            || line.contains("connection unexpectedly closed")
            || line.starts_with("(see the rsync man")
            || line.contains("read error: Connection reset")
            || line.contains("write error: Broken pipe")
    };
    lines()
        .find(|line| REFUSED.iter().any(|word| line.contains(word)) || line.starts_with("@ERROR"))
        .or_else(|| lines().find(|line| !is_summary(line)))
        .or_else(|| lines().find(|line| line.contains("connection unexpectedly closed")))
        .or_else(|| lines().next())
}

/// Without what says only who speaks, and where in rsync's own source.
fn cleaned(line: &str) -> String {
    let line = line.strip_prefix("rsync: ").or_else(|| line.strip_prefix("rsync error: ")).unwrap_or(line);
    let line = match line.split_once("] ") {
        Some((tag, rest)) if tag.starts_with('[') && !tag.contains(' ') => rest,
        _ => line,
    };
    in_our_form(line.split_once(" (code ").map_or(line, |(before, _)| before))
}

#[cfg(test)]
mod tests {
    use super::{Failure, Why, explain};
    use crate::host::ssh::{Far, Login};

    fn after(status: i32, printed: &str) -> Failure {
        let login = Login::written("10.0.0.1", Some(2222), None, Far::Master).expect("plain");
        explain((Some(status), None), printed, Some(&login.hints()))
    }

    #[test]
    fn the_cause_is_the_line_before_rsyncs_own_summary() {
        let absent = "rsync: [sender] change_dir \"/srv/x\" failed: No such file or directory (2)\n\
            rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1394) [sender=3.5.0]\n";
        let absent = after(23, absent);
        assert_eq!((absent.why, absent.cause.as_str()), (Why::Partial, "change_dir \"/srv/x\" failed: No such file or directory (2)"));
        let down = "ssh: connect to host 10.0.0.1 port 2222: Connection refused\r\n\
            rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]\n\
            rsync error: error in rsync protocol data stream (code 12) at io.c(285) [Receiver=3.5.0]\n";
        let down = after(12, down);
        assert_eq!((down.why, down.cause.as_str()), (Why::Unreachable, "connect to host 10.0.0.1 port 2222: Connection refused"));
        let silent = "rsync: connection unexpectedly closed (12 bytes received so far) [Receiver]\n\
            rsync error: error in rsync protocol data stream (code 12) at io.c(285) [Receiver=3.5.0]\n";
        assert_eq!(after(12, silent).cause, "connection unexpectedly closed (12 bytes received so far) [Receiver]");
        assert_eq!(after(2, "rsync error: protocol incompatibility (code 2) at compat.c(1)\n").cause, "protocol incompatibility");
    }

    #[test]
    fn what_ssh_says_of_keys_is_known_as_such_before_the_far_end_has_spoken() {
        let end = |bytes: u32| format!("rsync: connection unexpectedly closed ({bytes} bytes received so far) [Receiver]\n");
        let refused = after(255, &format!("ssl@10.0.0.1: Permission denied (publickey).\r\n{}", end(0)));
        assert_eq!((refused.why, refused.cause.as_str()), (Why::Denied, "ssl@10.0.0.1: Permission denied (publickey)"));
        assert!(refused.hint.is_some_and(|hint| hint.ends_with("must stand in the authorized_keys of that account")));
        let unknown = after(12, &format!("No ED25519 host key is known for x and you have requested strict checking.\n{}", end(0)));
        assert_eq!(unknown.why, Why::HostKey);
        assert!(unknown.hint.is_some_and(|hint| hint.ends_with("; write it into known_hosts")));
        assert_eq!(after(12, &format!("Permission denied (publickey).\n{}", end(7))).why, Why::Failed);
    }

    #[test]
    fn links_that_are_not_followed_there_are_told_apart() {
        let rrsync = "/usr/bin/rrsync error: option -L has been disabled on this server.\n\
            rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]\n";
        assert_eq!(after(12, rrsync).why, Why::LinksRefused);
        let daemon = "rsync: The server is configured to refuse --copy-links (-L)\n\
            rsync: [Receiver] read error: Connection reset by peer (104)\nrsync error: error in socket IO (code 10) at io.c(907)\n";
        let daemon = after(10, daemon);
        assert_eq!((daemon.why, daemon.cause.as_str()), (Why::LinksRefused, "The server is configured to refuse --copy-links (-L)"));
        assert_eq!(after(12, "rrsync: option -t has been disabled on this server.\n").why, Why::Failed);
    }

    #[test]
    fn what_a_terminal_would_act_on_is_not_repeated() {
        assert_eq!(after(12, "\u{1b}[2Jhello\n").cause, "\\u{1b}[2Jhello");
    }
}
