//! From the spec as written to this host's part: every default filled in, every name resolved, every fault recorded.

mod accounts;
mod bare;
mod fleet;
mod groups;
mod hooks;
mod installs;
mod overlap;
mod servers;
mod sets;
mod topology;

use super::desired::{Desired, Limits};
use super::fault::{Pos, Reporter, quoted};
use super::leaf::Line;
use super::surroundings::Surroundings;
use super::types::{CertSpec, HookSpec, Included, LimitsSpec, Spec};
use super::types_fleet::ServerSpec;
use super::wrap::{At, Entries, List};
use crate::base::{AbsPath, ContentHash, HookName, ServerName, SetName};
use servers::Servers;
use std::collections::HashMap;
use topology::Topology;

/// The version of the grammar that this build reads.
const VERSION: u32 = 1;

/// Bytes in one file, where the spec says nothing.
const FILE_LIMIT: u64 = 1 << 20;
/// Bytes in one set.
const SET_LIMIT: u64 = 16 << 20;
/// Files in one set.
const FILES_LIMIT: u32 = 1000;

/// Everything that was read.
pub(super) struct Written<'a> {
    /// The spec file's place.
    pub path: &'a AbsPath,
    /// Its directory: relative paths start here.
    pub directory: &'a AbsPath,
    /// The spec.
    pub spec: &'a Spec,
    /// What it includes, in order.
    pub included: &'a [Included],
    /// Hash of all that was read.
    pub hash: ContentHash,
}

/// What every part of resolving needs.
pub(super) struct Context<'a> {
    written: &'a Written<'a>,
    reporter: &'a Reporter,
    surroundings: &'a Surroundings,
    accounts: accounts::Accounts,
}

impl Context<'_> {
    fn fault(&self, pos: Pos, message: impl Into<String>, hint: impl Into<String>) {
        self.reporter.fault(pos, message, Some(hint.into()));
    }

    /// Where the servers are defined.
    fn servers_pos(&self) -> Pos {
        let all = std::iter::once(&self.written.spec.servers).chain(self.written.included.iter().map(|file| &file.servers));
        all.filter(|servers| servers.is_written()).map(At::key).next().unwrap_or_default()
    }
}

type Named<'a, K, V> = Vec<(&'a At<K>, &'a At<V>)>;

/// The mappings of the spec and all it includes, as one.
struct Merged<'a> {
    hooks: Named<'a, HookName, HookSpec>,
    certs: Named<'a, SetName, CertSpec>,
    servers: Named<'a, ServerName, ServerSpec>,
    groups: Named<'a, ServerName, List<Line>>,
}

/// Resolves this host's part; `name` is its own, where somebody has said it. What it returns counts only if `reporter` has no fault.
pub(super) fn resolve(written: &Written<'_>, reporter: &Reporter, surroundings: &Surroundings, name: Option<&str>) -> Desired {
    let context = Context { written, reporter, surroundings, accounts: accounts::Accounts::default() };
    let merged = merge(&context);
    version(&context);
    let servers = Servers::resolve(&context, &merged.servers, &merged.groups);
    let topology = servers.map(|servers| Topology::new(&context, servers, name));
    let (sets, going) = sets::resolve(&context, &merged.certs, &merged.hooks, topology.as_ref());
    let hooks = hooks::resolve(&context, &merged.hooks, &sets.hooks_used());
    sets.check_places(&context);
    let revoked = written.spec.revoked_keys.value().map(|keys| keys.values().map(|key| key.0).collect()).unwrap_or_default();
    let fleet = fleet::resolve(&context, topology.as_ref(), going);
    Desired { spec: written.path.clone(), limits: limits(&context), revoked, hooks, sets: sets.sets, patterns: sets.patterns, fleet }
}

fn version(context: &Context<'_>) {
    let version = &context.written.spec.version;
    match version.value() {
        Some(&VERSION) => {}
        Some(other) if *other > VERSION => {
            context.fault(version.pos(), format!("version {other} is newer than this certsync reads"), "update certsync on this host");
        }
        Some(_) => context.fault(version.pos(), "there is no such version", "write `version: 1`"),
        None if version.is_written() => {}
        None => context.fault(
            Pos { line: 1, column: 1, length: 1, file: 0 },
            "the key `version` is missing",
            "write `version: 1` in the first line",
        ),
    }
}

fn limits(context: &Context<'_>) -> Limits {
    let none = LimitsSpec::default();
    let written = context.written.spec.limits.value().unwrap_or(&none);
    let files = written.files.value().copied().unwrap_or(FILES_LIMIT);
    if files == 0 {
        context.fault(written.files.pos(), "`files` must be at least 1", "leave it out for 1000");
    }
    let limits = Limits {
        file: written.file.value().map_or(FILE_LIMIT, |size| size.0),
        set: written.set.value().map_or(SET_LIMIT, |size| size.0),
        files,
    };
    if limits.file > limits.set && written.file.is_written() {
        context.fault(written.file.pos(), "the limit of one file is above that of a whole set", "raise `set` as well");
    }
    limits
}

fn merge<'a>(context: &Context<'a>) -> Merged<'a> {
    let (spec, included) = (context.written.spec, context.written.included);
    let merged = Merged {
        hooks: entries(&spec.hooks, included.iter().map(|file| &file.hooks)),
        certs: entries(&spec.certs, included.iter().map(|file| &file.certs)),
        servers: entries(&spec.servers, included.iter().map(|file| &file.servers)),
        groups: entries(&spec.groups, included.iter().map(|file| &file.groups)),
    };
    once(context, "the hook", &merged.hooks, HookName::as_str);
    once(context, "the set", &merged.certs, SetName::as_str);
    once(context, "the server", &merged.servers, ServerName::as_str);
    once(context, "the group", &merged.groups, ServerName::as_str);
    merged
}

fn entries<'a, K, V>(main: &'a At<Entries<K, V>>, more: impl Iterator<Item = &'a At<Entries<K, V>>>) -> Named<'a, K, V> {
    std::iter::once(main).chain(more).filter_map(At::value).flat_map(|entries| entries.0.iter().map(|(key, value)| (key, value))).collect()
}

/// A name defined in two files is a fault that shows both places; twice in one mapping, the tree has said it.
fn once<K, V>(context: &Context<'_>, what: &str, named: &Named<'_, K, V>, text: impl Fn(&K) -> &str) {
    let mut first: HashMap<&str, Pos> = HashMap::new();
    for (key, _) in named {
        let Some(name) = key.value() else { continue };
        if let Some(other) = first.insert(text(name), key.pos()) {
            let hint = format!("it is first defined at {}", context.reporter.place(other));
            context.fault(key.pos(), format!("{what} {} is defined twice", quoted(text(name))), hint);
        }
    }
}
