//! Serving a server without certsync: rsync brings its sets, ssh runs the command there. That the files are there and that the command has
//! succeeded is all that can be known of it.
//!
//! 1. What the record says is there is compared, by its content and without a change: drift is brought again like what is new.
//! 2. What drifted is taken out of the record, so that a run that is killed from here on owes the command.
//! 3. rsync brings what differs: each file whole beside its place, then all of them renamed one after the other. Nothing is deleted, and a
//!    file that was there keeps its mode.
//! 4. The command runs for what was not known to be there. Only then does the record say that it is.

use super::carrier::{Identity, login};
use super::contact::{Said, Unwanted};
use super::due::Wanted;
use super::parcel::Parcel;
use super::remote::runs;
use crate::base::{AbsPath, Error, ErrorKind, Result, SetName};
use crate::host::link::Patience;
use crate::host::rsync::{self, Over, Rsync};
use crate::host::ssh::{Connection, Failure, Login, Why};
use crate::host::{Dir, clock};
use crate::spec::Command;
use crate::spec::fleet::{Fleet, Server};
use crate::state::{Level, Offer, Peer, Peers, SetStanding, Standing, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// By content, since times are not ours there; directories and files as they are in the parcel: private.
const COMPARE: [&str; 6] = ["--recursive", "--checksum", "--whole-file", "--from0", "--files-from=-", "--out-format=%i %n"];
/// So much of a list of files is read.
const LONGEST_LIST: usize = 16 << 20;
/// As much of an error is kept in a record.
const LONGEST: usize = 300;

/// What serving one depends on.
pub struct Bring<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// The server.
    pub server: &'a Server,
    /// The directory there.
    pub directory: &'a AbsPath,
    /// What is run there afterwards.
    pub command: Option<&'a Command>,
    /// What it should have.
    pub wanted: &'a Wanted<'a>,
    /// Where that is.
    pub store: &'a Store<'a>,
    /// What this host logs in with.
    pub identity: &'a Identity<'a>,
    /// The state directory, and where it is.
    pub state: (&'a Dir, &'a AbsPath),
    /// When all of it must be through.
    pub until: Instant,
}

/// Why a server could not be served at all.
pub type Broken = (Error, Option<Why>);

/// The sets to be brought, and why others are not.
struct Work<'a> {
    login: Login,
    parcel: Parcel,
    sets: Vec<(&'a SetName, &'a Offer)>,
    unwanted: Vec<Unwanted>,
}

impl<'a> Bring<'a> {
    /// Brings what differs, runs the command where it is due, and says how the server stands.
    ///
    /// # Errors
    /// It could not be reached, or rsync failed with all of it.
    pub fn run(&self) -> std::result::Result<(Said, Vec<Unwanted>), Broken> {
        let here = |error: Error| (error, None);
        let mut record = self.record();
        let mut work = self.pack().map_err(here)?;
        let is_there = |set: &SetName, offer: &Offer| has(&record, set, offer);
        let (there, mut due): (Vec<_>, Vec<_>) = work.sets.iter().copied().partition(|(set, offer)| is_there(set, offer));
        if !there.is_empty() {
            let differing = self.compare(&work, &there)?;
            if !differing.is_empty() {
                forget(&mut record, &differing);
                self.peers().keep(&self.server.public_keys, &record).map_err(here)?;
            }
            due.extend(there.iter().copied().filter(|(set, _)| differing.contains(*set)));
        }
        let lost = self.bring(&work, &due)?;
        due.retain(|(set, _)| !lost.contains_key(*set));
        let mut standing = self.standing(&record);
        for (set, offer) in there.iter().copied().filter(|(set, _)| !due.iter().any(|(due, _)| due == set) && !lost.contains_key(*set)) {
            standing.sets.insert(set.clone(), of_offer(offer, Level::Stored, None));
        }
        let failed = self.command(&work.login, &due, &mut standing);
        for (set, error) in lost {
            if let Some((_, offer)) = work.sets.iter().find(|(known, _)| **known == set) {
                let told = of_offer(offer, Level::Failed, Some(shortened(&error)));
                // Some of it may have come, and what was there may be there still.
                let before = standing.sets.insert(set.clone(), told).map(|before| before.keys).unwrap_or_default();
                if let Some(told) = standing.sets.get_mut(&set) {
                    told.keys.extend(before);
                    told.keys.sort_unstable();
                    told.keys.dedup();
                }
            }
            work.unwanted.push(Unwanted { set, error });
        }
        match failed {
            Ok(failed) => work.unwanted.extend(failed),
            Err(failure) => {
                // What was done until then stays done.
                record.hear(standing, clock::unix_seconds());
                self.peers().keep(&self.server.public_keys, &record).map_err(here)?;
                return Err(explained(failure, self.server));
            }
        }
        Ok((Said::Stands(vec![standing]), work.unwanted))
    }

