use super::{Detail, Paint, json, text};
use crate::base::{AbsPath, Error, ErrorKind, SetName};
use crate::plan::{
    Change, Due, HookPlan, HookReport, HookResult, InstallPlan, InstallReport, Outcome, Phase, Plan, Reason, Report, SetPlan, SetReport,
    Tense,
};

fn name(text: &str) -> SetName {
    text.parse().unwrap_or_else(|error| unreachable!("{error}"))
}

fn dest(text: &str) -> AbsPath {
    text.parse().unwrap_or_else(|error| unreachable!("{error}"))
}

fn change(path: &str, before: Option<&str>, after: Option<&str>) -> Change {
    Change { path: path.into(), before: before.map(str::to_owned), after: after.map(str::to_owned) }
}

fn install(at: &str, result: Outcome, diff: Vec<Change>) -> InstallReport {
    InstallReport { dest: dest(at), result, changed: result.is_change(), reason: None, diff, notes: Vec::new(), error: None }
}

fn set(called: &str, result: Outcome, reason: Option<Reason>, installs: Vec<InstallReport>) -> SetReport {
    SetReport { name: name(called), digest: None, result, reason, installs, error: None, warnings: Vec::new() }
}

fn hook(called: &str, phase: Phase, result: HookResult, status: Option<i32>) -> HookReport {
    let name = called.parse().unwrap_or_else(|error| unreachable!("{error}"));
    HookReport { name, set: None, phase, result, status, output: String::new() }
}

fn report(sets: Vec<SetReport>, hooks: Vec<HookReport>, tense: Tense) -> Report {
    let mut report = Report::new(None);
    (report.sets, report.hooks) = (sets, hooks);
    report.settle(tense);
    report
}

fn plain(report: &Report, tense: Tense) -> String {
    text(report, tense, Paint::No, Detail::Changes)
}

#[test]
fn a_renewal_is_a_header_a_diff_the_hooks_and_a_sum() {
    let diff = vec![
        change("fullchain.pem", Some("subject: CN=a\nserial: 01\nmode: -rw-r--r--"), Some("subject: CN=a\nserial: 02\nmode: -rw-r--r--")),
        change("privkey.pem", None, Some("private key: EC P-256, SHA256:abc")),
        change(".", Some("mode: drwxr-xr-x"), Some("mode: drwxr-x---")),
    ];
    let sets = vec![
        set("a", Outcome::Installed, Some(Reason::Renewed), vec![install("/etc/ssl/a", Outcome::Installed, diff)]),
        set("b", Outcome::Unchanged, None, vec![install("/etc/ssl/b", Outcome::Unchanged, Vec::new())]),
    ];
    let hooks = vec![hook("nginx", Phase::Check, HookResult::Due, None), hook("nginx", Phase::Run, HookResult::Due, None)];
    let report = report(sets, hooks, Tense::Plan);
    assert!(report.changed && !report.failed);
    assert_eq!(
        plain(&report, Tense::Plan),
        "\
a: to install (renewed)
--- /etc/ssl/a/fullchain.pem
+++ /etc/ssl/a/fullchain.pem
@@ -1,3 +1,3 @@
 subject: CN=a
-serial: 01
+serial: 02
 mode: -rw-r--r--
--- /dev/null
+++ /etc/ssl/a/privkey.pem
@@ -0,0 +1 @@
+private key: EC P-256, SHA256:abc
--- /etc/ssl/a
+++ /etc/ssl/a
@@ -1 +1 @@
-mode: drwxr-xr-x
+mode: drwxr-x---
hook nginx: check, run
plan: 1 to install, 1 unchanged; hooks: nginx
"
    );
}

#[test]
fn nothing_to_do_is_one_line() {
    let sets = vec![set("b", Outcome::Unchanged, None, vec![install("/etc/ssl/b", Outcome::Unchanged, Vec::new())])];
    let report = report(sets, Vec::new(), Tense::Plan);
    assert_eq!(plain(&report, Tense::Plan), "nothing to do: 1 unchanged\n");
    assert_eq!(plain(&Report::new(None), Tense::Done), "nothing to do\n");
    let all = text(&report, Tense::Plan, Paint::No, Detail::All);
    assert_eq!(all, "b: unchanged\nnothing to do: 1 unchanged\n");
}

