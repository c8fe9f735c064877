//! What the tools of role authors say of the role.

use super::{environment, newest};
use crate::hosts::Hosts;
use crate::{is_left_out, top};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A copy of the role in a folder of its name, since the tools leave things beside what they look at.
fn copied() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let status = Command::new("cp").arg("-r").arg(top().join("roles/ansible/certsync")).arg(folder.path()).status();
    assert!(status.expect("cp runs").success());
    folder
}

/// What a program of the newer ansible-core says about the role, stdout and stderr, and whether it is content; nothing where it is not installed.
fn told_by(program: &str, arguments: &[&str], folder: &Path) -> Option<(bool, String)> {
    let programs = environment()?.join("bin");
    let path = std::env::join_paths([programs.clone(), "/usr/bin".into(), "/bin".into()]).expect("a PATH");
    let mut command = Command::new(programs.join(program));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder)
        .env("LC_ALL", "C.UTF-8")
        .env("NO_COLOR", "1")
        .env("ANSIBLE_NOCOLOR", "1");
    command.env("ANSIBLE_ROLES_PATH", folder.parent().unwrap_or(folder)).env("ANSIBLE_COLLECTIONS_PATH", folder);
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), text))
}

#[test]
fn ansible_lint_has_nothing_to_say_by_its_strictest_profile() {
    let folder = copied();
    let arguments = ["--offline", "--strict", "--profile", "production", "."];
    if let Some((is_content, text)) = told_by("ansible-lint", &arguments, &folder.path().join("certsync")) {
        assert!(is_content && text.contains("Passed: 0 failure(s), 0 warning(s)"), "{text}");
    }
}

#[test]
fn ansible_doc_shows_the_role_and_its_modules() {
    let folder = copied();
    let role = folder.path().join("certsync");
    for (kind, place, name, words) in [
        (
            "role",
            "..",
            "certsync",
            ["Bring TLS certificates to a host", "The first half, without a spec", "certsync_spec", "certsync_remote_plan"],
        ),
        ("module", "library", "certsync", ["Runs `certsync apply'", "verify_content", "directory_mode", "EXAMPLES:"]),
        ("module", "library", "certsync_key", ["Makes the key pair", "certsync_public_key", "state_dir", "RETURN VALUES:"]),
    ] {
        let option = if kind == "role" { "-r" } else { "-M" };
        if let Some((is_content, text)) = told_by("ansible-doc", &["-t", kind, option, place, name], &role) {
            assert!(is_content, "{text}");
            for word in words {
                assert!(text.contains(word), "no `{word}`: {text}");
            }
        }
    }
}

#[test]
fn ansible_test_finds_the_modules_as_they_are_documented() {
    let Some(environment) = environment() else { return };
    let output = Command::new("find").arg(&environment).args(["-path", "*/validate-modules/validate.py"]).output().expect("find runs");
    let program = String::from_utf8(output.stdout).expect("a path in UTF-8");
    let folder = tempfile::tempdir().expect("a folder");
    // ansible-test looks at collections only, and would fetch an installer of pip for itself: what it runs in the end is run.
    let collection = folder.path().join("ansible_collections/certsync/certsync");
    fs::create_dir_all(collection.join("plugins")).expect("a folder");
    let status =
        Command::new("cp").arg("-r").arg(top().join("roles/ansible/certsync/library")).arg(collection.join("plugins/modules")).status();
    assert!(status.expect("cp runs").success());
    let arguments =
        ["--arg-spec", "-w", "--collection", "ansible_collections/certsync/certsync", "--collection-version", "0.1.0", "plugins/modules"];
    let arguments: Vec<&str> = [program.trim()].into_iter().chain(arguments).collect();
    let path = std::env::join_paths([environment.join("bin"), "/usr/bin".into(), "/bin".into()]).expect("a PATH");
    let mut command = Command::new(environment.join("bin/python"));
    command.args(arguments).current_dir(&collection).env("PATH", path).env("ANSIBLE_COLLECTIONS_PATH", folder.path());
    let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // It asks for the licence of Ansible's own modules.
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains(" Emissing-gplv3-license ")).collect();
    assert!(lines.is_empty() && text.contains("plugins/modules/certsync.py:"), "{text}");
}

/// Says where the defaults and their description differ; what is computed is left out.
const COMPARE: &str = r#"
import sys, yaml
role = sys.argv[1]
defaults = yaml.safe_load(open(role + "/defaults/main.yml"))
entries = yaml.safe_load(open(role + "/meta/argument_specs.yml"))["argument_specs"]
assert entries["main"]["options"] == entries["configure"]["options"]
options = entries["main"]["options"]
for name in sorted(set(defaults) ^ set(options)):
    print(name, "is only in one of them")
for name in sorted(set(defaults) & set(options)):
    default = defaults[name]
    if not (isinstance(default, str) and "{{" in default) and options[name].get("default") != default:
        print(name, "has two defaults")
"#;

#[test]
fn every_variable_has_one_default_and_is_described() {
    let role = top().join("roles/ansible/certsync");
    let output = Command::new("/usr/bin/python3").args(["-c", COMPARE]).arg(role).output();
    let output = match output {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("No module named 'yaml'") => output,
        _ => {
            eprintln!("skipped: every_variable_has_one_default_and_is_described: no Python with yaml");
            return;
        }
    };
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn molecule_runs_the_role_twice() {
    if is_left_out("molecule_runs_the_role_twice", &["openssl", "cron", "sudo"]) {
        return;
    }
    let mut hosts = Hosts::new();
    super::control(&mut hosts, "web1", [10, 0, 0, 11].into());
    let host = hosts.host("web1");
    let Some(programs) = newest(host) else { return };
    let output = host.output(&format!(
        "cp /usr/bin/certsync /srv/built && cd /srv/roles/certsync && CERTSYNC_BINARY=/srv/built PATH={programs}:$PATH NO_COLOR=1 molecule test 2>&1"
    ));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("default > idempotence: Executed: Successful"), "{text}");
}
