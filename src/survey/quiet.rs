//! Sets that need no closer look: everything that their last one depended on is as it was then.

use crate::base::{AbsPath, ContentHash, SetName};
use crate::collect::Named;
use crate::host::glance::{Glance, Links};
use crate::material::SetFacts;
use crate::observe::META;
use crate::plan::{InstallPlan, Outcome, SetPlan, owes_run, owes_verify};
use crate::spec::{Desired, DesiredSet, Hook};
use crate::state::{Cache, Print, Quiet, State, Step, Trace, What};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CStr;
use std::sync::Arc;

/// Below so many sets a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 200;

/// Hashes of what the spec says of each set: for those of a pattern, of the pattern.
struct Configs(HashMap<SetName, ContentHash>);

impl Configs {
    fn of(desired: &Desired) -> Configs {
        Configs(desired.patterns.iter().map(|pattern| (pattern.name.clone(), pattern.config_hash())).collect())
    }

    fn config(&self, set: &DesiredSet) -> Option<ContentHash> {
        match &set.pattern {
            Some(pattern) => self.0.get(pattern).copied(),
            None => Some(set.config_hash()),
        }
    }
}

/// The sets that are as they were when they last had nothing to do.
pub fn quiet_sets<'a>(desired: &Desired, named: &'a Named, cache: &Cache, now: i64) -> BTreeSet<&'a SetName> {
    let configs = Configs::of(desired);
    let mut looks = Vec::with_capacity(named.sets.len());
    let mut spots = Spots::default();
    for set in &named.sets {
        if let Some(quiet) = cache.quiet(&set.name).filter(|quiet| now < quiet.until && quiet.generations.len() == set.installs.len())
            && configs.config(set) == Some(quiet.config)
            && let Some(at) = spots.of(set)
        {
            looks.push((set, quiet, at));
        }
    }
    let is_quiet = |(set, quiet, at): &(&'a DesiredSet, &Quiet, Vec<Spot<'a>>)| {
        Look { spots: &spots, set, quiet, at }.is_the_same().then_some(&set.name)
    };
    if looks.len() < WORTH_A_THREAD {
        return looks.iter().filter_map(is_quiet).collect();
    }
    let (one, other) = looks.split_at(looks.len() / 2);
    let (mut one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| other.iter().filter_map(is_quiet).collect::<Vec<_>>());
        let one: Vec<_> = one.iter().filter_map(is_quiet).collect();
        (one, other.join().unwrap_or_default())
    });
    one.extend(other);
    one.into_iter().collect()
}

/// The directories that sources and dests lie in, each opened once.
#[derive(Default)]
struct Spots<'a> {
    opened: Vec<Glance>,
    /// Of sources, then of dests.
    known: [HashMap<&'a str, Option<usize>>; 2],
}

/// A directory that was opened, and a name in it.
type Spot<'a> = (usize, &'a str);

impl<'a> Spots<'a> {
    /// For the source and each install of a set: which directory it lies in, and its name there.
    fn of(&mut self, set: &'a DesiredSet) -> Option<Vec<Spot<'a>>> {
        // What comes from another host has no source to be looked at, and no step of its trail leads there.
        let source = match set.source.place() {
            Some(source) => self.find(source, true)?,
            None => (usize::MAX, ""),
        };
        let dests = set.installs.iter().map(|install| self.find(&install.dest, false));
        std::iter::once(Some(source)).chain(dests).collect()
    }

    fn find(&mut self, path: &'a AbsPath, is_source: bool) -> Option<Spot<'a>> {
        let (parent, name) = path.as_str().rsplit_once('/').filter(|(_, name)| !name.is_empty())?;
        let known = &mut self.known[usize::from(!is_source)];
        let at = match known.get(parent) {
            Some(known) => *known,
            None => {
                let above: AbsPath = if parent.is_empty() { "/" } else { parent }.parse().ok()?;
                let glance = if is_source { Glance::at_source(&above) } else { Glance::at_dest(&above) };
                let at = glance.map(|glance| {
                    self.opened.push(glance);
                    self.opened.len() - 1
                });
                known.insert(parent, at);
                at
            }
        };
        Some((at?, name))
    }
}

struct Look<'a> {
    spots: &'a Spots<'a>,
    set: &'a DesiredSet,
    quiet: &'a Quiet,
    at: &'a [Spot<'a>],
}

impl Look<'_> {
    fn is_the_same(&self) -> bool {
        let (mut print, mut way) = (Print::default(), Way::default());
        for step in self.quiet.trail.iter() {
            let Some(stat) = self.stat(step, &mut way) else { return false };
            print.add(&stat);
        }
        print.finish() == self.quiet.print
    }

    fn stat(&self, step: &Step, way: &mut Way) -> Option<crate::host::Stat> {
        let place = usize::from(step.place);
        let (spot, name) = self.at.get(if step.what == What::Source { 0 } else { place + 1 })?;
        let set = self.set.name.as_str();
        let above = match step.what {
            What::Source | What::Dest => ["", "", ""],
            What::Meta => [META, "", ""],
            What::Folder => [META, set, ""],
            What::Generation => [META, set, self.quiet.generations.get(place)?],
        };
        way.begin((step.what, step.place), name, above);
        let links = if step.what == What::Source { Links::Follow } else { Links::Look };
        self.spots.opened.get(*spot)?.stat(way.to(&step.path)?, links)
    }
}

