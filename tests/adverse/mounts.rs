//! File systems for one test, seen by this process and its children only.

use super::host::{Host, is_root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether this process may mount: as root, in a namespace of its own. Says so otherwise.
pub fn may_mount() -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    if !is_root() {
        return false;
    }
    let own = namespace("self") != namespace("1");
    if !own {
        eprintln!("skipped: needs a mount namespace of its own (scripts/prove adverse makes one)");
    }
    own
}

/// A mounted file system, unmounted at the end.
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// A tmpfs with these options.
    #[track_caller]
    pub fn tmpfs(at: &Path, options: &str) -> Mount {
        Mount::new(at, &["-t", "tmpfs", "-o", options, "none"])
    }

    /// Another place shown here.
    #[track_caller]
    pub fn bind(from: &Path, at: &Path) -> Mount {
        Mount::new(at, &["--bind", &from.display().to_string()])
    }

    /// A file system of this type in a file beside `at`, made by `mkfs.TYPE` with these arguments.
    #[track_caller]
    pub fn image(at: &Path, kind: &str, mkfs: &[&str]) -> Mount {
        let image = at.with_extension("img");
        fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("an image");
        run(Command::new(format!("mkfs.{kind}")).env("PATH", PATH).args(mkfs).arg(&image));
        Mount::of_image(&image, at)
    }

    /// The file system in this file.
    #[track_caller]
    pub fn of_image(image: &Path, at: &Path) -> Mount {
        Mount::new(at, &["-o", "loop", &image.display().to_string()])
    }

    #[track_caller]
    fn new(at: &Path, args: &[&str]) -> Mount {
        fs::create_dir_all(at).expect("a mount point");
        run(Command::new("mount").env("PATH", PATH).args(args).arg(at));
        Mount { at: at.to_owned() }
    }

    /// Changes the options: `ro`, `rw`, `size=…`.
    #[allow(dead_code, reason = "the cases with full and read-only file systems use it")]
    #[track_caller]
    pub fn remount(&self, options: &str) {
        run(Command::new("mount").env("PATH", PATH).args(["-o", &format!("remount,{options}")]).arg(&self.at));
    }

    /// Where it is.
    pub fn at(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // At the latest it goes with the namespace.
        let _ = Command::new("umount").env("PATH", PATH).arg("-l").arg(&self.at).status();
    }
}

const PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A directory of a test with a file system mounted in it.
pub struct Elsewhere {
    // In this order: what lies on the other goes first.
    mount: Mount,
    _memory: Mount,
    _dir: tempfile::TempDir,
}

impl Elsewhere {
    #[track_caller]
    pub fn new(mount: impl FnOnce(&Path) -> Mount) -> Elsewhere {
        let dir = tempfile::Builder::new().prefix("certsync-adverse-").tempdir().expect("a temporary directory");
        // Images lie in memory: no barrier waits for a disk that others use.
        let memory = Mount::tmpfs(dir.path(), "mode=755");
        Elsewhere { mount: mount(&dir.path().join("fs")), _memory: memory, _dir: dir }
    }

    /// Where it is.
    pub fn at(&self) -> &Path {
        self.mount.at()
    }

    /// A host that lies on it whole.
    pub fn host(&self) -> Host {
        Host::below(self.mount.at())
    }
}
