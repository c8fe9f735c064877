//! File systems that are full, out of inodes or read-only: a run says so and fails, harms nothing that is installed, and the next one under
//! good conditions does all that is owed.

use super::host::{Host, Run};
use super::mounts::{Elsewhere, Mount, may_mount};
use super::pairs::Pair;
use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Output;

/// The hook leaves a copy of the certificate that it saw.
const SPEC: &str = "\
version: 1
hooks:
  log: { run: \"cat [DIR]/ssl/cert.pem >[DIR]/hooks/seen; echo ran >>[DIR]/hooks/log\" }
certs:
  site:
    source: live
    install:
      - { dest: ssl, hooks: [log] }
      - { dest: ssl/flat, layout: flat }
";

/// What lies on the small file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Small {
    Dest,
    State,
    Both,
}

struct Disk {
    host: Host,
    small: Small,
    // Unmounted before the directories go.
    mounts: Vec<Mount>,
    _elsewhere: Elsewhere,
}

impl Disk {
    /// A host of which one part, or both on the same, lie on a tmpfs of their own. With `Dest` the dest is a mount point itself.
    #[track_caller]
    fn new(small: Small) -> Disk {
        let elsewhere = Elsewhere::new(|at| Mount::tmpfs(at, "size=16m,nr_inodes=20000"));
        let host = elsewhere.host();
        host.spec(SPEC);
        let mounts = match small {
            Small::Dest => vec![Mount::tmpfs(&host.at("ssl"), "size=1m,mode=755")],
            Small::State => vec![Mount::tmpfs(&host.at("state"), "size=1m,mode=700")],
            Small::Both => {
                let mounts = vec![Mount::tmpfs(&host.at("small"), "size=1m,mode=755")];
                for (part, mode) in [("ssl", 0o755), ("state", 0o700)] {
                    fs::create_dir_all(host.at(&format!("small/{part}"))).expect("a folder");
                    host.mode(&format!("small/{part}"), mode);
                    std::os::unix::fs::symlink(format!("small/{part}"), host.at(part)).expect("a link");
                }
                mounts
            }
        };
        host.write("ssl/foreign", "not ours");
        host.write("hooks/log", "");
        Disk { host, small, mounts, _elsewhere: elsewhere }
    }

    fn disk(&self) -> &Mount {
        &self.mounts[0]
    }

    /// Fills it but for so many bytes, or takes away inodes but for so many, while `call` runs.
    #[track_caller]
    fn short_of<T>(&self, what: Short, call: impl FnOnce() -> T) -> T {
        let at = self.disk().at();
        let room = statvfs(at).expect("its size");
        let ballast = at.join("ballast");
        match what {
            Short::Bytes(left) => {
                let file = File::create(&ballast).expect("ballast");
                let size = (room.blocks_available() * room.fragment_size()).saturating_sub(left);
                posix_fallocate(file, 0, i64::try_from(size).expect("a size")).expect("ballast");
            }
            Short::Inodes(left) => self.disk().remount(&format!("nr_inodes={}", room.files() - room.files_free() + left)),
        }
        let answer = call();
        match what {
            Short::Bytes(_) => fs::remove_file(ballast).expect("ballast"),
            Short::Inodes(_) => self.disk().remount("nr_inodes=20000"),
        }
        answer
    }

    fn call(&self, args: &[&str]) -> Output {
        self.host.command(args).output().expect("it runs")
    }

    /// Everything in place is of one of these pairs; by links all of it at once.
    #[track_caller]
    fn shows_one_of(&self, pairs: &[Option<&Pair>], case: &str) {
        let shown = |dest: &str, pair: Option<&Pair>| {
            let of = |name: &str| fs::read_to_string(self.host.at(dest).join(name)).ok();
            match pair {
                Some(pair) => pair.files().into_iter().all(|(name, text)| of(name).as_deref() == Some(&text)),
                None => of("cert.pem").is_none() && of("privkey.pem").is_none(),
            }
        };
        assert!(pairs.iter().any(|pair| shown("ssl", *pair)), "{case}: half a set");
        assert_eq!(self.host.read("ssl/foreign"), "not ours", "{case}");
    }

