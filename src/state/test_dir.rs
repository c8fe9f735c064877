//! A directory for a test.

use crate::base::Result;
use crate::host::Dir;
use std::ffi::OsStr;
use std::path::Path;

/// Opens `path` step by step; no link may be on it.
pub fn open(path: &Path) -> std::io::Result<Dir> {
    path.iter().skip(1).try_fold(Dir::root()?, |dir, step: &OsStr| dir.open_dir(step))
}

/// Calls `test` with a new directory and its path.
pub fn with_dir<T>(test: impl FnOnce(&Dir, &Path) -> Result<T>) -> Result<T> {
    let made = tempfile::tempdir().and_then(|folder| Ok((folder.path().canonicalize()?, folder)));
    match made.and_then(|(path, folder)| Ok((open(&path)?, path, folder))) {
        Ok((dir, path, _folder)) => test(&dir, &path),
        Err(error) => panic!("no temporary directory: {error}"),
    }
}
