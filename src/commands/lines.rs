//! What `authorized-keys` and `known-hosts` share: the fleet of the spec, and a block of lines in a file.

use super::Stop;
use super::options::Place;
use super::output::Output;
use super::place::absolute;
use super::session::desired;
use crate::base::{Error, ErrorKind};
use crate::fleet::block::with_block;
use crate::host::edit::{Edited, edit};
use crate::spec::fleet::Fleet;
use std::path::Path;

/// The fleet of the spec.
pub(super) fn fleet(place: &Place) -> Result<Fleet, Stop> {
    let alone = || {
        Error::new(ErrorKind::Spec, place.spec.path().as_str(), "has no `servers:`, so this host has to do with no other")
            .hint("write down the hosts below `servers:`; see docs/spec.md")
    };
    desired(place)?.fleet.ok_or_else(|| alone().into())
}

/// Keeps `lines` as a block in `file`, and says whether there was something to do.
pub(super) fn write(file: &Path, lines: &[String], keeper: &str, output: &Output) -> Result<(), Stop> {
    let file = absolute(file, ErrorKind::Usage)?;
    let edited = edit(&file, |text| with_block(text, lines, keeper))?;
    output.tell(&match edited {
        Edited::Changed => format!("{file}: changed\n"),
        Edited::Same => format!("{file}: unchanged\n"),
    });
    Ok(())
}
