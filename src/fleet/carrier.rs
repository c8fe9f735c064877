//! The ssh carrier: the system's OpenSSH reaches the other host, whose sshd starts the gate for our key.

use super::key_pair::Keys;
use super::known_hosts::{alias, called, keep};
use super::wire::Wire;
use crate::base::{AbsPath, Error, ErrorKind, Result};
use crate::host::Dir;
use crate::host::link::Patience;
use crate::host::scratch::Scratch;
use crate::host::ssh::{Connection, Failure, Far, Login, Why};
use crate::spec::fleet::{Fleet, Server, Via};
use std::time::Duration;

/// What this host logs in with: its own key, where it has one, and the host keys of the spec.
#[derive(Debug)]
pub struct Identity<'a> {
    key: Option<AbsPath>,
    known: Known<'a>,
}

/// Where the host keys of the spec stand for ssh.
#[derive(Debug)]
enum Known<'a> {
    /// In the state directory, one file for each server.
    Kept(&'a Dir, &'a AbsPath),
    /// In a file that goes with it.
    Scratch(Scratch),
}

impl<'a> Identity<'a> {
    /// For those who may write in the state directory `dir`, which lies at `at`.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn of(dir: &'a Dir, at: &'a AbsPath) -> Result<Identity<'a>> {
        Ok(Identity { key: Keys::find(dir, at)?, known: Known::Kept(dir, at) })
    }

    /// For those who change nothing there; it may be missing.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn in_memory(fleet: &Fleet, dir: Option<&'a Dir>, at: &'a AbsPath) -> Result<Identity<'a>> {
        let lines = called(fleet).flat_map(|server| server.host_keys.iter().map(|key| format!("{} {key}\n", alias(&server.name))));
        let scratch = Scratch::new(lines.collect::<String>().as_bytes());
        let scratch = scratch.map_err(|error| Error::io(ErrorKind::State, "a temporary file", &error))?;
        let key = dir.map_or(Ok(None), |dir| Keys::find(dir, at))?;
        Ok(Identity { key, known: Known::Scratch(scratch) })
    }

    /// The file with the host key of `server`; none where the spec has none, and ssh's own files count.
    fn known_hosts(&self, server: &Server) -> Result<Option<AbsPath>> {
        match &self.known {
            Known::Kept(dir, at) => keep(dir, at, server),
            Known::Scratch(_) if server.host_keys.is_empty() => Ok(None),
            Known::Scratch(scratch) => Ok(Some(scratch.path().clone())),
        }
    }
}

/// How to log in to `server`.
///
/// # Errors
/// ssh cannot be given such an address, user or path.
pub fn login(server: &Server, identity: &Identity<'_>) -> std::result::Result<Login, Failure> {
    let unusable = |error: Error| Failure { why: Why::NotStarted, cause: error.to_string(), hint: error.hint };
    let far = if server.via == Via::Ssh { Far::Certsync } else { Far::Rsync };
    let mut login = Login::written(&server.address, Some(server.port), Some(&server.user), far).map_err(unusable)?;
    if let Some(known) = identity.known_hosts(server).map_err(unusable)? {
        login = login.known_as(&alias(&server.name), &known).map_err(unusable)?;
    }
    if let Some(key) = &identity.key {
        login = login.with_key(key).map_err(unusable)?;
    }
    Ok(login)
}

/// Logs in to `server`.
///
/// # Errors
/// ssh cannot be started, or given such an address. Whether it gets anywhere is told by the first read.
pub fn connect(
    server: &Server,
    identity: &Identity<'_>,
    (each, whole): (Duration, Duration),
) -> std::result::Result<Wire<Connection>, Failure> {
    let connection = Connection::open(&login(server, identity)?, Patience::new(each, whole))?;
    Ok(Wire::new(connection, server.name.as_str()))
}

/// Why a conversation failed: what ssh says of it where the stream was cut off, otherwise `error` itself.
pub fn explained(wire: &mut Wire<Connection>, error: Error, server: &Server) -> (Error, Option<Why>) {
    let Some(failure) = wire.link().failure() else { return (error, None) };
    let why = failure.why;
    (failure.into_error(error.kind, server.name.as_str()), Some(why))
}

/// From now on each step may take this long: some answers come only when work is done.
pub fn wait_each(wire: &mut Wire<Connection>, each: Duration) {
    wire.link().link().wait_each(each);
}
