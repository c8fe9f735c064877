//! One `dest` opened for work: the directory, certsync's own folder in it, the set's folder in that.

use crate::base::{AbsPath, Error, ErrorKind, Mode, Result, SetName};
use crate::host::{Dir, unique, walk};
use crate::observe::{META, OWNER_FILE, own_dir};
use crate::spec::InstallRest;
use crate::state::Inode;
use std::ffi::OsStr;
use std::io;

/// Folders of ours within a `dest`: everybody whom `dest` lets in may pass and list (a watcher must), nobody else may write.
const META_MODE: Mode = Mode::from_bits(0o755);
const OWNER_MODE: Mode = Mode::from_bits(0o644);

/// A `dest` opened for work.
pub(super) struct Place {
    /// The directory.
    pub dest: Dir,
    /// `.certsync/<set>` in it.
    pub set: Dir,
    /// Which inode `dest` is.
    pub inode: Inode,
}

/// Whether `dest` was made by this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Made,
    Found,
}

/// Opens what is there.
pub(super) fn open(dest: &AbsPath, set: &SetName) -> Result<Place> {
    let walked = walk::to(dest)?;
    if !walked.missing.is_empty() {
        return Err(Error::new(ErrorKind::Install, dest.to_string(), "is gone"));
    }
    let wrong = |e: &io::Error| Error::io(ErrorKind::Install, dest, e);
    let gone = || Error::new(ErrorKind::Install, format!("{dest}/{META}/{set}"), "is gone");
    let meta = own_dir(&walked.dir, META).map_err(|e| wrong(&e))?.ok_or_else(gone)?;
    let set_dir = own_dir(&meta, set.as_str()).map_err(|e| wrong(&e))?.ok_or_else(gone)?;
    finish(walked.dir, set_dir).map_err(|e| wrong(&e))
}

/// Opens `dest`, making it with its owner, group and mode where it is missing, and what is missing of our folders in it.
pub(super) fn make(dest: &AbsPath, set: &SetName, rest: &InstallRest, us: &str) -> Result<(Place, Origin)> {
    let (dir, origin) = make_dest(dest, rest)?;
    let make = || -> io::Result<Place> {
        let own = crate::host::users::running_user().uid;
        let own = (own, crate::host::users::running_group().1);
        let meta = match own_dir(&dir, META)? {
            Some(meta) => meta,
            None => make_meta(&dir, own, us)?,
        };
        let set_dir = match own_dir(&meta, set.as_str())? {
            Some(found) => found,
            None => {
                let made = meta.make_finished_dir(OsStr::new(set.as_str()), own, META_MODE)?;
                meta.sync()?;
                made
            }
        };
        finish(dir, set_dir)
    };
    Ok((make().map_err(|e| Error::io(ErrorKind::Install, dest, &e))?, origin))
}

fn make_dest(dest: &AbsPath, rest: &InstallRest) -> Result<(Dir, Origin)> {
    let walked = walk::to(dest)?;
    if walked.missing.is_empty() {
        return Ok((walked.dir, Origin::Found));
    }
    let (parent, name) = walk::make_parents(dest)?;
    match parent.make_finished_dir(OsStr::new(&name), (rest.owner.id, rest.group.id), rest.dir_mode) {
        Ok(made) => {
            parent.sync().map_err(|e| Error::io(ErrorKind::Install, dest, &e))?;
            Ok((made, Origin::Made))
        }
        Err(error) => Err(Error::io(ErrorKind::Install, dest, &error)),
    }
}

/// `.certsync` appears with its `owner` file in it, so that two state directories can never both take a `dest`.
fn make_meta(dest: &Dir, own: (u32, u32), us: &str) -> io::Result<Dir> {
    let hidden = unique(".new-");
    let meta = dest.make_dir(OsStr::new(&hidden))?;
    let done = (|| {
        meta.create_file(OsStr::new(OWNER_FILE), format!("{us}\n").as_bytes(), own, OWNER_MODE)?;
        meta.sync_file(OsStr::new(OWNER_FILE))?;
        meta.adjust(own, META_MODE)?;
        dest.rename_new(OsStr::new(&hidden), dest, OsStr::new(META))?;
        dest.sync()
    })();
    if let Err(error) = done {
        let _ = dest.remove_tree(OsStr::new(&hidden));
        return Err(error);
    }
    Ok(meta)
}

fn finish(dest: Dir, set: Dir) -> io::Result<Place> {
    let stat = dest.stat()?;
    Ok(Place { dest, set, inode: Inode { dev: stat.dev, ino: stat.ino } })
}
