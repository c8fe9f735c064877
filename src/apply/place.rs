//! One `dest` opened for work: the directory, certsync's own folder in it, the set's folder in that.

use super::switch::Flush;
use crate::base::{AbsPath, Error, ErrorKind, Mode, Result, SetName};
use crate::host::{Dir, Durability, Kind, users, walk, write_atomic};
use crate::observe::{META, META_MODE, Marker, OWNER_FILE, is_leftover, marker, own_dir};
use crate::spec::InstallRest;
use crate::state::Inode;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;

const OWNER_MODE: Mode = Mode::from_bits(0o644);

/// A `dest` opened for work.
pub(super) struct Place {
    /// The directory.
    pub dest: Dir,
    /// `.certsync/<set>` in it.
    pub set: Dir,
    /// Which inode `dest` is.
    pub inode: Inode,
    /// Who could have put another directory of anybody's at `dest`.
    pub mover: Option<u32>,
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
    let mover = walked.mover();
    finish(walked.dir, set_dir, mover).map_err(|e| wrong(&e))
}

/// Opens `dest`, making it with its owner, group and mode where it is missing, and what is missing of our folders in it.
pub(super) fn make(dest: &AbsPath, set: &SetName, rest: &InstallRest, us: &str, flush: Flush) -> Result<(Place, Origin)> {
    let (dir, origin, mover) = make_dest(dest, rest, flush)?;
    let make = || -> io::Result<Place> {
        let own = (users::running_user().uid, users::running_group().1);
        let meta = match own_dir(&dir, META)? {
            Some(meta) => {
                if meta.stat_at(OsStr::new(OWNER_FILE))?.is_none() {
                    write_atomic(&meta, OsStr::new(OWNER_FILE), owner_text(us).as_bytes(), OWNER_MODE, Durability::OnDisk)?;
                }
                meta
            }
            None => {
                sweep(&dir)?;
                make_meta(&dir, own, us, flush)?
            }
        };
        let set_dir = match own_dir(&meta, set.as_str())? {
            Some(found) => found,
            None => {
                sweep(&meta)?;
                let made = meta.make_finished_dir(OsStr::new(set.as_str()), own, META_MODE)?;
                flush.sync(&meta)?;
                made
            }
        };
        finish(dir, set_dir, mover)
    };
    Ok((make().map_err(|e| Error::io(ErrorKind::Install, dest, &e))?, origin))
}

fn make_dest(dest: &AbsPath, rest: &InstallRest, flush: Flush) -> Result<(Dir, Origin, Option<u32>)> {
    let walked = walk::to(dest)?;
    let mover = walked.mover();
    if walked.missing.is_empty() {
        return Ok((walked.dir, Origin::Found, mover));
    }
    let (parent, name) = walk::make_parents(dest, flush.durability())?;
    match parent.make_finished_dir(OsStr::new(&name), (rest.owner.id, rest.group.id), rest.dir_mode) {
        Ok(made) => {
            flush.sync(&parent).map_err(|e| Error::io(ErrorKind::Install, dest, &e))?;
            Ok((made, Origin::Made, mover))
        }
        Err(error) => Err(Error::io(ErrorKind::Install, dest, &error)),
    }
}

/// `.certsync` appears with its `owner` file in it, so that two state directories can never both take a `dest`.
fn make_meta(dest: &Dir, own: (u32, u32), us: &str, flush: Flush) -> io::Result<Dir> {
    let meta = dest.make_filled_dir(OsStr::new(META), |meta| {
        meta.create_file(OsStr::new(OWNER_FILE), owner_text(us).as_bytes(), own, OWNER_MODE)?;
        if flush == Flush::Each {
            meta.sync_file(OsStr::new(OWNER_FILE))?;
        }
        meta.adjust(own, META_MODE)
    })?;
    flush.sync(dest)?;
    Ok(meta)
}

fn owner_text(us: &str) -> String {
    format!("{us}\n")
}

/// Removes what a run left here that was killed while it made a folder: it holds an `owner` file at most. Where others may write,
/// nothing is made in this way, and such a folder is somebody else's. Looks once into each directory, since thousands of sets may share one.
pub(super) fn sweep(dir: &Dir) -> io::Result<()> {
    thread_local! {
        static SWEPT: RefCell<BTreeSet<(u64, u64)>> = const { RefCell::new(BTreeSet::new()) };
    }
    let stat = dir.stat()?;
    if dir.is_exposed()? || !SWEPT.with_borrow_mut(|swept| swept.insert((stat.dev, stat.ino))) {
        return Ok(());
    }
    let own = users::running_user().uid;
    for entry in dir.entries()?.into_iter().filter(|entry| entry.kind == Kind::Dir && is_leftover(&entry.name)) {
        let Some(left) = dir.find_dir(&entry.name)?.filter(|left| left.stat().is_ok_and(|stat| stat.uid == own)) else { continue };
        if left.entries()?.iter().all(|entry| entry.name == OWNER_FILE) {
            dir.remove_tree(&entry.name)?;
        }
    }
    Ok(())
}

/// Gives certsync's own folders their mode back. Whoever owns `dest` can put another folder of root's in their place: only what
/// says that it is managed by `us` is touched.
pub(super) fn mend_folders(place: &Place, set: &SetName, us: &str) -> io::Result<()> {
    let own = |stat: &crate::host::Stat| (stat.uid, stat.gid);
    let meta = own_dir(&place.dest, META)?.ok_or(io::ErrorKind::NotFound)?;
    if marker(&meta, us)? != Marker::Us {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{META} is not the one that was looked at")));
    }
    let set_dir = own_dir(&meta, set.as_str())?.ok_or(io::ErrorKind::NotFound)?;
    meta.adjust(own(&meta.stat()?), META_MODE)?;
    set_dir.adjust(own(&set_dir.stat()?), META_MODE)
}

fn finish(dest: Dir, set: Dir, mover: Option<u32>) -> io::Result<Place> {
    let stat = dest.stat()?;
    Ok(Place { dest, set, inode: Inode { dev: stat.dev, ino: stat.ino }, mover })
}
