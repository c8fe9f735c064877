//! The walk to a `dest`: every step from `/` relative to a checked descriptor.

use super::identity::me;
use super::trodden::Trodden;
use super::{Dir, Durability, Kind, Stat, users};
use crate::base::{AbsPath, Error, ErrorKind, Mode, Result, escape};
use nix::unistd::{getegid, geteuid};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

pub use super::trust::{check_trusted, find_private, find_shared, list_trusted, open_private, read_trusted};

/// Where a walk ended.
pub struct Walk {
    /// The deepest directory that exists.
    pub dir: Dir,
    /// The steps that are missing below it; none: `dir` is the whole path.
    pub missing: Vec<String>,
    /// Whether only root and the running user can rename or replace what lies in the last existing directory's parent
    /// (needed before an existing `dest` may be given another owner or mode).
    pub parent_is_safe: bool,
    /// Where others could have put another directory in the way, if they could.
    pub(super) loose: Option<Loose>,
}

impl Walk {
    /// The user who could have put somebody else's directory in the place of this one; nobody in particular where more than one could.
    pub fn mover(&self) -> Option<u32> {
        self.loose.as_ref().map(|loose| loose.mover)
    }

    /// Whether nobody else can exchange what we make in the deepest directory that exists.
    pub(super) fn keeps_ours(&self) -> io::Result<bool> {
        let here = self.dir.stat()?;
        Ok(self.loose.is_none() && mover(&here, &Stat { uid: me(), ..here }).is_none())
    }
}

/// A directory on the way in which others may rename what lies in it.
#[derive(Debug, Clone)]
pub(super) struct Loose {
    /// Where it is.
    pub at: String,
    /// What it is like.
    pub stat: Stat,
    /// Who may, where it is one user.
    pub mover: u32,
}

/// A user who owns nothing and is in no group of anybody's: Linux's overflow uid.
const NOBODY: u32 = 65534;

/// As many links as the kernel itself follows on one path (path_resolution(7)).
pub(super) const MOST_LINKS: u32 = 40;

/// Walks to `path`. A symlink step is followed only if root or the running user owns the link and the
/// directory it lies in and nobody else may write there (sticky directories count as writable by others); anything
/// else in the way is an error of kind `Permission` or `Install` with a hint.
pub fn to(path: &AbsPath) -> Result<Walk> {
    let mut place = Place::find(path, Last::Directory, ErrorKind::Install)?;
    let parent_is_safe = place.parent_is_safe();
    let loose = place.loose();
    let dir = place.last()?;
    Ok(Walk { dir, missing: place.missing, parent_is_safe, loose })
}

/// Walks to `path` and makes what is missing: directories in between root-owned (the running user's) 0755, made under
/// a random name, checked, then renamed into place without replacing; returns the last existing or made directory
/// above the last missing step with that step's name left to the caller. Where nothing is missing: the directory that holds
/// the one `path` leads to, and its name there. With [`Durability::OnDisk`] each directory made is on disk, but for the last one's
/// owner and mode, which an fsync of it brings there together with the name made in it.
pub fn make_parents(path: &AbsPath, durability: Durability) -> Result<(Dir, String)> {
    let mut place = Place::find(path, Last::Directory, ErrorKind::Install)?;
    let Some(name) = place.missing.pop() else {
        place.trodden.stack.pop();
        return match (place.last(), place.trodden.names.pop()) {
            (Ok(dir), Some(name)) => Ok((dir, name)),
            _ => Err(place.error("the root directory itself cannot be a place for certificates")),
        };
    };
    let mut dir = place.last()?;
    let owner = (geteuid().as_raw(), getegid().as_raw());
    for missing in std::mem::take(&mut place.missing) {
        let made = dir.make_finished_dir(OsStr::new(&missing), owner, Mode::from_bits(0o755)).and_then(|made| match durability {
            Durability::OnDisk => dir.sync().map(|()| made),
            Durability::Eventually => Ok(made),
        });
        place.trodden.names.push(missing);
        dir = made.map_err(|error| place.fault(&error))?;
    }
    Ok((dir, name))
}

