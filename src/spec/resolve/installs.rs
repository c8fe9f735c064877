//! Installs: where a set is put, as what, and which hooks follow.

use super::super::desired::{DesiredInstall, DesiredSet, InstallRest, InstallTemplate, Layout, Named, Prune, SetSource, SetTemplate};
use super::super::expand::NAME;
use super::super::fault::{Pos, quoted, suggest};
use super::super::leaf::{FileName, Line, ModeText, PathText};
use super::super::types::{CertSpec, Defaults, InstallShape, InstallSpec};
use super::super::wrap::{At, List};
use super::Context;
use super::accounts::nobody;
use super::sets::SetPlace;
use crate::base::{AbsPath, HookName, Mode, RelPath, SetName};
use std::sync::Arc;

/// Former generations kept where the spec says nothing.
const KEEP: u32 = 2;
/// More than that would fill a disk by accident.
const MOST_KEPT: u32 = 1000;

/// Where an install is written.
#[derive(Clone)]
pub(super) struct Place {
    /// Its `dest`.
    pub dest: Pos,
    /// Its file rules, in their order.
    pub files: Vec<Pos>,
}

/// What the installs of a set are resolved with.
pub(super) struct Frame<'a> {
    /// The hooks there are.
    pub hooks: &'a [&'a str],
    /// Whether its source ends in `/*`.
    pub is_pattern: bool,
    /// Whether it may have no install at all: where there are servers, a set may only be passed on.
    pub may_be_empty: bool,
    /// Whether an install with these targets is one of this host.
    pub is_here: &'a dyn Fn(&At<List<Line>>) -> bool,
}

/// The installs of a set on this host, `{name}` not yet replaced, and their places. Those of other hosts are checked as far as that
/// can be done from here.
pub(super) fn resolve(context: &Context<'_>, key: &At<SetName>, spec: &CertSpec, frame: &Frame<'_>) -> (Vec<InstallTemplate>, Vec<Place>) {
    if !spec.install.is_written() {
        context.fault(key.pos(), "the set has no `install`", "write the directory that it is put into");
    }
    let list = spec.install.value().map(|list| list.0.as_slice()).unwrap_or_default();
    if list.is_empty() && spec.install.value().is_some() && !frame.may_be_empty {
        context.fault(spec.install.pos(), "`install` is empty", "write the directory that the set is put into");
    }
    let none = InstallSpec::default();
    let resolved = list.iter().filter_map(|at| match at.value()? {
        InstallShape::Dest(path) => install(context, &Written { dest: Some(path), dest_pos: at.pos(), spec: &none }, frame),
        InstallShape::Full(spec) => {
            if !spec.dest.is_written() {
                context.fault(at.pos(), "the install has no `dest`", "write the directory that the set is put into");
            }
            let dest_pos = if spec.dest.is_written() { spec.dest.pos() } else { at.pos() };
            install(context, &Written { dest: spec.dest.value(), dest_pos, spec }, frame)
        }
    });
    resolved.unzip()
}

/// Whose users and groups an install names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    OfThisHost,
    OfAnother,
}

/// An install as written, in whichever of its two forms.
struct Written<'a> {
    dest: Option<&'a PathText>,
    dest_pos: Pos,
    spec: &'a InstallSpec,
}

fn install(context: &Context<'_>, written: &Written<'_>, frame: &Frame<'_>) -> Option<(InstallTemplate, Place)> {
    let whose = if (frame.is_here)(&written.spec.targets) { Whose::OfThisHost } else { Whose::OfAnother };
    let dest = written.dest.and_then(|path| dest(context, written.dest_pos, &path.0));
    let (files, places) = files(context, written.spec).unzip();
    let rest = rest(context, written.spec, frame.hooks, whose);
    if let Some(dest) = dest.as_ref().filter(|dest| frame.is_pattern && !dest.contains(NAME)) {
        check_pattern(context, written, dest, files.as_deref(), places.as_deref().unwrap_or_default());
    }
    let template = InstallTemplate { dest: dest?, files, rest: Arc::new(rest) };
    (whose == Whose::OfThisHost).then(|| (template, Place { dest: written.dest_pos, files: places.unwrap_or_default() }))
}

