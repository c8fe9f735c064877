//! Whole hosts on one machine: each with a root directory, a host name and an address of its own, joined by a bridge.
//!
//! A host sees the machine's files as they are when it starts, or those of another root directory, and what it writes lies in memory and goes
//! with it; its users, its sshd (with Debian's own configuration), its services and its network are its own. Needs root.

#![allow(dead_code, reason = "each suite uses its own part of this")]

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What this machine needs to have hosts.
const TOOLS: [&str; 5] = ["unshare", "nsenter", "setpriv", "ip", "chroot"];

/// Every program that a host needs to be one.
const PROGRAMS: [&str; 4] = ["sshd", "ssh", "ssh-keygen", "useradd"];

/// The root directory that hosts have where a test does not choose: this machine's, or the one in `CERTSYNC_TEST_ROOT`.
fn base() -> PathBuf {
    std::env::var_os("CERTSYNC_TEST_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// What this machine lacks for hosts with these programs besides; a test without it is skipped, and says so.
pub fn lacking(programs: &[&str]) -> Option<String> {
    lacking_on(&base(), programs)
}

/// The same for hosts that have another root directory.
pub fn lacking_on(base: &Path, programs: &[&str]) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).chain(["/usr/bin", "/usr/sbin", "/sbin"].map(PathBuf::from)).collect();
    // A link may lead to where it does in that root only.
    let is_in = |base: &Path, name: &str| {
        dirs.iter()
            .any(|dir| base.join(dir.strip_prefix("/").unwrap_or(dir)).join(name).symlink_metadata().is_ok_and(|meta| !meta.is_dir()))
    };
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    let tool = TOOLS.iter().find(|name| !is_in(Path::new("/"), name));
    let missing = tool.or_else(|| PROGRAMS.iter().chain(programs).find(|name| !is_in(base, name)));
    missing.map(|name| format!("{name} is not installed"))
}

/// Hosts and what joins them. All of it ends when it is dropped.
pub struct Hosts {
    hosts: Vec<Host>,
    switch: Namespaces,
    root: TempDir,
    base: PathBuf,
}

/// One host.
pub struct Host {
    /// Its host name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    root: PathBuf,
    namespaces: Namespaces,
}

/// A process that keeps namespaces, and the first process in them.
struct Namespaces {
    keeper: Child,
    init: u32,
    /// Its control group: systemd makes others in it.
    group: Option<PathBuf>,
}

impl Hosts {
    /// None yet.
    pub fn new() -> Hosts {
        Hosts::on(&base())
    }

    /// None yet; each will begin with what lies in `base`, which stays as it is.
    pub fn on(base: &Path) -> Hosts {
        let root = tempfile::Builder::new().prefix("certsync-hosts-").tempdir().expect("a folder");
        let log = root.path().join("switch.log");
        let script = "ip link add br0 type bridge && ip link set br0 up && echo ready && exec sleep infinity";
        let switch = Namespaces::start(&["--net"], &[script], &log);
        await_line(&log, "ready");
        Hosts { hosts: Vec::new(), switch, root, base: base.canonicalize().expect("a root directory") }
    }

    /// Starts a host. `before` is a script for `sh` that runs in it, as root, before its sshd starts.
    pub fn start(&mut self, name: &str, address: Ipv4Addr, before: &str) {
        self.start_with(Init::Sshd, name, address, before).expect("a host starts");
    }

    /// The same with another first process.
    ///
    /// # Errors
    /// Why systemd does not run here; it needs more of a machine than the rest.
    pub fn start_with(&mut self, init: Init, name: &str, address: Ipv4Addr, before: &str) -> Result<(), String> {
        let root = self.root.path().join(name);
        fs::create_dir(&root).expect("a folder");
        let log = self.root.path().join(format!("{name}.log"));
        let (place, base) = (root.to_str().expect("a path in UTF-8"), self.base.to_str().expect("a path in UTF-8"));
        let kinds = ["--mount", "--net", "--uts", "--ipc", "--cgroup", "--pid", "--mount-proc"];
        let namespaces = Namespaces::start(&kinds, &[INIT, "sh", place, name, PROGRAM, before, init.word(), base], &log);
        let host = Host { name: name.to_owned(), address, root, namespaces };
        match init {
            Init::Sshd => await_line(&log, "Server listening on "),
            Init::Systemd => host.await_systemd(&log)?,
        }
        self.join(&host);
        self.hosts.push(host);
        let names: String = self.hosts.iter().map(|host| format!("{} {}\n", host.address, host.name)).collect();
        for host in &self.hosts {
            host.write("/etc/hosts", &format!("127.0.0.1 localhost\n{names}"));
        }
        Ok(())
    }

