//! What this host should be: the spec with every default filled in and every name resolved.

use super::fleet::Fleet;
use crate::base::{AbsPath, HookName, KeyFingerprint, Mode, RelPath, SetName};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// This host's part of the spec, every default filled in. Order is the spec's.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The spec file; its identity is recorded in the state.
    pub spec: AbsPath,
    /// Sets defined by their own name.
    pub sets: Vec<DesiredSet>,
    /// Sets that a pattern source makes, one of each directory it matches.
    pub patterns: Vec<PatternSet>,
    /// The hooks, in spec order.
    pub hooks: Vec<Hook>,
    /// Public keys whose private half is known to others.
    pub revoked: BTreeSet<KeyFingerprint>,
    /// What a set may weigh.
    pub limits: Limits,
    /// The other hosts, as far as this one has to do with them; none: it stands alone.
    pub fleet: Option<Fleet>,
}

/// Where this host gets a set from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SetSource {
    /// A directory of this host.
    Directory(AbsPath),
    /// A directory of a master without certsync.
    Rsync(RsyncFrom),
    /// The upstream: this host is not the origin of the set.
    Upstream,
}

impl SetSource {
    /// The directory, where it is one of this host.
    pub fn directory(&self) -> Option<&AbsPath> {
        match self {
            SetSource::Directory(path) => Some(path),
            SetSource::Rsync(_) | SetSource::Upstream => None,
        }
    }

    /// The directory that the set is read from on this host: its own, or the copy that is kept of what a master without certsync has.
    pub fn place(&self) -> Option<&AbsPath> {
        match self {
            SetSource::Directory(path) => Some(path),
            SetSource::Rsync(rsync) => rsync.mirror.as_ref(),
            SetSource::Upstream => None,
        }
    }
}

impl fmt::Display for SetSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetSource::Directory(path) => path.fmt(f),
            SetSource::Rsync(rsync) => f.write_str(&rsync.from),
            SetSource::Upstream => f.write_str("the upstream"),
        }
    }
}

/// What rsync is told to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct RsyncFrom {
    /// `user@host:directory`, `host:directory` or `rsync://host/module/directory`.
    pub from: String,
    /// The port of the SSH server or rsync daemon, where it is not the usual one.
    pub port: Option<u16>,
    /// The private key for ssh.
    pub identity: Option<AbsPath>,
    /// The file with the password for `rsync://`.
    pub password_file: Option<AbsPath>,
    /// Where the copy of it is kept: known where there is a state directory that has one.
    #[serde(skip)]
    pub mirror: Option<AbsPath>,
}

/// One certificate set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DesiredSet {
    /// Its name.
    pub name: SetName,
    /// Where it comes from.
    pub source: SetSource,
    /// Which files of the source belong to it.
    pub select: Arc<Select>,
    /// Names the leaf must cover.
    pub names: Vec<String>,
    /// Which refusals the operator waived.
    pub accept: BTreeSet<Accept>,
    /// The places of this host it is put; none where it only begins here or passes through.
    pub installs: Vec<DesiredInstall>,
    /// The pattern that made it, if one did.
    pub pattern: Option<SetName>,
}

impl DesiredSet {
    /// Its key below `certs:`: the pattern's, where one made it.
    pub fn entry(&self) -> &SetName {
        self.pattern.as_ref().unwrap_or(&self.name)
    }
}

/// A source that ends in `/*`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PatternSet {
    /// The name under `certs:`.
    pub name: SetName,
    /// What holds the directories that are the sets, without the `/*`.
    pub parent: SetSource,
    /// What each of them gets; `{name}` still stands in `dest` and `files`.
    pub template: SetTemplate,
}

/// A set before its name is known: `{name}` stands in `dest` and `files`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetTemplate {
    /// See [`DesiredSet::select`].
    pub select: Arc<Select>,
    /// See [`DesiredSet::names`].
    pub names: Vec<String>,
    /// See [`DesiredSet::accept`].
    pub accept: BTreeSet<Accept>,
    /// The installs; `dest` and the names in `files` are in `InstallTemplate`.
    pub installs: Vec<InstallTemplate>,
}

