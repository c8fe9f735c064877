//! A conversation with another host over ssh.

use super::key_pair::Keys;
use super::known_hosts;
use super::wire::Wire;
use crate::base::{AbsPath, ErrorKind, Result};
use crate::host::Dir;
use crate::host::link::Patience;
use crate::host::ssh::{Connection, Login};
use crate::spec::fleet::Server;

/// Begins to log in to `server`: with this host's own key where it has one, and believing no host key but the spec's where the spec has one;
/// the rest is up to ssh_config. `dir` is the state directory, which lies at `at`; `kind` that of errors of the server.
///
/// # Errors
/// ssh cannot be started. Whether it gets there is told by the first word; [`Wire::told_by_ssh`] has the cause.
pub fn log_in(dir: &Dir, at: &AbsPath, server: &Server, patience: Patience, kind: ErrorKind) -> Result<Wire<Connection>> {
    let mut login = Login::new(&server.address, server.port, &server.user)?;
    if let Some(known) = known_hosts::keep(dir, at, server)? {
        login = login.known_as(&known_hosts::alias(&server.name), &known)?;
    }
    if let Some(key) = Keys::find(dir, at)? {
        login = login.with_key(&key)?;
    }
    let connection = Connection::open(&login, patience).map_err(|failure| failure.into_error(kind, server.name.as_str()))?;
    Ok(Wire::new(connection, server.name.as_str()))
}
