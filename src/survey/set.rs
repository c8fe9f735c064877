//! One set: which version it should have, and what that means at each of its places.

use super::install::Place;
use super::{Keep, Retry, Sources, Survey, set_plan};
use crate::base::{AbsPath, Digest, Error, ErrorKind, Result, SetName};
use crate::collect::{Asked, Found, Renewal, collect, judge_again};
use crate::host::clock;
use crate::material::Material;
use crate::plan::{InstallPlan, Outcome, Reason, SetPlan, returned_error};
use crate::spec::{DesiredInstall, DesiredSet, SetSource, under_hash};
use crate::state::{Contents, Inode, SetState};
use std::collections::BTreeMap;
use std::sync::Arc;

fn reason_of(renewal: Renewal) -> Reason {
    if renewal == Renewal::First { Reason::New } else { Reason::Renewed }
}

/// A set's version, where there is one, and its material where it had to be read.
type Present = (Option<Digest>, Option<Arc<Material>>);

impl Survey<'_> {
    pub(super) fn set(&mut self, set: &DesiredSet, made: &BTreeMap<AbsPath, Vec<Inode>>, contents: &mut Contents) -> SetPlan {
        let mut plan = set_plan(&set.name);
        let mut material = None;
        let source = match self.find(set, contents) {
            Ok((digest, read)) => {
                plan.warnings = read.as_ref().map(|material| material.warnings()).unwrap_or_default();
                material = read;
                digest
            }
            Err((outcome, error)) => {
                plan.result = outcome;
                plan.error = Some(error);
                None
            }
        };
        if set.installs.is_empty()
            && plan.result == Outcome::Unchanged
            && let Some(renewal) = self.incoming.renewed.get(&set.name).filter(|renewal| **renewal != Renewal::Renumbered)
        {
            // It only passes through: all there is to be done has been done.
            plan.result = Outcome::Staged;
            plan.reason = Some(reason_of(*renewal));
        }
        let outlived = self.forget_what_is_past(set, source, contents);
        plan.warnings.extend(outlived.iter().map(|dest| format!("{}: what is installed at {dest} is younger than the state", set.name)));
        plan.digest = self.version(set, source, &mut plan.result);
        let Some(digest) = plan.digest else {
            if plan.result == Outcome::Unchanged {
                plan.result = Outcome::Waiting;
            }
            let result = plan.result;
            plan.installs = set.installs.iter().map(|install| InstallPlan::untouched(&install.dest, result)).collect();
            self.tell_staged(set, &mut plan);
            return plan;
        };
        for (number, install) in set.installs.iter().enumerate() {
            contents.trace.begin_place(number);
            if source.is_none() && outlived.contains(&install.dest) {
                plan.installs.push(InstallPlan::untouched(&install.dest, plan.result));
                continue;
            }
            let made = made.get(&install.dest).map_or(&[][..], Vec::as_slice);
            let at = Place { material: &mut material, made, contents: &mut *contents };
            let planned = self.place(set, install, &plan, digest, at);
            plan.installs.push(planned);
        }
        self.sum_up(set, &mut plan);
        self.tell_staged(set, &mut plan);
        plan
    }

    /// A version has come that waits for the origin's word.
    fn tell_staged(&self, set: &DesiredSet, plan: &mut SetPlan) {
        if let Some(renewal) = self.incoming.staged.get(&set.name)
            && !plan.result.is_failure()
        {
            plan.result = Outcome::Staged;
            plan.reason.get_or_insert(reason_of(*renewal));
        }
    }

    /// The version at the source and its material where it had to be read; the set is recorded as accepted.
    fn find(&mut self, set: &DesiredSet, contents: &mut Contents) -> std::result::Result<Present, (Outcome, Error)> {
        if self.look.sources == Sources::Recorded {
            return Ok((self.state.sets.get(&set.name).map(|known| known.digest), None));
        }
        let is_read_here = match &set.source {
            SetSource::Directory(_) => true,
            // What its master has not confirmed in this run may be older than what is installed.
            SetSource::Rsync(_) => self.incoming.confirmed.contains(&set.name),
            SetSource::Upstream => false,
        };
        if !is_read_here {
            return self.brought(set, contents).map(|digest| (digest, None));
        }
        match collect(set, self.desired, self.state, &self.look.once, contents, self.now) {
            Found::Same(digest) => Ok((Some(digest), None)),
            Found::Accepted(material) => {
                let material = Arc::new(material);
                self.accept(set, &material).map_err(|error| (Outcome::Failed, error))?;
                Ok((Some(material.digest()), Some(material)))
            }
            Found::Refused(error) => Err((Outcome::Refused, error)),
            Found::Unreadable(error) => Err((Outcome::Failed, error)),
        }
    }

    /// What an upstream brought, or a master without certsync once had, was judged and recorded when it came. It is judged again where the spec
    /// asks for something else now.
    fn brought(&mut self, set: &DesiredSet, contents: &mut Contents) -> std::result::Result<Option<Digest>, (Outcome, Error)> {
        if set.source == SetSource::Upstream {
            contents.trace.without_source();
        } else {
            contents.trace.spoil();
        }
        if let Some(error) = self.incoming.refused.get(&set.name) {
            let outcome = if matches!(error.kind, ErrorKind::Judgement | ErrorKind::Peer) { Outcome::Refused } else { Outcome::Failed };
            return Err((outcome, error.clone()));
        }
        let judged = set.judged_hash(&self.desired.revoked);
        let Some(known) = self.state.sets.get(&set.name) else { return Ok(None) };
        let (digest, same) = (known.digest, known.judged == judged);
        if !same {
            let stored = self.store().and_then(|store| store.load(&set.name, &digest)).map_err(|error| (Outcome::Failed, error))?;
            let once = self.look.once.get(&set.name);
            judge_again(set, &stored, self.desired, once, self.now).map_err(|error| (Outcome::Refused, error))?;
            if let Some(known) = self.state.sets.get_mut(&set.name) {
                known.judged = judged;
            }
        }
        // What nobody above has confirmed in this run may be what an old state remembers.
        let is_confirmed = self.incoming.asked == Asked::Yes || self.incoming.renewed.contains_key(&set.name);
        Ok((is_confirmed && set.source == SetSource::Upstream).then_some(digest))
    }

    fn accept(&mut self, set: &DesiredSet, material: &Arc<Material>) -> Result<()> {
        let known = self.state.sets.get(&set.name);
        let digest = material.digest();
        let revision = match known {
            Some(known) if known.digest == digest => known.revision,
            known => {
                let held = known.and_then(|known| known.hold.as_ref()?.revision).unwrap_or(0);
                clock::unix_milliseconds().max(known.map_or(0, |known| known.revision.max(held) + 1))
            }
        };
        match self.look.keep {
            Keep::InStore => {
                self.store()?.commit(&set.name, material, revision)?;
                self.fresh.insert((set.name.clone(), digest));
            }
            Keep::InMemory => {}
            Keep::ForOthers => drop(self.incoming.unstored.insert(set.name.clone(), Arc::clone(material))),
        }
        if known.is_none_or(|known| known.digest != digest) {
            let renewal = if known.is_none() { Renewal::First } else { Renewal::Another };
            self.incoming.renewed.insert(set.name.clone(), renewal);
        }
        let hold = known.and_then(|known| known.hold.clone());
        let state = SetState {
            digest,
            revision,
            facts: Arc::clone(material.facts()),
            judged: set.judged_hash(&self.desired.revoked),
            pattern: set.pattern.clone(),
            hold,
        };
        self.state.sets.insert(set.name.clone(), state);
        Ok(())
    }

    /// The version this host should show: the source's, the one a rollback holds, or what was accepted last.
    fn version(&mut self, set: &DesiredSet, source: Option<Digest>, result: &mut Outcome) -> Option<Digest> {
        let held_at_revoked = self.holds_revoked(&set.name);
        let known = self.state.sets.get_mut(&set.name)?;
        known.pattern.clone_from(&set.pattern);
        match (&known.hold, source) {
            (Some(hold), Some(source)) if source != hold.against || held_at_revoked => {
                known.hold = None;
                Some(source)
            }
            (Some(hold), _) => {
                if *result == Outcome::Unchanged {
                    *result = Outcome::Held;
                }
                Some(hold.at)
            }
            (None, Some(source)) => Some(source),
            (None, None) => Some(known.digest),
        }
    }

    /// Whether this version was accepted once and may not be installed any more: then what is installed is left alone.
    fn is_out(&self, set: &DesiredSet, plan: &SetPlan, digest: Digest) -> bool {
        let known = self.state.sets.get(&set.name).filter(|known| known.digest == digest);
        known.is_some_and(|known| plan.result == Outcome::Refused || known.facts.has_key_of(&self.desired.revoked))
    }

    /// Whether a rollback holds the set at a version whose key has been revoked since: nothing to stay at.
    fn holds_revoked(&self, set: &SetName) -> bool {
        let Some(hold) = self.state.sets.get(set).and_then(|known| known.hold.as_ref()) else { return false };
        let installs = self.state.installs.iter().filter(|install| install.set == *set);
        let mut generations = installs.flat_map(|install| install.current.iter().chain(&install.former));
        generations.any(|generation| generation.digest == Some(hold.at) && generation.facts.has_key_of(&self.desired.revoked))
    }

    fn place(&mut self, set: &DesiredSet, install: &DesiredInstall, plan: &SetPlan, digest: Digest, mut at: Place<'_>) -> InstallPlan {
        let recorded = self.state.install(&set.name, &install.dest);
        let current = recorded.and_then(|recorded| recorded.current.clone());
        if plan.result.is_failure() && current.is_none() {
            return InstallPlan::untouched(&install.dest, plan.result);
        }
        // What holds a revoked key is nothing to stay at.
        let is_revoked = current.as_ref().is_some_and(|current| current.facts.has_key_of(&self.desired.revoked));
        let returned = recorded.and_then(|recorded| recorded.returned.clone()).filter(|returned| {
            let is_same = || returned.digest == digest && returned.under == under_hash(install, &self.desired.hooks);
            self.look.retry == Retry::OnChange && !is_revoked && is_same()
        });
        if returned.is_none()
            && let Some(recorded) = self.state.install_mut(&set.name, &install.dest)
        {
            recorded.returned = None;
        }
        let Some(returned) = returned else {
            let digest = if self.is_out(set, plan, digest) { current.and_then(|current| current.digest) } else { Some(digest) };
            return match digest {
                Some(digest) => self.install(set, install, digest, &mut at),
                None => InstallPlan::untouched(&install.dest, Outcome::Unchanged),
            };
        };
        // What the present spec did not shape is not held against it: that would bring back what the check rejects.
        let former = current.filter(|current| current.shaped == install.shape_hash()).and_then(|current| current.digest);
        let mut planned = match former {
            Some(former) => self.install(set, install, former, &mut at),
            None => InstallPlan::untouched(&install.dest, Outcome::RolledBack),
        };
        if !planned.is_stopped() {
            planned.result = Outcome::RolledBack;
            planned.error = Some(returned_error(&returned.hook, &set.name, &install.dest));
        }
        planned
    }

    fn sum_up(&self, set: &DesiredSet, plan: &mut SetPlan) {
        for install in &mut plan.installs {
            if plan.result == Outcome::Held && install.result == Outcome::Unchanged {
                install.result = Outcome::Held;
            }
        }
        let weightiest = plan.installs.iter().map(|install| install.result).max();
        plan.reason = plan.installs.iter().filter_map(|install| install.reason).min();
        plan.result = plan.result.max(weightiest.unwrap_or(plan.result));
        let places = set.installs.iter().filter_map(|install| self.state.install(&set.name, &install.dest)?.current.as_ref());
        if let Some(end) = places.filter_map(|current| current.facts.not_after()).min()
            && end < self.now
        {
            plan.warnings.push(format!("{}: its certificate ran out {} days ago", set.name, (self.now - end) / 86_400));
        }
    }
}