    /// A cable from the host to the bridge.
    fn join(&self, host: &Host) {
        let end = format!("to-{}", host.name);
        let netns = host.namespaces.init.to_string();
        let ip = |inside: &Namespaces, words: &[&str]| {
            let mut command = inside.enter(&["--net"]);
            let output = command.arg("ip").args(words).output().expect("ip runs");
            assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        ip(&self.switch, &["link", "add", &end, "type", "veth", "peer", "name", "eth0", "netns", &netns]);
        ip(&self.switch, &["link", "set", &end, "master", "br0", "up"]);
        ip(&host.namespaces, &["address", "add", &format!("{}/24", host.address), "dev", "eth0"]);
        ip(&host.namespaces, &["link", "set", "eth0", "up"]);
    }

    /// Pulls the host's cable out, or puts it in again.
    pub fn set_link(&self, name: &str, state: Link) {
        let state = match state {
            Link::Up => "up",
            Link::Down => "down",
        };
        let status = self.switch.enter(&["--net"]).args(["ip", "link", "set", &format!("to-{name}"), state]).status();
        assert!(status.expect("ip runs").success(), "{name}: {state}");
    }

    /// A command to be run with the network in which the cables meet, and otherwise on this machine.
    pub fn on_switch(&self) -> Command {
        self.switch.enter(&["--net"])
    }

    /// The host of this name.
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|host| host.name == name).unwrap_or_else(|| panic!("no host {name}"))
    }

    /// All hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }
}

/// What a host starts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Its sshd, and nothing else.
    Sshd,
    /// systemd, as far as `basic.target`, and sshd.
    Systemd,
}

impl Init {
    fn word(self) -> &'static str {
        match self {
            Init::Sshd => "sshd",
            Init::Systemd => "systemd",
        }
    }
}

/// Whether a cable is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Up,
    Down,
}

impl Host {
    fn await_systemd(&self, log: &Path) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let said = self.output("systemctl is-active host.target ssh.service || { systemctl is-system-running; systemctl --failed --plain --no-legend; exit 1; }");
            if said.status.success() {
                return Ok(());
            }
            if Instant::now() > end {
                let (said, log) = (String::from_utf8_lossy(&said.stdout).into_owned(), fs::read_to_string(log).unwrap_or_default());
                return Err(format!("systemd does not run here: {} {}", said.trim(), log.trim()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A shell command to be run there, as root, from root's home.
    pub fn shell(&self, command: &str) -> Command {
        let mut shell = self.namespaces.enter(&["--mount", "--net", "--uts", "--ipc", "--cgroup", "--pid", "--root", "--wdns=/"]);
        shell.args(["bash", "-c", &format!("cd; {command}")]).stdin(Stdio::null()).env_clear();
        // `/bin` first: the stand-ins find their root from where they stand.
        shell.env("PATH", "/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin");
        shell.env("HOME", "/root").env("LANG", "C.UTF-8").env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        shell
    }

    /// The same, run to its end; panics if it fails. Answers with what it printed.
    #[track_caller]
    pub fn run(&self, command: &str) -> String {
        let output = self.output(command);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}: {command}\n{}{}", self.name, text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// The same, whatever comes of it.
    pub fn output(&self, command: &str) -> Output {
        self.shell(command).output().expect("nsenter runs")
    }

    /// Copies a folder of this machine to a folder there.
    pub fn copy(&self, from: &Path, to: &str) {
        let mut tar = Command::new("tar").arg("-C").arg(from).args(["-c", "."]).stdout(Stdio::piped()).spawn().expect("tar runs");
        let packed = tar.stdout.take().expect("its stdout");
        let mut shell = self.shell("mkdir -p \"$0\" && tar -C \"$0\" --no-same-owner -x");
        let unpacked = shell.arg(to).stdin(packed).status().expect("nsenter runs");
        assert!(tar.wait().expect("its status").success() && unpacked.success(), "{to}");
    }

    /// Puts a new certificate and its key into a folder there; the certificate.
    pub fn issue(&self, folder: &str) -> String {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new(vec!["www.example.com".to_owned()]).and_then(|params| params.self_signed(&key));
        let certificate = certificate.expect("a certificate").pem();
        self.write(&format!("{folder}/cert.pem"), &certificate);
        self.write(&format!("{folder}/fullchain.pem"), &certificate);
        self.write(&format!("{folder}/privkey.pem"), &key.serialize_pem());
        certificate
    }

    /// Writes a file there, 0644.
    pub fn write(&self, path: &str, text: &str) {
        let mut shell = self.shell("mkdir -p \"$(dirname \"$0\")\" && cat >\"$0\"");
        let mut shell = shell.arg(path).stdin(Stdio::piped()).spawn().expect("nsenter runs");
        std::io::Write::write_all(&mut shell.stdin.take().expect("its stdin"), text.as_bytes()).expect("a file is written");
        assert!(shell.wait().expect("its status").success(), "{path}");
    }
}

impl Namespaces {
    fn start(kinds: &[&str], script: &[&str], log: &Path) -> Namespaces {
        let log = fs::File::create(log).expect("a log");
        let mut command = Command::new("setpriv");
        // The outer one of two process namespaces ends with us whatever its first process thinks of that, and all within with it.
        command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL", "sh", "-euc", ENTER]);
        let group = kinds.contains(&"--cgroup").then(new_group).flatten();
        command.arg(group.as_deref().unwrap_or(Path::new(""))).args(kinds).args(["--fork", "sh", "-euc"]).args(script);
        let keeper = command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log).spawn();
        let keeper = keeper.expect("unshare starts");
        let init = only_child(only_child(keeper.id()));
        Namespaces { keeper, init, group }
    }

    fn enter(&self, kinds: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string()]).args(kinds).arg("--");
        command
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // The kernel ends all that runs in a host with it.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        if let Some(group) = &self.group {
            remove_group(group);
        }
    }
}

