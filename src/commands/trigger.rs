//! `certsync trigger`.

use super::Stop;
use super::options::TriggerOptions;
use super::pass_on::in_spec_order;
use super::session::desired;
use crate::base::{Error, ErrorKind, Result, ServerName};
use crate::fleet::carrier::Identity;
use crate::fleet::contact::{Patience, Purpose};
use crate::fleet::deliver::{Deliver, Only, Turn};
use crate::fleet::due::directly_below;
use crate::fleet::record::Records;
use crate::host::walk;
use crate::plan::{Report, ServerResult, Tense};
use crate::progress::{Kind, Progress};
use crate::spec::fleet::{Fleet, Server, Via};
use crate::state::Store;

/// Signals hosts that are directly below, whatever they have acknowledged.
pub fn trigger(options: &TriggerOptions) -> std::result::Result<Report, Stop> {
    let place = &options.place;
    let desired = desired(place)?;
    let Some(fleet) = &desired.fleet else {
        let error = Error::new(ErrorKind::Spec, place.spec.path().to_string(), "names no servers");
        return Err(error.hint("there is nobody to be signalled").into());
    };
    let servers = chosen(fleet, &options.servers)?;
    let dir = walk::open_private(&place.state_dir)?;
    let at = &place.state_dir;
    let records = Records::open(&desired, fleet, &dir, at);
    let identity = Identity::of(&dir, at)?;
    let store = Store::new(&dir, at);
    let newest = records.newest();
    let offers = newest.offers()?;
    let mut index = records.index();
    let mut report = Report::new(Some(fleet.me.to_string()));
    let progress = Progress::new(options.progress, Kind::PassingOn, servers.len());
    let turns = servers.iter().map(|server| Turn::new(server, fleet.settings.retries)).collect();
    let (purpose, patience) = (Purpose::Signal, options.patience);
    let (state, only) = ((&dir, at), Only::All);
    Deliver { desired: &desired, fleet, store: &store, state, identity: &identity, purpose, patience, only, newest }.run(turns, |served| {
        progress.step(served.server.name.as_str());
        let untaken = served.untaken();
        let mut told = records.keep(served, &offers, &mut index);
        if let Some(untaken) = untaken {
            // Whoever waits is told that it was in vain.
            (told.result, told.error) = (ServerResult::Failed, Some(untaken));
        }
        report.servers.push(told);
    });
    progress.finish();
    if patience == Patience::Tree {
        report.servers.extend(further(fleet, &servers).map(|server| records.further(server, &offers)));
    }
    in_spec_order(fleet, &mut report);
    report.settle(Tense::Done);
    Ok(report)
}

/// Those below the servers that were signalled.
fn further<'a>(fleet: &'a Fleet, signalled: &[&Server]) -> impl Iterator<Item = &'a Server> {
    let is_meant = |server: &Server| {
        let is_among = signalled.iter().any(|one| one.name == server.name);
        !is_among && signalled.iter().any(|above| fleet.is_below(&server.name, &above.name))
    };
    fleet.below(&fleet.me).filter(move |server| is_meant(server))
}

/// The servers of these names, or all that can be signalled.
fn chosen<'a>(fleet: &'a Fleet, names: &[ServerName]) -> Result<Vec<&'a Server>> {
    if names.is_empty() {
        return Ok(fleet.downstreams().filter(|server| server.via == Via::Ssh).collect());
    }
    names
        .iter()
        .map(|name| {
            let server = directly_below(fleet, name)?;
            if server.via == Via::Ssh {
                return Ok(server);
            }
            let cause = "has no certsync that could be signalled";
            Err(Error::new(ErrorKind::Usage, name.to_string(), cause).hint("certsync apply delivers to it"))
        })
        .collect()
}
