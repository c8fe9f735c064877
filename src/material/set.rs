//! A set as read at one moment.

use super::certificate::Certificate;
use super::chain;
use super::contents::{Contents, Item, is_certificate_label};
use super::facts::{FileKind, SetFacts};
use super::key::Key;
use crate::base::{ContentHash, Digest, KeyFingerprint, RelPath, Secret};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// One file of a set.
pub struct MaterialFile {
    /// Its path within the set.
    pub path: RelPath,
    /// Its bytes; held as a secret whatever they are.
    pub bytes: Secret,
    /// SHA-256 of the bytes.
    pub sha256: ContentHash,
    /// What it was recognised as.
    pub kind: FileKind,
}

/// The bytes of a set as read at one moment, and what is known about them.
pub struct Material {
    files: Vec<MaterialFile>,
    contents: Vec<Arc<Contents>>,
    leaves: Vec<Arc<Certificate>>,
    digest: Digest,
    facts: Arc<SetFacts>,
}

impl Material {
    /// Takes the files of a set, in any order, and looks at each once. A path given twice keeps the first.
    pub fn new(mut files: Vec<(RelPath, Secret)>) -> Material {
        files.sort_by(|a, b| a.0.cmp(&b.0));
        files.dedup_by(|later, first| later.0 == first.0);
        let contents: Vec<Arc<Contents>> = files.iter().map(|(_, bytes)| Contents::read(bytes.expose())).collect();
        let files: Vec<MaterialFile> = files
            .into_iter()
            .zip(&contents)
            .map(|((path, bytes), found)| MaterialFile { path, sha256: bytes.sha256(), kind: found.kind, bytes })
            .collect();
        let leaves = leaves(&contents);
        let facts = Arc::new(facts(&contents, &leaves));
        let digest = Digest::of(files.iter().map(|file| (file.path.as_str(), &file.sha256)));
        Material { files, contents, leaves, digest, facts }
    }

    /// The files, sorted by path.
    pub fn files(&self) -> &[MaterialFile] {
        &self.files
    }

    /// The version of the set.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Leaves and keys; one in memory for all who record them.
    pub fn facts(&self) -> &Arc<SetFacts> {
        &self.facts
    }

    /// What an operator should know though it is no reason to refuse the set; each line names its file.
    pub fn warnings(&self) -> Vec<String> {
        let mut out: Vec<String> = self.each().flat_map(|(path, contents)| self.warnings_of(path, contents)).collect();
        out.extend(chain::unchecked(self));
        out
    }

    /// Paths and what the files hold.
    pub(super) fn each(&self) -> impl Iterator<Item = (&RelPath, &Contents)> {
        self.files.iter().map(|file| &file.path).zip(self.contents.iter().map(Arc::as_ref))
    }

    /// The leaves.
    pub(super) fn leaves(&self) -> &[Arc<Certificate>] {
        &self.leaves
    }

    /// Whether this certificate is a leaf.
    pub(super) fn is_leaf(&self, certificate: &Certificate) -> bool {
        self.leaves.iter().any(|leaf| leaf.fingerprint == certificate.fingerprint)
    }

    /// The files that hold a certificate, joined for a message.
    pub(super) fn files_with(&self, fingerprint: ContentHash) -> String {
        let holds = |contents: &Contents| contents.certificates().any(|found| found.fingerprint == fingerprint);
        join(self.each().filter(|(_, contents)| holds(contents)).map(|(path, _)| path.as_str()))
    }

    /// The files that hold this key or a certificate for it, joined for a message.
    pub(super) fn files_with_key(&self, fingerprint: KeyFingerprint) -> String {
        let holds = |contents: &Contents| {
            let private = |key: &Key| matches!(key, Key::Readable(public) if public.fingerprint == fingerprint);
            contents.keys().any(private) || contents.certificates().any(|found| found.key.fingerprint == fingerprint)
        };
        join(self.each().filter(|(_, contents)| holds(contents)).map(|(path, _)| path.as_str()))
    }

    fn warnings_of(&self, path: &RelPath, contents: &Contents) -> Vec<String> {
        let mut out = Vec::new();
        if self.files.iter().any(|file| file.path == *path && file.bytes.is_empty()) {
            out.push(format!("{path}: empty"));
        }
        for key in contents.keys() {
            match key {
                Key::Encrypted => out.push(format!("{path}: encrypted key, cannot be checked against its certificate")),
                Key::Opaque(why, _) => out.push(format!("{path}: private key {why}, cannot be checked against its certificate")),
                Key::Readable(_) | Key::Damaged(_) => {}
            }
        }
        for item in &contents.items {
            match item {
                Item::Damaged(label, why) if !is_certificate_label(label) => {
                    out.push(format!("{path}: damaged block {}: {why}", crate::base::printable(label)));
                }
                _ => {}
            }
        }
        out.extend(self.misplaced_leaf(path, contents));
        out
    }

    /// Servers take the first certificate of a file for their own.
    fn misplaced_leaf(&self, path: &RelPath, contents: &Contents) -> Option<String> {
        let place = contents.certificates().position(|found| self.is_leaf(found)).filter(|place| *place > 0)?;
        let leaf = contents.certificates().nth(place)?;
        let first_elsewhere =
            self.each().any(|(_, other)| other.certificates().next().is_some_and(|first| first.fingerprint == leaf.fingerprint));
        (!first_elsewhere).then(|| format!("{path}: {} is certificate {} of the file, servers expect it first", leaf.title(), place + 1))
    }
}

/// Certificates whose key is in the set, in the order of files; without any: the first that is not a CA.
fn leaves(contents: &[Arc<Contents>]) -> Vec<Arc<Certificate>> {
    let keys: HashSet<KeyFingerprint> = readable_keys(contents).collect();
    let all = || contents.iter().flat_map(|found| found.certificates());
    let mut seen = HashSet::new();
    let paired: Vec<_> = all().filter(|found| keys.contains(&found.key.fingerprint) && seen.insert(found.fingerprint)).cloned().collect();
    if paired.is_empty() { all().find(|found| !found.is_ca).into_iter().cloned().collect() } else { paired }
}

fn readable_keys(contents: &[Arc<Contents>]) -> impl Iterator<Item = KeyFingerprint> {
    contents.iter().flat_map(|found| found.keys()).filter_map(|key| match key {
        Key::Readable(public) => Some(public.fingerprint),
        _ => None,
    })
}

fn facts(contents: &[Arc<Contents>], leaves: &[Arc<Certificate>]) -> SetFacts {
    let keys: BTreeSet<KeyFingerprint> = readable_keys(contents).chain(leaves.iter().map(|leaf| leaf.key.fingerprint)).collect();
    SetFacts { leaves: leaves.iter().map(|leaf| leaf.leaf()).collect(), keys: keys.into_iter().collect() }
}

/// Names for a message: all of a few, the first of many.
pub(super) fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 10;
    let names: Vec<&str> = names.collect();
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}
