//! The command line: what can be written, and nothing of what it does.

use super::values;
use crate::base::{ServerName, SetName, SshKeyId};
use crate::spec::Accept;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Brings TLS certificates onto servers: whole, with the right owner and mode, the right service reloaded.
///
/// One YAML file says which certificate sets belong where. `certsync plan` shows what would change on this host,
/// `certsync apply` makes it so, and a second `certsync apply` changes nothing.
#[derive(Debug, Parser)]
#[command(name = "certsync", version, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct GlobalArgs {
    /// This host's name in the spec [env: CERTSYNC_AS] [default: the host name]
    #[arg(long = "as", value_name = "NAME", global = true)]
    pub name: Option<String>,
    /// Where certsync keeps what it did last [env: CERTSYNC_STATE_DIR] [default: /var/lib/certsync as root,
    /// otherwise $XDG_STATE_HOME/certsync or ~/.local/state/certsync]
    #[arg(long, value_name = "DIR", global = true)]
    pub state_dir: Option<PathBuf>,
    /// Say more: unchanged sets in the answer, and a log on stderr (-vv, -vvv: more of it)
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say nothing but errors, as cron likes it
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// How log lines on stderr are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,
    /// Colour on stdout; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto, global = true)]
    pub color: Color,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what apply would do; change nothing
    Plan(PlanArgs),
    /// Make this host what the spec says
    Apply(ApplyArgs),
    /// Show every fault of the spec
    Validate(ValidateArgs),
    /// Print this host's part of the spec, every default filled in
    Spec(SpecArgs),
    /// Show what is installed, how long it lasts and which hooks are owed
    Status(StatusArgs),
    /// Put a former version of a set back and hold it there
    Rollback(RollbackArgs),
    /// Delete the files of a set that no longer belongs here
    Remove(RemoveArgs),
    /// Apply the sets that an ACME client has just renewed
    ///
    /// For certbot's --deploy-hook, lego's --run-hook and --renew-hook, and acme.sh's --reloadcmd and --renew-hook. What
    /// these programs put into the environment selects sets of the spec; it never names a place to write to. Where no set
    /// matches, nothing is done and the exit status is 0.
    #[command(name = "deploy-hook")]
    DeployHook(DeployHookArgs),
    /// Take certsync's state away from this host
    ///
    /// For a host that certsync leaves: its store, its own SSH key and what it knows of other hosts go, and with them every way back. What is
    /// installed stays as it is, and so does whatever else lies in the directory.
    Forget(ForgetArgs),
    /// Print a JSON Schema
    Schema(SchemaArgs),
    /// Print a shell's completion script
    Completions(CompletionsArgs),
    /// Print the manual page
    Man(ManArgs),
    /// Answer another host; started by its line in authorized_keys
    Gate(GateArgs),
    /// Tell the hosts below that there is something new
    Trigger(TriggerArgs),
    /// Make this host's own SSH key, and print its public half
    ///
    /// The private half stays in the state directory. A key that is there is never overwritten. Rotation without a gap: `keygen --next`; add
    /// what it prints to this host's `public_key` in the spec, and have the other hosts run `authorized-keys --write`; `keygen --activate`;
    /// then take the former key out of the spec.
    Keygen(KeygenArgs),
    /// Print the lines of authorized_keys that let other hosts in
    ///
    /// Each lets its key talk to certsync here and do nothing else.
    ///
    /// Without a list of its own, sshd can ask for each key: `AuthorizedKeysCommand /usr/bin/certsync authorized-keys --spec SPEC --state-dir
    /// DIR --for-key %f`.
    #[command(name = "authorized-keys")]
    AuthorizedKeys(AuthorizedKeysArgs),
    /// Print the lines of known_hosts for other hosts
    #[command(name = "known-hosts")]
    KnownHosts(KnownHostsArgs),
}

/// Where the spec is.
#[derive(Debug, Clone, Args)]
pub struct SpecPath {
    /// The spec file [env: CERTSYNC_SPEC] [default: /etc/certsync/certsync.yaml]
    #[arg(value_name = "SPEC")]
    pub spec: Option<PathBuf>,
}

/// Where the spec is, for commands that can read it from stdin.
#[derive(Debug, Clone, Args)]
pub struct SpecPathOrStdin {
    /// The spec file, or - for stdin [env: CERTSYNC_SPEC] [default: /etc/certsync/certsync.yaml]
    #[arg(value_name = "SPEC")]
    pub spec: Option<PathBuf>,
    /// With -: the place that the spec on stdin stands for; relative paths in it start there
    #[arg(long, value_name = "PATH")]
    pub at: Option<PathBuf>,
}

