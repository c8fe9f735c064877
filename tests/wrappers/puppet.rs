//! The Puppet module.

use crate::hosts::{Host, Hosts, Init};
use crate::{DEST, LIVE, assert_no_key, assert_same, is_left_out, one_set, top, tree};
use std::net::Ipv4Addr;

/// What Hiera says of the class. `more` are further lines.
pub fn data(spec: &str, more: &str) -> String {
    format!("certsync::reader_groups: {{ ssl: [www-data] }}\ncertsync::spec: {spec}\n{more}")
}

/// The filebucket, and the schedules: Puppet has them in each catalogue.
const OWN: u32 = 7;

pub struct Run {
    status: Option<i32>,
    pub text: String,
}

impl Run {
    /// How many resources it has changed, by its summary.
    pub fn changed(&self) -> u32 {
        let (_, resources) = self.text.split_once("\nResources:\n").unwrap_or_else(|| panic!("no summary: {}", self.text));
        let line = resources.lines().take_while(|line| line.starts_with(' ')).find_map(|line| line.trim().strip_prefix("Changed:"));
        line.map_or(0, |count| count.trim().parse().expect("a number"))
    }

    /// How many resources it has looked after, but for the seven of Puppet's own.
    pub fn resources(&self) -> u32 {
        let (_, resources) = self.text.split_once("\nResources:\n").unwrap_or_else(|| panic!("no summary: {}", self.text));
        let line = resources.lines().find_map(|line| line.trim().strip_prefix("Total:")).expect("their number");
        line.trim().parse::<u32>().expect("a number") - OWN
    }

    /// It has neither failed nor changed anything, by its exit status and its summary.
    #[track_caller]
    pub fn nothing(self) -> Run {
        assert_eq!((self.status, self.changed()), (Some(0), 0), "{}", self.text);
        self
    }

    /// It has changed something, and nothing has failed.
    #[track_caller]
    pub fn made(self) -> Run {
        assert_eq!(self.status, Some(2), "{}", self.text);
        self
    }

    /// Something has failed, in these words.
    #[track_caller]
    fn failed(self, words: &[&str]) -> Run {
        assert!(self.status.is_some_and(|status| status & 4 != 0), "{:?}: {}", self.status, self.text);
        assert!(words.iter().all(|word| self.text.contains(word)), "{words:?}: {}", self.text);
        self
    }
}

/// Runs Puppet on the host itself, with the class's data in Hiera.
pub fn run(host: &Host, data: &str, options: &str) -> Run {
    host.write("/srv/data/common.yaml", data);
    host.write(
        "/srv/hiera.yaml",
        "version: 5\ndefaults: { datadir: data, data_hash: yaml_data }\nhierarchy: [{ name: all, path: common.yaml }]\n",
    );
    apply(host, &format!("--hiera_config /srv/hiera.yaml --execute 'include certsync' {options}"))
}

/// Runs Puppet on the host itself.
pub fn apply(host: &Host, what: &str) -> Run {
    let output = host
        .output(&format!("puppet apply --modulepath /srv/modules --color=false --show_diff --summarize --detailed-exitcodes {what} 2>&1"));
    Run { status: output.status.code(), text: String::from_utf8_lossy(&output.stdout).into_owned() }
}

/// A host that has the module.
pub fn control(hosts: &mut Hosts, init: Init, name: &str, address: Ipv4Addr) -> Result<(), String> {
    // The folder that Puppet 8 makes for itself wherever it runs.
    hosts.start_with(init, name, address, "mkdir -p /etc/nginx /etc/puppet/devices")?;
    hosts.host(name).copy(&top().join("modules/puppet"), "/srv/modules");
    Ok(())
}

fn sshd(hosts: &mut Hosts, name: &str, address: Ipv4Addr) {
    control(hosts, Init::Sshd, name, address).expect("a host starts");
}

