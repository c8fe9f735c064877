//! Random topologies, held against what the words mean: a server may have a set if there is a chain of upstreams from the
//! set's origin to a target, through this host and through that server.

use super::{desired, fleet, load_as, server, set};
use certsync::spec::{SetSource, resolved_yaml};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Numbers that look random and are always the same (Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }
}

/// Servers with their upstreams, and sets with their origin and targets.
struct World {
    above: Vec<Vec<usize>>,
    sets: Vec<(usize, BTreeSet<usize>)>,
    /// The order in which the servers are written.
    order: Vec<usize>,
    grouped: bool,
}

impl World {
    fn new(dice: &mut Dice) -> World {
        let count = 2 + dice.roll(7);
        let mut above: Vec<Vec<usize>> = Vec::new();
        for number in 0..count {
            let mut upper: Vec<usize> = (0..number).filter(|_| dice.roll(3) == 0).take(3).collect();
            if dice.roll(2) == 0 {
                upper.reverse();
            }
            above.push(upper);
        }
        let mut world = World { above, sets: Vec::new(), order: (0..count).collect(), grouped: dice.roll(2) == 0 };
        for number in 0..count {
            world.order.swap(number, dice.roll(count));
        }
        for _ in 0..1 + dice.roll(4) {
            let origin = dice.roll(count);
            let ends = (0..count).filter(|end| !world.chains(origin, *end).is_empty()).collect::<Vec<_>>();
            world.sets.push((origin, ends.into_iter().filter(|_| dice.roll(2) == 0).collect()));
        }
        world
    }

    /// Every chain from one server down to another, both included.
    fn chains(&self, from: usize, to: usize) -> Vec<Vec<usize>> {
        if from == to {
            return vec![vec![to]];
        }
        let longer = |upper: &usize| self.chains(from, *upper).into_iter().map(|chain| [chain, vec![to]].concat()).collect::<Vec<_>>();
        self.above[to].iter().flat_map(longer).collect()
    }

    /// The chains of a set that come by here.
    fn through(&self, number: usize, me: usize) -> Vec<Vec<usize>> {
        let (origin, targets) = &self.sets[number];
        targets.iter().flat_map(|target| self.chains(*origin, *target)).filter(|chain| chain.contains(&me)).collect()
    }

    fn yaml(&self) -> String {
        let mut text = "version: 1\nservers:\n".to_owned();
        let list = |numbers: &mut dyn Iterator<Item = usize>| numbers.map(|n| format!("s{n}")).collect::<Vec<_>>().join(", ");
        for number in &self.order {
            let upper = list(&mut self.above[*number].iter().copied());
            let upper = if upper.is_empty() { upper } else { format!(", upstream: [{upper}]") };
            let _ = writeln!(text, "  s{number}: {{ address: h{number}{upper}, delivery: trigger }}");
        }
        if self.grouped {
            text.push_str("groups:\n");
            for (number, (_, targets)) in self.sets.iter().enumerate() {
                let half = targets.len() / 2;
                let (one, two) = (list(&mut targets.iter().copied().take(half)), list(&mut targets.iter().copied().skip(half)));
                let _ = writeln!(
                    text,
                    "  g{number}: [{one}]\n  h{number}: [{}]",
                    [two, format!("g{number}")].join(", ").trim_start_matches(", ")
                );
            }
        }
        text.push_str("certs:\n");
        for (number, (origin, targets)) in self.sets.iter().enumerate() {
            let targets = if self.grouped { format!("h{number}") } else { list(&mut targets.iter().copied()) };
            let source = if number % 2 == 0 { format!("/srv/{number}") } else { format!("/srv/{number}/*") };
            let _ = writeln!(
                text,
                "  c{number}: {{ source: {source}, origin: s{origin}, targets: [{targets}], install: \"/etc/{number}/{{name}}\" }}"
            );
        }
        text
    }
}

#[test]
fn whoever_may_have_a_set_is_on_a_chain_to_a_target() {
    let mut dice = Dice(7);
    let mut answers = [0, 0];
    for round in 0..200 {
        let world = World::new(&mut dice);
        let text = world.yaml();
        for me in 0..world.above.len() {
            let here = desired(&text, &format!("s{me}"));
            for number in 0..world.sets.len() {
                let chains = world.through(number, me);
                let (origin, targets) = &world.sets[number];
                for peer in 0..world.above.len() {
                    let position = |chain: &[usize], server: usize| chain.iter().position(|at| *at == server);
                    // At or below this host; or the one just above it, which the set comes from.
                    let is_on = |chain: &Vec<usize>| match (position(chain, me), position(chain, peer)) {
                        (Some(mine), Some(other)) => other >= mine || other + 1 == mine,
                        _ => false,
                    };
                    let is_origin_here = peer == me && *origin == me;
                    let expected = chains.iter().any(is_on) || is_origin_here;
                    let entry = set(&format!("c{number}"));
                    let peer_name = server(&format!("s{peer}"));
                    assert_eq!(
                        fleet(&here).is_entitled(&peer_name, &entry),
                        expected,
                        "round {round}: s{peer} of s{me}: c{number}\n{text}"
                    );
                    let ends = targets.contains(&peer)
                        && chains.iter().any(|chain| position(chain, me) <= position(chain, peer) && chain.contains(&peer));
                    assert_eq!(fleet(&here).is_target(&peer_name, &entry), ends, "round {round}: s{peer} of s{me}: c{number}\n{text}");
                    answers[usize::from(expected)] += 1;
                }
            }
        }
    }
    assert!(answers.iter().all(|count| *count > 1000), "{answers:?}");
}

#[test]
fn every_host_has_what_begins_there_comes_by_or_ends() {
    let mut dice = Dice(11);
    for round in 0..200 {
        let world = World::new(&mut dice);
        let text = world.yaml();
        for me in 0..world.above.len() {
            let here = desired(&text, &format!("s{me}"));
            for (number, (origin, targets)) in world.sets.iter().enumerate() {
                let name = set(&format!("c{number}"));
                let own = here.sets.iter().find(|set| set.name == name).map(|set| (&set.source, set.installs.len()));
                let made = here.patterns.iter().find(|set| set.name == name).map(|set| (&set.parent, set.template.installs.len()));
                let found = own.or(made).map(|(source, installs)| (*source == SetSource::Upstream, installs));
                let installs = usize::from(targets.contains(&me));
                let expected = match *origin == me {
                    true => Some((false, installs)),
                    false => (!world.through(number, me).is_empty()).then_some((true, installs)),
                };
                assert_eq!(found, expected, "round {round}: c{number} on s{me}\n{text}");
            }
        }
    }
}

#[test]
fn every_part_that_is_printed_gives_its_host_the_same() {
    let mut dice = Dice(13);
    for round in 0..100 {
        let world = World::new(&mut dice);
        let text = world.yaml();
        for me in 0..world.above.len() {
            let name = format!("s{me}");
            let loaded = load_as(&text, Some(&name)).unwrap_or_else(|faults| panic!("{faults}{text}"));
            let part = resolved_yaml(&loaded);
            let mut again = desired(&part, &name);
            again.fleet.as_mut().expect("a fleet").spec_hash = fleet(&loaded.desired).spec_hash;
            assert_eq!(again, loaded.desired, "round {round}: s{me}\n{text}\n{part}");
        }
    }
}
