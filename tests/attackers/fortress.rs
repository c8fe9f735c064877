//! What is root's and must stay as it is, and the scene around it.

use super::him::HIM;
use super::host::Host;
use super::leaks;
use super::pairs::Pair;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// A host with a directory `his` of the attacker's, and a fortress of root's elsewhere and in the middle of his directory.
pub struct Scene {
    pub host: Host,
    /// A set that root alone may read: valid, so that nothing but its modes keeps it from being installed.
    secret: Pair,
}

/// How long a run may take before it counts as hanging.
const LONGEST: Duration = Duration::from_secs(60);

/// Every inode below a path, by number and time of birth: numbers come back.
pub type Held = BTreeMap<(u64, u128), Inode>;

#[derive(Clone, PartialEq, Eq)]
pub struct Inode {
    pub path: PathBuf,
    kind: u32,
    owner: (u32, u32),
    links: u64,
    times: (i64, i64, i64, i64),
    acls: Vec<(String, Vec<u8>)>,
    content: Vec<u8>,
}

impl std::fmt::Debug for Inode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (acls, bytes) = (self.acls.len(), self.content.len());
        write!(
            f,
            "{} {:o} {:?} {} links {:?} {acls} ACLs {bytes} bytes",
            self.path.display(),
            self.kind,
            self.owner,
            self.links,
            self.times
        )
    }
}

impl Inode {
    /// The same but for what a name more or less changes.
    pub fn without_names(self) -> Inode {
        let (modified, nanos, _, _) = self.times;
        Inode { links: 0, times: (modified, nanos, 0, 0), ..self }
    }

    /// Whether it is root's, and no link.
    pub fn is_roots(&self) -> bool {
        self.owner.0 == 0 && self.kind & 0o170_000 != 0o120_000
    }
}

impl Scene {
    /// The spec is [`spec`](Scene::spec)'s; its `dest` is to be in `his`.
    pub fn new(install: &str) -> Scene {
        let host = Host::new();
        fs::set_permissions(host.dir(), fs::Permissions::from_mode(0o755)).expect("its mode");
        let secret = Pair::new("site.test", 9);
        let scene = Scene { host, secret };
        scene.spec(install);
        scene.host.source("live", &Pair::new("site.test", 1));
        for (name, mode) in
            [("his", 0o755), ("his/sub", 0o755), ("fortress", 0o755), ("fortress/private", 0o700), ("fortress/empty", 0o700)]
        {
            fs::create_dir(scene.host.at(name)).expect("a directory");
            scene.host.mode(name, mode);
        }
        for path in ["his", "his/sub"] {
            scene.give(path);
        }
        scene.keep("fortress/set");
        scene.keep("fortress/private/set");
        scene.host.write("fortress/text", "root's own words\n");
        scene
    }

    /// One set from `live`; `%` becomes its install.
    pub fn spec(&self, install: &str) {
        self.host.spec(&format!(
            "version: 1\ndefaults: {{ owner: {HIM}, group: {HIM} }}\ncerts:\n  site: {{ source: live, accept: [older], install: {{ {install} }} }}\n"
        ));
    }

    /// Root's directory here holds the secret set, each file for root alone.
    pub fn keep(&self, folder: &str) {
        self.host.source(folder, &self.secret);
        for (name, _) in self.secret.files() {
            self.host.mode(&format!("{folder}/{name}"), 0o600);
        }
    }

    pub fn give(&self, path: &str) {
        lchown(self.host.at(path), Some(HIM), Some(HIM)).expect("it is given to him");
    }

    /// Gives him a directory and all in it.
    pub fn give_all(&self, path: &str) {
        for inode in held(&self.host.at(path)).values() {
            chown(&inode.path, Some(HIM), Some(HIM)).expect("it is given to him");
        }
    }

    /// Everything in the fortress.
    pub fn fortress(&self) -> Held {
        held(&self.host.at("fortress"))
    }

    /// The fortress is, inode for inode, what it was.
    #[track_caller]
    pub fn stands(&self, before: &Held, when: &str) {
        let after = self.fortress();
        for (number, inode) in before {
            assert_eq!(after.get(number), Some(inode), "{when}");
        }
        assert_eq!(after.len(), before.len(), "{when}: something was added");
    }

