//! nginx and haproxy.

use super::Sandbox;
use super::process::{Server, free_port};
use std::fs;

/// A running nginx that serves the certificate and key it was given.
pub struct Nginx {
    /// Where it serves TLS.
    pub port: u16,
    /// Its configuration.
    pub config: String,
    _server: Server,
}

impl Nginx {
    /// Starts it; `tls` are the directives that name certificate and key.
    pub fn start(sandbox: &Sandbox, tls: &str) -> Nginx {
        let port = free_port();
        let config = sandbox.text("nginx/nginx.conf");
        let text = format!(
            "worker_processes 1;\npid ROOT/nginx/pid;\nerror_log ROOT/nginx/error.log;\nevents {{ worker_connections 64; }}\n\
             http {{\n  access_log off;\n  client_body_temp_path ROOT/nginx/body;\n  proxy_temp_path ROOT/nginx/proxy;\n  \
             fastcgi_temp_path ROOT/nginx/fastcgi;\n  uwsgi_temp_path ROOT/nginx/uwsgi;\n  scgi_temp_path ROOT/nginx/scgi;\n  \
             include ROOT/nginx/more/*.conf;\n  server {{\n    listen 127.0.0.1:{port} ssl;\n    {tls}\n    return 200 \"ok\\n\";\n  }}\n}}\n"
        );
        sandbox.folder("nginx/more");
        sandbox.write("nginx/nginx.conf", &text);
        let log = sandbox.path("nginx/output");
        let server = Server::start("nginx", &["-c", &config, "-g", "daemon off;"], &log).wait_for(port, &log);
        Nginx { port, config, _server: server }
    }

    /// A hook that checks, reloads and looks at it; each run of check and reload is counted in `hook.log`, and what
    /// the reload was told is kept in `changes.json`.
    pub fn hook(&self, server_name: &str) -> String {
        format!(
            "    check: 'echo check >>ROOT/hook.log; exec nginx -t -c {config}'\n    \
             run: 'echo run >>ROOT/hook.log; cp \"$CERTSYNC_CHANGES\" ROOT/changes.json; exec nginx -s reload -c {config}'\n    \
             verify: {{ tls: \"127.0.0.1:{port}\", server_name: {server_name} }}\n    timeout: 20s\n",
            config = self.config,
            port = self.port
        )
    }

    /// Breaks its configuration: `nginx -t` fails from now on.
    pub fn break_config(&self, sandbox: &Sandbox) {
        sandbox.write("nginx/more/broken.conf", "no_such_directive on;\n");
    }

    /// Repairs what [`break_config`](Nginx::break_config) did.
    pub fn repair_config(&self, sandbox: &Sandbox) {
        fs::remove_file(sandbox.path("nginx/more/broken.conf")).expect("the broken file");
    }
}

/// A running haproxy in master-worker mode.
pub struct Haproxy {
    /// Where it serves TLS.
    pub port: u16,
    /// Its configuration.
    pub config: String,
    server: Server,
}

impl Haproxy {
    /// Starts it with all joined files of a folder.
    pub fn start(sandbox: &Sandbox, certs: &str) -> Haproxy {
        let port = free_port();
        let config = sandbox.text("haproxy/haproxy.cfg");
        let text = format!(
            "global\n  stats socket ROOT/haproxy/socket mode 600 level admin\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 5s\n  \
             timeout server 5s\nfrontend tls\n  bind 127.0.0.1:{port} ssl crt {certs}\n  http-request return status 200\n"
        );
        sandbox.write("haproxy/haproxy.cfg", &text);
        let log = sandbox.path("haproxy/output");
        let server = Server::start("haproxy", &["-W", "-db", "-f", &config], &log).wait_for(port, &log);
        Haproxy { port, config, server }
    }

    /// The master's process id: SIGUSR2 makes it load its configuration again.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }
}
