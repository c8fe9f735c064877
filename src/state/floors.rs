//! Revisions that hosts below have seen and this origin does not know of: it was restored from a backup, or lost its state. The next apply
//! goes on above them (`revisions.json`).

use crate::base::{AbsPath, Digest, Error, ErrorKind, Mode, Result, ServerName, SetName};
use crate::host::{Dir, Durability, write_atomic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;

pub(super) const FILE: &str = "revisions.json";
/// Ten thousand sets stay below.
const LARGEST: u64 = 16 << 20;

/// What a host below has seen of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// Who has.
    pub server: ServerName,
    /// The revision.
    pub revision: u64,
    /// Which version that is there.
    pub digest: Digest,
    /// Start of its first leaf, Unix seconds.
    pub not_before: Option<i64>,
}

/// The highest that was seen of each set.
pub type Floors = BTreeMap<SetName, Floor>;

/// What is written down; nothing where that is damaged: it is told again.
pub fn floors(dir: &Dir) -> Floors {
    let read = dir.read_file(OsStr::new(FILE), LARGEST).ok();
    read.and_then(|(bytes, _)| serde_json::from_slice(bytes.expose()).ok()).unwrap_or_default()
}

/// Adds `floor`, unless a higher one is known. Whether it was.
pub fn raise(floors: &mut Floors, set: &SetName, floor: Floor) -> bool {
    if floors.get(set).is_some_and(|known| known.revision >= floor.revision) {
        return false;
    }
    floors.insert(set.clone(), floor);
    true
}

/// Takes out what this server has said before: it says something else now. Whether there was anything.
pub fn retract(floors: &mut Floors, server: &ServerName) -> bool {
    let before = floors.len();
    floors.retain(|_, floor| floor.server != *server);
    floors.len() != before
}

/// Writes them down; an empty list takes the file away.
///
/// # Errors
/// Kind `State`.
pub fn keep_floors(dir: &Dir, at: &AbsPath, floors: &Floors) -> Result<()> {
    let write = || -> io::Result<()> {
        if floors.is_empty() {
            return dir.unlink(OsStr::new(FILE));
        }
        write_atomic(dir, OsStr::new(FILE), &serde_json::to_vec(floors)?, Mode::from_bits(0o600), Durability::Eventually)
    };
    write().map_err(|error| Error::io(ErrorKind::State, format!("{at}/{FILE}"), &error))
}
