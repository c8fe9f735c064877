//! Sets: the source, what belongs to it, and where it is put.

use super::super::desired::{DesiredSet, PatternSet, RsyncFrom, Select, SetSource, SetTemplate};
use super::super::fault::{Pos, quoted};
use super::super::fleet::EntryKind;
use super::super::leaf::{Line, PathText};
use super::super::select::DEFAULT_EXCEPT;
use super::super::types::{CertSpec, HookSpec, InstallShape, SourceSpec};
use super::super::types_fleet::RsyncSource;
use super::super::wrap::{At, List};
use super::fleet::Going;
use super::installs::{self, Frame, Place};
use super::servers::Number;
use super::topology::{Role, Topology};
use super::{Context, Named, bare};
use crate::base::{AbsPath, HookName, SetName};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// This host's sets, and where each part of them is written.
pub(super) struct Sets {
    /// Sets defined by their own name.
    pub sets: Vec<DesiredSet>,
    /// Sets that a pattern makes.
    pub patterns: Vec<PatternSet>,
    /// Places of `sets`, then of `patterns`.
    pub places: Vec<SetPlace>,
}

/// Where a set is written.
pub(super) struct SetPlace {
    /// Its source.
    pub source: Pos,
    /// Its installs, in the order of the set's.
    pub installs: Vec<Place>,
}

impl Sets {
    /// The hooks that some install names.
    pub(super) fn hooks_used(&self) -> HashSet<HookName> {
        let of_sets = self.sets.iter().flat_map(|set| set.installs.iter().map(|install| &install.rest));
        let of_patterns = self.patterns.iter().flat_map(|set| set.template.installs.iter().map(|install| &install.rest));
        of_sets.chain(of_patterns).flat_map(|rest| rest.hooks.iter().cloned()).collect()
    }
}

/// Where a set is read from, at its origin.
struct Source {
    at: SetSource,
    kind: EntryKind,
}

/// Resolves every set that has no fault so grave that nothing can be said about it: what of it is on this host, and its way.
pub(super) fn resolve(
    context: &Context<'_>,
    written: &Named<'_, SetName, CertSpec>,
    hooks: &Named<'_, HookName, HookSpec>,
    topology: Option<&Topology<'_>>,
) -> (Sets, Vec<Going>) {
    let mut sets = Sets { sets: Vec::new(), patterns: Vec::new(), places: Vec::new() };
    let mut of_patterns = Vec::new();
    let mut going = Vec::new();
    let mut parents = Parents::new();
    let known: Vec<&str> = hooks.iter().filter_map(|(name, _)| name.value()).map(HookName::as_str).collect();
    for (key, at) in written {
        let Some(spec) = at.value() else { continue };
        check_name(context, key);
        let source = source(context, key, spec);
        let way = topology.map(|topology| (topology, topology.way(context, key, spec)));
        match &way {
            Some((topology, way)) => bare::check_installs(context, topology, way, spec),
            None => refuse_ways(context, spec),
        }
        let is_here = |targets: &At<List<Line>>| way.as_ref().is_none_or(|(topology, way)| topology.is_install_here(context, way, targets));
        let is_pattern = source.as_ref().is_some_and(|source| source.kind == EntryKind::Pattern);
        let frame = Frame { hooks: &known, is_pattern, may_be_empty: way.is_some(), is_here: &is_here };
        let (templates, places) = installs::resolve(context, key, spec, &frame);
        let template = SetTemplate { select: Arc::new(select(spec)), names: names(spec), accept: accept(spec), installs: templates };
        let place = SetPlace { source: spec.source.pos(), installs: places };
        let (Some(name), Some(Source { at, kind })) = (key.value(), source) else { continue };
        let role = way.as_ref().map_or(Role::Origin, |(_, way)| way.role);
        if kind == EntryKind::Pattern {
            same_parent(context, &mut parents, (way.as_ref().and_then(|(_, way)| way.origin), &at), name, place.source);
        }
        let source = if role == Role::Origin { at.clone() } else { SetSource::Upstream };
        going.extend(way.map(|(_, way)| Going { entry: name.clone(), source: at, kind, way }));
        match (role, kind) {
            (Role::Nothing, _) => {}
            (_, EntryKind::Pattern) => {
                sets.patterns.push(PatternSet { name: name.clone(), parent: source, template });
                of_patterns.push(place);
            }
            (_, EntryKind::Set) => {
                let (set, place) = installs::of_set(context, name, source, template, place);
                sets.sets.push(set);
                sets.places.push(place);
            }
        }
    }
    sets.places.append(&mut of_patterns);
    let certs = &context.written.spec.certs;
    // `certs: {}` is how the last set is taken out; no `certs` at all is a slip.
    if written.is_empty() && !certs.is_written() {
        let pos = Pos { file: 0, line: 1, column: 1, length: 1 };
        context.fault(
            pos,
            "the spec names no certificate set",
            "write one below `certs:`, with `source` and `install`; `certs: {}` means none",
        );
    }
    (sets, going)
}

/// Where there are no servers, nothing goes anywhere.
fn refuse_ways(context: &Context<'_>, spec: &CertSpec) {
    let hint = "define the servers below `servers:`, or leave the key out";
    let refuse = |name: &str, pos: Pos| context.fault(pos, format!("`{name}` means nothing without `servers`"), hint);
    if spec.origin.is_written() {
        refuse("origin", spec.origin.key());
    }
    if spec.targets.is_written() {
        refuse("targets", spec.targets.key());
    }
    for at in spec.install.value().map(|list| list.0.as_slice()).unwrap_or_default() {
        if let Some(InstallShape::Full(install)) = at.value()
            && install.targets.is_written()
        {
            refuse("targets", install.targets.key());
        }
    }
}

