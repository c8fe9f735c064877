//! A file in an operator's words.

use super::certificate::{Certificate, server_names};
use super::contents::{Contents, Item};
use super::facts::{Description, FileKind};
use super::key::Key;
use super::name::text_of;
use super::spki::PublicKey;
use super::time::{left, utc};
use crate::base::{ContentHash, printable};
use x509_parser::prelude::{CertificateRevocationList, FromDer, ParsedExtension, X509CertificationRequest};

/// What a file is recognised as. Never a public kind for a file that holds or even names a private key.
pub fn kind_of(bytes: &[u8]) -> FileKind {
    Contents::read(bytes).kind
}

/// SHA-256 of the DER of each certificate in a file, in the file's order.
pub fn certificate_fingerprints(bytes: &[u8]) -> Vec<ContentHash> {
    Contents::read(bytes).certificates().map(|found| found.fingerprint).collect()
}

/// Describes a file, days left as of `now` (Unix seconds). A private key is exactly one line: its type and the
/// fingerprint of its public half. Two files may have the same description and different bytes (a key in another form,
/// a comment): who shows a difference says so by the hash.
pub fn describe(bytes: &[u8], now: i64) -> Description {
    let contents = Contents::read(bytes);
    let mut lines: Vec<String> = contents.items.iter().flat_map(|item| lines_of(item, now)).collect();
    if lines.is_empty() {
        lines.push(format!("{} bytes, sha256 {}", bytes.len(), ContentHash::of(bytes)));
    }
    Description { kind: contents.kind, lines: lines.iter().map(|line| printable(line)).collect() }
}

fn lines_of(item: &Item, now: i64) -> Vec<String> {
    match item {
        Item::Certificate(found) => certificate(found, now),
        Item::Key(found) => vec![key(found)],
        Item::PublicKey(found) => vec![format!("public key {}", name_and_fingerprint(found))],
        Item::Crl(der) => crl(der).unwrap_or_default(),
        Item::Csr(der) => csr(der).unwrap_or_default(),
        Item::DhParameters(bits, sha256) => vec![format!("DH parameters {bits} bit"), field("sha256", &sha256.to_string())],
        Item::Parameters => vec![String::from("key parameters")],
        Item::Damaged(label, why) => vec![format!("damaged block {label}: {why}")],
        Item::Other(label) => vec![format!("block {label}")],
    }
}

/// A label and its value, as they stand below the first line of an item.
fn field(label: &str, value: &str) -> String {
    format!("  {label:<11} {value}")
}

/// One line for each name: one that comes or goes is one line of a diff.
fn names(names: &[String]) -> Vec<String> {
    names.iter().enumerate().map(|(i, name)| field(if i == 0 { "names" } else { "" }, name)).collect()
}

fn name_and_fingerprint(key: &PublicKey) -> String {
    format!("{} {}", key.name, key.fingerprint)
}

fn certificate(found: &Certificate, now: i64) -> Vec<String> {
    let starts = if now < found.not_before { " (not valid yet)" } else { "" };
    let mut lines = vec![String::from("certificate"), field("subject", &found.subject), field("issuer", &found.issuer)];
    lines.extend(names(&found.names));
    lines.extend([
        field("serial", &found.serial),
        field("not before", &format!("{}{starts}", utc(found.not_before))),
        field("not after", &format!("{} ({})", utc(found.not_after), left(found.not_after, now))),
        field("key", &name_and_fingerprint(&found.key)),
        field("sha256", &found.fingerprint.to_string()),
    ]);
    lines
}

fn key(found: &Key) -> String {
    match found {
        Key::Readable(public) => format!("private key {}", name_and_fingerprint(public)),
        Key::Encrypted => String::from("private key, encrypted"),
        Key::Opaque(why, _) => format!("private key {why}"),
        Key::Damaged(why) => format!("private key, damaged: {why}"),
    }
}

fn crl(der: &[u8]) -> Option<Vec<String>> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    let mut lines = vec![
        String::from("revocation list"),
        field("issuer", &text_of(list.issuer())),
        field("updated", &utc(list.last_update().timestamp())),
    ];
    lines.extend(list.next_update().map(|next| field("next update", &utc(next.timestamp()))));
    lines.extend(list.crl_number().map(|number| field("number", &number.to_string())));
    lines.push(field("revoked", &list.iter_revoked_certificates().count().to_string()));
    lines.push(field("sha256", &ContentHash::of(der).to_string()));
    Some(lines)
}

fn csr(der: &[u8]) -> Option<Vec<String>> {
    let (_, request) = X509CertificationRequest::from_der(der).ok()?;
    let info = &request.certification_request_info;
    let mut lines = vec![String::from("signing request"), field("subject", &text_of(&info.subject))];
    for extension in request.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(found) = extension {
            lines.extend(names(&server_names(&found.general_names).unwrap_or_default()));
        }
    }
    lines.extend(PublicKey::of_spki(info.subject_pki.raw).map(|key| field("key", &name_and_fingerprint(&key))));
    lines.push(field("sha256", &ContentHash::of(der).to_string()));
    Some(lines)
}
