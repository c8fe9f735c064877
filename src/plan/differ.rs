//! What must be done at one `dest`, once it is known that something differs.

use super::diff::{Situation, WantedFile, is_untouched, nothing};
use super::names::{Shown, is_ours, link_target, shown_at};
use super::rights::{DestVerdict, mode_of, own_folder_is_right, wanted_dest};
use super::words::{before_lines, dest_lines, file_lines};
use super::{Change, ContentChange, FileSource, InstallPlan, Outcome, PlannedFile, Reason, Step};
use crate::base::{ContentHash, Error, ErrorKind, RelPath};
use crate::material::{Description, FileKind};
use crate::observe::{META, META_MODE, Marker, OWNER_FILE, ObservedName};
use crate::spec::{Layout, Prune};
use std::collections::BTreeMap;

pub(super) struct Differ<'a> {
    pub(super) s: &'a Situation<'a>,
    /// Every file of the next generation: rendered, then carried.
    pub(super) files: BTreeMap<RelPath, Target<'a>>,
    pub(super) plan: InstallPlan,
    /// Files that only change into links.
    converted: Vec<PlannedFile>,
    before_switch: Vec<Step>,
    after_switch: Vec<Step>,
}

pub(super) struct Target<'a> {
    pub(super) planned: PlannedFile,
    kind: FileKind,
    description: Option<&'a Description>,
}

