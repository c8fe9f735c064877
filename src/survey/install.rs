//! One place: observed cheaply first, closely only where something differs.

use super::{Keep, Survey};
use crate::base::{Digest, Error, ErrorKind, RelPath, Result, Secret};
use crate::collect::reread;
use crate::host::users;
use crate::material::{Material, describe, mixed, render};
use crate::observe::{Depth, How, ObservedInstall, observe, read_generation};
use crate::plan::{Diffed, InstallPlan, Outcome, Situation, Wanted, WantedFile, diff};
use crate::spec::{DesiredInstall, DesiredSet};
use crate::state::{Contents, Inode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is at hand for the installs of one set.
pub(super) struct Place<'a> {
    /// What was read of the set, where it had to be.
    pub material: &'a mut Option<Arc<Material>>,
    /// Directories that certsync made at this `dest`.
    pub made: &'a [Inode],
    /// What is known of its files.
    pub contents: &'a mut Contents,
}

impl Survey<'_> {
    pub(super) fn install(&mut self, set: &DesiredSet, install: &DesiredInstall, digest: Digest, at: &mut Place<'_>) -> InstallPlan {
        match self.try_install(set, install, digest, at) {
            Ok(plan) => plan,
            Err(error) => InstallPlan { error: Some(error), ..InstallPlan::untouched(&install.dest, Outcome::Failed) },
        }
    }

    fn try_install(&mut self, set: &DesiredSet, install: &DesiredInstall, digest: Digest, at: &mut Place<'_>) -> Result<InstallPlan> {
        let made = at.made;
        let recorded = self.state.install(&set.name, &install.dest).and_then(|recorded| recorded.current.as_ref());
        let recorded = recorded.map(|current| current.name.clone());
        let largest = self.desired.limits.set;
        let us = self.us.clone();
        let how = |depth| How { depth, us: &us, recorded: recorded.as_deref(), largest };
        let observed = observe(&install.dest, &set.name, &[], at.contents, how(Depth::Metadata))?;
        if let Diffed::Plan(plan) = self.diff(set, install, &Wanted { digest, facts: &Arc::default(), files: None }, &observed, made) {
            return Ok(*plan);
        }
        at.contents.trace.spoil();
        let material = self.material(set, digest, at)?;
        let facts = Arc::clone(material.facts());
        let rendered = render(material, install.files.as_deref())?;
        let files: Vec<WantedFile> = rendered
            .into_iter()
            .map(|file| WantedFile {
                description: describe(file.bytes.expose(), self.now),
                path: file.path,
                sha256: file.sha256,
                kind: file.kind,
            })
            .collect();
        let names: Vec<&RelPath> = files.iter().map(|file| &file.path).collect();
        let observed = observe(&install.dest, &set.name, &names, at.contents, how(Depth::Words(self.now)))?;
        match self.diff(set, install, &Wanted { digest, facts: &facts, files: Some(&files) }, &observed, made) {
            Diffed::Plan(mut plan) => {
                self.look_at_all(set, install, &mut plan, at.material.as_deref())?;
                Ok(*plan)
            }
            Diffed::NeedsFiles => Err(Error::new(ErrorKind::Install, install.dest.to_string(), "cannot be compared")),
        }
    }

    /// Looks at the files that would stand in `dest` together: those rendered, and those the source no longer has. What is
    /// carried must fit what has come, and its keys are keys of the generation.
    fn look_at_all(&self, set: &DesiredSet, install: &DesiredInstall, plan: &mut InstallPlan, material: Option<&Material>) -> Result<()> {
        let staged = plan.next.is_some();
        let state = plan.next.as_mut().map(|next| &mut next.state).or(plan.record.as_mut());
        let (Some(state), Some(material)) = (state, material) else { return Ok(()) };
        let mut files: Vec<(RelPath, Secret)> =
            render(material, install.files.as_deref())?.into_iter().map(|file| (file.path, file.bytes)).collect();
        if let (false, Some(from)) = (state.carried.is_empty(), &plan.carry_from) {
            let limit = self.desired.limits.set;
            files.extend(read_generation(&install.dest, &set.name, from, &state.carried, limit, plan.carry_with)?);
        }
        let together = Material::new(files);
        let keys: BTreeSet<_> = state.facts.keys.iter().chain(&together.facts().keys).copied().collect();
        let refuse = |cause: String| Error::new(ErrorKind::Judgement, install.dest.to_string(), cause);
        if let Some(key) = keys.iter().find(|key| self.desired.revoked.contains(key) && !state.facts.keys.contains(key)) {
            let files = state.carried.iter().map(RelPath::as_str).collect::<Vec<_>>().join(", ");
            return Err(refuse(format!("a file that the source no longer has holds the revoked key {key} (one of {files})"))
                .hint("set prune: true, so that what is gone from the source goes from here"));
        }
        let keys: Vec<_> = keys.into_iter().collect();
        if keys != state.facts.keys {
            Arc::make_mut(&mut state.facts).keys = keys;
        }
        let mut accept = set.accept.clone();
        accept.extend(self.look.once.get(&set.name).into_iter().flatten());
        // The bytes that stand there already were judged when they came, perhaps with a door open for once.
        let installed = self.state.install(&set.name, &install.dest).and_then(|recorded| recorded.current.as_ref());
        let is_new = staged && installed.is_none_or(|current| current.hash != state.hash);
        let refusals = if is_new { mixed(&together, &state.carried, &accept) } else { Vec::new() };
        match refusals.first() {
            None => Ok(()),
            Some(first) => {
                let cause = format!("what would stand there does not fit together: {}", first.message);
                Err(refuse(cause).hint("apply again when the renewal is through; what the source no longer has goes with prune: true"))
            }
        }
    }

    fn diff(&self, set: &DesiredSet, install: &DesiredInstall, wanted: &Wanted<'_>, observed: &ObservedInstall, made: &[Inode]) -> Diffed {
        diff(&Situation {
            set: &set.name,
            install,
            wanted,
            recorded: self.state.install(&set.name, &install.dest),
            made,
            observed,
            because: self.look.because,
            now: self.now,
            user_name: users::user_name,
            group_name: users::group_name,
        })
    }

    /// The material of exactly this version: what was just read, what the store holds, or what the source still has.
    fn material<'m>(&mut self, set: &DesiredSet, digest: Digest, at: &'m mut Place<'_>) -> Result<&'m Material> {
        let Place { material: read, contents, .. } = at;
        if read.as_ref().is_none_or(|material| material.digest() != digest) {
            let unstored = match self.look.keep {
                Keep::ForOthers => self.incoming.unstored.get(&set.name).cloned(),
                Keep::InStore | Keep::InMemory => self.incoming.unstored.remove(&set.name),
            };
            let unstored = unstored.filter(|material| material.digest() == digest);
            let stored = unstored.map_or_else(|| self.stored_or_sourced(set, &digest, contents).map(Arc::new), Ok)?;
            return Ok(read.insert(stored));
        }
        read.as_deref().ok_or_else(|| Error::new(ErrorKind::State, set.name.to_string(), "its material is gone"))
    }

    fn stored_or_sourced(&mut self, set: &DesiredSet, digest: &Digest, contents: &mut Contents) -> Result<Material> {
        match self.store().and_then(|store| store.load(&set.name, digest)) {
            Ok(material) => Ok(material),
            Err(error) => match reread(set, &self.desired.limits, digest, contents) {
                Ok(Some(material)) => {
                    self.store_again(set, &material)?;
                    Ok(material)
                }
                Ok(None) | Err(_) => Err(error),
            },
        }
    }

    fn store_again(&mut self, set: &DesiredSet, material: &Material) -> Result<()> {
        let revision = self.state.sets.get(&set.name).map_or(0, |known| known.revision);
        match self.look.keep {
            Keep::InStore => {
                self.store()?.purge_version(&set.name, &material.digest())?;
                self.fresh.insert((set.name.clone(), material.digest()));
                self.store()?.commit(&set.name, material, revision)
            }
            Keep::InMemory | Keep::ForOthers => Ok(()),
        }
    }
}
