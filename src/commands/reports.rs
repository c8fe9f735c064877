//! The commands that answer with a report: options from the command line, the call, the answer.

use super::cli::{
    AnswerArgs, ApplyArgs, DeployHookArgs, Format, GlobalArgs, JudgeArgs, LockArgs, PlanArgs, RemoveArgs, RollbackArgs, TriggerArgs,
};
use super::exit::{Exit, of_report};
use super::options::{
    ApplyOptions, Caller, ContentCheck, DeployHookOptions, FromAbove, Judging, Others, Place, PlanOptions, RemoveOptions, Returned,
    RollbackOptions, RollbackTo, RunOptions, StateChoice, TriggerOptions,
};
use super::output::{Output, print_error};
use super::pass_on::{Passing, RolloutChoice};
use super::revisions::Future;
use super::{Stop, place};
use crate::base::{ServerName, hex};
use crate::fleet::contact::Patience;
use crate::fleet::due::{Belief, Limit};
use crate::host::users;
use crate::plan::{Report, Tense, json, text};
use crate::progress::ProgressChoice;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::Duration;

/// `certsync plan`.
pub(super) fn plan(global: &GlobalArgs, args: &PlanArgs, output: &Output) -> Result<Exit, Stop> {
    answer(args.answer, Tense::Plan, output, || {
        super::plan(&PlanOptions {
            place: place::of_either(global, &args.spec)?,
            judging: judging(&args.judge),
            above: match (args.offline, args.brought) {
                (true, _) => FromAbove::Nobody,
                (false, true) => FromAbove::Stdin,
                (false, false) => FromAbove::Asked,
            },
            below: args.remote.then(|| limit(&args.limit)),
            progress: progress(global),
        })
    })
}

/// `certsync apply`.
pub(super) fn apply(global: &GlobalArgs, args: &ApplyArgs, output: &Output) -> Result<Exit, Stop> {
    answer(args.answer, Tense::Done, output, || {
        let place = place::of_path(global, &args.spec)?;
        if let Some(splay) = args.splay {
            wait(splay, &place);
        }
        let passing = Passing {
            limit: limit(&args.limit),
            belief: if args.refresh { Belief::Nothing } else { Belief::Acknowledged },
            future: if args.new_revisions { Future::GoOn } else { Future::Stop },
            rollout: if args.now { RolloutChoice::Ignored } else { RolloutChoice::AsSpec },
        };
        let caller = if args.if_requested { Caller::Gate } else { Caller::Operator };
        super::apply(&ApplyOptions { place, judging: judging(&args.judge), run: run(global, args.lock), passing, caller })
    })
}

/// `certsync trigger`.
pub(super) fn trigger(global: &GlobalArgs, args: &TriggerArgs, output: &Output) -> Result<Exit, Stop> {
    answer(args.answer, Tense::Done, output, || {
        super::trigger(&TriggerOptions {
            place: place::of_flag(global, &args.spec)?,
            servers: args.servers.clone(),
            patience: if args.wait { Patience::Tree } else { Patience::Usual },
            progress: progress(global),
        })
    })
}

/// `certsync rollback`.
pub(super) fn rollback(global: &GlobalArgs, args: &RollbackArgs, output: &Output) -> Result<Exit, Stop> {
    let to = match (&args.to, args.release) {
        (Some(digest), _) => RollbackTo::Version(digest.clone()),
        (None, true) => RollbackTo::Release,
        (None, false) => RollbackTo::Former,
    };
    answer(args.answer, Tense::Done, output, || {
        let place = place::of_flag(global, &args.spec)?;
        super::rollback(&RollbackOptions { place, set: args.set.clone(), to, run: run(global, args.lock) })
    })
}

/// `certsync remove`.
pub(super) fn remove(global: &GlobalArgs, args: &RemoveArgs, output: &Output) -> Result<Exit, Stop> {
    answer(args.answer, Tense::Done, output, || {
        let place = place::of_flag(global, &args.spec)?;
        super::remove(&RemoveOptions { place, set: args.set.clone(), run: run(global, args.lock) })
    })
}