impl<'a> Differ<'a> {
    pub(super) fn new(s: &'a Situation<'a>, files: &'a [WantedFile]) -> Self {
        let mut targets = BTreeMap::new();
        if let Some(tree) = &s.observed.tree
            && s.install.rest.prune == Prune::Keep
        {
            for (path, file) in &tree.files {
                if let Some(sha256) = file.sha256.filter(|_| belongs(s, path)) {
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
        Differ { s, files: targets, plan: nothing(s), converted: Vec::new(), before_switch: Vec::new(), after_switch: Vec::new() }
    }

    pub(super) fn plan(mut self) -> InstallPlan {
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
        self.pruned()?;
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
        self.own_folders(&dest.marker)?;
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
        if self.s.recorded.is_none_or(|r| r.current.is_none()) && !self.s.made.contains(&dest.inode) {
            let kept = (dest.uid, dest.gid, dest.mode) != (rest.owner.id, rest.group.id, rest.dir_mode);
            if kept && !(rest.named.owner && rest.named.group && rest.named.dir_mode) {
                self.plan
                    .notes
                    .push("the directory was there before: it keeps what the install itself does not name of owner, group and mode".into());
            }
        }
        Ok(())
    }

    /// certsync's own folder is ours, is said to be ours, and lets readers pass.
    fn own_folders(&mut self, marker: &Marker) -> Result<(), Error> {
        match marker {
            Marker::Us => {}
            Marker::Other(other) => {
                return Err(Error::new(
                    ErrorKind::Install,
                    self.s.install.dest.to_string(),
                    format!("is managed by another certsync, whose state is in {other}"),
                )
                .hint("choose another dest, or remove .certsync/owner there once the other one is gone"));
            }
            Marker::Nobody if self.s.observed.current.is_none() => {}
            Marker::Nobody => {
                self.plan.steps.push(Step::MakeDest);
                let path = format!("{META}/{OWNER_FILE}");
                self.plan.changes.push(Change { path, before: None, after: Some("managed by this certsync\n".into()) });
            }
        }
        let folders = [META.to_owned(), format!("{META}/{}", self.s.set)];
        for (path, folder) in folders.into_iter().zip(&self.s.observed.own_folders) {
            if !own_folder_is_right(folder) {
                if *marker != Marker::Us {
                    return Err(Error::new(
                        ErrorKind::Install,
                        format!("{}/{path}", self.s.install.dest),
                        "does not say that it is certsync's, and is not as certsync makes it",
                    )
                    .hint("move it away, or set its mode to 0755 if it is certsync's own"));
                }
                let before = dest_lines(self.s, folder.uid, folder.gid, folder.mode, folder.wider);
                let after = dest_lines(self.s, folder.uid, folder.gid, META_MODE, false);
                self.plan.changes.push(Change { path, before: Some(before), after: Some(after) });
                if !self.plan.steps.contains(&Step::MendFolders) {
                    self.plan.steps.push(Step::MendFolders);
                }
            }
        }
        Ok(())
    }

    /// Files that stand at wanted names where certsync never put a generation, or was removed altogether.
    fn adoption(&self) -> Vec<PlannedFile> {
        let installed = self.s.recorded.is_some_and(|recorded| recorded.current.is_some());
        let managed = self.s.observed.dest.as_ref().is_some_and(|dest| dest.marker == Marker::Us);
        if self.s.observed.current.is_some() || (installed && managed) {
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
        let paths: Vec<RelPath> = self.files.keys().cloned().collect();
        for path in &paths {
            let seen = self.name(path, adopted.iter().any(|file| file.path == *path))?;
            let Some(target) = self.files.get(path) else { continue };
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
        if self.s.install.rest.layout == Layout::Flat {
            self.order_for_flat();
        }
        Ok(())
    }

    /// What must be done at one name, and what a reader sees there now.
    fn name(&mut self, path: &RelPath, is_adopted: bool) -> Result<Option<ContentHash>, Error> {
        let flat = self.s.install.rest.layout == Layout::Flat;
        let wanted = self.files.get(path).map(|target| target.planned.sha256);
        let in_tree = self.s.observed.tree.as_ref().and_then(|tree| tree.files.get(path));
        let shown = shown_at(self.s, path);
        if in_tree.is_none() && !is_adopted {
            self.is_free(path, wanted)?;
        }
        match shown {
            Shown::Obstacle(what) => Err(self.obstacle(path, &format!("{what} is in its place"))),
            Shown::Foreign(Some(sha256)) if !flat && in_tree.is_some_and(|file| file.sha256 == Some(sha256)) => {
                let from = FileSource::Dest;
                self.converted.extend(self.files.get(path).map(|target| PlannedFile { sha256, from, ..target.planned.clone() }));
                Ok(Some(sha256))
            }
            Shown::Foreign(sha256) => {
                if !is_adopted || flat {
                    self.after_switch.push(Step::Replace(path.clone()));
                }
                Ok(sha256)
            }
            Shown::Right(sha256) => {
                if flat && sha256 != wanted {
                    self.after_switch.push(Step::Replace(path.clone()));
                }
                Ok(sha256)
            }
            Shown::Nothing => {
                let step = if flat { &mut self.after_switch } else { &mut self.before_switch };
                step.push(if flat { Step::Replace(path.clone()) } else { Step::Publish(path.clone()) });
                Ok(None)
            }
        }
    }

    /// Nothing that certsync did not make stands at a name that is new to the set, unless it is what is wanted there.
    fn is_free(&self, path: &RelPath, wanted: Option<ContentHash>) -> Result<(), Error> {
        match self.s.observed.names.get(path) {
            Some(ObservedName::Link(target)) if *target != link_target(self.s.set, path) => {
                let error = self.obstacle(path, &format!("a link to {target} that certsync did not make is in its place"));
                Err(error.hint("put a copy of the file in its place (cp --remove-destination), which is then adopted, or remove the link"))
            }
            Some(ObservedName::File(file)) if file.sha256.is_none() || file.sha256 != wanted => {
                Err(self.obstacle(path, "a file that certsync did not put there is in its place"))
            }
            _ => Ok(()),
        }
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

    /// Names of the current generation that the next one does not have.
    fn pruned(&mut self) -> Result<(), Error> {
        let Some(tree) = &self.s.observed.tree else { return Ok(()) };
        for path in tree.files.keys().filter(|path| !self.files.contains_key(*path)) {
            if !is_ours(self.s, path) {
                continue;
            }
            if tree.files.get(path).is_some_and(|file| file.kind == FileKind::PrivateKey) && self.lacks_key() {
                let error = self.obstacle(path, "is gone from the source, and its certificate is not: it is not pruned alone");
                return Err(error.hint("apply again when the renewal is through, or take the certificate out of the source too"));
            }
            self.after_switch.push(Step::Unpublish(path.clone()));
            self.plan.content = ContentChange::Different;
            self.plan.changes.push(Change { path: path.to_string(), before: before_lines(self.s, path), after: None });
        }
        Ok(())
    }

    /// Whether certificates stay and no private key does.
    fn lacks_key(&self) -> bool {
        let any = |kind| self.files.values().any(|target| target.kind == kind);
        any(FileKind::Certificates) && !any(FileKind::PrivateKey)
    }

    fn finish(&mut self) {
        let staged = self.plan.next.is_some();
        if !self.converted.is_empty() {
            self.plan.steps.push(Step::Convert(std::mem::take(&mut self.converted)));
        }
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
        } else if current.shaped != self.s.install.shape_hash() {
            Reason::Spec
        } else {
            Reason::Drift
        }
    }
}

/// Whether a file of the generation in place is the set's, and not one that somebody slipped in.
fn belongs(s: &Situation<'_>, path: &RelPath) -> bool {
    is_untouched(s) || matches!(s.observed.names.get(path), Some(ObservedName::Link(_) | ObservedName::File(_)))
}
