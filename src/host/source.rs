//! Sources, read with no more rights than their owner has.

use super::Stat;
use crate::base::{AbsPath, RelPath, Result, Secret};
use crate::spec::Limits;

/// A source directory, opened.
pub struct Source {
    _private: (),
}

/// A file found in a source. Links are followed, with the rights of the directory's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative to the source.
    pub path: RelPath,
    /// Of the file at the end of the links.
    pub stat: Stat,
}

#[allow(unused_variables)]
impl Source {
    /// Opens `path`, walking step by step; from the first directory or link on the way that a user other than
    /// root and the running user owns, everything is done with that user's file-system uid, gid and groups.
    /// A missing directory: kind `Source`.
    pub fn open(path: &AbsPath) -> Result<Source> {
        todo!()
    }
    /// The names of directories (links to directories included, dot names not) directly below, sorted: what `/*` matches.
    /// A name that is no `SetName` is an error in the list of its own.
    pub fn subdirectories(&self) -> Result<Vec<Result<crate::base::SetName>>> {
        todo!()
    }
    /// Every regular file below, nested folders too (links to folders are not entered), sorted by path, for which `wanted` says yes; without
    /// `.certsync`, and without a file that a link in the same directory points at or once did
    /// (`stem-<digits>.ext` beside a link `stem.ext`). More than `limits.files` of them, or a larger one than `limits.file`: kind `Source`.
    /// A wanted name that is not UTF-8 or holds control characters: kind `Judgement`, the name shown escaped.
    /// FIFOs, sockets, devices and dangling links that are wanted: kind `Source`, named.
    pub fn files(&self, limits: &Limits, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<SourceFile>> {
        todo!()
    }
    /// Reads one file whole, at most `limit` bytes, with the metadata of the descriptor read, taken before the read.
    pub fn read(&self, path: &RelPath, limit: u64) -> Result<(Secret, Stat)> {
        todo!()
    }
    /// Whether content stamps of the file system can be trusted for the cache.
    pub fn stamps_are_sound(&self) -> bool {
        todo!()
    }
}
