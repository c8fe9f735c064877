//! What may be chosen, by the newer ansible-core: the same host as by the older one, hooks, known_hosts, versions, and mistakes in variables.

use super::{Version, control, play, run_with};
use crate::hosts::Hosts;
use crate::{DEST, LIVE, assert_no_key, assert_same, is_left_out, one_set, tree};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG+58EVvOrGAX3hmPF6TuglvFT36RcUbusJLrodhEp8n";

/// The spec of an origin, with one server below it if `below` has one.
fn origin(below: &str) -> String {
    let servers = format!("servers: {{ web1: {{ address: 10.0.0.11 }}{below} }}, certs:");
    let targets = if below.is_empty() { "[web1]" } else { "[web1, web2]" };
    one_set(", group: ssl").replacen("certs:", &servers, 1).replacen("{ source:", &format!("{{ targets: {targets}, source:"), 1)
}

#[test]
fn the_newer_ansible_brings_up_keeps_and_takes_away_what_is_chosen() {
    if is_left_out("the_newer_ansible_brings_up_keeps_and_takes_away_what_is_chosen", &["cron", "sudo"]) {
        return;
    }
    let mut hosts = Hosts::new();
    control(&mut hosts, "web1", [10, 0, 0, 11].into());
    let host = hosts.host("web1");
    let Some(program) = Version::Newest.playbook(host) else { return };
    let run = |playbook: &str, options: &str| run_with(host, &program, playbook, options);
    let first = host.issue(LIVE);

    let chosen = format!(
        "        certsync_known_hosts: /etc/ssh/ssh_known_hosts2\n        certsync_version: {}\n        certsync_certbot_hook: ",
        env!("CARGO_PKG_VERSION")
    );
    let web2 = format!(", web2: {{ address: 10.0.0.12, upstream: web1, host_key: '{KEY}' }}");
    let site = play(&origin(&web2), &format!("{chosen}post\n"));
    let before = tree(host);
    // Nothing can be planned where the groups are yet to be made; what the spec would be is shown.
    let dry = run(&site, "--check --diff").ok();
    assert!(dry.text.contains("+version: 1") && dry.text.contains("no group `ssl` on this host"), "{}", dry.text);
    assert_no_key(host, LIVE, &dry.text);
    assert_same(host, &before, &dry.text);
    let made = run(&site, "--diff").ok();
    assert_no_key(host, LIVE, &made.text);
    assert_eq!(host.run(&format!("cat {DEST}/cert.pem")), first);
    assert_eq!(
        host.run(&format!("stat -Lc '%U %G %a' {DEST}/privkey.pem /etc/certsync /etc/certsync/certsync.yaml")),
        "root ssl 600\nroot certsync 750\nroot certsync 640\n"
    );
    assert!(host.run("cat /etc/ssh/ssh_known_hosts2").contains(KEY));
    let hooks = "/etc/letsencrypt/renewal-hooks";
    assert!(host.run(&format!("tail -n 1 {hooks}/post/certsync")).starts_with("exec /usr/bin/certsync apply "));
    let again = run(&site, "--diff").ok();
    assert_eq!(again.changed(), 0, "{}", again.text);
    let before = tree(host);
    let dry = run(&site, "--check --diff").ok();
    assert_eq!(dry.changed(), 0, "{}", dry.text);
    assert_same(host, &before, &dry.text);

    // Another hook, and a server less.
    let less = run(&play(&origin(""), &format!("{chosen}deploy\n")), "").ok();
    assert!(!host.run("cat /etc/ssh/ssh_known_hosts2").contains(KEY), "{}", less.text);
    host.run(&format!("test ! -e {hooks}/post/certsync && tail -n 1 {hooks}/deploy/certsync | grep -q 'certsync deploy-hook --quiet '"));

    // What others have put beside it stays, and so does what is installed.
    let known = "        certsync_known_hosts: /etc/ssh/ssh_known_hosts2\n        certsync_state: absent\n";
    host.run("echo 'theirs ssh-ed25519 AAAA' >>/etc/ssh/ssh_known_hosts2 && touch /var/lib/certsync/theirs /srv/certsync/theirs");
    run(&play(&origin(""), known), "").ok();
    assert_eq!(
        host.run("cat /etc/ssh/ssh_known_hosts2; ls -A /var/lib/certsync; ls /srv/certsync"),
        "theirs ssh-ed25519 AAAA\ntheirs\ntheirs\n"
    );
    host.run("rm -r /var/lib/certsync");
    host.run(&format!("test ! -e {hooks}/deploy/certsync && test ! -e /etc/certsync && test ! -e /var/lib/certsync && ! id certsync && test -e {DEST}/cert.pem"));
    assert_eq!(run(&play(&origin(""), "        certsync_state: absent\n"), "").ok().changed(), 0);
}

