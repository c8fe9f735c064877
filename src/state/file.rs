//! `state.json`: loaded whole, written whole, durably.

use super::asleep::{Asleep, Joined, names};
use super::{STATE_VERSION, State};
use crate::base::{AbsPath, Error, ErrorKind, Mode, Result, SetName, printable};
use crate::host::dir::{Durability, write_atomic_parts};
use crate::host::{Dir, Kind, Stat, users};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;

pub(super) const FILE: &str = "state.json";
/// No state of ten thousand sets comes near; a larger file is not ours.
const LARGEST: u64 = 256 << 20;

impl State {
    /// The state of a host on which certsync never ran.
    pub fn empty(host: String, spec: AbsPath) -> State {
        State {
            version: STATE_VERSION,
            host,
            spec,
            sets: BTreeMap::new(),
            patterns: BTreeSet::new(),
            installs: Vec::new(),
            asleep: Asleep::default(),
        }
    }

    /// Loads it from the state directory, or nothing where there is none yet. What is recorded of the sets in `asleep` is kept as it is,
    /// unread, until [`State::wake`].
    ///
    /// # Errors
    /// Kind `State`: damaged, written by a newer certsync, or of another spec; kind `Permission`: a link, another user's, or others may
    /// write it. The hint names the way out.
    pub fn load<'a>(dir: &Dir, at: &AbsPath, spec: &AbsPath, asleep: impl IntoIterator<Item = &'a SetName>) -> Result<Option<State>> {
        let path = format!("{at}/{FILE}");
        let (bytes, stat) = match dir.read_file(OsStr::new(FILE), LARGEST) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) if dir.stat_at(OsStr::new(FILE)).is_ok_and(|found| found.is_some_and(|stat| stat.kind == Kind::Link)) => {
                return Err(Error::new(
                    ErrorKind::Permission,
                    path,
                    "a symbolic link in the place of the state file, which is not followed",
                )
                .hint("put the file itself there, after a look at who made the link"));
            }
            Err(error) => return Err(Error::io(ErrorKind::State, &path, &error)),
        };
        if stat.uid != users::running_user().uid {
            let (owner, us) = (users::user_name(stat.uid), users::running_user().name);
            return Err(Error::new(ErrorKind::Permission, path, format!("belongs to {owner}, and certsync runs as {us}")).hint(format!(
                "chown it to {us}, after a look at how it got there; or set it aside with --new-state: every hook then runs once"
            )));
        }
        if stat.mode.bits() & 0o022 != 0 {
            return Err(Error::new(ErrorKind::Permission, path, "others may write the state file")
                .hint("chmod go-w the file, after a look at who changed it"));
        }
        let (asleep, bytes) = (names(asleep), bytes.into_public());
        if asleep.is_empty() {
            return State::parse(&bytes, &path, spec).map(Some);
        }
        match Asleep::part(bytes, &asleep) {
            Ok((awake, asleep)) => State::parse(&awake, &path, spec).map(|state| Some(State { asleep, ..state })),
            Err(bytes) => State::parse(&bytes, &path, spec).map(Some),
        }
    }

    /// Reads what is recorded of the sets that were asleep.
    ///
    /// # Errors
    /// As [`State::load`].
    pub fn wake(&mut self, at: &AbsPath) -> Result<()> {
        let asleep = std::mem::take(&mut self.asleep);
        if asleep.len() == 0 {
            return Ok(());
        }
        let path = format!("{at}/{FILE}");
        let text = asleep.alone(self).map_err(|e| Error::io(ErrorKind::State, &path, &e))?;
        let woken = State::parse(&text, &path, &self.spec)?;
        self.sets.extend(woken.sets);
        self.installs.extend(woken.installs);
        self.installs.sort_by(|a, b| (&a.set, &a.dest).cmp(&(&b.set, &b.dest)));
        Ok(())
    }

    /// Whether exactly so many sets are asleep.
    pub fn has_asleep(&self, count: usize) -> bool {
        self.asleep.len() == count
    }

    /// How many sets are recorded.
    pub fn count(&self) -> usize {
        self.sets.len() + self.asleep.len()
    }

    /// Metadata of the file, where there is one.
    pub fn stat(dir: &Dir) -> Option<Stat> {
        dir.stat_at(OsStr::new(FILE)).ok().flatten()
    }

    /// Reads what [`State::save`] wrote; `path` names it in errors.
    ///
    /// # Errors
    /// Kind `State`: damaged, written by a newer certsync, or of another spec. The hint names the way out.
    pub fn parse(bytes: &[u8], path: &str, spec: &AbsPath) -> Result<State> {
        let wrong = |cause: String| Error::new(ErrorKind::State, path, cause).hint(WAY_OUT);
        let newer = |version: u64| {
            Error::new(
                ErrorKind::State,
                path,
                format!("written by a newer certsync (version {version}, this one reads up to {STATE_VERSION})"),
            )
            .hint("install that certsync again, or set the state aside with --new-state: every hook then runs once")
        };
        let state: State = match serde_json::from_slice(bytes) {
            Ok(state) => state,
            Err(error) => {
                // A newer one may well look otherwise: the version is asked for first.
                let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| wrong(damaged(&e)))?;
                return Err(match value.get("version").and_then(serde_json::Value::as_u64) {
                    Some(version) if version > u64::from(STATE_VERSION) => newer(version),
                    Some(_) => wrong(damaged(&error)),
                    None => wrong("damaged: no version".into()),
                });
            }
        };
        match state.version {
            0 => return Err(wrong("damaged: no version".into())),
            1..=STATE_VERSION => {}
            version => return Err(newer(version.into())),
        }
        // They are looked for by halving: one out of order would not be found, and be made a second time.
        if !state.installs.is_sorted_by(|a, b| (&a.set, &a.dest) < (&b.set, &b.dest)) {
            return Err(wrong("damaged: its installs are out of order".into()));
        }
        if state.spec != *spec {
            return Err(Error::new(ErrorKind::State, path, format!("this state directory serves another spec: {}", state.spec))
                .hint("name another directory with --state-dir, or, if the spec has moved, set the state aside with --new-state"));
        }
        Ok(state)
    }

    /// Writes it durably: a temporary file, fsync, rename, fsync of the directory.
    ///
    /// # Errors
    /// Kind `State`; the old file is then still whole.
    pub fn save(&self, dir: &Dir, at: &AbsPath) -> Result<()> {
        let write = |text: Joined<'_>| write_atomic_parts(dir, OsStr::new(FILE), &text.parts(), Mode::from_bits(0o600), Durability::OnDisk);
        self.asleep.join(self).and_then(write).map_err(|e| Error::io(ErrorKind::State, format!("{at}/{FILE}"), &e))
    }

    /// Puts the present file out of the way as `state.json.<seconds>`, kept as evidence: no other that was is replaced.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn set_aside(dir: &Dir, at: &AbsPath, now: i64) -> Result<()> {
        for number in 1.. {
            let name = if number == 1 { format!("{FILE}.{now}") } else { format!("{FILE}.{now}-{number}") };
            match dir.rename_new(OsStr::new(FILE), dir, OsStr::new(&name)) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io(ErrorKind::State, format!("{at}/{FILE}"), &error)),
            }
        }
        Ok(())
    }
}

