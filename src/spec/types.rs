//! The YAML types: the grammar of a spec as it is written. Their doc comments are the descriptions in the JSON Schema.

use super::desired::{Accept, Layout, StartTls};
use super::leaf::{Account, FileName, GlobText, Line, ModeText, PathText, Period, RevokedKey, Size};
use super::leaf_names::{Address, CertName, ServedName};
use super::types_fleet::{FleetSpec, RolloutSpec, RsyncSource, ServerSpec};
use super::wrap::{At, Entries, List};
use crate::base::{HookName, ServerName, SetName};
use schemars::JsonSchema;
use serde::Deserialize;

/// What certsync makes of a host: certificate sets, where they are put, and the commands that follow a change.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "certsync spec", extend("required" = ["version"]))]
pub struct Spec {
    /// The version of this grammar: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: At<u32>,
    /// Files to read as well, relative to this one; `*` and `?` stand for any characters of a name. They may hold
    /// certs, hooks, servers and groups. A name defined twice is an error.
    pub include: At<List<PathText>>,
    /// Public keys whose private half is known to others: never installed, never rolled back to, purged from what is kept.
    pub revoked_keys: At<List<RevokedKey>>,
    /// For every install; each can be overridden there.
    pub defaults: At<Defaults>,
    /// Commands that follow a change, by name.
    pub hooks: At<Entries<HookName, HookSpec>>,
    /// The hosts of the fleet, by name.
    pub servers: At<Entries<ServerName, ServerSpec>>,
    /// Named lists of servers and groups.
    pub groups: At<Entries<ServerName, List<Line>>>,
    /// The certificate sets, by name.
    pub certs: At<Entries<SetName, CertSpec>>,
    /// What a set may weigh.
    pub limits: At<LimitsSpec>,
    /// How deliveries are made.
    pub fleet: At<FleetSpec>,
    /// How a change spreads over the fleet.
    pub rollout: At<RolloutSpec>,
}

/// A file named by `include`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Included {
    /// As in [`Spec`].
    pub hooks: At<Entries<HookName, HookSpec>>,
    /// As in [`Spec`].
    pub servers: At<Entries<ServerName, ServerSpec>>,
    /// As in [`Spec`].
    pub groups: At<Entries<ServerName, List<Line>>>,
    /// As in [`Spec`].
    pub certs: At<Entries<SetName, CertSpec>>,
}

/// What every install has that does not say otherwise.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Defaults {
    /// Owner of directories and files: a name or a number. Default: the running user.
    pub owner: At<Account>,
    /// Group of the same. Default: the running group.
    pub group: At<Account>,
    /// Mode of directories. Default: drwxr-xr-x.
    pub dir_mode: At<ModeText>,
    /// Mode of files recognised as public: certificates, CRLs, CSRs, DH parameters, public keys. Default: -rw-r--r--.
    pub file_mode: At<ModeText>,
    /// Mode of all other files: keys, joined files that hold one, and whatever is not recognised. Default: -rw-------.
    pub key_mode: At<ModeText>,
    /// `generations`: links into the current generation; `flat`: real files. Default: generations.
    pub layout: At<Layout>,
    /// Former generations kept for rollback, at least 1. Default: 2.
    #[schemars(range(min = 1, max = 1000))]
    pub keep: At<u32>,
    /// Whether a file gone from the source goes from the host as well. Default: false.
    pub prune: At<bool>,
}

/// A certificate set: a directory of files that belong together.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["source", "install"]))]
pub struct CertSpec {
    /// The directory it is read from. One that ends in `/*` makes one set of each directory it matches, named after it.
    pub source: At<SourceSpec>,
    /// The server it comes from. Default: the only one without an upstream.
    pub origin: At<Line>,
    /// Patterns of the files that belong to the set. Default: all.
    pub only: At<List<GlobText>>,
    /// Patterns of the files that do not. Default: README, .*, *.conf, *.csr, *.json.
    pub except: At<List<GlobText>>,
    /// Names that the leaf must cover.
    pub names: At<List<CertName>>,
    /// Refusals that are waived.
    pub accept: At<List<Accept>>,
    /// The servers and groups it goes to; `all`: every server but the origin. Required where there are servers.
    pub targets: At<List<Line>>,
    /// Where it is put: a path, one mapping, or a list of them.
    pub install: At<List<InstallShape>>,
}

