//! A certificate's way from certbot to a TLS client, through nginx.

use crate::needs;
use crate::support::acme::{Certbot, Pebble};
use crate::support::pki::{Authority, serial_of};
use crate::support::process::eventually;
use crate::support::tls::serial;
use crate::support::web::Nginx;
use crate::support::{CHANGED, FAILED, Sandbox, UNCHANGED};

const NAME: &str = "www.example.test";
const CERTIFICATE: &str = "ssl_certificate ROOT/tls/fullchain.pem; ssl_certificate_key ROOT/tls/privkey.pem;";

/// An nginx that serves a certificate put there by hand, as before certsync came; a pebble; and a spec that brings
/// certbot's lineage `wild` to that nginx. Servers end before their folder goes.
struct Site {
    nginx: Nginx,
    pebble: Pebble,
    sandbox: Sandbox,
    hook: String,
}

impl Site {
    fn new() -> Site {
        let sandbox = Sandbox::new();
        Authority::new(&sandbox.path("authority")).leaf(&["example.test", "*.example.test"]).write_generic(&sandbox.path("tls"));
        let nginx = Nginx::start(&sandbox, CERTIFICATE);
        sandbox.spec(&format!(
            "version: 1\nhooks:\n  nginx:\n{}certs:\n  wild:\n    source: ROOT/certbot/etc/live/wild\n    \
             names: [example.test, \"*.example.test\"]\n    install: {{ dest: ROOT/tls, hooks: [nginx] }}\n",
            nginx.hook(NAME)
        ));
        let hook = sandbox.certsync_script("deploy-hook", "deploy-hook");
        Site { nginx, pebble: Pebble::start(&sandbox), sandbox, hook }
    }

    /// The same, after certbot has obtained the certificate and called certsync.
    fn with_certificate() -> Site {
        let site = Site::new();
        site.certbot().obtain("wild", &["*.example.test", "example.test"], &["--deploy-hook", &site.hook]);
        site
    }

    fn certbot(&self) -> Certbot<'_> {
        Certbot::new(&self.sandbox, &self.pebble)
    }

    fn served(&self) -> String {
        serial(self.nginx.port, NAME)
    }

    /// What certbot has now.
    fn newest(&self) -> String {
        serial_of(&self.certbot().live("wild").join("cert.pem"))
    }

    fn installed(&self) -> String {
        serial_of(&self.sandbox.path("tls/fullchain.pem"))
    }

    fn hook_said(&self) -> String {
        self.sandbox.script_output("deploy-hook")
    }
}

#[test]
fn a_wildcard_that_certbot_obtains_is_served_by_nginx() {
    needs!("nginx", "pebble", "certbot", "openssl", "setpriv");
    let site = Site::with_certificate();
    assert_eq!(site.served(), site.newest(), "{}", site.hook_said());
    assert!(site.hook_said().ends_with("status 0\n"), "{}", site.hook_said());
    assert_eq!(site.sandbox.read("hook.log"), "check\nrun\n", "one check and one reload");
    assert!(site.sandbox.read("changes.json").contains("privkey.pem"), "the hook was told what changed");
}

#[test]
fn a_forced_renewal_is_served_with_its_new_serial() {
    needs!("nginx", "pebble", "certbot", "openssl", "setpriv");
    let site = Site::with_certificate();
    let before = site.served();
    site.certbot().renew(&[]);
    assert_ne!(before, site.newest());
    assert_eq!(site.served(), site.newest(), "{}", site.hook_said());
    assert_eq!(site.sandbox.read("hook.log"), "check\nrun\ncheck\nrun\n");
}

#[test]
fn with_nothing_to_do_nothing_runs_and_nothing_is_written() {
    needs!("nginx", "pebble", "certbot", "openssl", "setpriv");
    let site = Site::with_certificate();
    let before = site.sandbox.read("hook.log");
    site.sandbox.is_settled();
    assert_eq!(site.sandbox.read("hook.log"), before, "no hook");
}

