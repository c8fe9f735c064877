//! What certsync printed and kept, recorded; and the search for lines of private keys in it.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Where `scripts/test` wants the records of all suites.
const RECORD: &str = "CERTSYNC_TEST_RECORD";
/// The file in a record that holds the lines to look for, one each; every other file is searched.
const KEYS: &str = "key-lines";
/// Lines shorter than this (the last of a key, sometimes) prove nothing.
const SHORTEST: usize = 16;

/// Where private keys belong in a state directory: sets, this host's own, sets that were brought and not taken yet, copies of what masters have.
const PRIVATE: [&str; 5] = ["store", "keys", "inbox", "refused", "rsync"];

/// One test's record.
pub struct Recorder {
    folder: PathBuf,
}

impl Recorder {
    /// Begins the record of a test, in place of an earlier one.
    pub fn new(test: &str) -> Recorder {
        let folder = records().join(test);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the record's folder");
        Recorder { folder }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Remembers the lines of every private key that lies in `root` now.
    pub fn learn_keys(&self, root: &Path) {
        let mut lines: BTreeSet<String> =
            fs::read_to_string(self.folder.join(KEYS)).unwrap_or_default().lines().map(str::to_owned).collect();
        let known = lines.len();
        for file in files(root) {
            lines.extend(fs::read_to_string(file).map(|text| key_lines(&text)).unwrap_or_default());
        }
        if lines.len() > known {
            let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
            fs::write(self.folder.join(KEYS), text).expect("the lines to look for");
        }
    }

    /// Keeps what a run printed.
    pub fn keep_output(&self, stdout: &[u8], stderr: &[u8]) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("output")).expect("the record of outputs");
        file.write_all(stdout).and_then(|()| file.write_all(stderr)).expect("the record of outputs");
    }

    /// Keeps a copy of a state directory without what may hold keys.
    pub fn keep_state(&self, state: &Path) {
        for file in files(state) {
            let relative = file.strip_prefix(state).expect("a file of the state directory");
            let holds_keys = |first: &OsStr| PRIVATE.iter().any(|name| first == OsStr::new(name));
            if !relative.components().next().is_some_and(|first| holds_keys(first.as_os_str())) {
                let copy = self.folder.join("state").join(relative);
                fs::create_dir_all(copy.parent().expect("a parent")).expect("a folder of the record");
                // Where several runs share a state directory, a temporary file may be gone by now.
                if let Err(error) = fs::copy(&file, copy) {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", file.display());
                }
            }
        }
    }
}

/// Notes a run of the program in `dir`, whose state directory is `dir/state`. See [`note`].
pub fn note_run(dir: &Path, stdout: &[u8], stderr: &[u8]) {
    note(dir, &dir.join("state"), stdout, stderr);
}

/// Notes a run of the program: the keys below `dir`, what it printed, and its state directory. Does nothing unless `scripts/test` collects the
/// records of all suites, so that a developer's `cargo test` stays quick.
pub fn note(dir: &Path, state: &Path, stdout: &[u8], stderr: &[u8]) {
    if std::env::var_os(RECORD).is_none() {
        return;
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed").replace("::", "-");
    let recorder = Recorder { folder: records().join(format!("{}-{test}", env!("CARGO_CRATE_NAME"))) };
    fs::create_dir_all(&recorder.folder).expect("the record's folder");
    recorder.learn_keys(dir);
    recorder.keep_output(stdout, stderr);
    recorder.keep_state(state);
}

/// What a search found.
#[derive(Default)]
pub struct Found {
    /// How many lines of keys were looked for.
    pub lines: usize,
    /// In how many bytes.
    pub bytes: usize,
    /// Files that hold one.
    pub leaks: BTreeSet<PathBuf>,
}

/// Looks for every known line of every key in everything recorded under `folders`.
pub fn scan(folders: &[PathBuf]) -> Found {
    let (keys, records): (Vec<_>, Vec<_>) =
        folders.iter().flat_map(|folder| files(folder)).partition(|file| file.file_name() == Some(OsStr::new(KEYS)));
    let lines: BTreeSet<String> = keys
        .iter()
        .flat_map(|file| fs::read_to_string(file).expect("lines to look for").lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut beginnings: HashMap<&[u8], Vec<&str>> = HashMap::new();
    for line in &lines {
        beginnings.entry(&line.as_bytes()[..SHORTEST]).or_default().push(line);
    }
    let mut found = Found { lines: lines.len(), ..Found::default() };
    for file in records {
        let bytes = fs::read(&file).expect("a recorded file");
        found.bytes += bytes.len();
        // Only long runs of base64 characters can hold a line; without this step the search would be quadratic.
        let mut runs = bytes.split(|byte| !is_base64(*byte)).filter(|run| run.len() >= SHORTEST);
        let holds = |run: &[u8]| {
            let starts = run.windows(SHORTEST).enumerate().filter_map(|(at, start)| Some((at, beginnings.get(start)?)));
            starts.into_iter().any(|(at, lines)| lines.iter().any(|line| run[at..].starts_with(line.as_bytes())))
        };
        if runs.any(holds) {
            found.leaks.insert(file);
        }
    }
    found
}

/// Where records are: kept after the run, so that the last test can search them all.
pub fn records() -> PathBuf {
    std::env::var_os(RECORD).map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("test-record"), PathBuf::from)
}

/// The lines of base64 in the private keys of this text.
pub fn key_lines(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("-----") {
            inside = line.starts_with("-----BEGIN") && line.contains("PRIVATE KEY");
        } else if inside && line.len() >= SHORTEST && line.bytes().all(is_base64) {
            lines.push(line.to_owned());
        }
    }
    lines
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}
