//! From observed to desired: a pure function, one install at a time.

use super::names::{Shown, link_target, shown_at};
use super::words::{before_lines, dest_lines, file_lines};
use super::{Change, ContentChange, FileSource, InstallPlan, NextGeneration, Outcome, PlannedFile, Reason, Step};
use crate::base::{ContentHash, Digest, Error, ErrorKind, GenerationHash, Mode, RelPath, SetName};
use crate::material::{Description, FileKind, SetFacts};
use crate::observe::{Marker, ObservedDest, ObservedFile, ObservedInstall, ObservedName};
use crate::spec::{DesiredInstall, Layout, Prune};
use crate::state::{GenerationState, Inode, InstallState};
use std::collections::BTreeMap;

/// The version an install should show.
pub struct Wanted<'a> {
    /// The version of the set.
    pub digest: Digest,
    /// Its facts.
    pub facts: &'a SetFacts,
    /// Its files as this install renders them, sorted; `None`: not read, since probably nothing is to do.
    pub files: Option<&'a [WantedFile]>,
}

/// One rendered file, without its bytes.
#[derive(Debug, Clone)]
pub struct WantedFile {
    /// Where in `dest`.
    pub path: RelPath,
    /// SHA-256 of its content.
    pub sha256: ContentHash,
    /// What it was recognised as.
    pub kind: FileKind,
    /// In an operator's words.
    pub description: Description,
}

/// Everything the diff of one install depends on.
pub struct Situation<'a> {
    /// The set.
    pub set: &'a SetName,
    /// As the spec has it.
    pub install: &'a DesiredInstall,
    /// What it should show.
    pub wanted: &'a Wanted<'a>,
    /// What the state knows of it.
    pub recorded: Option<&'a InstallState>,
    /// Whether certsync made the `dest`, and which inode it is.
    pub made: Option<Inode>,
    /// What is there.
    pub observed: &'a ObservedInstall,
    /// Why, where the caller knows better.
    pub because: Option<Reason>,
    /// Unix seconds.
    pub now: i64,
    /// The name shown for a user id.
    pub user_name: fn(u32) -> String,
    /// The name shown for a group id.
    pub group_name: fn(u32) -> String,
}

/// The diff, or the news that it cannot be told without the files.
pub enum Diffed {
    /// What to do.
    Plan(Box<InstallPlan>),
    /// Something differs: call again with [`Wanted::files`] and a closer observation.
    NeedsFiles,
}

/// Hash of what shapes an install's files in the spec.
pub fn shape_of(install: &DesiredInstall) -> ContentHash {
    let rest = &install.rest;
    let shape = (&install.files, rest.owner.id, rest.group.id, [rest.dir_mode, rest.file_mode, rest.key_mode], rest.layout, rest.prune);
    ContentHash::of(format!("{shape:?}").as_bytes())
}

/// What must be done so that `dest` shows the wanted version as the spec says.
pub fn diff(situation: &Situation<'_>) -> Diffed {
    if is_quiet(situation) {
        return Diffed::Plan(Box::new(nothing(situation)));
    }
    match situation.wanted.files {
        None => Diffed::NeedsFiles,
        Some(files) => Diffed::Plan(Box::new(Differ::new(situation, files).plan())),
    }
}

fn nothing(s: &Situation<'_>) -> InstallPlan {
    InstallPlan {
        dest: s.install.dest.clone(),
        result: Outcome::Unchanged,
        reason: None,
        notes: Vec::new(),
        changes: Vec::new(),
        steps: Vec::new(),
        error: None,
        next: None,
        record: None,
        content: ContentChange::Same,
        leftovers: s.observed.leftovers,
        inode: s.observed.dest.as_ref().map(|dest| dest.inode),
    }
}

/// Whether metadata alone shows that everything is as it was left and as it should be.
fn is_quiet(s: &Situation<'_>) -> bool {
    let (Some(recorded), Some(dest), Some(tree)) = (s.recorded, &s.observed.dest, &s.observed.tree) else { return false };
    let Some(current) = &recorded.current else { return false };
    recorded.next.is_none()
        && recorded.layout == s.install.rest.layout
        && current.digest == Some(s.wanted.digest)
        && current.shaped == shape_of(s.install)
        && dest.marker == Marker::Us
        && matches!(wanted_dest(s, dest), DestVerdict::Right)
        && s.observed.current.as_ref() == Some(&current.name)
        && tree.hash == Some(current.hash)
        && dirs_are_right(s)
        && tree.files.iter().all(|(path, file)| {
            has_attributes(s.install, file) && file.sha256.is_some_and(|sha256| shown_at(s, path) == Shown::Right(Some(sha256)))
        })
}

