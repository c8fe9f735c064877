//! What a look at a set depended on: as long as the metadata of all of it is the same, the look would end the same.
//!
//! A directory's device, inode, mtime and ctime prove the names in it, and what its links say. Sound under the rule of the
//! cache: every ctime is older than the coarse clock read before the first stat.

use super::contents::is_settled;
use crate::host::{Kind, Stat, clock};
use sha2::{Digest as _, Sha256};

/// What kind of thing a step is, and from where its path is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// A file (links followed) or folder of the source; the source itself where the path is empty.
    Source,
    /// The `dest` itself, or a folder or file in it.
    Dest,
    /// `.certsync`, or a file in it.
    Meta,
    /// The set's folder in `.certsync`.
    Folder,
    /// The generation in place, or a folder or file in it.
    Generation,
}

/// All kinds, in the order of their numbers on disk.
pub(super) const WHATS: [What; 5] = [What::Source, What::Dest, What::Meta, What::Folder, What::Generation];

/// One thing that a look depended on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Step {
    /// Which install of the set; of no meaning for the source.
    pub place: u8,
    /// What it is.
    pub what: What,
    /// Below that; empty for the thing itself.
    pub path: String,
}

/// The steps of a look, in order. Most sets of a host share theirs: what differs from set to set is no part of it.
pub type Trail = Vec<Step>;

/// SHA-256 over the metadata of the steps of a trail.
#[derive(Default)]
pub struct Print(Sha256);

impl Print {
    /// Adds the metadata of the next step.
    pub fn add(&mut self, stat: &Stat) {
        let mut bytes = [0; 53];
        let numbers = [stat.dev, stat.ino, stat.size, low(stat.mtime), low(stat.ctime)];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        for (place, number) in bytes[40..52].chunks_exact_mut(4).zip([stat.uid, stat.gid, stat.mode.bits()]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[52] = match stat.kind {
            Kind::File => 0,
            Kind::Dir => 1,
            Kind::Link => 2,
            Kind::Other => 3,
        };
        self.0.update(bytes);
    }

    /// The print of everything added.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Nanoseconds since 1970 fit until the year 2554.
#[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)]
fn low(time: i128) -> u64 {
    time as u64
}

/// One part of a trace: the source, or one place.
#[derive(Debug, Clone, Default)]
struct Part {
    steps: Vec<(Step, Stat)>,
    is_sound: bool,
}

/// Whether a set is read from a directory of this host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Origin {
    #[default]
    Here,
    Elsewhere,
}

/// The steps of a look while it is made.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    source: Part,
    places: Vec<Part>,
    /// Which part is being looked at; none: the source.
    place: Option<u8>,
    clock: i128,
    origin: Origin,
}

impl Trace {
    /// Begins the look at the source; `clock` is the coarse clock, read before anything of it.
    pub fn begin_source(&mut self, clock: i128) {
        self.place = None;
        self.clock = clock;
        self.source = Part { steps: Vec::new(), is_sound: true };
    }

    /// There is no source to be looked at: what came from another host is in the state.
    pub fn without_source(&mut self) {
        self.source = Part { steps: Vec::new(), is_sound: true };
        self.origin = Origin::Elsewhere;
    }

    /// Begins the look at the place of install number `place`.
    pub fn begin_place(&mut self, place: usize) {
        self.place = u8::try_from(place).ok();
        self.clock = clock::coarse_nanoseconds();
        if self.places.len() <= place {
            self.places.resize_with(place + 1, Part::default);
        }
        self.places[place] = Part { steps: Vec::new(), is_sound: self.place.is_some() };
    }

    fn part(&mut self) -> &mut Part {
        match self.place {
            Some(place) => &mut self.places[usize::from(place)],
            None => &mut self.source,
        }
    }

    /// Notes what was looked at; `stat` was taken before anything that it proves was read.
    pub fn note(&mut self, what: What, path: &str, stat: &Stat) {
        let (clock, place) = (self.clock, self.place.unwrap_or(0));
        let part = self.part();
        if part.is_sound {
            part.is_sound = is_settled(stat, clock);
            part.steps.push((Step { place, what, path: path.to_owned() }, *stat));
        }
    }

    /// What is being looked at proves nothing.
    pub fn spoil(&mut self) {
        self.part().is_sound = false;
    }

    /// Takes what is newer of another look at the same set.
    pub fn renew(&mut self, newer: Trace) {
        if !newer.source.steps.is_empty() {
            self.source = newer.source;
        }
        for (at, part) in newer.places.into_iter().enumerate() {
            if self.places.len() <= at {
                self.places.push(part);
            } else if !part.steps.is_empty() {
                self.places[at] = part;
            }
        }
    }

    /// The trail and its print, where every part of a set with so many installs was looked at and proves something.
    pub fn finish(self, installs: usize) -> Option<(Trail, [u8; 32])> {
        if self.origin == Origin::Here && self.source.steps.is_empty() {
            return None;
        }
        let parts = std::iter::once((self.source, 0)).chain(self.places.into_iter().map(|part| (part, 1)));
        let mut trail = Trail::new();
        let mut print = Print::default();
        let mut count = 0;
        for (part, fewest) in parts {
            count += 1;
            if !part.is_sound || part.steps.len() < fewest {
                return None;
            }
            for (step, stat) in part.steps {
                print.add(&stat);
                trail.push(step);
            }
        }
        (count == installs + 1).then(|| (trail, print.finish()))
    }
}
