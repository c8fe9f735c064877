//! Making a process fit to hold private keys.

use crate::base::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Uid, setgroups};
use std::sync::OnceLock;

/// The soft limit of core files before it was lowered: hooks get it back.
static CORE: OnceLock<u64> = OnceLock::new();

/// Makes this process fit to hold keys: not dumpable, no core file; as root, no supplementary groups. Called once at the start.
///
/// Not dumpable: its memory can be read by root alone, neither through `/proc` nor with ptrace by the same user
/// (prctl(2), PR_SET_DUMPABLE). A container in which root may not set groups keeps those it has.
pub fn harden() -> Result<()> {
    let failed = |what: &str, errno: Errno| Error::io(ErrorKind::Permission, what, &errno.into());
    let (soft, hard) = getrlimit(Resource::RLIMIT_CORE).map_err(|errno| failed("limit of core files", errno))?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard).map_err(|errno| failed("limit of core files", errno))?;
    CORE.get_or_init(|| soft);
    set_dumpable(false).map_err(|errno| failed("core dumps", errno))?;
    if Uid::effective().is_root() {
        match setgroups(&[]) {
            Ok(()) | Err(Errno::EPERM) => {}
            Err(errno) => return Err(failed("supplementary groups", errno)),
        }
    }
    Ok(())
}

/// What [`harden`] found as the soft limit of core files.
pub(super) fn former_core_limit() -> Option<u64> {
    CORE.get().copied()
}
