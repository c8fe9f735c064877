//! The state: a file is either refused with a way out, or whole: everything in it is found again, written again, and can be shown.

use crate::shown;
use certsync::base::{AbsPath, HookName, Mode, SetName};
use certsync::plan::{go_back, promote};
use certsync::spec::{Command, DesiredInstall, DesiredSet, Hook, HookUser, InstallRest, Named, Owner, Prune, Select, SetSource, Verify};
use certsync::state::requests::{Request, Scope};
use certsync::state::{InstallState, State};
use certsync::status::{Drift, Inputs, Seen, StatusReport, Thresholds, json, prometheus, status_of, table, verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const PLACE: &str = "/var/lib/certsync/state.json";
const SPEC: &str = "/etc/certsync/certsync.yaml";
const NOW: i64 = 1_800_000_000;

/// Takes `data` for `state.json`, and for a request.
pub fn check(data: &[u8]) {
    request(data);
    let spec: AbsPath = SPEC.parse().expect("a path");
    match State::parse(data, PLACE, &spec) {
        Ok(state) => whole(&state, &spec),
        Err(error) => {
            assert_eq!(error.subject, PLACE);
            shown::line(&error.cause);
            shown::line(error.hint.as_deref().expect("a way out"));
        }
    }
}

fn request(data: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<Request>(data) {
        let written = serde_json::to_vec(&request).expect("a request is written");
        assert_eq!(serde_json::from_slice::<Request>(&written).expect("a request is read"), request);
        assert!(Scope::All.covers(&request.scope) && request.scope.clone().and(Scope::All) == Scope::All);
    }
}

fn whole(state: &State, spec: &AbsPath) {
    let written = serde_json::to_vec(state).expect("a state is written");
    assert_eq!(State::parse(&written, PLACE, spec).expect("a state is read"), *state);
    for install in &state.installs {
        assert_eq!(state.install(&install.set, &install.dest), Some(install), "what is recorded is found");
        assert!(state.installs_of(&install.set).contains(install), "what is recorded is found");
        moved(install);
    }
    status(state);
}

fn moved(install: &InstallState) {
    let mut recorded = install.clone();
    promote(&mut recorded);
    assert!(recorded.next.is_none());
    let depth = recorded.former.len();
    let gone = go_back(&mut recorded);
    assert_eq!(gone.is_some() && depth > 0, gone.is_some());
}

fn status(state: &State) {
    let (sets, hooks) = (sets(state), hooks(state));
    let revoked: BTreeSet<_> = state.sets.values().flat_map(|set| set.facts.keys.iter().copied()).take(1).collect();
    let seen = |_: &SetName, _: &AbsPath| Seen { result: None, drift: Drift::No, error: None };
    for known in [&sets[..], &[]] {
        let inputs = Inputs {
            server: None,
            now: NOW,
            last_run: Some(i128::from(NOW) * 1_000_000_000),
            last_success: None,
            sets: known,
            hooks: &hooks,
            revoked: &revoked,
            seen: &seen,
            errors: Vec::new(),
        };
        told(&status_of(state, inputs), state);
    }
}

fn told(status: &StatusReport, state: &State) {
    assert_eq!(status.installs.len(), state.installs.len(), "every place is told once");
    shown::lines(&table(status));
    let days = |days: u64| Some(Duration::from_secs(days * 86_400));
    for (warn, crit) in [(None, None), (days(21), days(7)), (days(u64::MAX / 86_400), None)] {
        shown::line(&verdict(status, Thresholds { warn, crit }).line);
    }
    let text = json(status);
    shown::lines(&text);
    let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(read["installs"].as_array().map(Vec::len), Some(status.installs.len()));
    metrics(&prometheus(status));
}

/// Every line is a comment or `name{label="value",…} number`.
fn metrics(text: &str) {
    shown::lines(text);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let labels = sample.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
        assert!(labels.is_empty() || (labels.starts_with('{') && labels.ends_with("\"}")), "{line}");
        let quotes = labels.replace("\\\\", "").replace("\\\"", "").matches('"').count();
        assert_eq!(quotes, 2 * labels.replace("\\\\", "").replace("\\\"", "").matches("=\"").count(), "{line}");
    }
}

/// A spec that has everything that the state knows.
fn sets(state: &State) -> Vec<DesiredSet> {
    let mut sets: BTreeMap<&SetName, Vec<DesiredInstall>> = BTreeMap::new();
    for install in &state.installs {
        sets.entry(&install.set).or_default().push(DesiredInstall {
            dest: install.dest.clone(),
            files: None,
            rest: Arc::new(rest(install)),
        });
    }
    let set = |(name, installs): (&SetName, Vec<DesiredInstall>)| DesiredSet {
        name: name.clone(),
        source: SetSource::Directory("/source".parse().expect("a path")),
        select: Arc::new(Select { only: Vec::new(), except: Vec::new() }),
        names: Vec::new(),
        accept: BTreeSet::new(),
        installs,
        pattern: None,
    };
    sets.into_iter().map(set).collect()
}

fn rest(install: &InstallState) -> InstallRest {
    let root = || Owner { name: "root".into(), id: 0 };
    InstallRest {
        owner: root(),
        group: root(),
        dir_mode: Mode::from_bits(0o755),
        file_mode: Mode::from_bits(0o644),
        key_mode: Mode::from_bits(0o600),
        layout: install.layout,
        keep: 2,
        prune: Prune::Keep,
        hooks: install.marks.keys().cloned().collect(),
        named: Named::default(),
    }
}

fn hooks(state: &State) -> Vec<Hook> {
    let names: BTreeSet<&HookName> = state.installs.iter().flat_map(|install| install.marks.keys()).collect();
    let hook = |name: &HookName| Hook {
        name: name.clone(),
        check: None,
        run: Some(Command::Shell("true".into())),
        verify: Some(Verify { address: "localhost:443".into(), server_name: "localhost".into(), starttls: None }),
        timeout: Duration::from_secs(1),
        user: HookUser { name: "root".into(), uid: 0, gid: 0, home: "/root".into() },
        env: Vec::new(),
        per_set: false,
    };
    names.into_iter().map(hook).collect()
}