    fn peers(&self) -> Peers<'a> {
        Peers::new(self.state.0, self.state.1)
    }

    fn record(&self) -> Peer {
        let known = self.peers().of(&self.server.name, &self.server.public_keys);
        known.map_or_else(|| Peer::unknown(self.server.name.clone()), |known| Peer { server: self.server.name.clone(), ..known })
    }

    /// Copies from the store, each verified, all that it should have.
    fn pack(&self) -> Result<Work<'a>> {
        let login = login(self.server, self.identity).map_err(|failure| failure.into_error(ErrorKind::Peer, self.server.name.as_str()))?;
        let mut work = Work { login, parcel: Parcel::new(self.state.0, self.state.1)?, sets: Vec::new(), unwanted: Vec::new() };
        for (set, offer) in &self.wanted.offers {
            match self.store.load(set, &offer.digest) {
                Ok(material) => {
                    work.parcel.add(set, &material)?;
                    work.sets.push((*set, *offer));
                }
                Err(error) => work.unwanted.push(Unwanted { set: (*set).clone(), error }),
            }
        }
        Ok(work)
    }

    /// Those of the sets that are not there as they should be.
    fn compare(&self, work: &Work<'_>, sets: &[(&SetName, &Offer)]) -> std::result::Result<BTreeSet<SetName>, Broken> {
        match self.rsync(work, &["--dry-run"], sets) {
            Ok(printed) => Ok(sets.iter().map(|(set, _)| (*set).clone()).filter(|set| names(&printed, set)).collect()),
            // Which of them, is told by bringing them.
            Err(failure) if failure.why == rsync::Why::Partial => Ok(sets.iter().map(|(set, _)| (*set).clone()).collect()),
            Err(failure) => Err(broken(failure, self.server)),
        }
    }

    /// Brings the sets; what is told of those that could not be brought. One that cannot be written there does not hold up the others.
    fn bring(&self, work: &Work<'_>, sets: &[(&SetName, &Offer)]) -> std::result::Result<BTreeMap<SetName, Error>, Broken> {
        let mut lost = BTreeMap::new();
        if sets.is_empty() {
            return Ok(lost);
        }
        let partial = |failure: &rsync::Failure| failure.why == rsync::Why::Partial;
        match self.rsync(work, &["--delay-updates"], sets) {
            Ok(_) => {}
            Err(failure) if partial(&failure) && sets.len() > 1 => {
                for one in sets {
                    lost.append(&mut self.bring(work, &[*one])?);
                }
            }
            Err(failure) if partial(&failure) => {
                for (set, _) in sets {
                    let cause = format!("{set} could not be brought: {}", failure.cause);
                    let error = Error { hint: failure.hint.clone(), ..Error::new(ErrorKind::Peer, self.server.name.as_str(), cause) };
                    lost.insert((*set).clone(), error);
                }
            }
            Err(failure) => return Err(broken(failure, self.server)),
        }
        Ok(lost)
    }

    fn rsync(&self, work: &Work<'_>, more: &[&str], sets: &[(&SetName, &Offer)]) -> std::result::Result<Vec<u8>, rsync::Failure> {
        let failed = |error: Error| rsync::Failure::new(rsync::Why::Failed, error.to_string(), error.hint);
        let list: String = sets.iter().map(|(set, _)| format!("{set}/\0")).collect();
        let options: Vec<&str> = COMPARE.iter().chain(more).copied().collect();
        let over = Over::Ssh(&work.login);
        let (from, to) = (format!("{}/", work.parcel.tree().map_err(failed)?), over.place(&format!("{}/", self.directory)));
        let places = [from.as_str(), to.as_str()];
        Rsync { over, options: &options, places: &places, input: list.as_bytes(), most: LONGEST_LIST, until: self.until }.run(|| Ok(()))
    }

    /// Runs the command for these sets, writes down in `standing` what became of it, and tells of those for which it failed.
    fn command(&self, login: &Login, sets: &[(&SetName, &Offer)], standing: &mut Standing) -> std::result::Result<Vec<Unwanted>, Failure> {
        let mut note = |set: &SetName, error: Option<&Error>| {
            let Some((_, offer)) = sets.iter().find(|(known, _)| *known == set) else { return };
            let level = if error.is_some() { Level::Failed } else { Level::Stored };
            standing.sets.insert(set.clone(), of_offer(offer, level, error.map(shortened)));
        };
        let names: Vec<&SetName> = sets.iter().map(|(set, _)| *set).collect();
        let Some(command) = self.command else {
            names.iter().for_each(|set| note(set, None));
            return Ok(Vec::new());
        };
        let mut failed = Vec::new();
        for run in runs(command, &names) {
            let error = self.run_there(login, &run.line)?;
            for set in run.sets {
                note(set, error.as_ref());
                failed.extend(error.clone().map(|error| Unwanted { set: set.clone(), error }));
            }
        }
        Ok(failed)
    }

    /// Runs a line there; how it failed, if it did.
    fn run_there(&self, login: &Login, line: &str) -> std::result::Result<Option<Error>, Failure> {
        let left = self.until.saturating_duration_since(Instant::now());
        let login = login.clone().running(line);
        let wrong = |cause: String| Error::new(ErrorKind::Peer, self.server.name.as_str(), cause);
        match Connection::open(&login, Patience::new(left, left))?.complete() {
            Ok(finished) if finished.status == 0 => Ok(None),
            Ok(finished) => {
                let last = finished.last.unwrap_or_default();
                if last.contains("SSH_ORIGINAL_COMMAND does not run rsync") {
                    return Ok(Some(wrong("the key may run nothing but rsync there (rrsync), and so not `command`".into()).hint(
                        "leave `command` out and have the host look for itself, or let the key in without rrsync; the files are there",
                    )));
                }
                let colon = if last.is_empty() { "" } else { ": " };
                Ok(Some(wrong(format!("its command ended with status {}{colon}{last}", finished.status))))
            }
            // To try again at once would not make it quicker.
            Err(failure) if failure.why == Why::Deadline => Ok(Some(wrong("its command did not end in time".into()))),
            Err(failure) => Err(failure),
        }
    }

    /// How it stands: what it had stays there until something else is brought.
    fn standing(&self, record: &Peer) -> Standing {
        Standing {
            server: self.server.name.clone(),
            at: clock::unix_seconds(),
            certsync: String::new(),
            spec: self.fleet.spec_hash,
            sets: record.standing.as_ref().map(|standing| standing.sets.clone()).unwrap_or_default(),
            hooks: Vec::new(),
            errors: Vec::new(),
        }
    }
}