/// `certsync deploy-hook`.
pub(super) fn deploy_hook(global: &GlobalArgs, args: &DeployHookArgs, output: &Output) -> Result<Exit, Stop> {
    answer(args.answer, Tense::Done, output, || {
        let place = place::of_path(global, &args.spec)?;
        let renewed = renewed(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        super::deploy_hook(&DeployHookOptions { place, renewed, run: run(global, args.lock) })
    })
}

/// Calls, and answers with the report: on stdout as asked for, what failed on stderr as well.
fn answer(args: AnswerArgs, tense: Tense, output: &Output, call: impl FnOnce() -> Result<Report, Stop>) -> Result<Exit, Stop> {
    let report = match call() {
        Ok(report) => report,
        Err(stop) => {
            if args.format == Format::Json {
                output.answer(&stop.json());
            }
            return Err(stop);
        }
    };
    match args.format {
        Format::Json => output.answer(&json(&report)),
        Format::Text => output.tell(&text(&report, tense, output.paint, output.detail)),
    }
    for failure in report.failures() {
        print_error(&failure.error, &failure.output);
    }
    Ok(of_report(&report, tense, args))
}

fn limit(names: &[ServerName]) -> Limit {
    if names.is_empty() { Limit::All } else { Limit::Only(names.iter().cloned().collect()) }
}

fn judging(args: &JudgeArgs) -> Judging {
    Judging {
        accept: args.accept.clone(),
        returned: if args.retry { Returned::TryAgain } else { Returned::Wait },
        content: if args.verify_content { ContentCheck::ReadAll } else { ContentCheck::Stamps },
        state: if args.new_state { StateChoice::New } else { StateChoice::Keep },
    }
}

fn run(global: &GlobalArgs, args: LockArgs) -> RunOptions {
    RunOptions {
        lock_timeout: args.lock_timeout,
        others: if args.local { Others::LeftAlone } else { Others::AsSpec },
        progress: progress(global),
    }
}

/// A bar and a log would spoil each other.
fn progress(global: &GlobalArgs) -> ProgressChoice {
    if global.quiet || global.verbose > 0 { ProgressChoice::Nowhere } else { ProgressChoice::OnTerminal }
}

fn wait(splay: Duration, place: &Place) {
    let host = place.name.clone().unwrap_or_else(users::host_name);
    let time = share(splay, &host, place.spec.path().as_str());
    tracing::info!(seconds = time.as_secs(), "waiting, so that many hosts do not start at once");
    std::thread::sleep(time);
}

/// A part of `splay` that is always the same for this host and spec, and spread evenly over many hosts.
fn share(splay: Duration, host: &str, spec: &str) -> Duration {
    let hash = Sha256::new().chain_update(host).chain_update([0]).chain_update(spec).finalize();
    let number = u64::from_str_radix(&hex(&hash[..8]), 16).unwrap_or_default();
    let splay = u64::try_from(splay.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(if splay == 0 { 0 } else { number % splay })
}

/// Directories in which an ACME client says it renewed something: certbot names the directory, lego (before and from
/// version 5) and acme.sh name files in it.
fn renewed(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let directories = ["RENEWED_LINEAGE"].into_iter().filter_map(&variable);
    let files = ["LEGO_CERT_PATH", "LEGO_HOOK_CERT_PATH", "CERT_FULLCHAIN_PATH", "CERT_PATH"].into_iter().filter_map(&variable);
    let parents = files.filter_map(|file| Path::new(&file).parent().and_then(Path::to_str).map(str::to_owned));
    let mut found: Vec<String> = Vec::new();
    for directory in directories.chain(parents) {
        if !directory.is_empty() && !found.contains(&directory) {
            found.push(directory);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{renewed, share};
    use std::time::Duration;

    #[test]
    fn a_splay_is_fixed_by_the_host_and_below_its_bound() {
        let splay = Duration::from_secs(900);
        let times: Vec<Duration> = (0..200).map(|i| share(splay, &format!("web{i}"), "/etc/certsync/certsync.yaml")).collect();
        assert!(times.iter().all(|time| *time < splay));
        assert!(times.iter().filter(|time| **time < splay / 2).count().abs_diff(100) < 40);
        assert_eq!(times[7], share(splay, "web7", "/etc/certsync/certsync.yaml"));
        assert_eq!(share(Duration::ZERO, "a", "b"), Duration::ZERO);
    }

    #[test]
    fn acme_clients_name_what_they_renewed() {
        let certbot = |name: &str| (name == "RENEWED_LINEAGE").then(|| "/etc/letsencrypt/live/a".to_owned());
        assert_eq!(renewed(certbot), ["/etc/letsencrypt/live/a"]);
        let acme_sh = |name: &str| name.starts_with("CERT_").then(|| "/root/.acme.sh/a/a.cer".to_owned());
        assert_eq!(renewed(acme_sh), ["/root/.acme.sh/a"]);
        assert!(renewed(|_| None).is_empty());
    }
}
