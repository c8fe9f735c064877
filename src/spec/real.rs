//! Where paths lead to, as far as nobody but root and the running user has a say in it.

use super::surroundings::{Found, FoundKind, Surroundings};
use super::together::upward;
use crate::base::AbsPath;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows on one path (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// Where paths lead to. Each step of a path is looked at once, since ten thousand sets share most of theirs.
///
/// What others could steer is not believed, or the owner of one directory could make every set of the host a fault: a link is followed
/// only if root or the running user owns it and alone may write to the directory it lies in. Where one is not, the look
/// ends; installing there fails later, for that set alone.
pub struct Real<'a> {
    surroundings: &'a Surroundings,
    /// Paths with all links followed; nothing where they do not exist.
    paths: HashMap<String, Option<PathBuf>>,
    /// By path; as text, since a `Path` is hashed step by step.
    seen: HashMap<OsString, Option<Found>>,
}

impl<'a> Real<'a> {
    /// On the host that `surroundings` tells of.
    pub fn new(surroundings: &'a Surroundings) -> Self {
        Real { surroundings, paths: HashMap::new(), seen: HashMap::new() }
    }

    /// The deepest part of `path` that exists, with links followed, and whether that is the whole path.
    pub(super) fn existing(&mut self, path: &AbsPath) -> Option<(PathBuf, bool)> {
        self.deepest(path).map(|(real, covered)| (real, covered == path.as_path()))
    }

    /// The deepest part of `path` that exists: with links followed, and as it is written.
    pub fn deepest<'p>(&mut self, path: &'p AbsPath) -> Option<(PathBuf, &'p Path)> {
        let unknown: Vec<&str> = upward(path.as_str()).take_while(|up| !self.paths.contains_key(*up)).collect();
        for up in unknown.into_iter().rev() {
            let real = match up.rsplit_once('/').filter(|(_, name)| !name.is_empty()) {
                Some((parent, name)) => {
                    let parent = if parent.is_empty() { "/" } else { parent };
                    self.paths.get(parent).cloned().flatten().and_then(|parent| self.step(&parent, OsStr::new(name), &mut 0))
                }
                None => Some(PathBuf::from(up)),
            };
            self.paths.insert(up.to_owned(), real);
        }
        upward(path.as_str()).find_map(|up| Some((self.paths.get(up)?.clone()?, Path::new(up))))
    }

    /// Where a path that exists leads.
    pub(super) fn whole(&mut self, path: PathBuf) -> Option<PathBuf> {
        let (real, whole) = self.existing(&AbsPath::try_from(path).ok()?)?;
        whole.then_some(real)
    }

    /// One step below a directory whose links have been followed.
    fn step(&mut self, holder: &Path, name: &OsStr, links: &mut u32) -> Option<PathBuf> {
        let path = holder.join(name);
        let found = self.look(&path)?;
        if found.kind != FoundKind::Link {
            return Some(path);
        }
        *links += 1;
        let me = self.surroundings.running.user.uid;
        let ours = found.is_of(me) && self.look(holder).is_some_and(|holder| holder.is_of(me) && !holder.shared);
        if !ours || *links > MOST_LINKS {
            return None;
        }
        let mut here = holder.to_owned();
        for step in (self.surroundings.target)(&path)?.components() {
            match step {
                Component::RootDir => here = PathBuf::from("/"),
                Component::ParentDir => drop(here.pop()),
                Component::Normal(name) => here = self.step(&here, name, links)?,
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Some(here)
    }

    fn look(&mut self, path: &Path) -> Option<Found> {
        if let Some(found) = self.seen.get(path.as_os_str()) {
            return *found;
        }
        let found = (self.surroundings.look)(path);
        self.seen.insert(path.as_os_str().to_owned(), found);
        found
    }

    pub(super) fn inode(&mut self, path: &Path) -> Option<(u64, u64)> {
        self.look(path).map(|found| found.inode)
    }

    /// Whether this is a directory that root or the running user put there: both it and the one it lies in are theirs.
    pub(super) fn is_own_directory(&mut self, path: &Path) -> bool {
        let me = self.surroundings.running.user.uid;
        let is_own = |found: Option<Found>| found.is_some_and(|found| found.kind == FoundKind::Dir && found.is_of(me));
        is_own(self.look(path)) && path.parent().is_some_and(|holder| is_own(self.look(holder)))
    }
}
