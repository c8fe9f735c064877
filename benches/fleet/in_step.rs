//! An origin whose servers have all acknowledged everything: nothing is to be done, and nobody is contacted.

use crate::Options;
use crate::measure::{Candidate, Line, Sample, in_turns};
use crate::pairs::Pair;
use crate::report::{Bar, Report};
use certsync::base::{AbsPath, SshKey};
use certsync::fleet::contact::Said;
use certsync::fleet::deliver::Served;
use certsync::fleet::due::{served, wanted};
use certsync::fleet::record::Records;
use certsync::host::{clock, walk};
use certsync::spec::{SpecInput, load};
use certsync::state::{Level, Offers, SetStanding, Standing};
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

/// Certificates with their keys that the sets share; what a set costs does not depend on whose names are in it.
const DISTINCT: usize = 20;

/// The whole of it.
pub fn run(options: &Options, work: &Path, report: &mut Report) {
    // Whoever is contacted is contacted here.
    let everybody = TcpListener::bind("127.0.0.1:0").expect("a port");
    everybody.set_nonblocking(true).expect("it does not wait");
    let port = everybody.local_addr().expect("its address").port();
    let origin = Origin::new(&work.join("in-step"), options, port);
    origin.certsync("apply").arg("--local").run();
    origin.acknowledge();
    origin.settle();

    let said: Value = serde_json::from_str(&origin.certsync("apply").args(["--format", "json"]).run()).expect("JSON");
    let told = said["servers"].as_array().expect("servers");
    assert_eq!(told.len(), options.servers, "all are told");
    assert!(told.iter().all(|server| server["result"] == "unchanged"), "all are in step");

    let apply = Candidate::new("certsync apply", origin.certsync("apply").arg("-q"));
    let alone = Candidate::new("certsync apply --local", origin.certsync("apply").args(["-q", "--local"]));
    let spec = Candidate::new("certsync validate", origin.certsync("validate").arg("-q"));
    let series = in_turns(&[apply, alone, spec], options.rounds);
    let contacts = everybody.accept();
    assert!(contacts.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "nobody was contacted");

    let title = format!("nothing to do on the origin, {} servers with {} sets each, all acknowledged", options.servers, options.sets);
    report.bar(Bar::at_most(&title, "wall, ms", 200.0, series[0].median(|sample| sample.wall)));
    report.bar(Bar::at_most(&title, "CPU, ms", 200.0, series[0].median(Sample::cpu)));
    report.bar(Bar::at_most(&title, "peak memory, MiB", 64.0, series[0].peak() / 1024.0));
    report.table(&title, series);
}

/// The origin's files.
struct Origin {
    spec: AbsPath,
    state: AbsPath,
}

impl Origin {
    fn new(dir: &Path, options: &Options, port: u16) -> Origin {
        fs::create_dir(dir).expect("a directory");
        let pairs: Vec<Pair> = (0..DISTINCT.min(options.sets)).map(|number| Pair::new(&format!("site{number}.test"), 1)).collect();
        let mut text = String::from("version: 1\nservers:\n  mgmt: { address: 127.0.0.1 }\n");
        let key = |number: usize| {
            let mut bytes = [7; 32];
            bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
            SshKey::ed25519(&bytes)
        };
        for number in 0..options.servers {
            text += &format!("  web{number:05}: {{ address: 127.0.0.1, port: {port}, upstream: mgmt, delivery: push, ");
            text += &format!("public_key: \"{}\", host_key: \"{}\" }}\n", key(number), key(options.servers + number));
        }
        text += "certs:\n";
        for number in 0..options.sets {
            let source = dir.join(format!("source/site{number:03}"));
            fs::create_dir_all(&source).expect("a source");
            for (file, pem) in pairs[number % DISTINCT].files() {
                fs::write(source.join(file), pem).expect("a file");
            }
            text += &format!("  site{number:03}: {{ source: {}, targets: all, install: /srv/live/site{number:03} }}\n", source.display());
        }
        let absolute = |name: &str| dir.join(name).to_str().and_then(|path| path.parse().ok()).expect("a path");
        let origin = Origin { spec: absolute("certsync.yaml"), state: absolute("state") };
        fs::write(origin.spec.as_str(), text).expect("the spec");
        origin
    }

    fn certsync(&self, command: &str) -> Line {
        Line::new(env!("CARGO_BIN_EXE_certsync")).args([command, self.spec.as_str(), "--as", "mgmt", "--state-dir", self.state.as_str()])
    }

    /// Notes that every server has everything, as it is noted when it says so.
    fn acknowledge(&self) {
        let desired = load(SpecInput::File(&self.spec), Some("mgmt")).expect("the spec").desired;
        let fleet = desired.fleet.as_ref().expect("a fleet");
        let dir = walk::open_private(&self.state).expect("the state directory");
        let offers = Offers::load(&dir, &self.state).expect("the offers");
        let records = Records::open(&desired, fleet, &dir, &self.state);
        let (mut index, now) = (records.index(), clock::unix_seconds());
        for server in served(fleet) {
            let wanted = wanted(&desired, fleet, server, &offers);
            let sets = wanted.offers.iter().map(|(set, offer)| {
                let standing = SetStanding {
                    digest: offer.digest,
                    revision: offer.revision,
                    level: Level::Done,
                    since: now,
                    not_before: offer.not_before,
                    not_after: offer.not_after,
                    error: None,
                    keys: offer.keys.clone(),
                };
                ((*set).clone(), standing)
            });
            let standing = Standing {
                server: server.name.clone(),
                at: now,
                certsync: env!("CARGO_PKG_VERSION").into(),
                spec: fleet.spec_hash,
                sets: sets.collect(),
                hooks: Vec::new(),
                errors: Vec::new(),
            };
            let said = Ok((Said::Stands(vec![standing]), Vec::new()));
            let told = records.keep(Served { server, wanted: wanted.hash, said, took: Duration::ZERO }, &offers, &mut index);
            assert!(told.error.is_none(), "{told:?}");
        }
        records.keep_index(&index).expect("the index");
    }

    /// Applies until a run leaves all its files as they are: what was read within the clock tick of its change is looked at again.
    fn settle(&self) {
        for _ in 0..3 {
            self.certsync("apply").args(["-q", "--detailed-exitcode"]).run();
            clock::let_a_tick_pass();
        }
    }
}