#[test]
fn an_owed_hook_alone_is_a_change() {
    let sets = vec![set("b", Outcome::Unchanged, Some(Reason::Hook), vec![install("/etc/ssl/b", Outcome::Unchanged, Vec::new())])];
    let report = report(sets, vec![hook("nginx", Phase::Verify, HookResult::Owed, None)], Tense::Plan);
    assert!(report.changed && !report.failed);
    assert_eq!(plain(&report, Tense::Plan), "b: hook owed\nhook nginx: verify (owed)\nplan: 1 unchanged; hooks: nginx\n");
}

#[test]
fn a_failure_is_told_in_the_report_and_as_an_error() {
    let mut refused = set("a", Outcome::Refused, Some(Reason::Renewed), vec![install("/etc/ssl/a", Outcome::Unchanged, Vec::new())]);
    refused.error = Some(Error::new(ErrorKind::Judgement, "a", "the leaf has expired").hint("renew it"));
    refused.warnings.push("what is installed ends in 3 days".into());
    let mut failed = hook("nginx", Phase::Check, HookResult::Failed, Some(1));
    failed.output = "nginx: [emerg] no\n".into();
    let report = report(vec![refused], vec![failed, hook("nginx", Phase::Run, HookResult::Owed, None)], Tense::Done);
    assert!(!report.changed && report.failed);
    assert_eq!(
        plain(&report, Tense::Done),
        "\
a: refused (renewed)
  error: the leaf has expired
  warning: what is installed ends in 3 days
hook nginx: check failed (exit status 1), run owed
applied: 1 refused; hooks: nginx failed
"
    );
    let failures: Vec<(String, String)> =
        report.failures().into_iter().map(|failure| (failure.error.to_string(), failure.output)).collect();
    assert_eq!(
        failures,
        [
            ("a: the leaf has expired".to_owned(), String::new()),
            ("hook nginx: check failed with exit status 1".to_owned(), "nginx: [emerg] no\n".to_owned()),
        ]
    );
}

#[test]
fn places_that_differ_have_lines_of_their_own() {
    let mut broken = install("/b", Outcome::Failed, Vec::new());
    broken.error = Some(Error::new(ErrorKind::Install, "/b", "read-only file system"));
    let mut noted = install("/a", Outcome::Installed, vec![change("x", None, Some("1"))]);
    noted.notes.push("was there before and keeps its mode".into());
    let report = report(vec![set("s", Outcome::Failed, Some(Reason::New), vec![noted, broken])], Vec::new(), Tense::Done);
    assert!(report.changed && report.failed);
    assert_eq!(
        plain(&report, Tense::Done),
        "\
s: failed (new)
  /a: installed
  note: /a: was there before and keeps its mode
--- /dev/null
+++ /a/x
@@ -0,0 +1 @@
+1
  error: /b: read-only file system
applied: 1 installed, 1 failed
"
    );
}

#[test]
fn the_last_line_tells_good_hooks_from_failed_ones_and_that_errors_occurred() {
    let quiet = || set("b", Outcome::Unchanged, None, vec![install("/b", Outcome::Unchanged, Vec::new())]);
    let hooks = vec![
        hook("one", Phase::Run, HookResult::Ok, Some(0)),
        hook("two", Phase::Run, HookResult::Ok, Some(0)),
        hook("two", Phase::Verify, HookResult::Failed, None),
        hook("three", Phase::Run, HookResult::Owed, None),
    ];
    let last = |report: &Report, tense| plain(report, tense).lines().last().map(str::to_owned).unwrap_or_default();
    let mut told = report(vec![quiet()], hooks, Tense::Done);
    assert_eq!(last(&told, Tense::Done), "applied: 1 unchanged; hooks: one, two failed, three owed");
    told.hooks.clear();
    told.errors.push(Error::new(ErrorKind::State, "/s/state.json", "no space left on device"));
    told.settle(Tense::Done);
    assert_eq!(last(&told, Tense::Done), "applied: 1 unchanged; 1 error");
    told.sets[0].error = Some(Error::new(ErrorKind::State, "/s/store/b", "no space left on device"));
    assert_eq!(last(&told, Tense::Done), "applied: 1 unchanged; 2 errors");
}

#[test]
fn an_error_names_the_file_it_is_about() {
    let mut failed = set("a", Outcome::Failed, None, vec![install("/d", Outcome::Failed, Vec::new())]);
    failed.error = Some(Error::new(ErrorKind::Source, "/src/a/key.pem", "permission denied"));
    failed.installs[0].error = Some(Error::new(ErrorKind::Install, "/d/cert.pem", "is a directory"));
    let report = report(vec![failed], Vec::new(), Tense::Done);
    assert_eq!(
        plain(&report, Tense::Done),
        "a: failed\n  error: /src/a/key.pem: permission denied\n  error: /d/cert.pem: is a directory\napplied: 1 failed\n"
    );
}

