//! Versions that came to be kept until the origin gives its word: into the store, and from there into use.

use super::options::Judging;
use super::others::take;
use super::session::{Session, once};
use crate::base::{Error, ErrorKind, Result};
use crate::collect::{Received, expected, keep_for_now};
use crate::fleet::wire::Version;
use crate::state::{Spread, Store, forget_past, keep_staged};

/// Keeps one version for now, or notes why not. What is installed stays what is wanted here.
pub(super) fn keep_back(session: &mut Session, judging: &Judging, received: Received) {
    if let Err(error) = try_keep_back(session, judging, &received) {
        tracing::debug!(set = %received.set, "not kept: {error}");
        session.incoming.refused.insert(received.set, error);
    }
}

fn try_keep_back(session: &mut Session, judging: &Judging, received: &Received) -> Result<()> {
    let known = (&session.state, session.staged.get(&received.set));
    let Some((offer, renewal)) = keep_for_now(received, &session.desired, known, &once(judging), session.now)? else { return Ok(()) };
    if !session.keeps_in_memory()
        && let Some(dir) = &session.dir
    {
        Store::new(dir, &session.at).commit(&received.set, &received.material, received.revision)?;
        session.fresh.insert((received.set.clone(), received.material.digest()));
    }
    session.staged.insert(received.set.clone(), offer);
    session.incoming.staged.insert(received.set.clone(), renewal);
    Ok(())
}

/// The origin gives its word: what is kept of this version goes the way of what has just come. Where it cannot, it is as if it had never
/// come, and is brought again.
pub(super) fn release(session: &mut Session, judging: &Judging, version: Version) {
    let kept = session.staged.get(&version.set).filter(|kept| (kept.digest, kept.revision) == (version.digest, version.revision));
    let Some(pattern) = kept.map(|kept| kept.pattern.clone()) else {
        let is_known = session.state.sets.get(&version.set).is_some_and(|known| known.digest == version.digest);
        if !is_known {
            let error = Error::new(ErrorKind::Peer, version.set.to_string(), "may be installed, but is not kept here any more");
            session.incoming.refused.insert(version.set, error.hint("it is brought again by the next run of the host above"));
        }
        return;
    };
    let material = match &session.dir {
        Some(dir) => Store::new(dir, &session.at).load(&version.set, &version.digest),
        None => Err(Error::new(ErrorKind::State, session.at.to_string(), "is not there")),
    };
    match material {
        Ok(material) => {
            let Version { set, revision, .. } = version;
            take(session, judging, Received { set, pattern, revision, spread: Spread::Released, material });
        }
        Err(error) => {
            session.staged.remove(&version.set);
            session.incoming.refused.insert(version.set, error);
        }
    }
}

impl Session {
    /// What is older than what is kept here was seen by the origin before that: it is no news.
    pub(super) fn not_before_staged(&self, received: &Received) -> Result<()> {
        match self.staged.get(&received.set) {
            Some(kept) if kept.revision > received.revision => {
                let cause =
                    format!("refused: its revision {} is older than {}, which this host has seen", received.revision, kept.revision);
                Err(Error::new(ErrorKind::Peer, received.set.to_string(), cause))
            }
            _ => Ok(()),
        }
    }

    /// Writes down what waits here, once all of it is on disk.
    pub(super) fn save_staged(&mut self) -> Result<()> {
        forget_past(&mut self.staged, &self.state);
        self.staged.retain(|set, kept| expected(&self.desired, set, kept.pattern.as_ref()).is_ok());
        let Some(dir) = self.dir.as_ref().filter(|_| self.staged != self.saved_staged) else { return Ok(()) };
        Store::new(dir, &self.at).flush(&self.fresh)?;
        keep_staged(dir, &self.at, &self.staged)?;
        self.saved_staged = self.staged.clone();
        Ok(())
    }
}
