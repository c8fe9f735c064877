//! `rollout: { stage: all }`: when a version that was brought to all may be installed by them. Pure; the origin alone decides it.

use super::record::Records;
use crate::base::{KeyFingerprint, ServerName, SetName};
use crate::spec::fleet::{Fleet, Server, Stage, Via};
use crate::state::{Level, Offer, Peer};
use std::collections::BTreeSet;
use std::time::Duration;

/// What is known of one target about the version that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// What it has of it.
    pub has: Has,
    /// Whether it has been heard of lately.
    pub heard: Heard,
    /// How what it uses in the meantime stands.
    pub former: Former,
}

/// What a target has of the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    /// Nothing, or it was refused there.
    Nothing,
    /// It is in its store.
    Stored,
    /// It has switched to it, with whatever success.
    Switched,
}

/// Whether a server has been heard of lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It has.
    Lately,
    /// Not for longer than `stale_after`, or never: nobody waits for it.
    Silent,
}

/// How the version stands that a target uses until it switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Former {
    /// It may stay a while, or there is none.
    Good,
    /// Its leaf has less than a third of its life left, or its key is known to others.
    Lapsed,
}

/// Whether the origin gives its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Everybody who was heard of lately has the version, or some have switched already.
    Go,
    /// Not everybody has it, and somebody cannot wait any longer.
    Lapsed,
    /// Nobody switches yet.
    Wait,
}

/// Whether those that get the version may switch to it. `targets`: all that it is for, in all tiers.
pub fn word(targets: &[Target]) -> Word {
    let lately = || targets.iter().filter(|target| target.heard == Heard::Lately);
    // What has begun comes to its end: one that is new, or fell back, does not stop it.
    if targets.iter().any(|target| target.has == Has::Switched) || lately().all(|target| target.has == Has::Stored) {
        Word::Go
    } else if lately().any(|target| target.former == Former::Lapsed) {
        Word::Lapsed
    } else {
        Word::Wait
    }
}

/// Whether a server has been heard of lately; both times in Unix seconds.
pub fn heard(last: Option<i64>, now: i64, stale_after: Duration) -> Heard {
    let longest = i64::try_from(stale_after.as_secs()).unwrap_or(i64::MAX);
    if last.is_some_and(|last| now.saturating_sub(last) <= longest) { Heard::Lately } else { Heard::Silent }
}

/// Whether a leaf has less than a third of its life left. Unix seconds.
pub fn has_lapsed(not_before: i64, not_after: i64, now: i64) -> bool {
    not_after.saturating_sub(now).saturating_mul(3) < not_after.saturating_sub(not_before)
}

/// Whether this host is the origin of the set, and its spec has it wait until all have it.
pub fn waits_for_word(fleet: &Fleet, set: &SetName, offer: &Offer) -> bool {
    fleet.rollout.as_ref().is_some_and(|rollout| rollout.stage == Some(Stage::All)) && is_origin(fleet, set, offer)
}

/// Whether this host is the origin of the set.
pub fn is_origin(fleet: &Fleet, set: &SetName, offer: &Offer) -> bool {
    fleet.route(offer.entry(set)).is_some_and(|route| route.origin == fleet.me)
}

/// The targets below this host, each with what is known of it. Who has no certsync cannot keep a version for later, and is left out.
pub fn targets<'a>(
    fleet: &'a Fleet,
    records: &Records<'_>,
    (set, offer): (&SetName, &Offer),
    (revoked, now): (&BTreeSet<KeyFingerprint>, i64),
) -> Vec<(&'a ServerName, Target)> {
    let entry = offer.entry(set);
    let is_meant = |server: &&Server| server.via == Via::Ssh && fleet.is_target(&server.name, entry);
    let target = |server: &'a Server| {
        let peer = records.of(server);
        (&server.name, target(&peer, (set, offer), revoked, (now, fleet.settings.stale_after)))
    };
    fleet.below(&fleet.me).filter(is_meant).map(target).collect()
}