pub(super) fn has_attributes(install: &DesiredInstall, file: &ObservedFile) -> bool {
    let rest = &install.rest;
    file.uid == rest.owner.id && file.gid == rest.group.id && file.mode == mode_of(install, file.kind) && !file.wider
}

fn dirs_are_right(s: &Situation<'_>) -> bool {
    let rest = &s.install.rest;
    let right =
        |dir: &crate::observe::ObservedDir| dir.uid == rest.owner.id && dir.gid == rest.group.id && dir.mode == rest.dir_mode && !dir.wider;
    s.observed.tree.as_ref().is_some_and(|tree| tree.dirs.iter().all(right))
}

pub(super) fn mode_of(install: &DesiredInstall, kind: FileKind) -> Mode {
    if kind.is_public() { install.rest.file_mode } else { install.rest.key_mode }
}

enum DestVerdict {
    Right,
    Adjust { owner: (u32, u32), mode: Mode },
    Refused(Error),
}

/// A `dest` that certsync made gets what the spec says; one that was there before only what the install itself names,
/// and only where nobody else can put another directory in its place.
fn wanted_dest(s: &Situation<'_>, dest: &ObservedDest) -> DestVerdict {
    let rest = &s.install.rest;
    let made = s.made == Some(dest.inode);
    let uid = if made || rest.named.owner { rest.owner.id } else { dest.uid };
    let gid = if made || rest.named.group { rest.group.id } else { dest.gid };
    let mode = if made || rest.named.dir_mode { rest.dir_mode } else { dest.mode };
    let wider = dest.wider && (made || rest.named.dir_mode);
    if (uid, gid, mode) == (dest.uid, dest.gid, dest.mode) && !wider {
        return DestVerdict::Right;
    }
    if !made && !dest.parent_is_safe {
        let error = Error::new(
            ErrorKind::Permission,
            s.install.dest.to_string(),
            "has another owner, group or mode, and lies where others may exchange it",
        );
        return DestVerdict::Refused(
            error.hint("set its owner, group and mode by hand, or take owner, group and dir_mode out of the install"),
        );
    }
    DestVerdict::Adjust { owner: (uid, gid), mode }
}

struct Differ<'a> {
    s: &'a Situation<'a>,
    /// Every file of the next generation: rendered, then carried.
    files: BTreeMap<RelPath, Target<'a>>,
    plan: InstallPlan,
    before_switch: Vec<Step>,
    after_switch: Vec<Step>,
}

struct Target<'a> {
    planned: PlannedFile,
    kind: FileKind,
    description: Option<&'a Description>,
}

impl<'a> Differ<'a> {
    fn new(s: &'a Situation<'a>, files: &'a [WantedFile]) -> Self {
        let mut targets = BTreeMap::new();
        if let Some(tree) = &s.observed.tree
            && s.install.rest.prune == Prune::Keep
        {
            for (path, file) in &tree.files {
                if let Some(sha256) = file.sha256 {
                    let planned =
                        PlannedFile { path: path.clone(), sha256, mode: mode_of(s.install, file.kind), from: FileSource::Carried };
                    targets.insert(path.clone(), Target { planned, kind: file.kind, description: file.description.as_ref() });
                }
            }
        }
        for file in files {
            let planned = PlannedFile {
                path: file.path.clone(),
                sha256: file.sha256,
                mode: mode_of(s.install, file.kind),
                from: FileSource::Material,
            };
            targets.insert(file.path.clone(), Target { planned, kind: file.kind, description: Some(&file.description) });
        }
        Differ { s, files: targets, plan: nothing(s), before_switch: Vec::new(), after_switch: Vec::new() }
    }

    fn plan(mut self) -> InstallPlan {
        if let Err(error) = self.build() {
            self.plan.result = Outcome::Failed;
            self.plan.error = Some(error);
            self.plan.steps.clear();
            self.plan.next = None;
            self.plan.record = None;
        }
        self.plan
    }

    fn build(&mut self) -> Result<(), Error> {
        self.dest()?;
        let adopted = self.adoption();
        self.names(&adopted)?;
        self.generation(adopted);
        self.pruned();
        self.finish();
        Ok(())
    }

