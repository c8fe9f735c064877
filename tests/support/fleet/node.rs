//! One node: a folder, a namespace, an sshd.

use super::process::listens;
use super::{common, folder, leaks};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The user and group of the unprivileged gate.
pub const GATE: (&str, u32) = ("certsync", 39_990);
/// An operator, in the group [`SHARED`] as well.
pub const OPERATOR: (&str, u32) = ("ushio", 39_991);
/// Another account, and a group.
pub const SHARED: (&str, u32) = ("ssl", 39_992);

/// A node. Everything that runs in it ends when it is dropped.
pub struct Node {
    pub name: String,
    pub port: u16,
    /// The port that the spec has.
    pub called_at: u16,
    /// What the spec says are its keys.
    pub public_keys: Vec<String>,
    rest: String,
    root: PathBuf,
    sshd: Child,
    /// The first process in its namespace.
    init: u32,
}

/// What a program printed.
#[derive(Debug)]
pub struct Answer {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    fn of(command: &mut Command) -> Answer {
        let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Answer { status: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// What it printed, where it has succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// A plain `ssh` to a node, as somebody would use it who has a key.
pub struct Login<'a> {
    pub to: &'a Node,
    /// The private key, as seen from outside.
    pub key: PathBuf,
}

impl Node {
    pub(super) fn start(name: &str, rest: &str, root: &Path, port: u16) -> Node {
        prepare(root, port);
        let log = fs::File::create(root.join("sshd.log")).expect("a log");
        let mut sshd = Command::new("setpriv");
        sshd.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]);
        let sshd = sshd.args(["sh", "-euc", INIT, "sh"]).arg(root).arg(&common().programs).stdin(Stdio::null());
        let sshd = sshd.stdout(log.try_clone().expect("a second handle")).stderr(log).spawn().expect("a node starts");
        let mut node = Node {
            name: name.into(),
            port,
            called_at: port,
            public_keys: Vec::new(),
            rest: rest.into(),
            root: root.to_owned(),
            sshd,
            init: 0,
        };
        node.wait();
        node
    }

    fn wait(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        while !listens(self.port) {
            let ended = self.sshd.try_wait().expect("its status");
            assert!(ended.is_none() && Instant::now() < end, "{} does not listen: {ended:?}\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        let id = self.sshd.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("its children");
        self.init = children.trim().parse().expect("one child");
    }

    /// Its line in the spec.
    pub(super) fn line(&self) -> String {
        if self.is_bare() {
            let (name, port, host_key) = (&self.name, self.port, &common().host_key_line);
            return format!("  {name}: {{ address: 127.0.0.1, port: {port}, host_key: {host_key:?}, {} }}\n", self.rest);
        }
        let quoted: Vec<String> = self.public_keys.iter().map(|key| format!("{key:?}")).collect();
        let comma = if self.rest.is_empty() { "" } else { ", " };
        format!(
            "  {}: {{ address: 127.0.0.1, port: {}, public_key: [{}], host_key: {:?}{comma}{} }}\n",
            self.name,
            self.called_at,
            quoted.join(", "),
            common().host_key_line,
            self.rest
        )
    }

    /// Whether it is a server without certsync.
    pub fn is_bare(&self) -> bool {
        self.rest.contains("via:")
    }

    /// Changes what stands in its line of the spec; the nodes hear of it by `Fleet::tell`.
    pub fn set_rest(&mut self, rest: &str) {
        self.rest = rest.into();
    }

    /// Lets somebody log in here, as an operator does it: `options` go before the key.
    pub fn let_in(&self, options: &str, key: &str) {
        self.write(&format!("home/{}/.ssh/authorized_keys", self.user()), &format!("{options} {key}\n"));
    }

    /// How often somebody has logged in here.
    pub fn logins(&self) -> usize {
        self.log().matches("Accepted publickey").count()
    }

    /// Who logs in here.
    pub fn user(&self) -> &str {
        if self.rest.contains("user: root") { "root" } else { GATE.0 }
    }

    /// Where `/srv/PATH` of the node is for us.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join("srv").join(path)
    }

    /// Writes `/srv/PATH`.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.path(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Reads `/srv/PATH`.
    pub fn read(&self, path: &str) -> String {
        let file = self.path(path);
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// What its sshd has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root.join("sshd.log")).unwrap_or_default()
    }

    /// Runs certsync there, as root.
    pub fn certsync(&self, args: &[&str]) -> Answer {
        let answer = Answer::of(self.inside("/opt/certsync").args(args));
        leaks::note(&self.path(""), &self.path("state"), answer.stdout.as_bytes(), answer.stderr.as_bytes());
        answer
    }

    /// It can forget all that certsync keeps there: nothing is left of its state directory.
    pub fn forgets(&self) {
        self.certsync(&["forget", "/srv/state"]).ok();
        let left = fs::read_dir(self.path("state")).map(|left| left.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>());
        assert!(left.is_err(), "{}: {left:?}", self.name);
    }

    /// A program to be run there, as root.
    pub fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--mount", "--pid", "--", program]);
        command.env_clear().env("PATH", "/opt:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/srv/home/root");
        command.env("CERTSYNC_SPEC", "/srv/certsync.yaml").env("CERTSYNC_STATE_DIR", "/srv/state").env("CERTSYNC_AS", &self.name);
        command
    }

