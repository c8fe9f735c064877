//! Chains: in a file that begins with a leaf, each certificate is signed by the one behind it (RFC 8446, 4.4.2).

use super::certificate::Certificate;
use super::judge::Refusal;
use super::set::Material;
use super::signature::{Link, link};
use crate::base::RelPath;
use crate::spec::Accept;
use std::sync::Arc;

/// The chains of a set that do not follow: one refusal for each file. A file that begins with anything but a leaf is no
/// chain (CA bundles, certbot's `chain.pem`, lego's `.issuer.crt`).
pub(super) fn broken(material: &Material) -> Vec<Refusal> {
    chains(material).filter_map(|(path, chain)| first_break(path, &chain)).collect()
}

/// Links whose signature is of a kind that cannot be checked: names and key identifiers were all there was to go by.
pub(super) fn unchecked(material: &Material) -> Vec<String> {
    let warning = |(path, chain): (&RelPath, Vec<&Arc<Certificate>>)| {
        let place = links(&chain).find(|(_, signed, issuer)| super::signature::is_beyond_us(signed, issuer))?.0;
        Some(format!("{path}: the signature of certificate {place} is of a kind that cannot be checked, only its names were"))
    };
    chains(material).filter_map(warning).collect()
}

fn chains(material: &Material) -> impl Iterator<Item = (&RelPath, Vec<&Arc<Certificate>>)> {
    let all = material.each().map(|(path, contents)| (path, contents.certificates().collect::<Vec<_>>()));
    all.filter(|(_, chain)| chain.len() > 1 && chain.first().is_some_and(|first| material.is_leaf(first)))
}

/// The place of each certificate but the last, counted from 1, with the one behind it.
fn links<'a>(chain: &'a [&'a Arc<Certificate>]) -> impl Iterator<Item = (usize, &'a Certificate, &'a Certificate)> {
    chain.windows(2).enumerate().filter_map(|(i, pair)| match pair {
        [signed, issuer] => Some((i + 1, signed.as_ref(), issuer.as_ref())),
        _ => None,
    })
}

fn first_break(path: &RelPath, chain: &[&Arc<Certificate>]) -> Option<Refusal> {
    for (place, signed, issuer) in links(chain) {
        let next = place + 1;
        let message = match link(signed, issuer) {
            Link::Signed | Link::Unchecked => continue,
            Link::OtherIssuer => {
                format!(
                    "{path}: certificate {place} ({}) was issued by {}, but certificate {next} is {}",
                    signed.title(),
                    signed.issuer,
                    issuer.subject
                )
            }
            Link::BadSignature => {
                format!(
                    "{path}: certificate {place} ({}) was not signed by the key of certificate {next} ({})",
                    signed.title(),
                    issuer.subject
                )
            }
        };
        return Some(Refusal::with_door(Accept::Chain, message, "the file must hold the leaf, then its issuer, and so on"));
    }
    None
}
