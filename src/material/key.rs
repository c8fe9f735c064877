//! Private keys: their public half and nothing else. Every copy of key bytes made here is wiped.

use super::der::{Reader, Tlv, element, integer, sequence, strip_zeros, tag};
use super::spki::{PublicKey, RSA_ALGORITHM, oid};
use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

/// What is known about a private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// Its public half is known.
    Readable(PublicKey),
    /// It is encrypted.
    Encrypted,
    /// It is in order as far as one can see, but of a kind whose public half cannot be told.
    Opaque(&'static str),
    /// It cannot be read.
    Damaged(&'static str),
}

/// A kind of key or form that is not understood is opaque, one that is understood and wrong is damaged.
type Read = Result<PublicKey, Key>;

const DAMAGED: Key = Key::Damaged("it is not a whole key");

/// Reads the body of a PEM block whose label ends in `PRIVATE KEY`.
pub(super) fn read(label: &str, der: &[u8]) -> Key {
    let read = match label {
        "PRIVATE KEY" => pkcs8(der),
        "RSA PRIVATE KEY" => rsa(der, RSA_ALGORITHM, "RSA"),
        "EC PRIVATE KEY" => sec1(der, None),
        "DSA PRIVATE KEY" => dsa(der),
        "ANY PRIVATE KEY" => pkcs8(der).or_else(|_| rsa(der, RSA_ALGORITHM, "RSA")).or_else(|_| sec1(der, None)),
        "ENCRYPTED PRIVATE KEY" => return Key::Encrypted,
        "OPENSSH PRIVATE KEY" => Err(Key::Opaque("OpenSSH's form, which TLS servers do not read")),
        _ => Err(Key::Opaque("of an unknown form")),
    };
    read.map_or_else(|key| key, Key::Readable)
}

/// Reads a file that is one DER key and nothing else.
pub(super) fn read_der(der: &[u8]) -> Option<Key> {
    let found = pkcs8(der).or_else(|_| rsa(der, RSA_ALGORITHM, "RSA")).or_else(|_| sec1(der, None));
    match found {
        Ok(key) => Some(Key::Readable(key)),
        Err(_) => is_encrypted_pkcs8(der).then_some(Key::Encrypted),
    }
}

/// EncryptedPrivateKeyInfo (RFC 5958, 3): an AlgorithmIdentifier of PKCS#5 or PKCS#12 and an OCTET STRING.
fn is_encrypted_pkcs8(der: &[u8]) -> bool {
    const PKCS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1];
    let inner = || {
        let mut fields = sequence(der)?;
        let scheme = fields.take(tag::SEQUENCE)?.inside().take(tag::OID)?;
        fields.take(tag::OCTET_STRING)?;
        Some(scheme.body.starts_with(PKCS) && fields.rest().is_empty())
    };
    inner().unwrap_or(false)
}

/// OneAsymmetricKey (RFC 5958, 2), versions 1 and 2.
fn pkcs8(der: &[u8]) -> Read {
    let mut fields = sequence(der).ok_or(DAMAGED)?;
    fields.take(tag::INTEGER).ok_or(DAMAGED)?;
    let algorithm = fields.take(tag::SEQUENCE).ok_or(DAMAGED)?;
    let key = fields.take(tag::OCTET_STRING).ok_or(DAMAGED)?.body;
    fields.take(tag::CONTEXT_0);
    let embedded = fields.take(tag::CONTEXT_1_PRIMITIVE).and_then(|bits| bits.body.split_first()).map(|(_, bits)| bits);
    let mut inside = algorithm.inside();
    let oid = inside.take(tag::OID).ok_or(DAMAGED)?.body;
    match oid {
        oid::RSA => rsa(key, RSA_ALGORITHM, "RSA"),
        oid::RSA_PSS => rsa(key, algorithm.whole, "RSA-PSS"),
        oid::EC => sec1(key, Some(Reader::new(inside.rest()).any().ok_or(DAMAGED)?)),
        oid::ED25519 => ed25519(key, &algorithm),
        oid::X25519 => x25519(key, &algorithm),
        _ => {
            let public = embedded.and_then(|bits| PublicKey::of_parts(algorithm.whole, bits));
            public.ok_or(Key::Opaque("of a kind that certsync cannot compare"))
        }
    }
}