    fn dest(&mut self) -> Result<(), Error> {
        let rest = &self.s.install.rest;
        let Some(dest) = &self.s.observed.dest else {
            self.plan.steps.push(Step::MakeDest);
            let after = dest_lines(self.s, rest.owner.id, rest.group.id, rest.dir_mode, false);
            self.plan.changes.push(Change { path: ".".into(), before: None, after: Some(after) });
            return Ok(());
        };
        if let Marker::Other(other) = &dest.marker {
            return Err(Error::new(
                ErrorKind::Install,
                self.s.install.dest.to_string(),
                format!("is managed by another certsync, whose state is in {other}"),
            )
            .hint("choose another dest, or remove .certsync/owner there once the other one is gone"));
        }
        match wanted_dest(self.s, dest) {
            DestVerdict::Right => {}
            DestVerdict::Refused(error) => return Err(error),
            DestVerdict::Adjust { owner, mode } => {
                self.plan.steps.push(Step::AdjustDest { owner, mode });
                let before = dest_lines(self.s, dest.uid, dest.gid, dest.mode, dest.wider);
                let after = dest_lines(self.s, owner.0, owner.1, mode, false);
                self.plan.changes.push(Change { path: ".".into(), before: Some(before), after: Some(after) });
            }
        }
        if self.s.recorded.is_none_or(|r| r.current.is_none()) && self.s.made != Some(dest.inode) {
            let kept = (dest.uid, dest.gid, dest.mode) != (rest.owner.id, rest.group.id, rest.dir_mode);
            if kept && !(rest.named.owner && rest.named.group && rest.named.dir_mode) {
                self.plan
                    .notes
                    .push("the directory was there before: it keeps what the install itself does not name of owner, group and mode".into());
            }
        }
        Ok(())
    }

    /// Files that stand at wanted names where certsync never put a generation.
    fn adoption(&self) -> Vec<PlannedFile> {
        if self.s.observed.current.is_some() {
            return Vec::new();
        }
        let adopt = |(path, target): (&RelPath, &Target<'_>)| match self.s.observed.names.get(path) {
            Some(ObservedName::File(file)) => Some(PlannedFile {
                path: path.clone(),
                sha256: file.sha256?,
                mode: mode_of(self.s.install, if file.sha256 == Some(target.planned.sha256) { target.kind } else { file.kind }),
                from: FileSource::Dest,
            }),
            _ => None,
        };
        self.files.iter().filter_map(adopt).collect()
    }

    /// What must be made at each name in `dest`, and when; and whether a reader reads other bytes.
    fn names(&mut self, adopted: &[PlannedFile]) -> Result<(), Error> {
        let flat = self.s.install.rest.layout == Layout::Flat;
        for (path, target) in &self.files {
            let is_adopted = adopted.iter().any(|file| file.path == *path);
            let was_ours = self.s.observed.tree.as_ref().is_some_and(|tree| tree.files.contains_key(path));
            let seen = match shown_at(self.s, path) {
                Shown::Obstacle(what) => return Err(self.obstacle(path, &format!("{what} is in its place"))),
                Shown::Foreign(_) if !is_adopted && !was_ours && self.s.observed.current.is_some() => {
                    return Err(self.obstacle(path, "a file that certsync did not put there is in its place"));
                }
                Shown::Foreign(sha256) => {
                    if !is_adopted || flat {
                        self.after_switch.push(Step::Replace(path.clone()));
                    }
                    sha256
                }
                Shown::Right(sha256) => {
                    if flat && sha256 != Some(target.planned.sha256) {
                        self.after_switch.push(Step::Replace(path.clone()));
                    }
                    sha256
                }
                Shown::Nothing if flat => {
                    self.after_switch.push(Step::Replace(path.clone()));
                    None
                }
                Shown::Nothing => {
                    self.before_switch.push(Step::Publish(path.clone()));
                    None
                }
            };
            if seen != Some(target.planned.sha256) {
                self.plan.content = ContentChange::Different;
            }
            let mut before = before_lines(self.s, path);
            let mut after = file_lines(self.s, target.planned.mode, &self.link(path), target.description);
            // Other bytes may mean the same, such as a key written anew: then their hashes tell them apart.
            if let (Some(text), Some(seen)) = (&mut before, seen)
                && *text == after
                && seen != target.planned.sha256
            {
                text.push_str(&format!("bytes sha256 {seen}\n"));
                after.push_str(&format!("bytes sha256 {}\n", target.planned.sha256));
            }
            if before.as_ref() != Some(&after) {
                self.plan.changes.push(Change { path: path.to_string(), before, after: Some(after) });
            }
        }
        if flat {
            self.order_for_flat();
        }
        Ok(())
    }

    /// Certificates and keys last and back to back.
    fn order_for_flat(&mut self) {
        let files = &self.files;
        self.after_switch.sort_by_key(|step| match step {
            Step::Replace(path) => files.get(path).is_some_and(|t| matches!(t.kind, FileKind::Certificates | FileKind::PrivateKey)),
            _ => false,
        });
    }

    fn link(&self, path: &RelPath) -> Option<String> {
        (self.s.install.rest.layout == Layout::Generations).then(|| link_target(self.s.set, path))
    }

