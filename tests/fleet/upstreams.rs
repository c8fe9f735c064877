//! Two upstreams, the first of which is dead, hangs, talks nonsense or brings something else than it says.

use crate::broken::{fake, framed};
use crate::large::{Versions, in_place};
use crate::needs_a_fleet;
use crate::support::process::free_port;
use crate::support::{Fleet, Node, server};
use certsync::base::{ContentHash, SetName};
use certsync::fleet::wire::{Hello, Message, Offered, Version, Wire};
use certsync::host::walk;
use certsync::state::{Offers, Spread, Store};
use std::fs;

/// All that an upstream says which offers `version` of a set and brings what is in this store.
fn another_content(node: &Node) -> Vec<u8> {
    let at = node.path("state").to_str().and_then(|path| path.parse().ok()).expect("a path");
    let (dir, _) = walk::find_shared(&at).expect("to be opened").expect("a state directory");
    let set: SetName = "example.com".parse().expect("a name");
    let offer = Offers::load(&dir, &at).expect("what it passes on").of_set(&set).cloned().expect("an offer");
    let material = Store::new(&dir, &at).load(&set, &offer.digest).expect("material");
    let digest = material.digest().to_string();
    let flipped: String = digest.chars().enumerate().map(|(at, c)| if at + 1 == digest.len() { other(c) } else { c }).collect();
    let version = Version { set, digest: flipped.parse().expect("a digest"), revision: offer.revision + 1 };
    let mut wire = Wire::new(Vec::new(), "nobody");
    wire.send(&Message::Hello(Hello::of(&node.name.parse().expect("a name"), ContentHash::of(b"")))).expect("said");
    let offered = Offered { version: version.clone(), pattern: None, signature: None, spread: Spread::Released };
    wire.send(&Message::Offer { sets: Some(vec![offered]) }).expect("said");
    wire.send_set(&version, None, &material).expect("said");
    wire.send(&Message::End).expect("said");
    std::mem::take(wire.link())
}

fn other(hex: char) -> char {
    if hex == '0' { '1' } else { '0' }
}

#[test]
fn the_second_upstream_is_asked_where_the_first_fails_in_any_way() {
    needs_a_fleet!();
    let servers = [
        server("mgmt", "user: root"),
        server("first", "upstream: mgmt, user: root"),
        server("second", "upstream: mgmt, user: root"),
        server("edge", "upstream: [first, second], user: root"),
    ];
    let certs = "fleet: { deadline: 5s }\n\
        certs:\n  example.com: { source: /srv/source, targets: [edge], install: /srv/live }\n";
    let fleet = Fleet::new(&servers, certs);
    let [mgmt, first, second, edge] = ["mgmt", "first", "second", "edge"].map(|name| fleet.node(name));
    let mut versions = Versions::default();
    versions.renew(mgmt);
    for node in [mgmt, first, second, edge] {
        node.certsync(&["apply"]).ok();
    }
    versions.last_is_at(&[edge], "at first");
    let hello = format!(r#"{{"hello":{{"versions":[1,1],"certsync":"0.1.0","name":"first","spec":"{}"}}}}"#, "0".repeat(64));
    fs::write(first.path("hello"), framed(0, hello.as_bytes())).expect("written");
    fs::write(first.path("noise"), (0..50_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>())
        .expect("written");
    fs::write(first.path("damaged"), another_content(first)).expect("written");
    for script in [
        "exec sleep 100",
        "cat /srv/hello; exec sleep 100",
        "cat /srv/hello",
        "cat /srv/noise",
        "cat /srv/hello /srv/noise; exec sleep 100",
        "head -c 500000 /srv/damaged; exec sleep 100",
        "head -c 500000 /srv/damaged",
        "cat /srv/damaged; exec sleep 100",
    ] {
        fake(first, script);
        versions.renew(mgmt);
        mgmt.certsync(&["apply"]).ok();
        second.certsync(&["apply"]).ok();
        let said = edge.certsync(&["apply"]);
        assert_eq!(said.status, Some(0), "{script}: {said:?}");
        versions.last_is_at(&[edge], script);
    }
    // Nobody is at its port.
    versions.renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    second.certsync(&["apply"]).ok();
    edge.write("certsync.yaml", &fleet.spec().replace(&format!("port: {}", first.port), &format!("port: {}", free_port())));
    edge.certsync(&["apply"]).ok();
    versions.last_is_at(&[edge], "a dead one");
    fleet.tell_one(edge);
}

#[test]
fn what_is_not_what_its_digest_says_is_told_and_not_taken() {
    needs_a_fleet!();
    let fleet = Fleet::new(
        &[server("mgmt", "user: root"), server("web1", "upstream: mgmt, user: root")],
        "fleet: { deadline: 5s }\ncerts:\n  example.com: { source: /srv/source, targets: [web1], install: /srv/live }\n",
    );
    let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
    let mut versions = Versions::default();
    versions.renew(mgmt);
    for node in [mgmt, web1] {
        node.certsync(&["apply"]).ok();
    }
    let before = in_place(web1);
    versions.renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    fs::write(mgmt.path("damaged"), another_content(mgmt)).expect("written");
    fake(mgmt, "cat /srv/damaged; exec sleep 100");
    let said = web1.certsync(&["apply"]);
    assert!(said.status != Some(0) && said.stderr.contains("example.com: came damaged"), "{said:?}");
    assert!(in_place(web1) == before, "it stays as it was");
    fleet.tell_one(mgmt);
    web1.certsync(&["apply"]).ok();
    versions.last_is_at(&[web1], "afterwards");
}
