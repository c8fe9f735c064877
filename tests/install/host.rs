//! A host of one test: a directory with a spec, sources, dests and a state directory, and the program run on it.

use super::leaks;
use super::pairs::Pair;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A spec of one set from `live` in `ssl` with a hook that writes a line to `hooks.log`; `%` is what else the install says.
pub const ONE: &str = "\
version: 1
hooks:
  log: { run: \"echo ran >> [DIR]/hooks.log\" }
certs:
  site:
    source: live
    install: { dest: ssl, hooks: [log] % }
";

pub struct Host {
    dir: tempfile::TempDir,
}

/// What one call answered.
pub struct Run {
    pub status: i32,
    pub json: Value,
    pub stderr: String,
}

impl Host {
    pub fn new() -> Host {
        Host::below(&std::env::temp_dir())
    }

    /// In a directory of its own below `parent`, on whatever file system that is.
    pub fn below(parent: &Path) -> Host {
        Host { dir: tempfile::Builder::new().prefix("certsync-install-").tempdir_in(parent).expect("a temporary directory") }
    }

    /// The host of [`ONE`], its source filled with the first pair; `rest` is added to the install.
    pub fn one(rest: &str) -> (Host, Pair) {
        let host = Host::new();
        host.spec_one(rest);
        let pair = Pair::new("site.test", 1);
        host.source("live", &pair);
        (host, pair)
    }

    /// The same, applied.
    #[track_caller]
    pub fn installed(rest: &str) -> (Host, Pair) {
        let (host, pair) = Host::one(rest);
        host.apply().has_status(2);
        host.quiet();
        host.forget_hooks();
        (host, pair)
    }

    pub fn spec_one(&self, rest: &str) {
        self.spec(&ONE.replace('%', &if rest.is_empty() { String::new() } else { format!(", {rest}") }));
    }

    pub fn spec(&self, text: &str) {
        self.write("certsync.yaml", text.replace("[DIR]", &self.dir().display().to_string()));
        self.mode("certsync.yaml", 0o644);
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.dir().join(path)
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let file = self.at(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("folders");
        fs::write(file, bytes).expect("a file is written");
    }

    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[track_caller]
    pub fn read_bytes(&self, path: &str) -> Vec<u8> {
        fs::read(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn has(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    #[track_caller]
    pub fn remove(&self, path: &str) {
        let path = self.at(path);
        let metadata = path.symlink_metadata().expect("it is there");
        if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.expect("it is removed");
    }

    pub fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).expect("a mode is set");
    }

    #[track_caller]
    pub fn mode_of(&self, path: &str) -> String {
        let metadata = fs::metadata(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        format!("{:04o}", metadata.permissions().mode() & 0o7777)
    }

    #[track_caller]
    pub fn link(&self, path: &str) -> String {
        fs::read_link(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}")).display().to_string()
    }

    #[track_caller]
    pub fn owner_of(&self, path: &str) -> (u32, u32) {
        let metadata = fs::metadata(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (metadata.uid(), metadata.gid())
    }

    /// Certbot's four files as plain files.
    pub fn source(&self, folder: &str, pair: &Pair) {
        for (name, text) in pair.files() {
            self.write(&format!("{folder}/{name}"), text);
        }
    }

    /// A renewal of `live`.
    pub fn renew(&self, number: u8) -> Pair {
        let pair = Pair::new("site.test", number);
        self.source("live", &pair);
        pair
    }

    /// Whether `dest` shows exactly this pair.
    #[track_caller]
    pub fn shows(&self, dest: &str, pair: &Pair) {
        for (name, text) in pair.files() {
            assert_eq!(self.read(&format!("{dest}/{name}")), text, "{dest}/{name}");
        }
    }

    /// The generation in place.
    #[track_caller]
    pub fn current(&self, dest: &str, set: &str) -> String {
        self.link(&format!("{dest}/.certsync/{set}/current"))
    }

    /// Generations on disk, sorted by number.
    pub fn generations(&self, dest: &str, set: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.at(&format!("{dest}/.certsync/{set}"))) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|name| name != "current").collect();
        names.sort_by_key(|name| name.split('-').next().and_then(|number| number.parse::<u64>().ok()));
        names
    }

    /// Lines that hooks wrote.
    pub fn hooks(&self) -> usize {
        fs::read_to_string(self.at("hooks.log")).map_or(0, |text| text.lines().count())
    }

    pub fn forget_hooks(&self) {
        let _ = fs::remove_file(self.at("hooks.log"));
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.read("state/state.json")).expect("JSON")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_certsync"));
        self.environment(&mut command);
        command.args(args);
        command
    }

    /// The environment of every call.
    pub fn environment(&self, command: &mut Command) {
        command.env_clear().current_dir(self.dir()).env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.dir());
        command.env("CERTSYNC_SPEC", self.at("certsync.yaml")).env("CERTSYNC_STATE_DIR", self.at("state"));
    }

    /// Runs the program under strace and answers with the lines of these system calls that name a path of the host, shown as `[DIR]`.
    /// Needs root: the program is not dumpable, and strace of a plain user cannot tell what its descriptors are.
    #[track_caller]
    pub fn traced(&self, calls: &str, args: &[&str]) -> Vec<String> {
        let mut command = Command::new("strace");
        self.environment(&mut command);
        // Not every processor has every call, and not every strace knows the latest: the question mark lets those be.
        let calls: Vec<String> = calls.split(',').map(|call| format!("?{call}")).collect();
        command.args(["-f", "-y", "-o"]).arg(self.at("trace")).args([
            "-e",
            &format!("trace={}", calls.join(",")),
            env!("CARGO_BIN_EXE_certsync"),
        ]);
        let output = command.args(args).output().expect("strace");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = self.read("trace");
        self.remove("trace");
        let dir = self.dir().display().to_string();
        text.lines().filter(|line| line.contains(&dir)).map(|line| line.replace(&dir, "[DIR]")).collect()
    }

    /// A call whose answer is JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Run {
        let mut all = vec![args[0], "--format", "json", "--detailed-exitcode"];
        all.extend(&args[1..]);
        let output = self.command(&all).output().expect("the program runs");
        leaks::note_run(self.dir(), &output.stdout, &output.stderr);
        Run::of(output)
    }

    #[track_caller]
    pub fn apply(&self) -> Run {
        self.json(&["apply"])
    }

    #[track_caller]
    pub fn plan(&self) -> Run {
        self.json(&["plan"])
    }

    /// Plan and apply find nothing to do.
    #[track_caller]
    pub fn quiet(&self) {
        self.plan().has_status(0).says_nothing();
        let before = self.read("state/state.json");
        self.apply().has_status(0).says_nothing();
        assert_eq!(self.read("state/state.json"), before, "state.json is byte for byte the same");
        self.plan().has_status(0).says_nothing();
    }

    /// The plan announces what apply then does, with one result and reason; afterwards nothing is to do.
    #[track_caller]
    pub fn planned_and_applied(&self, result: &str, reason: &str) -> Run {
        let plan = self.plan().has_status(2);
        plan.is(result, reason);
        let run = self.apply().has_status(2);
        run.is(result, reason);
        let hooks = |run: &Run| run.json["hooks"].as_array().map_or(0, Vec::len);
        assert_eq!(hooks(&plan), hooks(&run), "the hooks of the plan are those that ran: {} {}", plan.json, run.json);
        self.quiet();
        run
    }

    /// Every path below with what can be seen of it, times and inodes too.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut out = BTreeMap::new();
        snapshot(self.dir(), &mut out);
        out
    }
}