    /// One apply while something is short, one when it is there again. Answers whether the first could do it all.
    #[track_caller]
    fn tried(&self, what: Short, before: Option<&Pair>) -> bool {
        let pair = Pair::new("site.test", 5);
        self.host.source("live", &pair);
        let case = format!("{:?}, {what:?}, before: {}", self.small, before.is_some());
        let output = self.short_of(what, || self.call(&["apply", "-q", "--detailed-exitcode"]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let done = match output.status.code() {
            Some(2) => true,
            Some(1 | 4 | 6) => {
                assert!(said.contains("certsync: error: ") && said.contains(": no space left on device"), "{case}: {said}");
                assert!(said.contains("hint: make room"), "{case}: {said}");
                false
            }
            other => panic!("{case}: {other:?}: {said}"),
        };
        self.shows_one_of(&[before, Some(&pair)], &case);
        let run = self.host.apply();
        assert!(matches!(run.status, 0 | 2), "{case}: {}{:#}", run.stderr, run.json);
        self.host.quiet();
        for dest in ["ssl", "ssl/flat"] {
            self.host.shows(dest, &pair);
        }
        assert_eq!(self.host.read("hooks/seen"), pair.cert, "{case}: the hook that is owed has run for what is there");
        done
    }

    fn forget(&self) {
        for path in ["ssl/.certsync", "ssl/flat", "hooks/seen"] {
            if self.host.has(path) {
                self.host.remove(path);
            }
        }
        for folder in ["ssl", "state"] {
            for entry in fs::read_dir(self.host.at(folder)).into_iter().flatten().flatten() {
                if entry.file_name() != "foreign" {
                    let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
                    self.host.remove(&path);
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Short {
    Bytes(u64),
    Inodes(u64),
}

fn is_slice() -> bool {
    std::env::var_os("CERTSYNC_SLICE").is_some()
}

/// From nothing left to more than enough, in steps, for a first install and for a renewal.
#[track_caller]
fn sweep(small: Small, unit: u64, short: fn(u64) -> Short) {
    if !may_mount() {
        return;
    }
    let disk = Disk::new(small);
    let (mut tried, mut failed) = (0, 0);
    for renewal in [false, true] {
        let mut left = 0;
        loop {
            let before = Pair::new("site.test", 4);
            disk.forget();
            if renewal {
                disk.host.source("live", &before);
                disk.host.apply().has_status(2);
                disk.short_of(short(0), || disk.host.json(&["apply"])).has_status(0).says_nothing();
            }
            tried += 1;
            if disk.tried(short(left), renewal.then_some(&before)) {
                break;
            }
            failed += 1;
            assert!(left < 400 * unit, "it never ends");
            left += if is_slice() { unit * 4 } else { unit };
        }
    }
    eprintln!("{small:?}: {tried} levels, {failed} runs failed for want of room, all ended well afterwards");
    assert!(failed > 2, "something was short");
}

#[test]
fn a_dest_without_room() {
    sweep(Small::Dest, 4096, Short::Bytes);
}

#[test]
fn a_state_directory_without_room() {
    sweep(Small::State, 4096, Short::Bytes);
}

#[test]
fn a_dest_and_a_state_directory_without_room() {
    sweep(Small::Both, 4096, Short::Bytes);
}

#[test]
fn a_dest_without_inodes() {
    sweep(Small::Dest, 1, Short::Inodes);
}

#[test]
fn a_state_directory_without_inodes() {
    sweep(Small::State, 1, Short::Inodes);
}

#[test]
fn a_dest_and_a_state_directory_without_inodes() {
    sweep(Small::Both, 1, Short::Inodes);
}

#[test]
fn a_read_only_file_system() {
    if !may_mount() {
        return;
    }
    for small in [Small::Dest, Small::State, Small::Both] {
        let disk = Disk::new(small);
        let before = Pair::new("site.test", 4);
        disk.host.source("live", &before);
        disk.host.apply().has_status(2);
        let mut last = before;
        for drift in [false, true] {
            let pair = Pair::new("site.test", 5);
            if drift {
                disk.host.write("ssl/cert.pem", "drift");
            } else {
                disk.host.source("live", &pair);
            }
            let snapshot = snapshot(disk.disk().at());
            disk.disk().remount("ro");
            let plan = disk.host.plan().has_status(2);
            let output = disk.call(&["apply", "-q", "--detailed-exitcode"]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(matches!(output.status.code(), Some(1 | 4 | 6)), "{small:?}: {said}");
            assert!(said.contains("certsync: error: ") && said.contains(": read-only file system"), "{small:?}: {said}");
            assert!(said.contains("hint: mount it writable"), "{small:?}: {said}");
            assert_eq!(self::snapshot(disk.disk().at()), snapshot, "{small:?}");
            disk.disk().remount("rw");
            let run = disk.host.apply();
            assert!(matches!(run.status, 0 | 2), "{small:?}: {}{:#}", run.stderr, run.json);
            assert!(run.status == 2 || plan.status == 2);
            disk.host.quiet();
            if !drift {
                last = pair;
            }
            disk.host.shows("ssl", &last);
            assert_eq!(disk.host.read("hooks/seen"), last.cert, "{small:?}");
        }
        nothing_to_do(&disk);
    }
}

/// A dest that is read-only and right is none of apply's business; without its state directory it cannot even take its turn, and says so.
#[track_caller]
fn nothing_to_do(disk: &Disk) {
    disk.disk().remount("ro");
    disk.host.plan().has_status(0).says_nothing();
    let output = disk.call(&["apply", "--detailed-exitcode"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match disk.small {
        Small::Dest => assert_eq!((output.status.code(), said.as_str()), (Some(0), "")),
        Small::State | Small::Both => {
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("/state/") && said.contains(": read-only file system\n  hint: mount it writable"), "{said}");
        }
    }
    disk.disk().remount("rw");
    let _ = Run::of(disk.call(&["apply", "--format", "json"]));
    disk.host.quiet();
}

fn snapshot(at: &Path) -> Vec<(PathBuf, String)> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    let mut folders = vec![at.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a listing").flatten() {
            let (path, m) = (entry.path(), entry.metadata().expect("metadata"));
            found.push((path.clone(), format!("{} {:o} {} {} {}", m.ino(), m.mode(), m.size(), m.ctime(), m.ctime_nsec())));
            if m.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}
