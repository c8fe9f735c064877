//! The runbooks for a fleet are run: what they show is what happens, on whole hosts with addresses, users, services and sshds of their own.
//!
//! They are documents as `tests/docs` reads them, but each command stands behind the name of the host it is run on: `web1# certsync apply`.
//! Comments before a block, or alone, say more:
//!
//! - `<!-- hosts: mgmt 10.0.0.1, web1 10.0.0.11 -->`: these start now, ready as [`READY`] makes them. `<!-- bare: … -->`: with nginx and its
//!   configuration, but nothing of certsync except the program.
//! - `<!-- file: PATH on HOST HOST… -->`: the block is written there before the next command; `on all`: on every host. In it,
//!   `AAAA…NAME` stands for the public key of a host's certsync, `AAAA…NAME.next` for the one of its `keygen --next`, `AAAA…NAME.sshd` for its
//!   host key. `<!-- bring: PATH from HOST to PATH on HOST… -->`: what the words say, since how a spec travels is the site's own business.
//! - `<!-- unplug: HOST -->`, `<!-- plug: HOST -->`: its network cable.

use crate::hosts::{Hosts, Link, lacking};
use document::{Block, Document, matches};
use std::path::Path;

#[path = "../docs/document.rs"]
#[allow(dead_code, reason = "the documentation's own test uses other parts of it")]
mod document;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What docs/fleet.md says of a host: the account for others, who may log in, what it may have done, and a key.
pub const READY: &str = r#"
useradd --system --create-home --home-dir /srv/gate --shell /bin/sh certsync
cat >/etc/ssh/sshd_config.d/certsync.conf <<END
Match User certsync
    AuthorizedKeysFile none
    AuthorizedKeysCommand /usr/bin/certsync authorized-keys --spec /etc/certsync/certsync.yaml --state-dir /var/lib/certsync --for-key %f
    AuthorizedKeysCommandUser certsync
END
echo 'certsync ALL=(root) NOPASSWD: /usr/bin/certsync apply --format json --state-dir /var/lib/certsync /etc/certsync/certsync.yaml --if-requested' >/etc/sudoers.d/certsync
chmod 440 /etc/sudoers.d/certsync
certsync keygen -q >/dev/null
"#;