/// What may stand at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// A directory or nothing.
    Directory,
    /// A file as well.
    FileToo,
}

/// Where a path leads, with every directory on the way held open.
pub(super) struct Place {
    /// What was asked for.
    path: AbsPath,
    /// The kind of errors that are not about rights.
    kind: ErrorKind,
    /// The way so far.
    trodden: Trodden,
    /// The first of them that somebody other than root and the running user could have put there.
    loose: Option<usize>,
    /// Steps that are not there.
    pub(super) missing: Vec<String>,
    /// The last step, where it is no directory.
    pub(super) file: Option<(String, Stat)>,
    /// Links followed.
    links: u32,
}

impl Place {
    /// Walks to `path`; links are followed under the rule of [`to`].
    pub(super) fn find(path: &AbsPath, last: Last, kind: ErrorKind) -> Result<Place> {
        let mut place =
            Place { path: path.clone(), kind, trodden: Trodden::default(), loose: None, missing: Vec::new(), file: None, links: 0 };
        let (above, name) = path.as_str().rsplit_once('/').unwrap_or_default();
        if let Some(known) = Trodden::recall(above) {
            place.trodden = known;
        } else {
            let root = Dir::root().and_then(|root| Ok((root.stat()?, root))).map_err(|error| place.fault(&error))?;
            place.trodden.stats.push(root.0);
            place.trodden.stack.push(Rc::new(root.1));
            place.steps(above, Last::Directory)?;
            if place.loose.is_none() && place.missing.is_empty() {
                place.trodden.remember(above);
            }
        }
        place.steps(name, last)?;
        Ok(place)
    }

    fn steps(&mut self, path: &str, last: Last) -> Result<()> {
        let mut rest: VecDeque<OsString> = path.split('/').filter(|step| !step.is_empty()).map(OsString::from).collect();
        while let Some(step) = rest.pop_front() {
            self.take(&step, &mut rest, last)?;
        }
        Ok(())
    }

    /// The deepest directory, for good.
    fn last(&mut self) -> Result<Dir> {
        let dir = self.trodden.stack.pop().ok_or_else(|| self.error("is not a path"))?;
        Rc::try_unwrap(dir).or_else(|shared| shared.try_clone()).map_err(|error| self.fault(&error))
    }

    fn take(&mut self, step: &OsStr, rest: &mut VecDeque<OsString>, last: Last) -> Result<()> {
        if step == "." || step.is_empty() {
            return Ok(());
        }
        if step == ".." {
            return self.up();
        }
        let name = step.to_str().ok_or_else(|| self.error(format!("a link leads to a name that is not UTF-8: {}", escape(step))))?;
        if !self.missing.is_empty() {
            self.missing.push(name.to_owned());
            return Ok(());
        }
        let found = self.top()?.stat_at(step).map_err(|error| self.fault_at(name, &error))?;
        match found {
            None => self.missing.push(name.to_owned()),
            Some(dir @ Stat { kind: Kind::Dir, .. }) => self.enter(name, dir)?,
            Some(link @ Stat { kind: Kind::Link, .. }) => self.follow(name, &link, rest)?,
            Some(other) if last == Last::FileToo && rest.is_empty() => self.file = Some((name.to_owned(), other)),
            Some(_) => {
                return Err(self
                    .error(format!("{} is in the way and is no directory", self.shown(name)))
                    .hint("move it away, or name another place"));
            }
        }
        Ok(())
    }

    /// The look at it was taken before it was opened: where nobody else can exchange it, it is the same.
    fn enter(&mut self, name: &str, stat: Stat) -> Result<()> {
        let dir = self.top()?.open_dir(OsStr::new(name)).map_err(|error| self.fault_at(name, &error))?;
        if self.loose.is_none() && self.trodden.stats.last().is_none_or(|above| mover(above, &stat).is_some()) {
            self.loose = Some(self.trodden.stack.len());
        }
        self.trodden.stack.push(Rc::new(dir));
        self.trodden.stats.push(stat);
        self.trodden.names.push(name.to_owned());
        Ok(())
    }