/// What serde says may quote the file.
fn damaged(error: &serde_json::Error) -> String {
    format!("damaged: {}", printable(&error.to_string()))
}

const WAY_OUT: &str = "run once with --new-state: the file is kept beside the new one, and every hook runs once";

#[cfg(test)]
mod tests {
    use super::{FILE, State};
    use crate::base::{AbsPath, Error, ErrorKind, Result};
    use crate::host::users;
    use crate::spec::Layout;
    use crate::state::test_dir::with_dir;
    use std::os::unix::fs::{lchown, symlink};
    use std::path::Path;

    fn refused(change: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<Error> {
        let at: AbsPath = "/var/lib/certsync".parse().unwrap_or_else(|error| unreachable!("{error}"));
        with_dir(|dir, path| {
            let spec = at.clone();
            State::empty("host".into(), spec.clone()).save(dir, &at)?;
            assert!(State::load(dir, &at, &spec, [])?.is_some());
            change(&path.join(FILE)).map_err(|error| Error::io(ErrorKind::State, "the test", &error))?;
            Ok(State::load(dir, &at, &spec, []).err().unwrap_or_else(|| unreachable!("it was accepted")))
        })
    }

    #[test]
    fn what_is_said_of_a_damaged_state_is_fit_for_a_terminal() -> Result<()> {
        let spec: AbsPath = "/s.yaml".parse().unwrap_or_else(|error| unreachable!("{error}"));
        let text = "{\"version\":1,\"host\":\"h\",\"\u{9b}31m\u{202e}\":1}";
        let error = State::parse(text.as_bytes(), "state.json", &spec).err().unwrap_or_else(|| unreachable!("it was accepted"));
        assert!(error.cause.contains("\\u{9b}31m\\u{202e}"), "{error}");
        Ok(())
    }

    #[test]
    fn a_state_whose_installs_would_not_be_found_is_damaged() -> Result<()> {
        let spec: AbsPath = "/s.yaml".parse().unwrap_or_else(|error| unreachable!("{error}"));
        let mut state = State::empty("host".into(), spec.clone());
        for (set, dest) in [("a", "/b"), ("b", "/a")] {
            let name = |text: &str| text.parse().unwrap_or_else(|error| unreachable!("{error}"));
            let dest: AbsPath = dest.parse().unwrap_or_else(|error| unreachable!("{error}"));
            state.install_entry(&name(set), &dest, Layout::Generations);
        }
        let refused = |state: &State| State::parse(&serde_json::to_vec(state).unwrap_or_default(), "state.json", &spec).err();
        assert_eq!(refused(&state), None);
        state.installs.reverse();
        assert!(refused(&state).is_some_and(|error| error.cause.contains("out of order")));
        state.installs[0] = state.installs[1].clone();
        assert!(refused(&state).is_some_and(|error| error.cause.contains("out of order")));
        Ok(())
    }

    #[test]
    fn a_link_in_the_place_of_the_state_is_named() -> Result<()> {
        let error = refused(|file| {
            std::fs::rename(file, file.with_extension("old"))?;
            symlink("state.old", file)
        })?;
        assert_eq!(error.kind, ErrorKind::Permission);
        assert!(error.cause.contains("symbolic link") && error.hint.is_some(), "{error}");
        Ok(())
    }

    #[test]
    fn a_state_of_another_user_is_not_believed() -> Result<()> {
        if users::running_user().uid != 0 {
            eprintln!("skipped: needs root");
            return Ok(());
        }
        let error = refused(|file| lchown(file, Some(65534), Some(65534)))?;
        assert_eq!(error.kind, ErrorKind::Permission);
        assert!(error.cause.starts_with("belongs to ") && error.hint.is_some(), "{error}");
        Ok(())
    }
}
