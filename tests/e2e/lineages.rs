//! Many lineages renewed by one certbot: one apply and one reload for all of them.

use crate::needs;
use crate::support::acme::{Certbot, Pebble};
use crate::support::pki::{Authority, serial_of};
use crate::support::{Sandbox, UNCHANGED};
use std::time::Instant;

#[test]
fn one_certbot_renew_of_many_lineages_is_one_apply_and_one_reload() {
    needs!("pebble", "certbot", "openssl", "setpriv");
    let count: usize = std::env::var("CERTSYNC_E2E_LINEAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let sandbox = Sandbox::new();
    let pebble = Pebble::start(&sandbox);
    let certbot = Certbot::new(&sandbox, &pebble);
    sandbox.spec(
        "version: 1\nhooks:\n  reload: { check: 'echo check >>ROOT/hook.log', run: 'echo run >>ROOT/hook.log' }\ncerts:\n  lineages:\n    \
         source: ROOT/certbot/etc/live/*\n    install: { dest: \"ROOT/tls/{name}\", hooks: [reload] }\n",
    );
    let names: Vec<String> = (0..count).map(|number| format!("site{number:03}.example.test")).collect();
    let begun = Instant::now();
    certbot.obtain(&names[0], &[&names[0]], &[]);
    let authority = Authority::new(&sandbox.path("authority"));
    for name in &names[1..] {
        certbot.adopt(&authority.leaf(&[name]), name, &names[0]);
    }
    println!("{count} lineages made in {} s", begun.elapsed().as_secs());
    let hook = sandbox.certsync_script("post-hook", "apply");
    let begun = Instant::now();
    let run = sandbox.certsync(&["apply"]).exits(0);
    println!("first apply in {} ms", begun.elapsed().as_millis());
    assert_eq!(sandbox.read("hook.log"), "check\nrun\n", "{run}");

    let begun = Instant::now();
    certbot.renew(&["--post-hook", &hook]);
    println!("renewed in {} s", begun.elapsed().as_secs());
    let said = sandbox.script_output("post-hook");
    assert_eq!(said.matches("status ").count(), 1, "one apply: {said}");
    assert!(said.ends_with("status 0\n"), "{said}");
    assert_eq!(sandbox.read("hook.log"), "check\nrun\ncheck\nrun\n", "one reload");
    for name in &names {
        let installed = serial_of(&sandbox.path("tls").join(name).join("fullchain.pem"));
        assert_eq!(installed, serial_of(&certbot.live(name).join("cert.pem")), "{name}");
    }
    let begun = Instant::now();
    sandbox.apply().exits(UNCHANGED);
    println!("apply with nothing to do in {} ms", begun.elapsed().as_millis());
    sandbox.is_settled();
}
