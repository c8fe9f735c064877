//! A host on which one scenario is prepared over and over, and what must hold on it.

use super::host::Host;
use super::pairs::Pair;
use super::points::{Kind, Loss};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

/// What is wrong, in words.
pub type Found<T> = Result<T, String>;

/// One set in one dest.
#[derive(Clone)]
pub struct Place {
    pub set: &'static str,
    pub dest: &'static str,
    /// The names of certificate and key in `dest`.
    pub names: (&'static str, &'static str),
    /// What is there before the run.
    pub before: Option<&'static Pair>,
    /// What may be there once all is done.
    pub after: Vec<&'static Pair>,
    /// Whether it is whole before the run, and so at every moment.
    pub at_rest: bool,
    /// Whether who goes by path finds a whole pair at every moment, too.
    pub by_path: bool,
}

/// How the plain apply that follows must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Well; the plan after it is empty.
    Settled,
    /// With what the check took back.
    RolledBack,
}

/// The host, and what is true on it.
pub struct Bench {
    pub host: Host,
    pub places: Vec<Place>,
    /// Names that must be gone in the end.
    pub gone: Vec<&'static str>,
    /// Names that must be gone when the command, given once more, has come to its end.
    pub gone_at_last: Vec<&'static str>,
    /// What the hook is expected to have seen, in files of the host.
    pub hook_sees: Vec<&'static str>,
    /// The source that may be lost without harm to a run that was announced.
    pub sources: Vec<&'static str>,
    turn: usize,
    strangers: BTreeMap<PathBuf, String>,
}

pub const CERT: &str = "fullchain.pem";
pub const KEY: &str = "privkey.pem";
const POOL: u8 = 6;

/// The `number`th pair of a set, the same for all.
pub fn pair(name: &str, number: usize) -> &'static Pair {
    static POOLS: OnceLock<BTreeMap<String, Vec<Pair>>> = OnceLock::new();
    let pools = POOLS.get_or_init(|| {
        let pool = |name: &str| (name.to_owned(), (0..POOL).map(|number| Pair::new(&format!("{name}.test"), number)).collect());
        ["site", "side"].map(pool).into()
    });
    let pool = &pools[name];
    &pool[number % pool.len()]
}

impl Bench {
    pub fn new() -> Bench {
        let host = Host::new();
        Bench {
            host,
            places: Vec::new(),
            gone: Vec::new(),
            gone_at_last: Vec::new(),
            hook_sees: Vec::new(),
            sources: vec!["live"],
            turn: 0,
            strangers: BTreeMap::new(),
        }
    }

    /// An empty host.
    pub fn wipe(&mut self) {
        for entry in fs::read_dir(self.host.dir()).expect("a listing") {
            let path = entry.expect("an entry").path();
            let done = if path.symlink_metadata().expect("metadata").is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            done.expect("it is removed");
        }
        self.strangers.clear();
    }

    /// The pair that is due next, and the one before it.
    pub fn turn(&mut self, name: &str) -> (&'static Pair, &'static Pair) {
        self.turn += 1;
        (pair(name, self.turn - 1), pair(name, self.turn))
    }

