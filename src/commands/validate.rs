//! `certsync validate`.

use super::cli::{GlobalArgs, ValidateArgs};
use super::exit::{Exit, SUCCESS};
use super::output::Output;
use super::{Stop, place};
use crate::spec;

/// Loads the spec and says that it is right, or shows every fault.
pub(super) fn run(global: &GlobalArgs, args: &ValidateArgs, output: &Output) -> Result<Exit, Stop> {
    let place = place::of_either(global, &args.spec)?;
    let loaded = spec::load(place::input(&place.spec), place.name.as_deref())?;
    let (sets, patterns, hooks) = (loaded.desired.sets.len(), loaded.desired.patterns.len(), loaded.desired.hooks.len());
    let counts = [count(sets, "set"), count(patterns, "pattern"), count(hooks, "hook")];
    let counts: Vec<&str> = counts.iter().flatten().map(String::as_str).collect();
    let counts = if counts.is_empty() { "nothing for this host".to_owned() } else { counts.join(", ") };
    let me = loaded.desired.fleet.map(|fleet| format!(" for {}", fleet.me)).unwrap_or_default();
    output.tell(&format!("{}: valid{me}: {counts}\n", place.spec.path()));
    Ok(SUCCESS)
}

fn count(number: usize, of: &str) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("1 {of}")),
        _ => Some(format!("{number} {of}s")),
    }
}