/// A control group of its own, so that what a host's systemd does is done within it; nothing where this machine has none.
fn new_group() -> Option<PathBuf> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let all = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"].map(Path::new).into_iter().find(|dir| dir.join("cgroup.procs").exists())?;
    let group = all.join(format!("certsync-host-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&group).ok().map(|()| group)
}

/// Removes it and all in it. What was in them has been killed, and is gone in a moment.
fn remove_group(group: &Path) {
    let end = Instant::now() + Duration::from_secs(10);
    while fs::remove_dir(group).is_err() && group.exists() && Instant::now() < end {
        let inner = fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
        inner.filter(|inner| inner.is_dir()).for_each(|inner| remove_group(&inner));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Enters the control group `$0`, if any, and becomes `unshare` with the rest.
const ENTER: &str = r#"if [ -n "$0" ]; then echo 0 >"$0/cgroup.procs"; fi; exec unshare "$@""#;

fn only_child(of: u32) -> u32 {
    let children = format!("/proc/{of}/task/{of}/children");
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Ok(child) = fs::read_to_string(&children).expect("its children").trim().parse() {
            return child;
        }
        assert!(Instant::now() < end, "{of} has no child");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn await_line(log: &Path, line: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !fs::read_to_string(log).unwrap_or_default().contains(line) {
        assert!(Instant::now() < end, "{}: {}", log.display(), fs::read_to_string(log).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(5));
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_certsync");

/// What becomes the host: `$1` is an empty folder, `$2` its name, `$3` the program, `$4` what runs in it first, `$5` what it starts then, `$6` what
/// it begins with.
const INIT: &str = r#"
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/host"
mount -t overlay overlay -o "lowerdir=$6,upperdir=$1/upper,workdir=$1/work" "$1/host"
cd "$1/host"
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do touch "dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for end in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${end%:*}" "dev/${end#*:}"; done
for folder in run srv root home; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir run/sshd
chmod 700 root
rm -rf etc/certsync etc/letsencrypt var/lib/certsync usr/local/bin/certsync etc/ssh/ssh_host_*
cp "$3" usr/bin/certsync
chmod 755 usr/bin/certsync
hostname "$2"
echo "$2" >etc/hostname
ip link set lo up
chroot . ssh-keygen -q -t ed25519 -N '' -C '' -f /etc/ssh/ssh_host_ed25519_key
chroot . sh -euc "$4"
# Where this machine forbids that, only systemd cannot do without.
mount -t sysfs -o ro sysfs sys || [ "$5" = sshd ]
if [ "$5" = sshd ]; then
    exec chroot . /usr/sbin/sshd -D -e
fi
# What the machine itself would be told at boot it is not told by a host.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
: >etc/machine-id
: >etc/fstab
printf '[Unit]\nRequires=basic.target systemd-user-sessions.service ssh.service\nAfter=basic.target\nAllowIsolate=yes\n' >etc/systemd/system/host.target
mount --make-rprivate /
mkdir machine
pivot_root . machine
exec chroot . env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --show-status=0 --unit=host.target
"#;
