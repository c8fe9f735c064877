//! `certsync known-hosts`.

use super::cli::{GlobalArgs, KnownHostsArgs};
use super::exit::{Exit, SUCCESS};
use super::lines::{fleet, write};
use super::output::Output;
use super::{Stop, place};
use crate::fleet::known_hosts::lines;

/// Prints the lines by which ssh knows the hosts that this one connects to, or keeps them in a file.
pub(super) fn run(global: &GlobalArgs, args: &KnownHostsArgs, output: &Output) -> Result<Exit, Stop> {
    let place = place::of_flag(global, &args.spec)?;
    let lines = lines(&fleet(&place)?);
    match &args.write {
        Some(file) => write(file, &lines, "certsync known-hosts --write", output)?,
        None => output.answer(&lines.iter().map(|line| format!("{line}\n")).collect::<String>()),
    }
    Ok(SUCCESS)
}
