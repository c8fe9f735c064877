//! Readers at work: processes that load a certificate and its key over and over while hundreds of renewals, repairs, rollbacks and
//! returns go through the real program.
//!
//! Through one opening of `current` nobody may ever see half a set: that is asserted. What a reader by path can see is
//! measured and printed (docs/layouts.md has the figures). `CERTSYNC_SLICE` makes both small.

mod reader;
#[path = "../support/mod.rs"]
mod support;

use reader::{How, Reader, Seen, Task};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use support::site::{Issued, Site, issue};

/// A set at two places, and two sets in one `dest`. The check of `look` rejects the certificate that lies in `rejected`.
const SPEC: &str = "version: 1
hooks:
  look:
    check: '! cmp -s [DIR]/rejected [DIR]/own/fullchain.pem'
    run: 'cat [DIR]/own/fullchain.pem [DIR]/own/privkey.pem [DIR]/flat/fullchain.pem [DIR]/flat/privkey.pem > [DIR]/looked'
certs:
  one:
    source: src/one
    accept: [older]
    install:
      - { dest: '[DIR]/own', keep: 1, hooks: [look] }
      - { dest: '[DIR]/flat', keep: 1, layout: flat, hooks: [look] }
  two:
    source: src/two
    accept: [older]
    install:
      dest: '[DIR]/shared'
      keep: 1
      files: { '{name}.crt': [fullchain.pem], '{name}.key': [privkey.pem] }
  three:
    source: src/three
    accept: [older]
    install:
      dest: '[DIR]/shared'
      keep: 1
      files: { '{name}.crt': [fullchain.pem], '{name}.key': [privkey.pem] }
";

const PAIRS: usize = 48;

/// How much is done.
struct Size {
    loads: u64,
    renewals: usize,
}

fn size() -> Size {
    if std::env::var_os("CERTSYNC_SLICE").is_some() {
        Size { loads: 100_000, renewals: 30 }
    } else {
        Size { loads: 1_000_000, renewals: 400 }
    }
}

/// A host whose sets are renewed with one pair after the other.
struct Busy {
    site: Site,
    pairs: Vec<Issued>,
    next: usize,
    renewals: usize,
}

impl Busy {
    fn new() -> Busy {
        let site = Site::new(SPEC);
        let pairs: Vec<Issued> = (0..PAIRS).map(|_| issue(&["readers.test"], 5)).collect();
        for (number, pair) in pairs.iter().enumerate() {
            site.write(&format!("pairs/{number}.crt"), &pair.chain);
            site.write(&format!("pairs/{number}.key"), &pair.key);
        }
        let mut busy = Busy { site, pairs, next: 0, renewals: 0 };
        busy.renew();
        busy
    }

    /// The sets never have the same pair at the same time, so that one of another set is seen as such.
    fn put(&mut self) -> &Issued {
        self.next += 1;
        for (set, offset) in [("one", 0), ("two", 16), ("three", 32)] {
            self.site.source(set, &self.pairs[(self.next + offset) % PAIRS]);
        }
        &self.pairs[self.next % PAIRS]
    }

    /// A renewal of everything; the hook, which reads by path, has seen what was just installed.
    fn renew(&mut self) {
        let pair = self.put().clone();
        self.site.apply(0);
        self.renewals += 1;
        self.looked(&pair);
    }

    #[track_caller]
    fn looked(&self, pair: &Issued) {
        assert!(self.site.shows("own", pair) && self.site.shows("flat", pair));
        assert_eq!(self.site.read("looked"), format!("{}{}", pair.chain, pair.key).repeat(2), "what the hook saw");
    }

    /// Something other than a renewal that switches.
    fn upset(&mut self) {
        let now = self.pairs[self.next % PAIRS].clone();
        let current = self.site.path("own/.certsync/one/current");
        match self.renewals % 3 {
            0 => {
                let before = self.pairs[(self.next - 1) % PAIRS].clone();
                self.site.call(&["rollback", "one"]).ends(0);
                self.looked(&before);
                self.site.call(&["rollback", "one", "--release"]).ends(0);
                self.looked(&now);
            }
            1 => {
                fs::set_permissions(current.join("fullchain.pem"), fs::Permissions::from_mode(0o640)).expect("a mode is set");
                assert_eq!(self.site.apply(0).set("one"), "repaired");
            }
            _ => {
                let bad = self.put().clone();
                self.site.write("rejected", &bad.chain);
                assert_eq!(self.site.apply(1).set("one"), "rolled_back");
                self.site.remove("rejected");
                self.looked(&now);
            }
        }
    }

