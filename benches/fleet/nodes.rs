//! One renewed certificate to many nodes, each with its own sshd and a hook: by push, and as people do it now.

use crate::Options;
use crate::group::{Group, Used};
use crate::measure::{Line, Sample, Series};
use crate::pairs::Pair;
use crate::report::{Bar, Report};
use crate::support::process::run as run_command;
use crate::support::{Fleet, Node, is_lacking, server};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

const PUSH: &str = "certsync apply, by push";
const RSYNC: &str = "xargs -P16 of rsync and ssh reload";
const BARE: &str = "xargs -P16 of ssh true";
const ANSIBLE: &str = "ansible-playbook -f 50";
/// What OpenSSH 9.2 chooses where nobody says anything (ssh_config(5)), and what costs least.
const KEX: [(&str, &str); 2] = [("the default", ""), ("curve25519-sha256", "  KexAlgorithms curve25519-sha256\n")];
/// What sshd of the nodes takes, so that the client chooses.
const BOTH: &str = "KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256";

const CERTS: &str = "hooks:\n  reload: { run: [/srv/reload] }\n\
    certs:\n  example.com: { source: /srv/source, targets: all, install: { dest: /srv/live, hooks: [reload] } }\n";

/// What one run cost here and there.
struct Cost {
    hub: Sample,
    both: Sample,
}

struct Site {
    fleet: Fleet,
    hub: Group,
    nodes: Group,
    renewals: u8,
}

/// The whole of it.
pub fn run(options: &Options, report: &mut Report) {
    let (Some(hub), Some(nodes)) = (Group::new("hub"), Group::new("nodes")) else {
        println!("skipped: the nodes: no control group (cgroup2) to count their CPU in");
        return;
    };
    if is_lacking("the nodes") || !crate::is_there("rsync") {
        return;
    }
    let version = Command::new("ssh").arg("-V").output().map(|said| String::from_utf8_lossy(&said.stderr).trim().to_owned());
    report.note(version.unwrap_or_default());
    report.note_version("rsync");
    let ansible = !options.no_ansible && crate::is_there("ansible-playbook");
    if ansible {
        report.note_version("ansible-playbook");
    }
    let mut site = Site::new(options, (hub, nodes));
    let mut log_ins = Vec::new();
    for (name, setting) in KEX {
        site.choose(setting);
        let title = format!("{} nodes, key exchange {name}", options.nodes);
        log_ins.push(site.compare(&title, options, ansible, report));
    }
    if let [default, curve] = log_ins[..] {
        let each = |cpu: f64| cpu / options.nodes as f64;
        report.note(format!(
            "a bare log-in costs the hub {:.1} ms of CPU with the default key exchange and {:.1} ms with curve25519-sha256: of the first, {:.0} % is what the default costs more",
            each(default),
            each(curve),
            (1.0 - curve / default) * 100.0
        ));
    }
}

