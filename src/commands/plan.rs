//! `certsync plan`.

use super::Stop;
use super::options::PlanOptions;
use super::session::{Look, Session};
use crate::plan::Report;
use crate::survey::Keep;

/// Tells what apply would do; changes nothing, not even the state.
pub fn plan(options: &PlanOptions) -> Result<Report, Stop> {
    let mut session = Session::looking(&options.place, &options.judging)?;
    let surveyed = session.survey(Look::of(&options.judging, Keep::InMemory, options.progress));
    Ok(Report::of_plan(&surveyed.plan, None))
}