/// An install whose `dest` and file names may hold `{name}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstallTemplate {
    /// The directory, absolute, `{name}` not yet replaced.
    pub dest: String,
    /// `(file name, parts)`, `{name}` not yet replaced; `None`: every file, same name.
    pub files: Option<Vec<(String, Vec<RelPath>)>>,
    /// Everything else.
    pub rest: Arc<InstallRest>,
}

/// One place on this host where a set is put.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DesiredInstall {
    /// The directory.
    pub dest: AbsPath,
    /// What is made of the set's files; `None`: every file, same name.
    pub files: Option<Vec<FileRule>>,
    /// Everything else.
    pub rest: Arc<InstallRest>,
}

/// What does not depend on the set's name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstallRest {
    /// Owner of `dest`, its generations and files.
    pub owner: Owner,
    /// Group of the same.
    pub group: Owner,
    /// Mode of directories.
    pub dir_mode: Mode,
    /// Mode of files recognised as public.
    pub file_mode: Mode,
    /// Mode of all other files.
    pub key_mode: Mode,
    /// How `dest` shows a generation.
    pub layout: Layout,
    /// Former generations kept, at least 1.
    pub keep: u32,
    /// Whether files gone from the source go from the host as well.
    pub prune: Prune,
    /// Hooks that follow a change, in the order written.
    pub hooks: Vec<HookName>,
    /// Which directory attributes the install itself names (not `defaults`).
    pub named: Named,
}

/// A user or group, resolved on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// As written in the spec, or the name of the running user or group.
    pub name: String,
    /// The number.
    pub id: u32,
}

/// Which directory attributes an install names itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Named {
    /// `owner` is written in the install.
    pub owner: bool,
    /// `group` is.
    pub group: bool,
    /// `dir_mode` is.
    pub dir_mode: bool,
}

/// A file made of one or more files of the set, joined in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileRule {
    /// Its name in `dest`.
    pub name: RelPath,
    /// The files of the set.
    pub parts: Vec<RelPath>,
}

/// How `dest` shows a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Relative links into the current generation.
    Generations,
    /// Real files, for those who cannot follow links.
    Flat,
}

/// What happens to files gone from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Prune {
    /// They stay on the host.
    Keep,
    /// They go.
    Remove,
}

/// A refusal that the operator waives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// An expired leaf.
    Expired,
    /// A leaf that is not valid yet.
    NotYetValid,
    /// A name of `names` that no leaf covers.
    Names,
    /// Chain signatures that do not follow.
    Chain,
    /// A key without its certificate.
    UnpairedKey,
    /// A leaf that starts earlier than the one last accepted.
    Older,
}

/// Which files of a source directory belong to the set: those that match `only` (empty: all) and not `except`.
/// A pattern without a slash is held against the file's name at any depth, one with a slash against the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Select {
    /// Patterns of `only`.
    pub only: Vec<String>,
    /// Patterns of `except`.
    pub except: Vec<String>,
}

/// What a set may weigh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes in one file.
    pub file: u64,
    /// Bytes in one set.
    pub set: u64,
    /// Files in one set.
    pub files: u32,
}

/// A command that follows a change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hook {
    /// Its name.
    pub name: HookName,
    /// Is the service's configuration right with the new files?
    pub check: Option<Command>,
    /// Make the service take them.
    pub run: Option<Command>,
    /// Is the new certificate really served?
    pub verify: Option<Verify>,
    /// How long each of the three may take.
    pub timeout: Duration,
    /// Who it runs as.
    pub user: HookUser,
    /// Added to its environment.
    pub env: Vec<(String, String)>,
    /// Whether it runs once for each changed set.
    pub per_set: bool,
}

/// A command as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Command {
    /// Run as it is; never empty.
    Argv(Vec<String>),
    /// Through `/bin/sh -c`.
    Shell(String),
}

/// A question to a TLS server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verify {
    /// `host:port`.
    pub address: String,
    /// The name asked for (SNI).
    pub server_name: String,
    /// The protocol to begin TLS in.
    pub starttls: Option<StartTls>,
}

/// Protocols in which TLS begins after a greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartTls {
    /// RFC 3207.
    Smtp,
    /// RFC 9051, 6.2.1.
    Imap,
    /// The PostgreSQL protocol's SSLRequest.
    Postgres,
}

/// The user a hook runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HookUser {
    /// Name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: String,
}
