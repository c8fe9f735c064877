//! One host, brought up by Ansible, and another, brought up by Puppet, from the same data: they are the same.

use crate::hosts::{Host, Hosts, Init};
use crate::{DEST, LIVE, is_left_out, top};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a host has that is not the same, though the data are.
///
/// Each is the beginning of a path; what lies there has to be on both, of the same kind, with the same owner and mode, but may hold something else.
const OTHERWISE: [&str; 11] = [
    // The same spec as each tool writes YAML; that it is the same is seen by `certsync spec`.
    "/etc/certsync/certsync.yaml",
    // The host's own identity.
    "/etc/machine-id",
    "/etc/ssh/ssh_host_",
    // Accounts stand in the order in which they were made; what they are is compared by `getent`.
    "/etc/group",
    "/etc/gshadow",
    "/etc/passwd",
    "/etc/shadow",
    // What was when, and revisions, which are times.
    "/var/lib/certsync/cache",
    "/var/lib/certsync/standing.json",
    "/var/lib/certsync/state.json",
    "/var/lib/certsync/store/offers.json",
];

/// Stands for the host's own public key in data.
const OWN_KEY: &str = "the host's own";

/// Everything of a host that a wrapper makes, with owners by name, modes, targets of links and digests of contents.
fn looks(host: &Host) -> BTreeMap<String, String> {
    // Puppet has folders of its own.
    let places = "/etc /usr/bin/certsync /var/lib/certsync /srv/certsync /var/spool/cron -not -path '/etc/puppet*'";
    let found = host.run(&format!("find {places} -printf '%p\\t%y %u:%g %m %l\\n'"));
    let mut all: BTreeMap<String, String> =
        found.lines().filter_map(|line| line.split_once('\t')).map(|(path, what)| (path.to_owned(), what.to_owned())).collect();
    let digests = host.run(&format!("find {places} -type f -print0 | xargs -0 sha256sum"));
    for (digest, path) in digests.lines().filter_map(|line| line.split_once("  ")) {
        let may_differ = OTHERWISE.iter().any(|otherwise| path.starts_with(otherwise)) || path.ends_with(".revision");
        if let Some(what) = all.get_mut(path).filter(|_| !may_differ) {
            what.push_str(digest);
        }
    }
    all
}

/// The two names for one thing where the tools have a rule of their own: in Puppet `schedule` is a word that every resource knows, and `name` is its title.
fn for_puppet(name: &str) -> &str {
    match name {
        "schedule" => "scheduler",
        "name" => "server_name",
        other => other,
    }
}

fn by_ansible(host: &Host, data: &Map<String, Value>) {
    let mut variables: Map<String, Value> = data.iter().map(|(name, value)| (format!("certsync_{name}"), value.clone())).collect();
    let groups = data["reader_groups"].as_object().expect("groups");
    let groups: Vec<Value> = groups.iter().map(|(name, members)| json!({"name": name, "members": members})).collect();
    variables.insert("certsync_reader_groups".to_owned(), groups.into());
    host.copy(&top().join("roles/ansible"), "/srv/roles");
    host.write("/srv/data.json", &Value::from(variables).to_string());
    host.write("/srv/run.yml", "- hosts: localhost\n  roles: [certsync]\n");
    let run =
        "ANSIBLE_NOCOLOR=1 ANSIBLE_ROLES_PATH=/srv/roles ansible-playbook -i localhost, -c local -e @/srv/data.json /srv/run.yml 2>&1";
    let text = host.run(run);
    assert!(text.contains("failed=0"), "{text}");
}

fn by_puppet(host: &Host, data: &Map<String, Value>) {
    let data: Map<String, Value> = data.iter().map(|(name, value)| (format!("certsync::{}", for_puppet(name)), value.clone())).collect();
    host.copy(&top().join("modules/puppet"), "/srv/modules");
    crate::puppet::run(host, &Value::from(data).to_string(), "").made();
}