    /// Root's directory that was moved about is somewhere still, as it was, with all that was in it. What has come into it and its own
    /// times do not count: whoever moves it to a `dest` asks for that.
    #[track_caller]
    pub fn survives(&self, before: &Held, when: &str) {
        let after = held(self.host.dir());
        for (number, inode) in before {
            let found = after.get(number).unwrap_or_else(|| panic!("{when}: {} is gone", inode.path.display()));
            assert_eq!((found.kind, found.owner, &found.acls), (inode.kind, inode.owner, &inode.acls), "{when}: {inode:?}");
            assert_eq!((found.path.file_name(), &found.content), (inode.path.file_name(), &inode.content), "{when}: {inode:?}");
        }
    }

    /// The same for a directory that may have any name; an empty one may be gone, since its mover could have removed it himself.
    #[track_caller]
    pub fn survives_as(&self, path: &str, before: &Held, when: &str) {
        let mut inner = before.clone();
        let top = inner.iter().find(|(_, inode)| inode.path == self.host.at(path)).map(|(number, _)| *number).expect("it was there");
        let kept = inner.remove(&top).expect("it was there");
        let after = held(self.host.dir());
        let Some(found) = after.get(&top) else {
            assert!(inner.is_empty(), "{when}: {path} is gone");
            return;
        };
        assert_eq!((found.kind, found.owner, &found.acls), (kept.kind, kept.owner, &kept.acls), "{when}: {path}");
        self.survives(&inner, when);
    }

    /// No byte of the secret key lies anywhere but where root put it, nor was any of it printed.
    #[track_caller]
    pub fn tells_nothing(&self, before: &Held, runs: &[Output], when: &str) {
        let lines = leaks::key_lines(&self.secret.key);
        let has = |bytes: &[u8]| lines.iter().any(|line| bytes.windows(line.len()).any(|window| window == line.as_bytes()));
        for output in runs {
            assert!(!has(&output.stdout) && !has(&output.stderr), "{when}: printed");
        }
        for (number, inode) in held(self.host.dir()) {
            assert!(before.contains_key(&number) || !has(&inode.content), "{when}: {}", inode.path.display());
        }
    }

    /// Runs the program; it ends in time, by itself, and with an answer.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Output {
        self.finish(self.host.command(args), args)
    }

    /// The same under strace, which stops it for `micros` before and after each of the calls that look, open or make.
    #[track_caller]
    pub fn run_slowly(&self, micros: u32, args: &[&str]) -> Output {
        let mut command = Command::new("strace");
        self.host.environment(&mut command);
        let calls = "?openat,?openat2,?mkdirat,?newfstatat,?statx,?renameat,?renameat2,?readlinkat,?unlinkat,?fchown";
        command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
        command
            .args(["-e", &format!("inject={calls}:delay_enter={micros}:delay_exit={micros}"), env!("CARGO_BIN_EXE_certsync")])
            .args(args);
        self.finish(command, args)
    }

    #[track_caller]
    fn finish(&self, mut command: Command, args: &[&str]) -> Output {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let started = Instant::now();
        while child.try_wait().expect("a child").is_none() {
            if started.elapsed() > LONGEST {
                let _ = child.kill();
                panic!("{args:?} hangs");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = child.wait_with_output().expect("its answer");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code().is_some_and(|code| code < 100) && !stderr.contains("panicked"),
            "{args:?}: {:?}\n{stderr}",
            output.status
        );
        leaks::note_run(self.host.dir(), &output.stdout, &output.stderr);
        output
    }
}

/// What a terminal would obey in an answer: control characters but for line breaks, and what turns the direction of text.
pub fn controls(output: &Output) -> Vec<char> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let obeyed = |c: &char| c.is_control() && *c != '\n' || matches!(*c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(obeyed).collect()
}

/// Every inode below `top`, following nothing.
pub fn held(top: &Path) -> Held {
    let mut out = Held::new();
    hold(top, &mut out);
    out
}

fn hold(path: &Path, out: &mut Held) {
    // Somebody may be at work here.
    let Ok(meta) = path.symlink_metadata() else { return };
    let content = match () {
        () if meta.is_file() => fs::read(path).unwrap_or_default(),
        () if meta.is_symlink() => fs::read_link(path).map(|target| target.into_os_string().into_encoded_bytes()).unwrap_or_default(),
        () => Vec::new(),
    };
    let acls = ["system.posix_acl_access", "system.posix_acl_default"]
        .into_iter()
        .filter(|_| !meta.is_symlink())
        .filter_map(|name| Some((name.to_owned(), xattr::get(path, name).ok()??)))
        .collect();
    let inode = Inode {
        path: path.to_owned(),
        kind: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        links: meta.nlink(),
        times: (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()),
        acls,
        content,
    };
    let born = meta.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |age| age.as_nanos());
    out.insert((meta.ino(), born), inode);
    if meta.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            hold(&entry.path(), out);
        }
    }
}
