//! certbot on a node, and a pebble that it gets its certificates from.

use super::real::Sandbox;
use super::real::acme::Pebble;
use crate::support::Node;
use std::process::{Command, Stdio};

/// certbot as it is on the node, its folder `/srv/etc/letsencrypt`. The pebble ends with this.
pub struct Certbot<'a> {
    node: &'a Node,
    pebble: Pebble,
    _sandbox: Sandbox,
}

impl Certbot<'_> {
    pub fn start(node: &Node) -> Certbot<'_> {
        let sandbox = Sandbox::new();
        Certbot { node, pebble: Pebble::start(&sandbox), _sandbox: sandbox }
    }

    /// Obtains a certificate; `hook` is what certbot calls then, and after each renewal.
    pub fn obtain(&self, name: &str, domains: &[&str], hook: &str) {
        let mut command = self.command();
        command.args(["certonly", "--agree-tos", "--register-unsafely-without-email", "--manual", "--preferred-challenges", "dns"]);
        command.args(["--manual-auth-hook", "/bin/true", "--key-type", "ecdsa", "--cert-name", name, "--deploy-hook", hook]);
        for domain in domains {
            command.args(["-d", domain]);
        }
        run(&mut command);
    }

    /// Renews, due or not.
    pub fn renew(&self) {
        run(self.command().args(["renew", "--force-renewal", "--no-random-sleep-on-renew"]));
    }

    fn command(&self) -> Command {
        let mut command = self.node.inside("certbot");
        for (flag, folder) in [("--config-dir", "etc/letsencrypt"), ("--work-dir", "certbot/work"), ("--logs-dir", "certbot/logs")] {
            command.arg(flag).arg(format!("/srv/{folder}"));
        }
        command.args(["-n", "--server", &self.pebble.url]).env("REQUESTS_CA_BUNDLE", &self.pebble.authority);
        command
    }
}

fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().expect("certbot");
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "certbot: {}\n{text}", done.status);
}
