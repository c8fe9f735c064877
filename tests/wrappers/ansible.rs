//! The Ansible role.

use crate::hosts::{Host, Hosts};
use crate::{DEST, LIVE, assert_no_key, is_left_out, one_set, top, tree};
use std::net::Ipv4Addr;

/// A play for the host itself. `more` is added to the variables of the role.
fn play(spec: &str, more: &str) -> String {
    format!(
        "- hosts: localhost
  roles:
    - role: certsync
      vars:
        certsync_reader_groups: [{{ name: ssl, members: [www-data] }}]
        certsync_spec: {spec}
{more}"
    )
}

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
}

/// Runs a playbook on the host itself.
fn run(host: &Host, playbook: &str, options: &str) -> Run {
    host.write("/srv/run.yml", playbook);
    let command = format!(
        "ANSIBLE_NOCOLOR=1 ANSIBLE_PIPELINING=1 ANSIBLE_ROLES_PATH=/srv/roles ansible-playbook -i localhost, -c local {options} /srv/run.yml 2>&1"
    );
    let output = host.output(&command);
    Run { succeeded: output.status.success(), text: String::from_utf8_lossy(&output.stdout).into_owned() }
}

fn control(hosts: &mut Hosts, name: &str, address: Ipv4Addr) {
    hosts.start(name, address, "mkdir -p /etc/nginx");
    hosts.host(name).copy(&top().join("roles/ansible"), "/srv/roles");
}

#[test]
fn a_bare_host_is_brought_up_kept_and_left_again() {
    if is_left_out("a_bare_host_is_brought_up_kept_and_left_again", &["ansible-playbook", "cron", "sudo"]) {
        return;
    }
    let mut hosts = Hosts::new();
    control(&mut hosts, "web1", [10, 0, 0, 11].into());
    let host = hosts.host("web1");
    let first = host.issue(LIVE);
    let site = play(&one_set(", group: ssl"), "");
    let before = tree(host);
    let dry = run(host, &play(&one_set(""), ""), "--check --diff").ok();
    assert!(dry.changed() > 5 && dry.text.contains("+version: 1") && dry.text.contains("+private key EC"), "{}", dry.text);
    assert_no_key(host, LIVE, &dry.text);
    assert_eq!(tree(host), before, "a dry run on a bare host changes nothing");
    let made = run(host, &site, "--diff").ok();
    assert_no_key(host, LIVE, &made.text);
    assert_eq!(host.run(&format!("cat {DEST}/cert.pem")), first);
    assert_eq!(
        host.run(&format!("stat -Lc '%U %G %a' {DEST}/privkey.pem /etc/certsync/certsync.yaml")),
        "root ssl 600\nroot certsync 640\n"
    );
    assert!(host.run("crontab -T /etc/cron.d/certsync 2>&1 || cat /etc/cron.d/certsync").contains("apply --quiet --splay 10m"));
    host.run("visudo -c -q && sshd -t && id -nG www-data | grep -qw ssl");

    let again = run(host, &site, "--diff").ok();
    assert_eq!(again.changed(), 0, "{}", again.text);
    let before = tree(host);
    let dry = run(host, &site, "--check --diff").ok();
    assert_eq!((dry.changed(), tree(host)), (0, before.clone()), "{}", dry.text);
    // What would be written is planned, not what is there.
    let next = run(host, &play(&one_set(", group: ssl, key_mode: '-rw-r-----'"), ""), "--check --diff").ok();
    assert!(next.text.contains("-mode  -rw-------") && next.text.contains("+mode  -rw-r-----"), "{}", next.text);
    assert_eq!((next.changed(), tree(host)), (1, before));

    // A renewal between two runs: one change, one hook.
    let second = host.issue(LIVE);
    let renewed = run(host, &site, "--diff").ok();
    assert_eq!((renewed.changed(), host.run(&format!("cat {DEST}/cert.pem"))), (1, second.clone()), "{}", renewed.text);
    assert!(renewed.text.contains("(renewed)"), "{}", renewed.text);
    assert_eq!(host.run("wc -l </srv/run").trim(), "2");

    let gone = run(host, &play(&one_set(""), "        certsync_state: absent\n"), "").ok();
    assert!(gone.text.contains("Installed certificates stay where they are"), "{}", gone.text);
    host.run("! test -e /etc/certsync && ! test -e /var/lib/certsync && ! test -e /etc/cron.d/certsync && ! test -e /etc/sudoers.d/certsync && ! id certsync");
    assert_eq!(host.run(&format!("cat {DEST}/cert.pem")), second);
    assert_eq!(run(host, &play(&one_set(""), "        certsync_state: absent\n"), "").ok().changed(), 0);
}

