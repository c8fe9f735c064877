//! What a spec is resolved against: this host's users, groups and directories. Tests bring their own.

use crate::host::users::{self, User};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The questions that resolving a spec asks of a host.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// A user by name or number.
    pub user: fn(&str) -> Option<User>,
    /// A group by name or number: its name and id.
    pub group: fn(&str) -> Option<(String, u32)>,
    /// Who runs this.
    pub running: Running,
    /// The host's name, with its domain where it has one.
    pub host_name: fn() -> String,
    /// What a path is, without following it.
    pub look: fn(&Path) -> Option<Found>,
    /// Where a link leads, as it is written in it.
    pub target: fn(&Path) -> Option<PathBuf>,
    /// Whether it matters who may write the spec.
    pub trust: Trust,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Device and inode.
    pub inode: (u64, u64),
    /// What kind of thing.
    pub kind: FoundKind,
    /// Whose it is.
    pub uid: u32,
    /// Whether its mode lets the group or everybody write.
    pub shared: bool,
}

/// What kind of thing a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// A symbolic link.
    Link,
    /// A directory.
    Dir,
    /// Anything else.
    Else,
}

impl Found {
    /// Whether it belongs to root or to `me`.
    pub(super) fn is_of(&self, me: u32) -> bool {
        self.uid == 0 || self.uid == me
    }
}

/// Who runs certsync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The effective user.
    pub user: User,
    /// The effective group: name and id.
    pub group: (String, u32),
    /// All groups of the process.
    pub groups: Vec<u32>,
}

/// Whether it matters who may write the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Refuse a spec or include folder that others may write.
    Check,
    /// Take it as it is.
    Skip,
}

impl Surroundings {
    /// This host.
    pub fn host() -> Self {
        Surroundings {
            user: users::user,
            group: users::group,
            running: Running { user: users::running_user(), group: users::running_group(), groups: users::running_groups() },
            host_name: users::host_name,
            look,
            target: |path| path.read_link().ok(),
            trust: Trust::Check,
        }
    }
}

impl Surroundings {
    /// Another host, of which nothing is known: every user and group may be there, and root runs certsync. Who runs it has no name.
    pub fn of_another_host() -> Self {
        let root = User { name: String::new(), uid: 0, gid: 0, home: String::new() };
        Surroundings {
            user: |text| Some(User { name: text.to_owned(), uid: some_id(text), gid: some_id(text), home: String::new() }),
            group: |text| Some((text.to_owned(), some_id(text))),
            running: Running { user: root, group: (String::new(), 0), groups: vec![0] },
            host_name: users::host_name,
            look: |_| None,
            target: |_| None,
            trust: Trust::Check,
        }
    }
}

/// A number for an account that is not known: equal where the texts are, and otherwise hardly ever (FNV-1a).
fn some_id(text: &str) -> u32 {
    let hashed = || text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    text.parse().unwrap_or_else(|_| hashed())
}

fn look(path: &Path) -> Option<Found> {
    let found = path.symlink_metadata().ok()?;
    let kind = match found.file_type() {
        kind if kind.is_symlink() => FoundKind::Link,
        kind if kind.is_dir() => FoundKind::Dir,
        _ => FoundKind::Else,
    };
    Some(Found { inode: (found.dev(), found.ino()), kind, uid: found.uid(), shared: found.mode() & 0o022 != 0 })
}