/// The sets of a pattern must not write over each other.
fn check_pattern(context: &Context<'_>, written: &Written<'_>, dest: &str, files: Option<&[(String, Vec<RelPath>)]>, places: &[Pos]) {
    let hint = "write `{name}` in `dest`, or in each name of `files`";
    match files {
        None => context.fault(written.dest_pos, format!("every set of this pattern would be put into {dest}"), hint),
        Some(files) => {
            for ((name, _), pos) in files.iter().zip(places).filter(|((name, _), _)| !name.contains(NAME)) {
                context.fault(*pos, format!("every set of this pattern would write {dest}/{name}"), hint);
            }
        }
    }
}

fn dest(context: &Context<'_>, pos: Pos, text: &str) -> Option<String> {
    check_placeholders(context, pos, text);
    match AbsPath::resolve(text, context.written.directory) {
        Ok(path) if path.as_str() == "/" => {
            context.fault(pos, "`/` cannot be a `dest`", "use a directory of its own");
            None
        }
        Ok(path) => Some(path.to_string()),
        Err(error) => {
            context.fault(pos, error.to_string(), "write an absolute path, or one relative to the spec file");
            None
        }
    }
}

/// `{name}` is the only placeholder; another word in braces is most likely meant to be it.
fn check_placeholders(context: &Context<'_>, pos: Pos, text: &str) {
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once('{') {
        rest = behind;
        let Some((word, _)) = behind.split_once('}') else { return };
        if word != "name" && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            context.fault(
                pos,
                format!("unknown placeholder {}", quoted(&format!("{{{word}}}"))),
                "only `{name}` stands for something: the set's name",
            );
        }
    }
}

type Files = Vec<(String, Vec<RelPath>)>;

fn files(context: &Context<'_>, spec: &InstallSpec) -> Option<(Files, Vec<Pos>)> {
    let entries = &spec.files.value()?.0;
    if entries.is_empty() {
        context.fault(spec.files.pos(), "`files` is empty", "name the files, or leave it out: every file, same name");
    }
    let mut files = Vec::new();
    let mut places = Vec::new();
    for (key, value) in entries {
        let parts = value.value().map(|parts| parts.0.as_slice()).unwrap_or_default();
        if parts.is_empty() && value.value().is_some() {
            context.fault(value.pos(), "a file is made of nothing", "name the files of the set that it is made of");
        }
        for at in std::iter::once((key.pos(), key.value())).chain(parts.iter().map(|part| (part.pos(), part.value()))) {
            if let (pos, Some(FileName(text))) = at {
                check_placeholders(context, pos, text);
            }
        }
        let parts: Vec<RelPath> = parts.iter().filter_map(At::value).filter_map(|FileName(text)| text.parse().ok()).collect();
        if let Some(FileName(name)) = key.value() {
            files.push((name.clone(), parts));
            places.push(key.pos());
        }
    }
    Some((files, places))
}

fn rest(context: &Context<'_>, spec: &InstallSpec, hooks: &[&str], whose: Whose) -> InstallRest {
    let none = Defaults::default();
    let defaults = context.written.spec.defaults.value().unwrap_or(&none);
    InstallRest {
        owner: if whose == Whose::OfThisHost { context.owner(&[&spec.owner, &defaults.owner]) } else { nobody() },
        group: if whose == Whose::OfThisHost { context.group(&[&spec.group, &defaults.group]) } else { nobody() },
        dir_mode: dir_mode(context, &[&spec.dir_mode, &defaults.dir_mode]),
        file_mode: file_mode(context, &[&spec.file_mode, &defaults.file_mode], Mode::from_bits(0o644)),
        key_mode: file_mode(context, &[&spec.key_mode, &defaults.key_mode], Mode::from_bits(0o600)),
        layout: *first(&[&spec.layout, &defaults.layout]).unwrap_or(&Layout::Generations),
        keep: keep(context, &[&spec.keep, &defaults.keep]),
        prune: if *first(&[&spec.prune, &defaults.prune]).unwrap_or(&false) { Prune::Remove } else { Prune::Keep },
        hooks: hook_names(context, spec, hooks),
        named: Named { owner: spec.owner.is_written(), group: spec.group.is_written(), dir_mode: spec.dir_mode.is_written() },
    }
}

fn first<'a, T>(written: &[&'a At<T>]) -> Option<&'a T> {
    written.iter().find(|at| at.is_written())?.value()
}