/// A path that is built up anew for each step, and no further than from where the last step began.
#[derive(Default)]
struct Way {
    path: Vec<u8>,
    /// Where it begins, and how much of it that is.
    begin: Option<((What, u8), usize)>,
}

impl Way {
    fn begin(&mut self, from: (What, u8), name: &str, above: [&str; 3]) {
        match self.begin {
            Some((last, length)) if last == from => self.path.truncate(length),
            _ => {
                self.path.clear();
                self.path.extend_from_slice(name.as_bytes());
                above.into_iter().for_each(|part| self.add(part));
                self.begin = Some((from, self.path.len()));
            }
        }
    }

    fn add(&mut self, part: &str) {
        if !part.is_empty() {
            self.path.push(b'/');
            self.path.extend_from_slice(part.as_bytes());
        }
    }

    fn to(&mut self, below: &str) -> Option<&CStr> {
        self.add(below);
        self.path.push(0);
        CStr::from_bytes_with_nul(&self.path).ok()
    }
}

/// What is told of a set that needs no closer look.
pub(super) fn plan_of(set: &DesiredSet, quiet: &Quiet) -> SetPlan {
    SetPlan {
        digest: Some(quiet.digest),
        installs: set.installs.iter().map(|install| InstallPlan::untouched(&install.dest, Outcome::Unchanged)).collect(),
        ..super::set_plan(&set.name)
    }
}

/// Remembers which of these sets have nothing left to do, and what that depends on.
pub fn remember(
    desired: &Desired,
    sets: &[DesiredSet],
    plans: &[SetPlan],
    traces: BTreeMap<SetName, Trace>,
    (state, cache, now): (&State, &mut Cache, i64),
) {
    let configs = Configs::of(desired);
    let by_name: HashMap<&SetName, &DesiredSet> = sets.iter().map(|set| (&set.name, set)).collect();
    let plans: HashMap<&SetName, &SetPlan> = plans.iter().map(|plan| (&plan.name, plan)).collect();
    for (name, trace) in traces {
        let quiet = (|| {
            let (set, plan) = (*by_name.get(&name)?, *plans.get(&name)?);
            let settled = Settled { desired, set, plan, state, now }.facts()?;
            let (trail, print) = trace.finish(set.installs.len())?;
            Some(Quiet {
                config: configs.config(set)?,
                print,
                digest: settled.digest,
                until: settled.until,
                trail: Arc::new(trail),
                generations: settled.generations,
            })
        })();
        cache.set_quiet(&name, quiet);
    }
    // Those that this run has not looked at were quiet for what was recorded before it.
    for (name, known) in &state.sets {
        if cache.quiet(name).is_some_and(|quiet| quiet.digest != known.digest) {
            cache.set_quiet(name, None);
        }
    }
}

/// A set of which nothing is owed, left over or about to be told again.
struct Settled<'a> {
    desired: &'a Desired,
    set: &'a DesiredSet,
    plan: &'a SetPlan,
    state: &'a State,
    now: i64,
}

struct Facts {
    digest: crate::base::Digest,
    until: i64,
    generations: Vec<String>,
}

impl Settled<'_> {
    fn facts(&self) -> Option<Facts> {
        let is_good = |result| matches!(result, Outcome::Unchanged | Outcome::Installed | Outcome::Repaired);
        let known = self.state.sets.get(&self.set.name)?;
        let places = self.state.installs_of(&self.set.name);
        let installs = &self.plan.installs;
        let is_done = is_good(self.plan.result)
            && self.plan.error.is_none()
            && installs.iter().all(|install| is_good(install.result) && install.error.is_none() && !install.leftovers)
            && known.hold.is_none()
            && !known.facts.has_key_of(&self.desired.revoked)
            && known.pattern == self.set.pattern
            && places.len() == self.set.installs.len();
        if !is_done {
            return None;
        }
        let mut facts = Facts { digest: known.digest, until: i64::MAX, generations: Vec::new() };
        for install in &self.set.installs {
            let recorded = self.state.install(&self.set.name, &install.dest)?;
            let current = recorded.current.as_ref().filter(|current| current.digest == Some(known.digest))?;
            let owes =
                |hook: &&Hook| install.rest.hooks.contains(&hook.name) && (owes_run(&hook.name, recorded) || owes_verify(hook, recorded));
            let surplus = recorded.former.len() > install.rest.keep as usize;
            let of_revoked = |facts: &SetFacts| facts.has_key_of(&self.desired.revoked);
            let is_revoked = recorded.former.iter().chain([current]).any(|generation| of_revoked(&generation.facts));
            if recorded.next.is_some()
                || recorded.returned.is_some()
                || surplus
                || is_revoked
                || self.desired.hooks.iter().any(|hook| owes(&hook))
            {
                return None;
            }
            facts.until = facts.until.min(current.facts.not_after().unwrap_or(i64::MAX));
            facts.generations.push(current.name.clone());
        }
        (self.now < facts.until).then_some(facts)
    }
}
