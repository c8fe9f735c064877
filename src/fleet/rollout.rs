//! How a change of one set spreads over the servers that get it from here: who may be contacted next, given what is known of each.
//! Pure: the caller asks again whenever something has become known.

use crate::base::ServerName;
use crate::spec::fleet::{Canary, Fleet, Rollout};

/// What is known of one server about the version that spreads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It has not been asked yet.
    Waiting,
    /// It is contacted, to switch.
    UnderWay(Tried),
    /// It is through: hooks have succeeded, or a rollback holds the set there.
    Done,
    /// An install or a hook failed there, or the set was refused; in this run.
    Failed,
    /// The same in an earlier run. It has not been asked again yet.
    FailedBefore,
    /// It did not answer in this run.
    Unreachable,
}

/// Whether a server has failed with this version in an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// It has not.
    First,
    /// It has.
    Again,
}

/// A server that gets the set from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// How it stands.
    pub known: Known,
    /// Whether it goes first because it is named, or because one below it is.
    pub canary: Named,
}

/// Whether a server, or one below it, is a canary by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// It is.
    Canary,
    /// It is not.
    No,
}

/// Who may be contacted now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Next {
    /// These get the version, and switch. In the order in which they are to be contacted.
    pub switch: Vec<usize>,
    /// Why nobody else is contacted in this run.
    pub halt: Option<Halt>,
}

/// Why a rollout does not go on in this run; those under way come to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// A canary failed.
    Canary,
    /// More servers failed than `max_failures` allows: so many.
    Failures(usize),
}

/// Who may be contacted next. `rollout`: none where nothing is written, or with `--now`. `targets`: in spec order, all that get the set
/// from here, also those that have it.
pub fn next(rollout: Option<&Rollout>, targets: &[Target]) -> Next {
    let none = Rollout { canary: None, batch: None, max_failures: None, stage: None };
    let rollout = rollout.unwrap_or(&none);
    let failed = count(targets, |known| known == Known::Failed);
    let batch = rollout.batch.map_or(usize::MAX, number);
    let allowed = rollout.max_failures.map_or(usize::MAX, number);
    if failed > allowed {
        return Next { halt: Some(Halt::Failures(failed)), ..Next::default() };
    }
    // Whoever failed before is asked before anybody new, or a timer would take the fault to more servers with each run.
    let again = count(targets, |known| matches!(known, Known::FailedBefore | Known::UnderWay(Tried::Again)));
    if rollout.max_failures.is_some() && failed.saturating_add(again) > allowed {
        let switch = candidates(targets).into_iter().filter(|at| targets[*at].known == Known::FailedBefore);
        return Next { switch: switch.take(batch.saturating_sub(under_way(targets))).collect(), ..Next::default() };
    }
    let done = count(targets, |known| known == Known::Done);
    let canaries = canaries(rollout, targets);
    if done < canaries && failed > 0 {
        return Next { halt: Some(Halt::Canary), ..Next::default() };
    }
    let room = if done < canaries { batch.min(canaries - done) } else { batch };
    let switch = candidates(targets).into_iter().take(room.saturating_sub(under_way(targets))).collect();
    Next { switch, ..Next::default() }
}

/// How many servers must be through before the others go. One that does not answer has its place taken by the next.
fn canaries(rollout: &Rollout, targets: &[Target]) -> usize {
    match &rollout.canary {
        None => 0,
        Some(Canary::Number(so_many)) => number(*so_many),
        Some(Canary::Names(_)) => targets.iter().filter(|target| target.canary == Named::Canary).count(),
    }
}

/// Those that may be contacted, the first ones first: who failed before, the canaries by name, the others in spec order.
fn candidates(targets: &[Target]) -> Vec<usize> {
    let is_candidate = |at: &usize| matches!(targets[*at].known, Known::Waiting | Known::FailedBefore);
    let mut all: Vec<usize> = (0..targets.len()).filter(is_candidate).collect();
    all.sort_by_key(|at| (targets[*at].known != Known::FailedBefore, targets[*at].canary != Named::Canary));
    all
}

fn under_way(targets: &[Target]) -> usize {
    count(targets, |known| matches!(known, Known::UnderWay(_)))
}

fn count(targets: &[Target], is_so: impl Fn(Known) -> bool) -> usize {
    targets.iter().filter(|target| is_so(target.known)).count()
}

