//! Servers without certsync: what may stand in `via: { rsync: … }`, and what an install cannot ask of them.

use super::super::desired::Command;
use super::super::expand::NAME;
use super::super::fault::{Pos, quoted};
use super::super::fleet::{Delivery, Members, Via};
use super::super::types::{CertSpec, InstallShape};
use super::super::types_fleet::{ServerSpec, ViaRsync, ViaSpec};
use super::servers::Servers;
use super::topology::{Topology, Way};
use super::{Context, hooks};
use crate::base::AbsPath;

/// Why the program of a command for another host must be a whole path.
const ELSEWHERE: &str = "it runs on another host: write the whole path";

/// The faults of one such server.
pub(super) fn check(context: &Context<'_>, spec: &ServerSpec) {
    let at = &spec.via;
    let Some(ViaSpec::Rsync(via)) = at.value() else { return };
    let has_fault = spec.delivery.is_written() && spec.delivery.value().is_none();
    if spec.delivery.value() != Some(&Delivery::Push) && !has_fault {
        context.fault(at.key(), "a host without certsync can only be pushed to", "write `delivery: push`");
    }
    if !spec.upstream.is_written() {
        context.fault(at.key(), "a host without certsync needs an upstream", "name the server that brings its sets");
    }
    if !via.rsync.is_written() {
        context.fault(at.pos(), "`via` has no `rsync`", "write the directory of that host");
    }
    match via.rsync.value().map(|path| path.0.as_str()) {
        Some(path) if !path.starts_with('/') => {
            let message = format!("a relative path: {}", quoted(path));
            context.fault(via.rsync.pos(), message, "it is a directory of another host: write the whole path");
        }
        Some(path) if path.parse::<AbsPath>().is_ok_and(|path| path.as_str() == "/") => {
            context.fault(via.rsync.pos(), "`/` cannot take the sets", "use a directory of its own");
        }
        _ => {}
    }
    // A source's author chooses the names of a pattern's sets: a shell must never be given one as part of its text.
    if let Some(Command::Shell(text)) = hooks::command(context, &via.command, ELSEWHERE)
        && text.match_indices(NAME).any(|(at, _)| !text[..at].ends_with('$'))
    {
        let hint = "write the command as a list of words; or `\"$@\"`, the names of the sets that changed";
        context.fault(via.command.pos(), "`{name}` cannot stand in text for a shell", hint);
    }
}

/// What moves bytes to a server; of one with a fault, that it is ssh.
pub(super) fn via(context: &Context<'_>, spec: &ServerSpec) -> Via {
    let rsync = |via: &ViaRsync| {
        let directory = via.rsync.value()?.0.parse().ok()?;
        Some(Via::Rsync { directory, command: hooks::command(context, &via.command, ELSEWHERE) })
    };
    match spec.via.value() {
        Some(ViaSpec::Rsync(via)) => rsync(via).unwrap_or(Via::Ssh),
        _ => Via::Ssh,
    }
}

/// Installs that no host makes: nothing is installed on a host without certsync.
pub(super) fn check_installs(context: &Context<'_>, topology: &Topology<'_>, way: &Way, spec: &CertSpec) {
    let servers = &topology.servers;
    for at in spec.install.value().map(|list| list.0.as_slice()).unwrap_or_default() {
        let own = match at.value() {
            Some(InstallShape::Full(install)) if install.targets.is_written() => install.targets.value(),
            Some(_) => {
                refuse(context, servers, at.pos(), &way.targets);
                continue;
            }
            None => continue,
        };
        let Some(list) = own else { continue };
        let own = servers.groups.targets(context, servers, list, way.origin);
        for (pos, entry) in &own.entries {
            let members = servers.groups.of_entry(*entry, &own.all);
            refuse(context, servers, *pos, &Members::of(servers.count(), members.into_iter()));
        }
    }
}

fn refuse(context: &Context<'_>, servers: &Servers<'_>, pos: Pos, targets: &Members) {
    if targets.is_empty() || targets.iter().any(|number| !servers.is_bare(number)) {
        return;
    }
    let what = if targets.iter().nth(1).is_some() { "are hosts" } else { "is a host" };
    let message = format!("{} {what} without certsync, where nothing is installed", servers.list(targets.iter()));
    let hint = "its files come to lie below `rsync` of the server; write `install: []` where the set goes nowhere else";
    context.fault(pos, message, hint);
}
