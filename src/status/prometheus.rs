//! Status in the Prometheus text format (version 0.0.4), for node_exporter's textfile collector.

use super::{Drift, InstallStatus, Owed, StatusReport};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Every metric that has a value, with a final line break.
pub fn prometheus(status: &StatusReport) -> String {
    let mut out = String::new();
    let version = labels(&[("version", &status.certsync)]);
    family(&mut out, "certsync_build_info", "The version of certsync that wrote this.", &[(version, 1)]);
    let now = |time: Option<i64>| time.map(|time| (String::new(), time)).into_iter().collect::<Vec<_>>();
    family(&mut out, "certsync_last_run_timestamp_seconds", "When apply last ran to its end.", &now(status.last_run));
    family(
        &mut out,
        "certsync_last_success_timestamp_seconds",
        "When apply last ran to its end without a failure.",
        &now(status.last_success),
    );
    family(&mut out, "certsync_errors", "What stands in the way of a run.", &[(String::new(), count(status.errors.len()))]);
    for (name, help, value) in PER_INSTALL {
        let samples: Vec<_> = status.installs.iter().filter_map(|i| value(i).map(|value| (place(i), value))).collect();
        family(&mut out, name, help, &samples);
    }
    family(&mut out, "certsync_hook_owed", "Whether a hook has yet to succeed for what is installed.", &hooks(status));
    family(&mut out, "certsync_set_failed", "Whether a set is refused, was taken back or cannot be installed.", &sets(status));
    out
}

type Metric = (&'static str, &'static str, fn(&InstallStatus) -> Option<i64>);

const PER_INSTALL: [Metric; 7] = [
    ("certsync_certificate_not_after_seconds", "End of validity of the leaf that ends first, Unix time.", |i| i.not_after),
    ("certsync_installed_timestamp_seconds", "Since when the installed generation is in place.", |i| i.since),
    ("certsync_drift", "Whether the host differs from what was installed.", |i| match i.drift {
        Drift::No => Some(0),
        Drift::Yes => Some(1),
        Drift::Unknown => None,
    }),
    ("certsync_orphaned", "Whether the set no longer belongs here.", |i| Some(i64::from(i.orphaned))),
    ("certsync_held", "Whether a rollback holds the set.", |i| Some(i64::from(i.held))),
    ("certsync_returned", "Whether a failing check took a newer version back.", |i| Some(i64::from(i.returned))),
    ("certsync_revoked", "Whether a revoked key is in use.", |i| Some(i64::from(i.revoked))),
];

fn hooks(status: &StatusReport) -> Vec<(String, i64)> {
    let each = status.installs.iter().flat_map(|install| install.hooks.iter().map(move |hook| (install, hook)));
    each.map(|(install, hook)| {
        let labels = labels(&[("set", install.set.as_str()), ("dest", install.dest.as_str()), ("hook", hook.name.as_str())]);
        (labels, i64::from(hook.owed != Owed::No))
    })
    .collect()
}

fn sets(status: &StatusReport) -> Vec<(String, i64)> {
    let mut failed: BTreeMap<&str, bool> = BTreeMap::new();
    for install in &status.installs {
        let fails = install.error.is_some() || install.result.is_some_and(|result| result.is_failure());
        *failed.entry(install.set.as_str()).or_default() |= fails;
    }
    failed.into_iter().map(|(set, failed)| (labels(&[("set", set)]), i64::from(failed))).collect()
}

fn place(install: &InstallStatus) -> String {
    labels(&[("set", install.set.as_str()), ("dest", install.dest.as_str())])
}

pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// One metric with its samples (labels, value); nothing where there is none.
pub(super) fn family(out: &mut String, name: &str, help: &str, samples: &[(String, i64)]) {
    if samples.is_empty() {
        return;
    }
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in samples {
        let _ = writeln!(out, "{name}{labels} {value}");
    }
}

/// `{name="value",…}`; in a value, backslash, quote and line break are escaped.
pub(super) fn labels(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")))
        .collect();
    format!("{{{}}}", pairs.join(","))
}