/// RSAPrivateKey (RFC 8017, A.1.2).
fn rsa(der: &[u8], algorithm: &[u8], family: &str) -> Read {
    let numbers = || {
        let mut fields = sequence(der)?;
        fields.take(tag::INTEGER)?;
        let (modulus, exponent) = (fields.unsigned()?, fields.unsigned()?);
        // d, p, q, dP, dQ, qInv: a key cut short must not pass for a whole one.
        for _ in 0..6 {
            fields.unsigned()?;
        }
        Some(PublicKey::of_rsa_numbers(algorithm, modulus, exponent, family))
    };
    numbers().ok_or(DAMAGED)
}

/// ECPrivateKey (RFC 5915, 3); `parameters` are PKCS#8's. On the curves that TLS uses the public half is computed,
/// whatever the file claims it to be.
fn sec1(der: &[u8], parameters: Option<Tlv>) -> Read {
    let mut fields = sequence(der).ok_or(DAMAGED)?;
    fields.take(tag::INTEGER).ok_or(DAMAGED)?;
    let scalar = fields.take(tag::OCTET_STRING).ok_or(DAMAGED)?.body;
    let own = fields.take(tag::CONTEXT_0).and_then(|found| found.inside().any());
    let embedded = fields.take(tag::CONTEXT_1).and_then(|found| found.inside().bits());
    let parameters = parameters.or(own).ok_or(Key::Damaged("it does not say its curve"))?;
    let algorithm = element(tag::SEQUENCE, &[&element(tag::OID, &[oid::EC]), parameters.whole]);
    let computed;
    let point = match point(parameters.body, scalar)? {
        Some(point) => {
            computed = point;
            computed.as_ref()
        }
        None => embedded.ok_or(Key::Opaque("on a curve that certsync cannot compute with"))?,
    };
    PublicKey::of_parts(&algorithm, point).ok_or(DAMAGED)
}

/// The public point of a scalar; `None` for a curve that cannot be computed with.
fn point(curve: &[u8], scalar: &[u8]) -> Result<Option<agreement::PublicKey>, Key> {
    let (algorithm, length) = match curve {
        oid::P256 => (&ECDH_P256, 32),
        oid::P384 => (&ECDH_P384, 48),
        oid::P521 => (&ECDH_P521, 66),
        _ => return Ok(None),
    };
    let scalar = strip_zeros(scalar);
    let mut padded = Zeroizing::new(vec![0; length]);
    let start = length.checked_sub(scalar.len()).ok_or(Key::Damaged("its number is too large for its curve"))?;
    padded.get_mut(start..).ok_or(DAMAGED)?.copy_from_slice(scalar);
    let wrong = Key::Damaged("its number does not belong to its curve");
    let key = agreement::PrivateKey::from_private_key(algorithm, &padded).map_err(|_| wrong.clone())?;
    key.compute_public_key().map(Some).map_err(|_| wrong)
}

/// CurvePrivateKey (RFC 8410, 7): an OCTET STRING in an OCTET STRING.
fn ed25519(key: &[u8], algorithm: &Tlv) -> Read {
    let seed = Reader::new(key).take(tag::OCTET_STRING).ok_or(DAMAGED)?.body;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| DAMAGED)?;
    PublicKey::of_parts(algorithm.whole, pair.public_key().as_ref()).ok_or(DAMAGED)
}

fn x25519(key: &[u8], algorithm: &Tlv) -> Read {
    let seed = Reader::new(key).take(tag::OCTET_STRING).ok_or(DAMAGED)?.body;
    let pair = agreement::PrivateKey::from_private_key(&agreement::X25519, seed).map_err(|_| DAMAGED)?;
    let public = pair.compute_public_key().map_err(|_| DAMAGED)?;
    PublicKey::of_parts(algorithm.whole, public.as_ref()).ok_or(DAMAGED)
}

/// OpenSSL's own form of a DSA key: version, p, q, g, y, x.
fn dsa(der: &[u8]) -> Read {
    let numbers = || {
        let mut fields = sequence(der)?;
        fields.take(tag::INTEGER)?;
        let (p, q, g) = (fields.unsigned()?, fields.unsigned()?, fields.unsigned()?);
        let public = integer(fields.unsigned()?);
        fields.unsigned()?;
        let parameters = element(tag::SEQUENCE, &[&integer(p), &integer(q), &integer(g)]);
        let algorithm = element(tag::SEQUENCE, &[&element(tag::OID, &[oid::DSA]), &parameters]);
        PublicKey::of_parts(&algorithm, &public)
    };
    numbers().ok_or(DAMAGED)
}
