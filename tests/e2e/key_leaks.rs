//! No byte of a private key leaves `store/` and `dest`.

use crate::support::leaks::{Recorder, records, scan};
use crate::support::pki::Authority;
use crate::{needs, support::Sandbox};
use std::path::PathBuf;

#[test]
fn the_search_finds_a_line_of_a_key_wherever_it_is_planted() {
    needs!("openssl");
    let folder = tempfile::tempdir().expect("a folder");
    let key = Authority::new(folder.path()).leaf(&["planted.test"]).key;
    let recorder = Recorder::new("planted");
    recorder.learn_keys(folder.path());
    recorder.keep_output(b"nothing to see\n", b"");
    assert!(scan(&[recorder.folder().to_owned()]).leaks.is_empty());
    let line = key.lines().nth(1).expect("a line of the key");
    recorder.keep_output(format!("{{\"error\":\"{line}\\n\"}}").as_bytes(), b"");
    let found = scan(&[recorder.folder().to_owned()]);
    std::fs::remove_dir_all(recorder.folder()).expect("the planted record away again");
    assert_eq!(found.leaks, [recorder.folder().join("output")].into());
}

#[test]
#[ignore = "runs last, by scripts/test, over what the whole suite recorded"]
fn nothing_that_the_suite_recorded_holds_a_line_of_a_private_key() {
    let suite: PathBuf = records();
    assert!(suite.is_dir(), "nothing was recorded in {}: run the suite first", suite.display());
    let found = scan(&[suite]);
    assert!(found.leaks.is_empty(), "lines of private keys in {:?}", found.leaks);
    assert!(found.lines > 0 && found.bytes > 0, "the suite recorded no key or no output: nothing was proved");
    println!("{} lines of private keys looked for in {} bytes", found.lines, found.bytes);
}

#[test]
fn a_sandbox_records_the_state_but_not_the_store() {
    let sandbox = Sandbox::new();
    sandbox.write("state/state.json", "{}");
    sandbox.write(
        "state/store/a/privkey.pem",
        "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEH\n-----END PRIVATE KEY-----\n",
    );
    let record = records().join("key_leaks-a_sandbox_records_the_state_but_not_the_store");
    drop(sandbox);
    assert!(record.join("state/state.json").is_file());
    assert!(!record.join("state/store").exists());
    assert!(std::fs::read_to_string(record.join("key-lines")).expect("key lines").contains("MIGHAgEAMBM"));
}
