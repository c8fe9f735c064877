//! What a file holds, item by item, and what that makes of the file.

use super::certificate::{self, Certificate};
use super::der::{Reader, bit_length, sequence, tag};
use super::facts::FileKind;
use super::key::{self, Key};
use super::pem::{self, Block, Pem};
use super::spki::PublicKey;
use crate::base::ContentHash;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509CertificationRequest};

/// One thing in a file.
pub(super) enum Item {
    /// A certificate.
    Certificate(Arc<Certificate>),
    /// A private key.
    Key(Key),
    /// A public key.
    PublicKey(PublicKey),
    /// A revocation list, its DER.
    Crl(Vec<u8>),
    /// A signing request, its DER.
    Csr(Vec<u8>),
    /// Diffie-Hellman parameters: length of the prime in bits, SHA-256 of the DER.
    DhParameters(usize, ContentHash),
    /// The name of a curve or other parameters that OpenSSL writes before a key.
    Parameters,
    /// A block that cannot be read: its label, and why.
    Damaged(String, &'static str),
    /// A block of a kind that is not looked into: its label.
    Other(String),
}

/// A file's items in order.
pub(super) struct Contents {
    /// The items.
    pub(super) items: Vec<Item>,
    /// What the file is.
    pub(super) kind: FileKind,
}

/// So many of the last files looked at are remembered; none of them larger than so many bytes.
const REMEMBERED: usize = 32;
const WORTH_REMEMBERING: usize = 64 << 10;

thread_local! {
    /// A file of a set is looked at for what it is, for its facts, and for how it is shown: several times within a moment.
    static LAST: RefCell<VecDeque<(ContentHash, Arc<Contents>)>> = const { RefCell::new(VecDeque::new()) };
}

impl Contents {
    /// Looks at a file. Any bytes will do.
    pub(super) fn read(bytes: &[u8]) -> Arc<Contents> {
        if bytes.len() > WORTH_REMEMBERING {
            return Arc::new(Contents::look(bytes));
        }
        let hash = ContentHash::of(bytes);
        let known = LAST.with_borrow(|last| last.iter().find(|(of, _)| *of == hash).map(|(_, contents)| Arc::clone(contents)));
        known.unwrap_or_else(|| {
            let contents = Arc::new(Contents::look(bytes));
            LAST.with_borrow_mut(|last| {
                last.truncate(REMEMBERED - 1);
                last.push_front((hash, Arc::clone(&contents)));
            });
            contents
        })
    }

    fn look(bytes: &[u8]) -> Contents {
        if let Some(found) = Contents::of_der(bytes) {
            return found;
        }
        let pem = pem::read(bytes);
        let mut items: Vec<Item> = pem.blocks.iter().map(item).collect();
        let mut kind = kind(&items, &pem);
        // Whatever follows a key in DER, the programs that use it read the key.
        if let Some(key) = Reader::new(bytes).take(tag::SEQUENCE).and_then(|first| key::read_der(first.whole)) {
            items.insert(0, Item::Key(key));
            kind = FileKind::PrivateKey;
        }
        Contents { items, kind }
    }

    fn of_der(bytes: &[u8]) -> Option<Contents> {
        let only = |item, kind| Contents { items: vec![item], kind };
        sequence(bytes)?;
        if let Some(found) = certificate::read_der(bytes) {
            // Whoever looks for PEM in it would find a key.
            let kind = if pem::speaks_of_private_keys(bytes) { FileKind::Unrecognised } else { FileKind::Certificates };
            return Some(only(Item::Certificate(Arc::new(found)), kind));
        }
        key::read_der(bytes).map(|found| only(Item::Key(found), FileKind::PrivateKey))
    }

    /// Its certificates in order.
    pub(super) fn certificates(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        self.items.iter().filter_map(|item| match item {
            Item::Certificate(found) => Some(found),
            _ => None,
        })
    }

    /// Its private keys in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.items.iter().filter_map(|item| match item {
            Item::Key(found) => Some(found),
            _ => None,
        })
    }
}