impl Site {
    fn new(options: &Options, (hub, nodes): (Group, Group)) -> Site {
        let names = (0..options.nodes).map(|number| server(&format!("node{number:04}"), "upstream: mgmt, delivery: push, user: root"));
        let servers: Vec<_> = std::iter::once(server("mgmt", "user: root")).chain(names).collect();
        let fleet = nodes.inside(|| Fleet::new(&servers, CERTS));
        let site = Site { fleet, hub, nodes, renewals: 0 };
        let mgmt = site.mgmt();
        fs::set_permissions(mgmt.path("home/root/.ssh"), fs::Permissions::from_mode(0o700)).expect("its mode");
        // The key of the operator who does it by hand: it opens a shell.
        run_command(mgmt.inside("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", "/srv/home/root/.ssh/id_ed25519"]));
        let key = mgmt.read("home/root/.ssh/id_ed25519.pub");
        let host_key = run_command(mgmt.inside("ssh-keygen").args(["-y", "-f", "/srv/host_key"]));
        let (mut known, mut ports) = (String::new(), String::new());
        for node in site.others() {
            let file = "home/root/.ssh/authorized_keys";
            node.write(file, &format!("{}{key}", node.read(file)));
            node.write("reload", "#!/bin/sh\necho reloaded >>/srv/reloads\n");
            fs::set_permissions(node.path("reload"), fs::Permissions::from_mode(0o755)).expect("its mode");
            node.set_sshd(BOTH);
            known += &format!("[127.0.0.1]:{} {host_key}", node.port);
            ports += &format!("{}\n", node.port);
        }
        mgmt.write("known_hosts", &known);
        mgmt.write("ports", &ports);
        mgmt.write(
            "each",
            "rsync -a -e \"ssh -p $1\" /srv/source/ root@127.0.0.1:/srv/copied/ && exec ssh -p \"$1\" root@127.0.0.1 /srv/reload\n",
        );
        site.write_playbook(options.ansible_nodes);
        site
    }

    fn mgmt(&self) -> &Node {
        self.fleet.node("mgmt")
    }

    fn others(&self) -> &[Node] {
        &self.fleet.nodes()[1..]
    }

    /// How ssh is to log in from now on.
    fn choose(&self, setting: &str) {
        let config = format!("Host *\n  UserKnownHostsFile /srv/known_hosts\n  StrictHostKeyChecking yes\n  BatchMode yes\n{setting}");
        self.mgmt().write("home/root/.ssh/config", &config);
    }

    fn write_playbook(&self, nodes: usize) {
        let lines: String = self
            .others()
            .iter()
            .take(nodes)
            .map(|node| format!("{} ansible_host=127.0.0.1 ansible_port={}\n", node.name, node.port))
            .collect();
        self.mgmt().write("hosts", &format!("{lines}\n[all:vars]\nansible_user=root\nansible_python_interpreter=/usr/bin/python3\n"));
        self.mgmt().write(
            "playbook.yml",
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.copy: { src: /srv/source/, dest: /srv/by-ansible/, mode: preserve }\n      register: copied\n    \
             - ansible.builtin.command: /srv/reload\n      when: copied.changed\n",
        );
    }

    /// Measures all in turns; what a bare log-in to all of them costs the hub.
    fn compare(&mut self, title: &str, options: &Options, ansible: bool, report: &mut Report) -> f64 {
        let mut candidates = vec![PUSH, RSYNC, BARE];
        candidates.extend(ansible.then_some(ANSIBLE));
        let name = |candidate: &str| {
            if candidate == ANSIBLE { format!("{candidate}, {} nodes", options.ansible_nodes) } else { candidate.to_owned() }
        };
        let mut hub: Vec<Series> = candidates.iter().map(|candidate| Series::new(&name(candidate))).collect();
        let mut both: Vec<Series> = candidates.iter().map(|candidate| Series::new(&name(candidate))).collect();
        // The first turn only warms up.
        for round in 0..=options.turns {
            self.renew();
            for (at, candidate) in candidates.iter().enumerate() {
                let cost = self.measure(candidate, options);
                if round > 0 {
                    hub[at].samples.push(cost.hub);
                    both[at].samples.push(cost.both);
                }
            }
        }
        let (cpu, wall) = (Sample::cpu as fn(&Sample) -> f64, (|sample: &Sample| sample.wall) as fn(&Sample) -> f64);
        let ratio = |series: &[Series], other: usize, figure: fn(&Sample) -> f64| series[0].median(figure) / series[other].median(figure);
        report.bar(Bar::at_most(title, "the hub's CPU, × the bare log-in", 1.15, ratio(&hub, 2, cpu)));
        report.bar(Bar::at_most(title, "wall, × rsync and reload", 0.6, ratio(&both, 1, wall)));
        report.bar(Bar::at_most(title, "CPU of all hosts, × rsync and reload", 0.6, ratio(&both, 1, cpu)));
        report.bar(Bar::at_most(title, "certsync's peak memory on the hub, MiB", 64.0, hub[0].peak() / 1024.0));
        let log_in = hub[2].median(cpu);
        report.table(&format!("{title}: the hub alone"), hub);
        report.table(&format!("{title}: all hosts together"), both);
        log_in
    }

    /// A new certificate lies in the source.
    fn renew(&mut self) {
        self.renewals += 1;
        for (file, pem) in Pair::new("example.com", self.renewals).files() {
            self.mgmt().write(&format!("source/{file}"), &pem);
        }
    }

    fn line(&self, candidate: &str) -> Line {
        let script = match candidate {
            PUSH => "exec /opt/certsync apply -q",
            RSYNC => "exec xargs -a /srv/ports -P16 -I{} sh /srv/each {}",
            BARE => "exec xargs -a /srv/ports -P16 -I{} ssh -p {} root@127.0.0.1 true",
            _ => {
                "export ANSIBLE_HOME=/srv/ansible ANSIBLE_SSH_ARGS='-o ControlMaster=auto -o ControlPersist=3s'; exec ansible-playbook -f 50 -i /srv/hosts /srv/playbook.yml"
            }
        };
        let command = self.mgmt().inside("env");
        let mut line = Line::new(command.get_program()).args(command.get_args()).args(["HOME=/srv/home/root", "sh", "-c", script]);
        for (name, value) in command.get_envs() {
            line = line.env(&name.to_string_lossy(), value.unwrap_or_default());
        }
        line
    }

    /// Runs one of them, and sees that it has done what it should.
    fn measure(&self, candidate: &str, options: &Options) -> Cost {
        let before = (self.quiet(), self.reloads());
        let line = self.line(candidate);
        let mut hub = self.hub.inside(|| line.measure());
        let used = self.quiet();
        let (here, there) = (used.0.since(before.0.0), used.1.since(before.0.1));
        (hub.user, hub.system) = (here.user, here.system);
        let both = Sample { user: here.user + there.user, system: here.system + there.system, ..hub };
        let (folder, count) = match candidate {
            PUSH => ("live", options.nodes),
            RSYNC => ("copied", options.nodes),
            ANSIBLE => ("by-ansible", options.ansible_nodes.min(options.nodes)),
            _ => ("", 0),
        };
        let certificate = self.mgmt().read("source/fullchain.pem");
        for node in &self.others()[..count] {
            assert_eq!(node.read(&format!("{folder}/fullchain.pem")), certificate, "{candidate}: {}", node.name);
        }
        assert_eq!(self.reloads() - before.1, count, "{candidate}: each reloads once");
        Cost { hub, both }
    }

    /// How often all have reloaded.
    fn reloads(&self) -> usize {
        self.others().iter().map(|node| fs::read_to_string(node.path("reloads")).unwrap_or_default().lines().count()).sum()
    }

    /// What hub and nodes have used by the time at which nothing goes on there any more.
    fn quiet(&self) -> (Used, Used) {
        let mut last = self.nodes.used().cpu() + self.hub.used().cpu();
        for _ in 0..100 {
            sleep(Duration::from_millis(200));
            let now = self.nodes.used().cpu() + self.hub.used().cpu();
            if now - last < 2.0 {
                break;
            }
            last = now;
        }
        (self.hub.used(), self.nodes.used())
    }
}
