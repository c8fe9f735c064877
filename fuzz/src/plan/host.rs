//! What a host has at a `dest`, what it should have, and what the state knows of it: anything at all.

use crate::shown;
use arbitrary::Arbitrary;
use certsync::base::{AbsPath, ContentHash, Digest, GenerationHash, Mode, RelPath, SetName};
use certsync::material::{SetFacts, describe, kind_of};
use certsync::observe::{Marker, ObservedDest, ObservedDir, ObservedFile, ObservedInstall, ObservedName, ObservedTree};
use certsync::plan::{Diffed, FileSource, InstallPlan, Situation, Wanted, WantedFile, diff, link_target};
use certsync::spec::{DesiredInstall, InstallRest, Layout, Named, Owner, Prune};
use certsync::state::{GenerationState, Inode, InstallState};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A key that must never be shown.
pub const KEY: &str = include_str!("../../fixtures/leaf.key");
const LEAF: &str = include_str!("../../fixtures/leaf.pem");
const CA: &str = include_str!("../../fixtures/ca.pem");
const NOW: i64 = 1_800_000_000;
const INODE: Inode = Inode { dev: 1, ino: 2 };

/// Names that meet each other more often than random ones.
#[derive(Arbitrary, Debug)]
enum Path<'a> {
    Cert,
    Key,
    Deep,
    Any(&'a str),
}

#[derive(Arbitrary, Debug)]
enum Content<'a> {
    Key,
    Leaf,
    Chain,
    KeyAndMore(&'a [u8]),
    Any(&'a [u8]),
}

#[derive(Arbitrary, Debug)]
struct Attributes {
    right: bool,
    uid: u8,
    gid: u8,
    mode: u16,
    wider: bool,
}

#[derive(Arbitrary, Debug)]
enum Name<'a> {
    Missing,
    Ours,
    Link(&'a str),
    File(Content<'a>, Attributes),
    Device(Attributes),
    Obstacle,
}

#[derive(Arbitrary, Debug)]
struct Tree<'a> {
    files: Vec<(Path<'a>, Content<'a>, Attributes)>,
    untouched: bool,
    known: bool,
    dirs: Option<Attributes>,
}

#[derive(Arbitrary, Debug)]
struct Dest<'a> {
    attributes: Attributes,
    made: bool,
    safe: bool,
    marker: Option<&'a str>,
    ours: bool,
}

/// Everything that the diff of one install depends on.
#[derive(Arbitrary, Debug)]
pub struct Host<'a> {
    set: &'a str,
    dest: &'a str,
    flags: u8,
    wanted: Vec<(Path<'a>, Content<'a>)>,
    there: Option<Dest<'a>>,
    tree: Option<Tree<'a>>,
    names: Vec<(Path<'a>, Name<'a>)>,
    generations: Vec<&'a str>,
    current: Option<&'a str>,
    recorded: Option<(bool, bool, bool)>,
}

impl Path<'_> {
    fn path(&self) -> Option<RelPath> {
        match self {
            Path::Cert => "cert.pem".parse().ok(),
            Path::Key => "privkey.pem".parse().ok(),
            Path::Deep => "sub/fullchain.pem".parse().ok(),
            Path::Any(text) => text.parse().ok(),
        }
    }
}

impl Content<'_> {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Content::Key => KEY.into(),
            Content::Leaf => LEAF.into(),
            Content::Chain => [LEAF, CA].concat().into_bytes(),
            Content::KeyAndMore(more) => [KEY.as_bytes(), more].concat(),
            Content::Any(bytes) => bytes.to_vec(),
        }
    }
}

impl Attributes {
    fn mode(&self, right: u32) -> Mode {
        Mode::from_bits(if self.right { right } else { u32::from(self.mode) })
    }

    fn file(&self, bytes: Option<&[u8]>) -> ObservedFile {
        let kind = kind_of(bytes.unwrap_or_default());
        ObservedFile {
            sha256: bytes.map(ContentHash::of),
            kind,
            uid: if self.right { 0 } else { self.uid.into() },
            gid: if self.right { 0 } else { self.gid.into() },
            mode: self.mode(if kind.is_public() { 0o644 } else { 0o600 }),
            wider: self.wider && !self.right,
            description: bytes.map(|bytes| describe(bytes, NOW)),
        }
    }

