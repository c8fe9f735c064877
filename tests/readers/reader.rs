//! One reader: a process of its own that loads a certificate and its key over and over and counts what it sees.
//!
//! The test program starts itself again for it ([`Reader::start`]), with the task in the environment.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TASK: &str = "CERTSYNC_TEST_READER";

/// How a reader comes to the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// `current` is opened once, both files are opened relative to it.
    Opened,
    /// The same, but between the two files the directory is held: every other time until it was purged.
    Held,
    /// Each file by its own path.
    ByPath,
}

/// What a reader is to do.
pub struct Task<'a> {
    pub how: How,
    /// The directory with the files; for all but [`How::ByPath`] the link `current`.
    pub dir: PathBuf,
    pub cert: &'a str,
    pub key: &'a str,
    /// Loads to do before `stop` is looked for.
    pub loads: u64,
    /// `N.crt` and `N.key` of every pair that is ever installed.
    pub pairs: &'a Path,
    /// Ends the reader when it is there.
    pub stop: &'a Path,
}

/// A running reader.
pub struct Reader {
    child: Child,
    out: PathBuf,
}

/// What a reader saw.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    pub loads: u64,
    /// Certificate and key of one pair.
    pub whole: u64,
    /// Of two pairs.
    pub mixed: u64,
    /// Something that no pair has: half a file.
    pub torn: u64,
    /// The directory was opened, and a file was not there any more.
    pub gone: u64,
    /// Nothing could be opened.
    pub unopened: u64,
    /// How often a whole pair was another one than the time before.
    pub changes: u64,
}

impl Reader {
    pub fn start(name: &str, task: &Task<'_>) -> Reader {
        let out = task.stop.with_file_name(format!("{name}.seen"));
        let how = match task.how {
            How::Opened => "opened",
            How::Held => "held",
            How::ByPath => "path",
        };
        let text = json!({
            "how": how, "dir": task.dir, "cert": task.cert, "key": task.key, "loads": task.loads, "pairs": task.pairs, "stop": task.stop,
            "out": out,
        });
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "reader::a_reader_at_work", "--ignored", "--nocapture"])
            .env(TASK, text.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("a reader is started");
        Reader { child, out }
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_some()
    }

    pub fn end(mut self) -> Seen {
        assert!(self.child.wait().expect("it ends").success(), "a reader failed: see above");
        let seen: Value = serde_json::from_slice(&fs::read(&self.out).expect("what it saw")).expect("JSON");
        let count = |name: &str| seen[name].as_u64().expect("a number");
        Seen {
            loads: count("loads"),
            whole: count("whole"),
            mixed: count("mixed"),
            torn: count("torn"),
            gone: count("gone"),
            unopened: count("unopened"),
            changes: count("changes"),
        }
    }
}

/// One load: the two files, or what was missing.
enum Load {
    Files(Vec<u8>, Vec<u8>),
    Gone,
    Unopened,
}

#[test]
#[ignore = "started by the others as a process of its own"]
fn a_reader_at_work() {
    let task: Value = serde_json::from_str(&std::env::var(TASK).expect("a task")).expect("JSON");
    let text = |name: &str| task[name].as_str().expect("a text").to_owned();
    let (how, dir, stop) = (text("how"), PathBuf::from(text("dir")), PathBuf::from(text("stop")));
    let (cert, key) = (text("cert"), text("key"));
    let (certs, keys) = (known(Path::new(&text("pairs")), "crt"), known(Path::new(&text("pairs")), "key"));
    let wanted = task["loads"].as_u64().expect("a number");
    let mut seen = Seen::default();
    let mut last = None;
    while seen.loads < wanted || !stop.exists() {
        seen.loads += 1;
        let load = match how.as_str() {
            "path" => by_path(&dir, &cert, &key),
            how => opened(&dir, &cert, &key, || {
                if how == "held" {
                    hold(&dir, seen.loads, &stop)
                }
            }),
        };
        match load.unwrap_or_else(|error| panic!("{how} {}: {error}", dir.display())) {
            Load::Gone => seen.gone += 1,
            Load::Unopened => seen.unopened += 1,
            Load::Files(cert, key) => match (certs.get(&cert), keys.get(&key)) {
                (Some(one), Some(other)) if one == other => {
                    seen.whole += 1;
                    seen.changes += u64::from(last.replace(*one) != Some(*one));
                }
                (Some(_), Some(_)) => seen.mixed += 1,
                _ => seen.torn += 1,
            },
        }
    }
    let out = json!({
        "loads": seen.loads, "whole": seen.whole, "mixed": seen.mixed, "torn": seen.torn, "gone": seen.gone, "unopened": seen.unopened,
        "changes": seen.changes,
    });
    fs::write(text("out"), out.to_string()).expect("it is written");
}

/// The number of the pair for each content.
fn known(pairs: &Path, suffix: &str) -> HashMap<Vec<u8>, usize> {
    let mut known = HashMap::new();
    for number in 0.. {
        match fs::read(pairs.join(format!("{number}.{suffix}"))) {
            Ok(bytes) => known.insert(bytes, number),
            Err(_) => break,
        };
    }
    assert!(!known.is_empty());
    known
}

fn by_path(dir: &Path, cert: &str, key: &str) -> io::Result<Load> {
    let read = |name: &str| fs::read(dir.join(name));
    match (read(cert), read(key)) {
        (Ok(cert), Ok(key)) => Ok(Load::Files(cert, key)),
        (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(Load::Unopened),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

fn opened(current: &Path, cert: &str, key: &str, between: impl FnOnce()) -> io::Result<Load> {
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    let dir = match open(current, OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(dir) => dir,
        Err(nix::errno::Errno::ENOENT) => return Ok(Load::Unopened),
        Err(error) => return Err(error.into()),
    };
    let Some(cert) = read_at(&dir, cert)? else { return Ok(Load::Gone) };
    between();
    Ok(read_at(&dir, key)?.map_or(Load::Gone, |key| Load::Files(cert, key)))
}

fn read_at(dir: &OwnedFd, name: &str) -> io::Result<Option<Vec<u8>>> {
    use nix::fcntl::{OFlag, openat};
    let mut file = match openat(dir, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty()) {
        Ok(file) => File::from(file),
        Err(nix::errno::Errno::ENOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::with_capacity(4096);
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Holds what was opened: for a while that differs from load to load, or until another generation, and one more, has come.
fn hold(current: &Path, load: u64, stop: &Path) {
    if load.is_multiple_of(2) {
        std::thread::sleep(Duration::from_micros(load * 7919 % 60_000));
        return;
    }
    let inode = || fs::metadata(current).map(|metadata| metadata.ino()).ok();
    let (start, mut last, mut others) = (Instant::now(), inode(), 0);
    while others < 3 && start.elapsed() < Duration::from_secs(5) && !stop.exists() {
        std::thread::sleep(Duration::from_millis(2));
        let now = inode();
        others += u32::from(now != last);
        last = now;
    }
}