/// Labels under which OpenSSL reads certificates; the last carries trust settings behind the certificate.
pub(super) fn is_certificate_label(label: &str) -> bool {
    matches!(label, "CERTIFICATE" | "X509 CERTIFICATE" | TRUSTED)
}

const TRUSTED: &str = "TRUSTED CERTIFICATE";

/// Whether a block's label, whatever else it says, announces a private key.
fn is_key_label(label: &str) -> bool {
    label.to_ascii_uppercase().contains("PRIVATE KEY")
}

fn item(block: &Block) -> Item {
    let label = block.label.as_str();
    let der = match &block.body {
        Ok(der) => der.as_slice(),
        Err(why) if is_key_label(label) => return Item::Key(Key::Damaged(why)),
        Err(why) => return Item::Damaged(label.into(), why),
    };
    if is_key_label(label) {
        return Item::Key(if block.encrypted { Key::Encrypted } else { key::read(label, der) });
    }
    if is_certificate_label(label) {
        return match Certificate::read(der) {
            Ok(found) => Item::Certificate(Arc::new(found)),
            Err(why) => Item::Damaged(label.into(), why),
        };
    }
    let read = match label {
        "PUBLIC KEY" => PublicKey::of_spki(der).map(Item::PublicKey),
        "RSA PUBLIC KEY" => PublicKey::of_parts(super::spki::RSA_ALGORITHM, der).map(Item::PublicKey),
        "X509 CRL" => whole(CertificateRevocationList::from_der(der).ok()).map(|()| Item::Crl(der.to_vec())),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            whole(X509CertificationRequest::from_der(der).ok()).map(|()| Item::Csr(der.to_vec()))
        }
        "DH PARAMETERS" | "X9.42 DH PARAMETERS" => dh(label, der),
        "EC PARAMETERS" => is_curve_name(der).then_some(Item::Parameters),
        _ => Some(Item::Other(label.into())),
    };
    read.unwrap_or_else(|| Item::Damaged(label.into(), "it is not what its BEGIN line says"))
}

/// Nothing may follow: what is shown as public must be that and nothing else.
fn whole<T>(parsed: Option<(&[u8], T)>) -> Option<()> {
    parsed.filter(|(rest, _)| rest.is_empty()).map(|_| ())
}

/// DHParameter (PKCS #3, 9) is a prime, a base and perhaps a small length; DomainParameters (RFC 3279, 2.3.3) go on otherwise
/// and also begin with the prime. Private keys begin with a small number.
fn dh(label: &str, der: &[u8]) -> Option<Item> {
    const SHORTEST: usize = 256;
    let mut numbers = sequence(der)?;
    let (prime, _base) = (numbers.unsigned()?, numbers.unsigned()?);
    let is_whole = match label {
        "DH PARAMETERS" => numbers.rest().is_empty() || (numbers.unsigned()?.len() <= 4 && numbers.rest().is_empty()),
        _ => numbers.unsigned().is_some(),
    };
    (is_whole && bit_length(prime) >= SHORTEST).then(|| Item::DhParameters(bit_length(prime), ContentHash::of(der)))
}

/// A named curve and nothing else: explicit parameters are rare, and what is not looked into is not public.
fn is_curve_name(der: &[u8]) -> bool {
    let mut reader = Reader::new(der);
    reader.take(tag::OID).is_some() && reader.rest().is_empty()
}

/// A file is public only if everything in it is recognised as such and nothing around it may be a key.
fn kind(items: &[Item], pem: &Pem) -> FileKind {
    if items.iter().any(|item| matches!(item, Item::Key(_))) {
        return FileKind::PrivateKey;
    }
    if !pem.harmless_outside || pem.speaks_of_private_keys {
        return FileKind::Unrecognised;
    }
    let mut kinds = Vec::new();
    for (item, block) in items.iter().zip(&pem.blocks) {
        match standing(item, block) {
            Standing::Public(kind) => kinds.push(kind),
            Standing::Neutral => {}
            Standing::Private => return FileKind::Unrecognised,
        }
    }
    if kinds.contains(&FileKind::Certificates) {
        return FileKind::Certificates;
    }
    kinds.first().copied().unwrap_or(FileKind::Unrecognised)
}