/// Where a set is read from: a directory, or a master without certsync.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename = "$shape:a directory, or a mapping with `rsync`")]
#[schemars(rename = "Source", untagged)]
pub enum SourceSpec {
    /// A directory, or one that ends in `/*`.
    #[serde(rename = "scalar")]
    Path(PathText),
    /// A master without certsync.
    #[serde(rename = "mapping")]
    Rsync(Box<RsyncSource>),
}

/// Where a set is put: a path, or a mapping.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename = "$shape:a path or a mapping with `dest`")]
#[schemars(rename = "Install", untagged)]
pub enum InstallShape {
    /// The directory alone; everything else is default.
    #[serde(rename = "scalar")]
    Dest(PathText),
    /// The directory with what differs from the defaults.
    #[serde(rename = "mapping")]
    Full(Box<InstallSpec>),
}

/// One place where a set is put.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["dest"]))]
pub struct InstallSpec {
    /// The directory; `{name}` stands for the set's name.
    pub dest: At<PathText>,
    /// The files made there, each of one or more files of the set, joined in this order; `{name}` stands for the set's
    /// name. Default: every file, same name.
    pub files: At<Entries<FileName, List<FileName>>>,
    /// Owner of directories and files: a name or a number.
    pub owner: At<Account>,
    /// Group of the same.
    pub group: At<Account>,
    /// Mode of directories.
    pub dir_mode: At<ModeText>,
    /// Mode of files recognised as public.
    pub file_mode: At<ModeText>,
    /// Mode of all other files.
    pub key_mode: At<ModeText>,
    /// `generations`: links into the current generation; `flat`: real files.
    pub layout: At<Layout>,
    /// Former generations kept for rollback, at least 1.
    #[schemars(range(min = 1, max = 1000))]
    pub keep: At<u32>,
    /// Whether a file gone from the source goes from the host as well.
    pub prune: At<bool>,
    /// The hooks that follow a change, by name.
    pub hooks: At<List<HookName>>,
    /// Those of the set's targets that have this install: servers and groups. Default: all of them.
    pub targets: At<List<Line>>,
}

/// A command that follows a change.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HookSpec {
    /// Is the service's configuration right with the new files? A failure takes them back.
    pub check: At<CommandSpec>,
    /// Makes the service take the new files.
    pub run: At<CommandSpec>,
    /// Is the new certificate really served?
    pub verify: At<VerifySpec>,
    /// How long each of the three may take. Default: 60s.
    pub timeout: At<Period>,
    /// The user it runs as, with that user's groups. Default: the running user.
    pub user: At<Account>,
    /// Added to its environment.
    pub env: At<Entries<Line, String>>,
    /// Whether it runs once for each changed set, with RENEWED_LINEAGE and RENEWED_DOMAINS. Default: false.
    pub per_set: At<bool>,
}

/// A command: a list is run as it is, text goes through `/bin/sh -c`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename = "$shape:a command: a list of words, or text for the shell")]
#[schemars(rename = "Command", untagged)]
pub enum CommandSpec {
    /// Text for `/bin/sh -c`.
    #[serde(rename = "scalar")]
    Shell(String),
    /// The program and its arguments.
    #[serde(rename = "list")]
    Argv(#[schemars(length(min = 1))] Vec<At<String>>),
}

/// A question to a TLS server.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["tls", "server_name"]))]
pub struct VerifySpec {
    /// The address asked, `host:port`.
    pub tls: At<Address>,
    /// The name asked for (SNI); a leaf of a set of this hook covers it.
    pub server_name: At<ServedName>,
    /// The protocol in which TLS begins after a greeting.
    pub starttls: At<StartTls>,
}

/// What a set may weigh.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub struct LimitsSpec {
    /// Bytes in one file. Default: 1MiB.
    pub file: At<Size>,
    /// Bytes in one set. Default: 16MiB.
    pub set: At<Size>,
    /// Files in one set. Default: 1000.
    #[schemars(range(min = 1))]
    pub files: At<u32>,
}
