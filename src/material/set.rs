//! A set as read at one moment.

use super::facts::{FileKind, SetFacts};
use crate::base::{ContentHash, Digest, RelPath, Secret};

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
    digest: Digest,
    facts: SetFacts,
}

impl Material {
    /// Takes the files of a set, in any order, and looks at each once. A path given twice keeps the first.
    pub fn new(mut files: Vec<(RelPath, Secret)>) -> Material {
        files.sort_by(|a, b| a.0.cmp(&b.0));
        files.dedup_by(|later, first| later.0 == first.0);
        let files: Vec<MaterialFile> = files
            .into_iter()
            .map(|(path, bytes)| MaterialFile { path, sha256: bytes.sha256(), kind: FileKind::Unrecognised, bytes })
            .collect();
        let digest = Digest::of(files.iter().map(|file| (file.path.as_str(), &file.sha256)));
        Material { files, digest, facts: SetFacts::default() }
    }

    /// The files, sorted by path.
    pub fn files(&self) -> &[MaterialFile] {
        &self.files
    }

    /// The version of the set.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Leaves and keys.
    pub fn facts(&self) -> &SetFacts {
        &self.facts
    }

    /// What an operator should know though it is no reason to refuse the set; each line names its file.
    pub fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}
