//! Hooks: commands, the question to a TLS server, user and environment.

use super::super::desired::{Command, Hook, HookUser, Verify};
use super::super::fault::quoted;
use super::super::types::{CommandSpec, HookSpec, VerifySpec};
use super::super::wrap::At;
use super::{Context, Named};
use crate::base::HookName;
use std::collections::HashSet;
use std::time::Duration;

/// How long a command may take where the spec says nothing.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Why a hook's program must be a whole path or a plain name.
const IN_ROOT: &str = "hooks run in `/`: write the whole path";
/// The kernel's limit of one variable (MAX_ARG_STRLEN), name and terminator included.
const LONGEST_VARIABLE: usize = 128 * 1024;

/// Checks every hook and returns those that are used, in spec order: users are resolved for these alone.
pub(super) fn resolve(context: &Context<'_>, written: &Named<'_, HookName, HookSpec>, used: &HashSet<HookName>) -> Vec<Hook> {
    let hooks = written.iter().filter_map(|(name, at)| {
        let spec = at.value()?;
        let is_used = name.value().is_some_and(|name| used.contains(name));
        let draft = hook(context, name, spec);
        let user = if is_used { context.hook_user(&spec.user) } else { None };
        Some(Hook { user: user?, ..draft? })
    });
    hooks.collect()
}

fn hook(context: &Context<'_>, name: &At<HookName>, spec: &HookSpec) -> Option<Hook> {
    if !spec.check.is_written() && !spec.run.is_written() && !spec.verify.is_written() {
        context.fault(name.pos(), "the hook does nothing", "give it `run`, `check` or `verify`");
    }
    let hook = Hook {
        name: name.value()?.clone(),
        check: command(context, &spec.check, IN_ROOT),
        run: command(context, &spec.run, IN_ROOT),
        verify: verify(context, &spec.verify),
        timeout: spec.timeout.value().map_or(TIMEOUT, |period| period.0),
        user: HookUser { name: String::new(), uid: u32::MAX, gid: u32::MAX, home: String::new() },
        env: environment(context, spec),
        per_set: spec.per_set.value().copied().unwrap_or(false),
    };
    Some(hook)
}

/// A command as written; `whole` says why its program must be a whole path or a plain name.
pub(super) fn command(context: &Context<'_>, at: &At<CommandSpec>, whole: &str) -> Option<Command> {
    match at.value()? {
        CommandSpec::Shell(text) => {
            if text.trim().is_empty() || text.contains('\0') {
                context.fault(
                    at.pos(),
                    "an empty command",
                    "write a command for the shell, or a list of words; leave the key out to do nothing",
                );
            }
            Some(Command::Shell(text.clone()))
        }
        CommandSpec::Argv(words) => {
            let Some(program) = words.first() else {
                context.fault(at.pos(), "an empty command", "write the program and its arguments; leave the key out to do nothing");
                return None;
            };
            check_program(context, program, whole);
            for word in words.iter().filter(|word| word.value().is_some_and(|text| text.contains('\0'))) {
                context.fault(word.pos(), "an argument holds a zero byte", "no program can be given one");
            }
            Some(Command::Argv(words.iter().filter_map(At::value).cloned().collect()))
        }
    }
}

fn check_program(context: &Context<'_>, program: &At<String>, whole: &str) {
    let Some(text) = program.value() else { return };
    if text.trim().is_empty() {
        context.fault(program.pos(), "the program's name is empty", "write the program first, then its arguments");
    } else if text.contains('/') && !text.starts_with('/') {
        context.fault(program.pos(), format!("a relative program: {}", quoted(text)), whole);
    } else if text.contains(' ') && !text.starts_with('/') {
        context.fault(
            program.pos(),
            format!("a program with a space in its name: {}", quoted(text)),
            "each word is an item of its own; text without [ ] goes through the shell",
        );
    }
}

fn verify(context: &Context<'_>, at: &At<VerifySpec>) -> Option<Verify> {
    let spec = at.value()?;
    for (name, missing) in [("tls", !spec.tls.is_written()), ("server_name", !spec.server_name.is_written())] {
        if missing {
            let hint = match name {
                "tls" => "write the address to ask, such as `tls: \"127.0.0.1:443\"`",
                _ => "write the name that clients ask for, such as `server_name: www.example.com`",
            };
            context.fault(at.key(), format!("`verify` has no `{name}`"), hint);
        }
    }
    Some(Verify {
        address: spec.tls.value()?.0.clone(),
        server_name: spec.server_name.value()?.0.clone(),
        starttls: spec.starttls.value().copied(),
    })
}

fn environment(context: &Context<'_>, spec: &HookSpec) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for (key, value) in spec.env.value().map(|env| env.0.as_slice()).unwrap_or_default() {
        let (Some(name), Some(text)) = (key.value(), value.value()) else { continue };
        let name = name.0.as_str();
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.starts_with(|c: char| c.is_ascii_digit());
        if !plain {
            context.fault(
                key.pos(),
                format!("not the name of a variable: {}", quoted(name)),
                "use letters, digits and `_`, no digit first",
            );
        }
        if matches!(name, "CERTSYNC_CHANGES" | "RENEWED_LINEAGE" | "RENEWED_DOMAINS") {
            context.fault(key.pos(), format!("{} is set by certsync", quoted(name)), "use another name");
        }
        if text.contains('\0') || name.len() + text.len() + 2 > LONGEST_VARIABLE {
            context.fault(
                value.pos(),
                "a value with a zero byte, or of 128 KiB or more, cannot be passed",
                "put it into a file and pass its path",
            );
        }
        variables.push((name.to_owned(), text.clone()));
    }
    variables
}
