//! Places that may not meet: two installs, a `dest` and a source (by name, by what links lead to, by device and inode),
//! a `dest` and what certbot renews.

use super::super::desired::DesiredSet;
use super::super::expand::NAME;
use super::super::fault::Pos;
use super::super::surroundings::{Found, FoundKind};
use super::super::together::{Clash, Conflict, clashes, upward};
use super::Context;
use super::sets::Sets;
use crate::base::{AbsPath, SetName};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

impl Sets {
    /// Checks everything that needs all installs at once.
    pub(super) fn check_places(&self, context: &Context<'_>) {
        let sets = self.with_patterns();
        let mut said = HashSet::new();
        for clash in clashes(&sets) {
            if let Conflict::Source(_) = clash.what {
                said.insert(clash.at);
            }
            // Two sets of one name have been said when the files were merged.
            if clash.what != Conflict::SameSet {
                self.report(context, &sets, &clash);
            }
        }
        let mut real = Real::new(context);
        self.check_sources(&sets, &mut real, &said);
        self.check_certbot(&sets, &mut real);
    }

    /// All sets; a pattern as the set that it would make of a directory called `{name}`.
    fn with_patterns(&self) -> Vec<DesiredSet> {
        let patterns = self.patterns.iter().filter_map(|pattern| {
            let name: SetName = NAME.parse().ok()?;
            Some(DesiredSet { name: pattern.name.clone(), source: pattern.parent.clone(), ..pattern.expand(&name).ok()? })
        });
        self.sets.iter().cloned().chain(patterns).collect()
    }

    fn report(&self, context: &Context<'_>, sets: &[DesiredSet], clash: &Clash) {
        let other = clash.other.and_then(|(set, _)| sets.get(set)).map_or("", |set| set.name.as_str());
        context.reporter.fault(self.place(sets, clash), clash.what.message(other), clash.what.hint().map(str::to_owned));
    }

    /// The file's name where the clash is about a file, else the `dest`.
    fn place(&self, sets: &[DesiredSet], clash: &Clash) -> Pos {
        let Some(place) = self.places.get(clash.at.0).and_then(|set| set.installs.get(clash.at.1)) else { return Pos::default() };
        let (Conflict::SameFile(path) | Conflict::SameFileHere(path)) = &clash.what else { return place.dest };
        let install = &sets[clash.at.0].installs[clash.at.1];
        let rule = install.files.as_ref().and_then(|files| files.iter().rposition(|rule| install.dest.join(&rule.name).as_str() == path));
        rule.and_then(|rule| place.files.get(rule).copied()).unwrap_or(place.dest)
    }

    fn dest_pos(&self, at: (usize, usize)) -> Pos {
        self.places.get(at.0).and_then(|set| set.installs.get(at.1)).map(|place| place.dest).unwrap_or_default()
    }

    /// Overlaps that the names do not show: through links, or one directory mounted twice.
    fn check_sources(&self, sets: &[DesiredSet], real: &mut Real<'_>, said: &HashSet<(usize, usize)>) {
        let mut sources: HashMap<PathBuf, usize> = HashMap::new();
        let mut source_inodes: HashMap<(u64, u64), usize> = HashMap::new();
        for (index, set) in sets.iter().enumerate() {
            if let Some(path) = real.existing(&set.source).filter(|(_, whole)| *whole).map(|(path, _)| path) {
                source_inodes.extend(real.inode(&path).map(|inode| (inode, index)));
                sources.entry(path).or_insert(index);
            }
        }
        let mut dests: HashMap<(u64, u64), (usize, usize)> = HashMap::new();
        for (at, dest) in each_dest(sets).filter(|(at, _)| !said.contains(at)) {
            let Some((path, whole)) = real.existing(&fixed_part(&dest)) else { continue };
            let hit = path.ancestors().find_map(|up| sources.get(up).copied().or_else(|| source_inodes.get(&real.inode(up)?).copied()));
            if let Some(source) = hit {
                self.overlap(real.context, sets, at, source);
            } else if whole && !dest.as_str().contains(NAME) {
                dests.extend(real.inode(&path).map(|inode| (inode, at)));
            }
        }
        for (path, source) in &sources {
            let hit = path.ancestors().find_map(|up| dests.get(&real.inode(up)?));
            if let Some(at) = hit.filter(|at| !said.contains(at)) {
                self.overlap(real.context, sets, *at, *source);
            }
        }
    }

    fn overlap(&self, context: &Context<'_>, sets: &[DesiredSet], at: (usize, usize), source: usize) {
        let what = Conflict::Source(sets[source].source.clone());
        let hint = "they are one directory through a link or a mount; certsync must not write where it reads";
        context.fault(self.dest_pos(at), what.message(sets[source].name.as_str()), hint);
    }

