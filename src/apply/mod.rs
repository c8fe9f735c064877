//! Carrying out a plan: steps 6 to 12 of apply (design, section 5).
//!
//! 6. stage every install, 7. barrier, 8. adopt, convert, make missing links, 9. one durable state write,
//! 10. switch, 11. hooks, 12. observe again and sweep. An install that fails leaves the run; the others go on.

mod hooks;
mod learn;
mod place;
mod recover;
mod remove;
mod restore;
mod settle;
mod stage;
mod switch;

pub use recover::recover;
pub use remove::remove;
pub use restore::restore;

use crate::base::{AbsPath, Error, ErrorKind, Result, SetName};
use crate::host::Dir;
use crate::material::render;
use crate::observe::Rights;
use crate::plan::{FileSource, HookReport, InstallPlan, Outcome, SetPlan, Step, begin, promote};
use crate::progress::Progress;
use crate::spec::{Desired, DesiredInstall, DesiredSet};
use crate::state::{Cache, Inode, Staged, State, Store};
use crate::survey::Surveyed;
use place::{Origin, Place};
use stage::New;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use switch::{Flush, Replace, Showing};

/// From so many installs on, one syncfs is cheaper than an fsync for each.
const MANY: usize = 16;

/// What a barrier is to bring to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Generations that were built.
    Generations,
    /// Names: few of them are on disk as soon as they are made ([`Flush::Each`]), and a generation never changes.
    Names,
}

/// What carrying out depends on.
pub struct Apply<'a> {
    /// This host's part of the spec.
    pub desired: &'a Desired,
    /// What is recorded.
    pub state: &'a mut State,
    /// What waits in the store for the origin's word.
    pub staged: &'a Staged,
    /// Known contents.
    pub cache: &'a mut Cache,
    /// What is on disk of it.
    pub saved: &'a mut Option<State>,
    /// The state directory.
    pub state_dir: &'a Dir,
    /// Where it is.
    pub at: &'a AbsPath,
    /// Content of `.certsync/owner` where this state directory manages a `dest`.
    pub us: &'a str,
    /// Unix seconds.
    pub now: i64,
    /// Progress on a terminal.
    pub progress: Progress,
    /// Directories that this run made.
    pub made: BTreeMap<AbsPath, Inode>,
}

/// What became of it.
pub struct Applied {
    /// The hooks that ran.
    pub hooks: Vec<HookReport>,
    /// What went wrong outside a set.
    pub errors: Vec<Error>,
    /// What could not be tidied up.
    pub warnings: Vec<String>,
}

/// One install that has something to do: where its plan is, and what the spec says of it.
struct Work<'a> {
    set: &'a DesiredSet,
    install: &'a DesiredInstall,
    at: (usize, usize),
    /// The directory that is worked in, from the moment it is opened.
    inode: Option<Inode>,
}

impl Work<'_> {
    /// Opens what was opened before: nobody may have put another directory in its place.
    fn open(&self) -> Result<Place> {
        let dest = &self.install.dest;
        let place = place::open(dest, &self.set.name)?;
        if self.inode.is_some_and(|inode| inode != place.inode) {
            return Err(exchanged(dest));
        }
        Ok(place)
    }
}

fn exchanged(dest: &AbsPath) -> Error {
    Error::new(ErrorKind::Permission, dest.to_string(), "another directory was put in its place while certsync worked")
        .hint("see who may write in the directory that holds it")
}

