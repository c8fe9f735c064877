//! The generation to be built, or the one in place that is it already.

use super::differ::Differ;
use super::rights::tree_is_right;
use super::{ContentChange, FileSource, NextGeneration, PlannedFile, Step};
use crate::base::{ContentHash, GenerationHash};
use crate::state::GenerationState;
use std::sync::Arc;

impl Differ<'_> {
    /// Whether the next generation must be built, or the current (or adopted) one is it.
    pub(super) fn generation(&mut self, adopted: Vec<PlannedFile>) {
        let files: Vec<PlannedFile> = self.files.values().map(|target| target.planned.clone()).collect();
        let hash = hash_of(&files);
        let mut serial = self.next_serial();
        if !adopted.is_empty() {
            let adopted_hash = hash_of(&adopted);
            let complete = adopted_hash == hash;
            let mut state = self.state_of(serial, adopted_hash, &adopted);
            if !complete {
                state.digest = None;
                state.facts = Arc::default();
            }
            serial += 1;
            self.plan.record = complete.then(|| state.clone());
            self.plan.steps.push(Step::Adopt { generation: Box::new(state), files: adopted });
            if complete {
                return;
            }
        } else if self.current_is(hash) {
            self.plan.record = self.to_record(hash, &files);
            return;
        } else {
            self.plan.record = self.unknown_current();
            self.plan.spoiled = self.is_spoiled();
            self.changed_here_alone(hash);
        }
        self.plan.next = Some(NextGeneration { state: self.state_of(serial, hash, &files), files });
    }

    fn current_is(&self, hash: GenerationHash) -> bool {
        self.s.observed.current.is_some() && self.holds(hash) && tree_is_right(self.s) && !self.was_touched()
    }

    fn holds(&self, hash: GenerationHash) -> bool {
        self.s.observed.tree.as_ref().is_some_and(|tree| tree.hash == Some(hash))
    }

    /// Whether the recorded generation is in place and holds something else than what was put there.
    fn was_touched(&self) -> bool {
        let recorded = self.s.recorded.and_then(|recorded| recorded.current.as_ref());
        recorded.is_some_and(|current| self.s.observed.current.as_ref() == Some(&current.name) && !self.holds(current.hash))
    }

    /// A file that only this host has, since it is gone from the source, can be changed here without anything to restore
    /// it from: it is carried as it is, and readers have seen other bytes.
    fn changed_here_alone(&mut self, hash: GenerationHash) {
        if self.holds(hash) && self.was_touched() {
            self.plan.content = ContentChange::Different;
            self.plan.notes.push("a file that the source no longer has was changed on this host: it is carried on as it is now".into());
        }
    }

    /// What the state must learn of the generation in place, if it does not know it already.
    fn to_record(&self, hash: GenerationHash, files: &[PlannedFile]) -> Option<GenerationState> {
        let name = self.s.observed.current.clone()?;
        let known = self.s.recorded.and_then(|r| r.current.as_ref()).filter(|current| current.name == name);
        let mut state = self.state_of(0, hash, files);
        state.since = known.map_or(self.s.now, |known| known.since);
        state.name = name;
        let pending = self.s.recorded.is_some_and(|r| r.next.is_some() || r.layout != self.s.install.rest.layout);
        (known != Some(&state) || pending).then_some(state)
    }

    /// The generation in place, where the state knows another one there: it becomes the former one.
    fn unknown_current(&self) -> Option<GenerationState> {
        let name = self.s.observed.current.as_ref()?;
        let hash = self.s.observed.tree.as_ref()?.hash?;
        let recorded = self.s.recorded;
        if recorded.and_then(|r| r.current.as_ref()).is_some_and(|current| current.name == *name) {
            return None;
        }
        let known = recorded.and_then(|r| r.former.iter().find(|former| former.name == *name && former.hash == hash));
        Some(known.cloned().unwrap_or_else(|| GenerationState {
            name: name.clone(),
            hash,
            digest: None,
            shaped: ContentHash::of(b""),
            facts: Arc::default(),
            carried: Vec::new(),
            since: self.s.now,
        }))
    }

    /// Whether the recorded generation is no longer as it was installed.
    fn is_spoiled(&self) -> bool {
        let Some(current) = self.s.recorded.and_then(|recorded| recorded.current.as_ref()) else { return false };
        if self.s.observed.current.as_ref() != Some(&current.name) {
            return !self.s.observed.generations.contains(&current.name);
        }
        let untouched = self.s.observed.tree.as_ref().is_some_and(|tree| tree.hash == Some(current.hash));
        !untouched || (current.shaped == self.s.install.shape_hash() && !tree_is_right(self.s))
    }

    fn state_of(&self, serial: u64, hash: GenerationHash, files: &[PlannedFile]) -> GenerationState {
        GenerationState {
            name: format!("{serial}-{}", hash.to_string().chars().take(12).collect::<String>()),
            hash,
            digest: Some(self.s.wanted.digest),
            shaped: self.s.install.shape_hash(),
            facts: Arc::clone(self.s.wanted.facts),
            carried: files.iter().filter(|file| file.from == FileSource::Carried).map(|file| file.path.clone()).collect(),
            since: self.s.now,
        }
    }

    /// One above all that are known or there. Whoever owns `dest` may have put a directory with any number there: one that
    /// certsync cannot have counted to is not believed.
    fn next_serial(&self) -> u64 {
        const HIGHEST: u64 = 1 << 53;
        let recorded = self.s.recorded.iter().flat_map(|r| r.current.iter().chain(&r.former).chain(&r.next)).map(|g| g.name.as_str());
        let there = self.s.observed.generations.iter().map(String::as_str);
        let serial = |name: &str| name.split('-').next().and_then(|digits| digits.parse::<u64>().ok());
        recorded.chain(there).filter_map(serial).filter(|serial| *serial < HIGHEST).max().unwrap_or(0) + 1
    }
}

pub(super) fn hash_of(files: &[PlannedFile]) -> GenerationHash {
    GenerationHash::of(files.iter().map(|file| (file.path.as_str(), &file.sha256)))
}
