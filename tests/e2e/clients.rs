//! What ACME clients other than certbot leave, and how they call certsync.

use crate::needs;
use crate::support::acme::{Pebble, dehydrated, lego};
use crate::support::pki::{Authority, serial_of};
use crate::support::{CHANGED, Sandbox, UNCHANGED};
use std::process::Command;

#[test]
fn lego_calls_certsync_after_run_and_renew() {
    needs!("pebble", "lego", "openssl", "setpriv");
    let sandbox = Sandbox::new();
    let pebble = Pebble::start(&sandbox);
    sandbox.spec(
        "version: 1\nhooks:\n  count: { run: 'echo run >>ROOT/hook.log' }\ncerts:\n  shop:\n    source: ROOT/lego/certificates\n    \
         only: [\"shop.example.test.*\"]\n    names: [shop.example.test]\n    install: { dest: ROOT/tls, hooks: [count] }\n",
    );
    let hook = sandbox.certsync_script("lego-hook", "deploy-hook");
    lego(&sandbox, &pebble, "shop.example.test", &["run", "--run-hook", &hook]);
    let (source, installed) = (sandbox.path("lego/certificates/shop.example.test.crt"), sandbox.path("tls/shop.example.test.crt"));
    let first = serial_of(&source);
    assert_eq!(serial_of(&installed), first, "{}", sandbox.script_output("lego-hook"));
    assert!(sandbox.path("tls/shop.example.test.key").is_file() && sandbox.path("tls/shop.example.test.issuer.crt").is_file());
    assert!(!sandbox.path("tls/shop.example.test.json").exists(), "lego's own notes are not material");

    lego(&sandbox, &pebble, "shop.example.test", &["renew", "--days", "900", "--no-random-sleep", "--renew-hook", &hook]);
    assert_ne!(serial_of(&source), first);
    assert_eq!(serial_of(&installed), serial_of(&source), "{}", sandbox.script_output("lego-hook"));
    assert_eq!(sandbox.lines("hook.log"), 2);
    sandbox.is_settled();
}

