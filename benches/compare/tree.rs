//! Trees of sets to compare on: a source as certbot or an operator lays it out, a spec for it, what certsync installs, what rsync copied.

use crate::measure::Line;
use crate::pairs::Pair;
use serde_json::Value;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

/// The program that is compared, unless another is named.
const CERTSYNC: &str = env!("CARGO_BIN_EXE_certsync");
/// The hook of every spec: it does nothing, and what it costs is taken off where the bar leaves it out.
pub const HOOK: &str = "/bin/true";
/// Certificates with their keys that the sets share; what a set costs does not depend on whose names are in it.
const DISTINCT: usize = 20;

/// How a source lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// As certbot has it: `live/NAME/*.pem` are links into `archive/NAME/`. One pattern set of the spec takes all.
    Certbot,
    /// A directory of real files for each set, and an entry of the spec for each.
    Plain,
}

/// One tree, in a directory of its own.
pub struct Tree {
    dir: PathBuf,
    /// How many sets.
    pub sets: usize,
    source: Source,
    program: PathBuf,
}

impl Tree {
    /// Makes the source and the spec in a new directory `dir`.
    pub fn new(dir: PathBuf, sets: usize, source: Source) -> Tree {
        let tree = Tree { dir, sets, source, program: CERTSYNC.into() };
        private(&tree.dir);
        private(&tree.dir.join("source"));
        if source == Source::Certbot {
            private(&tree.live());
            private(&tree.dir.join("source/archive"));
        }
        for number in 0..sets {
            let name = name(number);
            let pair = &first_pairs()[number % DISTINCT];
            private(&tree.live().join(&name));
            match source {
                Source::Certbot => {
                    private(&tree.dir.join("source/archive").join(&name));
                    tree.renew(number, pair, 1);
                }
                Source::Plain => pair.files().iter().for_each(|(file, text)| write(&tree.live().join(&name).join(file), text)),
            }
        }
        fs::write(tree.spec(), tree.spec_text()).expect("the spec");
        tree
    }

    /// With this certsync instead of the one built beside the benchmark.
    #[must_use]
    pub fn with(self, program: Option<&Path>) -> Tree {
        Tree { program: program.map_or(self.program, Path::to_owned), ..self }
    }

    /// As certbot renews: new files in the archive, then each link is turned. `version` is certbot's number in their names.
    pub fn renew(&self, number: usize, pair: &Pair, version: usize) {
        let name = name(number);
        for (file, text) in pair.files() {
            let file = file.trim_end_matches(".pem");
            let kept = format!("archive/{name}/{file}{version}.pem");
            write(&self.dir.join("source").join(&kept), &text);
            let link = self.live().join(&name).join(format!("{file}.pem"));
            let _ = fs::remove_file(&link);
            symlink(format!("../../{kept}"), link).expect("a link");
        }
    }

    /// Where everything is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory that holds one for each set.
    pub fn live(&self) -> PathBuf {
        self.dir.join(match self.source {
            Source::Certbot => "source/live",
            Source::Plain => "source",
        })
    }

    /// What certsync installs.
    pub fn installed(&self) -> PathBuf {
        self.dir.join("installed")
    }

    /// What rsync has copied.
    pub fn copied(&self) -> PathBuf {
        self.dir.join("copied")
    }

    fn spec(&self) -> PathBuf {
        self.dir.join("certsync.yaml")
    }

    fn spec_text(&self) -> String {
        let dir = self.dir.display();
        let mut text = format!("version: 1\nhooks:\n  reload: {{ run: [{}] }}\ncerts:\n", HOOK);
        match self.source {
            Source::Certbot => {
                text += &format!("  all:\n    source: {dir}/source/live/*\n");
                text += &format!("    install: {{ dest: \"{dir}/installed/{{name}}\", hooks: [reload] }}\n");
            }
            Source::Plain => {
                for name in (0..self.sets).map(name) {
                    text += &format!("  {name}:\n    source: {dir}/source/{name}\n");
                    text += &format!("    install: {{ dest: {dir}/installed/{name}, hooks: [reload] }}\n");
                }
            }
        }
        text
    }

    /// A call of certsync for this tree.
    pub fn certsync(&self, command: &str) -> Line {
        Line::new(&self.program).arg(command).arg(self.spec()).arg("--state-dir").arg(self.dir.join("state"))
    }

    /// Lets rsync copy the live tree.
    pub fn copy(&self) {
        Line::new("rsync").arg("-aL").arg(slashed(&self.live())).arg(slashed(&self.copied())).run();
    }

    /// Applies until a run leaves all its files as they are: content read within the clock tick of its change is looked at again.
    ///
    /// # Panics
    /// If a run has anything to do.
    pub fn settle(&self) {
        let look =
            || ["cache", "state.json"].map(|file| fs::metadata(self.dir.join("state").join(file)).ok().map(|m| (m.ino(), m.mtime_nsec())));
        for _ in 0..50 {
            let before = look();
            self.certsync("apply").args(["-q", "--detailed-exitcode"]).run();
            if look() == before && before[0].is_some() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("certsync writes its cache again and again");
    }

    /// Removes what certsync installed and recorded.
    pub fn forget(&self) {
        for folder in ["installed", "state"] {
            remove(&self.dir.join(folder));
        }
    }

    /// The sets for which a plan has something to say: by the JSON of the plan, and by its text.
    pub fn planned(&self) -> (Vec<String>, Vec<String>) {
        let json: Value = serde_json::from_str(&self.certsync("plan").args(["--format", "json"]).run()).expect("JSON");
        let sets = json["sets"].as_array().into_iter().flatten();
        let changed = sets.filter(|set| set["result"] != "unchanged").map(|set| set["name"].as_str().unwrap_or_default().to_owned());
        let text = self.certsync("plan").run();
        let told = (0..self.sets).map(name).filter(|name| text.contains(name.as_str()));
        (changed.collect(), told.collect())
    }
}

/// The name of a set.
pub fn name(number: usize) -> String {
    format!("site{number:05}.test")
}

/// A renewal of the set: its key and certificate are new.
pub fn renewed(number: usize, version: u8) -> Pair {
    Pair::new(&format!("site{}.test", number % DISTINCT), version)
}

/// The path as rsync takes it for "what is in here".
pub fn slashed(path: &Path) -> String {
    format!("{}/", path.display())
}

/// Removes a folder, if it is there.
pub fn remove(folder: &Path) {
    if folder.symlink_metadata().is_ok() {
        fs::remove_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    }
}

fn first_pairs() -> &'static [Pair] {
    static PAIRS: OnceLock<Vec<Pair>> = OnceLock::new();
    PAIRS.get_or_init(|| (0..DISTINCT).map(|number| renewed(number, 1)).collect())
}

fn private(folder: &Path) {
    DirBuilder::new().mode(0o700).create(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
}

fn write(path: &Path, text: &str) {
    let mode = if text.contains("PRIVATE KEY") { 0o600 } else { 0o644 };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.write_all(text.as_bytes()).expect("a file");
}