#[test]
fn a_bare_host_is_brought_up_kept_and_left_again() {
    if is_left_out("a_bare_host_is_brought_up_kept_and_left_again", &["puppet", "cron", "sudo"]) {
        return;
    }
    let mut hosts = Hosts::new();
    sshd(&mut hosts, "web1", [10, 0, 0, 11].into());
    let host = hosts.host("web1");
    let first = host.issue(LIVE);
    host.run("mv /usr/bin/certsync /srv/program");
    let program = "certsync::binary: /srv/program\n";
    let site = data(&one_set(", group: ssl"), program);
    let before = tree(host);
    let dry = run(host, &site, "--noop").nothing();
    assert!(dry.text.contains("/usr/bin/certsync is not installed yet"), "{}", dry.text);
    assert_same(host, &before, &dry.text);

    let made = run(host, &site, "").made();
    assert!(made.text.contains("+private key EC"), "{}", made.text);
    assert_no_key(host, LIVE, &made.text);
    assert_eq!(host.run(&format!("cat {DEST}/cert.pem")), first);
    assert_eq!(
        host.run(&format!("stat -Lc '%U %G %a' {DEST}/privkey.pem /etc/certsync/certsync.yaml /usr/bin/certsync")),
        "root ssl 600\nroot certsync 640\nroot root 755\n"
    );
    assert!(host.run("crontab -T /etc/cron.d/certsync 2>&1 || cat /etc/cron.d/certsync").contains("apply --quiet --splay 10m"));
    host.run("visudo -c -q && sshd -t && id -nG www-data | grep -qw ssl && getent passwd certsync | grep -q /srv/certsync:/bin/sh");

    run(host, &site, "").nothing();
    let before = tree(host);
    let dry = run(host, &site, "--noop").nothing();
    assert_same(host, &before, &dry.text);
    // What would be written is planned, not what is there.
    let next = run(host, &data(&one_set(", group: ssl, key_mode: '-rw-r-----'"), program), "--noop").nothing();
    assert!(next.text.contains("-mode  -rw-------") && next.text.contains("+mode  -rw-r-----"), "{}", next.text);
    assert_no_key(host, LIVE, &next.text);
    assert_same(host, &before, &next.text);

    // A renewal between two runs: one change, one hook.
    let second = host.issue(LIVE);
    let before = tree(host);
    let dry = run(host, &site, "--noop").nothing();
    assert!(dry.text.contains("\n-  serial") && dry.text.contains("\n+  serial"), "{}", dry.text);
    assert_same(host, &before, &dry.text);
    assert_eq!(host.run(&format!("cat {DEST}/cert.pem")), first);
    let renewed = run(host, &site, "").made();
    assert_eq!((renewed.changed(), host.run(&format!("cat {DEST}/cert.pem"))), (1, second.clone()), "{}", renewed.text);
    assert_eq!(host.run("wc -l </srv/run").trim(), "2");

    let absent = format!("{site}certsync::ensure: absent\n");
    let gone = run(host, &absent, "").made();
    assert!(gone.text.contains("nstalled certificates stay where they are"), "{}", gone.text);
    host.run("! test -e /etc/certsync && ! test -e /var/lib/certsync && ! test -e /etc/cron.d/certsync && ! test -e /etc/sudoers.d/certsync && ! id certsync");
    host.run("! test -e /usr/bin/certsync && ! test -e /srv/certsync && ! getent group certsync && sshd -t");
    assert_eq!(host.run(&format!("cat {DEST}/cert.pem")), second);
    run(host, &absent, "").nothing();
}

#[test]
fn what_the_class_did_not_make_it_does_not_take_away() {
    if is_left_out("what_the_class_did_not_make_it_does_not_take_away", &["puppet", "sudo"]) {
        return;
    }
    let mut hosts = Hosts::new();
    sshd(&mut hosts, "web1", [10, 0, 0, 11].into());
    let host = hosts.host("web1");
    host.run("mkdir -p /opt/app/keys /var/www && echo precious >/opt/app/data && echo precious >/var/www/index");
    // Of an account that is another's, of a folder that is another's.
    let others = "certsync::ensure: absent\ncertsync::user: www-data\ncertsync::group: www-data\ncertsync::home: /var/www\n";
    let gone = run(host, &data(&one_set(""), &format!("{others}certsync::state_dir: /opt/app\n")), "");
    gone.nothing();
    host.run("id www-data && getent group www-data && test -e /opt/app/data && test -e /opt/app/keys && test -e /var/www/index");

    // A set that cannot be installed yet: what would install it later is there.
    let run_of = |more: &str| run(host, &data(&one_set(""), &format!("certsync::certbot_hook: post\n{more}")), "");
    run_of("").failed(&["no such directory"]);
    host.run("test -e /etc/cron.d/certsync && test -x /etc/letsencrypt/renewal-hooks/post/certsync");
    host.issue(LIVE);
    run_of("").made();
    host.write(
        "/etc/ssh/ssh_known_hosts",
        "other.test ssh-ed25519 AAAA\n# BEGIN certsync: of web2\nweb2 ssh-ed25519 AAAA\n# END certsync\n",
    );

    host.run("echo mine >/var/lib/certsync/mine && echo mine >/srv/certsync/mine && echo mine >/etc/certsync/mine");
    host.run("usermod -aG certsync www-data");
    let absent = run_of("certsync::known_hosts: /etc/ssh/ssh_known_hosts\ncertsync::ensure: absent\n").made();
    assert!(absent.text.contains("kept what is not certsync's: mine") || absent.status == Some(2), "{}", absent.text);
    assert_eq!(host.run("cat /var/lib/certsync/mine /srv/certsync/mine /etc/certsync/mine"), "mine\n".repeat(3));
    assert_eq!(host.run("ls -A /var/lib/certsync /srv/certsync /etc/certsync | grep -v : | sort -u | xargs"), "mine\n");
    host.run("! id certsync && getent group certsync && ! grep -e certsync -e web2 /etc/ssh/ssh_known_hosts && grep -q other.test /etc/ssh/ssh_known_hosts");
    run_of("certsync::known_hosts: /etc/ssh/ssh_known_hosts\ncertsync::ensure: absent\n").nothing();
}

