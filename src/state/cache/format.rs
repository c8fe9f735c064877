//! The file of the cache, all numbers little-endian: a tag, the boot id, what the whole depends on, the trails, one slot a set, the SHA-256 of
//! all that; then the contents of each set, each with a sum in its slot.

use super::super::contents::Stamp;
use super::super::trail::{Step, Trail, WHATS};
use super::{Blob, Cache, Common, Quiet, Slot};
use crate::base::{ContentHash, Digest};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const TAG: &[u8] = b"certsync cache 3\n";
const SUM: usize = 32;

/// The file's content for this boot.
pub(super) fn write(cache: &Cache, boot: &str, common: Option<&Common>) -> Vec<u8> {
    let trails = Trails::of(cache.sets.values().filter_map(|slot| slot.quiet.as_ref()));
    let mut out = Out(Vec::with_capacity(TAG.len() + 256 + cache.file.len() + cache.sets.len() * 1024));
    out.0.extend_from_slice(TAG);
    out.0.extend_from_slice(boot.as_bytes());
    out.0.push(b'\n');
    out.common(common);
    out.number(trails.different.len() as u64);
    trails.different.iter().for_each(|trail| out.trail(trail));
    out.number(cache.sets.len() as u64);
    let mut blobs = Vec::with_capacity(cache.sets.len());
    let mut start = 0;
    for (name, slot) in &cache.sets {
        // As it was read: a damaged one is found when it is asked for.
        let blob = match &slot.blob {
            Blob::Packed(bytes) => bytes.as_slice(),
            Blob::Unread(range, _) => cache.file.get(range.clone()).unwrap_or_default(),
        };
        out.text(name);
        out.quiet(slot.quiet.as_ref(), &trails);
        out.number(start);
        out.number(blob.len() as u64);
        match &slot.blob {
            Blob::Unread(_, sum) => out.0.extend_from_slice(sum),
            Blob::Packed(_) => out.0.extend_from_slice(&sum_of(blob)),
        }
        start += blob.len() as u64;
        blobs.push(blob);
    }
    let sum = Sha256::digest(&out.0);
    out.0.extend_from_slice(&sum);
    blobs.into_iter().for_each(|blob| out.0.extend_from_slice(blob));
    out.0
}

/// A sum over the contents of a set.
pub(super) fn sum_of(bytes: &[u8]) -> [u8; 8] {
    let sum: [u8; SUM] = Sha256::digest(bytes).into();
    let mut out = [0; 8];
    out.copy_from_slice(&sum[..8]);
    out
}

/// The different trails of a cache, each with its number. Those that were read together are one in memory: it is rare that two must be compared.
struct Trails<'a> {
    different: Vec<&'a Trail>,
    /// By where it is in memory.
    numbers: HashMap<*const Trail, usize>,
}

impl<'a> Trails<'a> {
    fn of(quiet: impl Iterator<Item = &'a Quiet>) -> Trails<'a> {
        let (mut known, mut trails) = (BTreeMap::new(), Trails { different: Vec::new(), numbers: HashMap::new() });
        for trail in quiet.map(|quiet| &quiet.trail) {
            trails.numbers.entry(Arc::as_ptr(trail)).or_insert_with(|| {
                *known.entry(&**trail).or_insert_with(|| {
                    trails.different.push(trail);
                    trails.different.len() - 1
                })
            });
        }
        trails
    }

    fn number(&self, trail: &Arc<Trail>) -> u64 {
        self.numbers.get(&Arc::as_ptr(trail)).map_or(0, |number| *number as u64)
    }
}

struct Out(Vec<u8>);

impl Out {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn common(&mut self, common: Option<&Common>) {
        self.0.push(u8::from(common.is_some()));
        if let Some(common) = common {
            let (dev, ino, stamp) = common.state;
            self.0.extend_from_slice(common.identity.as_bytes());
            for number in [dev, ino, stamp.size, stamp.mtime.cast_unsigned(), stamp.ctime.cast_unsigned(), common.recorded] {
                self.number(number);
            }
        }
    }

