//! What several installs may not do together: write one file, or share a directory and disagree about it.

use super::expand::NAME;
use super::{DesiredInstall, DesiredSet};
use crate::base::{AbsPath, Error, ErrorKind, SetName};
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// certsync's own folder in a `dest`.
const META: &str = ".certsync";

/// An install: which set of the list, which of its installs.
type At = (usize, usize);

/// Two installs (or sets) that cannot both be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clash {
    /// The later one, which gets the blame.
    pub at: At,
    /// The earlier one, where there is one.
    pub other: Option<At>,
    /// In which way.
    pub what: Conflict,
}

/// In which way two installs clash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Conflict {
    /// Two sets of one name.
    SameSet,
    /// One set put twice into one directory.
    SameDest,
    /// A shared directory; which attribute differs.
    Attribute(&'static str),
    /// A `dest` inside a `.certsync`.
    Inside(AbsPath),
    /// Both write this file.
    SameFile(String),
    /// One install writes this file twice.
    SameFileHere(String),
    /// What one writes as a file is a directory to the other.
    FileAndDirectory(String),
    /// `dest` and this source overlap.
    Source(AbsPath),
}

impl Conflict {
    /// The fault in words; `other` names the other set.
    pub(super) fn message(&self, other: &str) -> String {
        match self {
            Conflict::SameSet => format!("a second set of this name, from {other}"),
            Conflict::SameDest => "this set is put here twice".to_owned(),
            Conflict::Attribute(what) => format!("`{what}` differs from what set `{other}` has for the same `dest`"),
            Conflict::Inside(dest) => format!("{dest} lies inside a `.certsync`, which is certsync's own"),
            Conflict::SameFile(path) => format!("set `{other}` writes {path} too"),
            Conflict::SameFileHere(path) => format!("two of these files are {path}"),
            Conflict::FileAndDirectory(path) => format!("{path} is a file of set `{other}` and a directory here"),
            Conflict::Source(source) => format!("the `dest` overlaps {source}, the source of set `{other}`"),
        }
    }

    /// The way out.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Conflict::SameSet => Some("a set's name is the name of its directory; give one of them another"),
            Conflict::SameDest => Some("put everything it gets there into one install"),
            Conflict::Attribute(_) => Some("sets that share a `dest` need the same owner, group, dir_mode and layout"),
            Conflict::SameFile(_) => Some("name the files with `files:`, with `{name}` in them, or use another `dest`"),
            Conflict::SameFileHere(_) => Some("`{name}` stands for the set's name; remove one of them"),
            Conflict::Inside(_) => Some("use another `dest`"),
            Conflict::FileAndDirectory(_) => Some("give one of the two another name"),
            Conflict::Source(_) => Some("certsync must not write where it reads; use another `dest`"),
        }
    }
}

/// The clashes that appear only once pattern sets have their names: each with the set that must stand back.
///
/// Only files named by `files:` are known here; what two installs of whole sets would write is known when they are read.
pub fn check_together(sets: &[DesiredSet]) -> Vec<(SetName, Error)> {
    let error = |clash: Clash| {
        let set = sets.get(clash.at.0)?;
        let other = clash.other.and_then(|(set, _)| sets.get(set));
        let origin = |set: &DesiredSet| set.pattern.as_ref().map_or_else(|| "the spec".to_owned(), |name| format!("pattern {name}"));
        let other = match (&clash.what, other) {
            (Conflict::SameSet, Some(other)) => origin(other),
            (_, Some(other)) => other.name.to_string(),
            (_, None) => set.name.to_string(),
        };
        let error = Error::new(ErrorKind::Spec, set.name.as_str(), clash.what.message(&other));
        Some((set.name.clone(), Error { hint: clash.what.hint().map(str::to_owned), ..error }))
    };
    clashes(sets).into_iter().filter_map(error).collect()
}

/// Every clash, in the order of the later install; linear in the number of installs and files.
pub(super) fn clashes(sets: &[DesiredSet]) -> Vec<Clash> {
    let mut found = Vec::new();
    same_names(sets, &mut found);
    let dests = shared_dests(sets, &mut found);
    let files = shared_files(sets, &mut found);
    files_as_directories(sets, &files, &mut found);
    overlaps(sets, &dests, &mut found);
    found.sort_by_key(|clash| (clash.at, clash.other));
    found
}

fn installs(sets: &[DesiredSet]) -> impl Iterator<Item = (At, &DesiredSet, &DesiredInstall)> {
    sets.iter().enumerate().flat_map(|(s, set)| set.installs.iter().enumerate().map(move |(i, install)| ((s, i), set, install)))
}

/// A path in which `{name}` still stands means another path for each set: it clashes only within its pattern.
fn key<'a>(set: &DesiredSet, path: &'a str) -> Cow<'a, str> {
    if path.contains('{') && path.contains(NAME) { Cow::Owned(format!("{}\0{path}", set.name)) } else { Cow::Borrowed(path) }
}

fn same_names(sets: &[DesiredSet], found: &mut Vec<Clash>) {
    let mut first: HashMap<&SetName, usize> = HashMap::with_capacity(sets.len());
    for (index, set) in sets.iter().enumerate() {
        match first.entry(&set.name) {
            Entry::Vacant(free) => {
                free.insert(index);
            }
            Entry::Occupied(taken) => found.push(Clash { at: (index, 0), other: Some((*taken.get(), 0)), what: Conflict::SameSet }),
        }
    }
}

