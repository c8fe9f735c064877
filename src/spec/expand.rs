//! Making a set of a pattern and a name, and the hashes of what the spec says about a set or an install.

use super::{Desired, DesiredInstall, DesiredSet, FileRule, Hook, InstallTemplate, PatternSet, RsyncFrom, SetSource};
use crate::base::{AbsPath, ContentHash, Error, ErrorKind, KeyFingerprint, PathError, RelPath, SetName};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What stands for a set's name in `dest` and `files`.
pub(super) const NAME: &str = "{name}";

impl PatternSet {
    /// Hash of all that the spec says of the sets of this pattern.
    pub fn config_hash(&self) -> ContentHash {
        hash_of(self)
    }

    /// The set that this pattern makes of the directory `name`.
    ///
    /// Fails where the name makes a `dest` or a file name too long.
    pub fn expand(&self, name: &SetName) -> Result<DesiredSet, Error> {
        let wrong =
            |error: &dyn std::fmt::Display| Error::new(ErrorKind::Spec, name.as_str(), format!("from pattern {}: {error}", self.name));
        let installs = self.template.installs.iter().map(|install| install.expand(name));
        Ok(DesiredSet {
            name: name.clone(),
            source: self.parent.join(&RelPath::from(name)),
            select: Arc::clone(&self.template.select),
            names: self.template.names.clone(),
            accept: self.template.accept.clone(),
            installs: installs.collect::<Result<_, _>>().map_err(|e| wrong(&e))?,
            pattern: Some(self.name.clone()),
        })
    }
}

impl SetSource {
    /// The directory `below` of this one.
    fn join(&self, below: &RelPath) -> SetSource {
        match self {
            SetSource::Directory(path) => SetSource::Directory(path.join(below)),
            SetSource::Rsync(rsync) => {
                let from = format!("{}/{below}", rsync.from.trim_end_matches('/'));
                let mirror = rsync.mirror.as_ref().map(|mirror| mirror.join(below));
                SetSource::Rsync(RsyncFrom { from, mirror, ..rsync.clone() })
            }
            SetSource::Upstream => SetSource::Upstream,
        }
    }
}

impl InstallTemplate {
    /// This install with `name` put in the places of `{name}`.
    pub(super) fn expand(&self, name: &SetName) -> Result<DesiredInstall, PathError> {
        let dest: AbsPath = self.dest.replace(NAME, name.as_str()).parse()?;
        let rule = |(file, parts): &(String, Vec<RelPath>)| {
            let parts = parts.iter().map(|part| part.as_str().replace(NAME, name.as_str()).parse());
            Ok(FileRule { name: file.replace(NAME, name.as_str()).parse()?, parts: parts.collect::<Result<_, _>>()? })
        };
        let files = self.files.as_ref().map(|files| files.iter().map(rule).collect::<Result<_, PathError>>()).transpose()?;
        Ok(DesiredInstall { dest, files, rest: Arc::clone(&self.rest) })
    }
}

impl DesiredInstall {
    /// Hash of what shapes a generation of this install: `files`, owner, group, modes, layout and `prune`.
    pub fn shape_hash(&self) -> ContentHash {
        let rest = &self.rest;
        hash_of(&(&self.files, rest.owner.id, rest.group.id, [rest.dir_mode, rest.file_mode, rest.key_mode], rest.layout, rest.prune))
    }
}

impl Desired {
    /// Hash of what all sets have in common: the place of the spec, hooks, revoked keys, limits; and of `other`.
    pub fn common_hash(&self, other: &[&str]) -> ContentHash {
        hash_of(&(&self.spec, &self.hooks, &self.revoked, &self.limits, other))
    }
}

impl DesiredSet {
    /// Hash of all that the spec says of this set.
    pub fn config_hash(&self) -> ContentHash {
        hash_of(self)
    }

    /// Hash of what this set is judged under: `names`, `accept`, `revoked_keys`.
    pub fn judged_hash(&self, revoked: &BTreeSet<KeyFingerprint>) -> ContentHash {
        hash_of(&(&self.names, &self.accept, revoked))
    }
}

/// Hash of a whole install and of those of `hooks` that it names: what must change before a returned version is tried again.
pub fn under_hash(install: &DesiredInstall, hooks: &[Hook]) -> ContentHash {
    let named: Vec<&Hook> = hooks.iter().filter(|hook| install.rest.hooks.contains(&hook.name)).collect();
    hash_of(&(install, named))
}

/// SHA-256 of the value's JSON. These types have text keys and no floats, so that writing them cannot fail.
fn hash_of(value: &impl Serialize) -> ContentHash {
    ContentHash::of(&serde_json::to_vec(value).unwrap_or_default())
}
