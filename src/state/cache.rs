//! The cache: what a file's content hashed to when its metadata looked like this.
//!
//! Disposable, and believed only within one boot. An entry is sound only if its ctime is older than the coarse
//! clock read before the stat that preceded the read: then any later write moves the ctime. A ctime of whole seconds is never
//! believed: ext2, ext3 and ext4 with inodes of 128 bytes count in seconds, and their magic number does not tell. A write through
//! `mmap` may not move it; `--verify-content` reads everything.
//!
//! Format: a tag, the boot id, then 73 bytes an entry: device, inode, size (u64), mtime, ctime (i64 nanoseconds), all
//! little-endian, SHA-256, kind and ACL; at the end the SHA-256 of all that.

use crate::base::ContentHash;
use crate::host::Stat;
use crate::material::FileKind;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

const TAG: &[u8] = b"certsync cache 2\n";
const SECOND: i128 = 1_000_000_000;
const ENTRY: usize = 8 * 5 + 32 + 1;

/// What is known of one content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// SHA-256 of the content.
    pub sha256: ContentHash,
    /// What it was recognised as.
    pub kind: FileKind,
    /// Whether an ACL widens access; like a change of content, a change of it moves the ctime.
    pub acl: Acl,
}

/// What is known of a file's ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acl {
    /// It was not looked at.
    Unknown,
    /// There is none that grants more than the mode shows.
    Plain,
    /// There is.
    Wider,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    mtime: i64,
    ctime: i64,
}

/// Whether known contents may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// As long as the metadata is unchanged.
    Metadata,
    /// Not at all: read everything (`--verify-content`).
    Nothing,
}

/// The cache in memory.
pub struct Cache {
    known: HashMap<(u64, u64), (Stamp, Known)>,
    used: HashMap<(u64, u64), (Stamp, Known)>,
    belief: Belief,
}

impl Cache {
    /// Reads what [`Cache::bytes`] wrote; anything else, or of another boot, is an empty cache.
    pub fn read(bytes: &[u8], boot: &str, belief: Belief) -> Cache {
        Cache { known: parse(bytes, boot).unwrap_or_default(), used: HashMap::new(), belief }
    }

    /// What the file with this metadata holds, if that is known.
    pub fn find(&mut self, stat: &Stat) -> Option<Known> {
        let key = (stat.dev, stat.ino);
        if let Some((stamp, known)) = self.used.get(&key) {
            return (*stamp == stamp_of(stat)?).then_some(*known);
        }
        if self.belief == Belief::Nothing {
            return None;
        }
        let (stamp, known) = *self.known.get(&key)?;
        if stamp != stamp_of(stat)? {
            return None;
        }
        self.used.insert(key, (stamp, known));
        Some(known)
    }

    /// Records what a file held: `stat` from its descriptor, taken before the read; `clock` is the coarse clock, read before that.
    pub fn record(&mut self, stat: &Stat, known: Known, clock: i128) {
        if stat.ctime < clock
            && stat.ctime % SECOND != 0
            && let Some(stamp) = stamp_of(stat)
        {
            self.used.insert((stat.dev, stat.ino), (stamp, known));
        }
    }

    /// Whether what was used differs from what was read, so that it is worth writing.
    pub fn is_changed(&self) -> bool {
        self.known != self.used
    }

    /// Keeps what was not looked at as well: after a run that looked at a part only.
    pub fn keep_unused(&mut self) {
        for (key, value) in &self.known {
            self.used.entry(*key).or_insert(*value);
        }
    }

    /// The file's content for this boot.
    pub fn bytes(&self, boot: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(TAG.len() + 64 + self.used.len() * ENTRY + 32);
        out.extend_from_slice(TAG);
        out.extend_from_slice(boot.as_bytes());
        out.push(b'\n');
        let mut sorted: Vec<_> = self.used.iter().collect();
        sorted.sort_by_key(|(key, _)| **key);
        for ((dev, ino), (stamp, known)) in sorted {
            out.extend_from_slice(&dev.to_le_bytes());
            out.extend_from_slice(&ino.to_le_bytes());
            out.extend_from_slice(&stamp.size.to_le_bytes());
            out.extend_from_slice(&stamp.mtime.to_le_bytes());
            out.extend_from_slice(&stamp.ctime.to_le_bytes());
            out.extend_from_slice(known.sha256.as_bytes());
            let kind = KINDS.iter().position(|kind| *kind == known.kind).unwrap_or(KINDS.len() - 1);
            let acl = ACLS.iter().position(|acl| *acl == known.acl).unwrap_or(0);
            out.push((acl * KINDS.len() + kind) as u8);
        }
        let sum = Sha256::digest(&out);
        out.extend_from_slice(&sum);
        out
    }
}