    fn obstacle(&self, path: &RelPath, what: &str) -> Error {
        Error::new(ErrorKind::Install, self.s.install.dest.join(path).to_string(), what).hint("move it away, then apply again")
    }

    /// Whether the next generation must be built, or the current (or adopted) one is it.
    fn generation(&mut self, adopted: Vec<PlannedFile>) {
        let files: Vec<PlannedFile> = self.files.values().map(|target| target.planned.clone()).collect();
        let hash = hash_of(&files);
        let mut serial = self.next_serial();
        if !adopted.is_empty() {
            let adopted_hash = hash_of(&adopted);
            let complete = adopted_hash == hash;
            let mut state = self.state_of(serial, adopted_hash, &adopted);
            if !complete {
                state.digest = None;
                state.facts = SetFacts::default();
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
        }
        self.plan.next = Some(NextGeneration { state: self.state_of(serial, hash, &files), files });
    }

    fn current_is(&self, hash: GenerationHash) -> bool {
        self.s.observed.tree.as_ref().is_some_and(|tree| {
            tree.hash == Some(hash) && dirs_are_right(self.s) && tree.files.values().all(|file| has_attributes(self.s.install, file))
        })
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

    /// The generation in place, where the state does not know it: it becomes the former one.
    fn unknown_current(&self) -> Option<GenerationState> {
        let name = self.s.observed.current.as_ref()?;
        let known = self.s.recorded.and_then(|r| r.current.as_ref()).is_some_and(|current| current.name == *name);
        let hash = self.s.observed.tree.as_ref()?.hash?;
        (!known).then(|| GenerationState {
            name: name.clone(),
            hash,
            digest: None,
            shaped: ContentHash::of(b""),
            facts: SetFacts::default(),
            carried: Vec::new(),
            since: self.s.now,
        })
    }

    fn state_of(&self, serial: u64, hash: GenerationHash, files: &[PlannedFile]) -> GenerationState {
        GenerationState {
            name: format!("{serial}-{}", hash.to_string().chars().take(12).collect::<String>()),
            hash,
            digest: Some(self.s.wanted.digest),
            shaped: shape_of(self.s.install),
            facts: self.s.wanted.facts.clone(),
            carried: files.iter().filter(|file| file.from == FileSource::Carried).map(|file| file.path.clone()).collect(),
            since: self.s.now,
        }
    }

    fn next_serial(&self) -> u64 {
        let recorded = self.s.recorded.iter().flat_map(|r| r.current.iter().chain(&r.former).chain(&r.next)).map(|g| g.name.as_str());
        let there = self.s.observed.generations.iter().map(String::as_str);
        let serial = |name: &str| name.split('-').next().and_then(|digits| digits.parse::<u64>().ok());
        recorded.chain(there).filter_map(serial).max().unwrap_or(0) + 1
    }

    /// Names of the current generation that the next one does not have.
    fn pruned(&mut self) {
        let Some(tree) = &self.s.observed.tree else { return };
        for path in tree.files.keys().filter(|path| !self.files.contains_key(*path)) {
            if !matches!(shown_at(self.s, path), Shown::Right(_)) {
                continue;
            }
            self.after_switch.push(Step::Unpublish(path.clone()));
            self.plan.content = ContentChange::Different;
            self.plan.changes.push(Change { path: path.to_string(), before: before_lines(self.s, path), after: None });
        }
    }

    fn finish(&mut self) {
        let staged = self.plan.next.is_some();
        if staged {
            self.plan.steps.push(Step::Stage);
        }
        self.plan.steps.append(&mut self.before_switch);
        if staged {
            self.plan.steps.push(Step::Switch);
        }
        self.plan.steps.append(&mut self.after_switch);
        if self.plan.steps.is_empty() {
            return;
        }
        let reason = self.s.because.unwrap_or_else(|| self.reason());
        self.plan.result = if reason == Reason::Drift { Outcome::Repaired } else { Outcome::Installed };
        self.plan.reason = Some(reason);
    }

    fn reason(&self) -> Reason {
        let Some(current) = self.s.recorded.and_then(|r| r.current.as_ref()) else {
            return if self.s.observed.current.is_some() { Reason::Drift } else { Reason::New };
        };
        if current.digest != Some(self.s.wanted.digest) {
            Reason::Renewed
        } else if current.shaped != shape_of(self.s.install) {
            Reason::Spec
        } else {
            Reason::Drift
        }
    }
}

fn hash_of(files: &[PlannedFile]) -> GenerationHash {
    GenerationHash::of(files.iter().map(|file| (file.path.as_str(), &file.sha256)))
}
