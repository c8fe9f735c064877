//! Following links in sources without lending root's rights to whoever planted one.
//!
//! While everything on the way belongs to root, each step is taken by itself and looked at. From the first directory or link that
//! belongs to another user, the rest is the kernel's business, under that user's rights: it can lead nowhere that
//! user could not go, but for the links of `/proc`, which are not followed (see `resolve`).

use super::identity::Identity;
use super::resolve::open_through_links;
use super::walk::MOST_LINKS;
use super::{Dir, Kind, Stat};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode as Bits, fstat};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

/// A directory and the rights to use in it.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) dir: Dir,
    pub(super) who: Identity,
}

/// Where a path leads: `rest` in `spot`, to be used under its rights. `rest` is one name that is no link, or `.`, or, where
/// [`Identity::may_follow`] says so, any path.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    pub(super) spot: Rc<Spot>,
    pub(super) rest: OsString,
}

/// Directories that links of one folder led to: the files of a set mostly share theirs.
pub(super) type Heads = BTreeMap<OsString, Reached>;

const FOLLOW: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);
/// What is at the end of links, to be looked at only.
const AIM: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);
const LOOK: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl Spot {
    /// A directory that was just opened, with the rights it is to be read with, coming from `before`.
    pub(super) fn new(dir: Dir, before: &Identity) -> io::Result<Spot> {
        let who = match before {
            Identity::Own => Identity::for_owner(dir.stat()?.uid),
            taken @ Identity::User(_) => taken.clone(),
        };
        Ok(Spot { dir, who })
    }
}

impl Reached {
    /// Metadata of what is there. To be called under the rights of `spot`.
    pub(super) fn stat(&self) -> io::Result<Stat> {
        if self.rest == "." {
            return self.spot.dir.stat();
        }
        if !self.spot.who.may_follow() {
            return self.spot.dir.stat_at(&self.rest)?.ok_or_else(|| Errno::ENOENT.into());
        }
        Ok(Stat::from(&fstat(open_through_links(&self.spot.dir, &self.rest, AIM)?)?))
    }

    /// Opens the regular file that is there. To be called under the rights of `spot`.
    pub(super) fn open_file(&self) -> io::Result<(OwnedFd, Stat)> {
        if !self.spot.who.may_follow() {
            return self.spot.dir.open_file(&self.rest);
        }
        let fd = open_through_links(&self.spot.dir, &self.rest, FOLLOW)?;
        let stat = Stat::from(&fstat(&fd)?);
        if stat.kind != Kind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok((fd, stat))
    }

    /// Opens the directory that is there. To be called under the rights of `spot`.
    pub(super) fn open_dir(&self) -> io::Result<Dir> {
        let flags = FOLLOW | OFlag::O_DIRECTORY;
        let fd = if self.spot.who.may_follow() {
            open_through_links(&self.spot.dir, &self.rest, flags)?
        } else {
            openat(self.spot.dir.fd(), self.rest.as_os_str(), flags | OFlag::O_NOFOLLOW, Bits::empty())?
        };
        Ok(Dir::from_fd(fd))
    }

    /// The same with one or more steps below.
    fn below(&self, steps: &OsStr) -> Reached {
        let mut rest = self.rest.clone();
        rest.push("/");
        rest.push(steps);
        Reached { spot: Rc::clone(&self.spot), rest }
    }
}

/// Where `path`, taken from `spot`, leads.
pub(super) fn reach(spot: &Rc<Spot>, path: &OsStr) -> io::Result<Reached> {
    if spot.who.may_follow() {
        return Ok(Reached { spot: Rc::clone(spot), rest: path.to_owned() });
    }
    step_by_step(spot, path)
}

