//! What the READMEs say, on a Debian that has only what its installer brings: `scripts/prove fresh` makes the root directory and names it in
//! `CERTSYNC_TEST_FRESH`.

use crate::hosts::{Host, Hosts, Init, lacking_on};
use crate::{DEST, LIVE, top};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// The root directory, or why the test is left out, which is said.
fn fresh(test: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CERTSYNC_TEST_FRESH").map(PathBuf::from);
    let why = match &root {
        None => Some("CERTSYNC_TEST_FRESH names no root directory: scripts/prove fresh".to_owned()),
        Some(root) => lacking_on(root, &[]),
    };
    match why {
        None => root,
        Some(why) => {
            eprintln!("skipped: {test}: {why}");
            None
        }
    }
}

/// Debian's archive, as a host in the network of the others: what connects there is carried on from this machine.
struct Archive {
    server: Child,
    name: String,
}

impl Archive {
    fn start(hosts: &Hosts, root: &Path) -> Archive {
        let sources = fs::read_to_string(root.join("etc/apt/sources.list")).expect("where apt looks");
        let name = sources.split_once("http://").and_then(|(_, rest)| rest.split_once('/')).expect("a host").0.to_owned();
        let carry = format!("exec 3<>/dev/tcp/{name}/80; {{ cat <&3; kill $$; }} & cat >&3; kill $!");
        let listen = "ip address add 10.0.0.254/24 dev br0; exec systemd-socket-activate --accept --inetd --listen 10.0.0.254:80 \"$@\"";
        let mut server = hosts.on_switch();
        server.args(["sh", "-c", listen, "sh", "nsenter", &format!("--net=/proc/{}/ns/net", std::process::id()), "bash", "-c", &carry]);
        let server = server.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("nsenter runs");
        Archive { server, name }
    }

    /// Tells a host where it is.
    fn tell(&self, host: &Host) {
        host.run(&format!("echo '10.0.0.254 {}' >>/etc/hosts", self.name));
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The first block of shell commands in a document.
fn commands(document: &str) -> Vec<String> {
    let text = fs::read_to_string(top().join(document)).expect("a document");
    let (_, rest) = text.split_once("```sh\n").expect("a block");
    let (block, _) = rest.split_once("```").expect("its end");
    block.lines().map(str::to_owned).collect()
}

/// A host with systemd and without certsync.
fn start(hosts: &mut Hosts, name: &str, address: Ipv4Addr) {
    hosts.start_with(Init::Systemd, name, address, "mv /usr/bin/certsync /srv/built").expect("systemd runs");
}

/// A checkout in `/root/certsync` that has been built.
fn check_out(host: &Host) {
    for folder in ["roles", "modules", "examples"] {
        host.copy(&top().join(folder), &format!("/root/certsync/{folder}"));
    }
    host.run("mkdir -p certsync/target/release && mv /srv/built certsync/target/release/certsync && ! command -v certsync");
}

#[test]
fn the_puppet_module_s_readme_brings_up_its_example() {
    let Some(root) = fresh("the_puppet_module_s_readme_brings_up_its_example") else {
        return;
    };
    let commands = commands("modules/puppet/certsync/README.md");
    assert_eq!(commands.len(), 2, "{commands:?}");
    let mut hosts = Hosts::on(&root);
    start(&mut hosts, "web1", [10, 0, 0, 11].into());
    let host = hosts.host("web1");
    let archive = Archive::start(&hosts, &root);
    archive.tell(host);
    check_out(host);
    for command in &commands {
        println!("{}", host.run(&format!("cd certsync && {command}")));
    }
    host.run(&format!("systemctl is-active nginx && cmp {DEST}/www.example.com/cert.pem {LIVE}/cert.pem"));
    // A second run changes nothing: status 0.
    println!("{}", host.run(&format!("cd certsync && {} --detailed-exitcodes", commands[1])));
}

#[test]
fn the_quickstart_works_without_root() {
    let Some(root) = fresh("the_quickstart_works_without_root") else {
        return;
    };
    let mut hosts = Hosts::on(&root);
    start(&mut hosts, "desk", [10, 0, 0, 21].into());
    let host = hosts.host("desk");
    check_out(host);
    // The program is the one of this test; building it needs what the README says.
    let readme = fs::read_to_string(top().join("README.md")).expect("a document");
    let (_, rest) = readme.split_once("$ cargo run -- ").expect("the first command");
    let words = rest.lines().next().expect("a line");
    host.run("useradd -m -s /bin/bash ada && mv certsync/target/release/certsync /usr/bin/");
    host.run("cp -r --no-preserve=all certsync /home/ada/ && chown -R ada: /home/ada");
    let said = host.run(&format!("su - ada -c 'cd certsync && certsync {words}'"));
    assert!(said.contains("www.example.com: installed (new)\n") && said.ends_with("applied: 1 installed; hooks: reload\n"), "{said}");
    let again = host.run(&format!("su - ada -c 'cd certsync && certsync {words}'"));
    assert_eq!(again, "nothing to do: 1 unchanged\n");
}

#[test]
fn the_ansible_role_s_readme_brings_up_its_fleet() {
    let Some(root) = fresh("the_ansible_role_s_readme_brings_up_its_fleet") else {
        return;
    };
    let commands = commands("roles/ansible/certsync/README.md");
    assert_eq!(commands.len(), 2, "{commands:?}");
    let mut hosts = Hosts::on(&root);
    for (name, last) in [("mgmt", 1), ("web1", 11), ("web2", 12)] {
        start(&mut hosts, name, [10, 0, 0, last].into());
    }
    let archive = Archive::start(&hosts, &root);
    let mgmt = hosts.host("mgmt");
    check_out(mgmt);
    // Root can log in from there, as the README asks.
    mgmt.run("ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519");
    let key = mgmt.run("cat ~/.ssh/id_ed25519.pub");
    for host in hosts.hosts() {
        archive.tell(host);
        host.write("/root/.ssh/authorized_keys", &key);
        let known = host.run("cut -d' ' -f1-2 /etc/ssh/ssh_host_ed25519_key.pub");
        mgmt.run(&format!("echo '{} {}' >>~/.ssh/known_hosts", host.address, known.trim()));
    }
    let recap = |text: &str| text.lines().filter(|line| line.contains("changed=")).map(str::to_owned).collect::<Vec<_>>();
    for command in &commands {
        println!("{}", mgmt.run(&format!("cd certsync && ANSIBLE_NOCOLOR=1 && export ANSIBLE_NOCOLOR && {command}")));
    }
    let certificate = mgmt.run(&format!("cat {LIVE}/cert.pem"));
    for name in ["web1", "web2"] {
        let host = hosts.host(name);
        assert_eq!(host.run(&format!("systemctl -q is-active nginx && cat {DEST}/cert.pem")), certificate, "{name}");
    }
    let again = mgmt.run(&format!("cd certsync && {}", commands[1]));
    assert!(recap(&again).len() == 3 && recap(&again).iter().all(|line| line.contains("changed=0")), "{again}");
}
