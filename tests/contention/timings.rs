//! A renewal whose request comes at any moment of somebody else's run.

use super::host::{Host, SETS, pause, random, rounds};
use std::time::{Duration, Instant};

/// How long a run with something to do takes here.
fn a_run(host: &Host) -> Duration {
    for set in SETS {
        host.renew(set, 1);
    }
    let start = Instant::now();
    host.site.apply(0);
    start.elapsed()
}

/// Who is at work when the request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// One apply.
    Apply,
    /// One that works, one that waits.
    TwoApplies,
    /// A rollback, and requests for two sets.
    Rollback,
    /// Applies that would not wait at all.
    Impatient,
    /// Only requests, each for another set.
    DeployHooks,
}

#[test]
fn no_renewal_is_lost_whatever_the_moment_of_its_request() {
    let host = Host::installed();
    let run = a_run(&host);
    let window = run + run / 4;
    for round in 0..rounds(240, 40) {
        let others = [Others::Apply, Others::TwoApplies, Others::Rollback, Others::Impatient, Others::DeployHooks][round % 5];
        let when = format!("round {round}, {others:?}");
        // Something to do for the one at work.
        host.renew("a", round + 2);
        std::thread::scope(|scope| {
            let host = &host;
            match others {
                Others::DeployHooks => {
                    for set in ["a", "c", "d"] {
                        scope.spawn(move || {
                            if set != "a" {
                                pause(window);
                                host.renew(set, round + 2);
                            }
                            host.deploy_hook(set);
                        });
                    }
                }
                Others::Apply => drop(scope.spawn(|| apply(host))),
                Others::TwoApplies => {
                    scope.spawn(|| apply(host));
                    scope.spawn(|| {
                        pause(window / 2);
                        apply(host);
                    });
                }
                Others::Rollback => {
                    scope.spawn(|| {
                        pause(window / 4);
                        host.site.call(&["rollback", "d"]).ends(0);
                    });
                    scope.spawn(|| apply(host));
                    scope.spawn(|| {
                        pause(window);
                        host.renew("c", round + 2);
                        host.deploy_hook("c");
                    });
                }
                Others::Impatient => {
                    scope.spawn(|| apply(host));
                    scope.spawn(|| {
                        pause(window / 2);
                        apply(host);
                    });
                    scope.spawn(|| {
                        pause(window);
                        host.renew("c", round + 2);
                        impatient(host);
                    });
                }
            }
            scope.spawn(move || {
                pause(window);
                host.renew("b", round + 2);
                host.deploy_hook("b");
            });
        });
        for set in ["a", "b", "c"] {
            host.is_current(set, &when);
        }
        assert_eq!(host.requests(), 0, "{when}");
        if others == Others::Rollback {
            host.site.call(&["rollback", "d", "--release"]).ends(0);
        }
        host.is_current("d", &when);
        if random(4) == 0 {
            host.hooks_ran_once();
        }
    }
    host.hooks_ran_once();
    assert_eq!(host.site.apply(0).hooks().len(), 0, "nothing is left to do");
}

/// One that meets a set between its certificate and its key may refuse that one, and says so; it installs nothing of it.
fn apply(host: &Host) {
    let run = host.site.call(&["apply", "--format", "json"]);
    if run.status != Some(0) {
        assert!(run.stderr.contains("refused") || run.stderr.contains("changes faster"), "{run:?}");
    }
}

/// Whoever does not wait leaves its wish, and says who works.
fn impatient(host: &Host) {
    let run = host.site.call(&["apply", "--lock-timeout", "0s", "--format", "json"]);
    if run.status != Some(0) {
        assert_eq!(run.json["errors"][0]["kind"], "lock", "{run:?}");
        assert!(run.stderr.contains("held by"), "{}", run.stderr);
    }
}
