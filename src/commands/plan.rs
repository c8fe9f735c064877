//! `certsync plan`.

use super::Stop;
use super::options::PlanOptions;
use super::session::{Pass, Session, look};
use crate::plan::Report;
use crate::survey::Keep;

/// Tells what apply would do; changes nothing, not even the state.
pub fn plan(options: &PlanOptions) -> Result<Report, Stop> {
    let mut session = Session::looking(&options.place, &options.judging, Pass::Quiet)?;
    let surveyed = session.survey(look(&options.judging, Keep::InMemory, options.progress));
    Ok(Report::of_plan(&surveyed.plan, None))
}
