//! What the grammar has and this build does not do yet. Each is told apart from an unknown key.

use super::super::leaf::Line;
use super::super::types::{CertSpec, InstallSpec};
use super::super::types_fleet::ServerSpec;
use super::super::wrap::{At, List};
use super::{Context, Named};

const HINT: &str = "this version of certsync serves one host; leave the key out";

fn refuse_key<T>(context: &Context<'_>, name: &str, at: &At<T>) {
    if at.is_written() {
        context.fault(at.key(), format!("`{name}` is not supported yet"), HINT);
    }
}

/// The keys of the spec as a whole; `servers` and `groups` may stand in included files too.
pub(super) fn refuse(context: &Context<'_>, servers: &Named<'_, Line, ServerSpec>, groups: &Named<'_, Line, List<Line>>) {
    let written = context.written;
    refuse_key(context, "servers", &written.spec.servers);
    refuse_key(context, "groups", &written.spec.groups);
    for file in written.included {
        refuse_key(context, "servers", &file.servers);
        refuse_key(context, "groups", &file.groups);
    }
    refuse_key(context, "fleet", &written.spec.fleet);
    refuse_key(context, "rollout", &written.spec.rollout);
    for (name, server) in servers {
        if server.value().is_some_and(|server| !server.address.is_written()) {
            context.fault(name.pos(), "the server has no `address`", "write its name or address");
        }
    }
    for (name, _) in groups {
        if name.value().is_some_and(|name| name.0 == "all") {
            context.fault(name.pos(), "the group name `all` is reserved", "it stands for every server; use another name");
        }
    }
}

/// The keys of a set.
pub(super) fn refuse_in_set(context: &Context<'_>, set: &CertSpec) {
    refuse_key(context, "origin", &set.origin);
    refuse_key(context, "targets", &set.targets);
}

/// The keys of an install.
pub(super) fn refuse_in_install(context: &Context<'_>, install: &InstallSpec) {
    refuse_key(context, "targets", &install.targets);
}

/// A source that is not a directory of this host.
pub(super) fn refuse_rsync<T>(context: &Context<'_>, source: &At<T>) {
    context.fault(source.pos(), "a source with `rsync` is not supported yet", "this version of certsync reads directories of this host");
}