/// Whether the record says that this version is there, and that the command has succeeded for it.
fn has(record: &Peer, set: &SetName, offer: &Offer) -> bool {
    let known = record.standing.as_ref().and_then(|standing| standing.sets.get(set));
    known.is_some_and(|known| known.digest == offer.digest && known.level == Level::Stored)
}

fn forget(record: &mut Peer, sets: &BTreeSet<SetName>) {
    if let Some(standing) = &mut record.standing {
        standing.sets.retain(|set, _| !sets.contains(set));
    }
}

fn shortened(error: &Error) -> String {
    error.cause.chars().take(LONGEST).collect()
}

fn of_offer(offer: &Offer, level: Level, error: Option<String>) -> SetStanding {
    SetStanding {
        digest: offer.digest,
        revision: offer.revision,
        level,
        since: clock::unix_seconds(),
        not_before: offer.not_before,
        not_after: offer.not_after,
        error,
        keys: offer.keys.clone(),
    }
}

/// Whether a list of changes (rsync(1), `--itemize-changes`: eleven signs, a space, a path) holds one below the folder of `set`.
fn names(printed: &[u8], set: &SetName) -> bool {
    let changed = |line: &&[u8]| matches!(line.first(), Some(b'<' | b'c'));
    let paths = printed.split(|byte| *byte == b'\n').filter(changed).filter_map(|line| line.splitn(2, |byte| *byte == b' ').nth(1));
    let mut folders = paths.map(unescaped).filter_map(|path| path.split(|byte| *byte == b'/').next().map(<[u8]>::to_vec));
    folders.any(|folder| folder == set.as_str().as_bytes())
}

/// rsync prints what a terminal may not be shown as `\#` and three octal digits.
fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.strip_prefix(b"#").and_then(|digits| std::str::from_utf8(digits.get(..3)?).ok());
        match digits.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &behind[4..];
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

fn broken(failure: rsync::Failure, server: &Server) -> Broken {
    let why = match failure.why {
        rsync::Why::NotStarted => Some(Why::NotStarted),
        rsync::Why::Unreachable => Some(Why::Unreachable),
        rsync::Why::HostKey => Some(Why::HostKey),
        rsync::Why::Denied => Some(Why::KeyRefused),
        rsync::Why::Deadline => Some(Why::Deadline),
        rsync::Why::LinksRefused | rsync::Why::Partial | rsync::Why::TooMuch | rsync::Why::Failed => None,
    };
    (failure.into_error(ErrorKind::Peer, server.name.as_str()), why)
}

fn explained(failure: Failure, server: &Server) -> Broken {
    let why = failure.why;
    (failure.into_error(ErrorKind::Peer, server.name.as_str()), Some(why))
}

#[cfg(test)]
mod tests {
    use super::{names, unescaped};

    #[test]
    fn a_set_is_found_in_a_list_of_changes() {
        let printed = b"cd+++++++++ a/\n<f+++++++++ a/cert.pem\n.d..t...... b/\n<fc........ c d/x y\n<f+++++++++ m\\#303\\#274n/x\n";
        let is_in = |set: &str| names(printed, &set.parse().expect("a name"));
        assert!(is_in("a") && is_in("c d") && is_in("mün"));
        assert!(!is_in("b") && !is_in("c") && !is_in("cert.pem"));
    }

    #[test]
    fn what_rsync_escapes_is_read_back() {
        assert_eq!(unescaped(b"a\\#134#041\\#04\\"), b"a\\#041\\#04\\");
    }
}
