//! `certsync status`.

use super::cli::{GlobalArgs, StatusArgs, StatusFormat};
use super::exit::{Exit, SUCCESS};
use super::options::StatusOptions;
use super::output::{Output, print_error};
use super::{Stop, later, place};
use crate::base::{AbsPath, Error, ErrorKind, Mode};
use crate::host::{Durability, walk, write_atomic};
use crate::status::{StatusReport, Thresholds, json, prometheus, table, verdict};

/// Looks at the host and answers; changes nothing.
pub fn status(options: &StatusOptions) -> Result<StatusReport, Stop> {
    let _ = options;
    Err(Error::new(ErrorKind::State, "certsync status", "not built yet").into())
}

/// `certsync status`.
pub(super) fn run(global: &GlobalArgs, args: &StatusArgs, output: &Output) -> Result<Exit, Stop> {
    if args.fleet {
        return later("--fleet");
    }
    let status = status(&StatusOptions { place: place::of_path(global, &args.spec)? })?;
    let verdict = verdict(&status, Thresholds { warn: args.warn, crit: args.crit });
    let monitors = args.warn.is_some() || args.crit.is_some();
    let text = match args.format {
        StatusFormat::Text => table(&status),
        StatusFormat::Json => json(&status),
        StatusFormat::Prometheus => prometheus(&status),
    };
    // A line before data would spoil it; without data on stdout there is room for it.
    if monitors && (args.format == StatusFormat::Text || args.output.is_some()) {
        output.tell(&format!("{}\n", verdict.line));
    }
    match &args.output {
        Some(file) => write(&place::absolute(file, ErrorKind::Usage)?, &text)?,
        None => output.answer(&text),
    }
    status.errors.iter().for_each(|error| print_error(error, ""));
    Ok(if monitors { Exit(verdict.health as u8) } else { SUCCESS })
}

/// Replaces `file` as a whole, so that a collector never reads half of it.
fn write(file: &AbsPath, text: &str) -> Result<(), Error> {
    let (Some(parent), Some(name)) = (file.as_path().parent(), file.as_path().file_name()) else {
        return Err(Error::new(ErrorKind::Usage, file.to_string(), "is a directory"));
    };
    let parent = place::absolute(parent, ErrorKind::Usage)?;
    let walk = walk::to(&parent)?;
    if !walk.missing.is_empty() {
        return Err(Error::new(ErrorKind::Usage, parent.to_string(), "no such directory"));
    }
    write_atomic(&walk.dir, name, text.as_bytes(), Mode::from_bits(0o644), Durability::Eventually)
        .map_err(|error| Error::io(ErrorKind::Usage, file, &error))
}