#[test]
fn dehydrated_calls_certsync_for_each_certificate_and_its_old_files_are_no_material() {
    needs!("pebble", "dehydrated", "curl", "openssl", "setpriv");
    let sandbox = Sandbox::new();
    let pebble = Pebble::start(&sandbox);
    sandbox.spec(
        "version: 1\nhooks:\n  count: { run: 'echo run >>ROOT/hook.log' }\ncerts:\n  each:\n    source: ROOT/dehydrated/certs/*\n    \
         install: { dest: \"ROOT/tls/{name}\", hooks: [count] }\n",
    );
    let deploy = sandbox.certsync_script("dehydrated-certsync", "deploy-hook");
    let hook = sandbox.script(
        "dehydrated-hook",
        &format!("#!/bin/sh\n[ \"$1\" = deploy_cert ] || exit 0\nRENEWED_LINEAGE=$(dirname \"$3\") exec {deploy}\n"),
    );
    let hook = hook.to_str().expect("UTF-8");
    sandbox.write("dehydrated/domains.txt", "a.example.test www.a.example.test\n*.b.example.test > b\n");
    dehydrated(&sandbox, &pebble, hook, &["--register", "--accept-terms"]);
    dehydrated(&sandbox, &pebble, hook, &["-c"]);
    for name in ["a.example.test", "b"] {
        let [source, installed] = ["dehydrated/certs", "tls"].map(|folder| sandbox.path(folder).join(name).join("cert.pem"));
        assert!(installed.is_file(), "{name}: {}", sandbox.script_output("dehydrated-certsync"));
        assert_eq!(serial_of(&installed), serial_of(&source), "{name}");
    }

    dehydrated(&sandbox, &pebble, hook, &["-c", "-x"]);
    for name in ["a.example.test", "b"] {
        let [source, installed] = ["dehydrated/certs", "tls"].map(|folder| sandbox.path(folder).join(name).join("cert.pem"));
        assert_eq!(serial_of(&installed), serial_of(&source), "{name}: {}", sandbox.script_output("dehydrated-certsync"));
        let mut files: Vec<String> = std::fs::read_dir(sandbox.path("tls").join(name))
            .expect("the installed folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|file| file != ".certsync")
            .collect();
        files.sort();
        assert_eq!(files, ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"], "{name}");
    }
    assert_eq!(sandbox.lines("hook.log"), 4, "one run for each renewed certificate");
    sandbox.is_settled();
}

#[test]
fn acme_sh_is_served_by_its_documented_variables() {
    needs!("openssl");
    let sandbox = Sandbox::new();
    let authority = Authority::new(&sandbox.path("authority"));
    let write = || {
        let leaf = authority.leaf(&["blog.example.test"]);
        sandbox.write("acme.sh/blog.example.test_ecc/blog.example.test.cer", &leaf.cert);
        sandbox.write("acme.sh/blog.example.test_ecc/blog.example.test.key", &leaf.key);
        sandbox.write("acme.sh/blog.example.test_ecc/ca.cer", &leaf.chain);
        sandbox.write("acme.sh/blog.example.test_ecc/fullchain.cer", &leaf.fullchain());
        sandbox.write("acme.sh/blog.example.test_ecc/blog.example.test.conf", "Le_Domain='blog.example.test'\n");
        sandbox.write("acme.sh/blog.example.test_ecc/blog.example.test.csr.conf", "[req]\n");
        leaf.serial()
    };
    sandbox.spec(
        "version: 1\nhooks:\n  count: { run: 'echo run >>ROOT/hook.log' }\ncerts:\n  blog:\n    \
         source: ROOT/acme.sh/blog.example.test_ecc\n    install: { dest: ROOT/blog, hooks: [count] }\n  other:\n    \
         source: ROOT/other\n    install: { dest: ROOT/other-tls, hooks: [count] }\n",
    );
    authority.leaf(&["other.example.test"]).write_generic(&sandbox.path("other"));
    let reload = || {
        let folder = sandbox.path("acme.sh/blog.example.test_ecc");
        let mut command = Command::new(crate::support::sandbox::binary());
        command.args(["deploy-hook", "--state-dir", &sandbox.text("state"), "--detailed-exitcode"]).arg(sandbox.path("certsync.yaml"));
        command.env("Le_Domain", "blog.example.test").env("CERT_PATH", folder.join("blog.example.test.cer"));
        command.env("CERT_KEY_PATH", folder.join("blog.example.test.key")).env("CA_CERT_PATH", folder.join("ca.cer"));
        command.env("CERT_FULLCHAIN_PATH", folder.join("fullchain.cer"));
        sandbox.run(&mut command)
    };
    for _ in 0..2 {
        let serial = write();
        reload().exits(CHANGED);
        assert_eq!(serial_of(&sandbox.path("blog/fullchain.cer")), serial);
    }
    assert!(!sandbox.path("blog/blog.example.test.conf").exists(), "acme.sh's own notes are not material");
    assert!(!sandbox.path("other-tls").exists(), "only what was renewed is applied");
    reload().exits(UNCHANGED);
    assert_eq!(sandbox.lines("hook.log"), 2);
}

#[test]
fn a_deploy_hook_for_a_lineage_that_is_in_no_set_notes_it_and_succeeds() {
    needs!("openssl");
    let sandbox = Sandbox::new();
    Authority::new(&sandbox.path("authority")).leaf(&["a.example.test"]).write_certbot(&sandbox.path("certbot"), "a", 1);
    sandbox.spec("version: 1\ncerts:\n  a:\n    source: ROOT/certbot/live/a\n    install: ROOT/tls\n");
    let mut command = Command::new(crate::support::sandbox::binary());
    command.args(["deploy-hook", "--state-dir", &sandbox.text("state")]).arg(sandbox.path("certsync.yaml"));
    command.env("RENEWED_LINEAGE", sandbox.path("certbot/live/b")).env("RENEWED_DOMAINS", "b.example.test");
    let run = sandbox.run(&mut command).exits(0);
    assert!(!run.stdout.is_empty() || !run.stderr.is_empty(), "a note");
    assert!(!sandbox.path("tls").exists());
}
