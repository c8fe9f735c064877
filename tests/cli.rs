//! The command line: what it takes, what it refuses, how it answers.

mod support;

use certsync::commands::{SchemaOf, schema_of};
use std::path::Path;
use std::process::{Command, Stdio};
use support::Test;

#[test]
fn a_wrong_command_line_exits_1() {
    Test::new()
        .args(["plan", "--xyzzy"])
        .stderr(
            "\
certsync: error: command line: unexpected argument '--xyzzy' found
  hint: certsync plan --help shows what can be written
",
        )
        .status(1)
        .run();
    Test::new()
        .args(["aply"])
        .stderr("certsync: error: command line: unrecognized subcommand 'aply'\n  hint: did you mean `apply`?\n")
        .status(1)
        .run();
}

#[test]
fn a_wrong_command_line_of_status_exits_3() {
    Test::new()
        .args(["status", "--warn", "21"])
        .stderr(
            "\
certsync: error: command line: invalid value '21' for '--warn <DURATION>': not a duration: 21 (write 30s, 15m, 2h, 21d or 3w)
  hint: certsync status --help shows what can be written
",
        )
        .status(3)
        .run();
    Test::new().args(["--as", "x", "status", "--frob"]).stderr_has("unexpected argument '--frob'").status(3).run();
}

#[test]
fn no_command_shows_help_and_exits_1() {
    Test::new().stderr_has("Usage: certsync [OPTIONS] <COMMAND>").status(1).run();
}

#[test]
fn help_and_version_are_answers() {
    Test::new().args(["--version"]).stdout(concat!("certsync ", env!("CARGO_PKG_VERSION"), "\n")).run();
    for command in [
        "plan",
        "apply",
        "validate",
        "spec",
        "status",
        "rollback",
        "remove",
        "deploy-hook",
        "forget",
        "keygen",
        "authorized-keys",
        "known-hosts",
        "schema",
        "completions",
        "man",
    ] {
        Test::new().args([command, "--help"]).stdout_has(&format!("Usage: certsync {command}")).run();
    }
}

/// A spec of two hosts, one of them with accounts that this machine does not have.
const TWO_HOSTS: &str = "\
version: 1
servers:
  hub: { address: hub.test }
  edge: { address: edge.test, upstream: hub }
