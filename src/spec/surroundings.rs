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
    /// What a path is, without following it.
    pub look: fn(&Path) -> Option<Found>,
    /// A path with all links followed, where it exists; asked of links alone.
    pub follow: fn(&Path) -> Option<PathBuf>,
    /// Whether a path leads to a directory.
    pub is_dir: fn(&Path) -> bool,
    /// Whether it matters who may write the spec.
    pub trust: Trust,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Device and inode.
    pub inode: (u64, u64),
    /// Whether it is a symbolic link.
    pub link: bool,
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
            look: |path| path.symlink_metadata().ok().map(|found| Found { inode: (found.dev(), found.ino()), link: found.is_symlink() }),
            follow: |path| path.canonicalize().ok(),
            is_dir: Path::is_dir,
            trust: Trust::Check,
        }
    }
}
