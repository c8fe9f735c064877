//! Pebble, an ACME test server, and the clients that get certificates from it.

use super::Sandbox;
use super::pki::{Authority, Leaf};
use super::process::{Server, free_port, output, run};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A running pebble that believes every claim, so that no name has to resolve.
pub struct Pebble {
    /// Its ACME directory.
    pub url: String,
    /// The certificate of the authority that its own HTTPS certificate is from.
    pub authority: PathBuf,
    _server: Server,
}

impl Pebble {
    /// Starts it.
    pub fn start(sandbox: &Sandbox) -> Pebble {
        let folder = sandbox.folder("pebble");
        let authority = Authority::new(&folder.join("authority"));
        let own = authority.leaf(&["localhost", "127.0.0.1"]);
        sandbox.write("pebble/server.pem", &own.fullchain());
        sandbox.write("pebble/server.key", &own.key);
        let (port, management) = (free_port(), free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"), "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": folder.join("server.pem"), "privateKey": folder.join("server.key"),
            "httpPort": free_port(), "tlsPort": free_port(), "ocspResponderURL": "",
            "externalAccountBindingRequired": false, "certificateValidityPeriod": 7_776_000
        }});
        let file = sandbox.write("pebble/config.json", &config.to_string());
        let log = folder.join("log");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "pebble", "-config"]).arg(&file);
        command.envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_VA_ALWAYS_VALID", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")]);
        let server = Server::spawn(&mut command, "pebble", &log).wait_for(port, &log);
        Pebble { url: format!("https://localhost:{port}/dir"), authority: authority.file(), _server: server }
    }
}

/// certbot with folders of its own.
pub struct Certbot<'a> {
    sandbox: &'a Sandbox,
    pebble: &'a Pebble,
}

impl<'a> Certbot<'a> {
    /// In `certbot/` of the sandbox.
    pub fn new(sandbox: &'a Sandbox, pebble: &'a Pebble) -> Certbot<'a> {
        Certbot { sandbox, pebble }
    }

    /// Where it keeps a certificate.
    pub fn live(&self, name: &str) -> PathBuf {
        self.sandbox.path("certbot/etc/live").join(name)
    }

    /// Obtains a certificate.
    pub fn obtain(&self, name: &str, domains: &[&str], more: &[&str]) -> String {
        let mut command = self.command();
        command.args(["certonly", "--agree-tos", "--register-unsafely-without-email", "--manual", "--preferred-challenges", "dns"]);
        command.args(["--manual-auth-hook", "/bin/true", "--key-type", "ecdsa", "--cert-name", name]).args(more);
        for domain in domains {
            command.args(["-d", domain]);
        }
        run(&mut command)
    }

    /// Makes a lineage that certbot will renew as it would renew `like`, for quickness with a certificate of our own.
    pub fn adopt(&self, leaf: &Leaf, name: &str, like: &str) {
        let etc = self.sandbox.path("certbot/etc");
        leaf.write_certbot(&etc, name, 1);
        let conf = fs::read_to_string(etc.join("renewal").join(format!("{like}.conf"))).expect("the renewal settings");
        fs::write(etc.join("renewal").join(format!("{name}.conf")), conf.replace(like, name)).expect("renewal settings");
    }

    /// Renews everything, due or not; answers with what it printed.
    pub fn renew(&self, more: &[&str]) -> String {
        let output = output(self.command().args(["renew", "--force-renewal", "--no-random-sleep-on-renew"]).args(more));
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "certbot renew: {}\n{text}", output.status);
        text
    }

    fn command(&self) -> Command {
        let mut command = Command::new("certbot");
        for (flag, folder) in [("--config-dir", "etc"), ("--work-dir", "work"), ("--logs-dir", "logs")] {
            command.arg(flag).arg(self.sandbox.path("certbot").join(folder));
        }
        command.args(["-n", "--server", &self.pebble.url]).env("REQUESTS_CA_BUNDLE", &self.pebble.authority);
        command
    }
}

/// Runs Debian's lego: `run` or `renew` of one name, with a hook.
pub fn lego(sandbox: &Sandbox, pebble: &Pebble, domain: &str, words: &[&str]) -> String {
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new("lego");
    command.args(["--server", &pebble.url, "--accept-tos", "--email", "admin@example.test", "--path"]).arg(sandbox.path("lego"));
    command.args(["--http", "--http.port", &address, "-d", domain]).args(words);
    run(command.env("LEGO_CA_CERTIFICATES", &pebble.authority))
}

/// Runs Debian's dehydrated, which takes its names from `dehydrated/domains.txt` and calls `hook`.
pub fn dehydrated(sandbox: &Sandbox, pebble: &Pebble, hook: &str, words: &[&str]) -> String {
    let config = format!(
        "CA={url}\nCHALLENGETYPE=dns-01\nBASEDIR=ROOT/dehydrated\nCERTDIR=ROOT/dehydrated/certs\nACCOUNTDIR=ROOT/dehydrated/accounts\n\
         WELLKNOWN=ROOT/dehydrated/well-known\nHOOK={hook}\nKEY_ALGO=prime256v1\nCURL_OPTS=\"--cacert {authority}\"\n",
        url = pebble.url,
        authority = pebble.authority.display()
    );
    let config = sandbox.write("dehydrated/config", &config);
    run(Command::new("dehydrated").arg("-f").arg(config).args(words))
}