#[test]
fn a_mistake_is_told_in_certsync_s_words_and_replaces_nothing() {
    if is_left_out("a_mistake_is_told_in_certsync_s_words_and_replaces_nothing", &["puppet"]) {
        return;
    }
    let mut hosts = Hosts::new();
    sshd(&mut hosts, "web1", [10, 0, 0, 11].into());
    let host = hosts.host("web1");
    let first = host.issue(LIVE);
    let more = "certsync::gate: false\ncertsync::scheduler: none\n";
    let site = data(&one_set(""), more);
    run(host, &site, "").made();
    let (before, good) = (tree(host), host.run("cat /etc/certsync/certsync.yaml"));
    let mut wrongs = Vec::new();
    for (attributes, words) in
        [(", key_mode: 640", "0640"), (", group: no-such", "no group `no-such` on this host"), (", grup: ssl", "unknown key `grup`")]
    {
        let wrong = data(&one_set(attributes), more);
        let dry = run(host, &wrong, "--noop").failed(&[words, "/etc/certsync/certsync.yaml:"]);
        assert_same(host, &before, &dry.text);
        wrongs.push((wrong, words));
    }
    for (wrong, words) in wrongs {
        run(host, &wrong, "").failed(&[words, "/etc/certsync/certsync.yaml:"]);
        assert_eq!(host.run("cat /etc/certsync/certsync.yaml"), good);
    }
    // An sshd that heeds no further file.
    host.run("sed -i.was /^Include/d /etc/ssh/sshd_config");
    let gate = data(&one_set(""), "certsync::privilege: none\ncertsync::scheduler: none\n");
    run(host, &gate, "").failed(&["sshd does not heed /etc/ssh/sshd_config.d/certsync.conf"]);
    host.run("mv /etc/ssh/sshd_config.was /etc/ssh/sshd_config");
    run(host, &gate, "").nothing();
    run(host, &site, "").made();
    // The key of another certificate.
    let other = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    host.write(&format!("{LIVE}/privkey.pem"), &other);
    for options in ["", "--noop"] {
        let wrong = run(host, &site, options).failed(&["www.example.com", "privkey.pem"]);
        assert_no_key(host, LIVE, &wrong.text);
        assert_eq!(host.run(&format!("cat {DEST}/cert.pem")), first);
    }
}

#[test]
fn a_site_s_own_manifest_runs_certsync_when_there_is_something_to_do() {
    if is_left_out("a_site_s_own_manifest_runs_certsync_when_there_is_something_to_do", &["puppet"]) {
        return;
    }
    let mut hosts = Hosts::new();
    hosts.start("web1", [10, 0, 0, 11].into(), "mkdir -p /etc/nginx");
    let host = hosts.host("web1");
    host.copy(&top().join("modules/puppet/certsync/examples"), "/srv/examples");
    host.write("/srv/site/certsync.yaml", &one_set(""));
    let site = "/srv/examples/exec.pp";
    for _ in 0..2 {
        let certificate = host.issue(LIVE);
        apply(host, site).made();
        assert_eq!(host.run(&format!("cat {DEST}/cert.pem")), certificate);
        apply(host, site).nothing();
    }
    assert_eq!(host.run("wc -l </srv/run").trim(), "2");
}

#[test]
fn the_example_brings_up_a_host_and_then_changes_nothing() {
    if is_left_out("the_example_brings_up_a_host_and_then_changes_nothing", &["puppet", "nginx", "cron", "sudo", "openssl"]) {
        return;
    }
    let mut hosts = Hosts::new();
    sshd(&mut hosts, "web1", [10, 0, 0, 11].into());
    let host = hosts.host("web1");
    // nginx does not run here: it is checked for real, and its reload asks for nothing.
    host.run("mv /usr/bin/certsync /srv/program && ln -s /bin/true /usr/local/bin/systemctl");
    let example = "/srv/modules/certsync/examples/init.pp";
    host.write("/etc/facter/facts.d/certsync.txt", "certsync_binary=/srv/program\n");
    let made = apply(host, example).made();
    assert!(made.text.contains("+private key EC"), "{}", made.text);
    host.run("cmp /etc/nginx/tls/www.example.com/fullchain.pem /etc/letsencrypt/live/www.example.com/fullchain.pem");
    assert_eq!(host.run("stat -Lc '%U %G %a' /etc/nginx/tls/www.example.com/privkey.pem"), "root ssl 640\n");
    apply(host, example).nothing();
}

