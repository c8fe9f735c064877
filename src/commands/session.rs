//! One run from the spec to the report: what plan, apply, rollback, remove, deploy-hook and status share.

use super::Stop;
use super::checks;
use super::masters::find_mirrors;
use super::options::{ContentCheck, Judging, Place, Returned, StateChoice};
use super::place::input;
use crate::apply::{Apply, recover};
use crate::base::{AbsPath, ContentHash, Error, ErrorKind, Mode, Result, SetName};
use crate::collect::{Accepted, Incoming, Named, name_sets};
use crate::fleet::own::Run;
use crate::fleet::staging::waits_for_word;
use crate::host::scratch::ScratchDir;
use crate::host::{Dir, Durability, Stat, clock, users, walk, write_atomic};
use crate::plan::{Phase, Report, Tense};
use crate::progress::{Kind, Progress, ProgressChoice};
use crate::spec::{Desired, DesiredSet, load};
use crate::state::requests::Scope;
use crate::state::{Belief, Cache, Common, Fresh, Offers, Staged, Standing, State, Store, share, staged, sweep};
use crate::survey::{Keep, Look, Retry, Sources, Survey, Surveyed, quiet_sets, remember};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

pub(super) const CACHE: &str = "cache";
pub(super) const LAST_RUN: &str = "last-run";
pub(super) const LAST_SUCCESS: &str = "last-success";
/// How this host stood after the last run, for the hosts above.
pub(super) const STANDING: &str = "standing.json";
/// Ten thousand sets stay below.
const LARGEST_STANDING: u64 = 64 << 20;
/// A cache of ten thousand sets is some 8 MiB.
const LARGEST_CACHE: u64 = 1 << 30;

/// What one run works with.
pub(super) struct Session {
    /// This host's part of the spec.
    pub desired: Desired,
    /// Where the state directory is.
    pub at: AbsPath,
    /// The state directory; only `plan` and `status` go without one.
    pub dir: Option<Dir>,
    /// What is recorded, as far as this run knows.
    pub state: State,
    /// What is on disk.
    pub saved: Option<State>,
    /// Known contents.
    pub cache: Cache,
    /// Unix seconds.
    pub now: i64,
    /// The sets, where they are known already.
    named: Option<Named>,
    /// Those of them that need no look.
    quiet: BTreeSet<SetName>,
    /// Whether `state.json` was read: if every set is quiet, nothing in it matters.
    is_read: bool,
    /// What quiet sets depend on beside their files.
    identity: ContentHash,
    /// What waits in the store for the origin's word.
    pub staged: Staged,
    /// The same as it is on disk.
    pub saved_staged: Staged,
    /// What other hosts have brought.
    pub incoming: Incoming,
    /// What was put into the store of it.
    pub fresh: Fresh,
    /// What masters without certsync have, for a run that changes nothing.
    pub scratch: Vec<ScratchDir>,
    /// Files of the inbox that were taken, to be removed once their content is safe.
    pub taken: Vec<String>,
    keep: Keep,
}

/// Whether sets that are as they were may be passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Yes.
    Quiet,
    /// No: all of the state is needed.
    Nothing,
}

/// Doors that are open for this run.
pub(super) fn once(judging: &Judging) -> Accepted {
    let mut once = Accepted::new();
    for (set, word) in &judging.accept {
        once.entry(set.clone()).or_default().insert(*word);
    }
    once
}

/// A survey of everything, with its sources, as `judging` says.
pub(super) fn look(judging: &Judging, keep: Keep, progress: ProgressChoice) -> Look {
    let once = once(judging);
    let retry = match judging.returned {
        Returned::Wait => Retry::OnChange,
        Returned::TryAgain => Retry::Now,
    };
    Look { keep, scope: Scope::All, sources: Sources::Read, once, retry, because: None, progress }
}

/// The spec, resolved for this host.
pub(super) fn desired(place: &Place) -> std::result::Result<Desired, Stop> {
    Ok(load(input(&place.spec), place.name.as_deref())?.desired)
}

impl Session {
    /// Opens everything for a run that changes nothing: without a state directory it goes on with an empty state.
    pub fn looking(place: &Place, judging: &Judging, pass: Pass) -> std::result::Result<Session, Stop> {
        let desired = desired(place)?;
        checks::state_dir_apart(&desired, &place.state_dir)?;
        let dir = walk::find_private(&place.state_dir)?;
        let session = Session::open(desired, place, dir, judging, pass)?;
        Ok(Session { keep: Keep::InMemory, ..session })
    }

