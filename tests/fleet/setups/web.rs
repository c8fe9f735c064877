//! nginx on the nodes, one for the script's files and one for certsync's.

use super::pairs::Pair;
use super::world::{By, program, sh};
use crate::support::Node;
use crate::support::process::{free_port, listens, output};
use std::process::Command;

/// One nginx of a node, which ends with it.
pub struct Nginx {
    pub port: u16,
    by: By,
}

impl Nginx {
    /// Starts one that serves what lies in `tls`, a folder of the node.
    pub fn start(node: &Node, by: By, tls: &str) -> Nginx {
        let (port, own) = (free_port(), format!("/srv/{}", by.name()));
        let temporary: String =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].iter().map(|name| format!("  {name}_temp_path {own}/{name};\n")).collect();
        sh(node, &format!("mkdir -p {own}/more"));
        node.write(
            &format!("{}/nginx.conf", by.name()),
            &format!(
                "worker_processes 1;\npid {own}/pid;\nerror_log {own}/error.log;\nevents {{ worker_connections 64; }}\nhttp {{\n  access_log off;\n\
                 {temporary}  include {own}/more/*.conf;\n  server {{\n    listen 127.0.0.1:{port} ssl;\n    ssl_certificate {tls}/fullchain.pem;\n    \
                 ssl_certificate_key {tls}/privkey.pem;\n    return 200 \"ok\\n\";\n  }}\n}}\n"
            ),
        );
        let nginx = format!("nginx -c {own}/nginx.conf");
        sh(node, &nginx);
        match by {
            // As the unit of a distribution does it: stop, then start, which fails where the configuration is at fault.
            By::Script => program(
                node,
                "restart-nginx",
                &format!(
                    "#!/bin/sh\necho restart >>{own}/calls\n[ ! -e {own}/pid ] || {{ kill $(cat {own}/pid); while [ -e {own}/pid ]; do sleep 0.02; \
                     done; }}\nexec {nginx}\n"
                ),
            ),
            By::Certsync => {
                program(node, "nginx", &format!("#!/bin/sh\nexec {nginx} \"$@\"\n"));
                let reload = format!("#!/bin/sh\necho \"$*\" >>{own}/calls\n[ \"$*\" = 'reload nginx' ] && exec {nginx} -s reload\n");
                program(node, "systemctl", &reload);
            }
        }
        Nginx { port, by }
    }

    /// Breaks its configuration, which it reads when it is started or told to reload.
    pub fn break_config(&self, node: &Node) {
        node.write(&format!("{}/more/broken.conf", self.by.name()), "no_such_directive on;\n");
    }

    /// Repairs what [`break_config`](Nginx::break_config) did.
    pub fn repair_config(&self, node: &Node) {
        sh(node, &format!("rm /srv/{}/more/broken.conf", self.by.name()));
    }

    /// The certificate that it shows to a client, if it answers at all.
    fn shows(&self) -> Option<String> {
        if !listens(self.port) {
            return None;
        }
        let address = format!("127.0.0.1:{}", self.port);
        let client =
            output(Command::new("timeout").args(["60", "openssl", "s_client", "-connect", &address, "-servername", "www.example.com"]));
        let text = String::from_utf8_lossy(&client.stdout).into_owned();
        let (begin, end) = (text.find("-----BEGIN CERTIFICATE-----")?, text.find("-----END CERTIFICATE-----")?);
        Some(text[begin..end].lines().skip(1).collect())
    }

    /// The same in words; `new` is the newest certificate.
    pub fn serves(&self, new: &str) -> &'static str {
        let body: String = new.lines().skip(1).take_while(|line| !line.starts_with("-----")).map(str::trim).collect();
        match self.shows() {
            None => "is down",
            Some(shown) if shown == body => "serves the new one",
            Some(_) => "serves the old one",
        }
    }

    /// The same for a renewal made here.
    pub fn serves_pair(&self, new: &Pair) -> &'static str {
        self.serves(&new.cert)
    }
}
