//! The Ansible role, run by Debian's ansible-core and by a newer one.

mod checks;
mod choices;
pub mod cost;
mod fleet;
mod host;
mod systemd;

use crate::hosts::{Host, Hosts};
use crate::top;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Where an ansible-core comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// Debian's package: 2.14 in Debian 12.
    Debian,
    /// The one of `tests/wrappers/requirements.txt`.
    Newest,
}

impl Version {
    /// What is called on the host instead of `ansible-playbook`; nothing, and said so, where it was not installed.
    fn playbook(self, host: &Host) -> Option<String> {
        match self {
            Version::Debian => Some("ansible-playbook".to_owned()),
            Version::Newest => Some(format!("{}/ansible-playbook", newest(host)?)),
        }
    }
}

/// The folder of the newer one's programs on the host; nothing, and said so, where it was not installed.
fn newest(host: &Host) -> Option<String> {
    let environment = environment()?;
    let place = environment.to_str().expect("a path in UTF-8");
    // A host has its own /tmp, /home and the like: what lies there on this machine it does not see.
    if host.output(&format!("test -x {place}/bin/ansible")).status.success() {
        return Some(format!("{place}/bin"));
    }
    if !host.output("test -x /srv/ansible/bin/ansible").status.success() {
        host.copy(&environment, "/srv/ansible");
        host.run("sed -i '1s|^#!.*/bin/python[0-9.]*$|#!/srv/ansible/bin/python|' $(grep -lIE '^#!.*/bin/python' /srv/ansible/bin/*)");
    }
    Some("/srv/ansible/bin".to_owned())
}

/// The folder with the newer ansible-core, ansible-lint and molecule; nothing, and said so, where it was not installed.
fn environment() -> Option<PathBuf> {
    let folder = top().join("target/ansible");
    let is_there = folder.join("bin/ansible-playbook").exists();
    if !is_there {
        eprintln!("skipped: a newer ansible-core is not in {} (scripts/test puts it there)", folder.display());
    }
    is_there.then_some(folder)
}

/// A play for the host itself. `more` is added to the variables of the role.
fn play(spec: &str, more: &str) -> String {
    format!(
        "- hosts: localhost
  gather_subset: [min]
  roles:
    - role: certsync
      vars:
        certsync_reader_groups: [{{ name: ssl, members: [www-data] }}]
        certsync_spec: {spec}
{more}"
    )
}

/// What a playbook has told.
struct Run {
    succeeded: bool,
    text: String,
}

impl Run {
    /// How many tasks have changed something, by the last line.
    fn changed(&self) -> u32 {
        let line = self.text.lines().rfind(|line| line.contains("changed=")).unwrap_or_else(|| panic!("no recap: {}", self.text));
        let count = line.split("changed=").nth(1).and_then(|rest| rest.split_whitespace().next());
        count.and_then(|count| count.parse().ok()).expect("a number")
    }

    #[track_caller]
    fn ok(self) -> Run {
        assert!(self.succeeded, "{}", self.text);
        self
    }

    /// It failed, with these words.
    #[track_caller]
    fn failed_with(self, words: &str) -> Run {
        assert!(!self.succeeded && self.text.contains(words), "expected `{words}`: {}", self.text);
        self
    }
}

/// Runs a playbook on the host itself, with Debian's ansible-core.
fn run(host: &Host, playbook: &str, options: &str) -> Run {
    run_with(host, "ansible-playbook", playbook, options)
}

/// The same with this program.
fn run_with(host: &Host, program: &str, playbook: &str, options: &str) -> Run {
    host.write("/srv/run.yml", playbook);
    let command = format!(
        "ANSIBLE_NOCOLOR=1 ANSIBLE_PIPELINING=1 ANSIBLE_ROLES_PATH=/srv/roles {program} -i localhost, -c local {options} /srv/run.yml 2>&1"
    );
    let output = host.output(&command);
    Run { succeeded: output.status.success(), text: String::from_utf8_lossy(&output.stdout).into_owned() }
}

/// A host that has the role.
fn control(hosts: &mut Hosts, name: &str, address: Ipv4Addr) {
    hosts.start(name, address, "mkdir -p /etc/nginx");
    hosts.host(name).copy(&top().join("roles/ansible"), "/srv/roles");
}
