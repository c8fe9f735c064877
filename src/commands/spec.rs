//! `certsync spec`.

use super::cli::{GlobalArgs, SpecArgs};
use super::exit::{Exit, SUCCESS};
use super::output::Output;
use super::{Stop, place};
use crate::spec;

/// Prints this host's part of the spec, every default filled in.
pub(super) fn run(global: &GlobalArgs, args: &SpecArgs, output: &Output) -> Result<Exit, Stop> {
    let place = place::of_either(global, &args.spec)?;
    let loaded = spec::load(place::input(&place.spec), place.name.as_deref())?;
    output.answer(&spec::resolved_yaml(&loaded));
    Ok(SUCCESS)
}
