//! The lines that the diff compares: attributes first, then the content in an operator's words.

use super::diff::Situation;
use super::names::link_target;
use crate::base::{Mode, RelPath};
use crate::material::Description;
use crate::observe::{ObservedFile, ObservedName};

fn attributes(s: &Situation<'_>, kind: char, uid: u32, gid: u32, mode: Mode, wider: bool) -> String {
    let wider = if wider { "+" } else { "" };
    format!("owner {}\ngroup {}\nmode  {}{wider}\n", (s.user_name)(uid), (s.group_name)(gid), mode.ls(kind))
}

/// A directory.
pub(super) fn dest_lines(s: &Situation<'_>, uid: u32, gid: u32, mode: Mode, wider: bool) -> String {
    attributes(s, 'd', uid, gid, mode, wider)
}

/// A file as it should be.
pub(super) fn file_lines(s: &Situation<'_>, mode: Mode, link: &Option<String>, description: Option<&Description>) -> String {
    let mut out = attributes(s, '-', s.install.rest.owner.id, s.install.rest.group.id, mode, false);
    if let Some(link) = link {
        out.push_str(&format!("link  {link}\n"));
    }
    out + &content(description)
}

/// What stands at a name, or nothing.
pub(super) fn before_lines(s: &Situation<'_>, path: &RelPath) -> Option<String> {
    let in_tree = s.observed.current.as_ref().and(s.observed.tree.as_ref()).and_then(|tree| tree.files.get(path));
    match s.observed.names.get(path)? {
        ObservedName::Missing | ObservedName::Obstacle(_) => None,
        ObservedName::File(file) => Some(observed(s, file, None)),
        ObservedName::Link(target) => match in_tree {
            Some(file) if *target == link_target(s.set, path) => Some(observed(s, file, Some(target))),
            _ => Some(format!("link  {target}\n")),
        },
    }
}

fn observed(s: &Situation<'_>, file: &ObservedFile, link: Option<&String>) -> String {
    let mut out = attributes(s, '-', file.uid, file.gid, file.mode, file.wider);
    if let Some(link) = link {
        out.push_str(&format!("link  {link}\n"));
    }
    out + &content(file.description.as_ref())
}

fn content(description: Option<&Description>) -> String {
    description.map(|d| d.lines.iter().map(|line| format!("{line}\n")).collect()).unwrap_or_default()
}
