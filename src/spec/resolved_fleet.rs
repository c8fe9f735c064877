//! The other hosts in what `certsync spec` prints: this host, its upstreams and what is above them, everything below it.

use super::Loaded;
use super::desired::SetSource;
use super::fleet::{Beyond, Canary, Delivery, EntryKind, Fleet, Route, Server, Stage, Via};
use super::resolved::{CommandOut, Ordered, command_of, period};
use crate::base::{ServerName, SshKey};
use serde::Serialize;

/// A server. What is above the upstreams has an address and upstreams alone: it is there for the chain to the origin.
#[derive(Serialize)]
pub(super) struct ServerOut<'a> {
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "<[ServerName]>::is_empty")]
    upstream: &'a [ServerName],
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<Delivery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<ViaOut<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    public_key: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    host_key: Vec<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    from: &'a [String],
}

#[derive(Serialize)]
#[serde(untagged)]
enum ViaOut<'a> {
    Ssh(&'a str),
    Rsync {
        rsync: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        command: Option<CommandOut<'a>>,
    },
}

/// Where a set comes from.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum SourceOut {
    Path(String),
    Rsync {
        rsync: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        identity: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        password_file: Option<String>,
    },
}

/// `fleet:`.
#[derive(Serialize)]
pub(super) struct SettingsOut<'a> {
    parallel: u32,
    deadline: String,
    retries: u32,
    stale_after: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate_group: Option<&'a str>,
}

/// `rollout:`.
#[derive(Serialize)]
pub(super) struct RolloutOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    canary: Option<CanaryOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_failures: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Stage>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum CanaryOut<'a> {
    Number(u32),
    Names(&'a [ServerName]),
}

pub(super) fn servers_out(fleet: &Fleet) -> Ordered<'_, ServerOut<'_>> {
    let beyond = fleet.beyond.iter().map(|server| (server.name.as_str(), beyond_out(server)));
    Ordered(beyond.chain(fleet.servers.iter().map(|server| (server.name.as_str(), server_out(server)))).collect())
}

fn beyond_out(server: &Beyond) -> ServerOut<'_> {
    ServerOut {
        address: &server.address,
        port: None,
        user: None,
        upstream: &server.upstreams,
        delivery: None,
        via: None,
        public_key: Vec::new(),
        host_key: Vec::new(),
        from: &[],
    }
}

fn server_out(server: &Server) -> ServerOut<'_> {
    let keys = |keys: &[SshKey]| keys.iter().map(ToString::to_string).collect();
    ServerOut {
        address: &server.address,
        port: Some(server.port),
        user: Some(&server.user),
        upstream: &server.upstreams,
        delivery: Some(server.delivery),
        via: Some(match &server.via {
            Via::Ssh => ViaOut::Ssh("ssh"),
            Via::Rsync { directory, command } => ViaOut::Rsync { rsync: directory.as_str(), command: command_of(command.as_ref()) },
        }),
        public_key: keys(&server.public_keys),
        host_key: keys(&server.host_keys),
        from: &server.from,
    }
}

/// The source of a set on its origin, `/*` again at the end of a pattern's.
pub(super) fn source_out(source: &SetSource, kind: EntryKind) -> SourceOut {
    let whole = |text: &str| match kind {
        EntryKind::Set => text.to_owned(),
        EntryKind::Pattern => format!("{}/*", text.trim_end_matches('/')),
    };
    match source {
        SetSource::Rsync(rsync) => SourceOut::Rsync {
            rsync: match kind {
                EntryKind::Set => rsync.from.clone(),
                EntryKind::Pattern => format!("{}/*", rsync.from),
            },
            port: rsync.port,
            identity: rsync.identity.as_ref().map(ToString::to_string),
            password_file: rsync.password_file.as_ref().map(ToString::to_string),
        },
        other => SourceOut::Path(whole(&other.to_string())),
    }
}

/// The targets of a route, as far as this host has to do with them.
pub(super) fn targets_out<'a>(fleet: &'a Fleet, route: &'a Route) -> Vec<&'a str> {
    fleet.targets(route).map(|server| server.name.as_str()).collect()
}

pub(super) fn settings_out(loaded: &Loaded) -> Option<SettingsOut<'_>> {
    let settings = &loaded.desired.fleet.as_ref()?.settings;
    // Which group it is on this host says nothing about another one.
    let written = loaded.spec.fleet.value().and_then(|fleet| fleet.gate_group.value());
    Some(SettingsOut {
        parallel: settings.parallel,
        deadline: period(settings.deadline),
        retries: settings.retries,
        stale_after: period(settings.stale_after),
        gate_group: written.map(|account| account.0.as_str()),
    })
}

pub(super) fn rollout_out(fleet: &Fleet) -> Option<RolloutOut<'_>> {
    let rollout = fleet.rollout.as_ref()?;
    let canary = rollout.canary.as_ref().map(|canary| match canary {
        Canary::Number(number) => CanaryOut::Number(*number),
        Canary::Names(names) => CanaryOut::Names(names),
    });
    Some(RolloutOut { canary, batch: rollout.batch, max_failures: rollout.max_failures, stage: rollout.stage })
}
