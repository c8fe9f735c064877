//! What a command is asked for, read from the command line and the environment, every default filled in.

use crate::base::{AbsPath, ServerName, SetName};
use crate::fleet::contact::Patience;
use crate::fleet::due::Limit;
use crate::progress::ProgressChoice;
use crate::spec::Accept;
use std::time::Duration;

/// Where everything is, and who this host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The spec.
    pub spec: SpecPlace,
    /// The name given by `--as` or `$CERTSYNC_AS`.
    pub name: Option<String>,
    /// The state directory.
    pub state_dir: AbsPath,
}

/// Where the spec is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpecPlace {
    /// In this file.
    File(AbsPath),
    /// It came on stdin.
    Stdin {
        /// What came.
        text: String,
        /// The file it stands for; relative paths in it start from there.
        at: AbsPath,
    },
}

impl SpecPlace {
    /// The file, or the file that stdin stands for.
    pub fn path(&self) -> &AbsPath {
        match self {
            SpecPlace::File(path) | SpecPlace::Stdin { at: path, .. } => path,
        }
    }
}

/// How sets are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judging {
    /// Refusals waived for this run.
    pub accept: Vec<(SetName, Accept)>,
    /// What a failing check took back.
    pub returned: Returned,
    /// How much is read.
    pub content: ContentCheck,
    /// Which state.
    pub state: StateChoice,
}

impl Default for Judging {
    fn default() -> Self {
        Judging { accept: Vec::new(), returned: Returned::Wait, content: ContentCheck::Stamps, state: StateChoice::Keep }
    }
}

/// What happens to a version that a failing check took back, while nothing has changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// It waits for a change.
    Wait,
    /// It is tried again (`--retry`).
    TryAgain,
}

/// How drift of content is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentCheck {
    /// By time stamps, where they can be trusted.
    Stamps,
    /// By reading everything (`--verify-content`).
    ReadAll,
}

/// Which state a run begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateChoice {
    /// The one in the state directory.
    Keep,
    /// A new one; the old is set aside (`--new-state`).
    New,
}

/// Whether other hosts are asked or served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// As the spec says.
    AsSpec,
    /// Not at all (`--local`).
    LeftAlone,
}

/// `certsync plan`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanOptions {
    /// Where everything is.
    pub place: Place,
    /// How sets are looked at.
    pub judging: Judging,
    /// Where sets from above come from.
    pub above: FromAbove,
    /// Which of the servers below are asked for their plans; none: nobody is.
    pub below: Option<Limit>,
    /// Progress on stderr.
    pub progress: ProgressChoice,
}

/// Where a plan takes sets from that come from above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromAbove {
    /// The upstream is asked.
    Asked,
    /// Nobody is asked (`--offline`).
    Nobody,
    /// The gate hands them on, over stdin, and says who below is to be asked (`--brought`).
    Stdin,
}

/// `certsync apply`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Where everything is; the spec is always a file.
    pub place: Place,
    /// How sets are looked at.
    pub judging: Judging,
    /// Locks and other hosts.
    pub run: RunOptions,
    /// How it is passed on.
    pub passing: super::pass_on::Passing,
    /// Who calls it.
    pub caller: Caller,
}

/// Who calls apply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who wants a run.
    #[default]
    Operator,
    /// A gate, for a request that another run may have served when its turn comes.
    Gate,
}

/// What every command that changes the host takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// How long another run is waited for.
    pub lock_timeout: Duration,
    /// Other hosts.
    pub others: Others,
    /// Progress on stderr.
    pub progress: ProgressChoice,
}

/// `certsync rollback`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackOptions {
    /// Where everything is.
    pub place: Place,
    /// The set.
    pub set: SetName,
    /// Where to.
    pub to: RollbackTo,
    /// Locks and other hosts.
    pub run: RunOptions,
}

/// Where a rollback goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollbackTo {
    /// The version before the one that is installed.
    Former,
    /// The version whose digest begins with these lower-case hexadecimal digits (6 to 64).
    Version(String),
    /// Forward again: the hold ends.
    Release,
}

/// `certsync remove`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Where everything is.
    pub place: Place,
    /// The set.
    pub set: SetName,
    /// Locks and other hosts.
    pub run: RunOptions,
}

/// `certsync deploy-hook`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployHookOptions {
    /// Where everything is.
    pub place: Place,
    /// Directories that an ACME client says it renewed, as it wrote them. They select sets by their source and are
    /// never opened or written to.
    pub renewed: Vec<String>,
    /// Locks and other hosts.
    pub run: RunOptions,
}

/// `certsync trigger`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerOptions {
    /// Where everything is.
    pub place: Place,
    /// The hosts; none: all that are directly below and have certsync.
    pub servers: Vec<ServerName>,
    /// For whom it is waited.
    pub patience: Patience,
    /// Progress on stderr.
    pub progress: ProgressChoice,
}

/// `certsync status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusOptions {
    /// Where everything is.
    pub place: Place,
}
