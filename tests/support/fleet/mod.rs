//! A fleet on one machine: each node with its own sshd on a loopback port, and with its own view of the file system.
//!
//! Every node sees its own folder as `/srv`, so that one spec with the same paths serves all of them, as it would on as many hosts: the spec
//! is `/srv/certsync.yaml`, the state directory `/srv/state`, root's home `/srv/home/root`, that of the user `certsync` (who exists on the nodes
//! only) `/srv/home/certsync`. Its processes are in a namespace of their own and end with it. Needs root.

#![allow(dead_code, unused_imports, reason = "each suite uses its own part of this")]

pub mod chance;
#[path = "../leaks.rs"]
pub mod leaks;
pub mod node;
#[path = "../../e2e/support/process.rs"]
pub mod process;
pub mod proxy;

pub use chance::{Chance, whole_or};
pub use node::{Answer, Login, Node};
pub use proxy::{Proxy, Way};

use process::{free_port, run};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// What this suite needs and does not find; a test without it is skipped, and says so.
pub fn is_lacking(test: &str) -> bool {
    let is_there = |name: &str| {
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&dirs).chain(["/usr/sbin".into()]).any(|dir| dir.join(name).is_file())
    };
    let lacking = if !nix::unistd::geteuid().is_root() {
        Some("needs root".to_owned())
    } else {
        let programs = ["sshd", "ssh", "ssh-keygen", "rsync", "unshare", "nsenter", "setpriv"];
        programs.iter().find(|name| !is_there(name)).map(|name| format!("{name} is not installed"))
    };
    if let Some(why) = &lacking {
        eprintln!("skipped: {test}: {why}");
    }
    lacking.is_some()
}

/// Nodes with one spec.
pub struct Fleet {
    nodes: Vec<Node>,
    certs: String,
    root: TempDir,
}

/// One line below `servers:`.
pub struct Server {
    name: String,
    rest: String,
}

/// A server: its name, and what stands in its line of the spec beside address, port and keys, such as `upstream: mgmt, user: root`.
pub fn server(name: &str, rest: &str) -> Server {
    Server { name: name.into(), rest: rest.into() }
}

impl Fleet {
    /// Starts a node for each server and gives each its key, the spec, and the lines of authorized_keys that the spec makes. `certs` is the
    /// rest of the spec.
    pub fn new(servers: &[Server], certs: &str) -> Fleet {
        let root = tempfile::Builder::new().prefix("certsync-fleet-").tempdir().expect("a folder");
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        let node = |server: &Server| Node::start(&server.name, &server.rest, &root.path().join(&server.name), free_port());
        let nodes: Vec<Node> = servers.iter().map(node).collect();
        let mut fleet = Fleet { nodes, certs: certs.into(), root };
        for at in (0..fleet.nodes.len()).filter(|at| !fleet.nodes[*at].is_bare()).collect::<Vec<_>>() {
            let key = fleet.nodes[at].certsync(&["keygen"]).ok();
            fleet.nodes[at].public_keys = vec![key.trim_end().to_owned()];
        }
        fleet.tell();
        fleet
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no node {name}"))
    }

    /// The same, to be changed.
    pub fn node_mut(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.name == name).unwrap_or_else(|| panic!("no node {name}"))
    }

    /// Puts something between this node and those that call it; the nodes hear of it by [`Fleet::tell`].
    pub fn put_before(&mut self, name: &str) -> Proxy {
        let node = self.node_mut(name);
        let proxy = Proxy::before(node.port);
        node.called_at = proxy.port;
        proxy
    }

    /// All nodes, in the order of the spec.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Changes the rest of the spec; the nodes hear of it by [`Fleet::tell`].
    pub fn set_certs(&mut self, certs: &str) {
        self.certs = certs.into();
    }

    /// The spec as it is now.
    pub fn spec(&self) -> String {
        let lines: String = self.nodes.iter().map(Node::line).collect();
        format!("version: 1\nservers:\n{lines}{}", self.certs)
    }

    /// Gives every node the spec as it is now, and the lines of authorized_keys that it makes.
    pub fn tell(&self) {
        for node in self.nodes.iter().filter(|node| !node.is_bare()) {
            self.tell_one(node);
        }
    }

    /// The same for one node.
    pub fn tell_one(&self, node: &Node) {
        node.write("certsync.yaml", &self.spec());
        let file = format!("/srv/home/{}/.ssh/authorized_keys", node.user());
        node.certsync(&["authorized-keys", "-q", "--write", &file]).ok();
    }
}

/// What all nodes share.
struct Common {
    /// The folder of the program.
    programs: PathBuf,
    /// The private host key of every sshd.
    host_key: String,
    /// Its public half.
    host_key_line: String,
}

fn common() -> &'static Common {
    static COMMON: OnceLock<Common> = OnceLock::new();
    COMMON.get_or_init(|| {
        // A benchmark's program is another one than a test's.
        let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(if cfg!(debug_assertions) { "fleet" } else { "fleet-release" });
        folder(&programs, 0o755);
        let program = programs.join("certsync");
        // Of another run of this suite it may be in use.
        let temporary = programs.join(format!("new-{}", std::process::id()));
        let built = env!("CARGO_BIN_EXE_certsync");
        fs::hard_link(built, &temporary).or_else(|_| fs::copy(built, &temporary).map(drop)).expect("the program");
        fs::rename(&temporary, program).expect("the program in its place");
        // Where it stands there already, the rename has left it.
        let _ = fs::remove_file(&temporary);
        let keys = tempfile::tempdir().expect("a folder");
        let host_key = keys.path().join("host_key");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&host_key));
        let read = |path: PathBuf| fs::read_to_string(path).expect("a key");
        // As Debian's init script makes it: sshd wants it.
        fs::create_dir_all("/run/sshd").expect("a folder for sshd");
        Common { programs, host_key_line: read(host_key.with_extension("pub")).trim_end().to_owned(), host_key: read(host_key) }
    })
}

/// Makes a folder with this mode, whatever the umask.
fn folder(path: &Path, mode: u32) {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path).expect("a folder");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
}
