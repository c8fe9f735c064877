//! Versions that are in the store and wait for the origin's word before they are installed: `staged.json` on the hosts that have them, and at
//! the origin `store/released.json`, which says what it has given its word for. The gate reads the latter.

use super::offers::{read_shared, write_shared};
use super::{Offer, Offers, State, Store};
use crate::base::{AbsPath, Error, ErrorKind, Mode, Result, SetName};
use crate::host::{Dir, Durability, Stat, write_atomic};
use std::collections::BTreeMap;
use std::ffi::OsStr;

pub(super) const STAGED: &str = "staged.json";
const RELEASED: &str = "released.json";
/// A hundred thousand sets stay below.
const LARGEST: u64 = 64 << 20;

/// What waits in the store, one version of each set.
pub type Staged = BTreeMap<SetName, Offer>;

/// The highest revision of each set that may be installed below.
pub type Released = BTreeMap<SetName, u64>;

/// What waits here; nothing where that is damaged: it is brought again.
pub fn staged(dir: &Dir) -> Staged {
    let read = dir.read_file(OsStr::new(STAGED), LARGEST).ok();
    read.and_then(|(bytes, _)| serde_json::from_slice(bytes.expose()).ok()).unwrap_or_default()
}

/// Writes it down durably; nothing takes the file away.
///
/// # Errors
/// Kind `State`.
pub fn keep_staged(dir: &Dir, at: &AbsPath, staged: &Staged) -> Result<()> {
    let write = || {
        if staged.is_empty() {
            return dir.unlink(OsStr::new(STAGED));
        }
        write_atomic(dir, OsStr::new(STAGED), &serde_json::to_vec(staged)?, Mode::from_bits(0o600), Durability::OnDisk)
    };
    write().map_err(|error| Error::io(ErrorKind::State, format!("{at}/{STAGED}"), &error))
}

/// Forgets what is not newer than what `state` has accepted.
pub fn forget_past(staged: &mut Staged, state: &State) {
    staged.retain(|set, waiting| state.sets.get(set).is_none_or(|known| known.revision < waiting.revision));
}

/// What this origin has given its word for; nothing where that is damaged: then everything waits until it gives it again.
pub fn released(dir: &Dir) -> Released {
    let read = read_shared(dir, RELEASED).ok().flatten();
    read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Metadata of the file that says so, where there is one.
pub(super) fn released_stat(dir: &Dir) -> Option<Stat> {
    dir.find_dir(OsStr::new("store")).ok()??.stat_at(OsStr::new(RELEASED)).ok()?
}

/// Writes it down durably, for the gate as well.
///
/// # Errors
/// Kind `State`.
pub fn keep_released(dir: &Dir, at: &AbsPath, released: &Released) -> Result<()> {
    let write = || write_shared(dir, RELEASED, &serde_json::to_vec(released)?);
    write().map_err(|error| Error::io(ErrorKind::State, format!("{at}/store/{RELEASED}"), &error))
}

impl Offers {
    /// What waits here is passed on as what waits, in the place of what is installed.
    #[must_use]
    pub fn with_staged(mut self, staged: &Staged, store: &Store<'_>) -> Offers {
        let kept = staged.iter().filter(|(set, waiting)| store.holds(set, &waiting.digest));
        self.sets.extend(kept.map(|(set, waiting)| (set.clone(), waiting.clone())));
        self
    }
}