    /// Renews until every reader has what it wants; `upset` after each `every`th renewal.
    fn until_they_have_it(&mut self, readers: &mut [Reader], renewals: usize, every: usize) {
        let end = self.renewals + renewals;
        let start = Instant::now();
        while self.renewals < end {
            self.renew();
            if self.renewals.is_multiple_of(every) {
                self.upset();
            }
        }
        self.site.write("stop", "");
        while !readers.iter_mut().all(Reader::has_ended) {
            assert!(start.elapsed() < Duration::from_secs(3600), "the readers never end");
            self.renew();
        }
        self.site.remove("stop");
    }

    fn reader(&self, name: &str, how: How, dir: &str, files: (&str, &str), loads: u64) -> Reader {
        let (pairs, stop) = (self.site.path("pairs"), self.site.path("stop"));
        Reader::start(name, &Task { how, dir: self.site.path(dir), cert: files.0, key: files.1, loads, pairs: &pairs, stop: &stop })
    }
}

const OWN: (&str, &str) = ("fullchain.pem", "privkey.pem");

#[test]
fn through_one_opening_of_current_nobody_ever_sees_half_a_set() {
    let Size { loads, renewals } = size();
    let mut busy = Busy::new();
    let each = loads / 3;
    let mut readers = vec![
        busy.reader("own", How::Opened, "own/.certsync/one/current", OWN, each),
        busy.reader("flat", How::Opened, "flat/.certsync/one/current", OWN, each),
        busy.reader("two", How::Opened, "shared/.certsync/two/current", ("two.crt", "two.key"), each),
        busy.reader("held", How::Held, "own/.certsync/one/current", OWN, 0),
        busy.reader("held-shared", How::Held, "shared/.certsync/three/current", ("three.crt", "three.key"), 0),
    ];
    busy.until_they_have_it(&mut readers, renewals, 4);
    let seen: Vec<Seen> = readers.into_iter().map(Reader::end).collect();
    let (opened, held) = seen.split_at(3);
    let sum = |seen: &[Seen], of: fn(&Seen) -> u64| seen.iter().map(of).sum::<u64>();
    println!(
        "through one opening of current: {} loads during {} renewals, {} mismatches; {} loads by readers that held the directory, \
         {} of them found their generation purged, {} mismatches",
        sum(opened, |seen| seen.loads),
        busy.renewals,
        sum(opened, |seen| seen.mixed + seen.torn),
        sum(held, |seen| seen.loads),
        sum(held, |seen| seen.gone),
        sum(held, |seen| seen.mixed + seen.torn),
    );
    for seen in &seen {
        assert_eq!((seen.mixed, seen.torn, seen.unopened), (0, 0, 0), "{seen:?}");
        assert_eq!(seen.whole + seen.gone, seen.loads, "{seen:?}");
    }
    for seen in opened {
        assert!(seen.loads >= each && seen.changes as usize > renewals / 2, "it slept through the renewals: {seen:?}");
    }
    assert!(held.iter().all(|seen| seen.gone > 0 && seen.whole > 0), "no generation was purged under a reader: {held:?}");
}

#[test]
fn what_a_reader_by_path_can_see_is_measured() {
    let Size { loads, renewals } = size();
    for layout in ["own", "flat"] {
        let mut busy = Busy::new();
        let before = busy.renewals;
        let mut readers = vec![busy.reader("path", How::ByPath, layout, OWN, loads / 4)];
        let start = Instant::now();
        busy.until_they_have_it(&mut readers, renewals, usize::MAX);
        let took = start.elapsed();
        let seen = readers.remove(0).end();
        let a_load = took.as_secs_f64() * 1e6 / seen.loads as f64;
        let done = busy.renewals - before;
        assert_eq!(seen.torn, 0, "a file is replaced whole: {seen:?}");
        println!(
            "by path, {}: {} loads during {done} renewals, {} mismatches: {:.0} in a million loads back to back, {:.2} in a renewal, which \
             is {:.0} µs in which a load goes wrong; {} loads found a name missing; a load took {:.0} µs",
            if layout == "own" { "generations" } else { "flat" },
            seen.loads,
            seen.mixed,
            seen.mixed as f64 * 1e6 / seen.loads as f64,
            seen.mixed as f64 / done as f64,
            seen.mixed as f64 / done as f64 * a_load,
            seen.unopened,
            a_load,
        );
        assert!(seen.changes as usize > renewals / 2, "it slept through the renewals: {seen:?}");
    }
}

/// The pairs differ in every file, or a mismatch could not be seen.
#[test]
fn the_pairs_are_told_apart() {
    let busy = Busy::new();
    let read = |name: &str| fs::read(busy.site.path("pairs").join(Path::new(name))).expect("a file");
    for number in 1..PAIRS {
        assert_ne!(read(&format!("{number}.crt")), read(&format!("{}.crt", number - 1)));
        assert_ne!(read(&format!("{number}.key")), read(&format!("{}.key", number - 1)));
    }
}
