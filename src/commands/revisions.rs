//! Going on above what the hosts below have seen, where an origin has lost its state or was restored from a backup.

use super::options::Judging;
use super::session::{Session, once};
use crate::base::{Error, ErrorKind, Result, SetName};
use crate::host::clock;
use crate::material::utc;
use crate::spec::{Accept, SetSource};
use crate::state::{Floor, SetState, floors, keep_floors};

/// A revision that far in the future came from a clock that was wrong, in milliseconds.
const FAR: u64 = 60 * 60 * 1000;

/// Whether a revision far in the future is gone on above.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Future {
    /// It is asked for first.
    #[default]
    Stop,
    /// It is (`--new-revisions`).
    GoOn,
}

/// The next revision of a set of which this host is the origin: what it passes on is about to change.
pub(super) fn next(known: &SetState) -> u64 {
    let last = known.hold.as_ref().and_then(|hold| hold.revision).unwrap_or(0).max(known.revision);
    clock::unix_milliseconds().max(last.saturating_add(1))
}

/// Whether this host is the origin of the set in a fleet.
pub(super) fn is_origin(session: &Session, set: &SetName) -> bool {
    let known = session.state.sets.get(set).and_then(|known| known.pattern.as_ref());
    let own = session.desired.sets.iter().find(|own| own.name == *set).map(|own| &own.source);
    let source =
        own.or_else(|| session.desired.patterns.iter().find(|pattern| Some(&pattern.name) == known).map(|pattern| &pattern.parent));
    session.desired.fleet.is_some() && source.is_some_and(|source| *source != SetSource::Upstream)
}

/// Gives every set that a host below has seen in a higher revision one that is higher still. What cannot be is told, and asked again next time.
///
/// # Errors
/// Kind `State`.
pub(super) fn go_on_above(session: &mut Session, judging: &Judging, future: Future) -> Result<Vec<(SetName, Error)>> {
    let Some(dir) = &session.dir else { return Ok(Vec::new()) };
    let mut left = floors(dir);
    if left.is_empty() {
        return Ok(Vec::new());
    }
    session.wake_all(judging)?;
    let once = once(judging);
    let mut errors = Vec::new();
    let names: Vec<SetName> = left.keys().cloned().collect();
    for name in names {
        let Some(floor) = left.get(&name) else { continue };
        let is_ours = session.desired.sets.iter().any(|set| set.name == name && set.source != SetSource::Upstream)
            || session.desired.patterns.iter().any(|pattern| pattern.parent != SetSource::Upstream);
        // A server that has left the spec has nothing to say any more.
        let is_below = session.desired.fleet.as_ref().is_some_and(|fleet| fleet.is_below(&floor.server, &fleet.me));
        let Some(known) = session.state.sets.get_mut(&name).filter(|_| is_ours && is_below) else {
            left.remove(&name);
            continue;
        };
        let accepts = |word| once.get(&name).is_some_and(|words| words.contains(&word));
        match above(&name, known, floor, future, accepts(Accept::Older)) {
            Ok(revision) => {
                known.revision = revision;
                if let Some(hold) = &mut known.hold {
                    hold.revision = Some(revision);
                }
                left.remove(&name);
            }
            Err(error) => errors.push((name, error)),
        }
    }
    if let Some(dir) = &session.dir {
        keep_floors(dir, &session.at, &left)?;
    }
    Ok(errors)
}

/// Those of them that what this run has found at the source has not settled: a renewal goes above anyhow.
pub(super) fn unsettled(session: &Session, errors: Vec<(SetName, Error)>) -> Vec<Error> {
    let Some(dir) = session.dir.as_ref().filter(|_| !errors.is_empty()) else { return Vec::new() };
    let floors = floors(dir);
    let is_settled = |set: &SetName| match (session.state.sets.get(set), floors.get(set)) {
        (Some(known), Some(floor)) => known.revision > floor.revision,
        _ => false,
    };
    errors.into_iter().filter(|(set, _)| !is_settled(set)).map(|(_, error)| error).collect()
}

fn above(name: &SetName, known: &SetState, floor: &Floor, future: Future, accepts_older: bool) -> Result<u64> {
    let now = clock::unix_milliseconds();
    if known.revision > floor.revision {
        return Ok(known.revision);
    }
    let wrong = |cause: String| Error::new(ErrorKind::State, name.to_string(), cause);
    if floor.revision > now.saturating_add(FAR) && future == Future::Stop {
        let hours = (floor.revision - now) / FAR;
        return Err(wrong(format!("{} has seen revision {}, {hours} hours in the future", floor.server, floor.revision)).hint(format!(
            "a clock was wrong here, somebody has played the origin, or {} says what is not so: see what the others have (certsync status \
                 --fleet); --new-revisions goes on above it",
            floor.server
        )));
    }
    if known.digest == floor.digest {
        // They have what there is: nothing needs to be sent.
        return Ok(floor.revision);
    }
    let ours = known.facts.leaves.first().map(|leaf| leaf.not_before);
    let begins = floor.not_before.filter(|theirs| ours.is_some_and(|ours| *theirs > ours));
    if let Some(theirs) = begins.filter(|_| !accepts_older && known.hold.is_none()) {
        return Err(wrong(format!("{} has a certificate that is younger than this origin's: it begins {}", floor.server, utc(theirs)))
            .hint(format!(
                "was this host restored from a backup? renew the certificate; --accept {name}=older takes the old one everywhere"
            )));
    }
    Ok(now.max(floor.revision.saturating_add(1)))
}
