//! Other servers than nginx, each with what is special about it: joined files, STARTTLS, a key owner.

use crate::support::mail::{Dovecot, Postfix};
use crate::support::pki::Authority;
use crate::support::postgres::Postgres;
use crate::support::tls::{serial, starttls_serial};
use crate::support::web::Haproxy;
use crate::support::{self, CHANGED, Sandbox};
use crate::{needs, test_name};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;

const NAME: &str = "service.example.com";

/// Makes a first and a second certificate; the first is in the source.
fn two_certificates(sandbox: &Sandbox) -> (support::pki::Leaf, support::pki::Leaf) {
    let authority = Authority::new(&sandbox.path("authority"));
    let (first, second) = (authority.leaf(&[NAME]), authority.leaf(&[NAME]));
    first.write_generic(&sandbox.path("source"));
    (first, second)
}

#[test]
fn haproxy_takes_the_joined_file() {
    needs!("haproxy", "openssl", "setpriv");
    let sandbox = Sandbox::new();
    let (first, second) = two_certificates(&sandbox);
    let spec = |hooks: &str, uses: &str| {
        format!(
            "version: 1\n{hooks}certs:\n  site:\n    source: ROOT/source\n    install:\n      dest: ROOT/certs\n      \
             files: {{ \"{{name}}.pem\": [fullchain.pem, privkey.pem] }}\n{uses}"
        )
    };
    sandbox.spec(&spec("", ""));
    sandbox.apply().exits(CHANGED);
    assert_eq!(sandbox.read("certs/site.pem"), first.fullchain() + &first.key, "joined in the order of the spec");
    let haproxy = Haproxy::start(&sandbox, &sandbox.text("certs/"));
    assert_eq!(serial(haproxy.port, NAME), first.serial());

    let hooks = format!(
        "hooks:\n  haproxy:\n    check: [haproxy, -c, -q, -f, {config}]\n    run: [kill, -USR2, \"{pid}\"]\n    \
         verify: {{ tls: \"127.0.0.1:{port}\", server_name: {NAME} }}\n",
        config = haproxy.config,
        pid = haproxy.pid(),
        port = haproxy.port
    );
    second.write_generic(&sandbox.path("source"));
    sandbox.spec(&spec(&hooks, "      hooks: [haproxy]\n"));
    sandbox.apply().exits(CHANGED);
    assert_eq!(serial(haproxy.port, NAME), second.serial());
    let mode = fs::metadata(sandbox.path("certs/site.pem")).expect("the joined file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600, "a joined file that holds a key is private");
    sandbox.is_settled();
}

#[test]
fn dovecot_is_verified_after_starttls() {
    needs!(root, "dovecot", "openssl", "setpriv");
    let sandbox = Sandbox::new();
    let (first, second) = two_certificates(&sandbox);
    first.write_generic(&sandbox.path("tls"));
    let dovecot = Dovecot::start(&sandbox, &sandbox.text("tls/fullchain.pem"), &sandbox.text("tls/privkey.pem"));
    second.write_generic(&sandbox.path("source"));
    sandbox.spec(&format!(
        "version: 1\nhooks:\n  dovecot:\n    run: [kill, -HUP, \"{pid}\"]\n    \
         verify: {{ tls: \"127.0.0.1:{port}\", starttls: imap, server_name: {NAME} }}\n    timeout: 20s\n\
         certs:\n  mail:\n    source: ROOT/source\n    install: {{ dest: ROOT/tls, hooks: [dovecot] }}\n",
        pid = dovecot.pid(),
        port = dovecot.port
    ));
    sandbox.apply().exits(CHANGED);
    assert_eq!(starttls_serial(dovecot.port, NAME, "imap"), second.serial());
    sandbox.is_settled();
}

#[test]
fn a_verify_that_sees_the_old_certificate_fails_until_it_is_served() {
    needs!(root, "dovecot", "openssl", "setpriv");
    let sandbox = Sandbox::new();
    let (first, second) = two_certificates(&sandbox);
    first.write_generic(&sandbox.path("tls"));
    let dovecot = Dovecot::start(&sandbox, &sandbox.text("tls/fullchain.pem"), &sandbox.text("tls/privkey.pem"));
    second.write_generic(&sandbox.path("source"));
    let reload = sandbox.script("reload", "#!/bin/sh\necho run >>ROOT/hook.log\n");
    sandbox.spec(&format!(
        "version: 1\nhooks:\n  dovecot:\n    run: [{reload}]\n    \
         verify: {{ tls: \"127.0.0.1:{port}\", starttls: imap, server_name: {NAME} }}\n    timeout: 2s\n\
         certs:\n  mail:\n    source: ROOT/source\n    install: {{ dest: ROOT/tls, hooks: [dovecot] }}\n",
        reload = reload.display(),
        port = dovecot.port
    ));
    sandbox.apply().fails().says("dovecot");
    sandbox.apply().fails();
    assert_eq!(sandbox.lines("hook.log"), 1, "after a good run only verify repeats");
    support::process::run(std::process::Command::new("kill").args(["-HUP", &dovecot.pid().to_string()]));
    support::process::eventually("the new certificate is served", || starttls_serial(dovecot.port, NAME, "imap") == second.serial());
    sandbox.apply().exits(CHANGED);
    assert_eq!(sandbox.lines("hook.log"), 1);
    sandbox.is_settled();
}

#[test]
fn postfix_is_verified_after_starttls() {
    needs!(root, "postfix", "openssl", "setpriv");
    let sandbox = Sandbox::new();
    let (first, second) = two_certificates(&sandbox);
    first.write_generic(&sandbox.path("tls"));
    let postfix = Postfix::start(&sandbox, &sandbox.text("tls/privkey.pem"), &sandbox.text("tls/fullchain.pem"));
    assert_eq!(starttls_serial(postfix.port, NAME, "smtp"), first.serial());
    second.write_generic(&sandbox.path("source"));
    sandbox.spec(&format!(
        "version: 1\nhooks:\n  postfix:\n    check: [postfix, -c, {config}, check]\n    run: [postfix, -c, {config}, reload]\n    \
         verify: {{ tls: \"127.0.0.1:{port}\", starttls: smtp, server_name: {NAME} }}\n    timeout: 20s\n\
         certs:\n  mail:\n    source: ROOT/source\n    install: {{ dest: ROOT/tls, hooks: [postfix] }}\n",
        config = postfix.config,
        port = postfix.port
    ));
    sandbox.apply().exits(CHANGED);
    assert_eq!(starttls_serial(postfix.port, NAME, "smtp"), second.serial());
    sandbox.is_settled();
}

#[test]
fn postgres_gets_a_key_of_its_own_and_reloads_as_its_own_user() {
    needs!(root, "openssl", "setpriv");
    if Postgres::programs().is_none() {
        return support::skip(test_name!(), "postgresql is not installed");
    }
    let sandbox = Sandbox::new();
    let (first, second) = two_certificates(&sandbox);
    let spec = |hook: &str, uses: &str| {
        format!(
            "version: 1\n{hook}certs:\n  db:\n    source: ROOT/source\n    install:\n      dest: ROOT/tls\n      owner: postgres\n      \
             group: postgres\n      dir_mode: \"0700\"\n      key_mode: \"0600\"\n{uses}"
        )
    };
    sandbox.spec(&spec("", ""));
    sandbox.apply().exits(CHANGED);
    let key = fs::metadata(sandbox.path("tls/privkey.pem")).expect("the key");
    let postgres_user = nix::unistd::User::from_name("postgres").expect("users").expect("a user postgres");
    assert_eq!((key.uid(), key.mode() & 0o7777), (postgres_user.uid.as_raw(), 0o600));
    let postgres = Postgres::start(&sandbox, &sandbox.text("tls/fullchain.pem"), &sandbox.text("tls/privkey.pem"));
    assert_eq!(starttls_serial(postgres.port, NAME, "postgres"), first.serial());

    second.write_generic(&sandbox.path("source"));
    let hook = format!(
        "hooks:\n  postgres:\n    run: {reload}\n    user: postgres\n    \
         verify: {{ tls: \"127.0.0.1:{port}\", starttls: postgres, server_name: {NAME} }}\n    timeout: 20s\n",
        reload = postgres.reload(),
        port = postgres.port
    );
    sandbox.spec(&spec(&hook, "      hooks: [postgres]\n"));
    sandbox.apply().exits(CHANGED);
    assert_eq!(starttls_serial(postgres.port, NAME, "postgres"), second.serial());
    sandbox.is_settled();
}
