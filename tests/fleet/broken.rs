//! Hosts that break off, hang, talk nonsense or are not there.

use crate::first::{certs, installed, renew};
use crate::needs_a_fleet;
use crate::support::{Fleet, Node, server};
use std::fs;
use std::time::{Duration, Instant};

pub fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short");
    [&length.to_be_bytes()[..], &[kind], payload].concat()
}

/// What sshd starts at this node instead of certsync.
pub fn fake(node: &Node, script: &str) {
    node.write("fake", script);
    let file = "home/root/.ssh/authorized_keys";
    let lines = node.read(file);
    let faked: String = lines
        .lines()
        .map(|line| match (line.find("command=\""), line.find("\" ssh-")) {
            (Some(from), Some(to)) => format!("{}command=\"/bin/sh /srv/fake{}\n", &line[..from], &line[to..]),
            _ => format!("{line}\n"),
        })
        .collect();
    assert!(faked.contains("/srv/fake"), "{lines}");
    node.write(file, &faked);
}

#[test]
fn one_host_that_talks_nonsense_or_nothing_costs_the_others_nothing() {
    needs_a_fleet!();
    let push = "upstream: mgmt, delivery: push, user: root";
    let servers = [server("mgmt", "user: root"), server("bad", push), server("good", push)];
    let fleet = Fleet::new(&servers, &format!("fleet: {{ deadline: 2s, retries: 0 }}\n{}", certs("[bad, good]")));
    let (mgmt, bad, good) = (fleet.node("mgmt"), fleet.node("bad"), fleet.node("good"));
    good.certsync(&["apply"]);
    let hello = format!(r#"{{"hello":{{"versions":[1,1],"certsync":"0.1.0","name":"bad","spec":"{}"}}}}"#, "0".repeat(64));
    fs::write(bad.path("hello"), framed(0, hello.as_bytes())).expect("written");
    fs::write(bad.path("other"), framed(0, hello.replace("[1,1]", "[7,9]").as_bytes())).expect("written");
    fs::write(bad.path("half"), &framed(0, hello.as_bytes())[..20]).expect("written");
    fs::write(bad.path("noise"), (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>())
        .expect("written");
    fs::write(bad.path("huge"), [255, 255, 255, 255, 0, 1]).expect("written");
    fs::write(bad.path("bytes"), framed(1, &[7; 65_000])).expect("written");
    for script in [
        "exec sleep 100",
        "cat /srv/hello; exec sleep 100",
        "cat /srv/hello; head -c 100 >/dev/null; exec sleep 100",
        "cat /srv/hello",
        "cat /srv/half",
        "cat /srv/hello /srv/noise; exec sleep 100",
        "cat /srv/noise",
        "cat /srv/huge; exec sleep 100",
        "cat /srv/hello /srv/huge; exec sleep 100",
        "cat /srv/hello; while cat /srv/bytes; do :; done",
        "cat /srv/other; exec sleep 100",
    ] {
        fake(bad, script);
        let certificate = renew(mgmt);
        let begun = Instant::now();
        let said = mgmt.certsync(&["apply"]);
        assert!(begun.elapsed() < Duration::from_secs(15), "{script}: {:?}", begun.elapsed());
        assert!(said.status != Some(0) && format!("{}{}", said.stdout, said.stderr).contains("bad"), "{script}: {said:?}");
        assert_eq!(installed(good), certificate, "{script}: {said:?}");
    }
    fleet.tell_one(bad);
    mgmt.certsync(&["apply"]).ok();
    assert_eq!(installed(bad), installed(good));
}

#[test]
fn a_host_whose_upstream_is_gone_says_so_and_mends_what_it_has() {
    needs_a_fleet!();
    let fleet = Fleet::new(&[server("mgmt", "user: root"), server("web1", "upstream: mgmt, user: root")], &certs("[web1]"));
    let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
    let certificate = renew(mgmt);
    mgmt.certsync(&["apply"]).ok();
    web1.certsync(&["apply"]).ok();
    let nobody = crate::support::process::free_port();
    web1.write("certsync.yaml", &fleet.spec().replace(&format!("port: {}", mgmt.port), &format!("port: {nobody}")));
    for (args, status) in [(["apply"].as_slice(), false), (&["apply", "--local"], true)] {
        fs::remove_file(web1.path("live/cert.pem")).expect("it is there");
        let said = web1.certsync(args);
        assert_eq!(said.status == Some(0), status, "{said:?}");
        assert_eq!(installed(web1), certificate, "{said:?}");
        assert!(said.stderr.contains("mgmt") || said.stdout.contains("mgmt"), "{said:?}");
    }
    // There is nothing to be mended, and it is no success either.
    assert_ne!(web1.certsync(&["apply"]).status, Some(0));
    fleet.tell_one(web1);
    web1.certsync(&["apply"]).ok();
}
