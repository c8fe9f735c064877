//! How this host stands, for the hosts above: made of what is recorded once a run has ended.

use crate::base::{Error, SetName, printable};
use crate::plan::{HookResult, Outcome, Report, SetReport, owes_run, owes_verify};
use crate::spec::fleet::Fleet;
use crate::spec::{Desired, DesiredSet, Hook};
use crate::state::{HookStanding, Level, SetStanding, Staged, Standing, State};
use std::collections::{BTreeMap, BTreeSet};

/// As much of an error, or of a hook's output, is passed on.
const LONGEST: usize = 300;

/// What a host's standing is made of.
pub struct Run<'a> {
    /// This host's part of the spec.
    pub desired: &'a Desired,
    /// The fleet's.
    pub fleet: &'a Fleet,
    /// The sets that the run looked at.
    pub sets: &'a [DesiredSet],
    /// Sets that needed no look.
    pub quiet: &'a BTreeSet<SetName>,
    /// What is recorded after it.
    pub state: &'a State,
    /// What waits in the store for the origin's word.
    pub staged: &'a Staged,
    /// What became of it.
    pub report: &'a Report,
    /// Unix seconds.
    pub now: i64,
}

impl Run<'_> {
    /// How this host stands now. `before` is how it stood: quiet sets stand as they did. Nothing where one of them is not in it.
    pub fn standing(&self, before: Option<&Standing>) -> Option<Standing> {
        let mut sets = BTreeMap::new();
        for name in self.quiet {
            sets.insert(name.clone(), before?.sets.get(name)?.clone());
        }
        for set in self.sets {
            let told = self.report.sets.iter().find(|told| told.name == set.name);
            let Some(mut standing) = self.kept(set, told).or_else(|| self.set(set, told)) else { continue };
            if let Some(known) = before.and_then(|before| before.sets.get(&set.name)).filter(|known| is_same(known, &standing)) {
                standing.since = known.since;
            }
            sets.insert(set.name.clone(), standing);
        }
        let hooks = self.report.hooks.iter().filter(|hook| matches!(hook.result, HookResult::Failed | HookResult::Owed));
        Some(Standing {
            server: self.fleet.me.clone(),
            at: self.now,
            certsync: env!("CARGO_PKG_VERSION").to_owned(),
            spec: self.fleet.spec_hash,
            sets,
            hooks: hooks
                .map(|hook| HookStanding {
                    name: hook.name.clone(),
                    set: hook.set.clone(),
                    last: shortened(hook.output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default()),
                })
                .collect(),
            errors: self.report.errors.iter().map(told).collect(),
        })
    }

    /// Where a version of the set waits here: that, and what is installed in the meantime.
    fn kept(&self, set: &DesiredSet, told_of: Option<&SetReport>) -> Option<SetStanding> {
        let kept = self.staged.get(&set.name)?;
        let installed = self.set(set, told_of);
        if told_of.is_some_and(|told| told.result == Outcome::Refused) {
            // Something else came after it.
            return installed;
        }
        let (keys, dates) = installed.as_ref().map(|known| (known.keys.clone(), (known.not_before, known.not_after))).unwrap_or_default();
        let (not_before, not_after) = if dates.1.is_some() { dates } else { (kept.not_before, kept.not_after) };
        Some(SetStanding {
            digest: kept.digest,
            revision: kept.revision,
            level: Level::Stored,
            since: self.now,
            not_before,
            not_after,
            error: installed.and_then(|known| known.error),
            keys,
        })
    }

    fn set(&self, set: &DesiredSet, told_of: Option<&SetReport>) -> Option<SetStanding> {
        let known = self.state.sets.get(&set.name)?;
        let result = told_of.map_or(Outcome::Unchanged, |told| told.result);
        let installs = told_of.map(|told| told.installs.as_slice()).unwrap_or_default();
        let error = told_of.and_then(|told| told.error.as_ref()).or_else(|| installs.iter().find_map(|install| install.error.as_ref()));
        let recorded: Vec<_> = set.installs.iter().map(|install| (install, self.state.install(&set.name, &install.dest))).collect();
        let digest = known.hold.as_ref().map_or(known.digest, |hold| hold.at);
        let is_installed = recorded.iter().all(|(_, recorded)| {
            recorded.and_then(|recorded| recorded.current.as_ref()).is_some_and(|current| current.digest == Some(digest))
        });
        let owes = recorded.iter().any(|(install, recorded)| {
            let hooks = self.desired.hooks.iter().filter(|hook| install.rest.hooks.contains(&hook.name));
            recorded.is_some_and(|recorded| hooks.clone().any(|hook: &Hook| owes_run(&hook.name, recorded) || owes_verify(hook, recorded)))
        });
        let level = match result {
            Outcome::Refused => Level::Refused,
            Outcome::Failed | Outcome::RolledBack => Level::Failed,
            _ if !is_installed => Level::Stored,
            _ if owes => Level::Installed,
            _ if known.hold.is_some() => Level::Held,
            _ => Level::Done,
        };
        let facts = recorded
            .iter()
            .filter_map(|(_, recorded)| recorded.and_then(|recorded| recorded.current.as_ref()))
            .find(|current| current.digest == Some(digest))
            .map_or(&known.facts, |current| &current.facts);
        let installed = recorded.iter().filter_map(|(_, recorded)| recorded.and_then(|recorded| recorded.current.as_ref()));
        let keys: BTreeSet<_> = installed.flat_map(|current| current.facts.keys.iter().copied()).collect();
        Some(SetStanding {
            digest,
            revision: known.revision,
            level,
            since: self.now,
            not_before: facts.leaves.first().map(|leaf| leaf.not_before),
            not_after: facts.not_after(),
            error: error.map(told),
            keys: keys.into_iter().collect(),
        })
    }
}

fn is_same(one: &SetStanding, other: &SetStanding) -> bool {
    (one.digest, one.revision, one.level) == (other.digest, other.revision, other.level)
}

fn told(error: &Error) -> String {
    shortened(&error.to_string())
}

fn shortened(text: &str) -> String {
    printable(text).chars().take(LONGEST).collect()
}
