//! Steps 4 and 5 of apply for every set: collect, observe, diff. `plan`, `apply` and `status` share it.

mod install;
mod outlived;
mod quiet;
mod set;

pub use crate::collect::Named;
pub use quiet::{quiet_sets, remember};

use crate::base::{AbsPath, Error, KeyFingerprint, Result, SetName};
use crate::collect::{Accepted, Incoming, name_sets};
use crate::plan::{ContentChange, HookPlan, InstallPlan, Outcome, Plan, Reason, SetPlan, begin, due, promote};
use crate::progress::{Kind, Progress, ProgressChoice};
use crate::spec::{Desired, DesiredSet};
use crate::state::requests::Scope;
use crate::state::{Cache, Fresh, Inode, Looked, State, Store, Trace};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Whether sources are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// Yes.
    Read,
    /// No: what the state records is what is wanted (`status`, `rollback`).
    Recorded,
}

/// What becomes of accepted material.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It goes into the store.
    InStore,
    /// Nothing is written.
    InMemory,
    /// Nor is it here, and all of it is kept until other hosts have been asked what they would do with it.
    ForOthers,
}

/// Whether a version that a failing check took back is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Only when material or spec have changed.
    OnChange,
    /// Now (`--retry`).
    Now,
}

/// How a survey is to be made.
pub struct Look {
    /// What becomes of accepted material.
    pub keep: Keep,
    /// Which sets.
    pub scope: Scope,
    /// Whether sources are looked at.
    pub sources: Sources,
    /// Doors opened once.
    pub once: Accepted,
    /// Whether returned versions are tried again.
    pub retry: Retry,
    /// The reason of every change, where the caller knows better.
    pub because: Option<Reason>,
    /// Progress on a terminal.
    pub progress: ProgressChoice,
}

/// What a survey depends on.
pub struct Survey<'a> {
    /// This host's part of the spec.
    pub desired: &'a Desired,
    /// What is recorded; accepted sets are recorded in it.
    pub state: &'a mut State,
    /// Known contents.
    pub cache: &'a mut Cache,
    /// The store; none where there is no state directory yet.
    pub store: Option<Store<'a>>,
    /// How it is made.
    pub look: Look,
    /// The sets, where they are known already.
    pub named: Option<Named>,
    /// Those of them that need no look: the state has nothing of them that matters.
    pub quiet: &'a BTreeSet<SetName>,
    /// What other hosts have brought.
    pub incoming: &'a mut Incoming,
    /// Content of `.certsync/owner` where this state directory manages a `dest`.
    pub us: String,
    /// Unix seconds.
    pub now: i64,
    /// What was put into the store already.
    pub fresh: Fresh,
}

/// What was found.
#[derive(Default)]
pub struct Surveyed {
    /// The plan, hooks included.
    pub plan: Plan,
    /// Every set that belongs here (also those out of scope, but not the quiet ones), patterns resolved.
    pub sets: Vec<DesiredSet>,
    /// What the look at each set depended on.
    pub traces: BTreeMap<SetName, Trace>,
    /// Patterns that match something.
    pub matched: BTreeSet<SetName>,
    /// What the store has got that is not surely on disk.
    pub fresh: Fresh,
}

impl Survey<'_> {
    /// Looks at every set in scope.
    pub fn run(mut self) -> Surveyed {
        let named = self.named.take().unwrap_or_else(|| name_sets(self.desired, self.state));
        let mut made: BTreeMap<AbsPath, Vec<Inode>> = BTreeMap::new();
        for (install, inode) in self.state.installs.iter().filter_map(|install| Some((install, install.made?))) {
            made.entry(install.dest.clone()).or_default().push(inode);
        }
        let mut surveyed = Surveyed { matched: named.matched, ..Surveyed::default() };
        let progress = Progress::new(self.look.progress, Kind::Looking, named.sets.len().max(self.state.count()));
        for (name, error) in named.errors {
            surveyed.plan.sets.push(failed(name, error));
        }
        for set in named.sets {
            if let Some(quiet) = self.cache.quiet(&set.name).filter(|_| self.quiet.contains(&set.name)) {
                surveyed.plan.sets.push(quiet::plan_of(&set, quiet));
                continue;
            }
            if holds(&self.look.scope, &set.name) {
                progress.step(set.name.as_str());
                let mut contents = self.cache.contents(&set.name);
                surveyed.plan.sets.push(self.set(&set, &made, &mut contents));
                surveyed.traces.insert(set.name.clone(), std::mem::take(&mut contents.trace));
                let looked = if self.look.sources == Sources::Read { Looked::Everywhere } else { Looked::Somewhere };
                self.cache.keep(&set.name, contents, looked);
            }
            surveyed.sets.push(set);
        }
        self.tell_refused(&mut surveyed);
        progress.finish();
        surveyed.fresh = std::mem::take(&mut self.fresh);
        if self.look.scope == Scope::All {
            add_orphans(&mut surveyed, self.state, &self.desired.revoked, self.now);
            self.cache.retain(&surveyed.plan.sets.iter().map(|set| set.name.as_str()).collect());
        }
        surveyed.plan.hooks = hooks_after(self.desired, &surveyed, self.state);
        owe(&mut surveyed.plan);
        surveyed
    }

    /// A set that was refused when it came for the first time is none of the sets that there are.
    fn tell_refused(&self, surveyed: &mut Surveyed) {
        let there: BTreeSet<&SetName> = surveyed.sets.iter().map(|set| &set.name).collect();
        let refused = self.incoming.refused.iter().filter(|(name, _)| !there.contains(name));
        let told: Vec<SetPlan> = refused.map(|(name, error)| failed(name.clone(), error.clone())).collect();
        surveyed.plan.sets.extend(told);
    }

    fn store(&self) -> Result<&Store<'_>> {
        self.store.as_ref().ok_or_else(|| Error::new(crate::base::ErrorKind::State, "the store", "is not there yet"))
    }
}

