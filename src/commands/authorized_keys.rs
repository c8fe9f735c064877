//! `certsync authorized-keys`.

use super::cli::{AuthorizedKeysArgs, GlobalArgs};
use super::exit::{Exit, SUCCESS};
use super::lines::{fleet, write};
use super::output::Output;
use super::{Stop, place};
use crate::base::{Error, ErrorKind, SshKey, SshKeyId, printable};
use crate::fleet::authorized_keys::{GateCall, callers, line_of, lines};
use crate::host;

/// Prints the lines that let the other hosts in, keeps them in a file, or prints the line of one key.
pub(super) fn run(global: &GlobalArgs, args: &AuthorizedKeysArgs, output: &Output) -> Result<Exit, Stop> {
    let place = place::of_flag(global, &args.spec)?;
    let fleet = fleet(&place)?;
    let gate = GateCall {
        program: host::this_program()?,
        spec: place.spec.path().clone(),
        state_dir: place.state_dir.clone(),
        name: place.name.clone(),
    };
    if !args.for_key.is_empty() {
        // sshd asks for every key that somebody offers, also for those that no certsync would have.
        if let Some(line) = asked_for(&args.for_key.join(" "))?.and_then(|id| line_of(&fleet, id, &gate)) {
            output.answer(&format!("{line}\n"));
        }
        return Ok(SUCCESS);
    }
    for server in callers(&fleet).filter(|server| server.public_keys.is_empty()) {
        tracing::warn!("{}: has no public_key in the spec, it cannot log in here", server.name);
    }
    let lines = lines(&fleet, &gate);
    match &args.write {
        Some(file) => write(file, &lines, "certsync authorized-keys --write", output)?,
        None => output.answer(&lines.iter().map(|line| format!("{line}\n")).collect::<String>()),
    }
    Ok(SUCCESS)
}

/// The fingerprint of the key that is asked for; none for a key of a kind that is never let in.
fn asked_for(text: &str) -> Result<Option<SshKeyId>, Error> {
    if text.starts_with("SHA256:") {
        return text.parse().map(Some).map_err(|why: crate::base::SshKeyError| {
            Error::new(ErrorKind::Usage, "--for-key", format!("{why}: {}", printable(text))).hint("AuthorizedKeysCommand … --for-key %f")
        });
    }
    Ok(text.parse::<SshKey>().ok().map(|key| key.id()))
}
