//! What two hosts say to each other. Fields that a reader does not know are passed over, so that later versions may add some.

use crate::base::{ContentHash, Digest, Error, ErrorKind, RelPath, ServerName, SetName, printable};
use crate::state::{Offer, Spread, Standing};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The lowest and the highest version of the conversation that this build speaks.
/// Version 2 knows sets that are kept until the origin gives its word, and reports in parts.
pub const VERSIONS: (u32, u32) = (1, 2);

/// The first message of both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The lowest and the highest version of the conversation that this side speaks.
    pub versions: (u32, u32),
    /// The version of certsync, for people.
    #[serde(deserialize_with = "crate::base::told::text")]
    pub certsync: String,
    /// What this side calls itself, for people: who it is, its key says.
    pub name: ServerName,
    /// Hash of its spec.
    pub spec: ContentHash,
}

impl Hello {
    /// This build's.
    pub fn of(name: &ServerName, spec: ContentHash) -> Hello {
        Hello { versions: VERSIONS, certsync: env!("CARGO_PKG_VERSION").into(), name: name.clone(), spec }
    }
}

/// One version of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The set.
    pub set: SetName,
    /// Which one.
    pub digest: Digest,
    /// The origin's number for it.
    pub revision: u64,
}

/// A set that the other side may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// Its present version.
    pub version: Version,
    /// The pattern that made it, if one did.
    pub pattern: Option<SetName>,
    /// Room for a signature of the origin over (set, revision, digest), which other carriers will require.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::base::told::option")]
    pub signature: Option<String>,
    /// Whether it may be installed, or is to be kept for now.
    #[serde(default, skip_serializing_if = "Spread::is_default")]
    pub spread: Spread,
}

impl Offered {
    /// What is offered of a set.
    pub fn of(set: &SetName, offer: &Offer) -> Offered {
        let version = Version { set: set.clone(), digest: offer.digest, revision: offer.revision };
        Offered { version, pattern: offer.pattern.clone(), signature: None, spread: offer.spread }
    }
}

/// For what a peer waits that has signalled or brought something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waits {
    /// For this host.
    Own,
    /// For this host and all below it.
    Tree,
}

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHead {
    /// Its path in the set.
    pub path: RelPath,
    /// Its bytes, which follow in pieces.
    pub size: u64,
    /// SHA-256 of them.
    pub sha256: ContentHash,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What it is about.
    #[serde(deserialize_with = "crate::base::told::text")]
    pub subject: String,
    /// Why.
    #[serde(deserialize_with = "crate::base::told::text")]
    pub cause: String,
    /// The way out, where there is one to name.
    #[serde(default, deserialize_with = "crate::base::told::option")]
    pub hint: Option<String>,
    /// Hash of the spec of the side that refuses.
    pub spec: ContentHash,
}

impl Refusal {
    /// What the other side is told of an error.
    pub fn of(error: &Error, spec: ContentHash) -> Refusal {
        Refusal { subject: error.subject.clone(), cause: error.cause.clone(), hint: error.hint.clone(), spec }
    }

    /// As an error of this side, which has the spec `ours`: whatever stands in it came from the other one.
    pub fn error(&self, kind: ErrorKind, from: &ServerName, ours: ContentHash) -> Error {
        let cut = |text: &str| printable(text).chars().take(LONGEST_TEXT).collect::<String>();
        let mut cause = format!("{}: {}", cut(&self.subject), cut(&self.cause));
        if self.spec != ours {
            let short = |hash: &ContentHash| hash.to_string().chars().take(12).collect::<String>();
            cause = format!("{cause} (its spec is {}, ours {})", short(&self.spec), short(&ours));
        }
        let error = Error::new(kind, from.to_string(), cause);
        match &self.hint {
            Some(hint) => error.hint(cut(hint)),
            None => error,
        }
    }
}

/// As much of what a peer says is shown.
const LONGEST_TEXT: usize = 400;

