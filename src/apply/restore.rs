//! A version's material, got back from a generation that is still in place where the store has lost it.

use super::place;
use super::stage::{LARGEST_FILE, descend};
use super::switch;
use crate::base::{Digest, SetName};
use crate::material::Material;
use crate::state::State;
use std::ffi::OsStr;
use std::io;

/// The material of exactly this version, if a generation of it, rendered file for file, still lies in one of the set's places.
pub fn restore(state: &State, set: &SetName, digest: &Digest) -> Option<Material> {
    for recorded in state.installs_of(set) {
        for generation in recorded.former.iter().chain(&recorded.current).filter(|generation| generation.digest == Some(*digest)) {
            let read = || -> io::Result<Material> {
                let place = place::open(&recorded.dest, set).map_err(|e| io::Error::other(e.to_string()))?;
                let top = place.set.open_dir(OsStr::new(&generation.name))?;
                let mut files = Vec::new();
                for path in switch::files_of(&place, &generation.name)? {
                    if !generation.carried.contains(&path) {
                        let (steps, leaf) = path.split();
                        let bytes = descend(&top, &steps)?.read_file_as_owner(OsStr::new(leaf), LARGEST_FILE)?;
                        files.push((path, bytes));
                    }
                }
                Ok(Material::new(files))
            };
            // What was joined or changed there has another digest, and is no version of the set.
            if let Ok(material) = read()
                && material.digest() == *digest
            {
                return Some(material);
            }
        }
    }
    None
}