certs:
  a:
    source: src/*
    targets: edge
    install: { dest: \"/srv/{name}\", group: nobody-has-this-group, hooks: [reload] }
hooks: { reload: { run: 'true', user: nobody-is-called-this } }
";

#[test]
fn the_part_of_another_host_names_its_accounts_as_they_are_written() {
    let part = Test::new().spec(TWO_HOSTS).args(["spec", "[DIR]/certsync.yaml", "--as", "edge"]).any_stdout().run().stdout;
    for word in ["group: nobody-has-this-group", "user: nobody-is-called-this", "/src/*", "origin: hub", "upstream", "address: hub.test"] {
        assert!(part.contains(word), "{word}:\n{part}");
    }
    assert!(!part.contains("owner:"), "who runs certsync there is not known here:\n{part}");
    Test::new()
        .spec(TWO_HOSTS)
        .args(["validate", "[DIR]/certsync.yaml", "--as", "edge"])
        .stderr_has("no group `nobody-has-this-group` on this host")
        .status(1)
        .run();
    Test::new()
        .spec(TWO_HOSTS)
        .args(["validate", "[DIR]/certsync.yaml", "--as", "hub"])
        .stdout("[DIR]/certsync.yaml: valid for hub: 1 pattern\n")
        .run();
    let hub = Test::new().spec(TWO_HOSTS).args(["spec", "[DIR]/certsync.yaml"]).env("CERTSYNC_AS", "hub").any_stdout().run().stdout;
    assert!(hub.contains("install: []") && !hub.contains("nobody-has-this-group"), "{hub}");
}

#[test]
fn nobody_knows_a_host_that_is_not_among_the_servers() {
    Test::new()
        .spec(TWO_HOSTS)
        .args(["spec", "[DIR]/certsync.yaml", "--as", "egde"])
        .stderr(
            "\
certsync: error: [DIR]/certsync.yaml:2:1: no server `egde`, which this host is said to be
  2 | servers:
    | ^^^^^^^
  hint: did you mean `edge`?
",
        )
        .status(1)
        .run();
}

#[test]
fn where_there_are_no_servers_nobody_can_be_asked_for_a_plan() {
    let stderr = "certsync: error: [DIR]/certsync.yaml: names no servers\n  hint: there is nobody to be asked: leave --remote out\n";
    Test::new()
        .spec("version: 1\ncerts:\n  a: { source: [DIR]/source, install: [DIR]/live }\n")
        .args(["plan", "--remote", "[DIR]/certsync.yaml"])
        .stderr(stderr)
        .status(1)
        .run();
}

#[test]
fn a_spec_on_stdin_needs_a_place() {
    for command in ["plan", "validate", "spec"] {
        Test::new()
            .args([command, "-"])
            .stdin("version: 1\n")
            .stderr(
                "\
certsync: error: command line: a spec on stdin needs --at PATH
  hint: PATH is the file that the spec stands for; relative paths in it start there
",
            )
            .status(1)
            .run();
    }
    Test::new().args(["plan", "--at", "/x"]).stderr_has("--at goes with a spec on stdin").status(1).any_stdout().run();
    Test::new().args(["apply", "-"]).stderr_has("only plan, validate and spec read a spec from stdin").status(1).run();
}

const SPEC: &str = "\
version: 1
hooks:
  reload: { run: [\"true\"] }
certs:
  example.com:
    source: live
    install: { dest: ssl, hooks: [reload] }
";

#[test]
fn a_right_spec_is_said_to_be_valid() {
    Test::new().spec(SPEC).args(["validate"]).stdout("[DIR]/certsync.yaml: valid: 1 set, 1 hook\n").run();
    Test::new().spec(SPEC).args(["validate", "-q"]).run();
    Test::new().spec(SPEC).args(["validate", "./certsync.yaml"]).env("CERTSYNC_SPEC", "").stdout_has(": valid: ").run();
    Test::new().args(["validate", "-", "--at", "sub/x.yaml"]).stdin(SPEC).stdout("[DIR]/sub/x.yaml: valid: 1 set, 1 hook\n").run();
}

#[test]
fn every_command_refuses_a_faulty_spec_with_the_same_words() {
    let faulty = SPEC.replace("hooks: [", "hoks: [");
    for command in ["validate", "spec"] {
        Test::new()
            .spec(&faulty)
            .args([command])
            .stderr(
                "\
certsync: error: [DIR]/certsync.yaml:7:27: unknown key `hoks`
  7 |     install: { dest: ssl, hoks: [reload] }
    |                           ^^^^
  hint: did you mean `hooks`?
",
            )
            .status(1)
            .run();
    }
}

#[test]
fn the_resolved_spec_is_a_spec_that_resolves_to_itself() {
    let first = Test::new().spec(SPEC).args(["spec"]).stdout_has("dest: [DIR]/ssl\n").run();
    let text = first.stdout.replace("[DIR]", &first.dir().display().to_string());
    first.again().args(["spec", "-", "--at", "other.yaml"]).stdin(&text).stdout(&first.stdout).run();
}

#[test]
fn a_run_that_could_not_start_answers_in_json_too() {
    let answer = Test::new().args(["apply", "--format", "json", "/nowhere/certsync.yaml"]).any_stdout().any_stderr().status(1).run();
    let report: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(report["failed"], true);
    assert_eq!(report["changed"], false);
    assert!(report["errors"][0]["kind"].is_string(), "{report}");
    assert!(answer.stderr.starts_with("certsync: error: "), "{}", answer.stderr);
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_certsync"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()), (Some(0), String::new()));
}

#[test]
fn a_full_disk_under_the_answer_is_an_error() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let output = Command::new(env!("CARGO_BIN_EXE_certsync")).args(["schema", "state"]).stdout(full).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("certsync: error: stdout: "));
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        Test::new().args(["completions", shell]).stdout_has("deploy-hook").run();
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    Test::new().args(["man"]).stdout_has(".TH certsync 1").run();
    let answer = Test::new().file("man/.keep", "").args(["man", "--dir", "man"]).run();
    let mut pages: Vec<String> = std::fs::read_dir(answer.dir().join("man"))
        .expect("a directory")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != ".keep")
        .collect();
    pages.sort();
    assert_eq!(
        pages,
        [
            "certsync-apply.1",
            "certsync-authorized-keys.1",
            "certsync-completions.1",
            "certsync-deploy-hook.1",
            "certsync-forget.1",
            "certsync-gate.1",
            "certsync-keygen.1",
            "certsync-known-hosts.1",
            "certsync-man.1",
            "certsync-plan.1",
            "certsync-remove.1",
            "certsync-rollback.1",
            "certsync-schema.1",
            "certsync-spec.1",
            "certsync-status.1",
            "certsync-trigger.1",
            "certsync-validate.1",
            "certsync.1",
        ]
    );
}

/// With `CERTSYNC_REGENERATE=1` the files are written anew.
#[test]
fn the_schema_files_are_what_the_program_prints() {
    for (what, name) in [
        (SchemaOf::Spec, "spec"),
        (SchemaOf::State, "state"),
        (SchemaOf::Plan, "plan"),
        (SchemaOf::Report, "report"),
        (SchemaOf::Status, "status"),
        (SchemaOf::FleetStatus, "fleet-status"),
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schema/{name}.schema.json"));
        let schema = schema_of(what);
        if std::env::var_os("CERTSYNC_REGENERATE").is_some_and(|value| value == "1") {
            std::fs::write(&file, &schema).expect("a schema is written");
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == schema,
            "schema/{name}.schema.json is not what `certsync schema {name}` prints: run CERTSYNC_REGENERATE=1 cargo test --test cli"
        );
        Test::new().args(["schema", name]).stdout(&schema).run();
    }
}
