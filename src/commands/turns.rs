//! Taking turns: one run at a time, and no request lost (design, section 5, step 2).

use super::Stop;
use super::checks;
use super::options::{Judging, Others, Place};
use super::others::receive;
use super::pass_on::{Passing, Toll, pass_on};
use super::revisions::{go_on_above, unsettled};
use super::session::{LAST_RUN, LAST_SUCCESS, Pass, Session, desired, look};
use crate::base::{Error, ErrorKind};
use crate::host::{Dir, walk};
use crate::plan::{Outcome, Report, Tense};
use crate::progress::ProgressChoice;
use crate::state::inbox::Inbox;
use crate::state::requests::{self, Request, Scope};
use crate::state::turn::{Outcome as TurnOutcome, Turn, TurnGuard, again, take_free_turn, take_turn};
use crate::survey::{Keep, Look};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::time::Duration;

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
    /// What becomes of requests that others have left.
    pub requests: Requests,
    /// `None`: waits for its turn; otherwise it leaves this request if somebody else waits already.
    pub request: Option<Scope>,
    /// How long to wait behind another that waits.
    pub patience: Duration,
    /// Other hosts.
    pub others: Others,
    /// How it is passed on.
    pub passing: Passing,
    /// Progress on stderr.
    pub progress: ProgressChoice,
}

/// What a command's first turn does with requests that others have left; a further turn serves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requests {
    /// It serves them as well.
    Served,
    /// It does its own work alone.
    Left,
    /// It is there for them alone: where another run has served them all, it does nothing.
    Only,
}

/// Which turn of a command it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// That for its own work.
    First,
    /// One for what others want.
    Further,
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
    if wish.requests == Requests::Only && !is_asked_for(&dir)? {
        return Ok(None);
    }
    let mut total = settled(wish, one_turn(wish, &dir, (Which::First, wish.judging), work), turn);
    // What was asked for once is done.
    let judging = Judging { content: wish.judging.content, ..Judging::default() };
    while again(&dir) {
        let TurnOutcome::Turn(turn) = take_turn(&dir, wish.who, Turn::Again, wish.patience).map_err(|error| in_full(wish, error))? else {
            break;
        };
        let next = one_turn(wish, &dir, (Which::Further, &judging), |session, asked| serve(session, &judging, asked, wish.progress));
        let next = settled(wish, next, turn);
        total = match (total, next) {
            (Ok(before), Ok(after)) => Ok(merged(before, after)),
            (Err(stop), Ok(_)) => Err(stop),
            // Nor would another turn do better.
            (Ok(_), Err(stop)) | (Err(stop), Err(_)) => return Err(stop),
        };
    }
    total.map(Some)
}

/// Gives the turn back, and passes on what came of it (step 14).
fn settled(
    wish: &Wish<'_>,
    turned: std::result::Result<(Report, Option<Toll>), Stop>,
    turn: TurnGuard,
) -> std::result::Result<Report, Stop> {
    drop(turn);
    let (mut report, toll) = turned?;
    if let Some(toll) = toll {
        pass_on(toll, &wish.passing, &mut report, wish.progress);
        report.settle(Tense::Done);
    }
    Ok(report)
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

/// Whether somebody has left a request that nobody has served yet. To be asked by whoever has the turn.
fn is_asked_for(dir: &Dir) -> crate::base::Result<bool> {
    Ok(!requests::read(dir)?.is_empty() || Inbox::open(dir)?.is_some_and(|inbox| inbox.is_waiting()))
}

/// An error about a lock file with the file's whole path.
fn in_full(wish: &Wish<'_>, error: Error) -> Error {
    if error.subject.ends_with(".lock") { Error { subject: format!("{}/{}", wish.place.state_dir, error.subject), ..error } } else { error }
}

fn one_turn(
    wish: &Wish<'_>,
    dir: &Dir,
    (which, judging): (Which, &Judging),
    work: impl FnOnce(&mut Session, Scope) -> std::result::Result<Done, Stop>,
) -> std::result::Result<(Report, Option<Toll>), Stop> {
    let read = requests::read(dir)?;
    let inbox = Inbox::open(dir)?;
    // Before anything else: what is left later is for a later turn.
    let wanted = inbox.as_ref().map_or(Ok(Vec::new()), Inbox::requests)?;
    let brought = inbox.as_ref().map_or(Ok(Vec::new()), Inbox::pushes)?;
    let from_inbox = (!wanted.is_empty() || !brought.is_empty()).then_some(Scope::All);
    let asked = read.iter().map(|(_, request)| request.scope.clone()).chain(from_inbox).reduce(Scope::and);
    // What comes from other hosts is taken only where everything is looked at afterwards: what is recorded must not be left uninstalled.
    let all = match (which, wish.requests) {
        (Which::First, Requests::Served | Requests::Only) => wish.whole || asked == Some(Scope::All),
        (Which::First, Requests::Left) => false,
        (Which::Further, _) => asked == Some(Scope::All),
    };
    let mut session = Session::working(wish.place, judging, if all { Pass::Quiet } else { Pass::Nothing })?;
    let mut unfinished = session.recover();
    let (future, others) = (wish.passing.future, wish.others);
    let overtaken = if all { go_on_above(&mut session, judging, future)? } else { Vec::new() };
    let above = if all { receive(&mut session, judging, others, brought)? } else { super::others::Above::default() };
    let Done { mut report, served } = work(&mut session, asked.unwrap_or(Scope::Sets(BTreeSet::new())))?;
    report.server = session.desired.fleet.as_ref().map(|fleet| fleet.me.to_string());
    report.errors.append(&mut unfinished);
    report.errors.extend(unsettled(&session, overtaken));
    report.errors.extend(above.errors);
    report.warnings.extend(above.warnings);
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
    let whole_inbox = if whole { wanted } else { Vec::new() };
    let toll = Toll::of(session, above.upstream, whole_inbox, wish.others, &mut report)?;
    Ok((report, toll))
}

/// What apply does, for these sets.
pub(super) fn serve(session: &mut Session, judging: &Judging, scope: Scope, progress: ProgressChoice) -> std::result::Result<Done, Stop> {
    let surveyed = session.survey(Look { scope: scope.clone(), ..look(judging, Keep::InStore, progress) });
    let report = session.carry_out(surveyed, progress)?;
    Ok(Done { report, served: scope })
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
