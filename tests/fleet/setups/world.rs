//! An example of `examples/` on nodes, and beside it, on the same nodes, the script that it replaces.

use super::pairs::Pair;
use crate::gate_user::{rules, sudo_has};
use crate::support::node::OPERATOR;
use crate::support::{Fleet, Node, Server, server};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// The folder of scripts, and where every node has a copy.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fleet/scripts");

/// Who did it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    Script,
    Certsync,
}

impl By {
    /// The folder below `/srv` with what this side's service has: `calls` and `loaded`.
    pub fn name(self) -> &'static str {
        match self {
            By::Script => "by-script",
            By::Certsync => "by-certsync",
        }
    }
}

/// The spec of an example, its paths and programs as the nodes have them. `examples/README.md` lists the replacements.
pub fn adapted(example: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example).join("certsync.yaml");
    let mut spec = fs::read_to_string(file).expect("the example's spec");
    for folder in ["/etc/", "/home/"] {
        spec = spec.replace(folder, &format!("/srv{folder}"));
    }
    for program in ["docker", "nginx", "systemctl"] {
        for part in ["check", "run"] {
            spec = spec.replace(&format!("{part}: [{program}, "), &format!("{part}: [/srv/bin/{program}, "));
        }
    }
    spec
}

/// Starts a node for each server of the example; addresses, ports and keys are those of the nodes.
pub fn fleet_of(example: &str) -> Fleet {
    let spec = adapted(example);
    let (before, rest) = spec.split_once("\nservers:\n").expect("servers");
    let end = rest.match_indices('\n').map(|(at, _)| at + 1).find(|at| rest[*at..].starts_with(|c: char| c.is_alphabetic()));
    let (lines, after) = rest.split_at(end.expect("certs after the servers"));
    let before = before.split_once("version: 1\n").expect("a version").1;
    Fleet::new(&servers(lines), &format!("{before}\n{after}"))
}

fn servers(lines: &str) -> Vec<Server> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for line in lines.lines().map(|line| line.split(" #").next().unwrap_or_default().trim_end()).filter(|line| !line.is_empty()) {
        match line.strip_prefix("    ") {
            None => found.push((line.trim().trim_end_matches(':').to_owned(), Vec::new())),
            Some(pair) => {
                let of_the_node = ["address", "port", "public_key", "host_key"].iter().any(|key| pair.starts_with(&format!("{key}:")));
                let server = found.last_mut().expect("a server's name before its keys");
                server.1.extend((!of_the_node).then(|| pair.to_owned()));
            }
        }
    }
    found.iter().map(|(name, pairs)| server(name, &pairs.join(", "))).collect()
}

/// Runs a command of the shell there, as root; answers with what it printed.
#[track_caller]
pub fn sh(node: &Node, command: &str) -> String {
    let done = node.inside("sh").args(["-euc", command]).stdin(Stdio::null()).output().expect("it runs");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{command}\n{text}{}", String::from_utf8_lossy(&done.stderr));
    text
}

/// Writes a program of the node's, `/srv/bin/NAME`.
pub fn program(node: &Node, name: &str, text: &str) {
    let path = format!("bin/{name}");
    node.write(&path, text);
    fs::set_permissions(node.path(&path), fs::Permissions::from_mode(0o755)).expect("its mode");
}

/// What the script printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub said: String,
}

impl Ran {
    /// The exit status, in words.
    pub fn exit(&self) -> String {
        self.status.map_or_else(|| "killed".to_owned(), |status| format!("exit {status}"))
    }
}

/// Runs a script of `tests/fleet/scripts` there as the operator, as his crontab would. `under` is a program that runs it, such as strace.
pub fn script(node: &Node, under: &[&str], words: &[&str]) -> Ran {
    let id = OPERATOR.1.to_string();
    let home = format!("HOME=/srv/home/{}", OPERATOR.0);
    let operator = ["setpriv", "--reuid", &id, "--regid", &id, "--init-groups", "env", &home];
    root_script(node, &[under, &operator].concat(), words)
}

