//! What this host may pass on: `store/offers.json`, read by the gate, which may read nothing else but the store and the spec.
//!
//! It says which version of each set is the present one. Who may have it is decided at each request, from the spec.

use super::{State, Store};
use crate::base::{AbsPath, Digest, Error, ErrorKind, KeyFingerprint, Mode, Result, SetName};
use crate::host::{Dir, Durability, Stat, write_atomic};
use crate::material::{Material, SetFacts};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

const FILE: &str = "offers.json";
/// Said to operators of other hosts too.
const ANEW: &str = "certsync apply on the host whose file it is makes it anew";
/// The version of this file's form that this build writes and the highest it reads.
const VERSION: u32 = 1;
/// A hundred thousand sets stay below.
const LARGEST: u64 = 64 << 20;

/// Everything in the store that is the present version of its set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    version: u32,
    pub(super) sets: BTreeMap<SetName, Offer>,
}

/// One set's present version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The version.
    pub digest: Digest,
    /// The origin's number for it.
    pub revision: u64,
    /// The pattern that made the set, if one did.
    pub pattern: Option<SetName>,
    /// Its private keys: a host whose spec revokes one of them does not pass the set on.
    pub keys: Vec<KeyFingerprint>,
    /// Unix seconds at which its first leaf begins.
    pub not_before: Option<i64>,
    /// Unix seconds at which its first leaf ends.
    pub not_after: Option<i64>,
    /// Whether it may be installed below.
    #[serde(default, skip_serializing_if = "Spread::is_default")]
    pub spread: Spread,
}

/// Whether a version may be installed by the hosts that get it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// It may.
    #[default]
    Released,
    /// It is to be kept until the origin gives its word (`rollout: { stage: all }`).
    Staged,
}

impl Spread {
    /// Whether it is what is meant where nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Spread::Released
    }
}

impl Offer {
    /// The offer of a version of which these are the facts.
    pub fn of((digest, revision): (Digest, u64), pattern: Option<SetName>, facts: &SetFacts, spread: Spread) -> Offer {
        let not_before = facts.leaves.first().map(|leaf| leaf.not_before);
        Offer { digest, revision, pattern, keys: facts.keys.clone(), not_before, not_after: facts.not_after(), spread }
    }

    /// The name below `certs:` that the set belongs to.
    pub fn entry<'a>(&'a self, set: &'a SetName) -> &'a SetName {
        self.pattern.as_ref().unwrap_or(set)
    }

    /// Whether one of its keys is known to others.
    pub fn is_revoked(&self, revoked: &BTreeSet<KeyFingerprint>) -> bool {
        self.keys.iter().any(|key| revoked.contains(key))
    }
}