fn check_name(context: &Context<'_>, key: &At<SetName>) {
    if key.value().is_some_and(|name| name.as_str().contains(['{', '}'])) {
        context.fault(key.pos(), "a set's name must not hold `{` or `}`", "`{name}` stands for the set's name in `dest` and `files`");
    }
}

fn select(spec: &CertSpec) -> Select {
    let own = |list: &At<List<super::super::leaf::GlobText>>| list.value().map(|list| list.values().map(|glob| glob.0.clone()).collect());
    Select {
        only: own(&spec.only).unwrap_or_default(),
        except: own(&spec.except).unwrap_or_else(|| DEFAULT_EXCEPT.iter().map(ToString::to_string).collect()),
    }
}

fn names(spec: &CertSpec) -> Vec<String> {
    spec.names.value().map(|names| names.values().map(|name| name.0.clone()).collect()).unwrap_or_default()
}

fn accept(spec: &CertSpec) -> std::collections::BTreeSet<super::super::desired::Accept> {
    spec.accept.value().map(|words| words.values().copied().collect()).unwrap_or_default()
}

fn source(context: &Context<'_>, key: &At<SetName>, spec: &CertSpec) -> Option<Source> {
    let at = &spec.source;
    if !at.is_written() {
        context.fault(key.pos(), "the set has no `source`", "write the directory that it is read from");
        return None;
    }
    match at.value()? {
        SourceSpec::Rsync(source) => rsync(context, at.pos(), source),
        SourceSpec::Path(PathText(text)) => directory(context, at.pos(), text),
    }
}

/// A directory of a master without certsync.
fn rsync(context: &Context<'_>, pos: Pos, spec: &RsyncSource) -> Option<Source> {
    if !spec.rsync.is_written() {
        context.fault(pos, "the source has no `rsync`", "write a directory, or `rsync: \"user@host:directory\"`");
    }
    if spec.port.value() == Some(&0) {
        context.fault(spec.port.pos(), "there is no port 0", "leave it out for the usual one");
    }
    let file = |at: &At<PathText>| {
        let path = AbsPath::resolve(&at.value()?.0, context.written.directory);
        path.map_err(|error| context.fault(at.pos(), error.to_string(), "write an absolute path, or one relative to the spec file")).ok()
    };
    let (identity, password_file) = (file(&spec.identity), file(&spec.password_file));
    let text = spec.rsync.value()?;
    match text.is_daemon {
        true if spec.identity.is_written() => {
            context.fault(
                spec.identity.key(),
                "an rsync daemon knows no ssh key",
                "write `password_file`, or read it over ssh: user@host:directory",
            );
        }
        false if spec.password_file.is_written() => {
            context.fault(
                spec.password_file.key(),
                "only `rsync://` has a password",
                "over ssh write `identity`, or nothing for ssh's own keys",
            );
        }
        _ => {}
    }
    if text.has_port && spec.port.is_written() {
        context.fault(spec.port.key(), "the address has a port already", "write it in one place");
    }
    let from = RsyncFrom { from: text.from.clone(), port: spec.port.value().copied(), identity, password_file, mirror: None };
    let kind = if text.is_pattern { EntryKind::Pattern } else { EntryKind::Set };
    Some(Source { at: SetSource::Rsync(from), kind })
}

fn directory(context: &Context<'_>, pos: Pos, text: &str) -> Option<Source> {
    if text.contains("{name}") {
        context.fault(pos, "`{name}` stands only in `dest` and `files`", "end the source with `/*` to make one set of each directory");
        return None;
    }
    let (path, kind) = match text.strip_suffix("/*") {
        Some(parent) => (if parent.is_empty() { "/" } else { parent }, EntryKind::Pattern),
        None if text == "*" => (".", EntryKind::Pattern),
        None => (text, EntryKind::Set),
    };
    // A step such as `*.example.com` is a directory's name: acme.sh makes those.
    if path.split('/').any(|step| step == "*" || step == "**") {
        context.fault(
            pos,
            format!("only the last step of a source can be `*`: {}", quoted(text)),
            "write one set for each directory, or `/*` at the end",
        );
        return None;
    }
    match AbsPath::resolve(path, context.written.directory) {
        Ok(path) => Some(Source { at: SetSource::Directory(path), kind }),
        Err(error) => {
            context.fault(pos, error.to_string(), "write an absolute path, or one relative to the spec file");
            None
        }
    }
}

/// What the patterns so far are read from, with their names: the origin and the source there.
type Parents = HashMap<(Option<Number>, SetSource), SetName>;

/// Two patterns over one directory would make every set twice.
fn same_parent(context: &Context<'_>, known: &mut Parents, (origin, at): (Option<Number>, &SetSource), name: &SetName, pos: Pos) {
    if let Some(other) = known.get(&(origin, at.clone())) {
        let message = format!("the set {} already matches the directories of {at}", quoted(other.as_str()));
        context.fault(pos, message, "put both into one set with several installs");
    } else {
        known.insert((origin, at.clone()), name.clone());
    }
}
