use super::{
    Drift, Health, HookStatus, Inputs, InstallStatus, Owed, Seen, StatusReport, Thresholds, prometheus, status_of, table, verdict,
};
use crate::base::{ContentHash, Digest, Error, ErrorKind, GenerationHash, KeyFingerprint};
use crate::material::{Leaf, SetFacts};
use crate::spec::{Command, Hook, HookUser, Layout, Verify};
use crate::state::{GenerationState, InstallState, Mark, State};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// 2026-11-01 00:00 UTC.
const NOW: i64 = 1_793_491_200;
const DAY: i64 = 86_400;

fn parsed<T: FromStr<Err: std::fmt::Display>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| unreachable!("{text}: {error}"))
}

fn install(set: &str, days: i64) -> InstallStatus {
    InstallStatus {
        set: parsed(set),
        dest: parsed(&format!("/etc/ssl/{set}")),
        result: None,
        digest: Some(Digest::from_bytes([0xab; 32])),
        generation: Some("7-abcdef".into()),
        names: vec![set.into()],
        not_after: Some(NOW + days * DAY),
        days_left: Some(days),
        since: Some(NOW - 3 * DAY),
        hooks: Vec::new(),
        drift: Drift::No,
        orphaned: false,
        unfinished: false,
        held: false,
        returned: false,
        revoked: false,
        error: None,
    }
}

fn status(installs: Vec<InstallStatus>) -> StatusReport {
    StatusReport {
        certsync: "1.2.3".into(),
        server: None,
        now: NOW,
        last_run: Some(NOW - 60),
        last_success: Some(NOW - 60),
        last_run_failed: false,
        installs,
        errors: Vec::new(),
    }
}

fn owed(name: &str, owed: Owed) -> HookStatus {
    HookStatus { name: parsed(name), owed }
}

const THREE_WEEKS: Thresholds = Thresholds { warn: Some(Duration::from_secs(21 * 86_400)), crit: Some(Duration::from_secs(7 * 86_400)) };

#[test]
fn the_table_has_a_line_for_each_place() {
    let mut second = install("b.example.com", 5);
    second.hooks = vec![owed("nginx", Owed::Run), owed("smtp", Owed::Verify), owed("imap", Owed::No)];
    second.drift = Drift::Yes;
    let mut third = install("c", 0);
    (third.generation, third.digest, third.not_after, third.days_left, third.since) = (None, None, None, None, None);
    let expected = "\
SET            DEST                    DIGEST        DAYS  NOT AFTER   SINCE              NOTES
a              /etc/ssl/a              abababababab    60  2026-12-31  2026-10-29 00:00Z
b.example.com  /etc/ssl/b.example.com  abababababab     5  2026-11-06  2026-10-29 00:00Z  owed: nginx; owed: smtp (verify); drift
c              /etc/ssl/c              -                -  -           -                  not installed
last run 2026-10-31 23:59Z, last success 2026-10-31 23:59Z
";
    assert_eq!(table(&status(vec![install("a", 60), second, third])), expected);
    let mut empty = status(Vec::new());
    (empty.last_run, empty.last_success) = (None, None);
    assert_eq!(table(&empty), "nothing is installed\nlast run never, last success never\n");
}

#[test]
fn a_monitor_hears_the_worst_first() {
    let told = |status: &StatusReport| {
        let verdict = verdict(status, THREE_WEEKS);
        (verdict.health, verdict.line)
    };
    assert_eq!(
        told(&status(vec![install("a", 60), install("b", 30)])),
        (Health::Ok, "OK - 2 installs, the first ends in 30 days (b at /etc/ssl/b)".into())
    );
    assert_eq!(
        told(&status(vec![install("a", 20), install("b", 6)])),
        (Health::Critical, "CRITICAL - b at /etc/ssl/b: 6 days left; a at /etc/ssl/a: 20 days left".into())
    );
    assert_eq!(told(&status(vec![install("a", 21)])).0, Health::Ok);
    let mut drifted = install("a", 60);
    drifted.drift = Drift::Yes;
    assert_eq!(told(&status(vec![drifted])), (Health::Warning, "WARNING - a at /etc/ssl/a: drift".into()));
    let mut failed = install("a", -1);
    failed.error = Some(Error::new(ErrorKind::Judgement, "a", "the leaf has expired"));
    assert_eq!(told(&status(vec![failed])), (Health::Critical, "CRITICAL - a at /etc/ssl/a: expired, the leaf has expired".into()));
}

