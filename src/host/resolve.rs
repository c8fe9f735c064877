//! Letting links of others lead where they lead, except into the kernel's idea of this process.
//!
//! The links below `/proc/<pid>` that stand for something open (`cwd`, `root`, `exe`, `fd/<n>`: magic links, proc(5)) do not lead to a
//! path: they jump to what this process, root's, holds, past the modes of all directories above. File-system ids do not help, since
//! nothing on the way is asked for them.

use super::Dir;
use super::follow::Steps;
use super::stat::is_proc;
use super::walk::MOST_LINKS;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode as Bits, SFlag, fstat};
use nix::sys::statfs::fstatfs;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

const LOOK: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Opens `path`, taken from `dir`, every plain link on it followed and no magic one.
pub(super) fn open_through_links(dir: &Dir, path: &OsStr, flags: OFlag) -> io::Result<OwnedFd> {
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(dir.fd(), path, how) {
        // Unknown to kernels before 5.6, and refused by the filters of some containers; and too many links are one thing, a magic one
        // another, which that error does not tell.
        Err(Errno::ENOSYS | Errno::EPERM | Errno::ELOOP) => by_hand(dir, path, flags),
        other => Ok(other?),
    }
}

/// The same, one step at a time. Each link is read from a descriptor, so that it cannot become another after the look at it.
fn by_hand(dir: &Dir, path: &OsStr, flags: OFlag) -> io::Result<OwnedFd> {
    let start = |path: &OsStr, here: &Dir| if path.as_bytes().starts_with(b"/") { Dir::root() } else { here.try_clone() };
    let mut here = start(path, dir)?;
    let mut steps = Steps::of(path);
    let mut links = 0;
    while let Some(step) = steps.next() {
        let fd = openat(here.fd(), step.as_os_str(), LOOK, Bits::empty())?;
        if SFlag::from_bits_truncate(fstat(&fd)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK {
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::ELOOP.into());
            }
            if is_proc(&fstatfs(&fd)?) {
                return Err(io::Error::other("a link leads through /proc to what certsync itself has open, which is not followed"));
            }
            let target = readlinkat(&fd, "")?;
            here = start(&target, &here)?;
            steps.put_first(&target);
        } else if steps.is_empty() {
            return Ok(openat(here.fd(), step.as_os_str(), flags | OFlag::O_NOFOLLOW, Bits::empty())?);
        } else {
            here = Dir::from_fd(fd);
        }
    }
    Ok(openat(here.fd(), ".", flags, Bits::empty())?)
}

#[cfg(test)]
mod tests {
    use super::{by_hand, open_through_links};
    use crate::host::testing::{Scene, Test};
    use nix::errno::Errno;
    use nix::fcntl::OFlag;
    use std::ffi::OsStr;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC);

    #[test]
    fn plain_links_are_followed_and_magic_ones_are_not() -> Test {
        let scene = Scene::new()?;
        scene.folder("a/b", 0o755)?;
        scene.file("a/b/file", "text", 0o644)?;
        symlink("a", scene.at("relative"))?;
        symlink(scene.at("a/b/../../relative/b"), scene.at("absolute"))?;
        symlink("../absolute/file", scene.at("a/up"))?;
        symlink("loop", scene.at("loop"))?;
        let dir = scene.dir()?;
        let held = std::fs::File::open(scene.at("a/b"))?;
        symlink(format!("/proc/self/fd/{}/file", held.as_raw_fd()), scene.at("held"))?;
        symlink(format!("/proc/thread-self/fd/{}", held.as_raw_fd()), scene.at("folder"))?;
        symlink("/proc/self/cwd", scene.at("cwd"))?;
        symlink("/proc/self/root/etc", scene.at("root"))?;
        for open in [open_through_links, by_hand] {
            for path in ["a/b/file", "relative/b/file", "absolute/file", "a/up", "./a/../a/up"] {
                let mut text = String::new();
                let fd = open(&dir, OsStr::new(path), READ).map_err(|error| format!("{path}: {error}"))?;
                std::fs::File::from(fd).read_to_string(&mut text)?;
                assert_eq!(text, "text", "{path}");
            }
            for path in [".", "relative", "absolute", "/"] {
                assert!(open(&dir, OsStr::new(path), READ | OFlag::O_DIRECTORY).is_ok(), "{path}");
            }
            for path in ["held", "folder", "folder/file", "cwd", "cwd/x", "root"] {
                for flags in [READ, OFlag::O_PATH | OFlag::O_CLOEXEC] {
                    let error = open(&dir, OsStr::new(path), flags).err().ok_or(path)?;
                    assert!(error.to_string().contains("through /proc"), "{path}: {error}");
                }
            }
            for (path, errno) in [("loop", Errno::ELOOP), ("none/x", Errno::ENOENT), ("a/up/x", Errno::ENOTDIR)] {
                let error = open(&dir, OsStr::new(path), READ).err().ok_or(path)?;
                assert_eq!(error.raw_os_error(), Some(errno as i32), "{path}");
            }
        }
        Ok(())
    }
}
