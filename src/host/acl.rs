//! POSIX ACLs as the kernel stores them in extended attributes: a version (2), then entries of tag, permissions and id,
//! all little-endian (`include/uapi/linux/posix_acl_xattr.h`); the meaning is that of acl(5).

use super::Stat;
use super::stat::Kind;
use crate::base::Mode;
use nix::errno::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use xattr::FileExt;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// The id of entries that name nobody.
const NO_ID: u32 = u32::MAX;

/// A descriptor lent to the xattr crate, which knows `std::fs::File` only.
struct Lent(RawFd);

impl AsRawFd for Lent {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl FileExt for Lent {}

/// What an access ACL grants beside the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grants {
    /// Permissions of the owning group, after the mask.
    group: u16,
    /// Permissions of named users and groups together, after the mask.
    named: u16,
    /// The mask, which `ls` shows as the group's permissions.
    mask: u16,
}

/// Whether the file or directory behind `fd` grants more, or another group access, than its mode shows, or hands down
/// a default ACL.
pub(super) fn is_wider(fd: impl AsFd, stat: &Stat) -> io::Result<bool> {
    let lent = Lent(fd.as_fd().as_raw_fd());
    if stat.kind == Kind::Dir && read(&lent, DEFAULT)?.is_some() {
        return Ok(true);
    }
    Ok(read(&lent, ACCESS)?.is_some_and(|acl| differs(&acl)))
}

/// The same for a path, `/proc/self/fd/N` of a descriptor that cannot be asked (O_PATH).
pub(super) fn is_wider_at(proc_path: &str, stat: &Stat) -> io::Result<bool> {
    let ask = |name| absent_is_none(xattr::get_deref(proc_path, name));
    if stat.kind == Kind::Dir && ask(DEFAULT)?.is_some() {
        return Ok(true);
    }
    Ok(ask(ACCESS)?.is_some_and(|acl| differs(&acl)))
}

/// Removes the access ACL of what is behind `fd`, and a directory's default ACL.
pub(super) fn remove(fd: impl AsFd, kind: Kind) -> io::Result<()> {
    let lent = Lent(fd.as_fd().as_raw_fd());
    if kind == Kind::Dir {
        absent_is_done(lent.remove_xattr(DEFAULT))?;
    }
    absent_is_done(lent.remove_xattr(ACCESS))
}

/// Removes the ACLs of a directory. Without its access ACL the mode's group bits, which were the mask, would count for the group:
/// they become what both the group had and `wanted` gives it, in one step with the removal.
pub(super) fn narrow(fd: impl AsFd, now: &Stat, wanted: Mode) -> io::Result<()> {
    let lent = Lent(fd.as_fd().as_raw_fd());
    absent_is_done(lent.remove_xattr(DEFAULT))?;
    let Some(acl) = read(&lent, ACCESS)? else { return Ok(()) };
    let left = now.mode.bits() & wanted.bits();
    let bits = |shift: u32| u16::try_from(left >> shift & 7).unwrap_or(0);
    let [user, group, other] = [bits(6), bits(3) & parse(&acl).map_or(0, |grants| grants.group), bits(0)];
    // Three entries are a mode, and the kernel keeps them as one (posix_acl_update_mode).
    let plain = encode(&[(USER_OBJ, user, NO_ID), (GROUP_OBJ, group, NO_ID), (OTHER, other, NO_ID)]);
    lent.set_xattr(ACCESS, &plain)
}

/// The ACL of these entries: tag, permissions, id.
pub(super) fn encode(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut out = VERSION.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        out.extend(tag.to_le_bytes());
        out.extend(permissions.to_le_bytes());
        out.extend(id.to_le_bytes());
    }
    out
}

fn read(lent: &Lent, name: &str) -> io::Result<Option<Vec<u8>>> {
    absent_is_none(lent.get_xattr(name))
}

fn absent_is_none(found: io::Result<Option<Vec<u8>>>) -> io::Result<Option<Vec<u8>>> {
    match found {
        Err(error) if is_absence(&error) => Ok(None),
        other => other,
    }
}

fn absent_is_done(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if is_absence(&error) => Ok(()),
        other => other,
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::ENOSYS))
}

/// One that cannot be read counts as wider: it is removed like any other.
fn differs(acl: &[u8]) -> bool {
    parse(acl).is_none_or(|grants| grants.named != 0 || grants.group != grants.mask)
}

fn parse(acl: &[u8]) -> Option<Grants> {
    let (version, entries) = acl.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION || entries.len() % 8 != 0 {
        return None;
    }
    let (mut group, mut named, mut mask) = (0, 0, None);
    for entry in entries.chunks_exact(8) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let permissions = u16::from_le_bytes([entry[2], entry[3]]);
        match tag {
            USER | GROUP => named |= permissions,
            GROUP_OBJ => group = permissions,
            MASK => mask = Some(permissions),
            _ => {}
        }
    }
    let mask = mask.unwrap_or(group);
    Some(Grants { group: group & mask, named: named & mask, mask })
}

#[cfg(test)]
mod tests {
    use super::{GROUP_OBJ, MASK, NO_ID as NONE, OTHER, USER, USER_OBJ as OWNER, differs, encode};

    fn acl(group: u16, user: u16, mask: u16) -> Vec<u8> {
        encode(&[(OWNER, 6, NONE), (USER, user, 1000), (GROUP_OBJ, group, NONE), (MASK, mask, NONE), (OTHER, 0, NONE)])
    }

    #[test]
    fn a_named_user_widens_only_through_the_mask() {
        assert!(differs(&acl(4, 4, 4)));
        assert!(!differs(&acl(0, 4, 0)));
        assert!(!differs(&acl(4, 0, 4)));
    }

    #[test]
    fn a_group_that_gets_less_than_ls_shows_is_a_difference() {
        assert!(differs(&acl(0, 0, 4)));
    }

    #[test]
    fn what_cannot_be_read_counts_as_wider() {
        for bad in [&b""[..], &[2, 0, 0], &[3, 0, 0, 0], &[2, 0, 0, 0, 1]] {
            assert!(differs(bad), "{bad:?}");
        }
        assert!(!differs(&encode(&[(OWNER, 6, NONE), (GROUP_OBJ, 4, NONE), (OTHER, 0, NONE)])));
    }
}