/// Where the link `name` in `spot` leads.
pub(super) fn reach_link(spot: &Rc<Spot>, name: &OsStr, heads: &mut Heads) -> io::Result<Reached> {
    if spot.who.may_follow() {
        return Ok(Reached { spot: Rc::clone(spot), rest: name.to_owned() });
    }
    let link = read_link(&spot.dir, name)?;
    if let who @ Identity::User(_) = Identity::for_owner(link.owner) {
        return Ok(Reached { spot: Rc::new(Spot { dir: spot.dir.try_clone()?, who }), rest: link.target });
    }
    let target = link.target.as_bytes();
    let Some(slash) = target.iter().rposition(|byte| *byte == b'/') else {
        return step_by_step(spot, &link.target);
    };
    let (head, tail) = (OsStr::from_bytes(&target[..=slash]), OsStr::from_bytes(&target[slash + 1..]));
    let head = match heads.get(head) {
        Some(known) => known.clone(),
        None => {
            let found = step_by_step(spot, head)?;
            heads.insert(head.to_owned(), found.clone());
            found
        }
    };
    if head.spot.who.may_follow() {
        return Ok(head.below(tail));
    }
    if head.rest != "." {
        return Err(Errno::ENOTDIR.into());
    }
    step_by_step(&head.spot, tail)
}

/// Takes the steps one by one while they belong to root.
fn step_by_step(spot: &Rc<Spot>, path: &OsStr) -> io::Result<Reached> {
    let mut here = Rc::clone(spot);
    let mut steps = Steps::of(path);
    let mut links = 0;
    if path.as_bytes().starts_with(b"/") {
        here = Rc::new(Spot { dir: Dir::root()?, who: Identity::Own });
    }
    while let Some(step) = steps.next() {
        let next = if step == ".." { Look::Dir(here.dir.parent()?) } else { look(&here.dir, &step)? };
        match next {
            Look::Dir(dir) => here = Rc::new(Spot::new(dir, &Identity::Own)?),
            Look::Link(link) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                steps.put_first(&link.target);
                if let who @ Identity::User(_) = Identity::for_owner(link.owner) {
                    let dir = if link.target.as_bytes().starts_with(b"/") { Dir::root()? } else { here.dir.try_clone()? };
                    here = Rc::new(Spot { dir, who });
                } else if link.target.as_bytes().starts_with(b"/") {
                    here = Rc::new(Spot { dir: Dir::root()?, who: Identity::Own });
                }
            }
            Look::Else if steps.is_empty() => return Ok(Reached { spot: here, rest: step }),
            Look::Else => return Err(Errno::ENOTDIR.into()),
        }
        if here.who.may_follow() {
            let rest = steps.joined();
            return Ok(Reached { spot: here, rest });
        }
    }
    Ok(Reached { spot: here, rest: ".".into() })
}

/// Steps still to be taken.
pub(super) struct Steps {
    rest: VecDeque<OsString>,
}

impl Steps {
    pub(super) fn of(path: &OsStr) -> Steps {
        let mut steps = Steps { rest: VecDeque::new() };
        steps.put_first(path);
        steps
    }

    pub(super) fn next(&mut self) -> Option<OsString> {
        self.rest.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn put_first(&mut self, path: &OsStr) {
        for step in path.as_bytes().split(|byte| *byte == b'/').rev().filter(|step| !step.is_empty() && *step != b".") {
            self.rest.push_front(OsStr::from_bytes(step).to_owned());
        }
    }

    fn joined(&self) -> OsString {
        if self.rest.is_empty() {
            return ".".into();
        }
        let steps: Vec<&OsStr> = self.rest.iter().map(OsString::as_os_str).collect();
        steps.join(OsStr::new("/"))
    }
}

/// What a name is, with what is needed to go on.
enum Look {
    Dir(Dir),
    Link(Link),
    Else,
}

struct Link {
    owner: u32,
    target: OsString,
}

fn look(dir: &Dir, name: &OsStr) -> io::Result<Look> {
    match dir.stat_at(name)?.ok_or(Errno::ENOENT)?.kind {
        Kind::Dir => Ok(Look::Dir(dir.open_dir(name)?)),
        Kind::Link => Ok(Look::Link(read_link(dir, name)?)),
        Kind::File | Kind::Other => Ok(Look::Else),
    }
}

/// Owner and target are read from one descriptor: in a directory where others may write, the link could be another one a moment later.
fn read_link(dir: &Dir, name: &OsStr) -> io::Result<Link> {
    let fd = openat(dir.fd(), name, LOOK, Bits::empty())?;
    let owner = fstat(&fd)?.st_uid;
    Ok(Link { owner, target: readlinkat(&fd, "")? })
}
