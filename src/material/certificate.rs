//! One certificate (RFC 5280, 4.1).
//!
//! The skeleton is read with our own DER reader, so that a certificate with an odd name or extension still has a key and
//! dates; names and extensions are x509-parser's.

use super::der::{Reader, sequence, tag};
use super::facts::Leaf;
use super::name::{common_name, text_of};
use super::spki::PublicKey;
use crate::base::{ContentHash, hex, printable};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, ParsedExtension, X509Extension, X509Name};

/// What is known about one certificate.
pub(super) struct Certificate {
    /// SHA-256 of its DER.
    pub(super) fingerprint: ContentHash,
    /// Subject and issuer, printable.
    pub(super) subject: String,
    pub(super) issuer: String,
    /// Names it is good for, printable, lower case, sorted.
    pub(super) names: Vec<String>,
    /// Lower-case hexadecimal.
    pub(super) serial: String,
    /// Unix seconds.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// Its public key.
    pub(super) key: PublicKey,
    /// Whether it may sign others, or is a root from before such marks existed.
    pub(super) is_ca: bool,
    /// Key identifiers of its key and of its issuer's.
    pub(super) key_id: Option<Vec<u8>>,
    pub(super) issuer_key_id: Option<Vec<u8>>,
    /// What is signed, how, and the signature.
    pub(super) signed: Vec<u8>,
    pub(super) signature_algorithm: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// Whether something follows that is no part of it.
    pub(super) trailing: bool,
}

const NOT_ONE: &str = "it is not a whole certificate";

impl Certificate {
    /// Reads the certificate at the beginning of `der`.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) fn read(der: &[u8]) -> Result<Certificate, &'static str> {
        let mut outside = Reader::new(der);
        let whole = outside.take(tag::SEQUENCE).ok_or(NOT_ONE)?;
        let mut parts = whole.inside();
        let signed = parts.take(tag::SEQUENCE).ok_or(NOT_ONE)?;
        let signature_algorithm = parts.take(tag::SEQUENCE).ok_or(NOT_ONE)?;
        // Whatever is in it: a bad signature is still a certificate's.
        let (_, signature) = parts.take(tag::BIT_STRING).and_then(|bits| bits.body.split_first()).ok_or(NOT_ONE)?;
        let body = Body::read(signed.inside())?;
        let extensions = Extensions::read(body.extensions);
        let (issuer, subject) = (Name::read(body.issuer), Name::read(body.subject));
        let is_ca = extensions.is_ca || (!body.has_version && body.issuer == body.subject);
        Ok(Certificate {
            fingerprint: ContentHash::of(whole.whole),
            names: extensions.names.unwrap_or_else(|| if is_ca { Vec::new() } else { subject.server_names() }),
            is_ca,
            subject: subject.text,
            issuer: issuer.text,
            serial: serial(body.serial),
            not_before: body.not_before,
            not_after: body.not_after,
            key: PublicKey::of_spki(body.key).ok_or("its public key cannot be read")?,
            key_id: extensions.key_id,
            issuer_key_id: extensions.issuer_key_id,
            signed: signed.whole.to_vec(),
            signature_algorithm: signature_algorithm.whole.to_vec(),
            signature: signature.to_vec(),
            trailing: !outside.rest().is_empty() || !parts.rest().is_empty(),
        })
    }

    /// What is kept of it when it is a leaf.
    pub(super) fn leaf(&self) -> Leaf {
        Leaf {
            subject: self.subject.clone(),
            names: self.names.clone(),
            serial: self.serial.clone(),
            not_before: self.not_before,
            not_after: self.not_after,
            fingerprint: self.fingerprint,
            key: self.key.fingerprint,
            key_type: self.key.name.clone(),
        }
    }

    /// How messages name it: its first name, else its subject, else its serial number.
    pub(super) fn title(&self) -> String {
        let name = self.names.first().filter(|_| !self.is_ca).unwrap_or(&self.subject);
        if name.is_empty() { format!("serial {}", self.serial) } else { name.clone() }
    }
}

/// TBSCertificate.
struct Body<'a> {
    has_version: bool,
    serial: &'a [u8],
    issuer: &'a [u8],
    not_before: i64,
    not_after: i64,
    subject: &'a [u8],
    key: &'a [u8],
    extensions: Option<&'a [u8]>,
}

