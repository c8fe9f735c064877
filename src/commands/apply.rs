//! `certsync apply`.

use super::Stop;
use super::options::ApplyOptions;
use super::turns::{Requests, Wish, in_turn, serve};
use crate::plan::Report;
use crate::state::requests::Scope;

/// Makes this host what the spec says.
pub fn apply(options: &ApplyOptions) -> Result<Report, Stop> {
    let wish = Wish {
        who: "certsync apply",
        place: &options.place,
        judging: &options.judging,
        whole: true,
        requests: Requests::Served,
        request: None,
        patience: options.run.lock_timeout,
        others: options.run.others,
        passing: options.passing.clone(),
        progress: options.run.progress,
    };
    let done = in_turn(&wish, |session, _| serve(session, &options.judging, Scope::All, options.run.progress))?;
    Ok(done.unwrap_or_else(|| Report::new(None)))
}