fn holds(scope: &Scope, set: &SetName) -> bool {
    match scope {
        Scope::All => true,
        Scope::Sets(sets) => sets.contains(set),
    }
}

fn set_plan(name: &SetName) -> SetPlan {
    SetPlan {
        name: name.clone(),
        digest: None,
        result: Outcome::Unchanged,
        reason: None,
        installs: Vec::new(),
        error: None,
        warnings: Vec::new(),
    }
}

fn failed(name: SetName, error: Error) -> SetPlan {
    SetPlan { result: Outcome::Failed, error: Some(error), ..set_plan(&name) }
}

/// Hooks that would follow: what the state will say once the plan is carried out.
fn hooks_after(desired: &Desired, surveyed: &Surveyed, state: &State) -> Vec<HookPlan> {
    let mut after = Cow::Borrowed(state);
    let mut changed = BTreeSet::new();
    let by_name: BTreeMap<&SetName, &DesiredSet> = surveyed.sets.iter().map(|set| (&set.name, set)).collect();
    for plan in &surveyed.plan.sets {
        let Some(set) = by_name.get(&plan.name) else { continue };
        for (install, plan) in set.installs.iter().zip(&plan.installs) {
            if plan.is_stopped() || (plan.steps.is_empty() && plan.record.is_none()) {
                continue;
            }
            let recorded = after.to_mut().install_entry(&set.name, &install.dest, install.rest.layout);
            begin(recorded, plan, install);
            promote(recorded);
            if plan.content == ContentChange::Different {
                changed.insert((&set.name, &install.dest));
            }
        }
    }
    due(&desired.hooks, &surveyed.sets, &after, &changed)
}

/// A set with nothing but a hook to do has that for its reason.
fn owe(plan: &mut Plan) {
    let owing: BTreeSet<&SetName> = plan.hooks.iter().flat_map(|hook| &hook.sets).collect();
    for set in plan.sets.iter_mut().filter(|set| owing.contains(&set.name) && !set.result.is_failure()) {
        set.reason.get_or_insert(Reason::Hook);
    }
}

/// Places in the state that no set of the spec has any more: a set's own entry names those it has left.
fn add_orphans(surveyed: &mut Surveyed, state: &State, revoked: &BTreeSet<KeyFingerprint>, now: i64) {
    let wanted: BTreeSet<(&SetName, &AbsPath)> =
        surveyed.sets.iter().flat_map(|set| set.installs.iter().map(|install| (&set.name, &install.dest))).collect();
    let mut entries: BTreeMap<SetName, usize> = surveyed.plan.sets.iter().enumerate().map(|(at, plan)| (plan.name.clone(), at)).collect();
    for install in state.installs.iter().filter(|install| !wanted.contains(&(&install.set, &install.dest))) {
        let at = *entries.entry(install.set.clone()).or_insert(surveyed.plan.sets.len());
        if at == surveyed.plan.sets.len() {
            surveyed.plan.sets.push(SetPlan { result: Outcome::Orphaned, ..set_plan(&install.set) });
        }
        let plan = &mut surveyed.plan.sets[at];
        if plan.installs.is_empty() && plan.error.is_some() {
            // What could not be looked at is in doubt, not orphaned.
            continue;
        }
        let expiry = install.current.as_ref().and_then(|current| current.facts.not_after());
        let expiry = expiry.map(|end| format!(", valid for {} more days", (end - now).div_euclid(86_400))).unwrap_or_default();
        plan.warnings.push(format!(
            "{} stays at {} though it no longer belongs there{expiry}; certsync remove deletes it",
            install.set, install.dest
        ));
        if install.current.as_ref().is_some_and(|current| current.facts.has_key_of(revoked)) {
            plan.warnings.push(format!("{} at {}: its key is in revoked_keys", install.set, install.dest));
        }
        plan.installs.push(InstallPlan::untouched(&install.dest, Outcome::Orphaned));
    }
}
