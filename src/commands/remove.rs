//! `certsync remove`.

use super::Stop;
use super::options::{Judging, RemoveOptions};
use super::pass_on::Passing;
use super::session::Session;
use super::turns::{Done, Requests, Wish, in_turn};
use crate::apply::remove as delete;
use crate::base::{AbsPath, Error, ErrorKind, SetName};
use crate::collect::name_sets;
use crate::plan::{InstallReport, Outcome, Report, SetReport, Tense};
use crate::state::requests::Scope;
use std::collections::BTreeSet;

/// Deletes an orphaned set's files.
pub fn remove(options: &RemoveOptions) -> Result<Report, Stop> {
    let judging = Judging::default();
    let wish = Wish {
        who: "certsync remove",
        place: &options.place,
        judging: &judging,
        whole: false,
        requests: Requests::Left,
        request: None,
        patience: options.run.lock_timeout,
        others: options.run.others,
        passing: Passing::default(),
        progress: options.run.progress,
    };
    let done = in_turn(&wish, |session, _| Ok(Done { report: removed(session, options)?, served: Scope::Sets(BTreeSet::new()) }))?;
    Ok(done.unwrap_or_else(|| Report::new(None)))
}

fn removed(session: &mut Session, options: &RemoveOptions) -> Result<Report, Stop> {
    let set = &options.set;
    let named = name_sets(&session.desired, &session.state);
    let pattern = session.state.sets.get(set).and_then(|known| known.pattern.as_ref());
    // A pattern that cannot be read casts doubt on its own sets only, not on one that bore its name.
    let is_pattern = |name: &SetName| session.desired.patterns.iter().any(|pattern| pattern.name == *name);
    let doubt = |name: &SetName| pattern == Some(name) || (name == set && (pattern.is_some() || !is_pattern(name)));
    if let Some((_, error)) = named.errors.iter().find(|(name, _)| doubt(name)) {
        return Err(error.clone().into());
    }
    let wanted = |dest: &AbsPath| named.sets.iter().any(|one| one.name == *set && one.installs.iter().any(|install| install.dest == *dest));
    let orphaned: Vec<AbsPath> = session
        .state
        .installs
        .iter()
        .filter(|install| install.set == *set && !wanted(&install.dest))
        .map(|install| install.dest.clone())
        .collect();
    let known = named.sets.iter().any(|one| one.name == *set);
    // A removal that was cut off has left the set without a place, but not yet forgotten.
    let begun = !known && session.state.sets.contains_key(set) && session.state.installs_of(set).is_empty();
    if orphaned.is_empty() && !begun {
        let cause = if known { "belongs to this host: only an orphaned set is removed" } else { "is not installed here" };
        let hint = if known { "take it out of the spec first" } else { "certsync status lists what is" };
        return Err(Error::new(ErrorKind::State, set.to_string(), cause).hint(hint).into());
    }
    let Some(dir) = &session.dir else { return Ok(Report::new(None)) };
    delete(&mut session.state, dir, &session.at, set, &orphaned)?;
    let mut report = Report::new(None);
    report.sets.push(SetReport {
        name: set.clone(),
        digest: None,
        result: Outcome::Orphaned,
        reason: None,
        installs: orphaned.into_iter().map(gone).collect(),
        error: None,
        warnings: Vec::new(),
    });
    report.settle(Tense::Done);
    Ok(report)
}

fn gone(dest: AbsPath) -> InstallReport {
    let notes = vec!["removed".to_owned()];
    InstallReport { dest, result: Outcome::Orphaned, changed: true, reason: None, diff: Vec::new(), notes, error: None }
}
