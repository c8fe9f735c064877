//! `certsync spec`.

use super::cli::{GlobalArgs, SpecArgs};
use super::exit::{Exit, SUCCESS};
use super::options::Place;
use super::output::Output;
use super::{Stop, place};
use crate::spec::{Loaded, Surroundings, load, load_with, resolved_yaml};

/// Prints this host's part of the spec, or with `--as` that of another, every default filled in.
pub(super) fn run(global: &GlobalArgs, args: &SpecArgs, output: &Output) -> Result<Exit, Stop> {
    let place = place::of_either(global, &args.spec)?;
    output.answer(&resolved_yaml(&loaded(&place)?));
    Ok(SUCCESS)
}

/// What another host has in the way of users, groups and directories is not known here.
fn loaded(place: &Place) -> Result<Loaded, Stop> {
    let Some(name) = place.name.as_deref() else { return Ok(load(place::input(&place.spec), None)?) };
    let elsewhere = Surroundings::of_another_host();
    let other = load_with(place::input(&place.spec), Some(name), &elsewhere)?;
    let here = load_with(place::input(&place.spec), None, &elsewhere).ok().and_then(|here| here.desired.fleet);
    if here.as_ref().map(|here| here.me.as_str()) == Some(name) || other.desired.fleet.is_none() {
        return Ok(load(place::input(&place.spec), Some(name))?);
    }
    Ok(other)
}