    /// Goes back to the first `length` directories.
    fn back_to(&mut self, length: usize) {
        self.trodden.stack.truncate(length);
        self.trodden.stats.truncate(length);
        self.trodden.names.truncate(length.saturating_sub(1));
        self.loose = self.loose.filter(|loose| *loose < length);
    }

    /// `..` of a link's target: back to the directory we came through, which is checked and still open.
    fn up(&mut self) -> Result<()> {
        if !self.missing.is_empty() {
            return Err(self.error("a link on the way leads through a directory that is not there"));
        }
        self.back_to(self.trodden.stack.len().saturating_sub(1).max(1));
        Ok(())
    }

    fn follow(&mut self, name: &str, link: &Stat, rest: &mut VecDeque<OsString>) -> Result<()> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(self.error(format!("more than {MOST_LINKS} links on the way, the last of them {}", self.shown(name))));
        }
        let here = self.top()?;
        let holder = here.stat().map_err(|error| self.fault(&error))?;
        self.trust_link(name, link, &holder)?;
        let target = self.top()?.read_link(OsStr::new(name)).map_err(|error| self.fault_at(name, &error))?;
        if target.as_bytes().starts_with(b"/") {
            self.back_to(1);
        }
        for step in target.as_bytes().split(|byte| *byte == b'/').rev() {
            rest.push_front(OsStr::from_bytes(step).to_owned());
        }
        Ok(())
    }

    fn trust_link(&self, name: &str, link: &Stat, holder: &Stat) -> Result<()> {
        let me = me();
        let why = if link.uid != 0 && link.uid != me {
            format!("it belongs to {}", users::user_name(link.uid))
        } else if holder.uid != 0 && holder.uid != me {
            format!("it lies in a directory of {}", users::user_name(holder.uid))
        } else if holder.is_writable_by_others(me) {
            format!("others may write to the directory it lies in ({})", holder.mode.ls('d'))
        } else if let Some(loose) = self.loose() {
            format!("others may exchange what lies in {}", loose.at)
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Permission, self.path.as_str(), format!("the link {} is not followed: {why}", self.shown(name)))
            .hint("name the directory that the link leads to, or make the link and its directory root's alone"))
    }

    /// Whether only root and the running user may write to the directory above the last one, and to all above that.
    fn parent_is_safe(&self) -> bool {
        let above = self.trodden.stats.len().checked_sub(2).and_then(|above| self.trodden.stats.get(above));
        self.loose.is_none() && above.is_none_or(|parent| !parent.is_writable_by_others(me()))
    }

    /// The first directory on the way in which others may exchange the next one.
    pub(super) fn loose(&self) -> Option<Loose> {
        let index = self.loose?;
        let (above, below) = (self.trodden.stats.get(index.checked_sub(1)?)?, self.trodden.stats.get(index)?);
        let names = self.trodden.names.get(..index - 1)?;
        let at =
            if names.is_empty() { "/".to_owned() } else { names.iter().map(|name| format!("/{}", crate::base::printable(name))).collect() };
        Some(Loose { at, stat: *above, mover: mover(above, below)? })
    }

    /// The deepest directory.
    pub(super) fn top(&self) -> Result<&Dir> {
        self.trodden.stack.last().map(Rc::as_ref).ok_or_else(|| self.error("is not a path"))
    }

    /// The directory reached, or a name in it, for an error.
    pub(super) fn shown(&self, name: &str) -> String {
        let mut out = String::new();
        for step in self.trodden.names.iter().map(String::as_str).chain([name]).filter(|step| !step.is_empty()) {
            out.push('/');
            out.push_str(&crate::base::printable(step));
        }
        if out.is_empty() { "/".into() } else { out }
    }

    pub(super) fn error(&self, cause: impl Into<String>) -> Error {
        Error::new(self.kind, self.path.as_str(), cause)
    }

    /// An operating system error at the directory reached.
    pub(super) fn fault(&self, error: &io::Error) -> Error {
        self.fault_at("", error)
    }

    /// An operating system error at a name in the directory reached.
    pub(super) fn fault_at(&self, name: &str, error: &io::Error) -> Error {
        let kind = if error.kind() == io::ErrorKind::PermissionDenied { ErrorKind::Permission } else { self.kind };
        let mut out = Error::io(kind, &self.path, error);
        let at = self.shown(name);
        if at != self.path.as_str() {
            out.cause = format!("{} at {at}", out.cause);
        }
        if kind == ErrorKind::Permission { out.hint(rights_hint()) } else { out }
    }
}

