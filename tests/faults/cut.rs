//! A power cut: what certsync had not brought to disk is taken away from the host.

use super::bench::Bench;
use super::points::Loss;
use super::power::{There, Volatile, at_risk, tree};
use super::trace::Call;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;
use std::process::Command;

/// The host as it was before the run.
pub struct Before {
    there: BTreeMap<String, There>,
    copy: tempfile::TempDir,
}

impl Before {
    pub fn of(bench: &Bench) -> Before {
        let copy = tempfile::Builder::new().prefix("certsync-before-").tempdir().expect("a temporary directory");
        copy_all(bench.host.dir(), &copy.path().join("host"));
        Before { there: tree(bench.host.dir()), copy }
    }

    /// Takes away what these calls left at risk.
    pub fn cut(&self, bench: &Bench, calls: &[Call], loss: Loss) {
        let host = bench.host.dir();
        let (volatile, links) = at_risk(calls, host, self.there.clone());
        for (path, what) in volatile {
            let on_disk = links.get(&path);
            let path = Path::new(&path);
            match what {
                Volatile::Content => empty(path),
                Volatile::Name if loss == Loss::Bytes => {}
                Volatile::Name => {
                    remove(path);
                    // A link that this run brought to disk before it replaced it.
                    if let (Some(target), true) = (on_disk, path.parent().is_some_and(Path::exists)) {
                        symlink(target, path).expect("the link comes back");
                        continue;
                    }
                    let former = self.copy.path().join("host").join(path.strip_prefix(host).expect("a path of the host"));
                    // What stood there has its name again, if the directory has.
                    if former.symlink_metadata().is_ok() && path.parent().is_some_and(Path::exists) {
                        bring_back(&former, path);
                    }
                }
            }
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg("-T").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success(), "cp {} {}", from.display(), to.display());
}

/// A directory comes back empty: what was in it is at risk by itself.
fn bring_back(former: &Path, path: &Path) {
    let there = former.symlink_metadata().expect("metadata");
    if there.is_dir() {
        fs::create_dir(path).expect("a directory comes back");
        fs::set_permissions(path, there.permissions()).expect("its mode is set");
        chown(path, Some(there.uid()), Some(there.gid())).expect("its owner is set");
    } else {
        copy_all(former, path);
    }
}

fn empty(path: &Path) {
    if path.symlink_metadata().is_ok_and(|there| there.is_file()) {
        OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(0)).expect("it is emptied");
    }
}

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(there) if there.is_dir() => fs::remove_dir_all(path).expect("it is removed"),
        Ok(_) => fs::remove_file(path).expect("it is removed"),
        Err(_) => {}
    }
}
