//! Certificates and keys in DER: what holds of sets holds of them, in every form in which a file can have them.

use crate::material::{File, Under, holds};
use certsync::base::RelPath;
use certsync::material::{FileKind, certificate_fingerprints, kind_of};

/// A leaf for `fuzz.test`, its key, and the CA that signed it.
const LEAF: &[u8] = include_bytes!("../fixtures/leaf.pem");
const KEY: &[u8] = include_bytes!("../fixtures/leaf.key");
const CA: &[u8] = include_bytes!("../fixtures/ca.pem");
/// While the leaf is valid.
const NOW: i64 = 1_800_000_000;

const LABELS: [&str; 16] = [
    "CERTIFICATE",
    "X509 CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "DSA PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "X509 CRL",
    "CERTIFICATE REQUEST",
    "DH PARAMETERS",
    "EC PARAMETERS",
    "SOMETHING ELSE",
];

/// The first byte says how the rest is put into a set: which label its block has, and what is beside it.
pub fn check(data: &[u8]) {
    let Some((form, der)) = data.split_first() else { return };
    let block = pem(LABELS[usize::from(form & 15)], der);
    let set: Vec<(&str, Vec<u8>)> = match form >> 4 {
        0 => vec![("cert.pem", block)],
        1 => vec![("cert.der", der.to_vec())],
        2 => vec![("cert.pem", block), ("privkey.pem", KEY.to_vec())],
        3 => vec![("fullchain.pem", [LEAF, &block].concat()), ("privkey.pem", KEY.to_vec())],
        4 => vec![("fullchain.pem", [&block, CA].concat())],
        5 => vec![("fullchain.pem", [&block, CA].concat()), ("privkey.pem", KEY.to_vec())],
        6 => vec![("cert.pem", LEAF.to_vec()), ("privkey.pem", block)],
        7 => vec![("haproxy.pem", [&block, KEY].concat()), ("chain.pem", CA.to_vec())],
        _ => vec![("a.pem", [&block[..], &block[..]].concat()), ("b.der", der.to_vec()), ("c.pem", block)],
    };
    let named: Vec<(RelPath, Vec<u8>)> = set.into_iter().map(|(name, bytes)| (name.parse().expect("a plain name"), bytes)).collect();
    let files: Vec<File<'_>> = named.iter().map(|(path, bytes)| (path.clone(), bytes.as_slice())).collect();
    holds(&files, &Under::at(NOW), None);
    forms_agree(der);
}

/// A certificate that is read from a file in DER is read from a block in PEM, and is the same one.
fn forms_agree(der: &[u8]) {
    let found = certificate_fingerprints(der);
    if !found.is_empty() && kind_of(der) == FileKind::Certificates && der.starts_with(b"\x30") {
        let block = pem("CERTIFICATE", der);
        assert_eq!(certificate_fingerprints(&block), found);
        assert_eq!(kind_of(&block), kind_of(der));
    }
}

/// A PEM block.
pub(crate) fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for three in der.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place > three.len() { b'=' } else { digit });
        }
    }
    let mut out = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in text.chunks(64) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    out
}
