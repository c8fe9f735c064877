//! `verify` against a real TLS server, which serves what lies in `served` at each connection.

mod support;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;
use support::site::{Issued, Site, issue};

fn start(dir: &Path) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let dir = dir.to_owned();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (Ok(chain), Ok(key)) = (fs::read(dir.join("fullchain.pem")), fs::read(dir.join("privkey.pem"))) else { continue };
            let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain).flatten().collect();
            let Ok(key) = PrivateKeyDer::from_pem_slice(&key) else { continue };
            let Ok(config) = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key) else { continue };
            let Ok(mut connection) = ServerConnection::new(Arc::new(config)) else { continue };
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        }
    });
    port
}

/// A host whose hook is the server's: `run` makes the server take what is installed, unless `stuck` is there.
fn site(more: &str) -> Site {
    let site = Site::new("");
    fs::create_dir(site.path("served")).expect("a directory");
    let port = start(&site.path("served"));
    site.spec(&format!(
        "version: 1
hooks:
  web:
    run: 'echo run >> [DIR]/log; test -e [DIR]/stuck || cp -L [DIR]/dest/a/*.pem [DIR]/served/'
    verify: {{ tls: '127.0.0.1:{port}', server_name: www.a.test }}
    timeout: 1s
certs:
  a: {{ source: src/a, install: {{ dest: '[DIR]/dest/a', hooks: [web] }} }}
{more}"
    ));
    site
}

fn renew(site: &Site, age: i64) -> Issued {
    let issued = issue(&["*.a.test"], age);
    site.source("a", &issued);
    issued
}

#[test]
fn the_new_certificate_is_really_served() {
    let site = site("");
    for age in [3, 2] {
        renew(&site, age);
        assert_eq!(site.plan(0).hooks(), ["web run due", "web verify due"]);
        assert_eq!(site.apply(0).hooks(), ["web run ok", "web verify ok"]);
    }
    assert!(!site.apply(0).changed());
    assert_eq!(site.log(), ["run", "run"]);
}

#[test]
fn after_a_good_run_only_verify_repeats_until_it_is_content() {
    let site = site("");
    renew(&site, 3);
    site.apply(0);
    site.log();
    let new = renew(&site, 2);
    site.write("stuck", "");
    let run = site.apply(1).says("certsync: error: hook web: verify failed: 127.0.0.1:").says("which is not the installed one");
    assert_eq!(run.hooks(), ["web run ok", "web verify failed"]);
    assert!(site.shows("dest/a", &new), "verify takes nothing back");
    assert_eq!(site.plan(0).hooks(), ["web verify owed"]);
    assert_eq!(site.apply(1).hooks(), ["web verify failed"]);
    let status = site.call(&["status", "--format", "json"]);
    assert_eq!(status.json["installs"][0]["hooks"][0]["owed"], "verify");
    site.source("served-by-hand", &new);
    for name in ["fullchain.pem", "privkey.pem"] {
        fs::copy(site.path("src/served-by-hand").join(name), site.path("served").join(name)).expect("it is copied");
    }
    assert_eq!(site.apply(0).hooks(), ["web verify ok"]);
    assert!(!site.apply(0).changed());
    assert_eq!(site.log(), ["run"]);
}

#[test]
fn a_slow_reload_is_waited_for() {
    let site = site("");
    site.edit("test -e", "(sleep 1; cp -L $0/dest/a/*.pem $0/served/) > /dev/null 2>&1 & test -e");
    let dir = site.dir().display().to_string();
    site.edit("$0", &dir);
    site.edit("timeout: 1s", "timeout: 10s");
    site.write("stuck", "");
    renew(&site, 3);
    let start = Instant::now();
    assert_eq!(site.apply(0).hooks(), ["web run ok", "web verify ok"]);
    assert!((900..9000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[test]
fn any_installed_leaf_that_covers_the_name_will_do() {
    let site = site("  b: { source: src/b, install: { dest: '[DIR]/dest/b', hooks: [web] } }\n");
    site.write("stuck", "");
    let b = issue(&["www.a.test"], 4);
    site.source("b", &b);
    site.write("served/fullchain.pem", &b.chain);
    site.write("served/privkey.pem", &b.key);
    renew(&site, 3);
    assert_eq!(site.apply(0).hooks(), ["web run ok", "web verify ok"]);
}

#[test]
fn without_a_leaf_for_the_name_nobody_is_asked() {
    let site = site("");
    site.source("a", &issue(&["b.test"], 3));
    site.apply(1).says("hook web: verify failed: no installed certificate of this hook's sets covers www.a.test");
}

#[test]
fn a_server_that_does_not_answer_is_asked_until_the_timeout() {
    let site = site("");
    renew(&site, 3);
    site.edit("verify: { tls: '127.0.0.1:", "verify: { tls: '127.0.0.1:1' } #");
    site.edit("verify: { tls: '127.0.0.1:1' }", "verify: { tls: '127.0.0.1:1', server_name: www.a.test }");
    let start = Instant::now();
    let run = site.apply(1).says("hook web: verify failed: connect to 127.0.0.1:1: connection refused");
    assert_eq!(run.json["hooks"][1]["status"], serde_json::Value::Null);
    assert!((600..30_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[test]
fn verify_asks_nothing_while_run_fails() {
    let site = site("");
    site.edit("echo run", "false; exit 1; echo run");
    renew(&site, 3);
    assert_eq!(site.apply(1).hooks(), ["web run failed", "web verify owed"]);
}
