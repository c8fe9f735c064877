//! What is known of the servers below, without taking anything: the records, and what still lies in the inbox.

use super::may::{identify, may_say};
use crate::base::{AbsPath, Error, ErrorKind, Result, ServerName};
use crate::host::Dir;
use crate::spec::fleet::Fleet;
use crate::state::inbox::{Inbox, Told};
use crate::state::{Peer, Peers};
use std::collections::BTreeMap;

/// What is known of each, and what could not be read. What a peer may not say is not believed here either.
pub fn known(fleet: &Fleet, dir: &Dir, at: &AbsPath) -> (BTreeMap<ServerName, Peer>, Vec<Error>) {
    let peers = Peers::new(dir, at);
    let mut known: BTreeMap<ServerName, Peer> =
        fleet.below(&fleet.me).filter_map(|server| Some((server.name.clone(), peers.of(&server.name, &server.public_keys)?))).collect();
    let mut errors = Vec::new();
    let waiting = Inbox::open(dir).and_then(|inbox| inbox.map_or_else(|| Ok(Vec::new()), |inbox| inbox.reports()));
    match waiting {
        Err(error) => errors.push(error),
        Ok(mut waiting) => {
            waiting.sort_by_key(|(_, told)| told.as_ref().map(|told| told.at));
            for (name, told) in waiting {
                let told = told.ok_or_else(|| Error::new(ErrorKind::Peer, format!("inbox/{name}"), "is no report"));
                if let Err(error) = told.and_then(|told| hear(fleet, told, &mut known)) {
                    errors.push(error);
                }
            }
        }
    }
    (known, errors)
}

fn hear(fleet: &Fleet, told: Told, known: &mut BTreeMap<ServerName, Peer>) -> Result<()> {
    let peer = identify(fleet, &told.from.peer, told.from.key)?;
    told.servers.iter().try_for_each(|standing| may_say(fleet, peer.server, standing))?;
    for standing in told.servers {
        let name = standing.server.clone();
        known.entry(name.clone()).or_insert_with(|| Peer::unknown(name)).hear(standing, told.at);
    }
    Ok(())
}
