//! `certsync status`.

use super::cli::{GlobalArgs, StatusArgs, StatusFormat};
use super::exit::{Exit, SUCCESS, UNKNOWN};
use super::options::{Judging, Place, StatusOptions};
use super::output::{Output, print_error};
use super::session::{Pass, Session, desired, look};
use super::{Stop, place};
use crate::base::{AbsPath, Error, ErrorKind, Mode, SetName, printable};
use crate::fleet::glance::known;
use crate::host::{Durability, Kind, clock, walk, write_atomic};
use crate::plan::{InstallPlan, Reason};
use crate::progress::ProgressChoice;
use crate::state::Offers;
use crate::status::fleet::{self, FleetInputs, FleetStatus, fleet_status_of};
use crate::status::{Drift, Inputs, Seen, StatusReport, Thresholds, Verdict, json, prometheus, status_of, table, verdict};
use crate::survey::{Keep, Look, Sources};
use std::collections::BTreeMap;

/// Looks at the host and answers; changes nothing.
pub fn status(options: &StatusOptions) -> Result<StatusReport, Stop> {
    let mut session = Session::looking(&options.place, &Judging::default(), Pass::Nothing)?;
    let recorded = Look { sources: Sources::Recorded, ..look(&Judging::default(), Keep::InMemory, ProgressChoice::Nowhere) };
    let surveyed = session.survey(recorded);
    let plans: BTreeMap<(&SetName, &AbsPath), &InstallPlan> =
        surveyed.plan.sets.iter().flat_map(|set| set.installs.iter().map(move |install| ((&set.name, &install.dest), install))).collect();
    let seen = |set: &SetName, dest: &AbsPath| match plans.get(&(set, dest)) {
        None => Seen { result: None, drift: Drift::Unknown, error: None },
        Some(plan) => Seen {
            result: Some(plan.result),
            drift: match (plan.is_stopped(), plan.reason) {
                (true, _) => Drift::Unknown,
                (false, Some(Reason::Drift)) => Drift::Yes,
                (false, _) => Drift::No,
            },
            error: plan.error.clone().filter(|_| plan.is_stopped()),
        },
    };
    let (last_run, last_success) = session.last();
    let errors = surveyed.plan.sets.iter().filter(|set| set.installs.is_empty()).filter_map(|set| set.error.clone()).collect();
    Ok(status_of(
        &session.state,
        Inputs {
            server: session.desired.fleet.as_ref().map(|fleet| fleet.me.to_string()),
            now: session.now,
            last_run,
            last_success,
            sets: &surveyed.sets,
            hooks: &session.desired.hooks,
            revoked: &session.desired.revoked,
            seen: &seen,
            errors,
        },
    ))
}

/// Reads what is known of the servers below and answers; changes nothing and asks nobody.
pub fn fleet_status(options: &StatusOptions) -> Result<FleetStatus, Stop> {
    let place = &options.place;
    let desired = desired(place)?;
    let Some(fleet) = &desired.fleet else {
        let error = Error::new(ErrorKind::Usage, place.spec.path().to_string(), "names no servers");
        return Err(error.hint("leave --fleet out: this host stands alone").into());
    };
    let Some(dir) = walk::find_private(&place.state_dir)? else {
        let error = Error::new(ErrorKind::State, place.state_dir.to_string(), "is not there yet");
        return Err(error.hint("run certsync apply on this host once").into());
    };
    let (known, mut errors) = known(fleet, &dir, &place.state_dir);
    let offers = Offers::load(&dir, &place.state_dir).unwrap_or_else(|error| {
        errors.push(error);
        Offers::default()
    });
    let (now, revoked) = (clock::unix_seconds(), &desired.revoked);
    Ok(fleet_status_of(FleetInputs { fleet, offers: &offers, revoked, known: &known, now, errors }))
}

/// What is answered, whatever it is about.
struct Answer {
    text: String,
    verdict: Verdict,
    errors: Vec<Error>,
}

fn of_this_host(place: Place, args: &StatusArgs) -> Result<Answer, Stop> {
    let status = status(&StatusOptions { place })?;
    let text = match args.format {
        StatusFormat::Text => table(&status),
        StatusFormat::Json => json(&status),
        StatusFormat::Prometheus => prometheus(&status),
    };
    Ok(Answer { text, verdict: verdict(&status, thresholds(args)), errors: status.errors })
}

