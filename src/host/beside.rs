//! Files of a source that only stand behind a link beside them: dehydrated keeps `cert-1700000000.pem` and moves the link
//! `cert.pem` on to the newest, so the former are no material.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The links of one folder.
#[derive(Debug, Default)]
pub(super) struct Links {
    names: BTreeSet<OsString>,
    targets: BTreeSet<OsString>,
}

impl Links {
    /// Adds a link and, where it could be read, its target.
    pub(super) fn add(&mut self, name: &OsStr, target: Option<&OsStr>) {
        self.names.insert(name.to_owned());
        let Some(target) = target else {
            return;
        };
        let mut target = target.as_bytes();
        while let Some(rest) = target.strip_prefix(b"./") {
            target = rest;
        }
        if !target.contains(&b'/') && target != name.as_bytes() {
            self.targets.insert(OsStr::from_bytes(target).to_owned());
        }
    }

    /// Whether a link beside `name` points at it, or once did.
    pub(super) fn stand_for(&self, name: &OsStr) -> bool {
        self.targets.contains(name) || undated(name).is_some_and(|link| self.names.contains(&link))
    }
}

/// The name of the link that a dated name once stood behind: `cert.pem` for `cert-1700000000.pem`.
pub fn undated(name: &OsStr) -> Option<OsString> {
    let bytes = name.as_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.').unwrap_or(bytes.len());
    let (stem, extension) = bytes.split_at(dot);
    let dash = stem.iter().rposition(|byte| *byte == b'-')?;
    let (stem, digits) = (&stem[..dash], &stem[dash + 1..]);
    if stem.is_empty() || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(OsStr::from_bytes(&[stem, extension].concat()).to_owned())
}

#[cfg(test)]
mod tests {
    use super::Links;
    use std::ffi::OsStr;

    #[test]
    fn what_a_link_beside_points_at_or_once_did_stands_behind_it() {
        let mut links = Links::default();
        links.add(OsStr::new("cert.pem"), Some(OsStr::new("cert-1700000000.pem")));
        links.add(OsStr::new("key"), Some(OsStr::new("./the key")));
        links.add(OsStr::new("chain.pem"), Some(OsStr::new("../archive/chain1.pem")));
        for hidden in ["cert-1700000000.pem", "cert-1690000000.pem", "the key", "key-1"] {
            assert!(links.stand_for(OsStr::new(hidden)), "{hidden}");
        }
        for shown in ["cert.pem", "cert-new.pem", "chain1.pem", "other-1.pem", "-1.pem", "cert-1700000000.csr"] {
            assert!(!links.stand_for(OsStr::new(shown)), "{shown}");
        }
    }
}
