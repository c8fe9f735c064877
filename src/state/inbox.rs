//! The inbox: what a gate received, one file each, whole or not at all, until apply takes it.
//!
//! The gate need not be root: whoever holds the run lock opens each file without following or blocking, checks what it is, reads it once and
//! judges its own copy. Names: `push-<id>` (material), `request-<id>` (somebody wants a run), `report-<peer>` (how a peer stands; a newer
//! one replaces it).

use super::Standing;
use super::requests::{ABANDONED, is_unfinished};
use super::share::INBOX;
use crate::base::{AbsPath, Error, ErrorKind, Result, ServerName, SshKeyId, escape};
use crate::host::{Dir, Durability, Entry, Kind, Stat, Stream, clock, unique};
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};

/// Before the name of a request.
const REQUEST: &str = "request-";
/// Before the name of a report that is being taken.
const TAKEN: &str = "taken-";
/// How the names of all that a gate leaves begin.
const RESERVED: [&str; 4] = ["push-", REQUEST, "report-", TAKEN];
/// Where refused files go, as evidence.
const REFUSED: &str = "refused";
/// So many of them are kept.
const MOST_REFUSED: usize = 20;
/// A request, or a report of ten thousand servers.
const LARGEST_NOTE: u64 = 64 << 20;
/// More files than that were not left by a gate of ours.
const MOST_FILES: usize = 10_000;

/// The inbox of a state directory.
pub struct Inbox<'a> {
    state_dir: &'a Dir,
    folder: Dir,
}

/// Who left something, as the gate knows it from the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct From {
    /// The peer's name in the spec.
    pub peer: ServerName,
    /// The key it came with.
    pub key: SshKeyId,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Who wants it.
    pub from: From,
    /// What for.
    pub what: What,
    /// Names the answer, where somebody waits for one.
    pub id: String,
}

/// What a run is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The upstream says that there is something new; it does not wait.
    Trigger,
    /// The same; it waits until the hosts below have it as well.
    TriggerTree,
    /// The upstream has brought something, or wants what it brought before to be tried again.
    Apply,
    /// The same; it waits until the hosts below have it as well.
    ApplyTree,
    /// A host below has said how it stands, and the hosts above should know.
    Report,
}

impl What {
    /// Whether somebody waits for the hosts below as well.
    pub fn is_about_the_tree(self) -> bool {
        matches!(self, What::TriggerTree | What::ApplyTree)
    }
}

/// How a peer and the servers below it stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Who says so.
    pub from: From,
    /// Unix seconds.
    pub at: i64,
    /// What it says.
    pub servers: Vec<Standing>,
}

/// A name for a request that nobody can guess.
pub fn new_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

/// Where the request of this name lies in the inbox of a state directory, as long as nobody has served it.
pub fn request_at(state_dir: &AbsPath, id: &str) -> String {
    format!("{state_dir}/{INBOX}/{REQUEST}{id}")
}

fn failed(error: &io::Error) -> Error {
    let failed = Error::io(ErrorKind::State, "the inbox of the state directory", error);
    match error.kind() {
        // Before the first apply the state directory is closed to the gate's group.
        io::ErrorKind::PermissionDenied => {
            failed.hint("run certsync apply on that host once: it lets in the group that the spec's gate_group names")
        }
        _ => failed,
    }
}

