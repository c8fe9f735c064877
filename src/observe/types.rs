//! The observed install as a value.

use crate::base::{ContentHash, GenerationHash, Mode, RelPath};
use crate::material::{Description, FileKind};
use crate::state::Inode;
use std::collections::BTreeMap;

/// certsync's own folder in every `dest`.
pub const META: &str = ".certsync";
/// The file in it that names the state directory that manages the `dest`.
pub const OWNER_FILE: &str = "owner";
/// The link in `.certsync/<set>` that names the generation in place.
pub const CURRENT: &str = "current";
/// Mode of certsync's own folders in a `dest`: everybody whom `dest` lets in may pass and list (a watcher must), nobody else may write.
pub const META_MODE: Mode = Mode::from_bits(0o755);

/// One `dest`, as far as one set is concerned.
#[derive(Debug, Clone, Default)]
pub struct ObservedInstall {
    /// The directory; `None`: it is not there.
    pub dest: Option<ObservedDest>,
    /// `.certsync` and, in it, the set's folder, as far as they are there.
    pub own_folders: Vec<ObservedDir>,
    /// What `current` names, whether or not that is there.
    pub current: Option<String>,
    /// Generations that are there.
    pub generations: Vec<String>,
    /// The current generation's files.
    pub tree: Option<ObservedTree>,
    /// What stands at the names in `dest` that were asked for, and at those of the current generation.
    pub names: BTreeMap<RelPath, ObservedName>,
    /// Whether a killed run left something to sweep.
    pub leftovers: bool,
}

/// The directory itself.
#[derive(Debug, Clone)]
pub struct ObservedDest {
    /// Which inode it is.
    pub inode: Inode,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Mode.
    pub mode: Mode,
    /// Whether an ACL grants more than the mode shows.
    pub wider: bool,
    /// Whether only root and the running user can put another directory in its place.
    pub parent_is_safe: bool,
    /// Who manages it.
    pub marker: Marker,
}

/// Who manages a `dest`, by `.certsync/owner`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    /// Nobody yet.
    Nobody,
    /// This state directory.
    Us,
    /// Another one.
    Other(String),
}

/// The files of one generation.
#[derive(Debug, Clone)]
pub struct ObservedTree {
    /// Its name: the one that `current` names, or the recorded one where `current` is gone.
    pub name: String,
    /// Every entry that is no directory.
    pub files: BTreeMap<RelPath, ObservedFile>,
    /// Hash over paths and contents; none where something other than a regular file is among them.
    pub hash: Option<GenerationHash>,
    /// Its directories, the generation itself first.
    pub dirs: Vec<ObservedDir>,
}

/// A directory that certsync made.
#[derive(Debug, Clone)]
pub struct ObservedDir {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Mode.
    pub mode: Mode,
    /// Whether an ACL grants more than the mode shows.
    pub wider: bool,
}

/// A regular file.
#[derive(Debug, Clone)]
pub struct ObservedFile {
    /// SHA-256 of its content; none where it is no regular file.
    pub sha256: Option<ContentHash>,
    /// What it was recognised as.
    pub kind: FileKind,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Mode.
    pub mode: Mode,
    /// Whether an ACL grants more than the mode shows.
    pub wider: bool,
    /// In an operator's words, where it was asked for.
    pub description: Option<Description>,
}

/// What stands at a name in `dest`.
#[derive(Debug, Clone)]
pub enum ObservedName {
    /// Nothing.
    Missing,
    /// A link with this target, printable.
    Link(String),
    /// A regular file.
    File(ObservedFile),
    /// A directory, device, FIFO or socket; or a folder above it is not a plain directory.
    Obstacle(&'static str),
}

/// With whose rights a file of a `dest` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Those of this process: it put the file there, and its hash says that it is still the same.
    Ours,
    /// Those of whoever owns the directory: anybody's file may have been moved there.
    Owners,
}
