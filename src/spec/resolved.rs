//! This host's part of the spec, written as a spec again: what `certsync spec` prints.

use super::Loaded;
use super::desired::{
    Accept, Command, DesiredInstall, DesiredSet, Hook, InstallRest, InstallTemplate, Layout, Limits, PatternSet, Prune, Select, SetSource,
    StartTls,
};
use super::fleet::{EntryKind, Fleet};
use super::resolved_fleet::{
    RolloutOut, ServerOut, SettingsOut, SourceOut, rollout_out, servers_out, settings_out, source_out, targets_out,
};
use crate::base::{RelPath, SetName, printable, printable_yaml};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_yaml::DoubleQuoted;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// This host's part as a valid spec of the same grammar, every default filled in and every path absolute. Loading it
/// again gives the same [`Desired`](super::Desired).
pub fn resolved_yaml(loaded: &Loaded) -> String {
    let desired = &loaded.desired;
    let hooks = desired.hooks.iter().map(|hook| (hook.name.as_str(), hook_out(hook))).collect();
    let fleet = desired.fleet.as_ref();
    let certs = desired.sets.iter().map(|set| (set.name.as_str(), set_out(fleet, set)));
    let patterns = desired.patterns.iter().map(|set| (set.name.as_str(), pattern_out(fleet, set)));
    let mut certs: Vec<(&str, CertOut<'_>)> = certs.chain(patterns).collect();
    if let Some(fleet) = fleet {
        let order: HashMap<&str, usize> = fleet.routes.iter().enumerate().map(|(at, route)| (route.entry.as_str(), at)).collect();
        certs.sort_by_key(|(name, _)| order.get(name));
    }
    let spec = SpecOut {
        version: 1,
        revoked_keys: desired.revoked.iter().map(ToString::to_string).collect(),
        defaults: defaults_out(loaded),
        hooks: Ordered(hooks),
        servers: fleet.map_or(Ordered(Vec::new()), servers_out),
        certs: Ordered(certs),
        limits: limits_out(&desired.limits),
        fleet: settings_out(loaded),
        rollout: fleet.and_then(rollout_out),
    };
    // These types hold text, numbers and maps with text keys: writing them cannot fail.
    printable_yaml(&serde_yaml::to_string(&spec).unwrap_or_default())
}

/// Text as somebody wrote it. What a terminal would act on can be escaped only between double quotes, and the writer
/// of YAML knows less of it than [`printable`].
pub(super) struct Text<'a>(&'a str);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if printable(self.0) == self.0 { serializer.serialize_str(self.0) } else { DoubleQuoted(self.0).serialize(serializer) }
    }
}

fn texts(texts: &[String]) -> Vec<Text<'_>> {
    texts.iter().map(|text| Text(text)).collect()
}

/// A mapping in the order of its list.
pub(super) struct Ordered<'a, V>(pub Vec<(&'a str, V)>);

impl<V> Ordered<'_, V> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<V: Serialize> Serialize for Ordered<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct SpecOut<'a> {
    version: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revoked_keys: Vec<String>,
    #[serde(skip_serializing_if = "DefaultsOut::is_empty")]
    defaults: DefaultsOut<'a>,
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    hooks: Ordered<'a, HookOut<'a>>,
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    servers: Ordered<'a, ServerOut<'a>>,
    certs: Ordered<'a, CertOut<'a>>,
    limits: LimitsOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<SettingsOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<RolloutOut<'a>>,
}

/// The attributes that mean something else when an install names them itself: those of an existing directory.
#[derive(serde::Serialize)]
struct DefaultsOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dir_mode: Option<String>,
}

impl DefaultsOut<'_> {
    fn is_empty(&self) -> bool {
        self.owner.is_none() && self.group.is_none() && self.dir_mode.is_none()
    }
}

#[derive(serde::Serialize)]
struct CertOut<'a> {
    source: SourceOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    only: Vec<Text<'a>>,
    except: Vec<Text<'a>>,
    names: Vec<Text<'a>>,
    accept: Vec<Accept>,
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<Vec<&'a str>>,
    install: Vec<InstallOut<'a>>,
}

#[derive(serde::Serialize)]
struct InstallOut<'a> {
    dest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Ordered<'a, &'a [RelPath]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dir_mode: Option<String>,
    file_mode: String,
    key_mode: String,
    layout: Layout,
    keep: u32,
    prune: bool,
    hooks: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct HookOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<CommandOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<CommandOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<VerifyOut<'a>>,
    timeout: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    env: Ordered<'a, Text<'a>>,
    per_set: bool,
}

#[derive(serde::Serialize)]
#[serde(untagged)]
pub(super) enum CommandOut<'a> {
    Argv(Vec<Text<'a>>),
    Shell(Text<'a>),
}

#[derive(serde::Serialize)]
struct VerifyOut<'a> {
    tls: Text<'a>,
    server_name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    starttls: Option<StartTls>,
}

#[derive(serde::Serialize)]
struct LimitsOut {
    file: String,
    set: String,
    files: u32,
}