/// What a host is besides: nginx with the certificate that is to come, and what stands in for the service manager.
const SERVES: &str = r#"
rm -f /etc/nginx/sites-enabled/*
cat >/etc/nginx/conf.d/www.conf <<END
server {
    listen 443 ssl;
    ssl_certificate /etc/nginx/tls/fullchain.pem;
    ssl_certificate_key /etc/nginx/tls/privkey.pem;
}
END
cat >/bin/systemctl <<'END'
#!/bin/sh
# No service manager runs here; what is asked of it is done to the real programs.
set -eu
running() { [ -e /run/nginx.pid ] && kill -0 "$(cat /run/nginx.pid)" 2>/dev/null; }
case "$1 $2" in
"start nginx") nginx ;;
"stop nginx") nginx -s stop 2>/dev/null ;;
"try-reload-or-restart nginx") if running; then nginx -s reload; fi ;;
"reload ssh") kill -HUP 1 ;;
*) echo "systemctl: unknown here: $*" >&2; exit 1 ;;
esac
END
chmod 755 /bin/systemctl
"#;

/// What one document has started.
struct Stage {
    hosts: Hosts,
}

impl Stage {
    fn start(&mut self, hosts: &str, before: &str) {
        let certbot = std::fs::read_to_string(top().join("tests/docs/bin/certbot")).expect("the stand-in");
        let script = format!("cat >/bin/certbot <<'CERTBOT'\n{certbot}CERTBOT\nchmod 755 /bin/certbot\n{SERVES}{before}");
        for host in hosts.split(',') {
            let (name, address) = host.trim().split_once(' ').expect("a name and an address");
            self.hosts.start(name, address.parse().expect("an address"), &script);
        }
    }

    fn bring(&self, words: &str) {
        let (from, to) = words.split_once(" to ").unwrap_or_else(|| panic!("{words}: where to?"));
        let (path, host) = from.split_once(" from ").unwrap_or_else(|| panic!("{words}: from where?"));
        self.write(to, &self.hosts.host(host).run(&format!("cat {path}")));
    }

    fn write(&self, place: &str, text: &str) {
        let (path, hosts) = place.split_once(" on ").unwrap_or_else(|| panic!("{place}: on which hosts?"));
        let text = filled(&self.hosts, text);
        for host in self.hosts.hosts() {
            if hosts == "all" || hosts.split(' ').any(|name| name == host.name) {
                host.write(path, &text);
            }
        }
    }

    /// Runs the commands of a block; answers with what differs.
    fn run(&self, document: &Document, block: &Block) -> String {
        let mut faults = String::new();
        for command in block.commands() {
            let host = command.host.as_deref().unwrap_or_else(|| panic!("{}:{}: on which host?", document.path, command.line));
            let output = self.hosts.host(host).output(&format!("exec 2>&1; {}", command.text));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let printed: Vec<&str> = text.lines().collect();
            let mut expected = command.expected.clone();
            while expected.last().is_some_and(|line| line.trim().is_empty()) {
                expected.pop();
            }
            if !output.status.success() || !matches(&expected, &printed) {
                let (at, run) = (command.line, &command.text);
                faults.push_str(&format!("{}:{at}: {host}# {run}\n{}, it printed:\n{text}\n", document.path, output.status));
            }
        }
        faults
    }
}

/// A file as it is shown, with the keys that the hosts really have.
pub fn filled(hosts: &Hosts, text: &str) -> String {
    let mut parts = text.split("AAAA…");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(part.len());
        let (name, of) = part[..end].split_once('.').unwrap_or((&part[..end], ""));
        let line = hosts.host(name).run(match of {
            "" => "certsync keygen -q",
            "next" => "certsync keygen -q --next",
            "sshd" => "cat /etc/ssh/ssh_host_ed25519_key.pub",
            other => panic!("which key of {name} is {other}?"),
        });
        filled.push_str(line.split_whitespace().nth(1).expect("a key"));
        filled.push_str(&part[end..]);
    }
    filled
}

fn follow(path: &str) {
    if let Some(why) = lacking(&["nginx", "openssl", "sudo", "curl"]) {
        eprintln!("skipped: {path}: {why}");
        return;
    }
    let document = Document::read(path);
    let mut stage = Stage { hosts: Hosts::new() };
    let mut faults = String::new();
    for block in &document.blocks {
        for (key, value) in &block.before {
            match key.as_str() {
                "hosts" => stage.start(value, READY),
                "bare" => stage.start(value, ""),
                "file" => stage.write(value, &block.text),
                "bring" => stage.bring(value),
                "unplug" => stage.hosts.set_link(value, Link::Down),
                "plug" => stage.hosts.set_link(value, Link::Up),
                other => panic!("{path}: what is {other}?"),
            }
        }
        if block.language == "console" {
            faults.push_str(&stage.run(&document, block));
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

macro_rules! runbooks {
    ($($name:ident: $path:literal,)*) => {
        /// Every runbook that is followed.
        const RUNBOOKS: &[&str] = &[$($path),*];

        $(
            #[test]
            fn $name() {
                follow(concat!("docs/runbooks/fleet/", $path));
            }
        )*
    };
}

runbooks! {
    add_a_server: "add-a-server.md",
    remove_a_server: "remove-a-server.md",
    rename_a_server: "rename-a-server.md",
    rotate_a_key: "rotate-a-key.md",
    compromised_certificate_key: "compromised-certificate-key.md",
    compromised_server: "compromised-server.md",
    upgrade: "upgrade.md",
    migrate_from_pull: "migrate-from-pull-by-cron.md",
    migrate_from_push: "migrate-from-push-to-nginx.md",
    migrate_from_tiers: "migrate-from-mirror-tiers.md",
}

#[test]
fn every_runbook_is_followed() {
    let folder = top().join("docs/runbooks/fleet");
    let mut found: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    found.sort_unstable();
    let mut followed = RUNBOOKS.to_vec();
    followed.sort_unstable();
    assert_eq!(found, followed);
}
