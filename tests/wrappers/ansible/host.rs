//! One host, brought up, kept and left again.

use super::{control, play, run};
use crate::hosts::Hosts;
use crate::{DEST, LIVE, assert_no_key, is_left_out, one_set, tree};

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
            run(host, &play(&one_set(attributes), ""), options).failed_with(words).failed_with("/etc/certsync/certsync.yaml:");
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