fn of_the_fleet(place: Place, args: &StatusArgs) -> Result<Answer, Stop> {
    let status = fleet_status(&StatusOptions { place })?;
    let text = match args.format {
        StatusFormat::Text => fleet::table(&status, thresholds(args)),
        StatusFormat::Json => fleet::json(&status),
        StatusFormat::Prometheus => fleet::prometheus(&status),
    };
    Ok(Answer { text, verdict: fleet::verdict(&status, thresholds(args)), errors: status.errors })
}

fn thresholds(args: &StatusArgs) -> Thresholds {
    Thresholds { warn: args.warn, crit: args.crit }
}

/// `certsync status`.
pub(super) fn run(global: &GlobalArgs, args: &StatusArgs, output: &Output) -> Result<Exit, Stop> {
    let monitors = args.warn.is_some() || args.crit.is_some();
    let place = place::of_path(global, &args.spec).map_err(Stop::from);
    let answer = place.and_then(|place| if args.fleet { of_the_fleet(place, args) } else { of_this_host(place, args) });
    let Answer { text, verdict, errors } = answer.inspect_err(|stop| {
        if monitors {
            output.answer(&format!("UNKNOWN - {}\n", printable(&stop.line())));
        }
    })?;
    // A line before data would spoil it; without data on stdout there is room for it.
    if monitors && (args.format == StatusFormat::Text || args.output.is_some()) {
        output.answer(&format!("{}\n", verdict.line));
    }
    match &args.output {
        Some(file) => write(&place::absolute(file, ErrorKind::Usage)?, &text)?,
        None => output.answer(&text),
    }
    errors.iter().for_each(|error| print_error(error, ""));
    Ok(match (monitors, errors.is_empty()) {
        (true, _) => Exit(verdict.health as u8),
        (false, true) => SUCCESS,
        (false, false) => Exit(UNKNOWN),
    })
}

/// Replaces `file` as a whole, so that a collector never reads half of it.
fn write(file: &AbsPath, text: &str) -> Result<(), Error> {
    let (Some(parent), Some(name)) = (file.as_path().parent(), file.as_path().file_name()) else {
        return Err(Error::new(ErrorKind::Usage, file.to_string(), "is a directory"));
    };
    let parent = place::absolute(parent, ErrorKind::Usage)?;
    let walk = walk::to(&parent)?;
    if !walk.missing.is_empty() {
        return Err(Error::new(ErrorKind::Usage, parent.to_string(), "no such directory"));
    }
    if walk.dir.stat_at(name).ok().flatten().is_some_and(|stat| stat.kind != Kind::File) {
        return Err(Error::new(ErrorKind::Usage, file.to_string(), "is no regular file").hint("leave --output out to write to stdout"));
    }
    write_atomic(&walk.dir, name, text.as_bytes(), Mode::from_bits(0o644), Durability::Eventually)
        .map_err(|error| Error::io(ErrorKind::Usage, file, &error))
}

#[cfg(test)]
mod tests {
    use super::write;
    use crate::base::ErrorKind;
    use crate::commands::place::absolute;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_collector_finds_the_whole_file_with_mode_0644() {
        let Ok(dir) = tempfile::tempdir() else { return };
        let file = dir.path().join("certsync.prom");
        fs::write(&file, "old").unwrap_or_default();
        let path = absolute(&file, ErrorKind::Usage).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!(write(&path, "new\n"), Ok(()));
        assert_eq!(fs::read_to_string(&file).unwrap_or_default(), "new\n");
        assert_eq!(fs::metadata(&file).map(|data| data.permissions().mode() & 0o7777).unwrap_or_default(), 0o644);
        assert_eq!(fs::read_dir(dir.path()).map(Iterator::count).unwrap_or_default(), 1);
    }

    #[test]
    fn a_missing_directory_is_not_made() {
        let path = absolute("/nonexistent/a/b.prom".as_ref(), ErrorKind::Usage).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!(write(&path, "").map_err(|error| error.to_string()), Err("/nonexistent/a: no such directory".into()));
    }
}