    pub fn now(&self, name: &str) -> &'static Pair {
        pair(name, self.turn)
    }

    /// Puts certificate and key into a folder.
    pub fn put(&self, folder: &str, pair: &Pair) {
        self.host.write(&format!("{folder}/{CERT}"), pair.fullchain());
        self.host.write(&format!("{folder}/{KEY}"), &pair.key);
    }

    /// A file, a link and a folder of others in this folder, with an owner and a mode that certsync would not choose.
    pub fn strangers_in(&mut self, folder: &str) {
        self.host.write(&format!("{folder}/notes.txt"), "not ours\n");
        self.host.write(&format!("{folder}/more/cert.pem"), "not ours either\n");
        let dir = self.host.at(folder);
        chown(dir.join("notes.txt"), Some(12_345), Some(23_456)).expect("its owner is set");
        self.host.mode(&format!("{folder}/notes.txt"), 0o4604);
        self.host.mode(&format!("{folder}/more"), 0o2751);
        let _ = symlink("nowhere", dir.join("a link"));
        for name in ["notes.txt", "more", "more/cert.pem", "a link"] {
            let path = dir.join(name);
            let shown = look(&path);
            self.strangers.insert(path, shown);
        }
    }

    /// A run that must go well; it prepares the scenario.
    #[track_caller]
    pub fn settle(&self) {
        let output = self.call(&["apply", "-q"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn call(&self, args: &[&str]) -> Output {
        self.host.command(args).output().expect("the program runs")
    }

    /// Everything that must hold at once, whatever happened to the run.
    pub fn stands(&self) -> Found<()> {
        for place in self.places.iter().filter(|place| place.at_rest) {
            self.stands_at(place)?;
        }
        self.strangers_are_left_alone()
    }

    fn stands_at(&self, place: &Place) -> Found<()> {
        let current = self.host.at(&format!("{}/.certsync/{}/current", place.dest, place.set));
        let allowed: Vec<&Pair> = place.before.iter().copied().chain(place.after.iter().copied()).collect();
        let shown =
            File::open(&current).ok().map(|opened| read_pair(Path::new(&format!("/proc/self/fd/{}", opened.as_raw_fd())), place.names));
        if let Some(found) = &shown
            && !found.as_ref().is_ok_and(|found| allowed.iter().any(|pair| is(pair, found)))
        {
            return Err(format!("{} does not lead to a whole pair", current.display()));
        }
        if !place.by_path {
            return Ok(());
        }
        match read_pair(&self.host.at(place.dest), place.names) {
            Ok(found) if allowed.iter().any(|pair| is(pair, &found)) => Ok(()),
            Ok(_) => Err(format!("half a pair in {}", place.dest)),
            Err(_) if place.before.is_none() && shown.is_none() => Ok(()),
            Err(error) => Err(format!("no pair in {}: {error}", place.dest)),
        }
    }

    /// Without the source: the next run ends what was announced, and nobody finds half a pair.
    pub fn rolls_forward(&self) -> Found<()> {
        for source in &self.sources {
            fs::rename(self.host.at(source), self.host.at(&format!("{source}.away"))).expect("a source is moved");
        }
        let output = self.call(&["apply", "-q"]);
        for source in &self.sources {
            fs::rename(self.host.at(&format!("{source}.away")), self.host.at(source)).expect("a source is moved");
        }
        if output.status.success() {
            return Err("a missing source went unnoticed".into());
        }
        for place in &self.places {
            let allowed: Vec<&Pair> = place.before.iter().copied().chain(place.after.iter().copied()).collect();
            match read_pair(&self.host.at(place.dest), place.names) {
                Ok(found) if allowed.iter().any(|pair| is(pair, &found)) => {}
                Err(_) if place.before.is_none() => {}
                Ok(_) => return Err(format!("half a pair in {} after an apply without the source", place.dest)),
                Err(error) => return Err(format!("no pair in {} after an apply without the source: {error}", place.dest)),
            }
        }
        self.strangers_are_left_alone()
    }

    /// The next plain apply ends as it must, and after it everything is in its place.
    pub fn recovers(&self, ends: Ends) -> Found<()> {
        let output = self.call(&["apply", "--format", "json"]);
        self.keeps_keys(&output)?;
        let said = || String::from_utf8_lossy(&output.stderr).into_owned();
        match (ends, output.status.code()) {
            (Ends::Settled, Some(0)) | (Ends::RolledBack, Some(1)) => {}
            (_, code) => return Err(format!("the next apply ended with {code:?}: {}", said())),
        }
        if ends == Ends::RolledBack {
            let json: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
            all_rolled_back(&json)?;
        }
        self.is_settled(ends)?;
        nothing_left(self.host.dir())
    }

    /// The plan is empty, the right pairs are there, and the hook has succeeded for them.
    pub fn is_settled(&self, ends: Ends) -> Found<()> {
        let plan = self.call(&["plan", "--format", "json", "--detailed-exitcode"]);
        match (ends, plan.status.code()) {
            (Ends::Settled, Some(0)) | (Ends::RolledBack, Some(1)) => {}
            (_, code) => return Err(format!("plan ended with {code:?}: {}", String::from_utf8_lossy(&plan.stdout))),
        }
        for place in &self.places {
            let found = read_pair(&self.host.at(place.dest), place.names).map_err(|error| format!("{}: {error}", place.dest))?;
            if !place.after.iter().any(|pair| is(pair, &found)) {
                return Err(format!("the wrong pair in {}", place.dest));
            }
        }
        if let Some(name) = self.gone.iter().find(|name| self.host.has(name)) {
            return Err(format!("{name} is still there"));
        }
        let seen = fs::read_to_string(self.host.at("seen")).unwrap_or_default();
        let is_there: String = self.hook_sees.iter().map(|path| self.seen_at(path)).collect();
        if !self.hook_sees.is_empty() && seen != is_there {
            return Err(format!("the hook has not succeeded for what is installed: {} bytes seen, {} there", seen.len(), is_there.len()));
        }
        self.strangers_are_left_alone()
    }

    /// The command, given once more after a fault, comes to its end; or it had come there already, and says so.
    pub fn comes_to_its_end(&self, command: &[&str], kind: Kind) -> Found<()> {
        let output = self.call(command);
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() && !said.contains("is not installed here") {
            return Err(format!("given once more: {said}"));
        }
        self.is_gone(kind)?;
        self.is_settled(Ends::Settled)?;
        nothing_left(self.host.dir())
    }

    /// Whether the command has come to its end.
    pub fn is_gone(&self, kind: Kind) -> Found<()> {
        // A directory that a played power cut brings back has another inode, by which certsync no longer knows it for its own.
        let may_be_empty = kind == Kind::PowerCut(Loss::All);
        let is_there = |name: &&&str| self.host.has(name) && !(may_be_empty && fs::remove_dir(self.host.at(name)).is_ok());
        match self.gone_at_last.iter().find(is_there) {
            Some(name) => Err(format!("{name} is still there")),
            None => Ok(()),
        }
    }

    fn seen_at(&self, path: &str) -> String {
        if path.ends_with("/current") { self.host.link(path) + "\n" } else { self.host.read(path) }
    }

    /// No line of a private key is in what a run printed.
    pub fn keeps_keys(&self, output: &Output) -> Found<()> {
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let keys = (0..usize::from(POOL)).flat_map(|number| [pair("site", number), pair("side", number)]);
        let mut lines = keys.flat_map(|pair| pair.key.lines()).filter(|line| line.len() >= 16 && !line.starts_with("-----"));
        if lines.any(|line| text.contains(line)) { Err(format!("a line of a private key was printed: {text}")) } else { Ok(()) }
    }

    fn strangers_are_left_alone(&self) -> Found<()> {
        for (path, before) in &self.strangers {
            let now = look(path);
            if now != *before {
                return Err(format!("{} was touched: {before} became {now}", path.display()));
            }
        }
        Ok(())
    }
}

fn is(pair: &Pair, found: &(String, String)) -> bool {
    pair.fullchain() == found.0 && pair.key == found.1
}

fn read_pair(dir: &Path, names: (&str, &str)) -> std::io::Result<(String, String)> {
    Ok((fs::read_to_string(dir.join(names.0))?, fs::read_to_string(dir.join(names.1))?))
}

/// All that can be seen of a file, times included.
fn look(path: &Path) -> String {
    let Ok(m) = path.symlink_metadata() else { return "nothing".into() };
    let content = match fs::read_link(path) {
        Ok(target) => target.display().to_string(),
        Err(_) => fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default(),
    };
    let (mode, times) = (m.permissions().mode(), (m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()));
    format!("{} {} {mode:o} {} {} {} {times:?} {content:?}", m.ino(), m.nlink(), m.uid(), m.gid(), m.size())
}

fn all_rolled_back(report: &Value) -> Found<()> {
    let sets = report["sets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let installs = || sets.iter().flat_map(|set| set["installs"].as_array().map(Vec::as_slice).unwrap_or_default());
    if installs().next().is_none() || !installs().all(|install| install["result"] == "rolled_back") {
        return Err(format!("not everything was rolled back: {report}"));
    }
    Ok(())
}

/// Nothing with a temporary name is anywhere below.
pub fn nothing_left(dir: &Path) -> Found<()> {
    for entry in fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))? {
        let entry = entry.map_err(|error| error.to_string())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(".new-") || name.starts_with(".trash-") {
            return Err(format!("{} was left behind", entry.path().display()));
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            nothing_left(&entry.path())?;
        }
    }
    Ok(())
}
