//! A fleet, brought up over ssh by one playbook.

use super::{Run, control};
use crate::hosts::{Host, Hosts};
use crate::{DEST, LIVE, is_left_out};

/// Where the example lies on the host that runs it.
const EXAMPLE: &str = "/srv/roles/certsync/examples/fleet";

/// Runs the example's playbook as its README says, from the origin, over ssh to all hosts, the origin too.
#[track_caller]
fn site(mgmt: &Host, options: &str) -> Run {
    let set = "-e certsync_binary=/usr/bin/certsync -e certsync_remote_plan=true";
    let output = mgmt.output(&format!("cd {EXAMPLE} && ANSIBLE_NOCOLOR=1 ansible-playbook {set} {options} site.yml 2>&1"));
    Run { succeeded: output.status.success(), text: String::from_utf8_lossy(&output.stdout).into_owned() }
}

/// The lines that tell how each host stands in the end.
fn recap(run: &Run) -> Vec<&str> {
    run.text.lines().filter(|line| line.contains("changed=")).collect()
}

/// Whether sshd at the other host lets the key of this one in.
fn may_log_in(from: &Host, to: &str) -> bool {
    let ssh = "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes";
    let output = from.output(&format!("{ssh} -i /root/kept certsync@{to} hello </dev/null 2>&1"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Connection refused"), "{text}");
    !text.contains("Permission denied (publickey")
}

/// An origin with the role and the operator's own key for root, as sites have it, and two servers without certsync.
fn bare() -> Hosts {
    let mut hosts = Hosts::new();
    control(&mut hosts, "mgmt", [10, 0, 0, 1].into());
    for (name, last) in [("web1", 11), ("web2", 12)] {
        hosts.start(
            name,
            [10, 0, 0, last].into(),
            "rm -f /usr/bin/certsync; ln -s /bin/true /usr/local/bin/systemctl; mkdir -p /etc/nginx",
        );
    }
    let mgmt = hosts.host("mgmt");
    mgmt.run("ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519 && ln -s /bin/true /usr/local/bin/systemctl");
    let key = mgmt.run("cat ~/.ssh/id_ed25519.pub");
    for host in hosts.hosts() {
        host.write("/root/.ssh/authorized_keys", &key);
        let known = host.run("cut -d' ' -f1-2 /etc/ssh/ssh_host_ed25519_key.pub");
        let line = format!("{} {}", host.address, known.trim());
        mgmt.run(&format!("echo '{line}' >>~/.ssh/known_hosts"));
    }
    hosts
}

#[test]
fn a_fleet_is_brought_up_by_one_playbook_renewed_and_left_by_a_server() {
    if is_left_out("a_fleet_is_brought_up_by_one_playbook_renewed_and_left_by_a_server", &["ansible-playbook", "sudo", "nginx", "openssl"])
    {
        return;
    }
    let hosts = bare();
    let [mgmt, web1, web2] = ["mgmt", "web1", "web2"].map(|name| hosts.host(name));
    // Nobody knows the keys of the others.
    let early = site(mgmt, "--limit mgmt");
    assert!(!early.succeeded && early.text.contains("is not known yet; run the playbook once without --limit"), "{}", early.text);
    let made = site(mgmt, "").ok();
    assert_eq!(recap(&made).len(), 3, "{}", made.text);
    let first = mgmt.run(&format!("cat {LIVE}/cert.pem"));
    for host in [web1, web2] {
        assert_eq!(host.run(&format!("cat {DEST}/cert.pem")), first, "{}: {}", host.name, made.text);
    }
    let again = site(mgmt, "").ok();
    assert!(recap(&again).iter().all(|line| line.contains("changed=0")), "{}", again.text);
    renewal(&hosts);

    // One host alone, with the keys that the others have told before.
    let alone = site(mgmt, "--limit web1").ok();
    assert!(recap(&alone).len() == 1 && recap(&alone)[0].contains("changed=0"), "{}", alone.text);

    // A server leaves: its key, which somebody may have kept, is let in nowhere any more, and nobody's there.
    for host in [mgmt, web1, web2] {
        host.run("cp /var/lib/certsync/keys/id_ed25519 /root/kept");
    }
    assert!(may_log_in(web2, "mgmt") && may_log_in(mgmt, "web2") && may_log_in(web1, "mgmt"));
    mgmt.run(&format!("cd {EXAMPLE} && sed -i -e '/^web2 /d' -e '/^.gone.$/a web2 ansible_host=10.0.0.12' inventory.ini"));
    let left = site(mgmt, "").ok();
    assert!(left.text.contains("Installed certificates stay where they are"), "{}", left.text);
    assert!(!mgmt.run("certsync authorized-keys --as mgmt").contains("--peer web2"));
    assert!(web2.run(&format!("cat {DEST}/cert.pem")).starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(web2.run("test ! -e /usr/bin/certsync && test ! -e /etc/certsync && echo gone").contains("gone"));
    assert!(!may_log_in(web2, "mgmt") && !may_log_in(mgmt, "web2") && may_log_in(web1, "mgmt"));
}

/// A renewal reaches both servers by the hook that the role has given to certbot; what would come is told before.
fn renewal(hosts: &Hosts) {
    let mgmt = hosts.host("mgmt");
    let second = mgmt.run(&format!("sh {EXAMPLE}/make-certificate.sh {LIVE} && cat {LIVE}/cert.pem"));
    // Their gates are not root, and have the rules of the role.
    let planned = mgmt.run("certsync plan --remote --color never");
    for name in ["web1", "web2"] {
        let own = planned.split(&format!("==> {name} <==\n")).nth(1).unwrap_or_else(|| panic!("{planned}"));
        assert!(own.starts_with("www.example.com: to install (renewed)\n"), "{planned}");
    }
    assert!(planned.ends_with("servers: 2 to change\n"), "{planned}");
    let hook = "/etc/letsencrypt/renewal-hooks/deploy/certsync";
    mgmt.run(&format!("RENEWED_LINEAGE={LIVE} RENEWED_DOMAINS=www.example.com {hook}"));
    mgmt.run("certsync trigger --wait");
    for name in ["web1", "web2"] {
        assert_eq!(hosts.host(name).run(&format!("cat {DEST}/cert.pem")), second, "{name}");
    }
    assert_eq!(mgmt.run("certsync status --fleet --warn 1d").lines().next(), Some("OK - 2 servers, all in step"));
}