impl Offers {
    /// What `state` and the store hold; of the sets in `asleep`, which `state` does not, what was offered before. Where a rollback holds a
    /// set, that version is the present one.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn of(state: &State, store: &Store<'_>, asleep: &BTreeSet<SetName>, dir: &Dir, at: &AbsPath) -> Result<Offers> {
        let mut sets = Offers::awake(state, Some(store), |name, digest| store.holds(name, digest));
        if !asleep.is_empty() {
            sets.extend(Offers::load(dir, at)?.sets.into_iter().filter(|(name, _)| asleep.contains(name)));
        }
        Ok(Offers { version: VERSION, sets })
    }

    /// The same for a run that writes nothing: what it would offer, `unstored` included; of the sets in `asleep`, what is in `before`.
    pub fn planned(
        state: &State,
        store: Option<&Store<'_>>,
        unstored: &BTreeMap<SetName, Arc<Material>>,
        (asleep, before): (&BTreeSet<SetName>, Offers),
    ) -> Offers {
        let mut sets = Offers::awake(state, store, |name, digest| {
            unstored.get(name).is_some_and(|material| material.digest() == *digest) || store.is_some_and(|store| store.holds(name, digest))
        });
        sets.extend(before.sets.into_iter().filter(|(name, _)| asleep.contains(name)));
        // It is asked how it would be in the end.
        sets.values_mut().for_each(|offer| offer.spread = Spread::Released);
        Offers { version: VERSION, sets }
    }

    fn awake(state: &State, store: Option<&Store<'_>>, holds: impl Fn(&SetName, &Digest) -> bool) -> BTreeMap<SetName, Offer> {
        let offer = |(name, known): (&SetName, &super::SetState)| {
            let installs = state.installs_of(name);
            let (digest, revision) = match &known.hold {
                Some(hold) => (hold.at, hold.revision.unwrap_or(known.revision)),
                None => (known.digest, known.revision),
            };
            let of_version = |facts: &SetFacts| Offer::of((digest, revision), known.pattern.clone(), facts, Spread::Released);
            if !holds(name, &digest) {
                return None;
            }
            if digest == known.digest {
                return Some((name.clone(), of_version(&known.facts)));
            }
            let mut generations = installs.iter().flat_map(|install| install.current.iter().chain(&install.former));
            let offer = match generations.find(|generation| generation.digest == Some(digest)) {
                Some(generation) => of_version(&generation.facts),
                // Where it only passes through, nothing but the store knows it.
                None => of_version(store?.load(name, &digest).ok()?.facts()),
            };
            Some((name.clone(), offer))
        };
        state.sets.iter().filter_map(offer).collect()
    }

    /// Reads what is offered; nothing where nothing was ever written.
    ///
    /// # Errors
    /// Kind `State`: not readable, damaged, or of a newer certsync.
    pub fn load(dir: &Dir, at: &AbsPath) -> Result<Offers> {
        let path = format!("{at}/store/{FILE}");
        let bytes = match read_shared(dir, FILE) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Offers::default()),
            // Before the first apply the state directory is closed to the gate's group.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let error = Error::io(ErrorKind::State, path, &error);
                return Err(error
                    .hint("run certsync apply once on the host whose file it is: it lets in the group that the spec's gate_group names"));
            }
            Err(error) => return Err(Error::io(ErrorKind::State, path, &error).hint(ANEW)),
        };
        let damaged = |cause: &str| Error::new(ErrorKind::State, &path, cause).hint(ANEW);
        let mut offers: Offers = serde_json::from_slice(&bytes).map_err(|_| damaged("is damaged"))?;
        if offers.version > VERSION {
            return Err(damaged("was written by a newer certsync"));
        }
        if offers.sets.values().any(|offer| offer.spread == Spread::Staged) {
            let released = super::released(dir);
            for (set, offer) in &mut offers.sets {
                if released.get(set).is_some_and(|highest| *highest >= offer.revision) {
                    offer.spread = Spread::Released;
                }
            }
        }
        Ok(offers)
    }

    /// Metadata of the file, where there is one.
    pub fn stat(dir: &Dir) -> Option<Stat> {
        dir.find_dir(OsStr::new("store")).ok()??.stat_at(OsStr::new(FILE)).ok()?
    }

    /// Metadata of all that an answer of [`Offers::load`] depends on.
    pub fn stamp(dir: &Dir) -> [Option<Stat>; 2] {
        [Offers::stat(dir), super::staged::released_stat(dir)]
    }

    /// Has those of which `waits` says so wait for the origin's word.
    #[must_use]
    pub fn held_back(mut self, waits: impl Fn(&SetName, &Offer) -> bool) -> Offers {
        for (set, offer) in &mut self.sets {
            if waits(set, offer) {
                offer.spread = Spread::Staged;
            }
        }
        self
    }

    /// Writes it durably, where it is not there already as it is.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn save(&self, dir: &Dir, at: &AbsPath) -> Result<()> {
        let write = || write_shared(dir, FILE, &serde_json::to_vec(self)?);
        write().map_err(|error| Error::io(ErrorKind::State, format!("{at}/store/{FILE}"), &error))
    }

    /// Every set with its present version.
    pub fn iter(&self) -> impl Iterator<Item = (&SetName, &Offer)> {
        self.sets.iter()
    }

    /// The present version of this set.
    pub fn of_set(&self, set: &SetName) -> Option<&Offer> {
        self.sets.get(set)
    }
}

/// A file of the store that the gate reads, where there is one.
pub(super) fn read_shared(dir: &Dir, name: &str) -> io::Result<Option<Vec<u8>>> {
    let read = match dir.find_dir(OsStr::new("store"))? {
        Some(store) => store.read_file(OsStr::new(name), LARGEST),
        None => return Ok(None),
    };
    match read {
        Ok((bytes, _)) => Ok(Some(bytes.into_public())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes such a file durably, where it is not there already as it is.
pub(super) fn write_shared(dir: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let store = Store::root(dir)?;
    let there = store.read_file(OsStr::new(name), LARGEST);
    let mode = super::share::file_mode(dir)?;
    if there.is_ok_and(|(there, stat)| there.expose() == bytes && stat.mode == mode) {
        return Ok(());
    }
    write_atomic(&store, OsStr::new(name), bytes, Mode::from_bits(0o600), Durability::OnDisk)?;
    let held = dir.stat()?;
    store.adjust_file(OsStr::new(name), (held.uid, held.gid), mode)
}
