//! What is known of every server below: `peers/<key>.json`, one for each, and `peers/index.json`, which alone is read where all are in step.

use super::{Level, Standing};
use crate::base::{AbsPath, ContentHash, Error, ErrorKind, Mode, Result, ServerName, SshKey, printable};
use crate::host::{Dir, Durability, write_atomic};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;

pub(super) const FOLDER: &str = "peers";
const INDEX: &str = "index.json";
/// A server with ten thousand sets stays below.
const LARGEST: u64 = 64 << 20;

/// What is known of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name in the spec.
    pub server: ServerName,
    /// How it stands, as it said last.
    pub standing: Option<Standing>,
    /// When it was last heard of, itself or through the host between, Unix seconds.
    pub contact: Option<i64>,
    /// What went wrong when it was last contacted.
    pub trouble: Option<Trouble>,
    /// What it was last signalled to fetch.
    #[serde(default)]
    pub signalled: Option<InStep>,
}

/// Why a server could not be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// What kind.
    pub kind: TroubleKind,
    /// The cause.
    pub cause: String,
    /// The way out, where there is one to name.
    pub hint: Option<String>,
    /// Since when, Unix seconds.
    pub since: i64,
    /// How many runs have met it.
    pub runs: u32,
}

/// What kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// It did not answer.
    Unreachable,
    /// It answered, and refused.
    Refused,
}

/// What a server in step has acknowledged, or what it was signalled to fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InStep {
    /// Hash of what it should have.
    pub wanted: ContentHash,
    /// When it said that it has it, or was told, Unix seconds.
    pub at: i64,
}

/// Every server in step, by name.
pub type Index = BTreeMap<ServerName, InStep>;

/// The records of one state directory.
pub struct Peers<'a> {
    state_dir: &'a Dir,
    at: &'a AbsPath,
}

/// The name of a server's file: of its first key, or, without one, of its own.
fn file_of(server: &ServerName, keys: &[SshKey]) -> String {
    match keys.first() {
        Some(key) => format!("{}.json", key.id().hex()),
        None => format!("name-{server}.json"),
    }
}

impl<'a> Peers<'a> {
    /// The records in the state directory `dir`, which is at `at`.
    pub fn new(state_dir: &'a Dir, at: &'a AbsPath) -> Self {
        Peers { state_dir, at }
    }

    fn failed(&self, name: &str, error: &io::Error) -> Error {
        Error::io(ErrorKind::State, format!("{}/{FOLDER}/{name}", self.at), error)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Option<T> {
        let folder = self.state_dir.find_dir(OsStr::new(FOLDER)).ok()??;
        let (bytes, _) = match folder.read_file(OsStr::new(name), LARGEST) {
            Ok(read) => read,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!("{}", self.failed(name, &error));
                }
                return None;
            }
        };
        let read = serde_json::from_slice(bytes.expose());
        if let Err(error) = &read {
            // It is what a peer said, and it says it again.
            tracing::warn!("{}/{FOLDER}/{name}: is damaged and not used: {}", self.at, printable(&error.to_string()));
        }
        read.ok()
    }

    fn write(&self, name: &str, what: &impl Serialize, durability: Durability) -> Result<()> {
        let write = || -> io::Result<()> {
            let folder = match self.state_dir.find_dir(OsStr::new(FOLDER))? {
                Some(folder) => folder,
                None => {
                    let owner = self.state_dir.stat()?;
                    self.state_dir.make_finished_dir(OsStr::new(FOLDER), (owner.uid, owner.gid), Mode::from_bits(0o700))?
                }
            };
            write_atomic(&folder, OsStr::new(name), &serde_json::to_vec(what)?, Mode::from_bits(0o600), durability)
        };
        write().map_err(|error| self.failed(name, &error))
    }

    /// What is known of a server; nothing where nothing is, or where it is damaged: then it is asked again.
    pub fn of(&self, server: &ServerName, keys: &[SshKey]) -> Option<Peer> {
        // During a rotation the record may still have the name of the other key.
        let names = keys.iter().map(|key| format!("{}.json", key.id().hex())).chain([file_of(server, &[])]);
        names.into_iter().find_map(|name| self.read(&name))
    }

    /// Writes down what is known of a server.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn keep(&self, keys: &[SshKey], peer: &Peer) -> Result<()> {
        self.write(&file_of(&peer.server, keys), peer, Durability::Eventually)
    }

    /// Every server in step; empty where that is not known: then each is asked.
    pub fn index(&self) -> Index {
        self.read(INDEX).unwrap_or_default()
    }

    /// Writes down who is in step.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn keep_index(&self, index: &Index) -> Result<()> {
        self.write(INDEX, index, Durability::OnDisk)
    }
}

impl Peer {
    /// A server of which nothing is known.
    pub fn unknown(server: ServerName) -> Peer {
        Peer { server, standing: None, contact: None, trouble: None, signalled: None }
    }

    /// Takes what the server, or a host between, says of it, unless something newer is known.
    pub fn hear(&mut self, standing: Standing, now: i64) {
        self.contact = Some(now);
        if self.standing.as_ref().is_none_or(|known| known.at <= standing.at || known.at > now) {
            let mut standing = standing;
            if let Some(known) = &self.standing {
                for (name, set) in &mut standing.sets {
                    let same = known
                        .sets
                        .get(name)
                        .filter(|known| known.digest == set.digest && known.revision == set.revision && known.level == set.level);
                    if let Some(known) = same {
                        set.since = known.since.min(set.since);
                    }
                }
            }
            self.standing = Some(standing);
        }
        self.trouble = None;
    }

    /// The level of exactly this version.
    pub fn level(&self, set: &crate::base::SetName, digest: &crate::base::Digest, revision: u64) -> Option<Level> {
        let known = self.standing.as_ref()?.sets.get(set)?;
        (known.digest == *digest && known.revision == revision || known.level == Level::Held).then_some(known.level)
    }

    /// Notes that it could not be served.
    pub fn fail(&mut self, kind: TroubleKind, error: &Error, now: i64) {
        let before = self.trouble.as_ref().filter(|trouble| trouble.kind == kind);
        self.trouble = Some(Trouble {
            kind,
            cause: error.cause.clone(),
            hint: error.hint.clone(),
            since: before.map_or(now, |trouble| trouble.since),
            runs: before.map_or(1, |trouble| trouble.runs.saturating_add(1)),
        });
    }
}