#[test]
fn parts_of_the_role_run_alone_and_mistakes_in_variables_are_named() {
    if is_left_out("parts_of_the_role_run_alone_and_mistakes_in_variables_are_named", &["ansible-playbook", "cron", "sudo"]) {
        return;
    }
    let mut hosts = Hosts::new();
    control(&mut hosts, "web1", [10, 0, 0, 11].into());
    let host = hosts.host("web1");
    host.issue(LIVE);
    for (more, words) in [
        (
            "        certsync_splay: \"1m\\n* * * * * root touch /srv/owned\"\n",
            ["certsync_splay: ", "see its description for what it may hold"],
        ),
        (
            "        certsync_name: web1 web2\n        certsync_home: /srv/cert sync\n",
            ["certsync_home, certsync_name: ", "see its description"],
        ),
        (
            "        certsync_interval: often\n        certsync_schedule: at times\n",
            ["certsync_interval", "value of certsync_schedule must be one of: cron, timer, none"],
        ),
        ("        certsync_version: 9.9.9\n", ["/usr/bin/certsync is version 0.1.0", "version 9.9.9 is asked for"]),
        ("        certsync_spec_path: /etc/certsync.yaml\n", ["certsync_spec_path: ", "see its description"]),
    ] {
        let wrong = super::run(host, &play(&one_set(""), more), "");
        words.iter().fold(wrong, |wrong, words| wrong.failed_with(words));
    }
    super::run(host, &play("a text", ""), "").failed_with("certsync_spec");
    host.run("test ! -e /etc/certsync.yaml && stat -c %a /etc | grep -qx 755");

    // A set that fails leaves what tries again; a hook that fails is named, with what it said.
    let later = one_set("").replace(LIVE, "/srv/not-yet");
    super::run(host, &play(&later, ""), "").failed_with("/srv/not-yet: no such directory");
    host.run("test -e /etc/cron.d/certsync && test -e /etc/sudoers.d/certsync");
    let hook = one_set("").replace("'date >>/srv/run'", "'echo nginx is broken; exit 3'");
    let wrong = super::run(host, &play(&hook, ""), "").failed_with("hook count: run failed with exit status 3");
    wrong.failed_with("nginx is broken");
    host.run(&format!("rm -r {DEST} /var/lib/certsync/state.json /etc/certsync/certsync.yaml"));

    // The spec alone, and nothing applied.
    super::run(host, &play(&one_set(""), "        certsync_apply: false\n"), "").ok();
    host.run(&format!("test -s /etc/certsync/certsync.yaml && test ! -e {DEST}/cert.pem"));
    super::run(host, &play(&one_set(""), ""), "--tags certsync_spec").ok();
    host.run(&format!("test -e {DEST}/cert.pem"));
    assert_eq!(super::run(host, &play(&one_set(""), ""), "--tags certsync_access,certsync_schedule").ok().changed(), 0);

    // An upstream that is down makes neither a dry run nor a run red.
    let far = one_set("").replacen(
        "certs:",
        "servers: { mgmt: { address: 10.0.0.99 }, web1: { address: 10.0.0.11, upstream: mgmt } }, certs:",
        1,
    );
    let far = far.replacen("{ source:", "{ targets: [web1], source:", 1);
    for options in ["--check", "--tags certsync_spec"] {
        let run = super::run(host, &play(&far, ""), options).ok();
        assert!(run.text.contains("WARNING") && run.text.contains("mgmt"), "{}", run.text);
    }
}