    /// Where its private key is.
    pub fn key(&self) -> PathBuf {
        self.path("state/keys/id_ed25519")
    }

    /// Adds lines to the settings of its sshd, which reads them for the next connection. The first value of a setting holds.
    pub fn set_sshd(&self, lines: &str) {
        let config = format!("{lines}\n{}", self.read("sshd_config"));
        self.write("sshd_config", &config);
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.init.cast_signed()), nix::sys::signal::Signal::SIGHUP)
            .expect("sshd is told");
        // It starts again as a whole, under the same number, and then listens again.
        let end = Instant::now() + Duration::from_secs(20);
        while !self.log().contains("Received SIGHUP; restarting.") || !self.log().ends_with('\n') || !listens(self.port) {
            assert!(Instant::now() < end, "sshd did not start again: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The kernel ends all that runs in the namespace with it.
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

impl Login<'_> {
    /// Logs in with more options and a command.
    pub fn run(&self, args: &[&str]) -> Answer {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]);
        ssh.args([
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            "-p",
            &self.to.port.to_string(),
        ]);
        ssh.arg("-i").arg(&self.key).args(["-l", self.to.user()]);
        Answer::of(ssh.args(args))
    }

    /// Logs in and asks for a command, which the far end may run or not.
    pub fn ask(&self, command: &str) -> Answer {
        self.run(&["127.0.0.1", command])
    }

    /// Whether the far end takes the key.
    pub fn is_let_in(&self) -> bool {
        let answer = self.ask("true");
        !answer.stderr.contains("Permission denied (publickey)")
    }
}

/// What becomes the node: `$1` is its folder, `$2` that of the program.
const INIT: &str = r#"
for file in passwd group shadow; do mount --bind "$1/etc/$file" "/etc/$file"; done
mount --bind "$2" /opt
mount --bind "$1/srv" /srv
cd /
exec "$(command -v sshd || echo /usr/sbin/sshd)" -D -e -f /srv/sshd_config
"#;

fn prepare(root: &Path, port: u16) {
    let srv = root.join("srv");
    for path in ["etc", "srv", "srv/home", "srv/home/root", "srv/home/root/.ssh"] {
        folder(&root.join(path), 0o755);
    }
    folder(&root.join("srv/home/root"), 0o700);
    let accounts = [GATE, OPERATOR, SHARED];
    for (name, id) in accounts {
        for path in [format!("home/{name}"), format!("home/{name}/.ssh")] {
            folder(&srv.join(&path), 0o755);
            chown(srv.join(path), Some(id), Some(id)).expect("his own");
        }
    }
    let others = |file: &str| {
        let text = fs::read_to_string(file).expect("it is there");
        let ours = |line: &str| line.starts_with("root:") || accounts.iter().any(|(name, _)| line.starts_with(&format!("{name}:")));
        text.lines().filter(|line| !ours(line)).map(|line| format!("{line}\n")).collect::<String>()
    };
    let all = |line: fn(&str, u32) -> String| accounts.iter().map(|(name, id)| line(name, *id)).collect::<String>();
    let put = |file: &str, own: String| fs::write(root.join("etc").join(file), own + &others(&format!("/etc/{file}"))).expect("written");
    let passwd = all(|name, id| format!("{name}:x:{id}:{id}::/srv/home/{name}:/bin/sh\n"));
    put("passwd", format!("root:x:0:0:root:/srv/home/root:/bin/sh\n{passwd}"));
    let group = all(|name, id| format!("{name}:x:{id}:{}\n", if name == SHARED.0 { OPERATOR.0 } else { "" }));
    put("group", format!("root:x:0:\n{group}"));
    // A star is no password and no lock.
    put("shadow", format!("root:*:19000:0:99999:7:::\n{}", all(|name, _| format!("{name}:*:19000:0:99999:7:::\n"))));
    // What `restrict` forbids, sshd would allow. The key exchange is the one that costs least: many are made.
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey /srv/host_key\nPidFile none\nUsePAM no\nStrictModes yes\nLogLevel VERBOSE\n\
         AuthorizedKeysFile .ssh/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
         AllowTcpForwarding yes\nAllowAgentForwarding yes\nAllowStreamLocalForwarding yes\nX11Forwarding yes\nPermitTTY yes\nPermitUserRC yes\n\
         MaxStartups 500\nKexAlgorithms curve25519-sha256\nSubsystem sftp internal-sftp\n"
    );
    fs::write(srv.join("host_key"), &common().host_key).expect("written");
    fs::set_permissions(srv.join("host_key"), fs::Permissions::from_mode(0o600)).expect("its mode");
    fs::write(srv.join("sshd_config"), config).expect("written");
}