#[test]
fn a_certificate_that_is_over_is_critical_without_thresholds() {
    assert_eq!(verdict(&status(vec![install("a", 0)]), Thresholds::default()).health, Health::Critical);
    assert_eq!(verdict(&status(vec![install("a", 1)]), Thresholds::default()).health, Health::Ok);
}

#[test]
fn a_last_run_that_failed_is_a_warning() {
    let mut late = status(vec![install("a", 60)]);
    assert_eq!(verdict(&late, Thresholds::default()).health, Health::Ok);
    late.last_run_failed = true;
    assert_eq!(verdict(&late, Thresholds::default()).line, "WARNING - the last run failed");
}

#[test]
fn node_exporter_reads_every_metric_with_its_help_and_type() {
    let mut odd = install("a \"b\"", 5);
    odd.hooks = vec![owed("nginx", Owed::Verify)];
    odd.orphaned = true;
    odd.drift = Drift::Unknown;
    let text = prometheus(&status(vec![install("a", 60), odd]));
    assert!(text.contains("# TYPE certsync_certificate_not_after_seconds gauge\n"));
    assert!(text.contains("\ncertsync_certificate_not_after_seconds{set=\"a\",dest=\"/etc/ssl/a\"} 1798675200\n"), "{text}");
    assert!(text.contains("\ncertsync_orphaned{set=\"a \\\"b\\\"\",dest=\"/etc/ssl/a \\\"b\\\"\"} 1\n"), "{text}");
    assert!(text.contains("\ncertsync_hook_owed{set=\"a \\\"b\\\"\",dest=\"/etc/ssl/a \\\"b\\\"\",hook=\"nginx\"} 1\n"), "{text}");
    assert!(text.contains("\ncertsync_last_success_timestamp_seconds 1793491140\n"), "{text}");
    assert!(text.contains("\ncertsync_set_failed{set=\"a\"} 0\n"), "{text}");
    assert_eq!(text.matches("\ncertsync_drift{").count(), 1, "unknown is no number");
    assert!(text.starts_with("# HELP ") && text.ends_with('\n') && !text.contains("\n\n"));
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
}

fn hook(run: bool, verify: bool) -> Hook {
    let verify = verify.then(|| Verify { address: "127.0.0.1:443".into(), server_name: "a".into(), starttls: None });
    Hook {
        name: parsed("nginx"),
        check: None,
        run: run.then(|| Command::Shell("true".into())),
        verify,
        timeout: Duration::from_secs(60),
        user: HookUser { name: "root".into(), uid: 0, gid: 0, home: "/root".into() },
        env: Vec::new(),
        per_set: false,
    }
}

fn state(mark: Option<Mark>) -> State {
    let key = KeyFingerprint::of_spki(b"key");
    let leaf = Leaf {
        subject: "CN=a".into(),
        names: vec!["a".into(), "b".into()],
        serial: "01".into(),
        not_before: NOW - DAY,
        not_after: NOW + 10 * DAY + 5,
        fingerprint: ContentHash::of(b"leaf"),
        key,
        key_type: "EC P-256".into(),
    };
    let current = GenerationState {
        name: "2-ff".into(),
        hash: GenerationHash::from_bytes([1; 32]),
        digest: Some(Digest::from_bytes([2; 32])),
        shaped: ContentHash::of(b""),
        facts: Arc::new(SetFacts { leaves: vec![leaf], keys: vec![key] }),
        carried: Vec::new(),
        since: NOW - DAY,
    };
    let install = InstallState {
        set: parsed("a"),
        dest: parsed("/etc/ssl/a"),
        layout: Layout::Generations,
        made: None,
        current: Some(current),
        former: Vec::new(),
        next: None,
        returned: None,
        marks: mark.map(|mark| BTreeMap::from([(parsed("nginx"), mark)])).unwrap_or_default(),
    };
    let mut state = State::empty("h".into(), parsed("/etc/certsync/certsync.yaml"));
    state.installs.push(install);
    state
}

