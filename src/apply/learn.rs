//! What is known of a generation that was not made of a set's material: what was adopted, or put in place by others.

use super::place::Place;
use super::stage::{LARGEST_FILE, descend};
use super::switch::files_of;
use crate::material::{Material, SetFacts};
use crate::state::GenerationState;
use std::ffi::OsStr;
use std::io;
use std::sync::Arc;

/// Fills in the facts of `generation` from its files, so that a key in it that is revoked later is found. What cannot be
/// read stays unknown.
pub(super) fn learn(place: &Place, generation: &mut GenerationState) {
    if generation.digest.is_none() && *generation.facts == SetFacts::default() {
        match read(place, &generation.name) {
            Ok(material) => generation.facts = Arc::clone(material.facts()),
            Err(error) => tracing::warn!(generation = %generation.name, "its certificates are not known: {error}"),
        }
    }
}

fn read(place: &Place, name: &str) -> io::Result<Material> {
    let top = place.set.open_dir(OsStr::new(name))?;
    let mut files = Vec::new();
    for path in files_of(place, name)? {
        let (steps, leaf) = path.split();
        let bytes = descend(&top, &steps)?.read_file(OsStr::new(leaf), LARGEST_FILE)?.0;
        files.push((path, bytes));
    }
    Ok(Material::new(files))
}