    /// What would be offered to the hosts below once this run's plan were carried out.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn planned_offers(&self) -> Result<Offers> {
        let before = self.dir.as_ref().map_or_else(|| Ok(Offers::default()), |dir| Offers::load(dir, &self.at))?;
        let store = self.dir.as_ref().map(|dir| Store::new(dir, &self.at));
        Ok(Offers::planned(&self.state, store.as_ref(), &self.incoming.unstored, (&self.quiet, before)))
    }

    /// Whether nothing that comes may be written down.
    pub fn keeps_in_memory(&self) -> bool {
        self.keep == Keep::InMemory
    }

    /// Opens everything for a run that holds the lock.
    pub fn working(place: &Place, judging: &Judging, pass: Pass) -> std::result::Result<Session, Stop> {
        let desired = desired(place)?;
        checks::state_dir_apart(&desired, &place.state_dir)?;
        let dir = walk::open_private(&place.state_dir)?;
        if judging.state == StateChoice::New {
            State::set_aside(&dir, &place.state_dir, clock::unix_seconds())?;
        }
        if let Err(error) = sweep(&dir) {
            tracing::warn!("{}: what a killed run left could not be removed: {error}", place.state_dir);
        }
        Ok(Session::open(desired, place, Some(dir), judging, pass)?)
    }

    fn open(mut desired: Desired, place: &Place, dir: Option<Dir>, judging: &Judging, pass: Pass) -> Result<Session> {
        let at = place.state_dir.clone();
        let now = clock::unix_seconds();
        let belief = match judging.content {
            ContentCheck::Stamps => Belief::Metadata,
            ContentCheck::ReadAll => Belief::Nothing,
        };
        let bytes = dir.as_ref().and_then(|dir| dir.read_file(OsStr::new(CACHE), LARGEST_CACHE).ok());
        let cache = Cache::read(bytes.map_or(Vec::new(), |(bytes, _)| bytes.into_public()), &clock::boot_id(), belief);
        let host = users::host_name();
        let me = users::running_user().uid.to_string();
        if let Some(dir) = &dir {
            find_mirrors(&mut desired, dir, &at);
        }
        let identity = desired.common_hash(&[env!("CARGO_PKG_VERSION"), &host, at.as_str(), &me]);
        let empty = State::empty(host, desired.spec.clone());
        let waiting = dir.as_ref().map(staged).unwrap_or_default();
        let mut session = Session {
            staged: waiting.clone(),
            saved_staged: waiting,
            desired,
            at,
            dir,
            state: empty,
            saved: None,
            cache,
            now,
            named: None,
            quiet: BTreeSet::new(),
            is_read: false,
            identity,
            incoming: Incoming::default(),
            fresh: Fresh::new(),
            scratch: Vec::new(),
            taken: Vec::new(),
            keep: Keep::InStore,
        };
        if !session.is_state_known() || !session.is_passed_on() {
            session.cache.wake_all();
        } else if pass == Pass::Quiet && judging.accept.is_empty() && judging.state == StateChoice::Keep {
            session.pass_over_quiet();
        }
        if !session.is_nothing_left() {
            session.read(judging)?;
        }
        Ok(session)
    }

    /// Whether `state.json` is the one that quiet sets were quiet for. Another one may know less of any of them.
    fn is_state_known(&self) -> bool {
        let state = self.dir.as_ref().and_then(State::stat);
        state.is_some_and(|state| self.cache.common().is_some_and(|common| common.holds(&self.identity, &state)))
    }

    /// Whether what may be passed on is written down, where this host is one of a fleet.
    fn is_passed_on(&self) -> bool {
        self.desired.fleet.is_none() || self.dir.as_ref().is_some_and(|dir| Offers::stat(dir).is_some() && self.last_standing().is_some())
    }

    /// All of the state is needed: something has come.
    ///
    /// # Errors
    /// As [`State::load`].
    pub fn wake_all(&mut self, judging: &Judging) -> Result<()> {
        self.named = None;
        if !self.is_read {
            self.quiet.clear();
            return self.read(judging);
        }
        if self.quiet.is_empty() {
            return Ok(());
        }
        self.quiet.clear();
        self.state.wake(&self.at)?;
        self.saved.as_mut().map_or(Ok(()), |saved| saved.wake(&self.at))
    }

    /// Finds the sets that need no look.
    fn pass_over_quiet(&mut self) {
        let named = name_sets(&self.desired, &self.state);
        // A pattern in trouble falls back on what the state knows.
        if named.errors.is_empty() && named.matched.len() == self.desired.patterns.len() {
            self.quiet = quiet_sets(&self.desired, &named, &self.cache, self.now).into_iter().cloned().collect();
            self.named = Some(named);
        }
    }

    /// Whether every set that belongs here, and every one that is recorded, is quiet.
    fn is_nothing_left(&self) -> bool {
        let quiet = self.quiet.len();
        quiet > 0
            && self.named.as_ref().is_some_and(|named| named.sets.len() == quiet)
            && self.cache.common().is_some_and(|common| common.recorded == quiet as u64)
    }

    fn read(&mut self, judging: &Judging) -> Result<()> {
        self.is_read = true;
        self.saved = match (&self.dir, judging.state) {
            (Some(dir), StateChoice::Keep) => State::load(dir, &self.at, &self.desired.spec, &self.quiet)?,
            _ => None,
        };
        if let Some(saved) = &self.saved {
            self.state = saved.clone();
        }
        // Lines that are not as certsync writes them were all read: then none of them can be passed over.
        if !self.state.has_asleep(self.quiet.len()) {
            self.quiet.clear();
        }
        of_this_host(&mut self.state);
        checks::accepted_sets_exist(judging, &self.desired, &self.state)
    }

    /// Collects, observes and compares.
    pub fn survey(&mut self, look: Look) -> Surveyed {
        Survey {
            desired: &self.desired,
            state: &mut self.state,
            cache: &mut self.cache,
            store: self.dir.as_ref().map(|dir| Store::new(dir, &self.at)),
            look,
            named: self.named.take(),
            quiet: &self.quiet,
            incoming: &mut self.incoming,
            us: self.at.to_string(),
            now: self.now,
            fresh: self.fresh.clone(),
        }
        .run()
    }

    /// What `verify` may find served is the certificate of any set of its hook.
    fn wake(&mut self, surveyed: &mut Surveyed) -> Result<()> {
        if self.quiet.is_empty() || !surveyed.plan.hooks.iter().any(|hook| hook.phases.contains(&Phase::Verify)) {
            return Ok(());
        }
        self.state.wake(&self.at)?;
        if let Some(saved) = &mut self.saved {
            saved.wake(&self.at)?;
        }
        surveyed.sets = name_sets(&self.desired, &self.state).sets;
        Ok(())
    }

    /// Carries out what the survey found, and writes down what became of it.
    pub fn carry_out(&mut self, mut surveyed: Surveyed, progress: ProgressChoice) -> Result<Report> {
        if !self.is_read {
            return Ok(Report::of_plan(&surveyed.plan, None));
        }
        self.wake(&mut surveyed)?;
        let dir = self.dir.as_ref().ok_or_else(|| Error::new(ErrorKind::State, self.at.to_string(), "is not there"))?;
        self.state.patterns.extend(surveyed.matched.iter().cloned());
        let total = surveyed.plan.sets.len() + surveyed.plan.hooks.len();
        let applied = Apply {
            desired: &self.desired,
            state: &mut self.state,
            saved: &mut self.saved,
            staged: &self.staged,
            cache: &mut self.cache,
            state_dir: dir,
            at: &self.at,
            us: self.at.as_str(),
            now: self.now,
            progress: Progress::new(progress, Kind::Staging, total),
            made: BTreeMap::new(),
        }
        .run(&mut surveyed);
        surveyed.plan.hooks.clear();
        let mut report = Report::of_plan(&surveyed.plan, None);
        report.hooks = applied.hooks;
        report.errors = applied.errors;
        report.warnings = applied.warnings;
        report.settle(Tense::Done);
        self.write_down(surveyed, &mut report);
        report.settle(Tense::Done);
        Ok(report)
    }

    /// How this host stood after the last run.
    pub fn last_standing(&self) -> Option<Standing> {
        let (bytes, _) = self.dir.as_ref()?.read_file(OsStr::new(STANDING), LARGEST_STANDING).ok()?;
        serde_json::from_slice(bytes.expose()).ok()
    }

    /// Whether everything that is known is on disk.
    pub fn is_saved(&self) -> bool {
        (!self.is_read || self.saved.as_ref() == Some(&self.state)) && self.staged == self.saved_staged
    }

    /// Writes down what may be passed on from here, and how this host stands.
    fn tell(&self, dir: &Dir, sets: &[DesiredSet], report: &Report) -> Result<()> {
        let Some(fleet) = &self.desired.fleet else { return Ok(()) };
        share(dir, &self.at, fleet.settings.gate_group.as_ref().map(|(_, id)| *id))?;
        let store = Store::new(dir, &self.at);
        let offers = Offers::of(&self.state, &store, &self.quiet, dir, &self.at)?;
        let offers = offers.held_back(|set, offer| self.state.sets.contains_key(set) && waits_for_word(fleet, set, offer));
        offers.with_staged(&self.staged, &store).save(dir, &self.at)?;
        let (quiet, state, staged) = (&self.quiet, &self.state, &self.staged);
        let run = Run { desired: &self.desired, fleet, sets, quiet, state, staged, report, now: self.now };
        let Some(standing) = run.standing(self.last_standing().as_ref()) else { return Ok(()) };
        let bytes = serde_json::to_vec(&standing).map_err(|e| Error::new(ErrorKind::State, STANDING, e.to_string()))?;
        write_atomic(dir, OsStr::new(STANDING), &bytes, Mode::from_bits(0o600), Durability::Eventually)
            .map_err(|error| Error::io(ErrorKind::State, format!("{}/{STANDING}", self.at), &error))
    }

    /// Step 13: the state if it changed, and the cache if it changed; a cache that cannot be written is a warning.
    fn write_down(&mut self, surveyed: Surveyed, report: &mut Report) {
        let Some(dir) = &self.dir else { return };
        if self.saved.as_ref() != Some(&self.state)
            && let Err(error) = self.state.save(dir, &self.at)
        {
            report.errors.push(error);
            return;
        }
        if !self.taken.is_empty() {
            self.saved = Some(self.state.clone());
        }
        if let Err(error) = self.save_staged() {
            report.errors.push(error);
            return;
        }
        let Some(dir) = &self.dir else { return };
        // Before the cache: with it, the next run may find that nothing is to be done.
        if let Err(error) = self.tell(dir, &surveyed.sets, report) {
            report.errors.push(error);
            return;
        }
        remember(&self.desired, &surveyed.sets, &surveyed.plan.sets, surveyed.traces, (&self.state, &mut self.cache, self.now));
        let common = settled_state(dir).and_then(|stat| Common::new(self.identity, &stat, self.state.count()));
        if self.cache.is_changed(common.as_ref()) {
            let bytes = self.cache.bytes(&clock::boot_id(), common.as_ref());
            if let Err(error) = write_atomic(dir, OsStr::new(CACHE), &bytes, Mode::from_bits(0o600), Durability::Eventually) {
                report.warnings.push(Error::io(ErrorKind::State, format!("{}/{CACHE}", self.at), &error).to_string());
            }
        }
    }

    /// When apply last ran, and when it last succeeded, Unix nanoseconds.
    pub fn last(&self) -> (Option<i128>, Option<i128>) {
        let time = |name: &str| Some(self.dir.as_ref()?.stat_at(OsStr::new(name)).ok()??.mtime);
        (time(LAST_RUN), time(LAST_SUCCESS))
    }
}