/// Where the spec is, for commands whose argument is something else.
#[derive(Debug, Clone, Args)]
pub struct SpecFlag {
    /// The spec file [env: CERTSYNC_SPEC] [default: /etc/certsync/certsync.yaml]
    #[arg(long, value_name = "SPEC")]
    pub spec: Option<PathBuf>,
}

/// How a report is answered.
#[derive(Debug, Clone, Copy, Args)]
pub struct AnswerArgs {
    /// How the answer is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Tell by the exit status what happened. plan: 0 nothing to do, 2 changes, 1 error; all others: 0 nothing
    /// to do, 2 changed, 4 failures, 6 both, 1 could not start
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// As data; `certsync schema` describes it.
    Json,
}

/// How sets are looked at.
#[derive(Debug, Clone, Args)]
pub struct JudgeArgs {
    /// Waive one refusal for this run: expired, not_yet_valid, names, chain, unpaired_key or older (repeatable)
    #[arg(long, value_name = "SET=WORD", value_parser = values::accept)]
    pub accept: Vec<(SetName, Accept)>,
    /// Try again what a failing check took back, though nothing has changed since
    #[arg(long)]
    pub retry: bool,
    /// Read every file, even where its time stamps say that nothing changed
    #[arg(long)]
    pub verify_content: bool,
    /// Set a damaged or foreign state aside and begin a new one; every hook is then owed
    #[arg(long)]
    pub new_state: bool,
}

/// How long a lock is waited for.
#[derive(Debug, Clone, Copy, Args)]
pub struct LockArgs {
    /// How long to wait for another run to end
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = values::duration)]
    pub lock_timeout: Duration,
    /// Leave other hosts alone
    #[arg(long)]
    pub local: bool,
}

/// `certsync plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The spec.
    #[command(flatten)]
    pub spec: SpecPathOrStdin,
    /// The answer.
    #[command(flatten)]
    pub answer: AnswerArgs,
    /// How sets are looked at.
    #[command(flatten)]
    pub judge: JudgeArgs,
    /// Ask no other host
    #[arg(long)]
    pub offline: bool,
    /// Ask every server below for its own plan as well, which it makes with what it would get from here
    #[arg(long, conflicts_with = "offline")]
    pub remote: bool,
    /// Of the servers below, ask only these
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', requires = "remote")]
    pub limit: Vec<ServerName>,
    /// Read from stdin what a host above would bring, as the gate hands it on, and ask the servers below that it names
    #[arg(long, hide = true, conflicts_with_all = ["offline", "remote"])]
    pub brought: bool,
}

/// `certsync apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The spec.
    #[command(flatten)]
    pub spec: SpecPath,
    /// The answer.
    #[command(flatten)]
    pub answer: AnswerArgs,
    /// How sets are looked at.
    #[command(flatten)]
    pub judge: JudgeArgs,
    /// Locks.
    #[command(flatten)]
    pub lock: LockArgs,
    /// First wait a time below this one that is fixed by the host's name, so that many hosts do not start at once
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub splay: Option<Duration>,
    /// Serve only these of the hosts below
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub limit: Vec<ServerName>,
    /// Ask even those of the hosts below that have acknowledged everything
    #[arg(long)]
    pub refresh: bool,
    /// Serve all hosts below at once, whatever rollout: says
    #[arg(long)]
    pub now: bool,
    /// Go on above a revision that lies far in the future: a clock was wrong
    #[arg(long)]
    pub new_revisions: bool,
    /// Leave at once where nobody has asked for a run: how a gate calls it
    #[arg(long, hide = true)]
    pub if_requested: bool,
}

/// `certsync validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// The spec.
    #[command(flatten)]
    pub spec: SpecPathOrStdin,
}

/// `certsync spec`.
#[derive(Debug, Args)]
pub struct SpecArgs {
    /// The spec.
    #[command(flatten)]
    pub spec: SpecPathOrStdin,
}

/// `certsync status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The spec.
    #[command(flatten)]
    pub spec: SpecPath,
    /// How the answer is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = StatusFormat::Text)]
    pub format: StatusFormat,
    /// Write the answer to this file, replaced whole, mode 0644
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Answer like a monitoring plugin: exit 1 when a certificate ends within this time
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub warn: Option<Duration>,
    /// The same with exit 2
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub crit: Option<Duration>,
    /// Tell of every server below this one instead, as far as is known here; asks nobody
    #[arg(long)]
    pub fleet: bool,
}

