//! Step 4 of apply for what comes from other hosts: what was brought, and what the host above has.

use super::masters::ask_masters;
use super::options::{Judging, Others};
use super::session::{Session, once};
use super::staged::{keep_back, release};
use crate::base::{Error, ErrorKind, Result, ServerName, SshKeyId};
use crate::collect::{Asked, Received, Renewal, admit};
use crate::fleet::carrier::{Identity, connect, explained};
use crate::fleet::fetch::{Came, Upstream};
use crate::fleet::may::{Ask, check, identify};
use crate::fleet::wire::{Message, Version, Wire};
use crate::host::Dir;
use crate::host::link::{Link, Patience};
use crate::host::ssh::Connection;
use crate::spec::SetSource;
use crate::spec::fleet::{Delivery, Fleet};
use crate::state::inbox::Inbox;
use crate::state::{Offers, SetState, Spread, Store};
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// The connection to the host above outlives what is done here: at its end this host says there how it stands.
const LONGEST: Duration = Duration::from_secs(3600);

/// What came of asking above.
#[derive(Default)]
pub(super) struct Above {
    /// The connection, for the report.
    pub upstream: Option<Upstream<Connection>>,
    /// What went wrong outside any set.
    pub errors: Vec<Error>,
    /// The same where it is no failure.
    pub warnings: Vec<String>,
}

/// Takes what lies in the inbox, and what the host above has that is new. What cannot be had is told, and this host keeps what it has.
///
/// # Errors
/// Kind `State`: the state cannot be read.
pub(super) fn receive(session: &mut Session, judging: &Judging, others: Others, brought: Vec<String>) -> Result<Above> {
    let mut above = Above { warnings: ask_masters(session, judging, others)?, ..Above::default() };
    let Some(fleet) = session.desired.fleet.as_ref().filter(|fleet| !brought.is_empty() || asks_above(session, fleet)).cloned() else {
        return Ok(above);
    };
    for name in brought {
        session.wake_all(judging)?;
        if let Err(error) = take_push(session, judging, &fleet, &name) {
            above.errors.push(error);
        }
    }
    if !asks_above(session, &fleet) {
        return Ok(above);
    }
    match fetch(session, judging, &fleet) {
        Ok(upstream) => {
            session.incoming.asked = Asked::Yes;
            above.upstream = Some(upstream);
        }
        Err(error) if others == Others::LeftAlone => above.warnings.push(error.to_string()),
        Err(error) => above.errors.push(error),
    }
    Ok(above)
}

/// The same for a run that changes nothing: what lies in the inbox stays there, and what comes is kept in memory.
///
/// # Errors
/// Kind `State`.
pub(super) fn look_above(session: &mut Session, judging: &Judging) -> Result<Above> {
    let brought = match session.dir.as_ref().map(Inbox::open).transpose()?.flatten() {
        Some(inbox) => inbox.pushes()?,
        None => Vec::new(),
    };
    receive(session, judging, Others::AsSpec, brought)
}

/// The same where the gate hands on what a host above would bring, over stdin: with the servers below that it wants to hear of.
///
/// # Errors
/// Kind `Peer`: what comes is not that.
pub(super) fn look_brought(session: &mut Session, judging: &Judging) -> Result<(Above, BTreeSet<ServerName>)> {
    let stdin = Link::over_stdio(Patience::new(LONGEST, LONGEST)).map_err(|error| Error::io(ErrorKind::Peer, "stdin", &error))?;
    let mut wire = Wire::new(stdin, "stdin");
    let Message::Plan { below, .. } = wire.must()? else { return Err(wire.out_of_turn("who is to be asked")) };
    let mut above = Above::default();
    let Some(fleet) = session.desired.fleet.clone() else { return Ok((above, BTreeSet::new())) };
    session.wake_all(judging)?;
    if let Err(error) = read_brought(session, judging, (&fleet, Ask::Plan), &mut wire) {
        above.errors.push(error);
    }
    session.incoming.asked = Asked::Yes;
    Ok((above, below.into_iter().collect()))
}

/// Whether this host goes to get its sets, and gets any.
fn asks_above(session: &Session, fleet: &Fleet) -> bool {
    let from_above = |source: &SetSource| *source == SetSource::Upstream;
    let any = session.desired.sets.iter().any(|set| from_above(&set.source))
        || session.desired.patterns.iter().any(|pattern| from_above(&pattern.parent));
    any && fleet.me().delivery != Delivery::Push && fleet.upstreams().next().is_some()
}

/// The state directory, apart from the session.
fn own_dir(session: &Session) -> Result<Option<Dir>> {
    session.dir.as_ref().map(Dir::try_clone).transpose().map_err(|error| Error::io(ErrorKind::State, &session.at, &error))
}

/// Asks the upstreams in their order, and takes what is new from the first that answers.
fn fetch(session: &mut Session, judging: &Judging, fleet: &Fleet) -> Result<Upstream<Connection>> {
    let (dir, at) = (own_dir(session)?, session.at.clone());
    let identity = match &dir {
        Some(dir) if !session.keeps_in_memory() => Identity::of(dir, &at)?,
        dir => Identity::in_memory(fleet, dir.as_ref(), &at)?,
    };
    let present = session.dir.as_ref().map_or_else(|| Ok(Offers::default()), |dir| Offers::load(dir, &session.at))?;
    let mut failures: Vec<Error> = Vec::new();
    for server in fleet.upstreams() {
        let deadline = fleet.settings.deadline;
        let greeted = match connect(server, &identity, (deadline, LONGEST)) {
            Ok(wire) => Upstream::greet(wire, fleet).map_err(|(mut wire, error)| explained(&mut wire, error, server).0),
            Err(failure) => Err(failure.into_error(ErrorKind::Upstream, server.name.as_str())),
        };
        let fetched = greeted.and_then(|mut upstream| match bring(session, judging, fleet, &mut upstream, &present) {
            Ok(()) => Ok(upstream),
            Err(error) => Err(explained(upstream.wire(), error, server).0),
        });
        match fetched {
            Ok(upstream) => return Ok(upstream),
            Err(error) => failures.push(Error { kind: ErrorKind::Upstream, ..error }),
        }
    }
    Err(none_answers(failures))
}

