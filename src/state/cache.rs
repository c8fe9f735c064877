//! The cache: what files hold while their metadata looks like this, and what the last look at a set depended on.
//!
//! Disposable, and believed only within one boot. An entry is sound only if its ctime is older than the coarse
//! clock read before the stat that preceded the read: then any later write moves the ctime. A ctime of whole seconds is never
//! believed: ext2, ext3 and ext4 with inodes of 128 bytes count in seconds, and their magic number does not tell. A write through
//! `mmap` may not move it; `--verify-content` reads everything.

mod format;

use super::contents::{Belief, Contents, Looked, Stamp, pack, unpack};
use super::trail::Trail;
use crate::base::{ContentHash, Digest, SetName};
use crate::host::Stat;
use format::{parse, sum_of, write};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// A set that had nothing to do, and what must be the same for that to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quiet {
    /// Hash of what the spec says of it.
    pub config: ContentHash,
    /// SHA-256 over the metadata of every step of the trail.
    pub print: [u8; 32],
    /// Its version.
    pub digest: Digest,
    /// Until when, Unix seconds: a certificate of it runs out then.
    pub until: i64,
    /// What the look depended on.
    pub trail: Arc<Trail>,
    /// The generation in place at each install.
    pub generations: Vec<String>,
}

/// What all quiet sets depend on beside their own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// Hash of the host's name, the spec's place, its hooks and the like.
    pub identity: ContentHash,
    /// `state.json` as it was when the cache was written.
    state: (u64, u64, Stamp),
    /// How many sets it had.
    pub recorded: u64,
}

impl Common {
    /// `state` is the metadata of `state.json`.
    pub fn new(identity: ContentHash, state: &Stat, recorded: usize) -> Option<Common> {
        Some(Common { identity, state: (state.dev, state.ino, Stamp::of(state)?), recorded: recorded as u64 })
    }

    /// Whether the quiet sets were quiet for this identity and this `state.json`.
    pub fn holds(&self, identity: &ContentHash, state: &Stat) -> bool {
        self.identity == *identity && Stamp::of(state).is_some_and(|stamp| self.state == (state.dev, state.ino, stamp))
    }
}

#[derive(Debug, Clone)]
enum Blob {
    /// Where it is in the file, and its sum.
    Unread(Range<usize>, [u8; 8]),
    Packed(Vec<u8>),
}

#[derive(Debug, Clone)]
struct Slot {
    quiet: Option<Quiet>,
    blob: Blob,
}

/// The cache in memory.
pub struct Cache {
    file: Vec<u8>,
    common: Option<Common>,
    sets: BTreeMap<String, Slot>,
    belief: Belief,
    is_changed: bool,
}

impl Cache {
    /// Reads what [`Cache::bytes`] wrote; anything else, or of another boot, is an empty cache.
    pub fn read(bytes: Vec<u8>, boot: &str, belief: Belief) -> Cache {
        match parse(&bytes, boot) {
            Some((common, sets)) => Cache { file: bytes, common, sets, belief, is_changed: false },
            None => Cache { file: Vec::new(), common: None, sets: BTreeMap::new(), belief, is_changed: false },
        }
    }

    /// What the quiet sets have in common.
    pub fn common(&self) -> Option<&Common> {
        self.common.as_ref().filter(|_| self.belief == Belief::Metadata)
    }

    /// What is remembered of the last look at the set, where it had nothing to do.
    pub fn quiet(&self, set: &SetName) -> Option<&Quiet> {
        self.sets.get(set.as_str())?.quiet.as_ref()
    }

    /// What is known of the set's files.
    pub fn contents(&self, set: &SetName) -> Contents {
        let known = self.sets.get(set.as_str()).and_then(|slot| unpack(self.blob(&slot.blob)?));
        Contents::new(known.unwrap_or_default(), self.belief)
    }

    fn blob<'a>(&'a self, blob: &'a Blob) -> Option<&'a [u8]> {
        match blob {
            Blob::Packed(bytes) => Some(bytes),
            Blob::Unread(range, sum) => self.file.get(range.clone()).filter(|bytes| sum_of(bytes) == *sum),
        }
    }

    /// Remembers what a look at the set has learned of its files.
    pub fn keep(&mut self, set: &SetName, contents: Contents, looked: Looked) {
        let packed = pack(&contents.remembered(looked));
        match self.sets.get_mut(set.as_str()) {
            Some(slot) => {
                let same = match &slot.blob {
                    Blob::Packed(before) => *before == packed,
                    Blob::Unread(range, _) => self.file.get(range.clone()) == Some(&packed),
                };
                if !same {
                    slot.blob = Blob::Packed(packed);
                    self.is_changed = true;
                }
            }
            None => {
                self.sets.insert(set.to_string(), Slot { quiet: None, blob: Blob::Packed(packed) });
                self.is_changed = true;
            }
        }
    }

    /// Remembers that the set has nothing to do, or no longer.
    pub fn set_quiet(&mut self, set: &SetName, quiet: Option<Quiet>) {
        if let Some(slot) = self.sets.get_mut(set.as_str())
            && slot.quiet != quiet
        {
            slot.quiet = quiet;
            self.is_changed = true;
        }
    }

