//! The specs of `examples/` are right, on each host that they are for.

use super::top;
use super::yaml::without_accounts;
use assert_cmd::Command;
use std::fs;
use std::path::Path;

/// The names below `servers:`; none where it is for one host.
fn servers(spec: &str) -> Vec<String> {
    let below = spec.lines().skip_while(|line| *line != "servers:").skip(1).take_while(|line| line.is_empty() || line.starts_with(' '));
    let names = below.filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with(|c: char| c.is_alphabetic()));
    names.filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned()).collect()
}

fn validate(spec: &str, example: &Path, more: &[&str]) -> Result<String, String> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let done = Command::new(env!("CARGO_BIN_EXE_certsync"))
        .args(["validate", "-", "--at"])
        .arg(dir.path().join("certsync.yaml"))
        .args(more)
        .env_remove("CERTSYNC_SPEC")
        .env_remove("CERTSYNC_AS")
        .env("CERTSYNC_STATE_DIR", dir.path().join("state"))
        .write_stdin(spec)
        .output()
        .expect("certsync runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(format!("{}: {more:?}: {}", example.display(), text(&done.stderr))) }
}

#[test]
fn every_example_is_valid_for_each_of_its_hosts() {
    let mut hosts = 0;
    for example in fs::read_dir(top().join("examples")).expect("examples").flatten().map(|entry| entry.path()).filter(|path| path.is_dir())
    {
        let spec = without_accounts(&fs::read_to_string(example.join("certsync.yaml")).expect("a spec"));
        let servers = servers(&spec);
        if servers.is_empty() {
            validate(&spec, &example, &[]).expect("valid");
        }
        for server in &servers {
            let told = validate(&spec, &example, &["--as", server]).expect("valid");
            assert!(told.contains(&format!("valid for {server}: ")), "{told}");
            hosts += 1;
        }
    }
    assert_eq!(hosts, 3 + 4 + 5, "every server of the three for many hosts");
}
