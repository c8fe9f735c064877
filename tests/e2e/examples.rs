//! Every folder of `examples/` does what its README says; those for many hosts are run by `tests/fleet/setups`. The replacements are listed in `examples/README.md`.

use crate::needs;
use crate::support::mail::{Dovecot, Postfix};
use crate::support::pki::{Authority, Leaf, serial_of};
use crate::support::postgres::Postgres;
use crate::support::process::{Server, eventually, run};
use crate::support::tls::{serial, starttls_serial};
use crate::support::web::{Haproxy, Nginx};
use crate::support::{self, CHANGED, Sandbox, UNCHANGED};
use std::fs;
use std::path::Path;
use std::process::Command;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// A sandbox with the example's spec in it, not yet adapted, and a lineage as certbot keeps it.
struct Example {
    sandbox: Sandbox,
    spec: String,
    authority: Authority,
}

impl Example {
    fn new(name: &str) -> Example {
        let sandbox = Sandbox::new();
        let spec = fs::read_to_string(Path::new(FOLDER).join(name).join("certsync.yaml")).expect("the example's spec");
        let mut spec = spec.replace("/etc/", "ROOT/etc/").replace("/srv/", "ROOT/srv/");
        for program in ["systemctl", "docker", "nginx", "postfix", "doveconf"] {
            for part in ["check", "run"] {
                spec = spec.replace(&format!("{part}: [{program}, "), &format!("{part}: [ROOT/bin/{program}, "));
            }
        }
        let authority = Authority::new(&sandbox.path("authority"));
        sandbox.folder("etc");
        sandbox.folder("srv");
        Example { sandbox, spec, authority }
    }

    /// A new certificate for a lineage, in certbot's layout.
    fn renew(&self, lineage: &str, names: &[&str], number: u32) -> Leaf {
        let leaf = self.authority.leaf(names);
        leaf.write_certbot(&self.sandbox.path("etc/letsencrypt"), lineage, number);
        leaf
    }

    /// A stand-in for a program of the example's hooks; every call is noted in `calls.log`.
    fn stand_in(&self, program: &str, script: &str) {
        let text = format!("#!/bin/sh\necho \"{program} $*\" >>ROOT/calls.log\n{script}\n");
        self.sandbox.script(&format!("bin/{program}"), &text);
    }

    fn use_port(&mut self, usual: u16, port: u16) {
        let adapted = self.spec.replace(&format!("\"127.0.0.1:{usual}\""), &format!("\"127.0.0.1:{port}\""));
        assert_ne!(adapted, self.spec, "the example does not mention port {usual}");
        self.spec = adapted;
    }

    /// plan, apply, plan, apply: the second pair has nothing to do, and the state stays the same.
    #[track_caller]
    fn runs(&self) {
        self.sandbox.spec(&self.spec);
        self.sandbox.certsync(&["validate"]).exits(0);
        self.sandbox.plan().exits(CHANGED);
        self.sandbox.apply().exits(CHANGED);
        self.sandbox.is_settled();
    }

    fn calls(&self) -> String {
        self.sandbox.read("calls.log")
    }
}

#[test]
fn every_example_begins_with_its_schema_and_has_a_readme_and_a_test() {
    let mut names: Vec<String> = fs::read_dir(FOLDER)
        .expect("the examples")
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let here = ["certbot-nginx", "docker-bind-mount", "haproxy", "many-lineages", "postfix-dovecot", "postgres", "quickstart"];
    let by_the_fleet = ["mirror-tiers", "pull-by-cron", "push-to-nginx"];
    let mut tested: Vec<String> = here.iter().chain(&by_the_fleet).map(|name| (*name).to_owned()).collect();
    tested.sort();
    assert_eq!(names, tested);
    for name in names {
        let folder = Path::new(FOLDER).join(&name);
        let spec = fs::read_to_string(folder.join("certsync.yaml")).expect("a spec");
        assert!(spec.starts_with("# yaml-language-server: $schema=../../schema/spec.schema.json\n"), "{name}");
        assert!(folder.join("../../schema/spec.schema.json").is_file(), "{name}");
        assert!(folder.join("README.md").is_file(), "{name}");
    }
}

#[test]
fn certbot_nginx() {
    needs!("nginx", "openssl", "setpriv");
    let mut example = Example::new("certbot-nginx");
    let names = ["example.com", "*.example.com"];
    example.authority.leaf(&names).write_generic(&example.sandbox.path("etc/nginx/tls/example.com"));
    let tls =
        "ssl_certificate ROOT/etc/nginx/tls/example.com/fullchain.pem; ssl_certificate_key ROOT/etc/nginx/tls/example.com/privkey.pem;";
    let nginx = Nginx::start(&example.sandbox, tls);
    example.stand_in("nginx", &format!("exec nginx -c {} \"$@\"", nginx.config));
    example.stand_in("systemctl", &format!("[ \"$*\" = 'reload nginx' ] && exec nginx -s reload -c {}", nginx.config));
    example.use_port(443, nginx.port);
    let new = example.renew("example.com", &names, 1);
    example.runs();
    assert_eq!(serial(nginx.port, "www.example.com"), new.serial());
    assert_eq!(example.calls(), "nginx -t\nsystemctl reload nginx\n");
}

