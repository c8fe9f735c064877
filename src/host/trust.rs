//! Files and directories that certsync believes: nobody but root and the running user may have written them.
//!
//! ACLs need no look of their own here: a named user's right to write shows in the group bits of the mode, which are then the
//! ACL's mask (acl(5)).

use super::file::read_whole;
use super::walk::{Last, Loose, Place, make_parents, to};
use super::{Dir, Durability, Stat, users};
use crate::base::{AbsPath, Error, ErrorKind, Mode, Result, escape};
use nix::unistd::{getegid, geteuid};
use std::ffi::OsStr;
use std::io;

/// Checks a file or directory that only the running user or root may have written: used for the spec and include folders.
/// Refuses (kind `Permission`, with a hint) one that others may write: as root anyone but root, otherwise anyone's write
/// permission or an owner other than root and the running user. For a file, nobody else may be able to replace it in its directory
/// either. Links on the way are followed as in [`to`].
pub fn check_trusted(path: &AbsPath) -> Result<()> {
    let place = existing(path)?;
    match &place.file {
        Some((name, stat)) => trust_file(&place, path, name, stat),
        None => trust_top(&place, path),
    }
}

/// Reads a file that only the running user or root may have written (the spec, an include), at most `limit` bytes:
/// what is judged is the descriptor that is read. Links are followed as in [`to`]. Not there or too large: kind `Spec`.
pub fn read_trusted(path: &AbsPath, limit: u64) -> Result<Vec<u8>> {
    let place = existing(path)?;
    let Some((name, _)) = &place.file else {
        return Err(place.error("is a directory").hint("name a file"));
    };
    let (fd, stat) = place.top()?.open_file(OsStr::new(name)).map_err(|error| place.fault_at(name, &error))?;
    trust_file(&place, path, name, &stat)?;
    let bytes = read_whole(fd, &stat, limit).map_err(|error| place.fault_at(name, &error))?;
    Ok(bytes.expose().to_vec())
}

/// Every name in a folder that only the running user or root may write, sorted; none where there is no such folder.
pub fn list_trusted(path: &AbsPath) -> Result<Vec<String>> {
    let place = Place::find(path, Last::Directory, ErrorKind::Spec)?;
    if !place.missing.is_empty() {
        return Ok(Vec::new());
    }
    trust_top(&place, path)?;
    let entries = place.top()?.entries().map_err(|error| place.fault(&error))?;
    let name = |entry: super::Entry| {
        entry.name.into_string().map_err(|raw| place.error(format!("a file name in it is not UTF-8: {}", escape(&raw))).hint("rename it"))
    };
    entries.into_iter().map(name).collect()
}

/// Opens the state directory, making it (0700) where it is missing. Refused: not ours, writable by others, on a network file system.
pub fn open_private(path: &AbsPath) -> Result<Dir> {
    let walk = to(path).map_err(of_state)?;
    trust_way(walk.loose.as_ref(), path)?;
    if walk.missing.is_empty() {
        check_private(&walk.dir, path)?;
        return Ok(walk.dir);
    }
    if !walk.keeps_ours().map_err(|error| state_fault(path, &error))? {
        return Err(Error::new(ErrorKind::Permission, path.as_str(), "others may write to the directory in which it is to be made")
            .hint("make it yourself where every directory above belongs to root alone, or name another one with --state-dir"));
    }
    let (parent, name) = make_parents(path, Durability::OnDisk).map_err(of_state)?;
    let owner = (geteuid().as_raw(), getegid().as_raw());
    let made = parent.make_finished_dir(OsStr::new(&name), owner, Mode::from_bits(0o700));
    let dir = match made {
        // Another run of ours was quicker; what is there must pass like any other.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => to(path).map_err(of_state)?.dir,
        other => other.map_err(|error| state_fault(path, &error))?,
    };
    check_private(&dir, path)?;
    Ok(dir)
}