#[test]
fn a_mistake_is_told_in_certsync_s_words_and_replaces_nothing() {
    if is_left_out("a_mistake_is_told_in_certsync_s_words_and_replaces_nothing", &["ansible-playbook"]) {
        return;
    }
    let mut hosts = Hosts::new();
    control(&mut hosts, "web1", [10, 0, 0, 11].into());
    let host = hosts.host("web1");
    let first = host.issue(LIVE);
    run(host, &play(&one_set(""), ""), "").ok();
    let good = host.run("cat /etc/certsync/certsync.yaml");
    for (attributes, words) in
        [(", key_mode: 640", "0640"), (", group: no-such", "no group `no-such` on this host"), (", grup: ssl", "unknown key `grup`")]
    {
        for options in ["", "--check"] {
            let wrong = run(host, &play(&one_set(attributes), ""), options);
            assert!(
                !wrong.succeeded && wrong.text.contains(words) && wrong.text.contains("/etc/certsync/certsync.yaml:"),
                "{}",
                wrong.text
            );
        }
        assert_eq!(host.run("cat /etc/certsync/certsync.yaml"), good);
    }
    // The key of another certificate.
    let other = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    host.write(&format!("{LIVE}/privkey.pem"), &other);
    let wrong = run(host, &play(&one_set(""), ""), "");
    assert!(!wrong.succeeded && wrong.text.contains("refused: "), "{}", wrong.text);
    assert_no_key(host, LIVE, &wrong.text);
    assert_eq!(host.run(&format!("cat {DEST}/cert.pem")), first);
}

#[test]
fn a_fleet_is_brought_up_by_one_playbook_and_renewed() {
    if is_left_out("a_fleet_is_brought_up_by_one_playbook_and_renewed", &["ansible-playbook", "sudo", "nginx"]) {
        return;
    }
    let mut hosts = Hosts::new();
    control(&mut hosts, "mgmt", [10, 0, 0, 1].into());
    for (name, last) in [("web1", 11), ("web2", 12)] {
        hosts.start(name, [10, 0, 0, last].into(), "rm -f /usr/bin/certsync; ln -s /bin/true /usr/local/bin/systemctl");
    }
    // The operator's own key for root, as sites have it.
    let mgmt = hosts.host("mgmt");
    mgmt.run("ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519 && ln -s /bin/true /usr/local/bin/systemctl");
    let key = mgmt.run("cat ~/.ssh/id_ed25519.pub");
    for host in hosts.hosts() {
        host.write("/root/.ssh/authorized_keys", &key);
        let known = host.run("cut -d' ' -f1-2 /etc/ssh/ssh_host_ed25519_key.pub");
        let line = format!("{} {}", host.address, known.trim());
        mgmt.run(&format!("echo '{line}' >>~/.ssh/known_hosts"));
    }
    let first = mgmt.issue(LIVE);
    let playbook = "cd /srv/roles/certsync/examples/fleet && ANSIBLE_NOCOLOR=1 ANSIBLE_PIPELINING=1 ANSIBLE_ROLES_PATH=/srv/roles ansible-playbook -i inventory.ini -e certsync_remote_plan=true site.yml 2>&1";
    let recap = |text: &str| text.lines().filter(|line| line.contains("changed=")).map(str::to_owned).collect::<Vec<_>>();
    let text = mgmt.run(playbook);
    assert!(recap(&text).len() == 3, "{text}");
    // What the origin has, it delivers by its schedule and its hook.
    mgmt.run("certsync apply");
    for name in ["web1", "web2"] {
        assert_eq!(hosts.host(name).run(&format!("cat {DEST}/cert.pem")), first, "{name}");
    }
    let text = mgmt.run(playbook);
    assert!(recap(&text).iter().all(|line| line.contains("changed=0")), "{text}");
    let second = mgmt.issue(LIVE);
    // Their gates are not root, and have the rules of the role.
    let planned = mgmt.run("certsync plan --remote --color never");
    for name in ["web1", "web2"] {
        let own = planned.split(&format!("==> {name} <==\n")).nth(1).unwrap_or_else(|| panic!("{planned}"));
        assert!(own.starts_with("www.example.com: to install (renewed)\n"), "{planned}");
    }
    assert!(planned.ends_with("servers: 2 to change\n"), "{planned}");
    let hook = "/etc/letsencrypt/renewal-hooks/deploy/certsync";
    mgmt.run(&format!("RENEWED_LINEAGE={LIVE} RENEWED_DOMAINS=www.example.com {hook}"));
    for name in ["web1", "web2"] {
        assert_eq!(hosts.host(name).run(&format!("cat {DEST}/cert.pem")), second, "{name}");
    }
    assert_eq!(mgmt.run("certsync status --fleet --warn 1d").lines().next(), Some("OK - 2 servers, all in step"));
}
