//! Sets: the source, what belongs to it, and where it is put.

use super::super::desired::{DesiredSet, PatternSet, Select, SetSource, SetTemplate};
use super::super::fault::{Pos, quoted};
use super::super::leaf::PathText;
use super::super::select::DEFAULT_EXCEPT;
use super::super::types::{CertSpec, HookSpec, SourceSpec};
use super::super::wrap::{At, List};
use super::installs::{self, Place};
use super::{Context, Named, unsupported};
use crate::base::{AbsPath, HookName, SetName};
use std::collections::HashSet;

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

/// Where a set is read from.
enum Source {
    Directory(AbsPath),
    Below(AbsPath),
}

/// Resolves every set that has no fault so grave that nothing can be said about it.
pub(super) fn resolve(context: &Context<'_>, written: &Named<'_, SetName, CertSpec>, hooks: &Named<'_, HookName, HookSpec>) -> Sets {
    let mut sets = Sets { sets: Vec::new(), patterns: Vec::new(), places: Vec::new() };
    let mut of_patterns = Vec::new();
    let known: Vec<&str> = hooks.iter().filter_map(|(name, _)| name.value()).map(HookName::as_str).collect();
    for (key, at) in written {
        let Some(spec) = at.value() else { continue };
        check_name(context, key);
        let source = source(context, key, spec);
        let is_pattern = matches!(source, Some(Source::Below(_)));
        let (templates, places) = installs::resolve(context, key, spec, &known, is_pattern);
        let template = SetTemplate { select: select(spec), names: names(spec), accept: accept(spec), installs: templates };
        unsupported::refuse_in_set(context, spec);
        let place = SetPlace { source: spec.source.pos(), installs: places };
        match (key.value(), source) {
            (Some(name), Some(Source::Below(parent))) => {
                sets.patterns.push(PatternSet { name: name.clone(), parent: SetSource::Directory(parent), template });
                of_patterns.push(place);
            }
            (Some(name), Some(Source::Directory(source))) => {
                let (set, place) = installs::of_set(context, name, SetSource::Directory(source), template, place);
                sets.sets.push(set);
                sets.places.push(place);
            }
            _ => {}
        }
    }
    sets.places.append(&mut of_patterns);
    same_parent(context, &sets);
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
    sets
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
        SourceSpec::Rsync(rsync) => {
            if !rsync.rsync.is_written() {
                context.fault(at.pos(), "the source has no `rsync`", "write a directory, or `rsync: \"user@host:directory\"`");
            }
            unsupported::refuse_rsync(context, at);
            None
        }
        SourceSpec::Path(PathText(text)) => directory(context, at.pos(), text),
    }
}

fn directory(context: &Context<'_>, pos: Pos, text: &str) -> Option<Source> {
    if text.contains("{name}") {
        context.fault(pos, "`{name}` stands only in `dest` and `files`", "end the source with `/*` to make one set of each directory");
        return None;
    }
    let (path, pattern) = match text.strip_suffix("/*") {
        Some(parent) => (if parent.is_empty() { "/" } else { parent }, true),
        None if text == "*" => (".", true),
        None => (text, false),
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
        Ok(path) if pattern => Some(Source::Below(path)),
        Ok(path) => Some(Source::Directory(path)),
        Err(error) => {
            context.fault(pos, error.to_string(), "write an absolute path, or one relative to the spec file");
            None
        }
    }
}

/// Two patterns over one directory would make every set twice.
fn same_parent(context: &Context<'_>, sets: &Sets) {
    for (index, pattern) in sets.patterns.iter().enumerate() {
        let earlier = sets.patterns.iter().take(index).find(|other| other.parent == pattern.parent);
        if let (Some(other), Some(place)) = (earlier, sets.places.get(sets.sets.len() + index)) {
            let message = format!("the set {} already matches the directories of {}", quoted(other.name.as_str()), pattern.parent);
            context.fault(place.source, message, "put both into one set with several installs");
        }
    }
}