fn defaults_out(loaded: &Loaded) -> DefaultsOut<'_> {
    let of_sets = loaded.desired.sets.iter().flat_map(|set| set.installs.iter().map(|install| &install.rest));
    let of_patterns = loaded.desired.patterns.iter().flat_map(|set| set.template.installs.iter().map(|install| &install.rest));
    let rests: Vec<&InstallRest> = of_sets.chain(of_patterns).map(AsRef::as_ref).collect();
    // Whatever an install does not name itself comes from the one `defaults`, so any of them shows it. Who runs certsync
    // on another host is not known here.
    let known = |name: &&str| !name.is_empty();
    DefaultsOut {
        owner: rests.iter().find(|rest| !rest.named.owner).map(|rest| rest.owner.name.as_str()).filter(known),
        group: rests.iter().find(|rest| !rest.named.group).map(|rest| rest.group.name.as_str()).filter(known),
        dir_mode: rests.iter().find(|rest| !rest.named.dir_mode).map(|rest| rest.dir_mode.ls('d')),
    }
}

fn set_out<'a>(fleet: Option<&'a Fleet>, set: &'a DesiredSet) -> CertOut<'a> {
    let template = (&*set.select, set.names.as_slice(), &set.accept);
    let installs = set.installs.iter().map(install_of_set).collect();
    cert_out(fleet, &set.name, (&set.source, EntryKind::Set), template, installs)
}

fn pattern_out<'a>(fleet: Option<&'a Fleet>, set: &'a PatternSet) -> CertOut<'a> {
    let template = (&*set.template.select, set.template.names.as_slice(), &set.template.accept);
    let installs = set.template.installs.iter().map(install_of_pattern).collect();
    cert_out(fleet, &set.name, (&set.parent, EntryKind::Pattern), template, installs)
}

fn cert_out<'a>(
    fleet: Option<&'a Fleet>,
    name: &SetName,
    (source, kind): (&SetSource, EntryKind),
    (select, names, accept): (&'a Select, &'a [String], &BTreeSet<Accept>),
    mut install: Vec<InstallOut<'a>>,
) -> CertOut<'a> {
    let route = fleet.and_then(|fleet| Some((fleet, fleet.route(name)?)));
    let targets = route.map(|(fleet, route)| targets_out(fleet, route));
    if let (Some(fleet), true) = (fleet, targets.as_ref().is_some_and(|targets| targets.len() > 1)) {
        install.iter_mut().for_each(|install| install.targets = Some(fleet.me.as_str()));
    }
    CertOut {
        source: source_out(route.map_or(source, |(_, route)| &route.source), kind),
        origin: route.map(|(_, route)| route.origin.as_str()),
        only: texts(&select.only),
        except: texts(&select.except),
        names: texts(names),
        accept: accept.iter().copied().collect(),
        targets,
        install,
    }
}

fn install_of_set(install: &DesiredInstall) -> InstallOut<'_> {
    let files = install.files.as_ref().map(|rules| Ordered(rules.iter().map(|rule| (rule.name.as_str(), rule.parts.as_slice())).collect()));
    install_out(install.dest.as_str(), files, &install.rest)
}

fn install_of_pattern(install: &InstallTemplate) -> InstallOut<'_> {
    let files = install.files.as_ref().map(|rules| Ordered(rules.iter().map(|(name, parts)| (name.as_str(), parts.as_slice())).collect()));
    install_out(&install.dest, files, &install.rest)
}

fn install_out<'a>(dest: &'a str, files: Option<Ordered<'a, &'a [RelPath]>>, rest: &'a InstallRest) -> InstallOut<'a> {
    InstallOut {
        dest,
        files,
        owner: rest.named.owner.then_some(rest.owner.name.as_str()),
        group: rest.named.group.then_some(rest.group.name.as_str()),
        dir_mode: rest.named.dir_mode.then(|| rest.dir_mode.ls('d')),
        file_mode: rest.file_mode.ls('-'),
        key_mode: rest.key_mode.ls('-'),
        layout: rest.layout,
        keep: rest.keep,
        prune: rest.prune == Prune::Remove,
        hooks: rest.hooks.iter().map(|name| name.as_str()).collect(),
        targets: None,
    }
}

fn hook_out(hook: &Hook) -> HookOut<'_> {
    let verify = hook.verify.as_ref();
    HookOut {
        check: command_of(hook.check.as_ref()),
        run: command_of(hook.run.as_ref()),
        verify: verify.map(|v| VerifyOut { tls: Text(&v.address), server_name: Text(&v.server_name), starttls: v.starttls }),
        timeout: period(hook.timeout),
        user: &hook.user.name,
        env: Ordered(hook.env.iter().map(|(name, value)| (name.as_str(), Text(value))).collect()),
        per_set: hook.per_set,
    }
}

pub(super) fn command_of(command: Option<&Command>) -> Option<CommandOut<'_>> {
    command.map(|command| match command {
        Command::Argv(words) => CommandOut::Argv(texts(words)),
        Command::Shell(text) => CommandOut::Shell(Text(text)),
    })
}

fn limits_out(limits: &Limits) -> LimitsOut {
    LimitsOut { file: size(limits.file), set: size(limits.set), files: limits.files }
}

pub(super) fn period(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{}s", time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}

fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes.trailing_zeros() >= *shift) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}
