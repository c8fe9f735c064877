//! `certsync gate`: the far end of a connection, started by sshd for one key.

use super::cli::{GateArgs, GlobalArgs};
use super::exit::{Exit, SUCCESS};
use super::{Stop, place, session};
use crate::base::{Error, ErrorKind, Result};
use crate::fleet::gate::Gate;
use crate::fleet::may::identify;
use crate::fleet::runner::Runner;
use crate::fleet::wire::{Message, Refusal, Wire};
use crate::host::link::{Link, Patience};
use crate::host::{this_program, walk};
use crate::spec::Desired;
use std::time::Duration;

/// Who says nothing at all is not waited for longer.
const HELLO: Duration = Duration::from_secs(60);
/// No conversation is longer.
const WHOLE: Duration = Duration::from_secs(2 * 60 * 60);

/// Answers one peer over stdin and stdout.
pub(super) fn run(global: &GlobalArgs, args: &GateArgs) -> std::result::Result<Exit, Stop> {
    let place = place::of_flag(global, &args.spec)?;
    // The spec is read at each connection: what it says now counts.
    let desired = session::desired(&place)?;
    let stdio = |error: &std::io::Error| Error::io(ErrorKind::Peer, "stdin and stdout", error);
    let link = Link::over_stdio(Patience::new(HELLO, WHOLE)).map_err(|error| stdio(&error))?;
    let mut wire = Wire::new(link, args.peer.as_str());
    if let Err(error) = answer(&desired, &place, args, &mut wire) {
        return Err(error.into());
    }
    Ok(SUCCESS)
}

fn answer(desired: &Desired, place: &super::options::Place, args: &GateArgs, wire: &mut Wire<Link>) -> Result<()> {
    let spec = place.spec.path();
    let Some(fleet) = &desired.fleet else {
        return Err(Error::new(ErrorKind::Spec, spec.to_string(), "names no servers").hint("a gate needs the spec of the fleet"));
    };
    let refuse = |wire: &mut Wire<Link>, error: Error| {
        // Who is refused is told why, where he still listens.
        let _ = wire.send(&Message::Refused(Refusal::of(&error, fleet.spec_hash)));
        Err(error)
    };
    let peer = match identify(fleet, &args.peer, args.key) {
        Ok(peer) => peer,
        Err(error) => return refuse(wire, error),
    };
    let (dir, owner) = match walk::find_shared(&place.state_dir) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let error = Error::new(ErrorKind::State, place.state_dir.to_string(), "is not there yet");
            return refuse(wire, error.hint("run certsync apply on that host once"));
        }
        Err(error) => return refuse(wire, error),
    };
    // Under the name that the rule for sudo has.
    let program = this_program()?;
    let runner = Runner::new(program.as_path(), owner, spec, &place.state_dir, place.name.as_deref());
    Gate { desired, fleet, dir: &dir, at: &place.state_dir, peer, key: args.key, runner: &runner }.serve(wire)
}
