//! A version's material, got back from a generation that is still in place where the store has lost it.

use super::place;
use super::stage::LARGEST_FILE;
use super::switch;
use crate::base::{Digest, Error, ErrorKind, RelPath, Result, SetName};
use crate::material::Material;
use crate::observe::{Rights, read_generation};
use crate::state::State;

/// The material of exactly this version, if a generation of it, rendered file for file, still lies in one of the set's places.
pub fn restore(state: &State, set: &SetName, digest: &Digest) -> Option<Material> {
    for recorded in state.installs_of(set) {
        for generation in recorded.former.iter().chain(&recorded.current).filter(|generation| generation.digest == Some(*digest)) {
            let read = || -> Result<Material> {
                let place = place::open(&recorded.dest, set)?;
                let paths = switch::files_of(&place, &generation.name).map_err(|e| Error::io(ErrorKind::Install, &recorded.dest, &e))?;
                let own: Vec<RelPath> = paths.into_iter().filter(|path| !generation.carried.contains(path)).collect();
                Ok(Material::new(read_generation(&recorded.dest, set, &generation.name, &own, LARGEST_FILE, Rights::Owners)?))
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
