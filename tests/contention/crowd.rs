//! Fifty at once.

use super::host::{Host, SETS, pause, random, rounds};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Apply,
    DeployHook,
    Rollback,
    Release,
    Plan,
    Status,
}

/// What the fifty do.
fn crowd() -> Vec<Who> {
    let parts = [(Who::Apply, 14), (Who::DeployHook, 16), (Who::Rollback, 6), (Who::Release, 4), (Who::Plan, 7), (Who::Status, 3)];
    parts.into_iter().flat_map(|(who, count)| std::iter::repeat_n(who, count)).collect()
}

/// None of them may fail but a rollback that has nowhere to go (yet).
fn act(host: &Host, who: Who) {
    let set = SETS[random(4) as usize];
    let run = match who {
        Who::Apply => host.site.call(&["apply", "--format", "json"]),
        Who::DeployHook => {
            let (name, value) = Host::lineage(set);
            host.site.call_with(&["deploy-hook", "--format", "json"], &[(&name, &value)])
        }
        Who::Rollback => host.site.call(&["rollback", set]),
        Who::Release => host.site.call(&["rollback", set, "--release"]),
        Who::Plan => host.site.call(&["plan", "--format", "json"]),
        Who::Status => host.site.call(&["status"]),
    };
    let nowhere = ["has no former version here", "is not installed here", "is not held"].iter().any(|part| run.stderr.contains(part));
    match who {
        Who::Rollback | Who::Release => assert!(run.status == Some(0) || (run.status == Some(1) && nowhere), "{who:?} {set}: {run:?}"),
        // What status exits with tells of certificates and hooks owed, not of itself.
        Who::Status => assert!(run.status.is_some_and(|status| status < 3), "{who:?}: {run:?}"),
        Who::Apply | Who::DeployHook | Who::Plan => assert_eq!(run.status, Some(0), "{who:?} {set}: {run:?}"),
    }
}

#[test]
fn fifty_at_once_work_one_after_the_other_and_lose_nothing() {
    for round in 0..rounds(6, 1) {
        // Also the state directory is made by one of them.
        let host = Host::new();
        let number = AtomicUsize::new(1);
        std::thread::scope(|scope| {
            let host = &host;
            for who in crowd() {
                scope.spawn(move || {
                    pause(Duration::from_millis(1500));
                    act(host, who);
                });
            }
            // Renewed at once, so that nobody meets half of one.
            for set in SETS {
                let number = &number;
                scope.spawn(move || {
                    for _ in 0..3 {
                        pause(Duration::from_millis(1000));
                        host.renew_at_once(set, number.fetch_add(1, Ordering::Relaxed));
                        host.deploy_hook(set);
                    }
                });
            }
        });
        assert_eq!(host.requests(), 0);
        for set in SETS {
            host.release(set);
            host.is_current(set, &format!("round {round}"));
        }
        host.hooks_ran_once();
        let last = host.site.apply(0);
        assert!(!last.changed() && last.hooks().is_empty(), "{last:?}");
    }
}
