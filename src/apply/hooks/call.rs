//! Asking one part of a hook: a command, or a question to a TLS server.

use super::{Spot, report};
use crate::apply::Apply;
use crate::base::{ContentHash, SetName};
use crate::host::process::{End, Ended, Job, TemporaryFile, run};
use crate::host::tls;
use crate::material::{Leaf, covers};
use crate::plan::{HookReport, HookResult, Phase};
use crate::spec::{Command, DesiredSet, Hook, Verify};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How a part of a hook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Well.
    Ok,
    /// Not well.
    Failed,
    /// It could not be started, which says nothing about the certificates.
    NotStarted,
}

/// Asks, and writes down how it ended.
pub(super) fn ask(hook: &Hook, set: Option<&SetName>, phase: Phase, question: impl FnOnce() -> Ended) -> (Answer, HookReport) {
    let ended = question();
    let mut report = report(hook, set, phase, HookResult::Failed);
    let answer = match &ended.how {
        End::Exit(0) => {
            report.result = HookResult::Ok;
            report.status = (phase != Phase::Verify).then_some(0);
            return (Answer::Ok, report);
        }
        End::Exit(status) => {
            // A question to a server is no command.
            report.status = (phase != Phase::Verify).then_some(*status);
            Answer::Failed
        }
        End::Signal(signal) => {
            report.output = format!("was ended by signal {signal}\n");
            Answer::Failed
        }
        End::TimedOut => {
            report.output = format!("did not end within {} s and was killed\n", hook.timeout.as_secs_f64());
            Answer::Failed
        }
        End::NotStarted(why) => {
            report.output = format!("could not be started: {why}\n");
            Answer::NotStarted
        }
    };
    report.output.push_str(&ended.output);
    (answer, report)
}

#[derive(Serialize)]
struct Changes<'a> {
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    set: &'a str,
    dest: &'a str,
    generation: &'a str,
    files: Vec<String>,
}

/// Runs a hook's command for these places.
pub(super) fn command(
    apply: &Apply<'_>,
    sets: &[DesiredSet],
    hook: &Hook,
    command: &Command,
    spots: &[Spot],
    only: Option<&DesiredSet>,
) -> Ended {
    let mut changes = Changes { changes: Vec::new() };
    for (set, dest) in spots {
        let current = apply.state.install(set, dest).and_then(|recorded| recorded.current.as_ref());
        let files = current.map(|current| installed_files(dest, set, &current.name)).unwrap_or_default();
        changes.changes.push(Change { set: set.as_str(), dest: dest.as_str(), generation: current.map_or("", |c| &c.name), files });
    }
    let not_started = |why: String| Ended { how: End::NotStarted(why), output: String::new() };
    let text = match serde_json::to_vec(&changes) {
        Ok(text) => text,
        Err(error) => return not_started(error.to_string()),
    };
    let file = match TemporaryFile::new(&text, &hook.user) {
        Ok(file) => file,
        Err(error) => return not_started(error.to_string()),
    };
    let mut env = vec![("CERTSYNC_CHANGES".to_owned(), file.path().to_string())];
    if let Some(set) = only.or_else(|| sets.iter().find(|set| hook.per_set && spots.iter().all(|(name, _)| *name == set.name))) {
        // On a host that is not the origin the files are where they were put.
        let lineage = set.source.directory().or_else(|| set.installs.first().map(|install| &install.dest));
        env.extend(lineage.map(|lineage| ("RENEWED_LINEAGE".into(), lineage.to_string())));
        env.push(("RENEWED_DOMAINS".into(), domains(apply, spots)));
    }
    env.extend(hook.env.iter().cloned());
    run(&Job { command, user: &hook.user, env, timeout: hook.timeout })
}

fn installed_files(dest: &crate::base::AbsPath, set: &SetName, generation: &str) -> Vec<String> {
    let files = crate::apply::place::open(dest, set).ok().and_then(|place| crate::apply::switch::files_of(&place, generation).ok());
    files.unwrap_or_default().iter().map(|path| dest.join(path).to_string()).collect()
}

/// The names of what is installed at these places, each once.
fn domains(apply: &Apply<'_>, spots: &[Spot]) -> String {
    let current = spots.iter().filter_map(|(set, dest)| apply.state.install(set, dest)?.current.as_ref());
    let names: BTreeSet<&str> =
        current.flat_map(|current| &current.facts.leaves).flat_map(|leaf| &leaf.names).map(String::as_str).collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}

/// How long after a wrong answer a server is asked again: reloads take time.
const PAUSE: Duration = Duration::from_millis(200);

/// Content with any installed leaf of a set of this hook that covers the name; asks until the timeout.
pub(super) fn verify(question: &Verify, leaves: &[Leaf], timeout: Duration) -> Ended {
    let wanted: Vec<ContentHash> = leaves.iter().filter(|leaf| covers(leaf, &question.server_name)).map(|leaf| leaf.fingerprint).collect();
    let failed = |output: String| Ended { how: End::Exit(1), output };
    if wanted.is_empty() {
        return failed(format!("no installed certificate of this hook's sets covers {}\n", question.server_name));
    }
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let why = match tls::served_certificate(question, left.max(PAUSE)) {
            Ok(der) => {
                let served = ContentHash::of(&der);
                if wanted.contains(&served) {
                    return Ended { how: End::Exit(0), output: String::new() };
                }
                format!("{} serves the certificate {served} for {}, which is not the installed one", question.address, question.server_name)
            }
            Err(why) => why,
        };
        if Instant::now() + PAUSE >= deadline {
            return failed(format!("{why}\n"));
        }
        std::thread::sleep(PAUSE);
    }
}