#[test]
fn haproxy() {
    needs!("haproxy", "openssl", "setpriv");
    let mut example = Example::new("haproxy");
    let names = ["example.com", "www.example.com"];
    let old = example.authority.leaf(&names);
    example.sandbox.write("etc/haproxy/certs/example.com.pem", &(old.fullchain() + &old.key));
    let haproxy = Haproxy::start(&example.sandbox, &example.sandbox.text("etc/haproxy/certs/"));
    fs::copy(&haproxy.config, example.sandbox.path("etc/haproxy/haproxy.cfg")).expect("its configuration where the example looks");
    example.stand_in("systemctl", &format!("[ \"$*\" = 'reload haproxy' ] && exec kill -USR2 {}", haproxy.pid()));
    example.use_port(443, haproxy.port);
    let new = example.renew("example.com", &names, 1);
    example.runs();
    assert_eq!(serial(haproxy.port, "www.example.com"), new.serial());
    assert_eq!(example.sandbox.read("etc/haproxy/certs/example.com.pem"), new.fullchain() + &new.key);
}

#[test]
fn postfix_dovecot() {
    needs!(root, "postfix", "dovecot", "openssl", "setpriv");
    let mut example = Example::new("postfix-dovecot");
    let sandbox = &example.sandbox;
    let names = ["mail.example.com"];
    example.authority.leaf(&names).write_generic(&sandbox.path("etc/ssl/mail"));
    let [cert, key] = ["fullchain.pem", "privkey.pem"].map(|file| sandbox.text(&format!("etc/ssl/mail/{file}")));
    let dovecot = Dovecot::start(sandbox, &cert, &key);
    let postfix = Postfix::start(sandbox, &key, &cert);
    example.stand_in("postfix", &format!("exec postfix -c {} \"$@\"", postfix.config));
    example.stand_in("doveconf", "exec doveconf -c ROOT/dovecot/dovecot.conf \"$@\"");
    let reload = format!(
        "case $* in 'reload postfix') exec postfix -c {} reload ;; 'reload dovecot') exec kill -HUP {} ;; *) exit 1 ;; esac",
        postfix.config,
        dovecot.pid()
    );
    example.stand_in("systemctl", &reload);
    example.use_port(25, postfix.port);
    example.use_port(143, dovecot.port);
    let new = example.renew("mail.example.com", &names, 1);
    example.runs();
    assert_eq!(starttls_serial(postfix.port, names[0], "smtp"), new.serial());
    assert_eq!(starttls_serial(dovecot.port, names[0], "imap"), new.serial());
    assert_eq!(example.calls(), "postfix check\ndoveconf -n\nsystemctl reload postfix\nsystemctl reload dovecot\n", "checks first");
}

#[test]
fn postgres() {
    needs!(root, "openssl", "setpriv");
    if Postgres::programs().is_none() {
        return support::skip(crate::test_name!(), "postgresql is not installed");
    }
    let mut example = Example::new("postgres");
    let sandbox = &example.sandbox;
    let names = ["db.example.com"];
    let tls = sandbox.path("etc/postgresql/tls");
    example.authority.leaf(&names).write_generic(&tls);
    run(Command::new("chown").args(["-R", "postgres:postgres"]).arg(&tls));
    run(Command::new("chmod").arg("0700").arg(&tls));
    run(Command::new("chmod").arg("0600").arg(tls.join("privkey.pem")));
    let postgres =
        Postgres::start(sandbox, &sandbox.text("etc/postgresql/tls/fullchain.pem"), &sandbox.text("etc/postgresql/tls/privkey.pem"));
    let reload =
        format!("[ \"$*\" = 'reload postgresql' ] && exec setpriv --reuid postgres --regid postgres --init-groups {}", postgres.reload());
    example.stand_in("systemctl", &reload);
    example.use_port(5432, postgres.port);
    let new = example.renew("db.example.com", &names, 1);
    example.runs();
    assert_eq!(starttls_serial(postgres.port, names[0], "postgres"), new.serial());
}

