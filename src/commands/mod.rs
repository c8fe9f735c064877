//! One file per command; this one takes the command line, calls it, and answers with an exit status.
//!
//! stdout carries the answer and nothing else; errors, logs and progress go to stderr.

mod apply;
mod authorized_keys;
mod checks;
mod cli;
mod deploy_hook;
mod exit;
mod forget;
mod gate;
mod keygen;
mod known_hosts;
mod lines;
mod logs;
mod masters;
pub mod options;
mod others;
mod output;
mod pages;
pub mod pass_on;
mod place;
mod plan;
mod remove;
mod reports;
pub mod revisions;
mod rollback;
mod schema;
mod session;
mod spec;
mod stage;
mod staged;
mod status;
mod stop;
mod trigger;
mod turns;
mod validate;
mod values;

pub use apply::apply;
pub use deploy_hook::deploy_hook;
pub use plan::plan;
pub use remove::remove;
pub use rollback::rollback;
pub use schema::schema_of;
pub use status::status;
pub use stop::Stop;
pub use trigger::trigger;

pub use cli::{Cli, SchemaOf};

use crate::base::{Error, ErrorKind, printable};
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser};
use cli::Command;
use exit::Exit;
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;

/// Parses `arguments` (the program's name first), does what they say and answers.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let code = match Cli::try_parse_from(&arguments) {
        Ok(cli) => dispatch(&cli),
        Err(error) => wrong_command_line(&error, &arguments),
    };
    ExitCode::from(code)
}

/// Answers with an error found before the command line was looked at.
pub fn refuse(error: &Error) -> ExitCode {
    output::print_error(error, "");
    ExitCode::from(exit::FAILURE)
}

fn dispatch(cli: &Cli) -> u8 {
    logs::start(&cli.global);
    let output = Output::new(&cli.global);
    let done = match &cli.command {
        Command::Plan(args) => reports::plan(&cli.global, args, &output),
        Command::Apply(args) => reports::apply(&cli.global, args, &output),
        Command::Rollback(args) => reports::rollback(&cli.global, args, &output),
        Command::Remove(args) => reports::remove(&cli.global, args, &output),
        Command::DeployHook(args) => reports::deploy_hook(&cli.global, args, &output),
        Command::Validate(args) => validate::run(&cli.global, args, &output),
        Command::Spec(args) => spec::run(&cli.global, args, &output),
        Command::Status(args) => status::run(&cli.global, args, &output),
        Command::Forget(args) => forget::run(args, &output),
        Command::Schema(args) => schema::run(args, &output),
        Command::Completions(args) => pages::completions(args, &output),
        Command::Man(args) => pages::man(args, &output),
        Command::Keygen(args) => keygen::run(&cli.global, args, &output),
        Command::AuthorizedKeys(args) => authorized_keys::run(&cli.global, args, &output),
        Command::KnownHosts(args) => known_hosts::run(&cli.global, args, &output),
        Command::Gate(args) => gate::run(&cli.global, args),
        Command::Trigger(args) => reports::trigger(&cli.global, args, &output),
    };
    let exit = done.unwrap_or_else(|stop| {
        stop.print();
        Exit(if matches!(cli.command, Command::Status(_)) { exit::UNKNOWN } else { exit::FAILURE })
    });
    // Where the answer could not be written, nobody may take the run for a success.
    match output.close() {
        Ok(()) => exit.0,
        Err(error) => {
            output::print_error(&error, "");
            exit.0.max(exit::FAILURE)
        }
    }
}

/// Answers what clap stopped at: help and version on stdout, anything else as an error.
fn wrong_command_line(error: &clap::Error, arguments: &[OsString]) -> u8 {
    use clap::error::ErrorKind as Clap;
    match error.kind() {
        Clap::DisplayHelp | Clap::DisplayVersion => {
            let output = Output::plain();
            output.answer(&error.render().to_string());
            match output.close() {
                Ok(()) => 0,
                Err(error) => {
                    output::print_error(&error, "");
                    exit::FAILURE
                }
            }
        }
        Clap::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::complain(&error.render().to_string());
            exit::FAILURE
        }
        _ => {
            output::print_error(&usage_error(error, arguments), "");
            if asked_for(arguments).as_deref() == Some("status") { exit::UNKNOWN } else { exit::FAILURE }
        }
    }
}

/// The command that a faulty command line asked for, as far as it can be told.
fn asked_for(arguments: &[OsString]) -> Option<String> {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(arguments).ok()?;
    matches.subcommand_name().map(str::to_owned)
}

/// clap's words in our form: the first paragraph is the cause, what it would rather have read the hint.
fn usage_error(error: &clap::Error, arguments: &[OsString]) -> Error {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let cause: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let command = asked_for(arguments).map(|name| format!(" {name}")).unwrap_or_default();
    let hint = meant(error).map_or_else(
        || format!("certsync{command} --help shows what can be written"),
        |meant| format!("did you mean `{}`?", printable(&meant)),
    );
    Error::new(ErrorKind::Usage, "command line", printable(&cause.join(" "))).hint(hint)
}

/// What clap found that is close to what was written.
fn meant(error: &clap::Error) -> Option<String> {
    let close = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    close.into_iter().find_map(|kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) if !texts.is_empty() => Some(texts.join("` or `")),
        _ => None,
    })
}