/// Who else than root and the running user may put another directory of anybody's in the place of `below`. In a sticky directory
/// only the owners of an entry and of the directory may (unlink(2), EPERM).
fn mover(above: &Stat, below: &Stat) -> Option<u32> {
    let me = me();
    let is_ours = |uid: u32| uid == 0 || uid == me;
    if !is_ours(above.uid) {
        return Some(above.uid);
    }
    if above.mode.bits() & 0o022 == 0 || (above.mode.bits() & 0o1000 != 0 && is_ours(below.uid)) {
        return None;
    }
    Some(if above.mode.bits() & 0o1000 != 0 { below.uid } else { NOBODY })
}

/// The way out where rights are missing.
fn rights_hint() -> String {
    if geteuid().is_root() {
        "root itself is kept out: look at the mount options, the file's attributes (lsattr) and SELinux or AppArmor".into()
    } else {
        format!("certsync runs as {}; run it as root, or give that user the rights", users::running_user().name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Durability, make_parents, to};
    use crate::base::ErrorKind;
    use crate::host::testing::{STRANGER, Scene, Test, needs_root};
    use std::os::unix::fs::symlink;

    #[test]
    fn a_walk_names_what_is_missing() -> Test {
        let scene = Scene::new()?;
        scene.folder("a", 0o755)?;
        let walk = to(&scene.abs("a/b/c")?)?;
        assert_eq!(walk.missing, ["b", "c"]);
        assert_eq!(walk.dir.stat()?.ino, scene.ino("a")?);
        assert!(to(&scene.abs("a")?)?.missing.is_empty());
        Ok(())
    }

    #[test]
    fn links_of_ours_are_followed_with_all_their_turns() -> Test {
        let scene = Scene::new()?;
        for folder in ["a", "a/b", "c", "c/d"] {
            scene.folder(folder, 0o755)?;
        }
        symlink("../../c/./d/", scene.at("a/b/relative"))?;
        symlink(scene.at("a/b/relative"), scene.at("absolute"))?;
        assert_eq!(to(&scene.abs("absolute")?)?.dir.stat()?.ino, scene.ino("c/d")?);
        let (dir, name) = make_parents(&scene.abs("absolute")?, Durability::OnDisk)?;
        assert_eq!((dir.stat()?.ino, name.as_str()), (scene.ino("c")?, "d"));
        Ok(())
    }

    #[test]
    fn a_loop_of_links_ends() -> Test {
        let scene = Scene::new()?;
        symlink("two", scene.at("one"))?;
        symlink("one", scene.at("two"))?;
        let error = to(&scene.abs("one")?).err().ok_or("walked")?;
        assert!(error.cause.starts_with("more than 40 links"), "{error}");
        Ok(())
    }

    #[test]
    fn a_link_in_a_directory_that_others_may_write_is_not_followed_even_if_sticky() -> Test {
        let scene = Scene::new()?;
        scene.folder("open", 0o755)?;
        symlink("/", scene.at("open/link"))?;
        for mode in [0o1777, 0o775] {
            scene.mode("open", mode)?;
            let error = to(&scene.abs("open/link/x")?).err().ok_or("followed")?;
            assert_eq!(error.kind, ErrorKind::Permission);
            assert!(error.hint.is_some());
        }
        Ok(())
    }

    #[test]
    fn a_file_in_the_way_is_named() -> Test {
        let scene = Scene::new()?;
        scene.file("file", "", 0o644)?;
        let error = to(&scene.abs("file/x")?).err().ok_or("walked")?;
        assert_eq!((error.kind, error.cause), (ErrorKind::Install, format!("{} is in the way and is no directory", scene.abs("file")?)));
        Ok(())
    }

    #[test]
    fn a_parent_is_safe_where_nobody_else_may_write() -> Test {
        let scene = Scene::new()?;
        scene.folder("parent", 0o755)?;
        scene.folder("parent/dest", 0o777)?;
        assert!(to(&scene.abs("parent/dest")?)?.parent_is_safe);
        scene.mode("parent", 0o1777)?;
        assert!(!to(&scene.abs("parent/dest")?)?.parent_is_safe);
        Ok(())
    }

    #[test]
    fn a_parent_is_not_safe_where_a_directory_above_it_can_be_exchanged() -> Test {
        let scene = Scene::new()?;
        scene.folder("above", 0o755)?;
        scene.folder("above/parent", 0o755)?;
        scene.folder("above/parent/dest", 0o755)?;
        symlink("dest", scene.at("above/parent/link"))?;
        let path = scene.abs("above/parent/dest")?;
        for (mode, safe, mover) in [(0o755, true, None), (0o1777, true, None), (0o777, false, Some(65534)), (0o775, false, Some(65534))] {
            scene.mode("above", mode)?;
            let walk = to(&path)?;
            assert_eq!((walk.parent_is_safe, walk.mover()), (safe, mover), "{mode:o}");
            let linked = to(&scene.abs("above/parent/link")?);
            assert_eq!(linked.is_ok(), safe, "a link is followed only where nobody can exchange what it lies in");
        }
        assert_eq!(to(&path)?.loose.map(|loose| loose.at), Some(scene.abs("above")?.to_string()));
        if needs_root() {
            return Ok(());
        }
        scene.mode("above", 0o1777)?;
        scene.give("above/parent", STRANGER)?;
        assert_eq!(to(&path)?.mover(), Some(STRANGER), "he may exchange what is his own, sticky bit or not");
        scene.give("above/parent", 0)?;
        scene.give("above", STRANGER)?;
        assert_eq!(to(&path)?.mover(), Some(STRANGER));
        Ok(())
    }

    #[test]
    fn directories_in_between_are_made_and_the_last_one_is_left() -> Test {
        let scene = Scene::new()?;
        let (dir, name) = make_parents(&scene.abs("a/b/c")?, Durability::OnDisk)?;
        assert_eq!((dir.stat()?.ino, name.as_str()), (scene.ino("a/b")?, "c"));
        assert_eq!(dir.stat()?.mode.bits(), 0o755);
        assert_eq!(std::fs::read_dir(scene.at("a"))?.count(), 1, "nothing temporary is left");
        assert!(make_parents(&"/".parse()?, Durability::OnDisk).is_err());
        Ok(())
    }

    #[test]
    fn a_strangers_directory_is_passed_but_his_links_are_not() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = Scene::new()?;
        scene.folder("home", 0o755)?;
        scene.folder("home/dest", 0o755)?;
        symlink("/etc", scene.at("home/planted"))?;
        symlink("dest", scene.at("home/ours"))?;
        for name in ["home", "home/planted"] {
            scene.give(name, STRANGER)?;
        }
        assert!(!to(&scene.abs("home/dest")?)?.parent_is_safe);
        for link in ["home/planted/ssl", "home/ours"] {
            assert!(to(&scene.abs(link)?).is_err_and(|error| error.kind == ErrorKind::Permission), "{link}");
        }
        Ok(())
    }
}
