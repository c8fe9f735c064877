//! Faulty specs and what is said about them, word for word: `tests/cases/spec/<name>/spec.yaml` and `expected.txt`.
//!
//! With `CERTSYNC_REGENERATE=1` the expectations are written anew; read the difference before it is committed.
//! A case whose name begins with `as_user_` is resolved for a plain user, the others for root.

use certsync::base::AbsPath;
use certsync::host::users::User;
use certsync::spec::{Found, FoundKind, Running, SpecInput, Surroundings, Trust, load_with};
use std::fs;
use std::path::{Path, PathBuf};

fn user(name: &str) -> Option<User> {
    let (name, id) = match name {
        "root" | "0" => ("root", 0),
        "ushio" | "1000" => ("ushio", 1000),
        "www-data" | "33" => ("www-data", 33),
        _ => return None,
    };
    Some(User { name: name.into(), uid: id, gid: id, home: format!("/home/{name}") })
}

fn group(name: &str) -> Option<(String, u32)> {
    let (name, id) = match name {
        "root" | "0" => ("root", 0),
        "ushio" | "1000" => ("ushio", 1000),
        "ssl-cert" => ("ssl-cert", 110),
        _ => return None,
    };
    Some((name.into(), id))
}

/// A made-up host: certbot's directory, a link into it, and a second mount of one source.
fn surroundings(name: &str) -> Surroundings {
    let me = if name.starts_with("as_user_") { "ushio" } else { "root" };
    let user_of = user(me).expect("one of the users above");
    let group_of = group(me).expect("one of the groups above");
    Surroundings {
        user,
        group,
        running: Running { groups: vec![user_of.gid], user: user_of, group: group_of },
        look: |path| {
            let (inode, kind) = match path.to_str()? {
                "/etc/letsencrypt/live/example.com" | "/srv/mount" => (77, FoundKind::Dir),
                "/srv/link" => (5, FoundKind::Link),
                "/etc/letsencrypt/renewal" => (6, FoundKind::Dir),
                known @ ("/" | "/etc" | "/etc/letsencrypt" | "/etc/letsencrypt/live" | "/srv") => {
                    (1000 + known.len() as u64, FoundKind::Dir)
                }
                _ => return None,
            };
            Some(Found { inode: (1, inode), kind, uid: 0, shared: false })
        },
        target: |path| (path == Path::new("/srv/link")).then(|| PathBuf::from("../etc/./letsencrypt/live/example.com")),
        trust: Trust::Skip,
        host_name: || "host.example.com".into(),
    }
}

/// Everything said about the spec of a case, with the case's own directory left out.
fn said(directory: &Path) -> String {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let path = AbsPath::try_from(directory.join("spec.yaml")).expect("the tests lie at a plain path");
    match load_with(SpecInput::File(&path), None, &surroundings(name)) {
        Ok(_) => String::from("no fault\n"),
        Err(faults) => faults.to_string().replace(&format!("{}/", directory.display()), ""),
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/spec");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder).expect("the cases").filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    cases.sort();
    cases
}

#[test]
fn every_faulty_spec_is_told_its_faults_word_for_word() {
    let regenerate = std::env::var_os("CERTSYNC_REGENERATE").is_some_and(|value| value == "1");
    let mut failed = Vec::new();
    for case in cases() {
        let (found, file) = (said(&case), case.join("expected.txt"));
        if regenerate {
            fs::write(&file, &found).expect("an expectation is written");
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if found != expected || found == "no fault\n" {
            failed.push(format!("--- {}\nexpected:\n{expected}\nfound:\n{found}", case.display()));
        }
    }
    assert!(failed.is_empty(), "{} cases differ (CERTSYNC_REGENERATE=1 writes them anew):\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn there_are_enough_faulty_specs() {
    assert!(cases().len() >= 45, "{}", cases().len());
}