/// Everything that is said after the hellos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The first message of both sides.
    Hello(Hello),
    /// May I have what is mine? `have` is the hash of the list of what I have.
    Fetch {
        /// See [`crate::fleet::due::hash_of`].
        have: ContentHash,
    },
    /// The answer: nothing where you have it all, or the whole list.
    Offer {
        /// Each set with its present version.
        sets: Option<Vec<Offered>>,
    },
    /// Send me these.
    Want {
        /// Versions that were offered.
        sets: Vec<Version>,
    },
    /// I bring these.
    Push {
        /// Each set with its present version.
        sets: Vec<Offered>,
    },
    /// The answer: send me these.
    Wanted {
        /// Versions that were offered.
        sets: Vec<Version>,
        /// Sets that are not for this host, and why.
        unwanted: Vec<(SetName, Refusal)>,
    },
    /// A set begins; the pieces of its files follow.
    Set {
        /// Which.
        version: Version,
        /// The pattern that made it, if one did.
        pattern: Option<SetName>,
        /// Its files, in the order in which they follow.
        files: Vec<FileHead>,
    },
    /// A set that was asked for does not come.
    Without {
        /// Which.
        version: Version,
        /// Why.
        why: Refusal,
    },
    /// No more sets.
    End,
    /// Who brought what follows, in a file of the inbox.
    Brought {
        /// Its name.
        peer: ServerName,
        /// Its key.
        #[serde(deserialize_with = "crate::base::told::text")]
        key: String,
        /// Of what follows that which is to be kept for now.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        staged: Vec<Version>,
        /// What was kept until now, and may be installed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        released: Vec<Version>,
    },
    /// Everything has come and is on disk.
    Received,
    /// Apply what I brought.
    Apply {
        /// For what the asking side waits.
        wait: Waits,
    },
    /// There is something new: fetch it.
    Trigger {
        /// For what the asking side waits; nothing: not at all.
        wait: Option<Waits>,
    },
    /// It will be done.
    Triggered,
    /// It will be done when the next run comes: nobody here may start one.
    Later,
    /// How the host and those below it stand.
    Report {
        /// The host first.
        servers: Vec<Standing>,
    },
    /// Some of the servers of a report that is too long for one message; the others follow, the last ones in a `Report`.
    ReportPart {
        /// Which part, from 0.
        number: u32,
        /// Those servers.
        servers: Vec<Standing>,
    },
    /// That was taken down.
    Noted,
    /// What would you do with these? They come as with a push, and are kept nowhere.
    Plan {
        /// Each set with the version that the server would get.
        sets: Vec<Offered>,
        /// Of the servers below it those that are to be asked as well.
        below: Vec<ServerName>,
    },
    /// The answer, as `certsync plan --format json` prints it, follows in pieces.
    Planned {
        /// Its bytes.
        size: u64,
    },
    /// That is not done.
    Refused(Refusal),
    /// That was all.
    Bye,
    /// What only a newer certsync says; this one never does.
    #[serde(skip)]
    Unknown(String),
}

impl Message {
    /// What it is, in a word.
    pub fn name(&self) -> &str {
        match self {
            Message::Hello(_) => "hello",
            Message::Fetch { .. } => "fetch",
            Message::Offer { .. } => "offer",
            Message::Want { .. } => "want",
            Message::Push { .. } => "push",
            Message::Wanted { .. } => "wanted",
            Message::Set { .. } => "set",
            Message::Without { .. } => "without",
            Message::End => "end",
            Message::Brought { .. } => "brought",
            Message::Received => "received",
            Message::Apply { .. } => "apply",
            Message::Trigger { .. } => "trigger",
            Message::Triggered => "triggered",
            Message::Later => "later",
            Message::Report { .. } => "report",
            Message::ReportPart { .. } => "report_part",
            Message::Noted => "noted",
            Message::Plan { .. } => "plan",
            Message::Planned { .. } => "planned",
            Message::Refused(_) => "refused",
            Message::Bye => "bye",
            Message::Unknown(name) => name,
        }
    }

    /// Reads one. A name that is not known is no error, whatever comes with it: it can be refused, and the conversation goes on.
    pub(super) fn parse(json: &[u8]) -> Option<Message> {
        serde_json::from_slice(json).ok().or_else(|| {
            let name = name_alone(json)?;
            let is_new = !NAMES.contains(&name.as_str());
            is_new.then(|| Message::Unknown(printable(&name).chars().take(LONGEST_NAME).collect()))
        })
    }
}

/// As much of an unknown name is repeated.
const LONGEST_NAME: usize = 40;

/// Every name that this version knows.
const NAMES: &[&str] = &[
    "hello",
    "fetch",
    "offer",
    "want",
    "push",
    "wanted",
    "set",
    "without",
    "end",
    "brought",
    "received",
    "apply",
    "trigger",
    "triggered",
    "later",
    "report",
    "report_part",
    "noted",
    "plan",
    "planned",
    "refused",
    "bye",
];

/// The name of a message of which nothing else need be understood.
fn name_alone(json: &[u8]) -> Option<String> {
    if let Ok(name) = serde_json::from_slice::<String>(json) {
        return Some(name);
    }
    let members: BTreeMap<String, IgnoredAny> = serde_json::from_slice(json).ok()?;
    let mut names = members.into_keys();
    names.next().filter(|_| names.next().is_none())
}

#[cfg(test)]
mod tests;