    fn dir(&self, right: u32) -> ObservedDir {
        let file = self.file(None);
        ObservedDir { uid: file.uid, gid: file.gid, mode: self.mode(right), wider: file.wider }
    }
}

impl Host<'_> {
    /// The set's name.
    pub fn set(&self) -> SetName {
        self.set.parse().unwrap_or_else(|_| "example.com".parse().expect("a name"))
    }

    /// The directory.
    pub fn dest(&self) -> AbsPath {
        self.dest.parse().unwrap_or_else(|_| "/etc/ssl/example.com".parse().expect("a path"))
    }

    fn flag(&self, bit: u8) -> bool {
        self.flags & (1 << bit) != 0
    }

    fn install(&self) -> DesiredInstall {
        let root = || Owner { name: "root".into(), id: 0 };
        let rest = InstallRest {
            owner: root(),
            group: root(),
            dir_mode: Mode::from_bits(0o755),
            file_mode: Mode::from_bits(0o644),
            key_mode: Mode::from_bits(0o600),
            layout: if self.flag(0) { Layout::Flat } else { Layout::Generations },
            keep: 2,
            prune: if self.flag(1) { Prune::Remove } else { Prune::Keep },
            hooks: Vec::new(),
            named: Named { owner: self.flag(2), group: self.flag(3), dir_mode: self.flag(4) },
        };
        DesiredInstall { dest: self.dest(), files: None, rest: Arc::new(rest) }
    }

    fn wanted(&self) -> Vec<WantedFile> {
        let mut files = BTreeMap::new();
        for (path, content) in &self.wanted {
            let Some(path) = path.path() else { continue };
            let bytes = content.bytes();
            let (sha256, kind, description) = (ContentHash::of(&bytes), kind_of(&bytes), describe(&bytes, NOW));
            files.insert(path.clone(), WantedFile { path, sha256, kind, description });
        }
        files.into_values().collect()
    }

    fn name(&self) -> String {
        self.current.map_or_else(|| "1-0123456789ab".to_owned(), str::to_owned)
    }

    fn observed(&self) -> ObservedInstall {
        let tree = self.tree.as_ref().map(|tree| {
            let file = |(path, content, attributes): &(Path<'_>, Content<'_>, Attributes)| {
                Some((path.path()?, attributes.file(Some(&content.bytes()))))
            };
            let files: BTreeMap<RelPath, ObservedFile> = tree.files.iter().filter_map(file).collect();
            let hash = hash_of(&files).filter(|_| tree.known);
            let dirs = tree.dirs.iter().map(|dir| dir.dir(0o755)).collect();
            ObservedTree { name: self.name(), files, hash, dirs }
        });
        let linked = tree.iter().flat_map(|tree| tree.files.keys()).filter(|_| self.flag(5));
        let mut names: BTreeMap<RelPath, ObservedName> =
            linked.map(|path| (path.clone(), ObservedName::Link(link_target(&self.set(), path)))).collect();
        for (path, name) in &self.names {
            names.extend(path.path().map(|path| (path.clone(), self.at(&path, name))));
        }
        ObservedInstall {
            dest: self.there.as_ref().map(|dest| self.directory(dest)),
            own_folders: self.there.iter().map(|dest| dest.attributes.dir(0o755)).collect(),
            current: tree.as_ref().filter(|_| !self.flag(6)).map(|tree| tree.name.clone()),
            generations: self.generations.iter().map(ToString::to_string).collect(),
            tree,
            names,
            leftovers: self.flag(7),
        }
    }

    fn at(&self, path: &RelPath, name: &Name<'_>) -> ObservedName {
        match name {
            Name::Missing => ObservedName::Missing,
            Name::Ours => ObservedName::Link(link_target(&self.set(), path)),
            // As it is read from the host: printable.
            Name::Link(target) => ObservedName::Link(certsync::base::printable(target)),
            Name::File(content, attributes) => ObservedName::File(attributes.file(Some(&content.bytes()))),
            Name::Device(attributes) => ObservedName::File(attributes.file(None)),
            Name::Obstacle => ObservedName::Obstacle("a directory"),
        }
    }

    fn directory(&self, dest: &Dest<'_>) -> ObservedDest {
        let found = dest.attributes.dir(0o755);
        ObservedDest {
            inode: INODE,
            uid: found.uid,
            gid: found.gid,
            mode: found.mode,
            wider: found.wider,
            parent_is_safe: dest.safe,
            marker: match (dest.ours, dest.marker) {
                (true, _) => Marker::Us,
                (false, None) => Marker::Nobody,
                (false, Some(other)) => Marker::Other(certsync::base::printable(other)),
            },
        }
    }

    fn recorded(&self, install: &DesiredInstall, observed: &ObservedInstall) -> Option<InstallState> {
        let (has_current, same_shape, pending) = self.recorded?;
        let facts = Arc::<SetFacts>::default();
        let untouched = self.tree.as_ref().is_some_and(|tree| tree.untouched);
        let hash = observed.tree.as_ref().and_then(|tree| tree.hash).filter(|_| untouched);
        let shaped = if same_shape { install.shape_hash() } else { ContentHash::of(b"other") };
        let name = self.name();
        let hash = hash.unwrap_or_else(|| GenerationHash::from_bytes([7; 32]));
        let generation = GenerationState { name, hash, digest: Some(digest()), shaped, facts, carried: Vec::new(), since: NOW };
        Some(InstallState {
            set: self.set(),
            dest: self.dest(),
            layout: if pending { Layout::Flat } else { install.rest.layout },
            made: None,
            current: has_current.then(|| generation.clone()),
            former: Vec::new(),
            next: pending.then_some(generation),
            returned: None,
            marks: BTreeMap::new(),
        })
    }

    /// Asks `question` about this host, with the wanted files known.
    pub fn with<T>(&self, question: impl FnOnce(&Situation<'_>) -> T) -> T {
        let (set, install, files, observed) = (self.set(), self.install(), self.wanted(), self.observed());
        let recorded = self.recorded(&install, &observed);
        let facts = Arc::<SetFacts>::default();
        let wanted = Wanted { digest: digest(), facts: &facts, files: Some(&files) };
        let made = if self.there.as_ref().is_some_and(|dest| dest.made) { &[INODE][..] } else { &[] };
        question(&Situation {
            set: &set,
            install: &install,
            wanted: &wanted,
            recorded: recorded.as_ref(),
            made,
            observed: &observed,
            because: None,
            now: NOW,
            user_name: |uid| format!("user{uid}"),
            group_name: |gid| format!("group{gid}"),
        })
    }

    /// What may be planned here: private files stay private, the two ways of asking agree, and what is said is fit for a terminal.
    pub fn may_be(&self, plan: &InstallPlan, situation: &Situation<'_>) {
        let files = situation.wanted.files.unwrap_or_default();
        for planned in plan.next.iter().flat_map(|next| &next.files).filter(|file| file.from == FileSource::Material) {
            let wanted = files.iter().find(|file| file.path == planned.path).expect("a file that nobody wants");
            let right = if wanted.kind.is_public() { situation.install.rest.file_mode } else { situation.install.rest.key_mode };
            assert_eq!((planned.sha256, planned.mode), (wanted.sha256, right), "{}", planned.path);
        }
        if let Some(next) = &plan.next {
            assert!(files.iter().all(|file| next.files.iter().any(|planned| planned.path == file.path)), "a wanted file is left out");
        }
        plan.notes.iter().for_each(|note| shown::line(note));
        plan.error.iter().for_each(|error| shown::line(&format!("{error} {:?}", error.hint)));
        for change in &plan.changes {
            shown::line(&change.path);
            change.before.iter().chain(&change.after).for_each(|text| shown::lines(text));
        }
        let unread = Wanted { files: None, ..*situation.wanted };
        if let Diffed::Plan(quiet) = diff(&Situation { wanted: &unread, ..*situation }) {
            assert!(quiet.steps.is_empty() && quiet.changes.is_empty() && quiet.error.is_none(), "quiet, and yet something is to do");
        }
    }
}

fn digest() -> Digest {
    Digest::from_bytes([3; 32])
}

fn hash_of(files: &BTreeMap<RelPath, ObservedFile>) -> Option<GenerationHash> {
    let files: Option<Vec<_>> = files.iter().map(|(path, file)| Some((path.as_str(), file.sha256.as_ref()?))).collect();
    files.map(GenerationHash::of)
}
