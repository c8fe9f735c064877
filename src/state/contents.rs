//! What is known of the contents of one set's files, at its source and where it is installed.

use super::trail::Trace;
use crate::base::ContentHash;
use crate::host::Stat;
use crate::material::FileKind;
use std::collections::HashMap;

/// Bytes of one entry: device, inode, size, mtime, ctime, SHA-256, kind and ACL.
pub(super) const ENTRY: usize = 8 * 5 + 32 + 1;

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

/// What a file's metadata must still be for its content to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) ctime: i64,
}

impl Stamp {
    /// `None` for times that no file system of this age has.
    pub(super) fn of(stat: &Stat) -> Option<Stamp> {
        Some(Stamp { size: stat.size, mtime: i64::try_from(stat.mtime).ok()?, ctime: i64::try_from(stat.ctime).ok()? })
    }
}

pub(super) type Entries = HashMap<(u64, u64), (Stamp, Known)>;

const SECOND: i128 = 1_000_000_000;

/// Whether any later change gives the file another ctime; `clock` is the coarse clock, read before `stat`.
pub(super) fn is_settled(stat: &Stat, clock: i128) -> bool {
    stat.ctime < clock && stat.ctime % SECOND != 0
}

/// Whether known contents may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// As long as the metadata is unchanged.
    Metadata,
    /// Not at all: read everything (`--verify-content`).
    Nothing,
}

/// Whether a look at a set has seen all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// The source and every place: what was not met is gone.
    Everywhere,
    /// Only at a part.
    Somewhere,
}

/// What is known of the files of one set, and what one look at it meets on its way.
pub struct Contents {
    pub(super) known: Entries,
    pub(super) used: Entries,
    belief: Belief,
    /// What this look depends on.
    pub trace: Trace,
}

impl Contents {
    pub(super) fn new(known: Entries, belief: Belief) -> Contents {
        Contents { known, used: Entries::new(), belief, trace: Trace::default() }
    }

    /// What the file with this metadata holds, if that is known.
    pub fn find(&mut self, stat: &Stat) -> Option<Known> {
        let key = (stat.dev, stat.ino);
        if let Some((stamp, known)) = self.used.get(&key) {
            return (*stamp == Stamp::of(stat)?).then_some(*known);
        }
        if self.belief == Belief::Nothing {
            return None;
        }
        let (stamp, known) = *self.known.get(&key)?;
        if stamp != Stamp::of(stat)? {
            return None;
        }
        self.used.insert(key, (stamp, known));
        Some(known)
    }

    /// Records what a file held: `stat` from its descriptor, taken before the read; `clock` is the coarse clock, read before that.
    pub fn record(&mut self, stat: &Stat, known: Known, clock: i128) {
        if is_settled(stat, clock)
            && let Some(stamp) = Stamp::of(stat)
        {
            self.used.insert((stat.dev, stat.ino), (stamp, known));
        }
    }

    /// What is to be remembered after a look of this extent.
    pub(super) fn remembered(mut self, looked: Looked) -> Entries {
        if looked == Looked::Somewhere {
            for (key, value) in self.known {
                self.used.entry(key).or_insert(value);
            }
        }
        self.used
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

/// Entries as bytes, sorted.
pub(super) fn pack(entries: &Entries) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * ENTRY);
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_key(|(key, _)| **key);
    for ((dev, ino), (stamp, known)) in sorted {
        for number in [*dev, *ino, stamp.size, stamp.mtime.cast_unsigned(), stamp.ctime.cast_unsigned()] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(known.sha256.as_bytes());
        let kind = KINDS.iter().position(|kind| *kind == known.kind).unwrap_or(KINDS.len() - 1);
        let acl = ACLS.iter().position(|acl| *acl == known.acl).unwrap_or(0);
        out.push((acl * KINDS.len() + kind) as u8);
    }
    out
}

/// What [`pack`] wrote.
pub(super) fn unpack(bytes: &[u8]) -> Option<Entries> {
    if !bytes.len().is_multiple_of(ENTRY) {
        return None;
    }
    let mut known = Entries::with_capacity(bytes.len() / ENTRY);
    for entry in bytes.chunks_exact(ENTRY) {
        let number = |at: usize| entry.get(at * 8..at * 8 + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        let stamp = Stamp { size: number(2)?, mtime: number(3)?.cast_signed(), ctime: number(4)?.cast_signed() };
        let sha256 = ContentHash::from_bytes(entry.get(40..72)?.try_into().ok()?);
        let last = usize::from(*entry.get(72)?);
        let (kind, acl) = (*KINDS.get(last % KINDS.len())?, *ACLS.get(last / KINDS.len())?);
        known.insert((number(0)?, number(1)?), (stamp, Known { sha256, kind, acl }));
    }
    Some(known)
}
