//! The three ways of delivery, each once from end to end.

use crate::needs_a_fleet;
use crate::support::{Fleet, Node, server};
use std::fs;

pub fn certs(targets: &str) -> String {
    format!("certs:\n  example.com: {{ source: /srv/source, targets: {targets}, install: /srv/live }}\n")
}

/// A set as an operator has it on the origin.
pub fn renew(node: &Node) -> String {
    renew_with(node, |_| {})
}

/// The same with something special about the certificate.
pub fn renew_with(node: &Node, special: impl FnOnce(&mut rcgen::CertificateParams)) -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["example.com".to_owned()]).expect("a name");
    special(&mut params);
    let certificate = params.self_signed(&key).expect("it is signed").pem();
    node.write("source/cert.pem", &certificate);
    node.write("source/privkey.pem", &key.serialize_pem());
    certificate
}

pub fn installed(node: &Node) -> String {
    fs::read_to_string(node.path("live/cert.pem")).unwrap_or_default()
}

#[test]
fn a_server_pulls_what_is_new() {
    needs_a_fleet!();
    let fleet = Fleet::new(&[server("mgmt", "user: root"), server("web1", "upstream: mgmt, user: root")], &certs("[web1]"));
    let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
    for _ in 0..2 {
        let certificate = renew(mgmt);
        mgmt.certsync(&["apply"]).ok();
        web1.certsync(&["apply"]).ok();
        assert_eq!(installed(web1), certificate);
    }
    let again = web1.certsync(&["apply", "--detailed-exitcode"]);
    assert_eq!(again.status, Some(0), "{again:?}");
}

#[test]
fn an_origin_pushes_and_hears_what_came_of_it() {
    needs_a_fleet!();
    let fleet = Fleet::new(&[server("mgmt", "user: root"), server("web1", "upstream: mgmt, delivery: push, user: root")], &certs("[web1]"));
    let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
    // Its first run makes its inbox; there is nothing for it yet.
    web1.certsync(&["apply"]);
    let certificate = renew(mgmt);
    let said = mgmt.certsync(&["apply"]).ok();
    assert_eq!(installed(web1), certificate, "{said}");
}

#[test]
fn a_signal_is_passed_down_the_tiers() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("web1", "upstream: mgmt, delivery: trigger, user: root"),
        server("edge1", "upstream: web1, delivery: trigger, user: root"),
    ];
    let fleet = Fleet::new(&servers, &certs("[edge1]"));
    // As above.
    for name in ["web1", "edge1"] {
        fleet.node(name).certsync(&["apply"]);
    }
    let certificate = renew(fleet.node("mgmt"));
    fleet.node("mgmt").certsync(&["apply"]).ok();
    crate::support::process::eventually("edge1 has it", || installed(fleet.node("edge1")) == certificate);
    assert!(!fleet.node("web1").path("live").exists(), "it only passes through there");
}

#[test]
fn a_limit_that_names_nobody_who_is_served_from_here_is_refused_before_anything_is_done() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("web1", "upstream: mgmt, delivery: push, user: root"),
        server("web2", "upstream: mgmt, user: root"),
        server("edge1", "upstream: web1, delivery: push, user: root"),
    ];
    let fleet = Fleet::new(&servers, &certs("[mgmt, web1, web2, edge1]"));
    let mgmt = fleet.node("mgmt");
    renew(mgmt);
    for (name, words) in [
        ("wbe1", "wbe1: is not below this host in the spec"),
        ("mgmt", "mgmt: is not below this host in the spec"),
        ("web2", "web2: comes by itself (delivery: pull)"),
        ("edge1", "edge1: gets its sets from another host"),
    ] {
        let said = mgmt.certsync(&["apply", "--now", "--limit", name]);
        assert!(said.status == Some(1) && said.stderr.contains(words), "{said:?}");
        assert_eq!(installed(mgmt), "");
        // web2 may be signalled.
        if name != "web2" {
            let said = mgmt.certsync(&["trigger", name]);
            assert!(said.status == Some(1) && said.stderr.contains(words), "{said:?}");
        }
    }
    fleet.node("web1").certsync(&["apply"]);
    mgmt.certsync(&["apply", "--limit", "web1"]).ok();
    assert_eq!(installed(fleet.node("web1")), installed(mgmt));
}
