//! PostgreSQL, run by its own user.

use super::Sandbox;
use super::process::{Server, free_port, run};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A running PostgreSQL.
pub struct Postgres {
    /// Where.
    pub port: u16,
    /// Its programs.
    programs: PathBuf,
    data: String,
    _server: Server,
}

impl Postgres {
    /// Where Debian keeps its programs, the newest version.
    pub fn programs() -> Option<PathBuf> {
        let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin")).collect();
        found.retain(|folder| folder.join("initdb").is_file());
        found.sort();
        found.pop()
    }

    /// Makes a cluster and starts it.
    pub fn start(sandbox: &Sandbox, cert: &str, key: &str) -> Postgres {
        let programs = Postgres::programs().expect("the server's programs");
        let home = sandbox.folder("postgres");
        run(Command::new("chown").arg("postgres").arg(&home));
        let data = sandbox.text("postgres/data");
        run(as_postgres().arg(programs.join("initdb")).args(["-A", "trust", "-N", "-D", &data]));
        let port = free_port();
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{home}'\nssl = on\nssl_cert_file = '{cert}'\n\
             ssl_key_file = '{key}'\nfsync = off\n",
            home = home.display()
        );
        let config = sandbox.path("postgres/data/postgresql.conf");
        let before = fs::read_to_string(&config).expect("its configuration");
        fs::write(&config, before + &settings).expect("its configuration");
        let log = sandbox.path("postgres.log");
        let server = Server::spawn(as_postgres().arg(programs.join("postgres")).args(["-D", &data]), "postgres", &log).wait_for(port, &log);
        Postgres { port, programs, data, _server: server }
    }

    /// The command that makes it load its certificate again.
    pub fn reload(&self) -> String {
        format!("{}/pg_ctl reload -D {}", self.programs.display(), self.data)
    }
}

fn as_postgres() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--pdeathsig", "TERM", "--"]);
    command.current_dir("/");
    command
}
