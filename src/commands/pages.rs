//! `certsync completions` and `certsync man`.

use super::Stop;
use super::cli::{Cli, CompletionsArgs, ManArgs};
use super::exit::{Exit, SUCCESS};
use super::output::Output;
use crate::base::{Error, ErrorKind, escape};
use clap::CommandFactory;
use clap_mangen::Man;

/// Prints a shell's completion script.
pub(super) fn completions(args: &CompletionsArgs, output: &Output) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "certsync", &mut script);
    output.answer(&String::from_utf8_lossy(&script));
    Ok(SUCCESS)
}

/// Prints the manual page, or writes one per command into a directory.
pub(super) fn man(args: &ManArgs, output: &Output) -> Result<Exit, Stop> {
    let command = Cli::command();
    if let Some(dir) = &args.dir {
        let subject = escape(dir.as_os_str());
        clap_mangen::generate_to(command, dir).map_err(|error| Error::io(ErrorKind::Usage, subject, &error))?;
        return Ok(SUCCESS);
    }
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(|error| Error::io(ErrorKind::Usage, "manual page", &error))?;
    output.answer(&String::from_utf8_lossy(&page));
    Ok(SUCCESS)
}
