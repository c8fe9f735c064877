//! Public keys: SubjectPublicKeyInfo (RFC 5280, 4.1.2.7) in one canonical form, so that equal keys have equal fingerprints.

use super::der::{Reader, bit_length, dotted, element, integer, sequence, tag};
use crate::base::KeyFingerprint;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{self, ParsedPublicKey};

/// OIDs of key algorithms and curves, DER content.
pub(super) mod oid {
    pub(crate) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    pub(crate) const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
    pub(crate) const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
    pub(crate) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    pub(crate) const X25519: &[u8] = &[0x2b, 0x65, 0x6e];
    pub(crate) const X448: &[u8] = &[0x2b, 0x65, 0x6f];
    pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    pub(crate) const ED448: &[u8] = &[0x2b, 0x65, 0x71];
    pub(crate) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    pub(crate) const P384: &[u8] = &[0x2b, 0x81, 0x04, 0, 34];
    pub(crate) const P521: &[u8] = &[0x2b, 0x81, 0x04, 0, 35];
    pub(crate) const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0, 10];
    pub(crate) const BRAINPOOL: &[u8] = &[0x2b, 0x24, 3, 3, 2, 8, 1, 1];
}

/// What kind of key it is, as far as signatures need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSA, with the modulus' length in bits.
    Rsa(usize),
    /// ECDSA on P-256, P-384, P-521.
    P256,
    P384,
    P521,
    Ed25519,
    /// A key that can be compared, but not used here.
    Other,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicKey {
    /// SHA-256 of the canonical SubjectPublicKeyInfo.
    pub(super) fingerprint: KeyFingerprint,
    /// `RSA 2048`, `EC P-256`, `Ed25519`.
    pub(super) name: String,
    /// What signatures need.
    pub(super) algorithm: Algorithm,
    /// The key itself: RSAPublicKey, an EC point, raw bytes.
    pub(super) bits: Vec<u8>,
    /// The canonical SubjectPublicKeyInfo.
    pub(super) spki: Vec<u8>,
}

impl PublicKey {
    /// The OID of its algorithm.
    pub(super) fn oid(&self) -> Option<&[u8]> {
        sequence(&self.spki)?.take(tag::SEQUENCE)?.inside().take(tag::OID).map(|found| found.body)
    }

    /// Reads a SubjectPublicKeyInfo.
    pub(super) fn of_spki(der: &[u8]) -> Option<PublicKey> {
        let mut fields = sequence(der)?;
        let algorithm = fields.take(tag::SEQUENCE)?;
        let bits = fields.bits()?;
        if !fields.rest().is_empty() {
            return None;
        }
        PublicKey::of_parts(algorithm.whole, bits)
    }

    /// From an AlgorithmIdentifier and the bits of the key.
    pub(super) fn of_parts(algorithm: &[u8], bits: &[u8]) -> Option<PublicKey> {
        let mut fields = sequence(algorithm)?;
        let oid = fields.take(tag::OID)?.body;
        let parameters = fields.rest();
        match oid {
            oid::RSA => PublicKey::of_rsa(RSA_ALGORITHM, bits, "RSA"),
            oid::RSA_PSS => PublicKey::of_rsa(algorithm, bits, "RSA-PSS"),
            oid::EC => Some(PublicKey::of_ec(algorithm, parameters, bits)),
            oid::ED25519 => Some(PublicKey::new(algorithm, bits, "Ed25519".into(), Algorithm::Ed25519)),
            oid::ED448 => Some(PublicKey::new(algorithm, bits, "Ed448".into(), Algorithm::Other)),
            oid::X25519 => Some(PublicKey::new(algorithm, bits, "X25519".into(), Algorithm::Other)),
            oid::X448 => Some(PublicKey::new(algorithm, bits, "X448".into(), Algorithm::Other)),
            oid::DSA => Some(PublicKey::new(algorithm, bits, dsa_name(parameters), Algorithm::Other)),
            _ => Some(PublicKey::new(algorithm, bits, format!("key of algorithm {}", dotted(oid)), Algorithm::Other)),
        }
    }