/// Opens the state directory as [`open_private`] does, or nothing where it is missing.
pub fn find_private(path: &AbsPath) -> Result<Option<Dir>> {
    let walk = to(path).map_err(of_state)?;
    if !walk.missing.is_empty() {
        return Ok(None);
    }
    trust_way(walk.loose.as_ref(), path)?;
    check_private(&walk.dir, path)?;
    Ok(Some(walk.dir))
}

/// Opens a state directory that may be another user's (root's, mostly) and is only read: a gate's. Returns its owner as well; nothing where
/// it is missing. Refused: writable by others than its owner, or owned by anyone but root and the running user.
pub fn find_shared(path: &AbsPath) -> Result<Option<(Dir, u32)>> {
    let walk = to(path).map_err(of_state)?;
    if !walk.missing.is_empty() {
        return Ok(None);
    }
    trust_way(walk.loose.as_ref(), path)?;
    let stat = walk.dir.stat().map_err(|error| state_fault(path, &error))?;
    if stat.uid != 0 && stat.uid != geteuid().as_raw() {
        let cause = format!("belongs to {}", users::user_name(stat.uid));
        return Err(Error::new(ErrorKind::Permission, path.as_str(), cause).hint("only root's, or the running user's, is believed"));
    }
    if stat.is_writable_by_others(stat.uid) {
        let cause = format!("others may write to it ({})", stat.mode.ls('d'));
        return Err(Error::new(ErrorKind::Permission, path.as_str(), cause).hint(format!("chmod go-w {path}")));
    }
    Ok(Some((walk.dir, stat.uid)))
}

fn check_private(dir: &Dir, path: &AbsPath) -> Result<()> {
    let stat = dir.stat().map_err(|error| state_fault(path, &error))?;
    let me = users::running_user();
    if stat.uid != me.uid {
        let cause = format!("belongs to {}, but certsync runs as {}", users::user_name(stat.uid), me.name);
        return Err(Error::new(ErrorKind::Permission, path.as_str(), cause)
            .hint("run certsync as that user, or name another directory with --state-dir"));
    }
    if stat.is_writable_by_others(me.uid) {
        let cause = format!("others may write to it ({})", stat.mode.ls('d'));
        return Err(Error::new(ErrorKind::Permission, path.as_str(), cause).hint(format!("chmod go-w {path}")));
    }
    if dir.is_on_network().map_err(|error| state_fault(path, &error))? {
        return Err(Error::new(
            ErrorKind::State,
            path.as_str(),
            "is on a network file system, where locks and durable writes cannot be relied on",
        )
        .hint("name a directory on a local disk with --state-dir"));
    }
    Ok(())
}

/// A private directory is worth nothing where somebody can put another one of ours in its place.
fn trust_way(loose: Option<&Loose>, path: &AbsPath) -> Result<()> {
    let Some(loose) = loose else { return Ok(()) };
    let me = geteuid().as_raw();
    let whose = match loose.stat.uid {
        0 => format!("others may write to it ({})", loose.stat.mode.ls('d')),
        uid if uid == me => format!("others may write to it ({})", loose.stat.mode.ls('d')),
        uid => format!("it belongs to {}", users::user_name(uid)),
    };
    let cause = format!("others may exchange what lies in {}: {whose}", loose.at);
    Err(Error::new(ErrorKind::Permission, path.as_str(), cause)
        .hint("keep it where every directory above belongs to root alone, or make this one so"))
}

fn of_state(mut error: Error) -> Error {
    if error.kind == ErrorKind::Install {
        error.kind = ErrorKind::State;
    }
    error
}

fn state_fault(path: &AbsPath, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Error::io(ErrorKind::Permission, path, error).hint("name another directory with --state-dir"),
        _ => Error::io(ErrorKind::State, path, error),
    }
}

fn existing(path: &AbsPath) -> Result<Place> {
    let place = Place::find(path, Last::FileToo, ErrorKind::Spec)?;
    if place.missing.is_empty() {
        return Ok(place);
    }
    Err(place.error("no such file or directory"))
}

