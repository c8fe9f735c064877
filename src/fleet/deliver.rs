//! Serving the servers below, many at once.

use super::bring::Bring;
use super::carrier::{Identity, connect, explained, wait_each};
use super::contact::{Contact, Patience, Purpose, Said, Unwanted};
use super::due::{Due, wanted};
use super::parallel::{Tried, in_parallel};
use crate::base::{AbsPath, Error, ErrorKind, Result};
use crate::host::ssh::Why;
use crate::host::{Dir, Stat};
use crate::spec::Desired;
use crate::spec::fleet::{Fleet, Server, Via};
use crate::state::{Offers, Spread, Store, TroubleKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The pause before a server is tried again; twice as long each time.
const BACKOFF: Duration = Duration::from_secs(1);
/// No pause is longer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(15);

/// What serving depends on.
pub struct Deliver<'a> {
    /// This host's part of the spec.
    pub desired: &'a Desired,
    /// The fleet's.
    pub fleet: &'a Fleet,
    /// What there is to be passed on.
    pub store: &'a Store<'a>,
    /// The state directory, and where it is.
    pub state: (&'a Dir, &'a AbsPath),
    /// What this host logs in with.
    pub identity: &'a Identity<'a>,
    /// What they are contacted for.
    pub purpose: Purpose,
    /// For whom it is waited.
    pub patience: Patience,
    /// Which of its sets a server is offered.
    pub only: Only,
    /// The present offers, newest first whenever a server's turn comes.
    pub newest: &'a Newest<'a>,
}

/// Which of its sets a server is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// All.
    All,
    /// Those that are to be kept until the origin gives its word.
    Staged,
}

/// What became of one server.
pub struct Served<'a> {
    /// The server.
    pub server: &'a Server,
    /// Hash of what it was offered.
    pub wanted: crate::base::ContentHash,
    /// What it said, or why it could not be served.
    pub said: std::result::Result<(Said, Vec<Unwanted>), (TroubleKind, Error)>,
    /// How long it took.
    pub took: Duration,
}

impl Served<'_> {
    /// Where it has what was meant for it, and no run there has taken it: what an operator may want to know.
    pub fn untaken(&self) -> Option<Error> {
        matches!(self.said, Ok((Said::Later, _))).then(|| {
            Error::new(ErrorKind::Peer, self.server.name.to_string(), "has been told, but no run there has begun: its next one takes it")
                .hint("where its gate is not root, a rule for sudo or a path unit starts a run at once; docs/fleet.md has both, word for word")
        })
    }
}

/// A server whose turn will come.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    server: &'a Server,
    /// How often it is tried again at most.
    retries: u32,
    /// How long until then.
    pause: Duration,
    /// When it was tried first.
    begun: Option<Instant>,
}

impl<'a> Turn<'a> {
    /// Of a server that is tried again so often at most.
    pub fn new(server: &'a Server, retries: u32) -> Turn<'a> {
        Turn { server, retries, pause: BACKOFF, begun: None }
    }
}

/// Metadata that changes with the offers.
type Stamp = [Option<Stat>; 2];

/// The offers on disk, read again when they have changed.
pub struct Newest<'a> {
    read: Box<dyn Fn() -> Result<Offers> + Sync + 'a>,
    stamp: Box<dyn Fn() -> Stamp + Sync + 'a>,
    known: Mutex<Option<(Stamp, Arc<Offers>)>>,
}

impl<'a> Newest<'a> {
    /// Reads them with `read`; `stamp` tells whether they have changed.
    pub fn new(read: impl Fn() -> Result<Offers> + Sync + 'a, stamp: impl Fn() -> Stamp + Sync + 'a) -> Newest<'a> {
        Newest { read: Box::new(read), stamp: Box::new(stamp), known: Mutex::new(None) }
    }

    /// The present ones.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn offers(&self) -> Result<Arc<Offers>> {
        let stamp = (self.stamp)();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, offers)) = &*known
            && *at == stamp
        {
            return Ok(Arc::clone(offers));
        }
        let offers = Arc::new((self.read)()?);
        *known = Some((stamp, Arc::clone(&offers)));
        Ok(offers)
    }
}

