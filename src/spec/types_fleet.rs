//! The part of the grammar that is about other hosts.

use super::fleet::{Delivery, Stage};
use super::leaf::{Account, Line, PathText, Period};
use super::leaf_fleet::{FromText, HostText, KeyText, LoginText, RsyncText};
use super::types::CommandSpec;
use super::wrap::{At, List};
use schemars::JsonSchema;
use serde::Deserialize;

/// A host of the fleet.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Server", extend("required" = ["address"]))]
pub struct ServerSpec {
    /// Its host name or address.
    pub address: At<HostText>,
    /// The port of its SSH server. Default: 22.
    #[schemars(range(min = 1))]
    pub port: At<u16>,
    /// The user to log in as. Default: certsync.
    pub user: At<LoginText>,
    /// The server or servers it gets its sets from; the first that answers is taken.
    pub upstream: At<List<Line>>,
    /// How sets come to it. Default: pull.
    pub delivery: At<Delivery>,
    /// Its own public key, or several for a rotation.
    pub public_key: At<List<KeyText>>,
    /// The public key of its SSH server, or several for a rotation.
    pub host_key: At<List<KeyText>>,
    /// What moves bytes to it. Default: ssh.
    pub via: At<ViaSpec>,
    /// Address patterns for its authorized_keys line.
    pub from: At<List<FromText>>,
}

/// What moves bytes to a server: `ssh`, or a mapping for a host without certsync.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename = "$shape:`ssh`, or a mapping with `rsync`")]
#[schemars(rename = "Via", untagged)]
pub enum ViaSpec {
    /// The system's OpenSSH.
    #[serde(rename = "scalar")]
    Word(ViaWord),
    /// The system's rsync, for a host without certsync.
    #[serde(rename = "mapping")]
    Rsync(ViaRsync),
}

/// The carriers that need nothing said.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ViaWord {
    /// The system's OpenSSH.
    Ssh,
}

/// Delivery to a host without certsync.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["rsync"]))]
pub struct ViaRsync {
    /// The directory there; each set comes to lie in a folder of its name.
    pub rsync: At<PathText>,
    /// What is run there afterwards. In a list `{name}` is the set's name, and it runs once for each; text has the names in `"$@"`.
    pub command: At<CommandSpec>,
}

/// A master with no certsync on it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["rsync"]))]
pub struct RsyncSource {
    /// What rsync is told to read: `user@host:directory` or `rsync://host/module`. One that ends in `/*` makes one set of
    /// each directory it matches.
    pub rsync: At<RsyncText>,
    /// The port of the SSH server or rsync daemon.
    #[schemars(range(min = 1))]
    pub port: At<u16>,
    /// The private key for ssh.
    pub identity: At<PathText>,
    /// The file with the password for `rsync://`.
    pub password_file: At<PathText>,
}

/// How deliveries are made.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Fleet")]
pub struct FleetSpec {
    /// How many servers at once. Default: 64.
    #[schemars(range(min = 1))]
    pub parallel: At<u32>,
    /// How long one server may take. Default: 60s.
    pub deadline: At<Period>,
    /// How often a server is tried again. Default: 3.
    pub retries: At<u32>,
    /// How long an acknowledgement is believed. Default: 2d.
    pub stale_after: At<Period>,
    /// The group that the unprivileged gate runs as, or `none`. Default: certsync.
    pub gate_group: At<Account>,
}

/// How a change spreads over the fleet; all off by default.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Rollout")]
pub struct RolloutSpec {
    /// Servers that go first: how many (in spec order), or which.
    pub canary: At<CanarySpec>,
    /// How many servers then go at once.
    #[schemars(range(min = 1))]
    pub batch: At<u32>,
    /// How many servers may fail, in an install or a hook, before it stops; 0: it stops at the first.
    pub max_failures: At<u32>,
    /// `all`: the material is everywhere before anybody switches.
    pub stage: At<Stage>,
}

/// Servers that go first: how many, or their names.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename = "$shape:a number of servers, or a list of their names")]
#[schemars(rename = "Canary", untagged)]
pub enum CanarySpec {
    /// How many, in spec order.
    #[serde(rename = "scalar")]
    Number(u32),
    /// Which.
    #[serde(rename = "list")]
    Names(Vec<At<Line>>),
}
