//! Which sets there are: pattern sources resolved to the directories they match now.

use crate::base::{Error, ErrorKind, SetName};
use crate::host::source::Source;
use crate::spec::{Desired, DesiredSet, PatternSet, check_together};
use crate::state::State;
use std::collections::BTreeSet;

/// The sets of this host, patterns resolved, in spec order.
#[derive(Debug, Default, Clone)]
pub struct Named {
    /// Each set.
    pub sets: Vec<DesiredSet>,
    /// Pattern sets that match something.
    pub matched: BTreeSet<SetName>,
    /// Patterns, or single matches, that could not be resolved.
    pub errors: Vec<(SetName, Error)>,
}

/// Resolves pattern sources. The sets of a pattern that cannot be read, or matches nothing after it has
/// matched, are taken from the state: nothing becomes an orphan because something is not mounted.
pub fn name_sets(desired: &Desired, state: &State) -> Named {
    let mut named = Named { sets: desired.sets.clone(), ..Named::default() };
    let own: BTreeSet<SetName> = named.sets.iter().map(|set| set.name.clone()).collect();
    for pattern in &desired.patterns {
        for name in matches(pattern, state, &mut named).difference(&own) {
            match pattern.expand(name) {
                Ok(set) => named.sets.push(set),
                Err(error) => named.errors.push((name.clone(), error)),
            }
        }
    }
    let clashes = check_together(&named.sets);
    if !clashes.is_empty() {
        let clashing: BTreeSet<&SetName> = clashes.iter().map(|(name, _)| name).collect();
        named.sets.retain(|set| !clashing.contains(&set.name));
        named.errors.extend(clashes);
    }
    named
}

fn matches(pattern: &PatternSet, state: &State, named: &mut Named) -> BTreeSet<SetName> {
    // What the upstream has, or a master without certsync, is in the state once it has come.
    let Some(parent) = pattern.parent.place() else { return known_of(state, &pattern.name) };
    let list = match Source::open(parent).and_then(|source| source.subdirectories()) {
        Ok(list) => list,
        Err(error) => {
            named.errors.push((pattern.name.clone(), error));
            return known_of(state, &pattern.name);
        }
    };
    let mut names = BTreeSet::new();
    for name in list {
        match name {
            Ok(name) => drop(names.insert(name)),
            Err(error) => named.errors.push((pattern.name.clone(), error)),
        }
    }
    if names.is_empty() && state.patterns.contains(&pattern.name) {
        let error = Error::new(ErrorKind::Source, format!("{}/*", pattern.parent), "matches nothing any more");
        named.errors.push((pattern.name.clone(), error.hint("is something not mounted? what is installed stays")));
        return known_of(state, &pattern.name);
    }
    if !names.is_empty() {
        named.matched.insert(pattern.name.clone());
    }
    names
}

fn known_of(state: &State, pattern: &SetName) -> BTreeSet<SetName> {
    state.sets.iter().filter(|(_, set)| set.pattern.as_ref() == Some(pattern)).map(|(name, _)| name.clone()).collect()
}
