//! Did this certificate sign that one?

use super::certificate::Certificate;
use super::der::{Reader, sequence, tag};
use super::spki::Algorithm;
use aws_lc_rs::signature::{self as aws, UnparsedPublicKey, VerificationAlgorithm};

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// The signature is good.
    Signed,
    /// The names already say that it did not.
    OtherIssuer,
    /// The signature is not that of this key, or cannot be, since the kind or the identifier of the key differ.
    BadSignature,
    /// Names and key identifiers fit; the signature is of a kind that is not checked here.
    Unchecked,
}

/// Whether `issuer` signed `certificate`.
pub(super) fn link(certificate: &Certificate, issuer: &Certificate) -> Link {
    if canonical(&certificate.issuer) != canonical(&issuer.subject) {
        return Link::OtherIssuer;
    }
    let Some(algorithm) = algorithm(&certificate.signature_algorithm, issuer.key.algorithm) else {
        let other_id = matches!((&certificate.issuer_key_id, &issuer.key_id), (Some(wanted), Some(found)) if wanted != found);
        return match may_sign(&certificate.signature_algorithm, issuer.key.algorithm) {
            true if !other_id => Link::Unchecked,
            _ => Link::BadSignature,
        };
    };
    match UnparsedPublicKey::new(algorithm, &issuer.key.bits).verify(&certificate.signed, &certificate.signature) {
        Ok(()) => Link::Signed,
        Err(_) => Link::BadSignature,
    }
}

/// Whether the signature of `certificate` by such a key is of a kind that is not checked here.
pub(super) fn is_beyond_us(certificate: &Certificate, issuer: &Certificate) -> bool {
    let (identifier, key) = (&certificate.signature_algorithm, issuer.key.algorithm);
    may_sign(identifier, key) && algorithm(identifier, key).is_none()
}

/// Names are equal whatever their case and inner blanks (RFC 5280, 7.1, as far as text shows it).
fn canonical(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
const ECDSA: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3];
const ED25519: [u8; 3] = [0x2b, 0x65, 0x70];

/// Whether signatures of this AlgorithmIdentifier are made by such keys at all.
fn may_sign(identifier: &[u8], key: Algorithm) -> bool {
    let Some(oid) = sequence(identifier).and_then(|mut fields| fields.take(tag::OID)) else { return false };
    match key {
        Algorithm::Rsa(_) => oid.body.starts_with(&RSA),
        Algorithm::P256 | Algorithm::P384 | Algorithm::P521 => oid.body.starts_with(&ECDSA[..6]),
        Algorithm::Ed25519 => oid.body == ED25519,
        Algorithm::Other => !oid.body.starts_with(&RSA) && oid.body != ED25519,
    }
}

/// What verifies a signature of this AlgorithmIdentifier by such a key; `None` where nothing here does.
/// SHA-1 is taken: the question is which key signed, not whether a client should still trust it.
fn algorithm(identifier: &[u8], key: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    let mut fields = sequence(identifier)?;
    let oid = fields.take(tag::OID)?.body;
    if let Some([kind]) = oid.strip_prefix(&RSA) {
        let Algorithm::Rsa(bits) = key else { return None };
        return if *kind == 10 { pss(fields.rest(), bits) } else { pkcs1(*kind, bits) };
    }
    if let Some([hash]) = oid.strip_prefix(&ECDSA) {
        return ecdsa(*hash, key);
    }
    (oid == ED25519 && key == Algorithm::Ed25519).then_some(&aws::ED25519 as &dyn VerificationAlgorithm)
}

fn pkcs1(kind: u8, bits: usize) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (kind, bits) {
        (5, 1024..=8192) => &aws::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (11, 1024..2048) => &aws::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        (11, 2048..=8192) => &aws::RSA_PKCS1_2048_8192_SHA256,
        (12, 2048..=8192) => &aws::RSA_PKCS1_2048_8192_SHA384,
        (13, 1024..2048) => &aws::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        (13, 2048..=8192) => &aws::RSA_PKCS1_2048_8192_SHA512,
        _ => return None,
    })
}

/// RSASSA-PSS-params (RFC 4055, 3.1): only with one hash throughout and a salt of its length, which is all that TLS uses.
fn pss(parameters: &[u8], bits: usize) -> Option<&'static dyn VerificationAlgorithm> {
    const SHA2: [u8; 8] = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];
    let mut fields = sequence(parameters)?;
    let hash = fields.take(tag::CONTEXT_0)?.inside().take(tag::SEQUENCE)?;
    let mut mask = fields.take(tag::CONTEXT_1)?.inside().take(tag::SEQUENCE)?.inside();
    mask.take(tag::OID)?;
    let mask_hash = Reader::new(mask.rest()).take(tag::SEQUENCE)?.inside().take(tag::OID)?;
    let salt = fields.take(tag::CONTEXT_2)?.inside().unsigned()?;
    let hash = hash.inside().take(tag::OID)?.body;
    if hash != mask_hash.body || !(2048..=8192).contains(&bits) {
        return None;
    }
    Some(match (hash.strip_prefix(&SHA2)?, salt) {
        ([1], [32]) => &aws::RSA_PSS_2048_8192_SHA256,
        ([2], [48]) => &aws::RSA_PSS_2048_8192_SHA384,
        ([3], [64]) => &aws::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn ecdsa(hash: u8, key: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (key, hash) {
        (Algorithm::P256, 2) => &aws::ECDSA_P256_SHA256_ASN1,
        (Algorithm::P256, 3) => &aws::ECDSA_P256_SHA384_ASN1,
        (Algorithm::P256, 4) => &aws::ECDSA_P256_SHA512_ASN1,
        (Algorithm::P384, 2) => &aws::ECDSA_P384_SHA256_ASN1,
        (Algorithm::P384, 3) => &aws::ECDSA_P384_SHA384_ASN1,
        (Algorithm::P384, 4) => &aws::ECDSA_P384_SHA512_ASN1,
        (Algorithm::P521, 2) => &aws::ECDSA_P521_SHA256_ASN1,
        (Algorithm::P521, 3) => &aws::ECDSA_P521_SHA384_ASN1,
        (Algorithm::P521, 4) => &aws::ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}
