//! What shows that a set was read in the middle of a renewal, or after one that went wrong.

use super::Material;
use super::certificate::Certificate;
use super::judge::{Refusal, TOGETHER};
use super::key::Key;
use crate::spec::Accept;

/// Files that begin with a server's certificate whose key is not in the set, though the set has keys: certbot exchanges its
/// links one by one, and in between the new key lies beside the old chain. Where a key cannot be read nothing can be told.
pub(super) fn strangers(material: &Material) -> Vec<Refusal> {
    let keys = || material.each().flat_map(|(_, contents)| contents.keys());
    if keys().next().is_none() || keys().any(|key| !matches!(key, Key::Readable(_))) {
        return Vec::new();
    }
    let stranger = |first: &Certificate| !first.is_ca && !material.is_leaf(first) && !is_somebody_elses_root(material, first);
    let first = material.each().filter_map(|(path, contents)| Some((path, contents.certificates().next()?)));
    first
        .filter(|(_, first)| stranger(first))
        .map(|(path, first)| {
            let message = format!("{path} begins with {}, whose key ({}) is not in the set", first.title(), first.key.fingerprint);
            Refusal::with_door(Accept::UnpairedKey, message, TOGETHER)
        })
        .collect()
}

/// Old roots do not say that they are CAs; one that names no server of this set is a root.
fn is_somebody_elses_root(material: &Material, certificate: &Certificate) -> bool {
    let shared = |leaf: &std::sync::Arc<Certificate>| leaf.names.iter().any(|name| certificate.names.contains(name));
    certificate.subject == certificate.issuer && !material.leaves().iter().any(shared)
}

/// Files that by their names hold certificates or keys and hold nothing: a copy that was cut short, or zeros after a crash.
pub(super) fn hollow(material: &Material) -> Vec<(Accept, Refusal)> {
    let mut out = Vec::new();
    for (file, (path, contents)) in material.files().iter().zip(material.each()) {
        let (_, name) = path.split();
        let Some((_, ending)) = name.rsplit_once('.') else { continue };
        let ending = ending.to_ascii_lowercase();
        if !matches!(ending.as_str(), "pem" | "crt" | "cer" | "key") || !contents.items.is_empty() {
            continue;
        }
        let zeros = file.bytes.expose().iter().all(|byte| *byte == 0);
        let why = match (file.bytes.is_empty(), zeros) {
            (true, _) => "is empty",
            (false, true) => "holds nothing but zeros",
            // A session ticket key is nothing but random bytes.
            (false, false) if ending == "key" => continue,
            (false, false) => "holds neither PEM nor a certificate in DER",
        };
        let door = if ending == "key" || name.contains("key") { Accept::UnpairedKey } else { Accept::Chain };
        out.push((door, Refusal::with_door(door, format!("{path} {why}"), "copy it again from where it was made")));
    }
    out
}
