//! `certsync apply`.

use super::Stop;
use super::options::{ApplyOptions, Caller};
use super::session::desired;
use super::turns::{Requests, Wish, in_turn, serve};
use crate::base::{Error, ErrorKind, Result, ServerName};
use crate::fleet::due::Limit;
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

/// A name that no server has to whom this host delivers would be obeyed without a word, as if that server had everything.
fn check(fleet: Option<&Fleet>, name: &ServerName) -> Result<()> {
    let wrong = |cause: &str| Error::new(ErrorKind::Usage, name.to_string(), cause);
    let Some(fleet) = fleet else { return Err(wrong("is no server: the spec names none")) };
    match fleet.downstreams().find(|server| server.name == *name) {
        Some(server) if server.delivery == Delivery::Pull => {
            Err(wrong("comes by itself (delivery: pull)").hint("run certsync apply on that host"))
        }
        Some(_) => Ok(()),
        None if fleet.is_below(name, &fleet.me) => {
            Err(wrong("gets its sets from another host").hint("name the one directly below this host that leads to it"))
        }
        None => Err(wrong("is not below this host in the spec")),
    }
}
