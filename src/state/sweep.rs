//! What killed runs left in the root of the state directory. The store and the requests are swept where they are worked on.

use super::requests::{ABANDONED, is_unfinished};
use crate::host::{Dir, Kind, clock};
use std::io;

/// Removes what a killed run left half written; to be called under the run lock, since all files in the root are written under it.
/// A folder may be another process's, which is about to leave a request without the lock: it goes when it is old, and empty.
pub fn sweep(dir: &Dir) -> io::Result<()> {
    let old = (i128::from(clock::unix_seconds()) - ABANDONED) * 1_000_000_000;
    for entry in dir.entries()?.into_iter().filter(|entry| is_unfinished(&entry.name)) {
        match entry.kind {
            Kind::File => dir.unlink(&entry.name)?,
            Kind::Dir if dir.stat_at(&entry.name)?.is_some_and(|stat| stat.mtime < old) => dir.remove_dir(&entry.name)?,
            Kind::Dir | Kind::Link | Kind::Other => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::sweep;
    use crate::base::{Error, ErrorKind, Result};
    use crate::state::test_dir::with_dir;
    use std::fs::{File, create_dir, write};
    use std::time::SystemTime;

    #[test]
    fn half_written_files_go_and_folders_when_they_are_old() -> Result<()> {
        with_dir(|dir, path| {
            let failed = |error: std::io::Error| Error::io(ErrorKind::State, "the test", &error);
            let made = || {
                write(path.join(".new-1"), "")?;
                write(path.join("state.json"), "")?;
                create_dir(path.join(".new-young"))?;
                create_dir(path.join(".new-old"))?;
                File::open(path.join(".new-old"))?.set_modified(SystemTime::UNIX_EPOCH)
            };
            made().and_then(|()| sweep(dir)).map_err(failed)?;
            let left: Vec<_> = dir.entries().map_err(failed)?.into_iter().map(|entry| entry.name).collect();
            assert_eq!(left, [".new-young", "state.json"]);
            Ok(())
        })
    }
}
