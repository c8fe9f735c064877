//! `certsync plan`.

use super::Stop;
use super::options::{FromAbove, PlanOptions};
use super::others::{Above, look_above, look_brought};
use super::session::{Pass, Session, look};
use crate::base::{AbsPath, Error, ErrorKind, Result, ServerName};
use crate::fleet::carrier::Identity;
use crate::fleet::due::Limit;
use crate::fleet::plans::Plans;
use crate::plan::{Report, Tense};
use crate::progress::{Kind, Progress, ProgressChoice};
use crate::spec::fleet::{Fleet, Via};
use crate::state::Store;
use crate::survey::Keep;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Tells what apply would do; changes nothing, not even the state.
pub fn plan(options: &PlanOptions) -> std::result::Result<Report, Stop> {
    let mut session = Session::looking(&options.place, &options.judging, Pass::Quiet)?;
    let mut below = options.below.clone();
    let above = match options.above {
        FromAbove::Asked => look_above(&mut session, &options.judging)?,
        FromAbove::Nobody => Above::default(),
        FromAbove::Stdin => {
            let (above, named) = look_brought(&mut session, &options.judging)?;
            below = (!named.is_empty()).then_some(Limit::Only(named));
            above
        }
    };
    let keep = if below.is_some() { Keep::ForOthers } else { Keep::InMemory };
    let surveyed = session.survey(look(&options.judging, keep, options.progress));
    let mut report = Report::of_plan(&surveyed.plan, session.desired.fleet.as_ref().map(|fleet| fleet.me.to_string()));
    report.errors.extend(above.errors);
    report.warnings.extend(above.warnings);
    if let Some(upstream) = above.upstream {
        upstream.bye();
    }
    if let Some(limit) = &below {
        ask_below(&session, (limit, options.above), options.progress, &mut report)?;
    }
    report.settle(Tense::Plan);
    Ok(report)
}

/// Has those below plan with what this host would have then.
fn ask_below(
    session: &Session,
    (limit, above): (&Limit, FromAbove),
    progress: ProgressChoice,
    report: &mut Report,
) -> std::result::Result<(), Stop> {
    let Some(fleet) = &session.desired.fleet else {
        let error = Error::new(ErrorKind::Spec, session.desired.spec.to_string(), "names no servers");
        return Err(error.hint("there is nobody to be asked: leave --remote out").into());
    };
    let names = chosen(fleet, limit, above)?;
    let (with, without): (BTreeSet<_>, BTreeSet<_>) =
        names.into_iter().partition(|name| fleet.server(name).is_some_and(|server| server.via == Via::Ssh));
    report
        .warnings
        .extend(without.iter().map(|name| format!("{name}: has no certsync that could plan: what would change there is not known")));
    let dir = session.dir.as_ref();
    let identity = Identity::in_memory(fleet, dir, &session.at)?;
    let offers = session.planned_offers()?;
    let store = dir.map(|dir| Store::new(dir, &session.at));
    let load = |set: &crate::base::SetName, digest: &crate::base::Digest| {
        let unstored = session.incoming.unstored.get(set).filter(|material| material.digest() == *digest);
        match (unstored, &store) {
            (Some(material), _) => Ok(Arc::clone(material)),
            (None, Some(store)) => store.load(set, digest).map(Arc::new),
            (None, None) => Err(no_store(&session.at)),
        }
    };
    let progress = Progress::new(progress, Kind::PassingOn, with.len());
    let plans = Plans { desired: &session.desired, fleet, identity: &identity, offers: &offers, load: &load };
    report.servers = plans.of(&with, |name| progress.step(name.as_str()));
    progress.finish();
    Ok(())
}

fn no_store(at: &AbsPath) -> Error {
    Error::new(ErrorKind::State, format!("{at}/store"), "is not there yet")
}

/// The servers that are meant. What a host above names and is not below this one is no server of this host's spec: it says so above.
fn chosen(fleet: &Fleet, limit: &Limit, above: FromAbove) -> Result<BTreeSet<ServerName>> {
    let all: BTreeSet<ServerName> = fleet.below(&fleet.me).map(|server| server.name.clone()).collect();
    let Limit::Only(names) = limit else { return Ok(all) };
    match names.iter().find(|name| !all.contains(*name)) {
        Some(strange) if above != FromAbove::Stdin => {
            Err(Error::new(ErrorKind::Usage, strange.to_string(), "is not below this host in the spec"))
        }
        _ => Ok(all.intersection(names).cloned().collect()),
    }
}
