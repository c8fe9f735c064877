//! Owners, groups, modes and ACLs: what is right, and what may be put right.

use super::diff::Situation;
use crate::base::{Error, ErrorKind, Mode};
use crate::material::FileKind;
use crate::observe::{META_MODE, Marker, ObservedDest, ObservedDir, ObservedFile};
use crate::spec::DesiredInstall;

pub(super) fn has_attributes(install: &DesiredInstall, file: &ObservedFile) -> bool {
    let rest = &install.rest;
    file.uid == rest.owner.id && file.gid == rest.group.id && file.mode == mode_of(install, file.kind) && !file.wider
}

pub(super) fn dirs_are_right(s: &Situation<'_>) -> bool {
    let rest = &s.install.rest;
    let right = |dir: &ObservedDir| dir.uid == rest.owner.id && dir.gid == rest.group.id && dir.mode == rest.dir_mode && !dir.wider;
    s.observed.tree.as_ref().is_some_and(|tree| tree.dirs.iter().all(right))
}

/// Whether everything in the generation in place has the owner, group and mode that the spec wants.
pub(super) fn tree_is_right(s: &Situation<'_>) -> bool {
    dirs_are_right(s) && s.observed.tree.as_ref().is_some_and(|tree| tree.files.values().all(|file| has_attributes(s.install, file)))
}

/// Whether one of certsync's own folders lets everybody pass whom `dest` lets in, and nobody more.
pub(super) fn own_folder_is_right(dir: &ObservedDir) -> bool {
    dir.mode == META_MODE && !dir.wider
}

pub(super) fn mode_of(install: &DesiredInstall, kind: FileKind) -> Mode {
    if kind.is_public() { install.rest.file_mode } else { install.rest.key_mode }
}

pub(super) enum DestVerdict {
    Right,
    Adjust { owner: (u32, u32), mode: Mode },
    Refused(Error),
}

/// A `dest` that certsync made gets what the spec says; one that was there before only what the install itself names,
/// and only where nobody else can put another directory in its place.
pub(super) fn wanted_dest(s: &Situation<'_>, dest: &ObservedDest) -> DestVerdict {
    let rest = &s.install.rest;
    // The number of an inode that was removed is given to another one: our own folder in it tells that it is the one we made.
    let made = s.made.contains(&dest.inode) && dest.marker == Marker::Us;
    let uid = if made || rest.named.owner { rest.owner.id } else { dest.uid };
    let gid = if made || rest.named.group { rest.group.id } else { dest.gid };
    let mode = if made || rest.named.dir_mode { rest.dir_mode } else { dest.mode };
    let wider = dest.wider && (made || rest.named.dir_mode);
    if (uid, gid, mode) == (dest.uid, dest.gid, dest.mode) && !wider {
        return DestVerdict::Right;
    }
    if !made && !dest.parent_is_safe {
        let error = Error::new(
            ErrorKind::Permission,
            s.install.dest.to_string(),
            "has another owner, group or mode, and lies where others may exchange it",
        );
        return DestVerdict::Refused(
            error.hint("set its owner, group and mode by hand, or take owner, group and dir_mode out of the install"),
        );
    }
    DestVerdict::Adjust { owner: (uid, gid), mode }
}