/// The same as root; `words` may also begin with a program by its whole path.
pub fn root_script(node: &Node, under: &[&str], words: &[&str]) -> Ran {
    let (first, rest) = installed(node, words);
    let all: Vec<&str> = under.iter().copied().chain([first.as_str()]).chain(rest.iter().copied()).collect();
    let mut command = node.inside(all[0]);
    let done = command.args(&all[1..]).env("RENEWED_LINEAGE", LINEAGE).stdin(Stdio::null()).output().expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    Ran { status: done.status.code(), said }
}

/// The lineage that certbot tells its hooks.
const LINEAGE: &str = "/srv/etc/letsencrypt/live/example.com";

/// Brings the script to the node; answers with its place there and its arguments.
fn installed<'a>(node: &Node, words: &'a [&'a str]) -> (String, &'a [&'a str]) {
    let (name, rest) = words.split_first().expect("a program");
    if name.starts_with('/') {
        return ((*name).to_owned(), rest);
    }
    program(node, name, &fs::read_to_string(Path::new(SCRIPTS).join(name)).expect("a script"));
    (format!("/srv/bin/{name}"), rest)
}

/// Runs this as root, and kills it with all that it has started once something is so.
pub fn group_killed(node: &Node, words: &[&str], is_so: impl FnMut() -> bool) {
    let (first, rest) = installed(node, words);
    let mut command = node.inside("setsid");
    command.args(["sh", "-c", "echo $$ >/srv/group; exec \"$@\"", "sh", &first]).args(rest).env("RENEWED_LINEAGE", LINEAGE);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    crate::support::process::eventually("it is time to kill it", is_so);
    sh(node, "kill -KILL -$(cat /srv/group); rm /srv/group");
    let _ = child.wait();
}

/// strace, so that a process dies as it is about to give a file its name for the `NTH` time.
pub const KILLED: &str = "strace -f -qqq -o /dev/null -e inject=/rename:signal=KILL:when=NTH";

/// strace, so that each file gets its name a moment later than the one before.
pub const SLOWLY: &str = "strace -f -qqq -o /dev/null -e inject=/rename:delay_exit=300000";

/// Has sshd start another program in the place of certsync.
pub fn gate_through(node: &Node, program: &str) {
    let file = format!("home/{}/.ssh/authorized_keys", node.user());
    let lines = node.read(&file);
    assert!(lines.contains("command=\"/opt/certsync gate "), "{lines}");
    node.write(&file, &lines.replace("command=\"/opt/certsync gate ", &format!("command=\"{program} gate ")));
}

/// The rule for sudo of `docs/fleet.md`, and no other.
pub fn sudo_for(node: &Node) {
    let [rule, _] = rules(node);
    sudo_has(node, &[rule]);
}

/// What somebody gets who has copied this key and asks for a command.
pub fn thief(key: &Path, to: &Node, account: &str, command: &str) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let copy = dir.path().join("key");
    fs::copy(key, &copy).expect("a copy");
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no"]);
    ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-p", &to.port.to_string(), "-l", account]);
    let done = ssh.arg("-i").arg(&copy).args(["127.0.0.1", command]).stdin(Stdio::null()).output().expect("ssh");
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(!told.contains("Permission denied (publickey)"), "the key is in use: {told}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// A service that reads certificate and key of `tls` when `name` is called. It may be out of order, take its caller with it, or need long.
pub fn loads(node: &Node, by: By, name: &str, tls: &str) {
    let own = by.name();
    let text = format!(
        "#!/bin/sh\n[ ! -e /srv/down ] || {{ echo 'out of order' >&2; exit 1; }}\n\
         [ ! -e /srv/deadly ] || {{ kill -9 $PPID; exit 1; }}\n\
         while [ -e /srv/wait ]; do touch /srv/{own}/waiting; sleep 0.05; done\n\
         echo \"$*\" >>/srv/{own}/calls\nmkdir /srv/{own}/loaded.$$\ncp {tls}/fullchain.pem {tls}/privkey.pem /srv/{own}/loaded.$$/ || exit 1\n\
         ln -s loaded.$$ /srv/{own}/link.$$\nmv -T /srv/{own}/link.$$ /srv/{own}/loaded\n"
    );
    program(node, name, &text);
}

/// Waits for it, at most a minute; answers whether it came about.
pub fn awaited(mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        if Instant::now() > end {
            return false;
        }
        sleep(Duration::from_millis(50));
    }
    true
}

/// Lets a user of one node log in as `account` at another one, with a shell, as such scripts want it.
pub fn befriend(from: &Node, user: &str, to: &Node, account: &str) {
    let home = from.path(&format!("home/{user}/.ssh"));
    if !home.join("id_ed25519").exists() {
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(home.join("id_ed25519")).status();
        assert!(made.expect("ssh-keygen").success());
        fs::write(home.join("config"), "Host *\n BatchMode yes\n StrictHostKeyChecking accept-new\n LogLevel ERROR\n").expect("written");
        sh(from, &format!("chown -R {user}: /srv/home/{user}/.ssh; chmod 700 /srv/home/{user}/.ssh"));
    }
    let key = fs::read_to_string(home.join("id_ed25519.pub")).expect("a key");
    let lines = format!("home/{account}/.ssh/authorized_keys");
    let before = fs::read_to_string(to.path(&lines)).unwrap_or_default();
    to.write(&lines, &(before + &key));
    sh(to, &format!("chown -R {account}: /srv/home/{account}/.ssh; chmod 700 /srv/home/{account}/.ssh"));
}

/// Writes a renewal to a folder, file by file over what is there.
pub fn write(folder: &Path, pair: &Pair) {
    fs::create_dir_all(folder).expect("a folder");
    for (name, text) in pair.files() {
        fs::write(folder.join(name), text).expect("a file");
    }
}

/// What lies in a folder, or what a service has loaded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Held {
    Nothing,
    /// Certificate and key of the renewal with this number in the list.
    Whole(usize),
    /// Certificate and key of these two.
    Mixed(usize, usize),
    /// A certificate, and no key.
    NoKey,
}