#[test]
fn a_removed_orphan_is_called_removed() {
    let mut gone = install("/d", Outcome::Orphaned, Vec::new());
    gone.changed = true;
    let mut removed = report(vec![set("a", Outcome::Orphaned, None, vec![gone])], Vec::new(), Tense::Done);
    removed.sets.push(set("b", Outcome::Orphaned, None, vec![install("/e", Outcome::Orphaned, Vec::new())]));
    assert_eq!(plain(&removed, Tense::Done), "a: removed\nb: orphaned\napplied: 1 removed, 1 orphaned\n");
}

#[test]
fn no_control_character_reaches_the_terminal() {
    let mut odd = set("a", Outcome::Repaired, Some(Reason::Drift), Vec::new());
    odd.installs.push(install("/a", Outcome::Repaired, vec![change("x\u{1b}", Some("a\r\nb\u{1b}[2J"), Some("c"))]));
    odd.installs[0].notes.push("\u{202e}note\n".into());
    odd.warnings.push("w\u{7}\u{9b}".into());
    let report = report(vec![odd], Vec::new(), Tense::Plan);
    for shown in [plain(&report, Tense::Plan), json(&report)] {
        assert!(!shown.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown}");
    }
}

#[test]
fn colour_is_only_what_was_asked_for() {
    let diff = vec![change("x", Some("a"), Some("b"))];
    let sets = vec![set("s", Outcome::Repaired, Some(Reason::Drift), vec![install("/d", Outcome::Repaired, diff)])];
    let report = report(sets, Vec::new(), Tense::Plan);
    let painted = text(&report, Tense::Plan, Paint::Yes, Detail::Changes);
    assert!(painted.contains("\u{1b}[31m-a\u{1b}[0m\n\u{1b}[32m+b\u{1b}[0m\n"), "{painted:?}");
    let stripped = ["0", "1", "31", "32", "33", "36"].iter().fold(painted, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
    assert_eq!(stripped, plain(&report, Tense::Plan));
}

#[test]
fn a_plan_becomes_a_report() {
    let hook = |due| HookPlan {
        name: "nginx".parse().unwrap_or_else(|error| unreachable!("{error}")),
        due,
        sets: vec![name("a")],
        phases: vec![Phase::Run, Phase::Verify],
        each: Vec::new(),
    };
    let plan = Plan {
        sets: vec![SetPlan {
            name: name("a"),
            digest: None,
            result: Outcome::Repaired,
            reason: Some(Reason::Drift),
            installs: vec![InstallPlan {
                reason: Some(Reason::Drift),
                changes: vec![change("x", Some("a"), Some("b"))],
                ..InstallPlan::untouched(&dest("/d"), Outcome::Repaired)
            }],
            error: None,
            warnings: Vec::new(),
        }],
        hooks: vec![hook(Due::Owed)],
    };
    let report = Report::of_plan(&plan, None);
    assert!(report.changed && !report.failed);
    assert_eq!(
        report.hooks.iter().map(|hook| (hook.phase, hook.result)).collect::<Vec<_>>(),
        [(Phase::Run, HookResult::Owed), (Phase::Verify, HookResult::Owed)]
    );
    assert!(report.sets[0].installs[0].changed);
}

#[test]
fn the_json_has_the_fields_of_the_contract() {
    let diff = vec![change("x", None, Some("b"))];
    let sets = vec![set("s", Outcome::Installed, Some(Reason::New), vec![install("/d", Outcome::Installed, diff)])];
    let report = report(sets, vec![hook("h", Phase::Run, HookResult::Ok, Some(0))], Tense::Done);
    let text = json(&report);
    assert!(text.ends_with("}\n"));
    let data: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let expected = serde_json::json!({
        "certsync": env!("CARGO_PKG_VERSION"), "server": null, "changed": true, "failed": false,
        "sets": [{
            "name": "s", "digest": null, "result": "installed", "reason": "new", "error": null, "warnings": [],
            "installs": [{
                "dest": "/d", "result": "installed", "changed": true, "notes": [], "error": null,
                "diff": [{"path": "x", "before": null, "after": "b"}],
            }],
        }],
        "hooks": [{"name": "h", "set": null, "phase": "run", "result": "ok", "status": 0, "output": ""}],
        "servers": [], "errors": [], "warnings": [],
    });
    assert_eq!(data, expected);
}
