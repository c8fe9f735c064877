//! One run from the spec to the report: what plan, apply, rollback, remove, deploy-hook and status share.

use super::Stop;
use super::checks;
use super::options::{ContentCheck, Judging, Place, Returned, StateChoice};
use super::place::input;
use crate::apply::{Apply, recover};
use crate::base::{AbsPath, ContentHash, Error, ErrorKind, Mode, Result, SetName};
use crate::collect::{Accepted, Named, name_sets};
use crate::host::{Dir, Durability, Stat, clock, users, walk, write_atomic};
use crate::plan::{Outcome, Phase, Report, Tense};
use crate::progress::{Kind, Progress, ProgressChoice};
use crate::spec::{Desired, load};
use crate::state::requests::{self, Request, Scope};
use crate::state::turn::{Outcome as TurnOutcome, Turn, TurnGuard, again, take_free_turn, take_turn};
use crate::state::{Belief, Cache, Common, State, Store, sweep};
use crate::survey::{Keep, Look, Retry, Sources, Stored, Survey, Surveyed, quiet_sets, remember};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::time::Duration;

const CACHE: &str = "cache";
const LAST_RUN: &str = "last-run";
const LAST_SUCCESS: &str = "last-success";
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
}

/// Whether sets that are as they were may be passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Yes.
    Quiet,
    /// No: all of the state is needed.
    Nothing,
}