fn dir_mode(context: &Context<'_>, written: &[&At<ModeText>]) -> Mode {
    let Some(at) = written.iter().find(|at| at.is_written()) else { return Mode::from_bits(0o755) };
    let Some(text) = at.value() else { return Mode::from_bits(0o755) };
    if text.kind == Some('-') {
        context.fault(
            at.pos(),
            "`dir_mode` is the mode of directories, this is one of a file",
            format!("did you mean `{}`?", text.mode.ls('d')),
        );
    } else if text.mode.bits() & 0o100 == 0 {
        let meant = Mode::from_bits(text.mode.bits() | 0o100 | (text.mode.bits() & 0o444) >> 2);
        context.fault(at.pos(), "a directory that its owner cannot enter", format!("did you mean `{}`?", meant.ls('d')));
    } else {
        // setgid on a directory hands the group down, sticky restricts: both make sense.
        senseless(context, at, text.mode, 0o4000, 'd');
    }
    text.mode
}

fn file_mode(context: &Context<'_>, written: &[&At<ModeText>], default: Mode) -> Mode {
    let Some(at) = written.iter().find(|at| at.is_written()) else { return default };
    let Some(text) = at.value() else { return default };
    if text.kind == Some('d') {
        context.fault(at.pos(), "this is the mode of a directory, the key is for files", format!("did you mean `{}`?", text.mode.ls('-')));
    } else {
        senseless(context, at, text.mode, 0o7000, '-');
    }
    text.mode
}

/// Bits that no certificate needs: most likely a slip, and dangerous.
fn senseless(context: &Context<'_>, at: &At<ModeText>, mode: Mode, special: u32, letter: char) {
    let (open, marked) = (mode.bits() & 0o002, mode.bits() & special);
    let why = match (open, marked) {
        (0, 0) => return,
        (0, _) if letter == 'd' => "a setuid bit means nothing on a directory",
        (0, _) => "setuid, setgid and sticky bits have no place on files that nobody runs",
        _ => "everybody on the host could write there",
    };
    context.fault(at.pos(), why, format!("did you mean `{}`?", Mode::from_bits(mode.bits() & !(open | marked)).ls(letter)));
}

fn keep(context: &Context<'_>, written: &[&At<u32>]) -> u32 {
    let Some(at) = written.iter().find(|at| at.is_written()) else { return KEEP };
    match at.value() {
        Some(0) => context.fault(at.pos(), "`keep` must be at least 1", "a rollback needs a former generation"),
        Some(&number) if number > MOST_KEPT => {
            context.fault(at.pos(), format!("`keep` must be at most {MOST_KEPT}"), "every generation kept is a copy of the set")
        }
        _ => {}
    }
    at.value().copied().unwrap_or(KEEP)
}

fn hook_names(context: &Context<'_>, spec: &InstallSpec, known: &[&str]) -> Vec<HookName> {
    let mut names: Vec<HookName> = Vec::new();
    for at in spec.hooks.value().map(|list| list.0.as_slice()).unwrap_or_default() {
        let Some(name) = at.value() else { continue };
        if !known.contains(&name.as_str()) {
            let hint = suggest(name.as_str(), known, "there are").unwrap_or_else(|| "define it below `hooks:`".to_owned());
            context.fault(at.pos(), format!("no hook {}", quoted(name.as_str())), hint);
        } else if names.contains(name) {
            context.fault(at.pos(), format!("the hook {} stands here twice", quoted(name.as_str())), "it runs once; remove one");
        } else {
            names.push(name.clone());
        }
    }
    names
}

/// A set of its own name: `{name}` is replaced at once.
pub(super) fn of_set(
    context: &Context<'_>,
    name: &SetName,
    source: SetSource,
    template: SetTemplate,
    place: SetPlace,
) -> (DesiredSet, SetPlace) {
    let mut installs: Vec<DesiredInstall> = Vec::new();
    let mut places = Vec::new();
    for (install, at) in template.installs.iter().zip(place.installs) {
        match install.expand(name) {
            Ok(install) => {
                installs.push(install);
                places.push(at);
            }
            Err(error) => context.fault(at.dest, error.to_string(), "use a shorter path"),
        }
    }
    let SetTemplate { select, names, accept, .. } = template;
    let set = DesiredSet { name: name.clone(), source, select, names, accept, installs, pattern: None };
    (set, SetPlace { source: place.source, installs: places })
}