#[test]
fn a_broken_nginx_keeps_serving_the_old_certificate_and_the_apply_after_its_repair_finishes() {
    needs!("nginx", "pebble", "certbot", "openssl", "setpriv");
    let site = Site::with_certificate();
    let before = site.served();
    site.nginx.break_config(&site.sandbox);
    site.certbot().renew(&[]);

    assert_eq!(site.served(), before, "the old certificate is still served");
    assert_eq!(site.installed(), site.newest(), "not the material's fault: it stays installed");
    let said = site.hook_said();
    assert!(said.ends_with("status 1\n"), "{said}");
    for blamed in ["nginx", "check", "no_such_directive"] {
        assert!(said.contains(blamed), "does not name {blamed:?}: {said}");
    }

    site.sandbox.plan().exits(CHANGED);
    site.sandbox.apply().fails().says("no_such_directive");
    assert_eq!(site.served(), before);

    site.nginx.repair_config(&site.sandbox);
    site.sandbox.apply().exits(CHANGED);
    assert_eq!(site.served(), site.newest());
    site.sandbox.is_settled();
}

#[test]
fn a_renewal_is_planned_in_an_operators_words_before_it_is_applied() {
    needs!("nginx", "pebble", "certbot", "openssl", "setpriv");
    let site = Site::with_certificate();
    let deaf = site.sandbox.script("deaf", "#!/bin/sh\n");
    site.certbot().renew(&["--deploy-hook", deaf.to_str().expect("UTF-8")]);
    let serial = site.newest().to_lowercase();
    let state = site.sandbox.state();
    let plan = site.sandbox.plan().exits(CHANGED).says("renewed").says("*.example.test").says("privkey.pem");
    assert!(plan.stdout.to_lowercase().replace(':', "").contains(serial.trim_start_matches('0')), "{plan}");
    assert!(state == site.sandbox.state(), "a plan changes nothing");
    assert_ne!(site.served(), site.newest());
    site.sandbox.apply().exits(CHANGED);
    assert_eq!(site.served(), site.newest());
}

#[test]
fn material_that_a_check_refuses_is_taken_back_and_waits_for_better() {
    needs!("nginx", "openssl", "setpriv");
    let sandbox = Sandbox::new();
    let authority = Authority::new(&sandbox.path("authority"));
    let good = authority.leaf(&[NAME]);
    good.write_generic(&sandbox.path("source"));
    sandbox.write("source/settings.inc", "ssl_session_timeout 5m;\n");
    good.write_generic(&sandbox.path("tls"));
    sandbox.write("tls/settings.inc", "ssl_session_timeout 5m;\n");
    let nginx = Nginx::start(&sandbox, &format!("{CERTIFICATE} include ROOT/tls/settings.inc;"));
    sandbox.spec(&format!(
        "version: 1\nhooks:\n  nginx:\n{}certs:\n  site:\n    source: ROOT/source\n    install: {{ dest: ROOT/tls, hooks: [nginx] }}\n",
        nginx.hook(NAME)
    ));
    sandbox.apply().exits(CHANGED);

    authority.leaf(&[NAME]).write_generic(&sandbox.path("source"));
    sandbox.write("source/settings.inc", "no_such_directive on;\n");
    sandbox.apply().fails().says("no_such_directive");
    assert_eq!(serial_of(&sandbox.path("tls/fullchain.pem")), good.serial(), "taken back");
    assert_eq!(sandbox.read("tls/settings.inc"), "ssl_session_timeout 5m;\n", "the set whole");
    assert_eq!(serial(nginx.port, NAME), good.serial());

    let checks = sandbox.lines("hook.log");
    let again = sandbox.certsync(&["apply", "--detailed-exitcode", "--format", "json"]).exits(FAILED);
    assert_eq!(again.json()["sets"][0]["result"], "rolled_back", "{again}");
    assert_eq!(sandbox.lines("hook.log"), checks, "not tried again while nothing has changed");

    let better = authority.leaf(&[NAME]);
    better.write_generic(&sandbox.path("source"));
    sandbox.write("source/settings.inc", "ssl_session_timeout 6m;\n");
    sandbox.apply().exits(CHANGED);
    eventually("the better certificate is served", || serial(nginx.port, NAME) == better.serial());
    sandbox.apply().exits(UNCHANGED);
}