/// Brings up a host of this name both ways; `data` have the names of the role's variables.
fn compare(test: &str, init: Init, name: &str, data: &Value) {
    let mut both = [Hosts::new(), Hosts::new()];
    for hosts in &mut both {
        if let Err(why) = hosts.start_with(init, name, [10, 0, 0, 1].into(), "mkdir -p /etc/nginx") {
            eprintln!("skipped: {test}: {why}");
            return;
        }
    }
    let [ansible, puppet] = both.each_ref().map(|hosts| hosts.host(name));
    // One certificate, and one key of the host, since the spec holds its public half.
    ansible.issue(LIVE);
    ansible.run("certsync keygen --quiet --state-dir /var/lib/certsync");
    for (folder, mode) in [(LIVE, "700"), ("/var/lib/certsync", "700")] {
        let packed = ansible.run(&format!("chmod {mode} {folder}; tar -C / -c .{folder} | base64"));
        puppet.write("/srv/packed", &packed);
        puppet.run("base64 -d /srv/packed | tar -C / -x && rm /srv/packed");
    }
    let key = ansible.run("certsync keygen --quiet --state-dir /var/lib/certsync");
    let data: Value = serde_json::from_str(&data.to_string().replace(OWN_KEY, key.trim())).expect("JSON");
    let data = data.as_object().expect("an object");
    by_ansible(ansible, data);
    by_puppet(puppet, data);

    let as_name = format!("certsync spec --as {}", data.get("name").and_then(Value::as_str).unwrap_or(name));
    let [specs, users] = [as_name.as_str(), "getent passwd | cut -d: -f1,6,7 | sort; getent group | cut -d: -f1,4 | sort"]
        .map(|command| [ansible, puppet].map(|host| host.run(command)));
    assert_eq!(specs[0], specs[1]);
    assert_eq!(users[0], users[1]);
    let [first, second] = [ansible, puppet].map(looks);
    let lines: Vec<String> = first
        .keys()
        .chain(second.keys().filter(|path| !first.contains_key(*path)))
        .filter(|path| first.get(*path) != second.get(*path))
        .map(|path| format!("{path}\n  Ansible: {:?}\n  Puppet:  {:?}", first.get(path), second.get(path)))
        .collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
    let written =
        first.keys().filter(|path| path.ends_with("certsync") || path.contains("/certsync.") || path.contains("/certsync-")).count();
    assert!(written > 5, "{written}");
}

/// An origin and a server, both in one spec; `own` is the one whose key is the host's.
fn spec(own: &str) -> Value {
    let key =
        |name: &str| if name == own { OWN_KEY } else { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPkTNd/I+0gXXZi9zxBVGc1suwOYXucnYuBaRkRNcy5l" };
    json!({
        "version": 1,
        "hooks": { "count": { "run": ["sh", "-c", "date >>/srv/run"] }, "check": { "run": "true && : 'quoted: #'" } },
        "defaults": { "group": "ssl", "key_mode": "-rw-r-----" },
        "servers": {
            "mgmt": { "address": "10.0.0.1", "public_key": key("mgmt"), "host_key": key("mgmt") },
            "web1": { "address": "10.0.0.11", "upstream": "mgmt", "delivery": "push", "public_key": key("web1"), "host_key": key("web1") },
        },
        "certs": { "www.example.com": {
            "source": LIVE, "targets": ["mgmt", "web1"],
            "install": [{ "dest": DEST, "hooks": ["count", "check"], "keep": 3 }] } },
    })
}

#[test]
fn an_origin_is_the_same_by_either() {
    if is_left_out("an_origin_is_the_same_by_either", &["ansible-playbook", "puppet", "cron", "sudo"]) {
        return;
    }
    let data = json!({
        "reader_groups": { "ssl": ["www-data"], "tls-read": [] },
        "spec": spec("mgmt"),
        "certbot_hook": "deploy",
        "remote_plan": true,
        "known_hosts": "/etc/ssh/ssh_known_hosts",
        "interval": 20,
    });
    compare("an_origin_is_the_same_by_either", Init::Sshd, "mgmt", &data);
}

#[test]
fn a_server_with_units_is_the_same_by_either() {
    if is_left_out("a_server_with_units_is_the_same_by_either", &["ansible-playbook", "puppet", "systemctl"]) {
        return;
    }
    let data = json!({
        "reader_groups": { "ssl": ["www-data"] },
        "spec": spec("web1"),
        "name": "web1",
        "privilege": "path_unit",
        "schedule": "timer",
        "splay": "3m",
    });
    compare("a_server_with_units_is_the_same_by_either", Init::Systemd, "edge", &data);
}