/// How status is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusFormat {
    /// A table.
    Text,
    /// As data.
    Json,
    /// For node_exporter's textfile collector.
    Prometheus,
}

/// `certsync rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The set
    #[arg(value_name = "SET")]
    pub set: SetName,
    /// The spec.
    #[command(flatten)]
    pub spec: SpecFlag,
    /// Go back to this version (the digest or its beginning), not to the one before
    #[arg(long, value_name = "DIGEST", value_parser = values::digest_prefix)]
    pub to: Option<String>,
    /// End the hold that an earlier rollback left, and install what the source has
    #[arg(long, conflicts_with = "to")]
    pub release: bool,
    /// The answer.
    #[command(flatten)]
    pub answer: AnswerArgs,
    /// Locks.
    #[command(flatten)]
    pub lock: LockArgs,
}

/// `certsync remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The set
    #[arg(value_name = "SET")]
    pub set: SetName,
    /// The spec.
    #[command(flatten)]
    pub spec: SpecFlag,
    /// The answer.
    #[command(flatten)]
    pub answer: AnswerArgs,
    /// Locks.
    #[command(flatten)]
    pub lock: LockArgs,
}

/// `certsync forget`.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// The state directory, which is not guessed
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// How long to wait for a run to end
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = values::duration)]
    pub lock_timeout: Duration,
}

/// `certsync deploy-hook`.
#[derive(Debug, Args)]
pub struct DeployHookArgs {
    /// The spec.
    #[command(flatten)]
    pub spec: SpecPath,
    /// The answer.
    #[command(flatten)]
    pub answer: AnswerArgs,
    /// Locks.
    #[command(flatten)]
    pub lock: LockArgs,
}

/// `certsync schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of what
    #[arg(value_name = "WHAT", value_enum)]
    pub what: SchemaOf,
}

/// What a schema is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The spec file.
    Spec,
    /// `state.json`.
    State,
    /// The answer of `plan --format json`.
    Plan,
    /// The answer of `apply --format json`, and of rollback, remove and deploy-hook.
    Report,
    /// The answer of `status --format json`.
    Status,
    /// The answer of `status --fleet --format json`.
    FleetStatus,
}

/// `certsync completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: clap_complete::Shell,
}

/// `certsync man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write one page per command into this directory instead
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `certsync gate`.
#[derive(Debug, Args)]
pub struct GateArgs {
    /// The peer's name in the spec
    #[arg(long, value_name = "NAME")]
    pub peer: ServerName,
    /// The fingerprint of the key that this line of authorized_keys is for
    #[arg(long, value_name = "SHA256:…")]
    pub key: SshKeyId,
    /// The spec.
    #[command(flatten)]
    pub spec: SpecFlag,
}

/// `certsync trigger`.
#[derive(Debug, Args)]
pub struct TriggerArgs {
    /// The hosts; all that are directly below and have certsync, where none is named
    #[arg(value_name = "SERVER")]
    pub servers: Vec<ServerName>,
    /// The spec.
    #[command(flatten)]
    pub spec: SpecFlag,
    /// Wait until they, and all hosts below them, have it, and tell how they stand
    #[arg(long)]
    pub wait: bool,
    /// The answer.
    #[command(flatten)]
    pub answer: AnswerArgs,
}

/// `certsync keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Make the key that is going to be used, beside the one in use
    #[arg(long)]
    pub next: bool,
    /// Take the next key into use; the former one is kept as `previous`
    #[arg(long, conflicts_with = "next")]
    pub activate: bool,
}

/// `certsync authorized-keys`.
#[derive(Debug, Args)]
pub struct AuthorizedKeysArgs {
    /// The spec.
    #[command(flatten)]
    pub spec: SpecFlag,
    /// Keep the lines as a block in this file, every other line as it is
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Print the line of this key only, given as type and base64 or as fingerprint; nothing where it is not to be let in
    #[arg(long, value_name = "KEY", num_args = 1..=2, conflicts_with = "write")]
    pub for_key: Vec<String>,
}

/// `certsync known-hosts`.
#[derive(Debug, Args)]
pub struct KnownHostsArgs {
    /// The spec.
    #[command(flatten)]
    pub spec: SpecFlag,
    /// Keep the lines as a block in this file, every other line as it is
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}

/// What a later command was given; not looked at.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct LaterArgs {
    /// Anything.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub rest: Vec<OsString>,
}