/// Metadata of `state.json` once the clock has passed it, so that no later change of it can look the same.
fn settled_state(dir: &Dir) -> Option<Stat> {
    const RECENT: i128 = 50_000_000;
    let is_old = |stat: &Stat, now: i128| stat.ctime < now;
    let (now, stat) = (clock::coarse_nanoseconds(), State::stat(dir)?);
    if is_old(&stat, now - RECENT) {
        return Some(stat);
    }
    clock::let_a_tick_pass();
    let now = clock::coarse_nanoseconds();
    State::stat(dir).filter(|stat| is_old(stat, now))
}

/// A state that another host wrote says nothing about the services of this one: every hook is owed.
fn of_this_host(state: &mut State) {
    let host = users::host_name();
    if state.host != host {
        tracing::warn!(was = %state.host, now = %host, "the state was written by a host of another name: every hook runs once");
        state.host = host;
        state.installs.iter_mut().for_each(|install| install.marks.clear());
    }
}

impl Session {
    /// Step 3: finishes what a killed run announced.
    pub fn recover(&mut self) -> Vec<Error> {
        if self.state.installs.iter().all(|install| install.next.is_none()) {
            return Vec::new();
        }
        let sets = name_sets(&self.desired, &self.state).sets;
        recover(&mut self.state, &sets)
    }
}