#[test]
fn docker_bind_mount() {
    needs!(root, "openssl", "unshare", "setpriv");
    let example = Example::new("docker-bind-mount");
    let sandbox = &example.sandbox;
    let names = ["shop.example.com"];
    example.stand_in("docker", "");
    example.renew(names[0], &names, 1);
    example.runs();
    assert_eq!(example.calls(), "docker kill --signal=HUP shop\n");

    // A container, as far as files are concerned: a mount namespace of its own with the directory bound into it.
    let inside = sandbox.script(
        "inside",
        "#!/bin/sh\nset -e\nmount --bind ROOT/srv/tls/shop.example.com ROOT/mounted\ncat ROOT/mounted/fullchain.pem >ROOT/first\n\
         touch ROOT/ready\nuntil [ -e ROOT/renewed ]; do sleep 0.05; done\ncat ROOT/mounted/fullchain.pem >ROOT/second\n",
    );
    sandbox.folder("mounted");
    let container = Server::start("unshare", &["-m", inside.to_str().expect("UTF-8")], &sandbox.path("container.log"));
    eventually("the container has its mount", || sandbox.path("ready").exists());
    let first = serial_of(&sandbox.path("first"));
    let new = example.renew(names[0], &names, 2);
    sandbox.apply().exits(CHANGED);
    sandbox.write("renewed", "");
    eventually("the container reads again", || sandbox.read("second").contains("-----END CERTIFICATE-----"));
    drop(container);
    assert_ne!(first, new.serial());
    assert_eq!(serial_of(&sandbox.path("second")), new.serial(), "through the same mount");
}

#[test]
fn many_lineages() {
    needs!("openssl");
    let example = Example::new("many-lineages");
    example.stand_in("nginx", "");
    example.stand_in("systemctl", "");
    let lineages = ["a.example.com", "b.example.com", "c.example.com-0001"];
    for lineage in lineages {
        example.renew(lineage, &[lineage.trim_end_matches("-0001")], 1);
    }
    example.runs();
    assert_eq!(example.calls(), "nginx -t\nsystemctl reload nginx\n", "one reload for all");
    let new = example.renew("b.example.com", &["b.example.com"], 2);
    example.sandbox.apply().exits(CHANGED);
    assert_eq!(serial_of(&example.sandbox.path("srv/tls/b.example.com/fullchain.pem")), new.serial());
    assert_eq!(example.calls().lines().count(), 4);

    fs::remove_dir_all(example.sandbox.path("etc/letsencrypt/live/a.example.com")).expect("a lineage away");
    example.sandbox.plan().says("a.example.com");
    assert!(example.sandbox.path("srv/tls/a.example.com/fullchain.pem").is_file(), "nothing is removed by accident");
}

#[test]
fn quickstart_as_a_plain_user() {
    needs!("setpriv");
    let sandbox = Sandbox::new();
    let home = sandbox.folder("home");
    run(Command::new("cp").arg("-R").arg(Path::new(FOLDER).join("quickstart")).arg(&home));
    let _ = fs::remove_dir_all(home.join("quickstart/out"));
    fs::copy(support::sandbox::binary(), home.join("certsync")).expect("the program where everybody may run it");
    if support::is_root() {
        run(Command::new("chown").args(["-R", "nobody"]).arg(&home));
    }
    let certsync = |words: &[&str]| {
        let mut command = if support::is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]).arg(home.join("certsync"));
            command
        } else {
            Command::new(home.join("certsync"))
        };
        command.args(words).args(["quickstart/certsync.yaml", "--state-dir", "quickstart-state", "--detailed-exitcode"]).current_dir(&home);
        sandbox.run(&mut command)
    };
    let state = || fs::read(home.join("quickstart-state/state.json")).expect("state.json");
    certsync(&["plan"]).exits(CHANGED);
    assert!(!home.join("quickstart-state").exists() && !home.join("quickstart/out").exists(), "a plan leaves nothing behind");
    certsync(&["apply"]).exits(CHANGED);
    let installed = home.join("quickstart/out/www.example.com");
    for file in ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"] {
        let [source, here] = [home.join("quickstart/certs"), installed.clone()].map(|folder| fs::read(folder.join(file)).expect("a file"));
        assert!(source == here, "{file}");
    }
    let before = state();
    certsync(&["plan"]).exits(UNCHANGED);
    certsync(&["apply"]).exits(UNCHANGED);
    assert!(before == state(), "a second apply changed state.json");
    let reloads = || fs::read_to_string(home.join("quickstart/out/reloads.log")).unwrap_or_default();
    assert_eq!(reloads().lines().count(), 1, "{}", reloads());

    // What the README suggests: break it, and apply again.
    run(Command::new("chmod").arg("644").arg(installed.join("privkey.pem")));
    certsync(&["apply"]).exits(CHANGED).says("drift");
    assert_eq!(reloads().lines().count(), 1, "no byte has changed, so no service has to know");
    let cert = installed.join("cert.pem");
    fs::write(&cert, fs::read_to_string(&cert).expect("the certificate") + "\n").expect("a damaged certificate");
    certsync(&["apply"]).exits(CHANGED).says("drift");
    assert_eq!(reloads().lines().count(), 2, "{}", reloads());
    certsync(&["plan"]).exits(UNCHANGED);
}