impl Apply<'_> {
    /// Carries out the plan; the outcomes in it become what was done.
    pub fn run(mut self, surveyed: &mut Surveyed) -> Applied {
        let sets = std::mem::take(&mut surveyed.sets);
        let mut applied = Applied { hooks: Vec::new(), errors: Vec::new(), warnings: Vec::new() };
        let mut works = works(&sets, surveyed);
        let flush = if works.len() > MANY { Flush::Together } else { Flush::Each };
        self.keep_store(&mut works, surveyed, &mut applied.errors);
        self.each(&mut works, surveyed, |apply, work, plan| apply.stage(work, plan, flush));
        self.barrier(&works, surveyed, (flush, Due::Generations), &mut applied.errors);
        self.each(&mut works, surveyed, |apply, work, plan| apply.adopt_and_link(work, plan, flush));
        self.barrier(&works, surveyed, (flush, Due::Names), &mut applied.errors);
        if self.record(&mut works, surveyed, &mut applied.errors) {
            self.each(&mut works, surveyed, |apply, work, plan| apply.switch(work, plan, flush));
            self.barrier(&works, surveyed, (flush, Due::Names), &mut applied.errors);
            hooks::run(&mut self, &sets, surveyed, &mut applied);
        }
        settle::settle(&mut self, &sets, surveyed, &mut applied);
        surveyed.plan.sets.iter_mut().for_each(sum_up);
        surveyed.sets = sets;
        applied
    }

    /// What was accepted is in the store for good before anything is built of it; otherwise nothing is.
    fn keep_store(&mut self, works: &mut Vec<Work<'_>>, surveyed: &mut Surveyed, errors: &mut Vec<Error>) {
        if let Err(error) = Store::new(self.state_dir, self.at).flush(&surveyed.fresh) {
            for work in works.drain(..) {
                fail(&mut surveyed.plan.sets[work.at.0].installs[work.at.1], error.clone());
            }
            errors.push(error);
        }
    }

    /// Does one phase for every install that is still in the run.
    fn each(
        &mut self,
        works: &mut Vec<Work<'_>>,
        surveyed: &mut Surveyed,
        phase: impl Fn(&mut Self, &mut Work<'_>, &mut InstallPlan) -> Result<()>,
    ) {
        works.retain_mut(|work| {
            let plan = &mut surveyed.plan.sets[work.at.0].installs[work.at.1];
            match phase(self, work, plan) {
                Ok(()) => true,
                Err(error) => {
                    fail(plan, error);
                    false
                }
            }
        });
    }

    /// 6. Everything new is built beside what is there.
    fn stage(&mut self, work: &mut Work<'_>, plan: &mut InstallPlan, flush: Flush) -> Result<()> {
        self.progress.step(work.set.name.as_str());
        let (set, install) = (&work.set.name, work.install);
        let (place, origin) = place::make(&install.dest, set, &install.rest, self.us, flush)?;
        if origin == Origin::Made {
            self.made.insert(install.dest.clone(), place.inode);
        } else if plan.inode != Some(place.inode) && self.made.get(&install.dest) != Some(&place.inode) {
            return Err(exchanged(&install.dest));
        }
        if self.made.get(&install.dest) == Some(&place.inode) {
            self.state.install_entry(set, &install.dest, install.rest.layout).made = Some(place.inode);
        }
        work.inode = Some(place.inode);
        for step in &plan.steps {
            match step {
                Step::Adopt { generation, files } => stage::stage(
                    &place,
                    &New { name: &generation.name, files, rendered: &[], carry_from: None, carry_with: Rights::Owners },
                    install,
                )?,
                Step::Stage => self.stage_next(work, &place, plan)?,
                Step::MendFolders => {
                    place::mend_folders(&place, set, self.us).map_err(|e| Error::io(ErrorKind::Install, &install.dest, &e))?
                }
                Step::MakeDest
                | Step::AdjustDest { .. }
                | Step::Convert(_)
                | Step::Publish(_)
                | Step::Switch
                | Step::Replace(_)
                | Step::Unpublish(_) => {}
            }
        }
        // What is adopted was read with the rights of whoever owned the directory until now.
        for step in &plan.steps {
            if let Step::AdjustDest { owner, mode } = step {
                place.dest.adjust(*owner, *mode).map_err(|e| Error::io(ErrorKind::Install, &install.dest, &e))?;
            }
        }
        Ok(())
    }

    fn stage_next(&self, work: &Work<'_>, place: &Place, plan: &InstallPlan) -> Result<()> {
        let Some(next) = &plan.next else { return Ok(()) };
        let rendered = match next.state.digest {
            Some(digest) if next.files.iter().any(|file| file.from == FileSource::Material) => {
                let material = Store::new(self.state_dir, self.at).load(&work.set.name, &digest)?;
                render(&material, work.install.files.as_deref())?
            }
            _ => Vec::new(),
        };
        let new = New {
            name: &next.state.name,
            files: &next.files,
            rendered: &rendered,
            carry_from: plan.carry_from.as_deref(),
            carry_with: plan.carry_with,
        };
        stage::stage(place, &new, work.install)
    }

    /// 7. What was built is on disk before anything points at it.
    fn barrier(&self, works: &[Work<'_>], surveyed: &mut Surveyed, (flush, due): (Flush, Due), errors: &mut Vec<Error>) {
        if (flush, due) == (Flush::Each, Due::Names) {
            return;
        }
        let mut devices = BTreeMap::new();
        for work in works {
            let plan = &mut surveyed.plan.sets[work.at.0].installs[work.at.1];
            let dest = &work.install.dest;
            match work.open() {
                Ok(place) if flush == Flush::Together => drop(devices.insert(place.inode.dev, place.dest)),
                Ok(place) => {
                    let names = built(plan);
                    let generations = names.iter().try_for_each(|name| place.set.open_dir(OsStr::new(name))?.sync_tree());
                    if let Err(error) = generations.and_then(|()| place.set.sync()).and_then(|()| place.dest.sync()) {
                        fail(plan, Error::io(ErrorKind::Install, dest, &error));
                    }
                }
                Err(error) => fail(plan, error),
            }
        }
        for (_, dir) in devices {
            if let Err(error) = dir.sync_file_system() {
                errors.push(Error::io(ErrorKind::Install, "bringing what was written to disk", &error));
            }
        }
    }

    /// 8. What is there becomes the first generation; missing links are made. No reader reads other bytes yet.
    fn adopt_and_link(&mut self, work: &mut Work<'_>, plan: &mut InstallPlan, flush: Flush) -> Result<()> {
        if plan.is_stopped() {
            return Err(Error::new(ErrorKind::Install, work.install.dest.to_string(), "could not be brought to disk"));
        }
        let (set, install) = (&work.set.name, work.install);
        let place = work.open()?;
        for step in &plan.steps {
            if let Step::Adopt { generation, files } = step {
                let first = (|| {
                    switch::switch(&place, &generation.name)?;
                    place.set.sync()
                })();
                first.map_err(|e| Error::io(ErrorKind::Install, &install.dest, &e))?;
                if install.rest.layout == crate::spec::Layout::Generations {
                    switch::exchange(&place, (set, install), files, flush)?;
                }
            }
            if let Step::Convert(files) = step {
                switch::exchange(&place, (set, install), files, flush)?;
            }
        }
        let missing: Vec<_> =
            plan.steps.iter().filter_map(|step| if let Step::Publish(path) = step { Some(path.clone()) } else { None }).collect();
        switch::publish(&place, Showing { set, install, generation: "", flush }, &missing, Replace::Nothing)
    }

    /// 9. One durable write: from here on a killed run is rolled forward, and no hook is forgotten.
    fn record(&mut self, works: &mut Vec<Work<'_>>, surveyed: &mut Surveyed, errors: &mut Vec<Error>) -> bool {
        let before = self.state.clone();
        for work in works.iter() {
            let plan = &surveyed.plan.sets[work.at.0].installs[work.at.1];
            let recorded = self.state.install_entry(&work.set.name, &work.install.dest, work.install.rest.layout);
            begin(recorded, plan, work.install);
            if let (Some(current), Ok(place)) = (&mut recorded.current, place::open(&work.install.dest, &work.set.name)) {
                learn::learn(&place, current);
            }
        }
        if works.is_empty() {
            return true;
        }
        if let Err(error) = self.save() {
            *self.state = before;
            for work in works.drain(..) {
                fail(&mut surveyed.plan.sets[work.at.0].installs[work.at.1], error.clone());
            }
            errors.push(error);
            return false;
        }
        true
    }

    /// 10. One rename of `current` switches every file; then what could not be a link before, and what was pruned.
    fn switch(&mut self, work: &mut Work<'_>, plan: &mut InstallPlan, flush: Flush) -> Result<()> {
        let (set, install) = (&work.set.name, work.install);
        let place = work.open()?;
        let wrong = |e: std::io::Error| Error::io(ErrorKind::Install, &install.dest, &e);
        let recorded = self.state.install_entry(set, &install.dest, install.rest.layout);
        let shown = recorded.next.as_ref().or(recorded.current.as_ref()).map(|generation| generation.name.clone()).unwrap_or_default();
        if plan.steps.contains(&Step::Switch) {
            switch::switch(&place, &shown).map_err(wrong)?;
            if flush == Flush::Each {
                place.set.sync().map_err(wrong)?;
            }
        }
        let replaced: Vec<_> =
            plan.steps.iter().filter_map(|step| if let Step::Replace(path) = step { Some(path.clone()) } else { None }).collect();
        switch::publish(&place, Showing { set, install, generation: &shown, flush }, &replaced, Replace::Any)?;
        for step in &plan.steps {
            if let Step::Unpublish(path) = step {
                switch::unpublish(&place, path).map_err(wrong)?;
            }
        }
        promote(recorded);
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        self.state.save(self.state_dir, self.at)?;
        *self.saved = Some(self.state.clone());
        Ok(())
    }
}

/// The installs of a plan that have something to do.
fn works<'a>(sets: &'a [DesiredSet], surveyed: &Surveyed) -> Vec<Work<'a>> {
    let by_name: BTreeMap<&SetName, &DesiredSet> = sets.iter().map(|set| (&set.name, set)).collect();
    let mut works = Vec::new();
    for (i, plan) in surveyed.plan.sets.iter().enumerate() {
        let Some(set) = by_name.get(&plan.name) else { continue };
        for (j, (install, planned)) in set.installs.iter().zip(&plan.installs).enumerate() {
            if !planned.is_stopped() && (!planned.steps.is_empty() || planned.record.is_some()) {
                works.push(Work { set, install, at: (i, j), inode: None });
            }
        }
    }
    works
}

/// The generations that this plan builds.
fn built(plan: &InstallPlan) -> Vec<&str> {
    let adopted = plan.steps.iter().filter_map(|step| match step {
        Step::Adopt { generation, .. } => Some(generation.name.as_str()),
        _ => None,
    });
    adopted.chain(plan.next.iter().map(|next| next.state.name.as_str())).collect()
}

/// A set whose installs were worked on comes to the weightiest of what became of them.
fn sum_up(set: &mut SetPlan) {
    let own = if set.result.is_change() && !set.installs.is_empty() { Outcome::Unchanged } else { set.result };
    // One place that no longer belongs here makes no orphan of the set.
    let places = set.installs.iter().map(|install| install.result).filter(|result| *result != Outcome::Orphaned);
    set.result = places.fold(own, Ord::max);
}

fn fail(plan: &mut InstallPlan, error: Error) {
    if !plan.is_stopped() {
        plan.error = Some(error);
    }
    plan.result = Outcome::Failed;
}

/// Whether a run may leave something of this name behind.
fn subject(set: &SetName, dest: &AbsPath) -> String {
    format!("{set} at {dest}")
}
