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
    /// It is in order as far as one can see, but its public half cannot be told: why, and the OID of its algorithm where
    /// that is known.
    Opaque(&'static str, Option<Vec<u8>>),
    /// It cannot be read.
    Damaged(&'static str),
}

/// A kind of key or form that is not understood is opaque, one that is understood and wrong is damaged.
type Read = Result<PublicKey, Key>;

const DAMAGED: Key = Key::Damaged("it is not a whole key");

/// Reads the body of a PEM block whose label ends in `PRIVATE KEY`.
pub(super) fn read(label: &str, der: &[u8]) -> Key {
    let read = match label {
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "DSA PRIVATE KEY" | "ANY PRIVATE KEY" => of_any_form(der),
        "ENCRYPTED PRIVATE KEY" if is_encrypted_pkcs8(der) => return Key::Encrypted,
        "ENCRYPTED PRIVATE KEY" => Err(Key::Damaged("it is not the encrypted key that its BEGIN line announces")),
        "OPENSSH PRIVATE KEY" => Err(Key::Opaque("in OpenSSH's form, which TLS servers do not read", None)),
        _ => Err(Key::Opaque("of an unknown form", None)),
    };
    read.map_or_else(|key| key, Key::Readable)
}

/// OpenSSL 3 reads each form under each of these labels. The forms differ in their second field, so that the first
/// that does not call the key damaged is the one it has.
fn of_any_form(der: &[u8]) -> Read {
    let forms: [fn(&[u8]) -> Read; 4] = [pkcs8, |der| rsa(der, RSA_ALGORITHM, "RSA"), |der| sec1(der, None), dsa];
    let mut worst = DAMAGED;
    for form in forms {
        match form(der) {
            Err(Key::Damaged(why)) => worst = if worst == DAMAGED { Key::Damaged(why) } else { worst },
            found => return found,
        }
    }
    Err(worst)
}

/// Reads a file that is one DER key and nothing else.
pub(super) fn read_der(der: &[u8]) -> Option<Key> {
    match of_any_form(der) {
        Ok(key) => Some(Key::Readable(key)),
        Err(opaque @ Key::Opaque(..)) => Some(opaque),
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
            public.ok_or_else(|| Key::Opaque("of a kind that certsync cannot compare", Some(oid.to_vec())))
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

/// ECPrivateKey (RFC 5915, 3); `parameters` are PKCS#8's, its own go first, as with OpenSSL. On the curves that TLS uses
/// the public half is computed, and what the file claims it to be must be that.
fn sec1(der: &[u8], parameters: Option<Tlv>) -> Read {
    let mut fields = sequence(der).ok_or(DAMAGED)?;
    fields.take(tag::INTEGER).ok_or(DAMAGED)?;
    let scalar = fields.take(tag::OCTET_STRING).ok_or(DAMAGED)?.body;
    let own = fields.take(tag::CONTEXT_0).and_then(|found| found.inside().any());
    let embedded = fields.take(tag::CONTEXT_1).and_then(|found| found.inside().bits());
    let parameters = own.or(parameters).ok_or(Key::Damaged("it does not say its curve"))?;
    let algorithm = element(tag::SEQUENCE, &[&element(tag::OID, &[oid::EC]), parameters.whole]);
    let claimed = embedded.and_then(|point| PublicKey::of_parts(&algorithm, point));
    let Some(computed) = point(parameters.body, scalar)? else {
        return claimed.ok_or_else(|| Key::Opaque("on a curve that certsync cannot compute with", Some(oid::EC.to_vec())));
    };
    let computed = PublicKey::of_parts(&algorithm, computed.as_ref()).ok_or(DAMAGED)?;
    match claimed {
        Some(claimed) if claimed != computed => Err(Key::Damaged("its public half is not that of its private half")),
        _ => Ok(computed),
    }
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
