//! dovecot and postfix.

use super::Sandbox;
use super::process::{Server, free_port};
use std::process::Command;

/// A running dovecot that offers IMAP with STARTTLS.
pub struct Dovecot {
    /// Where.
    pub port: u16,
    server: Server,
}

impl Dovecot {
    /// Starts it.
    pub fn start(sandbox: &Sandbox, cert: &str, key: &str) -> Dovecot {
        let port = free_port();
        let text = format!(
            "base_dir = ROOT/dovecot/run\nstate_dir = ROOT/dovecot/state\nlog_path = ROOT/dovecot/log\nprotocols = imap\n\
             listen = 127.0.0.1\nssl = required\nssl_cert = <{cert}\nssl_key = <{key}\n\
             default_internal_user = nobody\ndefault_login_user = nobody\ndefault_internal_group = nogroup\n\
             passdb {{\n  driver = static\n  args = nopassword=y\n}}\n\
             userdb {{\n  driver = static\n  args = uid=65534 gid=65534 home=/nonexistent\n}}\n\
             service imap-login {{\n  chroot =\n  inet_listener imap {{\n    port = {port}\n  }}\n  inet_listener imaps {{\n    port = 0\n  }}\n}}\n\
             service anvil {{\n  chroot =\n}}\n"
        );
        let config = sandbox.write("dovecot/dovecot.conf", &text);
        let log = sandbox.path("dovecot/output");
        let server = Server::start("dovecot", &["-F", "-c", config.to_str().expect("UTF-8")], &log).wait_for(port, &log);
        Dovecot { port, server }
    }

    /// The master's process id: SIGHUP makes it load its configuration again.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }
}

/// A running postfix that offers SMTP with STARTTLS.
pub struct Postfix {
    /// Where.
    pub port: u16,
    /// Its configuration folder: `postfix -c CONFIG reload`.
    pub config: String,
    /// Where the master process, which leaves the group it was started in, writes its process id.
    master: std::path::PathBuf,
    _server: Server,
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(&self.master) {
            let _ = Command::new("kill").arg(pid.trim()).status();
        }
    }
}

impl Postfix {
    /// Starts it; `chain` is a file that holds key and chain, in this order.
    pub fn start(sandbox: &Sandbox, key: &str, chain: &str) -> Postfix {
        let port = free_port();
        let data = sandbox.folder("postfix/data");
        super::process::run(Command::new("chown").arg("postfix").arg(&data));
        sandbox.folder("postfix/spool");
        sandbox.write("postfix/etc/main.cf", &main_cf(key, chain));
        sandbox.write("postfix/etc/master.cf", &master_cf(port));
        let config = sandbox.text("postfix/etc");
        let log = sandbox.path("postfix/output");
        let server = Server::start("postfix", &["-c", &config, "start-fg"], &log).wait_for(port, &log);
        Postfix { port, config, master: sandbox.path("postfix/spool/pid/master.pid"), _server: server }
    }
}

fn main_cf(key: &str, chain: &str) -> String {
    format!(
        "compatibility_level = 3.6\nqueue_directory = ROOT/postfix/spool\ndata_directory = ROOT/postfix/data\n\
         maillog_file = ROOT/postfix/log\nmaillog_file_prefixes = ROOT\nmyhostname = mail.example.com\nmydestination =\n\
         mynetworks = 127.0.0.0/8\nlocal_recipient_maps =\nalias_maps =\nalias_database =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
         smtpd_tls_chain_files = {key}, {chain}\nsmtpd_tls_security_level = may\nsmtpd_peername_lookup = no\n\
         smtpd_relay_restrictions = reject_unauth_destination\n"
    )
}

fn master_cf(port: u16) -> String {
    // The fewest services with which smtpd answers: it waits for proxymap, and tlsmgr gives it randomness.
    format!(
        "127.0.0.1:{port} inet n - n - 2 smtpd\npostlog unix-dgram n - n - 1 postlogd\npickup unix n - n 60 1 pickup\n\
         cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\ntlsmgr unix - - n 1000? 1 tlsmgr\n\
         rewrite unix - - n - - trivial-rewrite\nanvil unix - - n - 1 anvil\nproxymap unix - - n - - proxymap\n"
    )
}