impl<'a> Inbox<'a> {
    /// Opens it; nothing where apply has not made it yet.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn open(state_dir: &'a Dir) -> Result<Option<Inbox<'a>>> {
        let folder = state_dir.find_dir(OsStr::new(INBOX)).map_err(|error| failed(&error))?;
        Ok(folder.map(|folder| Inbox { state_dir, folder }))
    }

    /// Leaves material; `write` writes it. When this returns it is on disk and will be taken by whoever next takes the run lock.
    ///
    /// # Errors
    /// What `write` fails with; kind `State`.
    pub fn leave_push(&self, id: &str, write: impl FnOnce(&mut Stream) -> Result<()>) -> Result<()> {
        let temporary = OsString::from(unique(".new-"));
        let mut file = self.folder.create_stream(&temporary).map_err(|error| failed(&error))?;
        let done = write(&mut file).and_then(|()| {
            let mut finish = || {
                file.flush()?;
                file.sync_all()?;
                self.folder.rename(&temporary, &self.folder, OsStr::new(&format!("push-{id}")))?;
                self.folder.sync()
            };
            finish().map_err(|error| failed(&error))
        });
        if done.is_err() {
            // The first error is the one to hear; what is left is swept.
            let _ = self.folder.unlink(&temporary);
        }
        done
    }

    /// Leaves a request, on disk when this returns.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn leave_request(&self, wanted: &Wanted) -> Result<()> {
        self.leave(&format!("{REQUEST}{}", wanted.id), wanted)
    }

    /// Leaves a report in the place of the peer's former one, on disk when this returns; where it is too long, in parts, each by its number.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn leave_report(&self, told: &Told, part: Option<u32>) -> Result<()> {
        let part = part.map(|number| format!("-{number}")).unwrap_or_default();
        self.leave(&format!("report-{}{part}", told.from.key.hex()), told)
    }

    fn leave(&self, name: &str, what: &impl Serialize) -> Result<()> {
        let write = || {
            let bytes = serde_json::to_vec(what)?;
            crate::host::write_atomic(&self.folder, OsStr::new(name), &bytes, crate::base::Mode::from_bits(0o600), Durability::OnDisk)
        };
        write().map_err(|error: io::Error| failed(&error))
    }

    /// Whether something waits that asks for a run. A folder that cannot be read counts as one, so that the next run meets the error.
    pub fn is_waiting(&self) -> bool {
        self.names(&["push-", REQUEST]).map_or(true, |names| !names.is_empty())
    }

    /// Whether the request still waits. Can be told without the right to list.
    pub fn holds_request(&self, id: &str) -> bool {
        self.folder.stat_at(OsStr::new(&format!("{REQUEST}{id}"))).is_ok_and(|found| found.is_some())
    }

    fn names(&self, prefixes: &[&str]) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = self
            .folder
            .entries()?
            .into_iter()
            .filter(|entry| entry.kind == Kind::File)
            .filter_map(|entry| entry.name.into_string().ok())
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .take(MOST_FILES)
            .collect();
        names.sort();
        Ok(names)
    }

    /// The pushes that wait, by name.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn pushes(&self) -> Result<Vec<String>> {
        self.names(&["push-"]).map_err(|error| failed(&error))
    }

    /// Opens one of them, not to be followed or blocked by; it must be a plain file with one name, of root's, ours or the gate's.
    ///
    /// # Errors
    /// Kind `Peer`, with what is wrong about it.
    pub fn open_push(&self, name: &str) -> Result<(Stream, Stat)> {
        let subject = || format!("{INBOX}/{}", escape(OsStr::new(name)));
        let (file, stat) = self.folder.open_stream(OsStr::new(name)).map_err(|error| Error::io(ErrorKind::Peer, subject(), &error))?;
        if stat.nlink != 1 {
            return Err(Error::new(ErrorKind::Peer, subject(), "has other hard links").hint("see who may write in the inbox"));
        }
        Ok((file, stat))
    }

    /// The requests that wait, each with its name; one that cannot be read asks for a run all the same.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn requests(&self) -> Result<Vec<(String, Option<Wanted>)>> {
        let names = self.names(&[REQUEST]).map_err(|error| failed(&error))?;
        Ok(names.into_iter().map(|name| (name.clone(), self.read(&name))).collect())
    }

    /// The reports that wait, each with its name, without taking them.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn reports(&self) -> Result<Vec<(String, Option<Told>)>> {
        let names = self.names(&["report-", TAKEN]).map_err(|error| failed(&error))?;
        Ok(names.into_iter().map(|name| (name.clone(), self.read(&name))).collect())
    }

    /// The reports that wait, by the name each has from now on: a newer one of the same peer does not come into its place any more.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn claim_reports(&self) -> Result<Vec<String>> {
        let mut claimed = Vec::new();
        for name in self.names(&["report-", TAKEN]).map_err(|error| failed(&error))? {
            let taken = if name.starts_with(TAKEN) { name.clone() } else { unique(&format!("{TAKEN}{name}-")) };
            if taken != name {
                self.folder.rename(OsStr::new(&name), &self.folder, OsStr::new(&taken)).map_err(|error| failed(&error))?;
            }
            claimed.push(taken);
        }
        Ok(claimed)
    }

    /// One of the reports that were claimed; nothing where it is none.
    pub fn report(&self, name: &str) -> Option<Told> {
        self.read(name)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Option<T> {
        let (bytes, stat) = self.folder.read_file(OsStr::new(name), LARGEST_NOTE).ok()?;
        if stat.nlink != 1 {
            return None;
        }
        serde_json::from_slice(bytes.expose()).ok()
    }

    /// Removes what was taken; what is gone already is no error. Not synced: what a crash brings back is taken once more.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn remove(&self, names: &[String]) -> Result<()> {
        let removed = names.iter().try_for_each(|name| match self.folder.unlink(OsStr::new(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        });
        removed.map_err(|error| failed(&error))
    }

    /// Removes a push that was refused.
    pub fn discard(&self, name: &str) {
        if let Err(error) = self.folder.remove_tree(OsStr::new(name)) {
            tracing::warn!("{INBOX}/{}: was refused and could not be removed: {error}", escape(OsStr::new(name)));
        }
    }

    /// Moves a report that was refused out of the way, as evidence; the newest few are kept.
    pub fn set_aside(&self, name: &str) {
        let set_aside = || -> io::Result<()> {
            let owner = self.state_dir.stat()?;
            let refused = match self.state_dir.find_dir(OsStr::new(REFUSED))? {
                Some(found) => found,
                None => {
                    let private = crate::base::Mode::from_bits(0o700);
                    self.state_dir.make_finished_dir(OsStr::new(REFUSED), (owner.uid, owner.gid), private)?
                }
            };
            self.folder.rename(OsStr::new(name), &refused, OsStr::new(&unique(&format!("{name}-"))))?;
            let mut kept: Vec<(i128, OsString)> =
                refused.entries()?.into_iter().filter_map(|entry| Some((refused.stat_at(&entry.name).ok()??.mtime, entry.name))).collect();
            kept.sort();
            let surplus = kept.len().saturating_sub(MOST_REFUSED);
            kept.iter().take(surplus).try_for_each(|(_, name)| refused.remove_tree(name))
        };
        if let Err(error) = set_aside() {
            tracing::warn!("{INBOX}/{}: was refused and could not be moved away: {error}", escape(OsStr::new(name)));
        }
    }

    /// Removes what killed gates left behind, and what only looks as if a gate had left it: a path unit that watches for it would
    /// start runs for ever. Nobody misses it if that fails.
    pub fn sweep(&self) {
        let old = (i128::from(clock::unix_seconds()) - ABANDONED) * 1_000_000_000;
        let is_old = |entry: &Entry| matches!(self.folder.stat_at(&entry.name), Ok(Some(stat)) if stat.mtime < old);
        for entry in self.folder.entries().unwrap_or_default() {
            if is_unfinished(&entry.name) {
                if is_old(&entry) {
                    let _ = self.folder.remove_tree(&entry.name);
                }
                continue;
            }
            let name = entry.name.to_str().filter(|name| RESERVED.iter().any(|prefix| name.starts_with(prefix)));
            if let Some(name) = name.filter(|_| entry.kind != Kind::File) {
                tracing::warn!("{INBOX}/{}: no gate leaves such a thing: it was removed", escape(&entry.name));
                self.discard(name);
            }
        }
    }
}
