//! A state that is older than what is installed, since it came back from a backup: what it remembers of a hold, of a version
//! that was taken back or of the version to be shown is past, and must not bring old certificates back.

use super::{Sources, Survey};
use crate::base::{AbsPath, Digest};
use crate::observe::{Depth, How, observe};
use crate::spec::{DesiredInstall, DesiredSet};
use crate::state::{Contents, parse_generation};
use std::collections::BTreeSet;

impl Survey<'_> {
    /// The places where a whole generation is in place that is younger than any that the state knows. Looked for only where
    /// the state alone would decide: without a source, under a hold, after a return. Holds and returns of such a set are forgotten.
    pub(super) fn forget_what_is_past(&mut self, set: &DesiredSet, source: Option<Digest>, contents: &mut Contents) -> BTreeSet<AbsPath> {
        let is_held = self.state.sets.get(&set.name).is_some_and(|known| known.hold.is_some());
        let is_returned = self.state.installs_of(&set.name).iter().any(|install| install.returned.is_some());
        if self.look.sources == Sources::Recorded || (source.is_some() && !is_held && !is_returned) {
            return BTreeSet::new();
        }
        let outlived: BTreeSet<AbsPath> =
            set.installs.iter().filter(|install| self.is_outlived(set, install, contents)).map(|install| install.dest.clone()).collect();
        if !outlived.is_empty()
            && let Some(known) = self.state.sets.get_mut(&set.name)
        {
            known.hold = None;
        }
        for dest in &outlived {
            if let Some(recorded) = self.state.install_mut(&set.name, dest) {
                recorded.returned = None;
            }
        }
        outlived
    }

    fn is_outlived(&mut self, set: &DesiredSet, install: &DesiredInstall, contents: &mut Contents) -> bool {
        let Some(recorded) = self.state.install(&set.name, &install.dest) else { return false };
        let known = recorded.current.iter().chain(&recorded.former).chain(&recorded.next);
        let Some(last) = known.filter_map(|generation| Some(parse_generation(&generation.name)?.0)).max() else { return false };
        let how = How { depth: Depth::Metadata, us: &self.us, recorded: None, largest: self.desired.limits.set };
        // This look is no part of the one that the set may be passed over for.
        let trace = std::mem::take(&mut contents.trace);
        let observed = observe(&install.dest, &set.name, &[], contents, how);
        contents.trace = trace;
        let Ok(observed) = observed else { return false };
        let Some(tree) = observed.tree else { return false };
        // The name tells what certsync put there: anything else in it is drift.
        let is_whole = |hash: &str| tree.hash.is_some_and(|found| found.to_string().starts_with(hash));
        parse_generation(&tree.name).is_some_and(|(serial, hash)| serial > last && is_whole(hash))
    }
}
