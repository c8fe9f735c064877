//! Metadata of an inode, and the kind of file system it lies on.

use crate::base::Mode;
use nix::sys::stat::FileStat;
use nix::sys::statfs::Statfs;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// A FIFO, socket or device.
    Other,
}

/// Metadata of an inode, never through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// What it is.
    pub kind: Kind,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: Mode,
    /// Bytes.
    pub size: u64,
    /// Hard links.
    pub nlink: u64,
    /// Modification time, Unix nanoseconds.
    pub mtime: i128,
    /// Change time, Unix nanoseconds.
    pub ctime: i128,
}

impl Stat {
    /// Whether `other` is the same inode, whatever has become of it since.
    pub fn is_same(&self, other: &Stat) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    /// Whether somebody other than root and `uid` may write here, by owner or mode. A sticky bit does not help:
    /// it keeps others from renaming what is there, not from adding to it.
    pub(super) fn is_writable_by_others(&self, uid: u32) -> bool {
        (self.uid != 0 && self.uid != uid) || self.mode.bits() & 0o022 != 0
    }
}

const FORMAT: u32 = 0o170_000;

impl From<&FileStat> for Stat {
    // The fields' widths differ between the architectures.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
    fn from(raw: &FileStat) -> Stat {
        let kind = match raw.st_mode as u32 & FORMAT {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Dir,
            0o120_000 => Kind::Link,
            _ => Kind::Other,
        };
        Stat {
            dev: raw.st_dev as u64,
            ino: raw.st_ino as u64,
            kind,
            uid: raw.st_uid,
            gid: raw.st_gid,
            mode: Mode::from_bits(raw.st_mode as u32),
            size: raw.st_size as u64,
            nlink: raw.st_nlink as u64,
            mtime: i128::from(raw.st_mtime) * 1_000_000_000 + i128::from(raw.st_mtime_nsec),
            ctime: i128::from(raw.st_ctime) * 1_000_000_000 + i128::from(raw.st_ctime_nsec),
        }
    }
}

/// File systems whose ctime moves with every write and is never rounded beyond the kernel's clock tick, or else to whole seconds, which
/// the cache knows by themselves: ext2 to 4, xfs, btrfs, zfs, f2fs, tmpfs, overlay. Numbers from statfs(2).
const SOUND: [u32; 7] = [0xef53, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1, 0xf2f5_2010, 0x0102_1994, 0x794c_7630];

/// File systems behind a network: NFS, SMB, CIFS, SMB2, AFS (two of them), Ceph, Coda, NCP, Lustre, GFS2, OCFS2.
const NETWORK: [u32; 12] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x5346_414f,
    0x6b41_4653,
    0x00c3_6400,
    0x7375_7245,
    0x564c,
    0x0bd0_0bd0,
    0x0116_1970,
    0x7461_636f,
];

/// The low 32 bits, which is all a magic number has: the field is signed on some architectures.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::unnecessary_cast)]
fn magic(of: &Statfs) -> u32 {
    of.filesystem_type().0 as u32
}

/// Whether content stamps of this file system can be trusted.
pub(super) fn is_sound(of: &Statfs) -> bool {
    SOUND.contains(&magic(of))
}

/// Whether it is a network file system.
pub(super) fn is_network(of: &Statfs) -> bool {
    NETWORK.contains(&magic(of))
}

/// Whether it is procfs.
pub(super) fn is_proc(of: &Statfs) -> bool {
    magic(of) == 0x9fa0
}