impl<'a> Deliver<'a> {
    /// Serves all of these, `fleet.parallel` at once, in their order; `done` is called for each as it is done. One that does not answer is
    /// tried again when the others have had their turn, and one that did not answer the last time comes last.
    pub fn run(&self, mut turns: Vec<Turn<'a>>, done: impl FnMut(Served<'a>)) {
        turns.sort_by_key(|turn| turn.retries == 0);
        in_parallel(turns, self.fleet.settings.parallel, |turn| self.serve(turn), done);
    }

    fn serve(&self, turn: Turn<'a>) -> Tried<Turn<'a>, Served<'a>> {
        let begun = turn.begun.unwrap_or_else(Instant::now);
        let mut wanted = crate::base::ContentHash::of(b"");
        let said = match self.try_once(turn.server, &mut wanted) {
            Err((Tell::Again, _, error)) if turn.retries > 0 => {
                tracing::info!(server = %turn.server.name, "is tried again: {error}");
                let pause = (turn.pause * 2).min(LONGEST_BACKOFF);
                return Tried::Again(Turn { retries: turn.retries - 1, pause, begun: Some(begun), ..turn }, turn.pause);
            }
            Err((_, kind, error)) => Err((kind, error)),
            Ok(said) => Ok(said),
        };
        Tried::Done(Served { server: turn.server, wanted, said, took: begun.elapsed() })
    }

    fn try_once(
        &self,
        server: &'a Server,
        hash: &mut crate::base::ContentHash,
    ) -> std::result::Result<(Said, Vec<Unwanted>), (Tell, TroubleKind, Error)> {
        let here = |error: Error| (Tell::NoMore, TroubleKind::Refused, error);
        let offers = self.newest.offers().map_err(here)?;
        let mut due = Due { server, wanted: wanted(self.desired, self.fleet, server, &offers) };
        *hash = due.wanted.hash;
        if self.only == Only::Staged {
            due.wanted.offers.retain(|(_, offer)| offer.spread == Spread::Staged);
        }
        let deadline = self.fleet.settings.deadline;
        if let Via::Rsync { directory, command } = &server.via {
            let (fleet, store, identity, wanted) = (self.fleet, self.store, self.identity, &due.wanted);
            let (state, until) = (self.state, Instant::now() + deadline);
            let bring = Bring { fleet, server, directory, command: command.as_ref(), wanted, store, identity, state, until };
            return bring.run().map_err(told);
        }
        let mut wire = match connect(server, self.identity, (deadline, deadline)) {
            Ok(wire) => wire,
            Err(failure) => {
                return Err((Tell::NoMore, TroubleKind::Unreachable, failure.into_error(ErrorKind::Peer, server.name.as_str())));
            }
        };
        wait_each(&mut wire, deadline);
        let mut contact = Contact { wire, fleet: self.fleet, due: &due, purpose: self.purpose, patience: self.patience };
        let load = |set: &crate::base::SetName| match offers.of_set(set) {
            Some(offer) => self.store.load(set, &offer.digest),
            None => Err(Error::new(ErrorKind::State, set.to_string(), "is offered no more")),
        };
        contact.run(load).map_err(|error| told(explained(&mut contact.wire, error, server)))
    }
}

/// What is told of a server that could not be served, and why.
fn told((error, why): (Error, Option<Why>)) -> (Tell, TroubleKind, Error) {
    match why {
        Some(Why::Unreachable | Why::Closed | Why::Deadline) => (Tell::Again, TroubleKind::Unreachable, error),
        Some(Why::NotStarted | Why::HostKey | Why::KeyRefused) => (Tell::NoMore, TroubleKind::Unreachable, error),
        None => (Tell::NoMore, TroubleKind::Refused, error),
    }
}

/// Whether another try may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tell {
    Again,
    NoMore,
}