/// Looks at `fullchain.pem` and `privkey.pem` as a service does when it starts.
pub fn held(folder: &Path, known: &[Pair]) -> Held {
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
    of(read("fullchain.pem").as_deref(), read("privkey.pem").as_deref(), known)
}

fn of(chain: Option<&str>, key: Option<&str>, known: &[Pair]) -> Held {
    let chain = chain.map(|chain| known.iter().position(|pair| pair.fullchain() == chain).expect("a whole file that is known"));
    let key = key.map(|key| known.iter().position(|pair| pair.key == key).expect("a whole key that is known"));
    match (chain, key) {
        (Some(chain), Some(key)) if chain == key => Held::Whole(chain),
        (Some(chain), Some(key)) => Held::Mixed(chain, key),
        (Some(_), None) => Held::NoKey,
        (None, _) => Held::Nothing,
    }
}

impl Held {
    /// In words, where `new` is the number of the newest.
    pub fn words(self, new: usize) -> &'static str {
        match self {
            Held::Nothing => "nothing",
            Held::Whole(number) if number == new => "the new pair",
            Held::Whole(_) => "the old pair",
            Held::Mixed(chain, key) if chain > key => "a new certificate with the old key",
            Held::Mixed(..) => "an old certificate with the new key",
            Held::NoKey => "a certificate without a key",
        }
    }
}

/// Several of those, in words.
pub fn any_of(seen: &BTreeSet<Held>, new: usize) -> String {
    seen.iter().map(|held| held.words(new)).collect::<Vec<_>>().join(" or ")
}

/// Loads certificate and key again and again, as services do that start at any moment.
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<Held>>,
}

impl Reader {
    pub fn start(folder: PathBuf, known: Vec<Pair>) -> Reader {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = spawn(move || {
            let mut seen = BTreeSet::new();
            while !asked.load(Ordering::Relaxed) {
                let chain = || fs::read_to_string(folder.join("fullchain.pem")).ok();
                sleep(Duration::from_millis(1));
                let (before, key, after) = (chain(), fs::read_to_string(folder.join("privkey.pem")).ok(), chain());
                // Whoever looks just as something is switched may have read one before it and one after.
                if before == after {
                    seen.insert(of(before.as_deref(), key.as_deref(), &known));
                }
            }
            seen
        });
        Reader { stop, thread }
    }

    pub fn seen(self) -> BTreeSet<Held> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the reader ends")
    }
}
