//! What certsync takes for unchanged is unchanged, on every kind of file system whose stamps it believes.
//!
//! Wherever certsync opens or reads something of a set, everything was right a moment ago, with fresh stamps, and is changed at the
//! moment after; then an apply in peace has to see it.

use super::flips::{ATTACKS, Arena, Attack, Naming, State};
use super::mounts::{Elsewhere, Mount, may_mount};
use super::watched::held;
use std::path::Path;

const VARIANTS: [(Naming, State); 4] = [
    (Naming::Named, State::Installed),
    (Naming::Pattern, State::Installed),
    (Naming::Named, State::Changed),
    (Naming::Pattern, State::Changed),
];
/// Where everything changes all the time, a run has no end of moments.
const MOST_MOMENTS: u64 = 60;

fn is_slice() -> bool {
    std::env::var_os("CERTSYNC_SLICE").is_some()
}

/// Every how many moments are tried of those that there are.
fn stride() -> u64 {
    if is_slice() { 9 } else { 1 }
}

#[track_caller]
fn every_change_is_seen(mount: impl FnOnce(&Path) -> Mount) {
    if !may_mount() {
        return;
    }
    let elsewhere = Elsewhere::new(mount);
    let other = Mount::bind(elsewhere.at(), &elsewhere.at().with_extension("other"));
    let (mut misses, mut rounds) = (Vec::new(), 0);
    for (number, attack) in ATTACKS.iter().enumerate() {
        let variants = if is_slice() { &VARIANTS[number % 2..=number % 2] } else { &VARIANTS };
        for &(naming, before) in variants {
            let each = Round { elsewhere: &elsewhere, other: &other, attack, naming, before };
            let (tried, missed) = each.moments(number as u64 * 5 % stride());
            rounds += tried;
            misses.extend(missed.into_iter().map(|miss| format!("{} ({naming:?}, {before:?}), {miss}", attack.set)));
        }
    }
    eprintln!("{} attacks, {rounds} moments tried, {} missed", ATTACKS.len(), misses.len());
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

struct Round<'a> {
    elsewhere: &'a Elsewhere,
    other: &'a Mount,
    attack: &'static Attack,
    naming: Naming,
    before: State,
}

impl Round<'_> {
    #[track_caller]
    fn moments(&self, first: u64) -> (u64, Vec<String>) {
        let host = self.elsewhere.host();
        let root = self.other.at().join(host.dir().file_name().expect("a name"));
        let mut arena = Arena::new(host, &root, self.attack, self.naming);
        let after = if self.before == State::Installed { State::Changed } else { State::Installed };
        let (mut moment, mut tried, mut missed) = (first, 0, Vec::new());
        loop {
            // Fresh stamps, or certsync would pass the set over and look at nothing.
            arena.flip(after);
            arena.flip(self.before);
            let (mut seen, mut last) = (0, self.before);
            let at = arena.host.dir().to_owned();
            let status = held(arena.host.command(&["apply", "-q"]), &at, self.attack.set, |number| {
                seen = number + 1;
                if number < moment {
                    arena.flip(after);
                    arena.flip(self.before);
                } else if number == moment {
                    arena.flip(after);
                    last = after;
                }
            });
            if last == self.before {
                arena.flip(after);
                last = after;
            }
            // Whatever it finds, it must not be confused for good: the next one has to see all.
            assert!(matches!(status.code(), Some(0 | 1)), "{status}");
            tried += 1;
            missed.extend(arena.end(last).into_iter().map(|miss| format!("moment {moment} of {seen}: {miss}")));
            moment += stride();
            if moment > seen.min(MOST_MOMENTS) {
                assert!(arena.flips >= tried, "{} was at work {} times in {tried} runs", self.attack.set, arena.flips);
                return (tried, missed);
            }
        }
    }
}

#[test]
fn on_ext3_whose_stamps_are_those_of_the_coarse_clock() {
    every_change_is_seen(|at| Mount::image(at, "ext3", &["-q", "-F", "-I", "256"]));
}

#[test]
fn on_ext3_with_small_inodes_whose_stamps_are_whole_seconds() {
    every_change_is_seen(|at| Mount::image(at, "ext3", &["-q", "-F", "-I", "128"]));
}

#[test]
fn on_ext4() {
    every_change_is_seen(|at| Mount::image(at, "ext4", &["-q", "-F"]));
}

#[test]
fn on_tmpfs() {
    every_change_is_seen(|at| Mount::tmpfs(at, "size=64m"));
}
