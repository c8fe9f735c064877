//! Places that may not meet: two installs, a `dest` and a source (by name, by what links lead to, by device and inode),
//! a `dest` and what certbot renews.

use super::super::desired::DesiredSet;
use super::super::expand::NAME;
use super::super::fault::Pos;
use super::super::real::Real;
use super::super::together::{Clash, Conflict, clashes, upward};
use super::Context;
use super::sets::Sets;
use crate::base::{AbsPath, SetName};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

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
        let mut real = Real::new(context.surroundings);
        self.check_sources(context, &sets, &mut real, &said);
        self.check_certbot(context, &sets, &mut real);
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
    fn check_sources(&self, context: &Context<'_>, sets: &[DesiredSet], real: &mut Real<'_>, said: &HashSet<(usize, usize)>) {
        let mut sources: HashMap<PathBuf, usize> = HashMap::new();
        let mut source_inodes: HashMap<(u64, u64), usize> = HashMap::new();
        for (index, set) in sets.iter().enumerate() {
            if let Some(path) =
                set.source.directory().and_then(|source| real.existing(source)).filter(|(_, whole)| *whole).map(|(path, _)| path)
            {
                source_inodes.extend(real.inode(&path).map(|inode| (inode, index)));
                sources.entry(path).or_insert(index);
            }
        }
        let mut dests: HashMap<(u64, u64), (usize, usize)> = HashMap::new();
        for (at, dest) in each_dest(sets).filter(|(at, _)| !said.contains(at)) {
            let Some((path, whole)) = real.existing(&fixed_part(&dest)) else { continue };
            let hit = path.ancestors().find_map(|up| sources.get(up).copied().or_else(|| source_inodes.get(&real.inode(up)?).copied()));
            if let Some(source) = hit {
                self.overlap(context, sets, at, source);
            } else if whole && !dest.as_str().contains(NAME) {
                dests.extend(real.inode(&path).map(|inode| (inode, at)));
            }
        }
        for (path, source) in &sources {
            let hit = path.ancestors().find_map(|up| dests.get(&real.inode(up)?));
            if let Some(at) = hit.filter(|at| !said.contains(at)) {
                self.overlap(context, sets, *at, *source);
            }
        }
    }

    fn overlap(&self, context: &Context<'_>, sets: &[DesiredSet], at: (usize, usize), source: usize) {
        let Some(path) = sets[source].source.directory() else { return };
        let what = Conflict::Source(path.clone());
        let hint = "they are one directory through a link or a mount; certsync must not write where it reads";
        context.fault(self.dest_pos(at), what.message(sets[source].name.as_str()), hint);
    }

    /// certbot renews what lies in `live` and `archive`, beside a directory `renewal`; what is not its own there breaks it.
    fn check_certbot(&self, context: &Context<'_>, sets: &[DesiredSet], real: &mut Real<'_>) {
        for (at, dest) in each_dest(sets) {
            let fixed = fixed_part(&dest);
            let through_links = real.existing(&fixed).map(|(path, _)| path);
            let as_written = renewal_beside(dest.as_path()).into_iter().filter_map(|path| real.whole(path));
            let beside: Vec<PathBuf> = as_written.chain(through_links.iter().flat_map(|path| renewal_beside(path))).collect();
            if let Some(renewal) = beside.into_iter().find(|renewal| real.is_own_directory(renewal)) {
                let message =
                    format!("the `dest` lies where certbot keeps what it renews, beside {}", crate::base::escape(renewal.as_os_str()));
                context.fault(self.dest_pos(at), message, "foreign files there break certbot's renewal; use a directory of its own");
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