/// Of a spec without sets, in which a key is revoked.
fn status_after(state: &State, last_run: Option<i128>, last_success: Option<i128>) -> StatusReport {
    let revoked = BTreeSet::from([KeyFingerprint::of_spki(b"key")]);
    let seen = |_: &_, _: &_| Seen { result: None, drift: Drift::No, error: None };
    let (now, sets, hooks, errors) = (NOW, [].as_slice(), [].as_slice(), Vec::new());
    status_of(state, Inputs { server: None, now, last_run, last_success, sets, hooks, revoked: &revoked, seen: &seen, errors })
}

#[test]
fn a_run_that_fails_in_the_second_in_which_another_succeeded_is_told() {
    let nanoseconds = i128::from(NOW) * 1_000_000_000;
    for (run, success, failed) in [(5, Some(5), false), (5, Some(6), false), (6, Some(5), true), (5, None, true)] {
        let told = status_after(&state(None), Some(nanoseconds + run), success.map(|success| nanoseconds + success));
        assert_eq!((told.last_run, told.last_success), (Some(NOW), success.map(|_| NOW)));
        assert_eq!(told.last_run_failed, failed, "{run} {success:?}");
    }
    assert!(!status_after(&state(None), None, None).last_run_failed);
}

#[test]
fn a_first_install_that_was_cut_off_is_there_and_unfinished() {
    let mut state = state(None);
    state.installs[0].next = state.installs[0].current.take();
    let status = status_after(&state, None, None);
    let [install] = status.installs.as_slice() else { unreachable!() };
    assert!(install.unfinished);
    assert_eq!((install.generation.as_deref(), install.days_left), (Some("2-ff"), Some(10)));
    let mut alone = self::install("a", 60);
    alone.unfinished = true;
    let told = verdict(&super::tests::status(vec![alone]), Thresholds::default());
    assert_eq!(told.line, "WARNING - a at /etc/ssl/a: unfinished: the next apply goes on");
}

#[test]
fn a_place_that_the_spec_no_longer_has_is_an_orphan() {
    let status = status_after(&state(None), None, None);
    let [install] = status.installs.as_slice() else { unreachable!() };
    assert!(install.orphaned && install.revoked);
    assert_eq!((install.days_left, install.names.join(" ")), (Some(10), "a b".to_owned()));
}

#[test]
fn a_state_with_impossible_dates_and_names_can_still_be_told() {
    for end in [i64::MIN, i64::MAX] {
        let mut state = state(None);
        let Some(current) = &mut state.installs[0].current else { unreachable!() };
        current.name = "2-\u{9b}31m".into();
        Arc::make_mut(&mut current.facts).leaves[0].not_after = end;
        let status = status_after(&state, None, None);
        let told = super::json(&status) + &table(&status) + &verdict(&status, THREE_WEEKS).line;
        assert!(!told.contains('\u{9b}') && told.contains("2-\\u009b31m"), "{told}");
    }
}

#[test]
fn a_hook_is_owed_until_its_mark_is_the_installed_generation() {
    let mark = |run: Option<&str>, verify: Option<&str>| Some(Mark { run: run.map(str::to_owned), verify: verify.map(str::to_owned) });
    let owed = |hook: &Hook, mark: Option<Mark>| super::owed(hook, state(mark).installs.first());
    let both = hook(true, true);
    assert_eq!(owed(&both, None), Owed::Run);
    assert_eq!(owed(&both, mark(Some("1-ee"), Some("1-ee"))), Owed::Run);
    assert_eq!(owed(&both, mark(Some("2-ff"), None)), Owed::Verify);
    assert_eq!(owed(&both, mark(Some("2-ff"), Some("2-ff"))), Owed::No);
    assert_eq!(owed(&hook(true, false), mark(Some("2-ff"), None)), Owed::No);
    assert_eq!(owed(&hook(false, true), mark(Some("2-ff"), Some("2-ff"))), Owed::No);
    assert_eq!(super::owed(&both, None), Owed::No, "nothing is installed");
}
