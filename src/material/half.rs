//! What shows that a set was read in the middle of a renewal, or after one that went wrong.

use super::certificate::Certificate;
use super::chain;
use super::facts::FileKind;
use super::judge::{Refusal, TOGETHER, two_halves, unpaired_keys};
use super::key::Key;
use super::set::{Material, MaterialFile};
use crate::base::RelPath;
use crate::spec::Accept;
use std::collections::BTreeSet;

/// Files that begin with a server's certificate whose key is not in the set, though the set has keys: certbot exchanges its
/// links one by one, and in between the new key lies beside the old chain. Where a key cannot be read nothing can be told.
pub(super) fn strangers(material: &Material) -> Vec<Refusal> {
    let keys = || material.each().flat_map(|(_, contents)| contents.keys());
    if keys().next().is_none() || keys().any(|key| !matches!(key, Key::Readable(_))) {
        return Vec::new();
    }
    let stranger = |first: &Certificate| !material.is_leaf(first) && !is_authority(material, first);
    let first = material.each().filter_map(|(path, contents)| Some((path, contents.certificates().next()?)));
    first
        .filter(|(_, first)| stranger(first))
        .map(|(path, first)| {
            let message = format!("{path} begins with {}, whose key ({}) is not in the set", first.title(), first.key.fingerprint);
            Refusal::with_door(Accept::UnpairedKey, message, TOGETHER)
        })
        .collect()
}

/// Whether a certificate is there for what it signs. Old roots do not say that they are CAs, and a server's own self-signed
/// certificate often says that it is one: what is issued by itself is told by whether it is for the servers of this set.
fn is_authority(material: &Material, certificate: &Certificate) -> bool {
    let same = |leaf: &std::sync::Arc<Certificate>| leaf.names.iter().any(|name| certificate.names.contains(name));
    let is_self_issued = certificate.subject == certificate.issuer;
    if is_self_issued { !material.leaves().iter().any(same) } else { certificate.is_ca }
}

/// certbot's and dehydrated's `fullchain.pem` is `cert.pem` and then `chain.pem`: where it goes on with another certificate
/// than `chain.pem` begins with, one of them is of another renewal.
pub(super) fn other_chains(material: &Material) -> Vec<Refusal> {
    let mut out = Vec::new();
    for (path, chain) in material.each() {
        let Some(folder) = path.as_str().strip_suffix("chain.pem").filter(|folder| folder.is_empty() || folder.ends_with('/')) else {
            continue;
        };
        let whole = format!("{folder}fullchain.pem");
        let Some((_, full)) = material.each().find(|(path, _)| path.as_str() == whole) else { continue };
        if let (Some(first), Some(second)) = (chain.certificates().next(), full.certificates().nth(1))
            && first.fingerprint != second.fingerprint
        {
            let message = format!("{path} begins with {}, {whole} goes on with {}, another certificate", first.title(), second.title());
            out.push(Refusal::with_door(Accept::Chain, message, TOGETHER));
        }
    }
    out
}

/// What stands in the way of putting these files into one directory, though the set itself was judged well: files that the
/// source no longer has and that are `carried` along, and files joined of several.
pub fn mixed(together: &Material, carried: &[RelPath], accept: &BTreeSet<Accept>) -> Vec<Refusal> {
    let shut = |door: Accept| !accept.contains(&door);
    let mut out = Vec::new();
    if shut(Accept::UnpairedKey) {
        out.extend(strangers(together));
        let is_key = |file: &MaterialFile| file.kind == FileKind::PrivateKey && carried.contains(&file.path);
        if out.is_empty() && together.files().iter().any(is_key) {
            out.extend(unpaired_keys(together));
        }
    }
    if shut(Accept::Chain) {
        out.extend(two_halves(together));
        out.extend(chain::broken(together));
    }
    out
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