/// The directory at the end of the walk: others must not be able to add to it, so a sticky bit does not help.
fn trust_top(place: &Place, path: &AbsPath) -> Result<()> {
    trust_way(place.loose().as_ref(), path)?;
    let stat = place.top()?.stat().map_err(|error| place.fault(&error))?;
    trust(path, &[Judged { at: place.shown(""), stat, letter: 'd' }])
}

/// A file and its directory: others must not be able to replace it either, which a sticky bit prevents.
fn trust_file(place: &Place, path: &AbsPath, name: &str, stat: &Stat) -> Result<()> {
    trust_way(place.loose().as_ref(), path)?;
    let holder = place.top()?.stat().map_err(|error| place.fault(&error))?;
    let is_sticky = holder.mode.bits() & 0o1000 != 0;
    let mut both = vec![Judged { at: place.shown(name), stat: *stat, letter: '-' }];
    if !is_sticky || (holder.uid != 0 && holder.uid != geteuid().as_raw()) {
        both.insert(0, Judged { at: place.shown(""), stat: holder, letter: 'd' });
    }
    trust(path, &both)
}

/// Something that others may not write, with the letter `ls` begins its mode with.
struct Judged {
    at: String,
    stat: Stat,
    letter: char,
}

/// The cause names the first that others may write, the hint sets all of them right.
fn trust(path: &AbsPath, all: &[Judged]) -> Result<()> {
    let me = geteuid().as_raw();
    let is_foreign = |judged: &Judged| judged.stat.uid != 0 && judged.stat.uid != me;
    let Some(first) = all.iter().find(|judged| judged.stat.is_writable_by_others(me)) else { return Ok(()) };
    let what = if first.at == path.as_str() { String::new() } else { format!("{}: ", first.at) };
    let cause = if is_foreign(first) {
        format!("{what}belongs to {}, who could change what certsync does here", users::user_name(first.stat.uid))
    } else {
        format!("{what}others may write to it ({})", first.stat.mode.ls(first.letter))
    };
    let run = |command: &str, which: &dyn Fn(&Judged) -> bool| {
        let paths: Vec<&str> = all.iter().filter(|judged| which(judged)).map(|judged| judged.at.as_str()).collect();
        (!paths.is_empty()).then(|| format!("{command} {}", paths.join(" ")))
    };
    let chown = run("chown root", &is_foreign);
    let hint = if chown.is_some() && me != 0 {
        String::from("use a copy of your own, or one that belongs to root")
    } else {
        let chmod = run("chmod go-w", &|judged| judged.stat.mode.bits() & 0o022 != 0);
        chown.into_iter().chain(chmod).collect::<Vec<String>>().join(" && ")
    };
    Err(Error::new(ErrorKind::Permission, path.as_str(), cause).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::{check_trusted, list_trusted, open_private, read_trusted};
    use crate::base::ErrorKind;
    use crate::host::testing::{STRANGER, Scene, Test, needs_root};
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_that_only_we_may_write_is_read() -> Test {
        let scene = Scene::new()?;
        scene.file("spec.yaml", "version: 1\n", 0o644)?;
        symlink("spec.yaml", scene.at("link.yaml"))?;
        assert_eq!(read_trusted(&scene.abs("spec.yaml")?, 100)?, b"version: 1\n");
        assert_eq!(read_trusted(&scene.abs("link.yaml")?, 100)?, b"version: 1\n");
        check_trusted(&scene.abs("link.yaml")?)?;
        Ok(())
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_with_the_way_out() -> Test {
        let scene = Scene::new()?;
        for mode in [0o664, 0o646] {
            scene.file("spec.yaml", "", mode)?;
            let error = read_trusted(&scene.abs("spec.yaml")?, 100).err().ok_or("believed")?;
            assert_eq!(error.kind, ErrorKind::Permission);
            assert_eq!(error.hint, Some(format!("chmod go-w {}", scene.abs("spec.yaml")?)));
            assert_eq!(check_trusted(&scene.abs("spec.yaml")?), Err(error));
        }
        Ok(())
    }

    #[test]
    fn a_file_in_a_folder_that_others_may_write_is_refused_unless_it_is_sticky() -> Test {
        let scene = Scene::new()?;
        scene.folder("open", 0o777)?;
        scene.file("open/spec.yaml", "", 0o644)?;
        assert!(check_trusted(&scene.abs("open/spec.yaml")?).is_err());
        scene.file("open/both.yaml", "", 0o664)?;
        let both = format!("chmod go-w {} {}", scene.abs("open")?, scene.abs("open/both.yaml")?);
        assert_eq!(check_trusted(&scene.abs("open/both.yaml")?).err().and_then(|error| error.hint), Some(both), "one command is enough");
        scene.mode("open", 0o1777)?;
        check_trusted(&scene.abs("open/spec.yaml")?)?;
        assert!(list_trusted(&scene.abs("open")?).is_err(), "others may add includes");
        Ok(())
    }

    #[test]
    fn what_is_missing_or_too_large_is_a_fault_of_the_spec() -> Test {
        let scene = Scene::new()?;
        scene.file("long", "12345", 0o644)?;
        for (name, cause) in [("none", "no such file or directory"), ("long", "larger than 4 bytes"), ("", "is a directory")] {
            let error = read_trusted(&scene.abs(name)?, 4).err().ok_or("read")?;
            assert_eq!((error.kind, error.cause.split(" at /").next()), (ErrorKind::Spec, Some(cause)));
        }
        Ok(())
    }

    #[test]
    fn a_fifo_in_the_place_of_a_spec_keeps_nobody_waiting() -> Test {
        let scene = Scene::new()?;
        scene.fifo("spec.yaml")?;
        assert!(read_trusted(&scene.abs("spec.yaml")?, 100).is_err_and(|error| error.cause.starts_with("not a regular file")));
        Ok(())
    }

    #[test]
    fn a_folder_that_is_not_there_lists_nothing() -> Test {
        let scene = Scene::new()?;
        scene.folder("certs.d", 0o755)?;
        scene.file("certs.d/b.yaml", "", 0o644)?;
        scene.file("certs.d/a.yaml", "", 0o644)?;
        assert_eq!(list_trusted(&scene.abs("certs.d")?)?, ["a.yaml", "b.yaml"]);
        assert_eq!(list_trusted(&scene.abs("none")?)?, Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn the_state_directory_is_made_private_and_refused_when_others_may_write() -> Test {
        let scene = Scene::new()?;
        let path = scene.abs("var/lib/certsync")?;
        assert_eq!(open_private(&path)?.stat()?.mode.bits(), 0o700);
        open_private(&path)?;
        scene.mode("var/lib/certsync", 0o720)?;
        assert!(open_private(&path).is_err_and(|error| error.kind == ErrorKind::Permission));
        Ok(())
    }

    #[test]
    fn what_belongs_to_a_stranger_is_not_believed() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = Scene::new()?;
        scene.file("spec.yaml", "", 0o644)?;
        scene.folder("state", 0o700)?;
        scene.give("spec.yaml", STRANGER)?;
        scene.give("state", STRANGER)?;
        scene.file("loose.yaml", "", 0o664)?;
        scene.give("loose.yaml", STRANGER)?;
        let loose = scene.abs("loose.yaml")?;
        assert_eq!(check_trusted(&loose).err().and_then(|error| error.hint), Some(format!("chown root {loose} && chmod go-w {loose}")));
        for refused in [read_trusted(&scene.abs("spec.yaml")?, 9).err(), open_private(&scene.abs("state")?).err()] {
            assert_eq!(refused.map(|error| error.kind), Some(ErrorKind::Permission));
        }
        Ok(())
    }

    #[test]
    fn a_link_of_a_stranger_leads_nowhere() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = Scene::new()?;
        scene.file("spec.yaml", "", 0o644)?;
        symlink("spec.yaml", scene.at("link.yaml"))?;
        scene.give("link.yaml", STRANGER)?;
        assert!(read_trusted(&scene.abs("link.yaml")?, 9).is_err_and(|error| error.kind == ErrorKind::Permission));
        Ok(())
    }
}
