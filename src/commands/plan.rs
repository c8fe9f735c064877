//! `certsync plan`.

use super::Stop;
use super::options::{Others, PlanOptions};
use super::others::{Above, look_above};
use super::session::{Pass, Session, look};
use crate::plan::{Report, Tense};
use crate::survey::Keep;

/// Tells what apply would do; changes nothing, not even the state.
pub fn plan(options: &PlanOptions) -> Result<Report, Stop> {
    let mut session = Session::looking(&options.place, &options.judging, Pass::Quiet)?;
    let above = match options.others {
        Others::AsSpec => look_above(&mut session, &options.judging)?,
        Others::LeftAlone => Above::default(),
    };
    let surveyed = session.survey(look(&options.judging, Keep::InMemory, options.progress));
    let mut report = Report::of_plan(&surveyed.plan, session.desired.fleet.as_ref().map(|fleet| fleet.me.to_string()));
    report.errors.extend(above.errors);
    report.warnings.extend(above.warnings);
    report.settle(Tense::Plan);
    if let Some(upstream) = above.upstream {
        upstream.bye();
    }
    Ok(report)
}
