//! The walk to a `dest`: every step from `/` relative to a checked descriptor.

use super::Dir;
use crate::base::{AbsPath, Result};

/// Where a walk ended.
pub struct Walk {
    /// The deepest directory that exists.
    pub dir: Dir,
    /// The steps that are missing below it; none: `dir` is the whole path.
    pub missing: Vec<String>,
    /// Whether only root and the running user can rename or replace what lies in the last existing directory's parent
    /// (needed before an existing `dest` may be given another owner or mode).
    pub parent_is_safe: bool,
}

/// Walks to `path`. A symlink step is followed only if root or the running user owns the link and the
/// directory it lies in and nobody else may write there (sticky directories count as writable by others); anything
/// else in the way is an error of kind `Permission` or `Install` with a hint.
pub fn to(path: &AbsPath) -> Result<Walk> {
    let _ = path;
    todo!()
}

/// Walks to `path` and makes what is missing: directories in between root-owned (the running user's) 0755, made under
/// a random name, checked, then renamed into place without replacing; returns the last existing or made directory
/// above the last missing step with that step's name left to the caller.
pub fn make_parents(path: &AbsPath) -> Result<(Dir, String)> {
    let _ = path;
    todo!()
}

/// Opens an existing file or directory's parent for a path that only the running user or root may have written:
/// used for the spec, include folders and the state directory. Refuses (kind `Permission`, with a hint) a file or directory that others may
/// write: as root anyone but root, otherwise anyone's write permission or an owner other than root and the running user.
pub fn check_trusted(path: &AbsPath) -> Result<()> {
    let _ = path;
    todo!()
}

/// Opens the state directory, making it (0700) where it is missing. Refused: not ours, writable by others, on a network file system.
pub fn open_private(path: &AbsPath) -> Result<Dir> {
    let _ = path;
    todo!()
}

/// Reads a file of text that only the running user or root may have written (the spec, an include), at most `limit` bytes:
/// what is judged is the descriptor that is read. Links are followed as in [`to`]. Not there, too large or not UTF-8: kind `Spec`.
pub fn read_trusted(path: &AbsPath, limit: u64) -> Result<String> {
    let _ = (path, limit);
    todo!()
}

/// Every name in a folder that only the running user or root may write, sorted; none where there is no such folder.
pub fn list_trusted(path: &AbsPath) -> Result<Vec<String>> {
    let _ = path;
    todo!()
}
