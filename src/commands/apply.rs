//! `certsync apply`.

use super::Stop;
use super::options::{ApplyOptions, Caller};
use super::session::desired;
use super::turns::{Requests, Wish, in_turn, serve};
use crate::base::{Error, ErrorKind, Result, ServerName};
use crate::fleet::due::{Limit, directly_below};
use crate::plan::Report;
use crate::spec::fleet::{Delivery, Fleet};
use crate::state::requests::Scope;

/// Makes this host what the spec says.
pub fn apply(options: &ApplyOptions) -> std::result::Result<Report, Stop> {
    if let Limit::Only(names) = &options.passing.limit {
        let desired = desired(&options.place)?;
        let fleet = desired.fleet.as_ref();
        names.iter().try_for_each(|name| check(fleet, name))?;
    }
    let wish = Wish {
        who: "certsync apply",
        place: &options.place,
        judging: &options.judging,
        whole: true,
        requests: match options.caller {
            Caller::Operator => Requests::Served,
            Caller::Gate => Requests::Only,
        },
        request: None,
        patience: options.run.lock_timeout,
        others: options.run.others,
        passing: options.passing.clone(),
        progress: options.run.progress,
    };
    let done = in_turn(&wish, |session, _| serve(session, &options.judging, Scope::All, options.run.progress))?;
    Ok(done.unwrap_or_else(|| Report::new(None)))
}

/// That this host delivers to the server of this name.
fn check(fleet: Option<&Fleet>, name: &ServerName) -> Result<()> {
    let wrong = |cause: &str| Error::new(ErrorKind::Usage, name.to_string(), cause);
    let Some(fleet) = fleet else { return Err(wrong("is no server: the spec names none")) };
    match directly_below(fleet, name)?.delivery {
        Delivery::Pull => Err(wrong("comes by itself (delivery: pull)").hint("run certsync apply on that host")),
        Delivery::Push | Delivery::Trigger => Ok(()),
    }
}
