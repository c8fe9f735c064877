//! The servers these tests rely on do serve, without certsync: so that a failure elsewhere is certsync's.

use crate::support::mail::{Dovecot, Postfix};
use crate::support::pki::Authority;
use crate::support::postgres::Postgres;
use crate::support::tls::{serial, starttls_serial};
use crate::support::web::{Haproxy, Nginx};
use crate::support::{Sandbox, pki::Leaf, process};
use crate::{needs, support};
use std::process::Command;

fn leaf(sandbox: &Sandbox) -> Leaf {
    let leaf = Authority::new(&sandbox.path("authority")).leaf(&["www.example.com"]);
    leaf.write_generic(&sandbox.path("tls"));
    sandbox.write("tls/joined.pem", &(leaf.fullchain() + &leaf.key));
    leaf
}

#[test]
fn nginx() {
    needs!("nginx", "openssl", "setpriv");
    let sandbox = Sandbox::new();
    let leaf = leaf(&sandbox);
    let nginx = Nginx::start(&sandbox, "ssl_certificate ROOT/tls/fullchain.pem; ssl_certificate_key ROOT/tls/privkey.pem;");
    assert_eq!(serial(nginx.port, "www.example.com"), leaf.serial());
}

#[test]
fn haproxy() {
    needs!("haproxy", "openssl", "setpriv");
    let sandbox = Sandbox::new();
    let leaf = leaf(&sandbox);
    let haproxy = Haproxy::start(&sandbox, &sandbox.text("tls/joined.pem"));
    assert_eq!(serial(haproxy.port, "www.example.com"), leaf.serial());
}

#[test]
fn dovecot() {
    needs!(root, "dovecot", "openssl", "setpriv");
    let sandbox = Sandbox::new();
    let leaf = leaf(&sandbox);
    let dovecot = Dovecot::start(&sandbox, &sandbox.text("tls/fullchain.pem"), &sandbox.text("tls/privkey.pem"));
    assert_eq!(starttls_serial(dovecot.port, "www.example.com", "imap"), leaf.serial());
}

#[test]
fn postfix() {
    needs!(root, "postfix", "openssl", "setpriv");
    let sandbox = Sandbox::new();
    let leaf = leaf(&sandbox);
    let postfix = Postfix::start(&sandbox, &sandbox.text("tls/privkey.pem"), &sandbox.text("tls/fullchain.pem"));
    assert_eq!(starttls_serial(postfix.port, "www.example.com", "smtp"), leaf.serial());
}

#[test]
fn postgres() {
    needs!(root, "openssl", "setpriv");
    if Postgres::programs().is_none() {
        return support::skip(crate::test_name!(), "postgresql is not installed");
    }
    let sandbox = Sandbox::new();
    let leaf = leaf(&sandbox);
    let (cert, key) = (sandbox.text("tls/fullchain.pem"), sandbox.text("tls/privkey.pem"));
    process::run(Command::new("chown").args(["postgres", &key]));
    process::run(Command::new("chmod").args(["600", &key]));
    let postgres = Postgres::start(&sandbox, &cert, &key);
    assert_eq!(starttls_serial(postgres.port, "www.example.com", "postgres"), leaf.serial());
}