const KINDS: [FileKind; 7] = [
    FileKind::Certificates,
    FileKind::Crl,
    FileKind::Csr,
    FileKind::DhParameters,
    FileKind::PublicKey,
    FileKind::PrivateKey,
    FileKind::Unrecognised,
];

const ACLS: [Acl; 3] = [Acl::Unknown, Acl::Plain, Acl::Wider];

fn stamp_of(stat: &Stat) -> Option<Stamp> {
    Some(Stamp { size: stat.size, mtime: i64::try_from(stat.mtime).ok()?, ctime: i64::try_from(stat.ctime).ok()? })
}

fn parse(bytes: &[u8], boot: &str) -> Option<HashMap<(u64, u64), (Stamp, Known)>> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Sha256::digest(body).as_slice() != sum {
        return None;
    }
    let rest = body.strip_prefix(TAG)?.strip_prefix(boot.as_bytes())?.strip_prefix(b"\n")?;
    if rest.len() % ENTRY != 0 {
        return None;
    }
    let mut known = HashMap::with_capacity(rest.len() / ENTRY);
    for entry in rest.chunks_exact(ENTRY) {
        let number = |at: usize| entry.get(at * 8..at * 8 + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        let stamp = Stamp { size: number(2)?, mtime: number(3)?.cast_signed(), ctime: number(4)?.cast_signed() };
        let sha256 = ContentHash::from_bytes(entry.get(40..72)?.try_into().ok()?);
        let last = usize::from(*entry.get(72)?);
        let (kind, acl) = (*KINDS.get(last % KINDS.len())?, *ACLS.get(last / KINDS.len())?);
        known.insert((number(0)?, number(1)?), (stamp, Known { sha256, kind, acl }));
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::{Acl, Belief, Cache, Known};
    use crate::base::{ContentHash, Mode};
    use crate::host::{Kind, Stat};
    use crate::material::FileKind;

    fn stat(ino: u64, ctime: i128) -> Stat {
        Stat { dev: 1, ino, kind: Kind::File, uid: 0, gid: 0, mode: Mode::from_bits(0o600), size: 5, nlink: 1, mtime: 7, ctime }
    }

    fn known() -> Known {
        Known { sha256: ContentHash::of(b"x"), kind: FileKind::PrivateKey, acl: Acl::Wider }
    }

    #[test]
    fn what_was_written_is_read_again_in_the_same_boot_only() {
        let mut cache = Cache::read(b"", "boot", Belief::Metadata);
        cache.record(&stat(2, 10), known(), 11);
        let bytes = cache.bytes("boot");
        assert_eq!(Cache::read(&bytes, "boot", Belief::Metadata).find(&stat(2, 10)), Some(known()));
        assert_eq!(Cache::read(&bytes, "other", Belief::Metadata).find(&stat(2, 10)), None);
        assert_eq!(Cache::read(&bytes, "boot", Belief::Nothing).find(&stat(2, 10)), None);
        assert_eq!(Cache::read(&bytes, "boot", Belief::Metadata).find(&stat(2, 9)), None);
    }

    #[test]
    fn a_content_read_within_the_clock_tick_of_its_change_is_not_believed() {
        let mut cache = Cache::read(b"", "boot", Belief::Metadata);
        cache.record(&stat(2, 10), known(), 10);
        assert_eq!(cache.find(&stat(2, 10)), None);
    }

    #[test]
    fn a_content_on_a_file_system_that_counts_in_seconds_is_not_believed() {
        let mut cache = Cache::read(b"", "boot", Belief::Metadata);
        cache.record(&stat(2, 7_000_000_000), known(), 9_500_000_000);
        assert_eq!(cache.find(&stat(2, 7_000_000_000)), None);
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one() {
        let mut cache = Cache::read(b"", "boot", Belief::Metadata);
        cache.record(&stat(2, 10), known(), 11);
        let mut bytes = cache.bytes("boot");
        for i in 0..bytes.len() {
            bytes[i] ^= 1;
            assert_eq!(Cache::read(&bytes, "boot", Belief::Metadata).find(&stat(2, 10)), None);
            bytes[i] ^= 1;
        }
    }
}