fn target(
    peer: &Peer,
    (set, offer): (&SetName, &Offer),
    revoked: &BTreeSet<KeyFingerprint>,
    (now, stale_after): (i64, Duration),
) -> Target {
    let has = match peer.level(set, &offer.digest, offer.revision) {
        None | Some(Level::Refused) => Has::Nothing,
        Some(Level::Stored | Level::Held) => Has::Stored,
        Some(Level::Installed | Level::Done | Level::Failed) => Has::Switched,
    };
    // A host between passes on what it was told however old that is.
    let last = peer.contact.zip(peer.standing.as_ref().map(|standing| standing.at)).map(|(contact, told)| contact.min(told));
    let known = peer.standing.as_ref().and_then(|standing| standing.sets.get(set));
    let is_lapsed = known.is_some_and(|known| {
        let is_over = known.not_before.zip(known.not_after).is_some_and(|(begin, end)| has_lapsed(begin, end, now));
        is_over || known.keys.iter().any(|key| revoked.contains(key))
    });
    Target { has, heard: heard(last, now, stale_after), former: if is_lapsed { Former::Lapsed } else { Former::Good } }
}

#[cfg(test)]
mod tests {
    use super::{Former, Has, Heard, Target, Word, has_lapsed, heard, word};
    use std::time::Duration;

    /// `-` nothing, `s`tored, `d`one. A `~` behind one: silent; a `!`: what it uses has lapsed.
    fn targets(text: &str) -> Vec<Target> {
        let mut all: Vec<Target> = Vec::new();
        for letter in text.chars() {
            let has = match letter {
                '-' => Has::Nothing,
                's' => Has::Stored,
                'd' => Has::Switched,
                '~' => {
                    all.last_mut().expect("a server").heard = Heard::Silent;
                    continue;
                }
                _ => {
                    all.last_mut().expect("a server").former = Former::Lapsed;
                    continue;
                }
            };
            all.push(Target { has, heard: Heard::Lately, former: Former::Good });
        }
        all
    }

    #[test]
    fn nobody_switches_before_everybody_has_the_version() {
        for (text, expected) in [("---", Word::Wait), ("ss-", Word::Wait), ("sss", Word::Go), ("", Word::Go)] {
            assert_eq!(word(&targets(text)), expected, "{text}");
        }
    }

    #[test]
    fn nobody_waits_for_one_that_is_silent() {
        for (text, expected) in [("ss-~", Word::Go), ("s--~", Word::Wait), ("-~-~", Word::Go), ("s~-", Word::Wait)] {
            assert_eq!(word(&targets(text)), expected, "{text}");
        }
    }

    #[test]
    fn what_has_begun_comes_to_its_end() {
        for text in ["ds-", "d--", "sd~-"] {
            assert_eq!(word(&targets(text)), Word::Go, "{text}");
        }
    }

    #[test]
    fn one_that_cannot_wait_any_longer_ends_the_waiting_for_all() {
        for (text, expected) in [("s!-", Word::Lapsed), ("s-!", Word::Lapsed), ("s-!~-", Word::Wait), ("s!s", Word::Go)] {
            assert_eq!(word(&targets(text)), expected, "{text}");
        }
    }

    #[test]
    fn what_was_never_heard_of_is_silent() {
        let two_days = Duration::from_secs(2 * 86_400);
        assert_eq!(heard(None, 0, two_days), Heard::Silent);
        assert_eq!(heard(Some(1_000_000), 1_000_000 + 172_800, two_days), Heard::Lately);
        assert_eq!(heard(Some(1_000_000), 1_000_000 + 172_801, two_days), Heard::Silent);
        assert_eq!(heard(Some(1_000_000), 10, two_days), Heard::Lately, "a clock that was set back");
    }

    #[test]
    fn a_leaf_in_the_last_third_of_its_life_is_not_waited_for() {
        assert!(!has_lapsed(0, 90, 60));
        assert!(has_lapsed(0, 90, 61));
        assert!(has_lapsed(0, 90, 100), "it is over");
        assert!(!has_lapsed(0, 90, -5), "it has not begun");
    }
}