fn number(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Whether a server goes first: it is a canary by its name, or the way to one.
pub fn named(fleet: &Fleet, server: &ServerName) -> Named {
    let names = match fleet.rollout.as_ref().and_then(|rollout| rollout.canary.as_ref()) {
        Some(Canary::Names(names)) => names.as_slice(),
        _ => &[],
    };
    let is_first = names.iter().any(|name| name == server || fleet.is_below(name, server));
    if is_first { Named::Canary } else { Named::No }
}

#[cfg(test)]
mod tests {
    use super::{Halt, Known, Named, Next, Target, Tried, next};
    use crate::base::ServerName;
    use crate::spec::fleet::{Canary, Rollout};

    const NONE: Rollout = Rollout { canary: None, batch: None, max_failures: None, stage: None };

    /// `w`aiting, `u`nder way, `U`nder way again, `d`one, `f`ailed, `F`ailed before, `x` unreachable.
    /// A `!` behind one: a canary by its name.
    fn targets(text: &str) -> Vec<Target> {
        let mut all: Vec<Target> = Vec::new();
        for letter in text.chars() {
            let known = match letter {
                'w' => Known::Waiting,
                'u' => Known::UnderWay(Tried::First),
                'U' => Known::UnderWay(Tried::Again),
                'd' => Known::Done,
                'f' => Known::Failed,
                'F' => Known::FailedBefore,
                'x' => Known::Unreachable,
                _ => {
                    all.last_mut().expect("a server").canary = Named::Canary;
                    continue;
                }
            };
            all.push(Target { known, canary: Named::No });
        }
        all
    }

    fn switch(rollout: &Rollout, text: &str) -> Vec<usize> {
        let next = next(Some(rollout), &targets(text));
        assert_eq!(next.halt, None, "{text}");
        next.switch
    }

    fn halt(rollout: &Rollout, text: &str) -> Halt {
        let next = next(Some(rollout), &targets(text));
        assert!(next.switch.is_empty(), "{text}: {next:?}");
        next.halt.expect("a halt")
    }

    fn names() -> Option<Canary> {
        Some(Canary::Names(vec!["any".parse::<ServerName>().expect("a name")]))
    }

    #[test]
    fn without_a_rollout_everybody_goes() {
        assert_eq!(next(None, &targets("wdxwfFu")), Next { switch: vec![5, 0, 3], ..Next::default() });
        assert_eq!(next(None, &[]), Next::default());
    }

    #[test]
    fn canaries_go_first_and_the_others_when_they_are_through() {
        let two = Rollout { canary: Some(Canary::Number(2)), ..NONE };
        assert_eq!(switch(&two, "wwwww"), [0, 1]);
        assert_eq!(switch(&two, "uwwww"), [1]);
        assert_eq!(switch(&two, "udwww"), [0; 0], "one is through, one is under way");
        assert_eq!(switch(&two, "ddwww"), [2, 3, 4]);
    }

    #[test]
    fn the_next_one_takes_the_place_of_a_canary_that_does_not_answer() {
        let one = Rollout { canary: Some(Canary::Number(1)), ..NONE };
        assert_eq!(switch(&one, "xwww"), [1]);
        assert_eq!(switch(&one, "xuww"), [0; 0]);
        assert_eq!(switch(&one, "xxxw"), [3]);
        assert_eq!(switch(&one, "xxxx"), [0; 0], "nobody is left");
        let more = Rollout { canary: Some(Canary::Number(9)), ..NONE };
        assert_eq!(switch(&more, "ddw"), [2], "more canaries than servers");
    }

    #[test]
    fn canaries_by_name_go_before_the_others() {
        let named = Rollout { canary: names(), ..NONE };
        assert_eq!(switch(&named, "www!ww!"), [2, 4]);
        assert_eq!(switch(&named, "wwx!ww!"), [4, 0], "the first other one for the one that does not answer");
        assert_eq!(switch(&named, "wwd!wd!"), [0, 1, 3]);
        assert_eq!(switch(&named, "ww"), [0, 1], "none of them gets this set");
    }

    #[test]
    fn a_canary_that_fails_ends_the_rollout() {
        let one = Rollout { canary: Some(Canary::Number(1)), max_failures: Some(5), ..NONE };
        assert_eq!(halt(&one, "fwww"), Halt::Canary);
        assert_eq!(switch(&one, "dfww"), [2, 3], "it is no canary that failed");
        assert_eq!(switch(&one, "Fwww"), [0], "the next run asks it again, and nobody else");
    }

    #[test]
    fn so_many_go_at_once() {
        let batch = Rollout { batch: Some(2), ..NONE };
        assert_eq!(switch(&batch, "wwwww"), [0, 1]);
        assert_eq!(switch(&batch, "uwwww"), [1]);
        assert_eq!(switch(&batch, "duuww"), [0; 0]);
        assert_eq!(switch(&batch, "dudww"), [3]);
        let after = Rollout { canary: Some(Canary::Number(1)), batch: Some(3), ..NONE };
        assert_eq!(switch(&after, "wwwww"), [0]);
        assert_eq!(switch(&after, "dwwww"), [1, 2, 3]);
    }

    #[test]
    fn too_many_failures_end_the_rollout_and_silence_is_none() {
        let two = Rollout { max_failures: Some(2), batch: Some(2), ..NONE };
        assert_eq!(switch(&two, "ffww"), [2, 3]);
        assert_eq!(switch(&two, "ffxxxww"), [5, 6]);
        assert_eq!(halt(&two, "fffw"), Halt::Failures(3));
        let first = Rollout { max_failures: Some(0), ..NONE };
        assert_eq!(halt(&first, "fw"), Halt::Failures(1));
        assert_eq!(switch(&NONE, "fffffw"), [5], "nobody counts");
    }

    #[test]
    fn the_next_run_asks_those_that_failed_before_anybody_new() {
        let none = Rollout { max_failures: Some(0), ..NONE };
        assert_eq!(switch(&none, "dwFw"), [2]);
        assert_eq!(switch(&none, "dwUw"), [0; 0]);
        assert_eq!(halt(&none, "dwfw"), Halt::Failures(1));
        assert_eq!(switch(&none, "dwdw"), [1, 3]);
        let one = Rollout { max_failures: Some(1), ..NONE };
        assert_eq!(switch(&one, "dwFw"), [2, 1, 3], "one may fail");
        assert_eq!(switch(&one, "dFFw"), [1, 2]);
        let batch = Rollout { max_failures: Some(0), batch: Some(1), ..NONE };
        assert_eq!(switch(&batch, "FFw"), [0]);
    }

    /// A server that fails at random, or does not answer; every run must come to an end that leaves nobody under way, with no more
    /// failures than are allowed beside those that were under way together.
    #[test]
    fn every_rollout_comes_to_an_end_within_its_bounds() {
        let mut dice = 3u64;
        let mut roll = |below: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % below
        };
        for round in 0..3000 {
            let pick = |roll: &mut dyn FnMut(u64) -> u64| if roll(2) == 0 { None } else { u32::try_from(roll(4)).ok() };
            let rollout = Rollout {
                canary: pick(&mut roll).filter(|number| *number > 0).map(Canary::Number),
                batch: pick(&mut roll).filter(|number| *number > 0),
                max_failures: pick(&mut roll),
                stage: None,
            };
            let mut all = targets(&"w".repeat(1 + usize::try_from(roll(8)).unwrap_or(0)));
            let mut steps = 0;
            loop {
                steps += 1;
                assert!(steps < 200, "round {round}: {rollout:?} {all:?}");
                let next = next(Some(&rollout), &all);
                next.switch.iter().for_each(|at| all[*at].known = Known::UnderWay(Tried::First));
                let flying = super::under_way(&all);
                assert!(rollout.batch.is_none_or(|batch| flying <= batch as usize), "round {round}: {rollout:?} {all:?}");
                let busy: Vec<usize> = (0..all.len()).filter(|at| matches!(all[*at].known, Known::UnderWay(_))).collect();
                let Some(at) = busy.get(usize::try_from(roll(8)).unwrap_or(0) % busy.len().max(1)) else { break };
                all[*at].known = match roll(6) {
                    0 => Known::Unreachable,
                    1 => Known::Failed,
                    _ => Known::Done,
                };
            }
            let left = all.iter().filter(|target| matches!(target.known, Known::Waiting)).count();
            let halted = next(Some(&rollout), &all).halt.is_some();
            assert!(left == 0 || halted, "round {round}: somebody was forgotten: {rollout:?} {all:?}");
            let failed = all.iter().filter(|target| target.known == Known::Failed).count();
            if let (Some(most), Some(batch)) = (rollout.max_failures, rollout.batch) {
                assert!(failed <= (most + batch) as usize, "round {round}: {rollout:?} {all:?}");
            }
        }
    }
}