    /// From the two numbers of an RSA key.
    pub(super) fn of_rsa_numbers(algorithm: &[u8], modulus: &[u8], exponent: &[u8], family: &str) -> PublicKey {
        let bits = element(tag::SEQUENCE, &[&integer(modulus), &integer(exponent)]);
        let length = bit_length(modulus);
        PublicKey::new(algorithm, &bits, format!("{family} {length}"), Algorithm::Rsa(length))
    }

    fn of_rsa(algorithm: &[u8], bits: &[u8], family: &str) -> Option<PublicKey> {
        let mut numbers = sequence(bits)?;
        let (modulus, exponent) = (numbers.unsigned()?, numbers.unsigned()?);
        // More numbers make it a private key under a public label.
        if modulus.is_empty() || !numbers.rest().is_empty() {
            return None;
        }
        Some(PublicKey::of_rsa_numbers(algorithm, modulus, exponent, family))
    }

    fn of_ec(algorithm: &[u8], parameters: &[u8], point: &[u8]) -> PublicKey {
        let curve = Reader::new(parameters).take(tag::OID).map(|found| found.body);
        let Some(curve) = curve else {
            // Explicit parameters may name a generator of the sender's choice (CVE-2020-0601): never taken for a named curve.
            return PublicKey::new(algorithm, point, "EC with explicit parameters".into(), Algorithm::Other);
        };
        let (name, kind, scheme) = curve_of(curve);
        let uncompressed = match (point.first(), scheme) {
            (Some(4), _) | (_, None) => None,
            (_, Some(scheme)) => uncompress(scheme, point),
        };
        PublicKey::new(algorithm, uncompressed.as_deref().unwrap_or(point), format!("EC {name}"), kind)
    }

    fn new(algorithm: &[u8], bits: &[u8], name: String, kind: Algorithm) -> PublicKey {
        let spki = element(tag::SEQUENCE, &[algorithm, &element(tag::BIT_STRING, &[&[0], bits])]);
        PublicKey { fingerprint: KeyFingerprint::of_spki(&spki), name, algorithm: kind, bits: bits.to_vec(), spki }
    }
}

/// AlgorithmIdentifier of rsaEncryption with its NULL (RFC 3279, 2.3.1).
pub(super) const RSA_ALGORITHM: &[u8] = &[0x30, 13, tag::OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, tag::NULL, 0];

type Scheme = &'static signature::EcdsaVerificationAlgorithm;

fn curve_of(curve: &[u8]) -> (String, Algorithm, Option<Scheme>) {
    match curve {
        oid::P256 => ("P-256".into(), Algorithm::P256, Some(&signature::ECDSA_P256_SHA256_ASN1)),
        oid::P384 => ("P-384".into(), Algorithm::P384, Some(&signature::ECDSA_P384_SHA384_ASN1)),
        oid::P521 => ("P-521".into(), Algorithm::P521, Some(&signature::ECDSA_P521_SHA512_ASN1)),
        oid::SECP256K1 => ("secp256k1".into(), Algorithm::Other, Some(&signature::ECDSA_P256K1_SHA256_ASN1)),
        _ => (brainpool(curve).unwrap_or_else(|| format!("on curve {}", dotted(curve))), Algorithm::Other, None),
    }
}

/// RFC 5639, 4.1.
fn brainpool(curve: &[u8]) -> Option<String> {
    let rest = curve.strip_prefix(oid::BRAINPOOL)?;
    let size = match rest {
        [7 | 8] => 256,
        [11 | 12] => 384,
        [13 | 14] => 512,
        _ => return None,
    };
    let form = if rest.first().is_some_and(|last| last % 2 == 1) { 'r' } else { 't' };
    Some(format!("brainpoolP{size}{form}1"))
}

/// A compressed or hybrid point in its uncompressed form.
fn uncompress(scheme: Scheme, point: &[u8]) -> Option<Vec<u8>> {
    let parsed = ParsedPublicKey::new(scheme, point).ok()?;
    let spki = parsed.as_der().ok()?;
    let mut fields = sequence(spki.as_ref())?;
    fields.take(tag::SEQUENCE)?;
    let bits = fields.bits()?;
    (bits.first() == Some(&4)).then(|| bits.to_vec())
}

fn dsa_name(parameters: &[u8]) -> String {
    let prime = sequence(parameters).and_then(|mut numbers| numbers.unsigned());
    prime.map_or_else(|| "DSA".into(), |prime| format!("DSA {}", bit_length(prime)))
}