fn shared_dests<'a>(sets: &'a [DesiredSet], found: &mut Vec<Clash>) -> HashMap<Cow<'a, str>, At> {
    let mut first: HashMap<Cow<'a, str>, At> = HashMap::with_capacity(sets.len());
    let mut own: HashMap<(usize, &str), At> = HashMap::new();
    for (at, set, install) in installs(sets) {
        if install.dest.as_str().contains(META) && install.dest.steps().any(|step| step == META) {
            found.push(Clash { at, other: None, what: Conflict::Inside(install.dest.clone()) });
        }
        if set.installs.len() > 1
            && let Some(other) = own.insert((at.0, install.dest.as_str()), at)
        {
            found.push(Clash { at, other: Some(other), what: Conflict::SameDest });
            continue;
        }
        match first.entry(key(set, install.dest.as_str())) {
            Entry::Vacant(free) => {
                free.insert(at);
            }
            Entry::Occupied(taken) => {
                let other = *taken.get();
                let what = differing(install, &sets[other.0].installs[other.1]);
                found.extend(what.map(|what| Clash { at, other: Some(other), what: Conflict::Attribute(what) }));
            }
        }
    }
    first
}

fn differing(one: &DesiredInstall, other: &DesiredInstall) -> Option<&'static str> {
    let (one, other) = (&one.rest, &other.rest);
    [
        ("owner", one.owner.id != other.owner.id),
        ("group", one.group.id != other.group.id),
        ("dir_mode", one.dir_mode != other.dir_mode),
        ("layout", one.layout != other.layout),
    ]
    .into_iter()
    .find_map(|(name, differs)| differs.then_some(name))
}

fn shared_files(sets: &[DesiredSet], found: &mut Vec<Clash>) -> HashMap<String, At> {
    let mut first: HashMap<String, At> = HashMap::new();
    for (at, set, install) in installs(sets) {
        for rule in install.files.iter().flatten() {
            let path = install.dest.join(&rule.name).to_string();
            match first.entry(key(set, &path).into_owned()) {
                Entry::Vacant(free) => {
                    free.insert(at);
                }
                // The same set put twice into one directory is said once.
                Entry::Occupied(taken) if taken.get().0 == at.0 && taken.get().1 != at.1 && same_dest(sets, *taken.get(), at) => {}
                Entry::Occupied(taken) if *taken.get() == at => found.push(Clash { at, other: None, what: Conflict::SameFileHere(path) }),
                Entry::Occupied(taken) => found.push(Clash { at, other: Some(*taken.get()), what: Conflict::SameFile(path) }),
            }
        }
    }
    first
}

fn same_dest(sets: &[DesiredSet], one: At, other: At) -> bool {
    sets[one.0].installs[one.1].dest == sets[other.0].installs[other.1].dest
}

fn files_as_directories(sets: &[DesiredSet], files: &HashMap<String, At>, found: &mut Vec<Clash>) {
    if files.is_empty() {
        return;
    }
    for (at, set, install) in installs(sets) {
        let blocked = |path: &str| files.get(&*key(set, path)).map(|other| (path.to_owned(), *other));
        let mut hit = upward(install.dest.as_str()).find_map(blocked);
        for rule in install.files.iter().flatten() {
            let path = install.dest.join(&rule.name);
            hit = hit.or_else(|| upward(path.as_str()).skip(1).take_while(|up| up.len() > install.dest.as_str().len()).find_map(blocked));
        }
        found.extend(hit.map(|(path, other)| Clash { at, other: Some(other), what: Conflict::FileAndDirectory(path) }));
    }
}

fn overlaps(sets: &[DesiredSet], dests: &HashMap<Cow<'_, str>, At>, found: &mut Vec<Clash>) {
    let mut sources: HashMap<&str, usize> = HashMap::with_capacity(sets.len());
    let mut different = Vec::with_capacity(sets.len());
    for (index, set) in sets.iter().enumerate() {
        if let Some(source) = set.source.directory()
            && let Entry::Vacant(free) = sources.entry(source.as_str())
        {
            free.insert(index);
            different.push((source.as_str(), index));
        }
    }
    let clash = |at, source: usize| {
        let path = sets[source].source.directory().cloned()?;
        Some(Clash { at, other: Some((source, 0)), what: Conflict::Source(path) })
    };
    let mut above = Above::new(|path: &str| sources.get(path).copied());
    for (at, _, install) in installs(sets) {
        let dest = install.dest.as_str();
        found.extend(sources.get(dest).copied().or_else(|| above.find(dest)).and_then(|source| clash(at, source)));
    }
    let mut above = Above::new(|path: &str| dests.get(path).copied());
    for (source, index) in different {
        // Equal paths were found above.
        found.extend(above.find(source).and_then(|at| clash(at, index)));
    }
}

/// What is known of the nearest directory above a path of which something is known. Most paths lie beside the one asked about before.
struct Above<'p, V, F> {
    known: F,
    last: Option<(&'p str, Option<V>)>,
}

impl<'p, V: Copy, F: Fn(&str) -> Option<V>> Above<'p, V, F> {
    fn new(known: F) -> Self {
        Above { known, last: None }
    }

    fn find(&mut self, path: &'p str) -> Option<V> {
        let parent = upward(path).nth(1)?;
        if let Some((_, answer)) = self.last.filter(|(last, _)| *last == parent) {
            return answer;
        }
        let answer = upward(parent).find_map(&self.known);
        self.last = Some((parent, answer));
        answer
    }
}

/// A path and everything above it, `/` last.
pub(super) fn upward(path: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(path);
    std::iter::from_fn(move || {
        let current = next?;
        next = match current.rfind('/') {
            _ if current == "/" => None,
            Some(0) => Some("/"),
            Some(cut) => Some(&current[..cut]),
            None => None,
        };
        Some(current)
    })
}