fn none_answers(mut failures: Vec<Error>) -> Error {
    if failures.len() == 1 {
        return failures.remove(0);
    }
    let all: Vec<String> = failures.iter().map(Error::to_string).collect();
    let error = Error::new(ErrorKind::Upstream, "upstream", format!("none answers: {}", all.join("; ")));
    match failures.into_iter().find_map(|failure| failure.hint) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn bring(session: &mut Session, judging: &Judging, fleet: &Fleet, upstream: &mut Upstream<Connection>, present: &Offers) -> Result<()> {
    let Some(new) = upstream.ask(&session.desired, fleet, present)? else { return Ok(()) };
    session.wake_all(judging)?;
    let limits = session.desired.limits;
    upstream.bring(fleet, &limits, new, |came| match came {
        Came::Set(received) => take(session, judging, *received),
        Came::Released(version) => release(session, judging, version),
        Came::Not(set, error) => drop(session.incoming.refused.insert(set, error)),
    })
}

/// Takes one set in, or notes why not.
pub(super) fn take(session: &mut Session, judging: &Judging, received: Received) {
    if received.spread == Spread::Staged {
        return keep_back(session, judging, received);
    }
    let before = session.state.sets.get(&received.set).cloned();
    if let Err(error) = try_take(session, judging, &received, before.as_ref()) {
        tracing::debug!(set = %received.set, "not taken: {error}");
        match before {
            Some(before) => drop(session.state.sets.insert(received.set.clone(), before)),
            None => drop(session.state.sets.remove(&received.set)),
        }
        session.incoming.refused.insert(received.set, error);
    } else if session.keeps_in_memory() {
        session.incoming.unstored.insert(received.set, Arc::new(received.material));
    }
}

fn try_take(session: &mut Session, judging: &Judging, received: &Received, before: Option<&SetState>) -> Result<()> {
    session.not_before_staged(received)?;
    let renewal = admit(received, &session.desired, &mut session.state, &once(judging), session.now)?;
    let Some(renewal) = renewal else { return Ok(()) };
    if !session.keeps_in_memory()
        && let Some(dir) = &session.dir
    {
        let store = Store::new(dir, &session.at);
        let digest = received.material.digest();
        if renewal != Renewal::Renumbered || before.is_none_or(|before| before.digest != digest) || !store.holds(&received.set, &digest) {
            store.commit(&received.set, &received.material, received.revision)?;
            session.fresh.insert((received.set.clone(), digest));
        }
    }
    session.incoming.renewed.insert(received.set.clone(), renewal);
    // Whatever becomes of this run: what it has changed is looked at by the next.
    session.cache.set_quiet(&received.set, None);
    Ok(())
}

/// Takes one push from the inbox: who brought it must still be allowed to, and everything is judged like what is fetched. It goes from the
/// inbox whatever becomes of it. What was refused is not kept: there are keys in it, and who brought it is told why.
fn take_push(session: &mut Session, judging: &Judging, fleet: &Fleet, name: &str) -> Result<()> {
    let Some(dir) = own_dir(session)? else { return Ok(()) };
    let Some(inbox) = Inbox::open(&dir)? else { return Ok(()) };
    let refused_before = session.incoming.refused.len();
    let read = read_push(session, judging, fleet, &inbox, name);
    if session.keeps_in_memory() {
        return read;
    }
    if read.is_err() || session.incoming.refused.len() > refused_before {
        inbox.discard(name);
        return read;
    }
    // The store has it, once what was accepted is on disk: until then the file stays, and is taken again after a crash.
    session.taken.push(name.to_owned());
    Ok(())
}

fn read_push(session: &mut Session, judging: &Judging, fleet: &Fleet, inbox: &Inbox<'_>, name: &str) -> Result<()> {
    let (file, _) = inbox.open_push(name)?;
    read_brought(session, judging, (fleet, Ask::Push), &mut Wire::new(file, format!("inbox/{name}")))
}

/// Takes in what somebody has brought who may still do so.
fn read_brought<L: Read>(session: &mut Session, judging: &Judging, (fleet, ask): (&Fleet, Ask), wire: &mut Wire<L>) -> Result<()> {
    let Message::Brought { peer, key, staged, released } = wire.must()? else { return Err(wire.out_of_turn("who brought it")) };
    let key: SshKeyId = key.parse().map_err(|_| wire.out_of_turn("the key of who brought it"))?;
    let peer: ServerName = peer;
    let known = identify(fleet, &peer, key)?;
    check(fleet, known, ask)?;
    released.into_iter().for_each(|version| release(session, judging, version));
    let limits = session.desired.limits;
    while let Some(came) = wire.receive_set(&limits)? {
        if let Ok(material) = came.material {
            let spread = if staged.contains(&came.version) { Spread::Staged } else { Spread::Released };
            let Version { set, revision, .. } = came.version;
            take(session, judging, Received { set, pattern: came.pattern, revision, spread, material });
        }
    }
    Ok(())
}
