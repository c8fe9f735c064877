//! `certsync forget`.

use super::cli::ForgetArgs;
use super::exit::{Exit, SUCCESS};
use super::output::{Output, complain};
use super::{Stop, pass_on, place, session};
use crate::base::{AbsPath, Error, ErrorKind, escape};
use crate::fleet::{key_pair, known_hosts, parcel, runner};
use crate::host::lock::{Wait, holder, take};
use crate::host::{Dir, Kind, walk};
use crate::state::turn::{Turn, take_turn};
use crate::state::{MARKS, is_of_state};
use std::ffi::OsStr;
use std::io;

/// What the state directory holds beside what `state/` keeps in it.
const FURTHER: [&str; 9] = [
    key_pair::FOLDER,
    known_hosts::FOLDER,
    parcel::FOLDER,
    runner::DELIVERING,
    pass_on::NOTE,
    session::CACHE,
    session::LAST_RUN,
    session::LAST_SUCCESS,
    session::STANDING,
];

/// Removes what certsync keeps in a state directory, and the directory if nothing else is in it.
pub(super) fn run(args: &ForgetArgs, output: &Output) -> Result<Exit, Stop> {
    let at = place::absolute(&args.dir, ErrorKind::Usage)?;
    let failed = |error: io::Error| Error::io(ErrorKind::State, &at, &error);
    let Some(dir) = walk::find_private(&at)? else {
        output.answer(&format!("nothing to forget: {at} is not there\n"));
        return Ok(SUCCESS);
    };
    if !is_marked(&dir).map_err(failed)? {
        let error = Error::new(ErrorKind::State, at.to_string(), "is no state directory of certsync's");
        return Err(error.hint("it has neither a state, nor a lock, nor a host's own key").into());
    }
    // Who works here is waited for. Whoever comes afterwards finds nothing, and begins anew.
    let turn = take_turn(&dir, "certsync forget", Turn::Run, args.lock_timeout)?;
    let delivering = take(&dir, runner::DELIVERING, Wait::AtMost(args.lock_timeout))?;
    if delivering.is_none() {
        let cause = format!("held by {}", holder(&dir, runner::DELIVERING));
        return Err(Error::new(ErrorKind::Lock, runner::DELIVERING, cause).hint("--lock-timeout sets how long to wait").into());
    }
    let kept = clear(&dir).map_err(failed)?;
    drop((turn, delivering));
    if kept.is_empty() {
        remove(&at)?;
    }
    if output.speaks() && !kept.is_empty() {
        complain(&format!("certsync: {at}: kept what is not certsync's: {}\n", kept.join(", ")));
    }
    output.answer(&format!("forgotten: {at}; what is installed stays as it is\n"));
    Ok(SUCCESS)
}

/// Whether certsync has worked here: names such as `cache` may be anybody's.
fn is_marked(dir: &Dir) -> io::Result<bool> {
    for name in MARKS {
        if dir.stat_at(OsStr::new(name))?.is_some_and(|stat| stat.kind == Kind::File) {
            return Ok(true);
        }
    }
    key_pair::has_key(dir)
}

/// Removes what is certsync's; the names of the rest.
fn clear(dir: &Dir) -> io::Result<Vec<String>> {
    let mut kept = Vec::new();
    for entry in dir.entries()? {
        if is_ours(&entry.name) {
            dir.remove_tree(&entry.name)?;
        } else {
            kept.push(escape(&entry.name));
        }
    }
    Ok(kept)
}

fn is_ours(name: &OsStr) -> bool {
    is_of_state(name) || FURTHER.iter().any(|ours| name == *ours)
}

/// The empty directory itself.
fn remove(at: &AbsPath) -> Result<(), Error> {
    let (Some(parent), Some(name)) = (at.as_path().parent(), at.as_path().file_name()) else {
        return Ok(());
    };
    let parent = walk::to(&place::absolute(parent, ErrorKind::Usage)?)?;
    match parent.dir.remove_dir(name) {
        // It may be where something is mounted, or somebody has begun anew.
        Err(error)
            if !matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy | io::ErrorKind::NotADirectory) =>
        {
            Err(Error::io(ErrorKind::State, at, &error))
        }
        _ => Ok(()),
    }
}
