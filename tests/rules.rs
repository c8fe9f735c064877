//! What is declared is used. Who may use whom, and who talks to the system, is held by `architecture.rs`.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_dependency_is_used() {
    let manifest = read(&top().join("Cargo.toml"));
    let texts =
        |folders: &[&str]| folders.iter().flat_map(|folder| rust_files(&top().join(folder))).map(|file| read(&file)).collect::<String>();
    let (product, tests) = (texts(&["src"]), texts(&["src", "tests", "benches"]));
    let mut unused = Vec::new();
    for (section, used_in) in [("[dependencies]", &product), ("[dev-dependencies]", &tests)] {
        for name in keys(&manifest, section) {
            if !used_in.contains(&format!("{}::", name.replace('-', "_"))) {
                unused.push(format!("{section} {name}"));
            }
        }
    }
    assert!(unused.is_empty(), "{}", unused.join("\n"));
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn keys(manifest: &str, section: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| line.trim() != section).skip(1).take_while(|line| !line.starts_with('['));
    let found: Vec<String> =
        lines.filter_map(|line| line.split_once('=')).map(|(key, _)| key.trim().to_owned()).filter(|key| !key.starts_with('#')).collect();
    assert!(!found.is_empty(), "{section} was not found");
    found
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