    /// Forgets which sets had nothing to do: what they depended on has changed.
    pub fn wake_all(&mut self) {
        for slot in self.sets.values_mut().filter(|slot| slot.quiet.is_some()) {
            slot.quiet = None;
            self.is_changed = true;
        }
    }

    /// Forgets every set but these.
    pub fn retain(&mut self, sets: &HashSet<&str>) {
        let before = self.sets.len();
        self.sets.retain(|name, _| sets.contains(name.as_str()));
        self.is_changed |= self.sets.len() != before;
    }

    /// Whether it differs from what was read, so that it is worth writing.
    pub fn is_changed(&self, common: Option<&Common>) -> bool {
        self.is_changed || (common != self.common.as_ref() && self.sets.values().any(|slot| slot.quiet.is_some()))
    }

    /// The file's content for this boot.
    pub fn bytes(&self, boot: &str, common: Option<&Common>) -> Vec<u8> {
        write(self, boot, common)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, Common, Quiet};
    use crate::base::{ContentHash, Digest, Mode, SetName};
    use crate::host::{Kind, Stat};
    use crate::material::FileKind;
    use crate::state::contents::{Acl, Belief, Known, Looked};
    use crate::state::trail::{Step, What};
    use std::sync::Arc;

    fn stat(ino: u64, ctime: i128) -> Stat {
        Stat { dev: 1, ino, kind: Kind::File, uid: 0, gid: 0, mode: Mode::from_bits(0o600), size: 5, nlink: 1, mtime: 7, ctime }
    }

    fn known() -> Known {
        Known { sha256: ContentHash::of(b"x"), kind: FileKind::PrivateKey, acl: Acl::Wider }
    }

    fn set() -> SetName {
        "a.test".parse().unwrap_or_else(|_| unreachable!())
    }

    fn common() -> Option<Common> {
        Common::new(ContentHash::of(b"identity"), &stat(9, 9), 1)
    }

    fn written() -> Vec<u8> {
        let mut cache = Cache::read(Vec::new(), "boot", Belief::Metadata);
        let mut contents = cache.contents(&set());
        contents.record(&stat(2, 10), known(), 11);
        cache.keep(&set(), contents, Looked::Everywhere);
        cache.set_quiet(&set(), Some(quiet()));
        cache.bytes("boot", common().as_ref())
    }

    fn quiet() -> Quiet {
        Quiet {
            config: ContentHash::of(b"config"),
            print: [3; 32],
            digest: Digest::from_bytes([4; 32]),
            until: -5,
            trail: Arc::new(vec![Step { place: 1, what: What::Generation, path: "cert.pem".into() }]),
            generations: vec!["1-abc".into(), "7-def".into()],
        }
    }

    fn found(bytes: &[u8], boot: &str, belief: Belief, ctime: i128) -> Option<Known> {
        Cache::read(bytes.to_vec(), boot, belief).contents(&set()).find(&stat(2, ctime))
    }

    #[test]
    fn what_was_written_is_read_again_in_the_same_boot_only() {
        let bytes = written();
        assert_eq!(found(&bytes, "boot", Belief::Metadata, 10), Some(known()));
        assert_eq!(found(&bytes, "other", Belief::Metadata, 10), None);
        assert_eq!(found(&bytes, "boot", Belief::Nothing, 10), None);
        assert_eq!(found(&bytes, "boot", Belief::Metadata, 9), None);
        let cache = Cache::read(bytes.clone(), "boot", Belief::Metadata);
        assert_eq!((cache.quiet(&set()), cache.common()), (Some(&quiet()), common().as_ref()));
        assert!(!cache.is_changed(common().as_ref()) && cache.is_changed(None));
        assert_eq!(cache.bytes("boot", common().as_ref()), bytes);
        assert!(Cache::read(bytes, "boot", Belief::Nothing).common().is_none());
    }

    #[test]
    fn what_a_look_at_a_part_did_not_meet_is_kept() {
        let mut cache = Cache::read(written(), "boot", Belief::Metadata);
        cache.keep(&set(), cache.contents(&set()), Looked::Somewhere);
        assert!(cache.contents(&set()).find(&stat(2, 10)).is_some());
        cache.keep(&set(), cache.contents(&set()), Looked::Everywhere);
        assert!(cache.contents(&set()).find(&stat(2, 10)).is_none());
    }

    #[test]
    fn a_content_read_within_the_clock_tick_of_its_change_is_not_believed() {
        let mut contents = Cache::read(Vec::new(), "boot", Belief::Metadata).contents(&set());
        contents.record(&stat(2, 10), known(), 10);
        assert_eq!(contents.find(&stat(2, 10)), None);
    }

    #[test]
    fn a_content_on_a_file_system_that_counts_in_seconds_is_not_believed() {
        let mut contents = Cache::read(Vec::new(), "boot", Belief::Metadata).contents(&set());
        contents.record(&stat(2, 7_000_000_000), known(), 9_500_000_000);
        assert_eq!(contents.find(&stat(2, 7_000_000_000)), None);
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one() {
        let mut bytes = written();
        for i in 0..bytes.len() {
            bytes[i] ^= 1;
            assert_eq!(found(&bytes, "boot", Belief::Metadata, 10), None);
            bytes[i] ^= 1;
        }
        for end in 0..bytes.len() {
            assert_eq!(found(&bytes[..end], "boot", Belief::Metadata, 10), None);
        }
    }
}
