//! The one error type: what kind, about what, why, and the way out.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The result of anything that can fail for a reason an operator must hear.
pub type Result<T> = std::result::Result<T, Error>;

/// What an error is about. The kind decides the exit code and is part of the JSON contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The command line is wrong.
    Usage,
    /// The spec is wrong.
    Spec,
    /// A source cannot be read.
    Source,
    /// A set was read and refused.
    Judgement,
    /// The host above cannot be reached or did not answer as it must.
    Upstream,
    /// A place on this host cannot be made as the spec says.
    Install,
    /// A hook's command failed or could not be started.
    Hook,
    /// Another run holds the lock.
    Lock,
    /// The state directory is damaged, foreign or newer.
    State,
    /// Rights are missing, or others have too many.
    Permission,
    /// Another host's fault.
    Peer,
}

/// An error as the operator sees it: `certsync: error: SUBJECT: CAUSE`, then `hint: …`.
///
/// Lower case, no full stop, never a byte of a private key. Text from outside must have gone through
/// [`printable`](super::printable) before it is put here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(description = "An error: what kind, about what, why, and the way out.")]
pub struct Error {
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// What it is about: a path, a set, a hook.
    #[serde(deserialize_with = "crate::base::told::text")]
    pub subject: String,
    /// Why.
    #[serde(deserialize_with = "crate::base::told::text")]
    pub cause: String,
    /// The way out, where there is one to name.
    #[serde(default, deserialize_with = "crate::base::told::option")]
    pub hint: Option<String>,
}

impl Error {
    /// An error without a hint.
    pub fn new(kind: ErrorKind, subject: impl Into<String>, cause: impl Into<String>) -> Self {
        Error { kind, subject: subject.into(), cause: cause.into(), hint: None }
    }

    /// The same error with the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An operating system error about `subject`, with the way out of those that are the same everywhere.
    pub fn io(kind: ErrorKind, subject: impl fmt::Display, error: &std::io::Error) -> Self {
        let out = Error::new(kind, subject.to_string(), io_text(error));
        match error.kind() {
            std::io::ErrorKind::StorageFull => out.hint("make room there (df, df -i), then run it again: what is installed was not harmed"),
            std::io::ErrorKind::QuotaExceeded => {
                out.hint("raise the quota or make room there, then run it again: what is installed was not harmed")
            }
            std::io::ErrorKind::ReadOnlyFilesystem => out.hint("mount it writable, then run it again: what is installed was not harmed"),
            _ => out,
        }
    }
}

/// An operating system error in words, without Rust's `(os error N)`.
fn io_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::from("unknown error"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.cause)
    }
}

impl std::error::Error for Error {}
