//! `certsync remove`.

use super::Stop;
use super::options::{Judging, RemoveOptions};
use super::session::{Done, Session, Wish, in_turn};
use crate::apply::remove as delete;
use crate::base::{AbsPath, Error, ErrorKind};
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
        request: None,
        patience: options.run.lock_timeout,
        progress: options.run.progress,
    };
    let done = in_turn(&wish, |session, _| Ok(Done { report: removed(session, options)?, served: Scope::Sets(BTreeSet::new()) }))?;
    Ok(done.unwrap_or_else(|| Report::new(None)))
}

fn removed(session: &mut Session, options: &RemoveOptions) -> Result<Report, Stop> {
    let set = &options.set;
    let named = name_sets(&session.desired, &session.state);
    if let Some((_, error)) =
        named.errors.iter().find(|(name, _)| name == set || session.state.sets.get(set).and_then(|s| s.pattern.as_ref()) == Some(name))
    {
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
    if orphaned.is_empty() {
        let known = named.sets.iter().any(|one| one.name == *set);
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
