//! From observed to desired: a pure function, one install at a time.

use super::differ::Differ;
use super::names::{Shown, shown_at};
use super::rights::{DestVerdict, own_folder_is_right, tree_is_right, wanted_dest};
use super::{InstallPlan, Outcome, Reason};
use crate::base::{ContentHash, Digest, RelPath, SetName};
use crate::material::{Description, FileKind, SetFacts};
use crate::observe::{Marker, ObservedInstall, Rights};
use crate::spec::DesiredInstall;
use crate::state::{Inode, InstallState};
use std::sync::Arc;

/// The version an install should show.
pub struct Wanted<'a> {
    /// The version of the set.
    pub digest: Digest,
    /// Its facts.
    pub facts: &'a Arc<SetFacts>,
    /// Its files as this install renders them, sorted; `None`: not read, since probably nothing is to do.
    pub files: Option<&'a [WantedFile]>,
}

/// One rendered file, without its bytes.
#[derive(Debug, Clone)]
pub struct WantedFile {
    /// Where in `dest`.
    pub path: RelPath,
    /// SHA-256 of its content.
    pub sha256: ContentHash,
    /// What it was recognised as.
    pub kind: FileKind,
    /// In an operator's words.
    pub description: Description,
}

/// Everything the diff of one install depends on.
pub struct Situation<'a> {
    /// The set.
    pub set: &'a SetName,
    /// As the spec has it.
    pub install: &'a DesiredInstall,
    /// What it should show.
    pub wanted: &'a Wanted<'a>,
    /// What the state knows of it.
    pub recorded: Option<&'a InstallState>,
    /// Directories that certsync made at this `dest`, whichever set they were made for.
    pub made: &'a [Inode],
    /// What is there.
    pub observed: &'a ObservedInstall,
    /// Why, where the caller knows better.
    pub because: Option<Reason>,
    /// Unix seconds.
    pub now: i64,
    /// The name shown for a user id.
    pub user_name: fn(u32) -> String,
    /// The name shown for a group id.
    pub group_name: fn(u32) -> String,
}

/// The diff, or the news that it cannot be told without the files.
pub enum Diffed {
    /// What to do.
    Plan(Box<InstallPlan>),
    /// Something differs: call again with [`Wanted::files`] and a closer observation.
    NeedsFiles,
}

/// What must be done so that `dest` shows the wanted version as the spec says.
pub fn diff(situation: &Situation<'_>) -> Diffed {
    if is_quiet(situation) {
        return Diffed::Plan(Box::new(nothing(situation)));
    }
    match situation.wanted.files {
        None => Diffed::NeedsFiles,
        Some(files) => Diffed::Plan(Box::new(Differ::new(situation, files).plan())),
    }
}

pub(super) fn nothing(s: &Situation<'_>) -> InstallPlan {
    InstallPlan {
        leftovers: s.observed.leftovers,
        inode: s.observed.dest.as_ref().map(|dest| dest.inode),
        carry_from: s.observed.tree.as_ref().map(|tree| tree.name.clone()),
        carry_with: if is_untouched(s) { Rights::Ours } else { Rights::Owners },
        ..InstallPlan::untouched(&s.install.dest, Outcome::Unchanged)
    }
}

/// Whether the generation in place holds exactly what was put there.
pub(super) fn is_untouched(s: &Situation<'_>) -> bool {
    let recorded = s.recorded.and_then(|recorded| recorded.current.as_ref());
    recorded
        .is_some_and(|current| s.observed.tree.as_ref().is_some_and(|tree| tree.name == current.name && tree.hash == Some(current.hash)))
}

/// Whether metadata alone shows that everything is as it was left and as it should be.
fn is_quiet(s: &Situation<'_>) -> bool {
    let (Some(recorded), Some(dest), Some(tree)) = (s.recorded, &s.observed.dest, &s.observed.tree) else { return false };
    let Some(current) = &recorded.current else { return false };
    recorded.next.is_none()
        && recorded.layout == s.install.rest.layout
        && current.digest == Some(s.wanted.digest)
        && current.shaped == s.install.shape_hash()
        && dest.marker == Marker::Us
        && matches!(wanted_dest(s, dest), DestVerdict::Right)
        && s.observed.current.as_ref() == Some(&current.name)
        && tree.hash == Some(current.hash)
        && s.observed.own_folders.iter().all(own_folder_is_right)
        && tree_is_right(s)
        && tree.files.iter().all(|(path, file)| file.sha256.is_some_and(|sha256| shown_at(s, path) == Shown::Right(Some(sha256))))
}