/// A survey of everything, with its sources, as `judging` says.
pub(super) fn look(judging: &Judging, keep: Keep, progress: ProgressChoice) -> Look {
    let mut once = Accepted::new();
    for (set, word) in &judging.accept {
        once.entry(set.clone()).or_default().insert(*word);
    }
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
        Ok(Session::open(desired, place, dir, judging, pass)?)
    }

    /// Opens everything for a run that holds the lock.
    fn working(place: &Place, judging: &Judging, pass: Pass) -> std::result::Result<Session, Stop> {
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

    fn open(desired: Desired, place: &Place, dir: Option<Dir>, judging: &Judging, pass: Pass) -> Result<Session> {
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
        let identity = desired.common_hash(&[env!("CARGO_PKG_VERSION"), &host, at.as_str(), &me]);
        let empty = State::empty(host, desired.spec.clone());
        let mut session = Session {
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
        };
        if !session.is_state_known() {
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
            us: self.at.to_string(),
            now: self.now,
            stored: Stored::Nothing,
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
        self.write_down(surveyed, &mut report);
        report.settle(Tense::Done);
        Ok(report)
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

/// Who wants a turn, and for what.
pub(super) struct Wish<'a> {
    /// The command, as it is shown to those who wait.
    pub who: &'a str,
    /// Where everything is.
    pub place: &'a Place,
    /// How sets are looked at.
    pub judging: &'a Judging,
    /// Whether it is about all sets and needs only what is to be done of the state.
    pub whole: bool,
    /// `None`: waits for its turn; otherwise it leaves this request if somebody else waits already.
    pub request: Option<Scope>,
    /// How long to wait behind another that waits.
    pub patience: Duration,
    /// Progress on stderr.
    pub progress: ProgressChoice,
}

/// What a command did in its turn.
pub(super) struct Done {
    /// What became of it.
    pub report: Report,
    /// The sets that were applied as a request asks for; requests for others are left to a further turn.
    pub served: Scope,
}

/// Takes turns until no request is left (design, section 5, step 2). `work` is done in the first; the others serve requests
/// that it did not serve, or that came in meanwhile, even where it failed. `None`: somebody else will serve the request.
pub(super) fn in_turn(
    wish: &Wish<'_>,
    work: impl FnOnce(&mut Session, Scope) -> std::result::Result<Done, Stop>,
) -> std::result::Result<Option<Report>, Stop> {
    let Some((dir, turn)) = first_turn(wish)? else { return Ok(None) };
    let mut total = one_turn(wish, &dir, wish.judging, work);
    drop(turn);
    // What was asked for once is done.
    let judging = Judging { content: wish.judging.content, ..Judging::default() };
    while again(&dir) {
        let TurnOutcome::Turn(turn) = take_turn(&dir, wish.who, Turn::Again, wish.patience).map_err(|error| in_full(wish, error))? else {
            break;
        };
        let next = one_turn(wish, &dir, &judging, |session, asked| serve(session, &judging, asked, wish.progress));
        drop(turn);
        total = match (total, next) {
            (Ok(before), Ok(after)) => Ok(merged(before, after)),
            (Err(stop), Ok(_)) => Err(stop),
            // Nor would another turn do better.
            (Ok(_), Err(stop)) | (Err(stop), Err(_)) => return Err(stop),
        };
    }
    total.map(Some)
}

/// The state directory and the turn; nothing where somebody else will serve the request.
///
/// The spec is read in the turn. It is read before as well where something must be made or waited for, so that a faulty one touches nothing
/// and is told at once.
fn first_turn(wish: &Wish<'_>) -> std::result::Result<Option<(Dir, TurnGuard)>, Stop> {
    if wish.request.is_none()
        && let Ok(Some(dir)) = walk::find_private(&wish.place.state_dir)
        && let Some(turn) = take_free_turn(&dir)
    {
        return Ok(Some((dir, turn)));
    }
    checks::state_dir_apart(&desired(wish.place)?, &wish.place.state_dir)?;
    let dir = walk::open_private(&wish.place.state_dir)?;
    let turn = match &wish.request {
        None => Turn::Run,
        Some(scope) => Turn::Request(Request { command: wish.who.to_owned(), scope: scope.clone() }),
    };
    match take_turn(&dir, wish.who, turn, wish.patience).map_err(|error| in_full(wish, error))? {
        TurnOutcome::Turn(turn) => Ok(Some((dir, turn))),
        TurnOutcome::SomebodyWillServe => Ok(None),
    }
}

/// An error about a lock file with the file's whole path.
fn in_full(wish: &Wish<'_>, error: Error) -> Error {
    if error.subject.ends_with(".lock") { Error { subject: format!("{}/{}", wish.place.state_dir, error.subject), ..error } } else { error }
}

fn one_turn(
    wish: &Wish<'_>,
    dir: &Dir,
    judging: &Judging,
    work: impl FnOnce(&mut Session, Scope) -> std::result::Result<Done, Stop>,
) -> std::result::Result<Report, Stop> {
    let read = requests::read(dir)?;
    let asked = read.iter().map(|(_, request)| request.scope.clone()).reduce(Scope::and);
    let all = wish.whole || asked == Some(Scope::All);
    let mut session = Session::working(wish.place, judging, if all { Pass::Quiet } else { Pass::Nothing })?;
    let mut unfinished = session.recover();
    let Done { mut report, served } = work(&mut session, asked.unwrap_or(Scope::Sets(BTreeSet::new())))?;
    report.errors.append(&mut unfinished);
    report.settle(Tense::Done);
    let names: Vec<String> = read.into_iter().filter(|(_, request)| served.covers(&request.scope)).map(|(name, _)| name).collect();
    requests::remove(dir, &names)?;
    // The good end of a run over some sets says nothing of the others.
    let whole = served == Scope::All;
    for (name, due) in [(LAST_RUN, whole || report.failed), (LAST_SUCCESS, whole && !report.failed)] {
        if due && let Err(error) = dir.touch(OsStr::new(name)) {
            report.warnings.push(Error::io(ErrorKind::State, format!("{}/{name}", wish.place.state_dir), &error).to_string());
        }
    }
    Ok(report)
}

/// What apply does, for these sets.
pub(super) fn serve(session: &mut Session, judging: &Judging, scope: Scope, progress: ProgressChoice) -> std::result::Result<Done, Stop> {
    let surveyed = session.survey(Look { scope: scope.clone(), ..look(judging, Keep::InStore, progress) });
    let report = session.carry_out(surveyed, progress)?;
    Ok(Done { report, served: scope })
}

impl Session {
    /// Step 3: finishes what a killed run announced.
    fn recover(&mut self) -> Vec<Error> {
        if self.state.installs.iter().all(|install| install.next.is_none()) {
            return Vec::new();
        }
        let sets = name_sets(&self.desired, &self.state).sets;
        recover(&mut self.state, &sets)
    }
}

/// Both as one report: a set of which the second turn has nothing to tell is told once.
fn merged(mut before: Report, after: Report) -> Report {
    let told: BTreeSet<_> = before.sets.iter().map(|set| set.name.clone()).collect();
    before.sets.extend(after.sets.into_iter().filter(|set| set.result != Outcome::Unchanged || !told.contains(&set.name)));
    before.hooks.extend(after.hooks);
    before.errors.extend(after.errors);
    before.warnings.extend(after.warnings);
    before.settle(Tense::Done);
    before
}