/// What an item says about its file.
enum Standing {
    Public(FileKind),
    Neutral,
    Private,
}

fn standing(item: &Item, block: &Block) -> Standing {
    match item {
        Item::Certificate(found) if found.trailing && block.label != TRUSTED => Standing::Private,
        Item::Certificate(_) => Standing::Public(FileKind::Certificates),
        Item::PublicKey(_) => Standing::Public(FileKind::PublicKey),
        Item::Crl(_) => Standing::Public(FileKind::Crl),
        Item::Csr(_) => Standing::Public(FileKind::Csr),
        Item::DhParameters(..) => Standing::Public(FileKind::DhParameters),
        Item::Parameters => Standing::Neutral,
        Item::Key(_) | Item::Damaged(..) | Item::Other(_) => Standing::Private,
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind_of;
    use crate::material::FileKind;

    const PUBLIC: &str =
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn a_certificate_in_der_that_speaks_of_a_private_key_is_not_public() -> Result<(), Box<dyn std::error::Error>> {
        let key = rcgen::KeyPair::generate()?;
        for (name, kind) in [("site.test", FileKind::Certificates), ("x\n-----BEGIN PRIVATE KEY-----\n", FileKind::Unrecognised)] {
            let mut params = rcgen::CertificateParams::new(vec!["site.test".to_owned()])?;
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            assert_eq!(kind_of(params.self_signed(&key)?.der()), kind, "{name:?}");
        }
        Ok(())
    }

    #[test]
    fn a_file_with_any_mark_of_a_private_key_is_not_public() {
        assert_eq!(kind_of(PUBLIC.as_bytes()), FileKind::PublicKey);
        assert_eq!(kind_of(format!("# for the web\r\n{PUBLIC}").as_bytes()), FileKind::PublicKey);
        for more in [
            "-----BEGIN PRIVATE KEY-----\n",
            "----BEGIN PRIVATE KEY----\n",
            "  -----BEGIN RSA PRIVATE KEY-----\n",
            "Private-Key: (2048 bit)\n",
            "-----BEGIN PUBLIC KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PUBLIC KEY-----\n",
            "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n",
            "-----BEGIN DH PARAMETERS-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END DH PARAMETERS-----\n",
            "-----BEGIN SOMETHING-----\nAAAA\n-----END SOMETHING-----\n",
            "\0",
        ] {
            assert!(!kind_of(format!("{PUBLIC}{more}").as_bytes()).is_public(), "{more:?}");
        }
        assert_eq!(kind_of(b""), FileKind::Unrecognised);
        assert_eq!(kind_of(b"0"), FileKind::Unrecognised);
    }

    #[test]
    fn a_plain_key_labelled_as_an_encrypted_one_is_a_damaged_key() {
        let plain = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
        let block = format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{plain}\n-----END ENCRYPTED PRIVATE KEY-----\n");
        let contents = super::Contents::read(block.as_bytes());
        assert!(contents.keys().all(|key| matches!(key, super::Key::Damaged(_))) && contents.keys().count() == 1);
        assert_eq!(kind_of(block.as_bytes()), FileKind::PrivateKey);
    }

    #[test]
    fn a_key_in_der_is_one_whatever_follows_it() {
        let key = [&[0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 34, 4, 32][..], &[7; 32]].concat();
        for more in ["", "\n", "\0zr", PUBLIC] {
            assert_eq!(kind_of(&[&key, more.as_bytes()].concat()), FileKind::PrivateKey, "{more:?}");
        }
        let contents = super::Contents::read(&[&key, &b"\n"[..], PUBLIC.as_bytes()].concat());
        assert_eq!((contents.keys().count(), contents.items.len()), (1, 2));
    }
}
