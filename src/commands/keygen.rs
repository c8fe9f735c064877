//! `certsync keygen`.

use super::cli::{GlobalArgs, KeygenArgs};
use super::exit::{Exit, SUCCESS};
use super::output::{Output, complain};
use super::{Stop, place};
use crate::fleet::key_pair::{Keys, Made};
use crate::host::walk;

/// Makes this host's key pair or the next one, or takes the next one into use; prints the public half.
pub(super) fn run(global: &GlobalArgs, args: &KeygenArgs, output: &Output) -> Result<Exit, Stop> {
    let at = place::state_dir(global)?;
    let dir = walk::open_private(&at)?;
    let keys = Keys::open(&dir, &at)?;
    let (made, before) = match (args.next, args.activate) {
        (true, _) => (keys.make_next()?, "there is a next key already"),
        (_, true) => (keys.activate()?, "the next key is in use already"),
        _ => (keys.make()?, "this host has its key already"),
    };
    let key = match made {
        Made::Now(key) => key,
        Made::Before(key) => {
            if output.speaks() {
                complain(&format!("certsync: {before}\n"));
            }
            key
        }
    };
    output.answer(&format!("{key}\n"));
    Ok(SUCCESS)
}