fn snapshot(dir: &Path, out: &mut BTreeMap<PathBuf, String>) {
    let m = dir.symlink_metadata().expect("metadata");
    let mut text = format!("{} {:o} {} {} {} {}.{}", m.ino(), m.mode(), m.uid(), m.gid(), m.size(), m.ctime(), m.ctime_nsec());
    if m.is_symlink() {
        text += &format!(" {}", fs::read_link(dir).expect("a link").display());
    } else if m.is_file() {
        text += &format!(" {:?}", fs::read(dir).map(|bytes| bytes.len()));
    }
    out.insert(dir.to_owned(), text);
    if m.is_dir() {
        for entry in fs::read_dir(dir).expect("a listing") {
            snapshot(&entry.expect("an entry").path(), out);
        }
    }
}

impl Run {
    #[track_caller]
    pub fn of(output: Output) -> Run {
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let json = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
        Run { status: output.status.code().unwrap_or(-1), json, stderr: stderr.into_owned() }
    }

    #[track_caller]
    pub fn has_status(self, status: i32) -> Run {
        assert_eq!(self.status, status, "{:#}\n{}", self.json, self.stderr);
        self
    }

    #[track_caller]
    pub fn says_nothing(&self) {
        let diffs: Vec<&Value> = self.installs().filter(|install| install["diff"] != Value::Array(Vec::new())).collect();
        assert!(diffs.is_empty() && self.json["hooks"] == Value::Array(Vec::new()), "{:#}", self.json);
        assert_eq!((&self.json["changed"], &self.json["failed"]), (&Value::Bool(false), &Value::Bool(false)));
    }

    fn installs(&self) -> impl Iterator<Item = &Value> {
        self.json["sets"].as_array().into_iter().flatten().flat_map(|set| set["installs"].as_array().into_iter().flatten())
    }

    /// The only set has this result for this reason.
    #[track_caller]
    pub fn is(&self, result: &str, reason: &str) {
        let set = &self.json["sets"][0];
        assert_eq!((set["result"].as_str(), set["reason"].as_str().unwrap_or("-")), (Some(result), reason), "{:#}", self.json);
    }

    #[track_caller]
    pub fn set(&self, name: &str) -> &Value {
        let mut sets = self.json["sets"].as_array().into_iter().flatten();
        sets.find(|set| set["name"] == name).unwrap_or_else(|| panic!("no set {name} in {:#}", self.json))
    }

    /// Paths in the diff of the first install.
    pub fn paths(&self) -> Vec<&str> {
        let diff = self.json["sets"][0]["installs"][0]["diff"].as_array();
        diff.into_iter().flatten().filter_map(|change| change["path"].as_str()).collect()
    }

    #[track_caller]
    pub fn complains(&self, part: &str) -> &Run {
        assert!(self.stderr.contains(part), "{part:?} is not in {}\n{:#}", self.stderr, self.json);
        self
    }
}

/// Whether the test may give files away; says so when it is skipped.
pub fn is_root() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// Whether a program is there; says so when a test is skipped.
pub fn there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: needs {program}");
    }
    found
}