    /// certbot renews what lies in `live` and `archive`, beside a directory `renewal`; what is not its own there breaks it.
    fn check_certbot(&self, sets: &[DesiredSet], real: &mut Real<'_>) {
        for (at, dest) in each_dest(sets) {
            let fixed = fixed_part(&dest);
            let through_links = real.existing(&fixed).map(|(path, _)| path);
            let as_written = renewal_beside(dest.as_path()).into_iter().filter_map(|path| real.whole(path));
            let beside: Vec<PathBuf> = as_written.chain(through_links.iter().flat_map(|path| renewal_beside(path))).collect();
            if let Some(renewal) = beside.into_iter().find(|renewal| real.is_own_directory(renewal)) {
                let message =
                    format!("the `dest` lies where certbot keeps what it renews, beside {}", crate::base::escape(renewal.as_os_str()));
                real.context.fault(self.dest_pos(at), message, "foreign files there break certbot's renewal; use a directory of its own");
            }
        }
    }
}

fn each_dest(sets: &[DesiredSet]) -> impl Iterator<Item = ((usize, usize), AbsPath)> + '_ {
    sets.iter().enumerate().flat_map(|(s, set)| set.installs.iter().enumerate().map(move |(i, install)| ((s, i), install.dest.clone())))
}

/// What of a `dest` is the same for every set of a pattern.
fn fixed_part(dest: &AbsPath) -> AbsPath {
    let fixed = upward(dest.as_str()).filter(|up| !up.contains(NAME)).max_by_key(|up| up.len());
    fixed.and_then(|path| path.parse().ok()).unwrap_or_else(|| dest.clone())
}

/// The `renewal` directories that would make a path certbot's.
fn renewal_beside(path: &Path) -> Vec<PathBuf> {
    let inside = |up: &Path| up.file_name().is_some_and(|name| name == "live" || name == "archive");
    path.ancestors().filter(|up| inside(up)).filter_map(|up| up.parent()).map(|parent| parent.join("renewal")).collect()
}

/// As many links as the kernel follows on one path (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// Where paths lead to. Each step of a path is looked at once, since ten thousand sets share most of theirs.
///
/// What others could steer is not believed, or the owner of one directory could make every set of the host a fault: a link is followed
/// only if root or the running user owns it and alone may write to the directory it lies in. Where one is not, the look
/// ends; installing there fails later, for that set alone.
struct Real<'a> {
    context: &'a Context<'a>,
    /// Paths with all links followed; nothing where they do not exist.
    paths: HashMap<PathBuf, Option<PathBuf>>,
    seen: HashMap<PathBuf, Option<Found>>,
}

impl<'a> Real<'a> {
    fn new(context: &'a Context<'a>) -> Self {
        Real { context, paths: HashMap::new(), seen: HashMap::new() }
    }

    /// The deepest part of `path` that exists, with links followed, and whether that is the whole path.
    fn existing(&mut self, path: &AbsPath) -> Option<(PathBuf, bool)> {
        let unknown: Vec<&Path> = path.as_path().ancestors().take_while(|up| !self.paths.contains_key(*up)).collect();
        for up in unknown.into_iter().rev() {
            let real = match (up.parent(), up.file_name()) {
                (Some(parent), Some(name)) => self.paths.get(parent).cloned().flatten().and_then(|parent| self.step(&parent, name, &mut 0)),
                _ => Some(up.to_owned()),
            };
            self.paths.insert(up.to_owned(), real);
        }
        let known = |up: &Path| Some((self.paths.get(up)?.clone()?, up == path.as_path()));
        path.as_path().ancestors().find_map(known)
    }

    /// Where a path that exists leads.
    fn whole(&mut self, path: PathBuf) -> Option<PathBuf> {
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
        let me = self.context.surroundings.running.user.uid;
        let ours = found.is_of(me) && self.look(holder).is_some_and(|holder| holder.is_of(me) && !holder.shared);
        if !ours || *links > MOST_LINKS {
            return None;
        }
        let mut here = holder.to_owned();
        for step in (self.context.surroundings.target)(&path)?.components() {
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
        let look = self.context.surroundings.look;
        *self.seen.entry(path.to_owned()).or_insert_with(|| look(path))
    }

    fn inode(&mut self, path: &Path) -> Option<(u64, u64)> {
        self.look(path).map(|found| found.inode)
    }

    /// Whether this is a directory that root or the running user put there: both it and the one it lies in are theirs.
    fn is_own_directory(&mut self, path: &Path) -> bool {
        let me = self.context.surroundings.running.user.uid;
        let is_own = |found: Option<Found>| found.is_some_and(|found| found.kind == FoundKind::Dir && found.is_of(me));
        is_own(self.look(path)) && path.parent().is_some_and(|holder| is_own(self.look(holder)))
    }
}