    fn trail(&mut self, trail: &Trail) {
        self.number(trail.len() as u64);
        for step in trail {
            let what = WHATS.iter().position(|what| *what == step.what).unwrap_or(0);
            self.0.extend_from_slice(&[step.place, what as u8]);
            self.text(&step.path);
        }
    }

    fn quiet(&mut self, quiet: Option<&Quiet>, trails: &Trails<'_>) {
        self.0.push(u8::from(quiet.is_some()));
        let Some(quiet) = quiet else { return };
        self.0.extend_from_slice(quiet.config.as_bytes());
        self.0.extend_from_slice(&quiet.print);
        self.0.extend_from_slice(quiet.digest.as_bytes());
        self.number(quiet.until.cast_unsigned());
        self.number(trails.number(&quiet.trail));
        self.number(quiet.generations.len() as u64);
        quiet.generations.iter().for_each(|name| self.text(name));
    }
}

/// What is left to read.
struct In<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> In<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn count(&mut self) -> Option<usize> {
        // Nothing counted here takes less than a byte.
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.bytes.len())
    }

    fn hash(&mut self) -> Option<[u8; 32]> {
        self.take(32)?.try_into().ok()
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn common(&mut self) -> Option<Option<Common>> {
        if self.byte()? == 0 {
            return Some(None);
        }
        let identity = ContentHash::from_bytes(self.hash()?);
        let (dev, ino, size) = (self.number()?, self.number()?, self.number()?);
        let stamp = Stamp { size, mtime: self.number()?.cast_signed(), ctime: self.number()?.cast_signed() };
        Some(Some(Common { identity, state: (dev, ino, stamp), recorded: self.number()? }))
    }

    fn trail(&mut self) -> Option<Trail> {
        let count = self.count()?;
        let step = |from: &mut Self| {
            let (place, what) = (from.byte()?, from.byte()?);
            Some(Step { place, what: *WHATS.get(usize::from(what))?, path: from.text()?.to_owned() })
        };
        (0..count).map(|_| step(self)).collect()
    }

    fn quiet(&mut self, trails: &[Arc<Trail>]) -> Option<Option<Quiet>> {
        if self.byte()? == 0 {
            return Some(None);
        }
        let config = ContentHash::from_bytes(self.hash()?);
        let (print, digest) = (self.hash()?, Digest::from_bytes(self.hash()?));
        let until = self.number()?.cast_signed();
        let trail = Arc::clone(trails.get(self.count()?)?);
        let count = self.count()?;
        let generations = (0..count).map(|_| self.text().map(str::to_owned)).collect::<Option<_>>()?;
        Some(Some(Quiet { config, print, digest, until, trail, generations }))
    }
}

/// What a file holds.
pub(super) type Parsed = (Option<Common>, BTreeMap<String, Slot>);

/// What [`write`] wrote for this boot.
pub(super) fn parse(bytes: &[u8], boot: &str) -> Option<Parsed> {
    let head = [TAG, boot.as_bytes(), b"\n"].concat();
    bytes.starts_with(&head).then_some(())?;
    let mut from = In { bytes, at: head.len() };
    let common = from.common()?;
    let count = from.count()?;
    let trails: Vec<Arc<Trail>> = (0..count).map(|_| from.trail().map(Arc::new)).collect::<Option<_>>()?;
    let count = from.count()?;
    let mut slots = Vec::with_capacity(count.min(1 << 20));
    for _ in 0..count {
        let name = from.text()?.to_owned();
        let quiet = from.quiet(&trails)?;
        let (start, length) = (from.count()?, from.count()?);
        slots.push((name, quiet, start, length, from.take(8)?));
    }
    let end = from.at;
    if Sha256::digest(&bytes[..end]).as_slice() != from.take(SUM)? {
        return None;
    }
    let blobs = end + SUM;
    let slot = |(name, quiet, start, length, sum): (String, Option<Quiet>, usize, usize, &[u8])| {
        let range = blobs + start..blobs + start + length;
        Some((name, Slot { quiet, blob: Blob::Unread(range, sum.try_into().ok()?) }))
    };
    Some((common, slots.into_iter().map(slot).collect::<Option<_>>()?))
}