#[test]
fn a_peer_that_leaves_the_spec_is_let_in_no_more() {
    if is_left_out("a_peer_that_leaves_the_spec_is_let_in_no_more", &["puppet", "sudo"]) {
        return;
    }
    let mut hosts = Hosts::new();
    sshd(&mut hosts, "mgmt", [10, 0, 0, 1].into());
    sshd(&mut hosts, "web1", [10, 0, 0, 11].into());
    let (mgmt, web1) = (hosts.host("mgmt"), hosts.host("web1"));
    let first = mgmt.issue(LIVE);
    let server = |name: &str, host: &Host, state_dir: &str, more: &str| {
        let key = host.run(&format!("certsync keygen --quiet --state-dir {state_dir}"));
        let host_key = host.run("cut -d' ' -f1-2 /etc/ssh/ssh_host_ed25519_key.pub");
        format!("{name}: {{ address: {name}, public_key: '{}', host_key: '{}'{more} }}", key.trim(), host_key.trim())
    };
    let below = ", upstream: mgmt";
    let origin = server("mgmt", mgmt, "/var/lib/certsync", "");
    let web1_is = server("web1", web1, "/var/lib/certsync", below);
    let web2_is = server("web2", web1, "/srv/web2", below);
    let spec = |servers: &str| {
        data(
            &format!(
                "{{ version: 1, servers: {{ {servers} }}, certs: {{ www.example.com: {{ source: {LIVE}, targets: [all], install: {DEST} }} }} }}"
            ),
            "certsync::known_hosts: /etc/ssh/ssh_known_hosts\n",
        )
    };
    let both = spec(&format!("{origin}, {web1_is}, {web2_is}"));
    run(mgmt, &both, "").made();
    run(web1, &both, "").made();
    assert_eq!(web1.run(&format!("cat {DEST}/cert.pem")), first);
    for host in [mgmt, web1] {
        run(host, &both, "").nothing();
    }
    assert!(mgmt.run("cat /etc/ssh/ssh_known_hosts").contains("web1"));
    let log_in = || {
        let ssh = "ssh -o BatchMode=yes -i /var/lib/certsync/keys/id_ed25519 certsync@mgmt 2>&1";
        String::from_utf8_lossy(&web1.output(ssh).stdout).into_owned()
    };
    let said = log_in();
    assert!(!said.contains("Permission denied"), "{said}");

    let without = spec(&format!("{origin}, {web2_is}"));
    run(mgmt, &without, "").made();
    let said = log_in();
    assert!(said.contains("Permission denied"), "{said}");
    assert!(!mgmt.run("cat /etc/ssh/ssh_known_hosts").contains("web1"));
    run(mgmt, &without, "").nothing();
}

#[test]
fn units_are_there_and_go_as_the_class_says() {
    if is_left_out("units_are_there_and_go_as_the_class_says", &["puppet", "systemctl", "sudo"]) {
        return;
    }
    let mut hosts = Hosts::new();
    if let Err(why) = control(&mut hosts, Init::Systemd, "web1", [10, 0, 0, 11].into()) {
        eprintln!("skipped: units_are_there_and_go_as_the_class_says: {why}");
        return;
    }
    let host = hosts.host("web1");
    host.issue(LIVE);
    let units = data(&one_set(""), "certsync::privilege: path_unit\ncertsync::scheduler: timer\ncertsync::interval: 15\n");
    run(host, &units, "").made();
    host.run("systemctl -q is-active certsync.timer certsync-inbox.path && systemctl -q is-enabled certsync.timer certsync-inbox.path");
    host.run("! test -e /etc/cron.d/certsync && ! test -e /etc/sudoers.d/certsync");
    assert!(host.run("systemctl show -p TimersMonotonic certsync.timer").contains("OnUnitInactiveUSec=15min"));
    run(host, &units, "").nothing();

    // The other way, and back.
    let plain = data(&one_set(""), "");
    run(host, &plain, "").made();
    host.run("! systemctl -q is-active certsync.timer && ! systemctl -q is-active certsync-inbox.path && test -e /etc/cron.d/certsync");
    assert_eq!(host.run("find /etc/systemd/system -name 'certsync*'"), "");
    run(host, &plain, "").nothing();
    run(host, &units, "").made();
    host.run("systemctl -q is-active certsync.timer certsync-inbox.path && ! test -e /etc/cron.d/certsync");

    let absent = data(&one_set(""), "certsync::ensure: absent\n");
    run(host, &absent, "").made();
    assert_eq!(host.run("find /etc/systemd/system -name 'certsync*'; systemctl list-units --all --plain --no-legend 'certsync*'"), "");
    run(host, &absent, "").nothing();
}
