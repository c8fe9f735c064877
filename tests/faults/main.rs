//! Faults: `apply` and its kin under `strace -e inject`, killed or failed at every call that changes files; and the order in which
//! things are brought to disk. `scripts/prove faults` runs all of it, `CERTSYNC_SLICE=1` a part.
//!
//! `CERTSYNC_POINT='ENOSPC fsync 12|EINTR'` tries only the points so named.

mod bench;
mod cut;
#[path = "../install/host.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod host;
#[path = "../support/leaks.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod leaks;
mod matrix;
mod order;
#[path = "../install/pairs.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod pairs;
mod points;
mod power;
mod record;
mod scenarios;
mod trace;

use scenarios::Scenario;

/// Whether faults can be injected here; says aloud if not.
fn can_inject() -> bool {
    if !nix::unistd::Uid::effective().is_root() {
        println!("skipped: needs root: certsync lets nobody else trace it");
        return false;
    }
    host::there("strace")
}

fn matrix(scenario: &Scenario) {
    if can_inject() {
        matrix::run(scenario);
    }
}

macro_rules! every_call {
    ($($test:ident: $scenario:ident,)*) => {
        $(
            #[test]
            fn $test() {
                matrix(&scenarios::$scenario);
            }
        )*
    };
}

every_call! {
    a_first_install: FIRST,
    a_flat_first_install: FIRST_FLAT,
    a_renewal: RENEWAL,
    a_flat_renewal: RENEWAL_FLAT,
    an_adoption: ADOPTION,
    a_flat_adoption: ADOPTION_FLAT,
    a_change_to_flat: TO_FLAT,
    a_change_to_generations: TO_GENERATIONS,
    drift: DRIFT,
    a_rollback: ROLLBACK,
    a_prune: PRUNE,
    a_removal: REMOVE,
    a_failing_check: CHECK,
    a_failing_check_of_flat_installs: CHECK_FLAT,
}

/// An install whose switch has failed is not taken back to the version before what is in place, and a return that fails half way
/// is ended by the next run.
#[test]
fn a_failing_check_after_a_switch_that_failed() {
    let meant = |point: &points::Point| {
        point.kind == points::Kind::Fails("EIO")
            && (point.signature.ends_with("\"current\"") || point.signature.ends_with("/.certsync/site>") && point.call == "fsync")
    };
    if can_inject() {
        matrix::run_those(&scenarios::CHECK, meant);
    }
}
