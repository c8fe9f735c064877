//! What a name in `dest` shows, and what it should be.

use super::diff::Situation;
use super::rights::has_attributes;
use crate::base::{ContentHash, RelPath, SetName};
use crate::observe::{CURRENT, META, ObservedName};
use crate::spec::Layout;

/// What stands at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// What should be there (a link of ours, or for `flat` a file with the right attributes), showing this content.
    Right(Option<ContentHash>),
    /// Something else that can be replaced, showing this content where that is known.
    Foreign(Option<ContentHash>),
    /// Nothing.
    Nothing,
    /// Something that is never replaced.
    Obstacle(&'static str),
}

/// The target of the link at `path` in a `dest`: relative, so that the `dest` can be mounted elsewhere.
pub fn link_target(set: &SetName, path: &RelPath) -> String {
    format!("{}{META}/{set}/{CURRENT}/{path}", "../".repeat(path.depth()))
}

/// Whether what stands at `path` is what certsync put there for the generation in place, in whichever layout.
pub(super) fn is_ours(s: &Situation<'_>, path: &RelPath) -> bool {
    let Some(in_tree) = s.observed.tree.as_ref().and_then(|tree| tree.files.get(path)) else { return false };
    let flat_before = s.recorded.is_some_and(|recorded| recorded.layout == Layout::Flat);
    match s.observed.names.get(path) {
        Some(ObservedName::Link(target)) => *target == link_target(s.set, path),
        Some(ObservedName::File(file)) => flat_before && file.sha256.is_some() && file.sha256 == in_tree.sha256,
        None | Some(ObservedName::Missing | ObservedName::Obstacle(_)) => false,
    }
}

/// What stands at `path`.
pub(super) fn shown_at(s: &Situation<'_>, path: &RelPath) -> Shown {
    let through_current =
        || s.observed.current.as_ref().and(s.observed.tree.as_ref()).and_then(|tree| tree.files.get(path)).and_then(|file| file.sha256);
    let flat = s.install.rest.layout == Layout::Flat;
    match s.observed.names.get(path) {
        None | Some(ObservedName::Missing) => Shown::Nothing,
        Some(ObservedName::Obstacle(what)) => Shown::Obstacle(what),
        Some(ObservedName::Link(target)) if *target == link_target(s.set, path) => {
            if flat {
                Shown::Foreign(through_current())
            } else {
                Shown::Right(through_current())
            }
        }
        Some(ObservedName::Link(_)) => Shown::Foreign(None),
        Some(ObservedName::File(file)) if flat && has_attributes(s.install, file) => Shown::Right(file.sha256),
        Some(ObservedName::File(file)) => Shown::Foreign(file.sha256),
    }
}