impl<'a> Body<'a> {
    fn read(mut fields: Reader<'a>) -> Result<Body<'a>, &'static str> {
        let has_version = fields.take(tag::CONTEXT_0).is_some();
        let serial = fields.take(tag::INTEGER).ok_or(NOT_ONE)?.body;
        fields.take(tag::SEQUENCE).ok_or(NOT_ONE)?;
        let issuer = fields.take(tag::SEQUENCE).ok_or(NOT_ONE)?.whole;
        let mut validity = fields.take(tag::SEQUENCE).ok_or(NOT_ONE)?.inside();
        let subject = fields.take(tag::SEQUENCE).ok_or(NOT_ONE)?.whole;
        let key = fields.take(tag::SEQUENCE).ok_or(NOT_ONE)?.whole;
        let mut extensions = None;
        while let Some(field) = fields.any() {
            if field.tag == tag::CONTEXT_3 {
                extensions = field.inside().take(tag::SEQUENCE).map(|list| list.body);
            }
        }
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        Ok(Body { has_version, serial, issuer, not_before, not_after, subject, key, extensions })
    }
}

fn time(validity: &mut Reader) -> Result<i64, &'static str> {
    let wrong = "its dates cannot be read";
    let found = validity.any().ok_or(wrong)?;
    ASN1Time::from_der(found.whole).map(|(_, time)| time.timestamp()).map_err(|_| wrong)
}

/// A serial number as OpenSSL prints it, in lower case: without the zero byte that only says that it is positive.
fn serial(body: &[u8]) -> String {
    match body {
        [0, rest @ ..] if !rest.is_empty() => hex(rest),
        _ => hex(body),
    }
}

struct Name {
    text: String,
    common_name: Option<String>,
}

impl Name {
    fn read(der: &[u8]) -> Name {
        match X509Name::from_der(der) {
            Ok((_, name)) => Name { text: text_of(&name), common_name: common_name(&name).map(|name| name.to_lowercase()) },
            Err(_) => Name { text: format!("#{}", hex(der)), common_name: None },
        }
    }
}

impl Name {
    /// Where subjectAltName names no server, some clients still look at the common name, never for an address.
    fn server_names(&self) -> Vec<String> {
        self.common_name.iter().filter(|name| name.parse::<IpAddr>().is_err()).cloned().collect()
    }
}

/// The extensions that matter here.
#[derive(Default)]
struct Extensions {
    /// `None` where subjectAltName names no server.
    names: Option<Vec<String>>,
    is_ca: bool,
    key_id: Option<Vec<u8>>,
    issuer_key_id: Option<Vec<u8>>,
}

impl Extensions {
    fn read(list: Option<&[u8]>) -> Extensions {
        let mut found = Extensions::default();
        let mut list = Reader::new(list.unwrap_or_default());
        while let Some(extension) = list.any() {
            // One that cannot be parsed says nothing; the others still count.
            if let Ok((_, extension)) = X509Extension::from_der(extension.whole) {
                found.take(extension.parsed_extension());
            }
        }
        found
    }

    fn take(&mut self, extension: &ParsedExtension) {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => self.names = server_names(&names.general_names),
            ParsedExtension::BasicConstraints(constraints) => self.is_ca |= constraints.ca,
            ParsedExtension::KeyUsage(usage) => self.is_ca |= usage.key_cert_sign(),
            ParsedExtension::SubjectKeyIdentifier(id) => self.key_id = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => self.issuer_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec()),
            _ => {}
        }
    }
}

/// DNS names and addresses, sorted, each once; `None` where there are none. Also used for requests.
pub(super) fn server_names(names: &[GeneralName]) -> Option<Vec<String>> {
    let mut out: Vec<String> = names.iter().filter_map(server_name).collect();
    out.sort();
    out.dedup();
    (!out.is_empty()).then_some(out)
}

fn server_name(name: &GeneralName) -> Option<String> {
    match name {
        // A DNS name that looks like an address is good for no address (RFC 9525, 6.5): it must not look like one here.
        GeneralName::DNSName(name) if name.parse::<IpAddr>().is_ok() => Some(format!("DNS:{name}")),
        GeneralName::DNSName(name) => Some(printable(&name.to_lowercase())),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).to_string())
}

/// Reads a file that is one DER certificate and nothing else.
pub(super) fn read_der(bytes: &[u8]) -> Option<Certificate> {
    sequence(bytes)?;
    Certificate::read(bytes).ok().filter(|found| !found.trailing)
}
