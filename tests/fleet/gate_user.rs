//! A gate that is not root: it reads the store and writes the inbox, and sudo runs apply for it.

use crate::first::{certs, installed, renew};
use crate::needs_a_fleet;
use crate::support::{Fleet, Node, server};

/// Whether the gate's user can read `/srv/PATH`.
fn can_read(node: &Node, path: &str) -> bool {
    let (user, id) = ("--reuid", crate::support::node::GATE.1.to_string());
    let mut command = node.inside("setpriv");
    let command = command.args([user, &id, "--regid", &id, "--clear-groups", "cat", &format!("/srv/{path}")]);
    command.output().expect("it runs").status.success()
}

/// The rules of `docs/fleet.md` as they are for this node: to apply, and to plan.
pub fn rules(node: &Node) -> [String; 2] {
    [("apply", "--if-requested"), ("plan", "--brought")].map(|(command, last)| {
        let name = &node.name;
        format!("certsync ALL=(root) NOPASSWD: /opt/certsync {command} --format json --state-dir /srv/state --as {name} /srv/certsync.yaml {last}\n")
    })
}

/// Has sudo on the node these rules besides Debian's defaults, and no others, whatever the machine has.
pub fn sudo_has(node: &Node, rules: &[String]) {
    node.write("sudoers", &format!("Defaults env_reset, use_pty\nroot ALL=(ALL:ALL) ALL\n{}", rules.concat()));
    let mount = "chmod 0440 /srv/sudoers; visudo -cf /srv/sudoers; mount --bind /srv/sudoers /etc/sudoers";
    let done = node.inside("sh").args(["-euc", mount]).output().expect("it runs");
    assert!(done.status.success(), "{done:?}");
}

/// Whether sudo is here; if not, that is said.
pub fn has_sudo() -> bool {
    let missing = crate::hosts::lacking(&["sudo", "visudo"]);
    if let Some(why) = &missing {
        eprintln!("skipped: the rule of sudo: {why}");
    }
    missing.is_none()
}

#[test]
fn an_unprivileged_gate_takes_a_push_and_sudo_or_the_next_run_applies_it() {
    needs_a_fleet!();
    let servers = [server("mgmt", "user: root"), server("web1", "upstream: mgmt, delivery: push, user: certsync")];
    let fleet = Fleet::new(&servers, &certs("[web1]"));
    let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
    web1.certsync(&["apply"]);
    if has_sudo() {
        sudo_has(web1, &[]);
    }
    let first = renew(mgmt);
    let said = mgmt.certsync(&["apply"]);
    assert_eq!(installed(web1), "", "nobody applies it there: {said:?}");
    assert!(said.stdout.contains("web1: has been told, but no run there has begun"), "{said:?}");
    let waited = mgmt.certsync(&["trigger", "--wait"]);
    assert!(waited.status == Some(1) && waited.stderr.contains("a rule for sudo or a path unit"), "{waited:?}");
    web1.certsync(&["apply"]).ok();
    assert_eq!(installed(web1), first);
    mgmt.certsync(&["apply"]);

    if has_sudo() {
        let [rule, _] = rules(web1);
        // As it was before.
        let former = rule.replace(" --if-requested", "");
        for rule in [rule, former] {
            sudo_has(web1, std::slice::from_ref(&rule));
            let next = renew(mgmt);
            mgmt.certsync(&["apply"]).ok();
            assert_eq!(installed(web1), next, "{rule}");
        }
    }
    assert!(can_read(web1, "state/store/offers.json") && can_read(web1, "certsync.yaml"));
    for path in ["state/state.json", "state/keys/id_ed25519", "state/cache", "state/standing.json", "live/privkey.pem"] {
        assert!(web1.path(path).exists() && !can_read(web1, path), "{path}");
    }
    mgmt.forgets();
    web1.forgets();
}

#[test]
fn what_the_gate_s_user_plants_in_the_inbox_leads_nowhere_and_does_not_stay() {
    needs_a_fleet!();
    let servers = [server("mgmt", "user: root"), server("web1", "upstream: mgmt, delivery: push, user: certsync")];
    let fleet = Fleet::new(&servers, &certs("[web1]"));
    let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
    web1.certsync(&["apply"]).ok();
    web1.write("secret", "of root's");
    let (user, id) = ("--reuid", crate::support::node::GATE.1.to_string());
    let plants = "cd /srv/state/inbox; mkdir -p request-1/push-2; mkfifo push-3; ln -s /srv/secret report-4; ln -s /srv/secret request-5;
        echo nonsense > push-6; echo nonsense > request-7; ln -s /srv/state taken-8";
    let planted = web1.inside("setpriv").args([user, &id, "--regid", &id, "--clear-groups", "sh", "-euc", plants]).output();
    assert!(planted.expect("it runs").status.success());
    web1.certsync(&["apply"]);
    let said = web1.certsync(&["apply"]);
    let left: Vec<_> = std::fs::read_dir(web1.path("state/inbox")).expect("the inbox").flatten().map(|left| left.file_name()).collect();
    assert!(left.is_empty() && said.status == Some(0), "{left:?} {said:?}");
    assert_eq!(web1.read("secret"), "of root's");
    let certificate = renew(mgmt);
    mgmt.certsync(&["apply"]);
    web1.certsync(&["apply"]).ok();
    assert_eq!(installed(web1), certificate);
}
