//! The attacker: a user of this number, with no entry and no group but his own.

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub const HIM: u32 = 12_345;

/// A command that he runs.
pub fn as_him(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &HIM.to_string(), "--regid", &HIM.to_string(), "--clear-groups", "--", program]);
    command
}

/// Whether the whole proof is run, and not a slice of it.
pub fn in_full() -> bool {
    std::env::var_os("CERTSYNC_SLICE").is_none()
}

/// What he does over and over, as fast as he can.
pub enum Attack {
    /// Exchanges these two.
    Exchange(PathBuf, PathBuf),
    /// Puts the directory `decoy` in the place of whatever appears beside it under a name for something unfinished.
    Chase { folder: PathBuf, decoy: PathBuf },
    /// Reads whatever he can below it.
    Read(PathBuf),
}

/// An attack that goes on until this is dropped.
pub struct Swapper(Child);

const WORD: &str = "CERTSYNC_ATTACK";

impl Swapper {
    pub fn start(attack: &Attack) -> Swapper {
        let (word, one, other) = match attack {
            Attack::Exchange(one, other) => ("exchange", one, other),
            Attack::Chase { folder, decoy } => ("chase", folder, decoy),
            Attack::Read(folder) => ("read", folder, folder),
        };
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "him::the_attack_itself", "--ignored", "--nocapture"]);
        command.env(WORD, format!("{word}\n{}\n{}", one.display(), other.display()));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the attack begins");
        // It says when it has become him; until then nothing is proved.
        let mut seen = String::new();
        let mut byte = [0];
        while !seen.ends_with("begins\n") {
            assert_eq!(child.stdout.as_mut().expect("a pipe").read(&mut byte).expect("its words"), 1, "the attack ended: {seen}");
            seen.push(char::from(byte[0]));
        }
        Swapper(child)
    }

    /// Ends it, with the paths he could read.
    pub fn end(mut self) -> String {
        let _ = self.0.kill();
        let mut said = String::new();
        self.0.stdout.take().expect("a pipe").read_to_string(&mut said).expect("its words");
        said
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "a part of other tests, which start it as a process of its own"]
fn the_attack_itself() {
    let Ok(order) = std::env::var(WORD) else { return };
    let words: Vec<&str> = order.split('\n').collect();
    let (one, other) = (Path::new(words[1]), Path::new(words[2]));
    let number = fs::symlink_metadata(other).map(|meta| std::os::unix::fs::MetadataExt::ino(&meta)).unwrap_or(0);
    setgroups(&[]).expect("no groups");
    let (uid, gid) = (Uid::from_raw(HIM), Gid::from_raw(HIM));
    setresgid(gid, gid, gid).expect("his group");
    setresuid(uid, uid, uid).expect("himself");
    println!("begins");
    let mut got = BTreeSet::new();
    loop {
        match words[0] {
            "exchange" => swap(one, other),
            "read" => try_to_read(one, &mut got),
            _ => chase(one, number),
        }
    }
}

fn swap(one: &Path, other: &Path) {
    let _ = renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE);
}

/// Says each path once: the pipe must not fill.
fn try_to_read(path: &Path, got: &mut BTreeSet<String>) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            try_to_read(&path, got);
        } else if fs::File::open(&path).is_ok() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if got.insert(name.split('-').next().unwrap_or_default().to_owned()) {
                println!("{name}");
            }
        }
    }
}

fn chase(folder: &Path, decoy: u64) {
    let entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| (entry.ino(), entry.path())).collect();
    let Some((_, at)) = entries.iter().find(|(number, _)| *number == decoy) else { return };
    let new = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".new-"));
    if let Some((_, fresh)) = entries.iter().find(|(number, path)| *number != decoy && new(path)) {
        swap(at, fresh);
    }
}
