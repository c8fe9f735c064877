//! Every way to change a file or a link unseen is tried right after a look; at every moment of a run they are tried by
//! `scripts/prove adverse`, on file systems whose stamps are coarse.

use super::flips::{ATTACKS, Arena, Naming, State};
use super::host::Host;

#[test]
fn every_change_is_seen() {
    let mut missed = Vec::new();
    for (number, attack) in ATTACKS.iter().enumerate() {
        let host = Host::new();
        let root = host.dir().to_owned();
        let mut arena = Arena::new(host, &root, attack, [Naming::Named, Naming::Pattern][number % 2]);
        for _ in 0..2 {
            arena.flip(State::Changed);
            missed.extend(arena.end(State::Changed).into_iter().map(|miss| format!("{}: {miss}", attack.set)));
        }
        assert_eq!(arena.flips, 2, "{}", attack.set);
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
