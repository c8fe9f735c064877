//! Who besides certsync may read the store and write the inbox: the group of an unprivileged gate, or nobody.
//!
//! The state directory itself says so, by its group and mode; everything made in the store later takes after it.

use crate::base::{AbsPath, Error, ErrorKind, Mode, Result};
use crate::host::{Dir, Kind};
use std::ffi::OsStr;
use std::io;

/// What came from peers and was not taken yet.
pub(super) const INBOX: &str = "inbox";
/// What peers that wait are told.
pub(super) const ANSWERS: &str = "answers";

const ALONE_DIR: u32 = 0o700;
const SHARED_DIR: u32 = 0o750;

fn is_shared(dir: &Dir) -> io::Result<bool> {
    Ok(dir.stat()?.mode.bits() & 0o050 == 0o050)
}

/// The mode of directories in the store of the state directory `dir`.
pub(super) fn dir_mode(dir: &Dir) -> io::Result<Mode> {
    Ok(Mode::from_bits(if is_shared(dir)? { SHARED_DIR } else { ALONE_DIR }))
}

/// The mode of files in the store of the state directory `dir`.
pub(super) fn file_mode(dir: &Dir) -> io::Result<Mode> {
    Ok(Mode::from_bits(if is_shared(dir)? { 0o640 } else { 0o600 }))
}

/// Lets the group `gate` read the store and write the inbox, or nobody where there is no such group; what was shared with another one no
/// longer is. To be called under the run lock; nothing is changed where everything is so already.
///
/// # Errors
/// Kind `State`.
pub fn share(dir: &Dir, at: &AbsPath, gate: Option<u32>) -> Result<()> {
    try_share(dir, gate).map_err(|error| Error::io(ErrorKind::State, at, &error))
}

fn try_share(dir: &Dir, gate: Option<u32>) -> io::Result<()> {
    let stat = dir.stat()?;
    let owner = (stat.uid, gate.unwrap_or(stat.gid));
    let mode = Mode::from_bits(if gate.is_some() { SHARED_DIR } else { ALONE_DIR });
    let shared = stat.mode.bits() & 0o7777 == mode.bits() && stat.gid == owner.1;
    // Nobody new may read while the modes below are the old ones; whoever is to lose his rights loses them first here.
    if !shared && let Some(store) = dir.find_dir(OsStr::new("store"))? {
        if gate.is_none() {
            dir.adjust(owner, mode)?;
        }
        adjust_tree(&store, owner, mode)?;
    }
    let (inbox, answers) = match gate {
        Some(_) => (0o1770, SHARED_DIR),
        None => (ALONE_DIR, ALONE_DIR),
    };
    folder(dir, INBOX, owner, Mode::from_bits(inbox))?;
    folder(dir, ANSWERS, owner, Mode::from_bits(answers))?;
    if shared { Ok(()) } else { dir.adjust(owner, mode) }
}

fn folder(dir: &Dir, name: &str, owner: (u32, u32), mode: Mode) -> io::Result<()> {
    match dir.find_dir(OsStr::new(name))? {
        Some(found) => {
            let stat = found.stat()?;
            if (stat.uid, stat.gid) == owner && stat.mode == mode { Ok(()) } else { found.adjust(owner, mode) }
        }
        None => dir.make_finished_dir(OsStr::new(name), owner, mode).and_then(|_| dir.sync()),
    }
}

fn adjust_tree(dir: &Dir, owner: (u32, u32), mode: Mode) -> io::Result<()> {
    // A file is read and written by whoever may enter the directory and list it.
    let of_files = Mode::from_bits(mode.bits() & 0o660);
    for entry in dir.entries()? {
        match entry.kind {
            Kind::Dir => adjust_tree(&dir.open_dir(&entry.name)?, owner, mode)?,
            Kind::File => dir.adjust_file(&entry.name, owner, of_files)?,
            Kind::Link | Kind::Other => {}
        }
    }
    dir.adjust(owner, mode)
}

#[cfg(test)]
mod tests {
    use super::share;
    use crate::base::{Error, ErrorKind, Result};
    use crate::state::test_dir::with_dir;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn a_gate_of_another_group_reads_the_store_and_writes_the_inbox_and_nothing_else() -> Result<()> {
        with_dir(|dir, path| {
            let at = "/var/lib/certsync".parse().unwrap_or_else(|error| unreachable!("{error}"));
            let failed = |error: std::io::Error| Error::io(ErrorKind::State, "the test", &error);
            let make = || {
                fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
                fs::create_dir_all(path.join("store/a/b"))?;
                fs::write(path.join("store/a/b/cert.pem"), "x")
            };
            make().map_err(failed)?;
            let mode = |name: &str| fs::metadata(path.join(name)).map(|found| found.mode() & 0o7777).map_err(failed);
            let gid = fs::metadata(path).map_err(failed)?.gid();
            for (gate, modes) in [(Some(gid), [0o750, 0o750, 0o640, 0o1770, 0o750]), (None, [0o700, 0o700, 0o600, 0o700, 0o700])] {
                share(dir, &at, gate)?;
                let names = ["", "store/a", "store/a/b/cert.pem", "inbox", "answers"];
                for (name, wanted) in names.into_iter().zip(modes) {
                    assert_eq!(mode(name)?, wanted, "{name} with {gate:?}");
                }
            }
            Ok(())
        })
    }
}
