//! Distinguished names as text, and which names a leaf is good for.

use super::der::dotted;
use super::facts::Leaf;
use crate::base::{hex, printable};
use std::net::IpAddr;
use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::prelude::{AttributeTypeAndValue, X509Name};

/// A distinguished name in the string form of RFC 4514: most specific part first, printable.
pub(super) fn text_of(name: &X509Name) -> String {
    let parts: Vec<&_> = name.iter_rdn().collect();
    let text_of_part = |part: &x509_parser::prelude::RelativeDistinguishedName| part.iter().map(attribute).collect::<Vec<_>>().join("+");
    parts.iter().rev().map(|part| text_of_part(part)).collect::<Vec<_>>().join(",")
}

/// The last common name, printable.
pub(super) fn common_name(name: &X509Name) -> Option<String> {
    name.iter_common_name().last().and_then(value).map(|text| printable(&text))
}

fn attribute(part: &AttributeTypeAndValue) -> String {
    let oid = part.attr_type().as_bytes();
    let name = short_name(oid).map_or_else(|| dotted(oid), String::from);
    match value(part) {
        Some(text) => format!("{name}={}", escaped(&printable(&text))),
        None => format!("{name}=#{}", hex(part.as_slice())),
    }
}

/// RFC 4514, 3 and the ones that certificates use besides (RFC 5280, A.1; CA/Browser Forum EV guidelines).
fn short_name(oid: &[u8]) -> Option<&'static str> {
    Some(match oid {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 4] => "SN",
        [0x55, 4, 5] => "serialNumber",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 9] => "STREET",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        [0x55, 4, 12] => "title",
        [0x55, 4, 15] => "businessCategory",
        [0x55, 4, 17] => "postalCode",
        [0x55, 4, 42] => "GN",
        [0x55, 4, 97] => "organizationIdentifier",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "UID",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "emailAddress",
        _ => return None,
    })
}

fn value(part: &AttributeTypeAndValue) -> Option<String> {
    let bytes = part.as_slice();
    match part.attr_value().tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::NumericString | Tag::Ia5String | Tag::VisibleString => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        // In practice Latin-1, whatever T.61 says.
        Tag::T61String => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => {
            let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            Some(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
        }
        Tag::UniversalString => {
            let codes = bytes.chunks_exact(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]));
            Some(codes.map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
        }
        _ => None,
    }
}

/// RFC 4514, 2.4. The backslashes that `printable` put in are doubled with the rest.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (i, c) in text.chars().enumerate() {
        let special = matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') || (c == '#' && i == 0) || (c == ' ' && (i == 0 || i == last));
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Whether a leaf is good for a server of this name or address: RFC 6125, 6.4 with the wildcard as the whole left-most
/// label, which stands for exactly one label and needs two more behind it, as TLS clients see it. An address must be
/// named as such. `*.example.com` is covered by the same wildcard only.
pub fn covers(leaf: &Leaf, server_name: &str) -> bool {
    let wanted = server_name.trim().trim_end_matches('.').to_ascii_lowercase();
    let bare = wanted.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&wanted);
    match bare.parse::<IpAddr>() {
        Ok(address) => leaf.names.iter().any(|name| name.parse() == Ok(address)),
        Err(_) => leaf.names.iter().any(|name| covers_dns(&name.to_ascii_lowercase(), &wanted)),
    }
}

fn covers_dns(pattern: &str, wanted: &str) -> bool {
    let pattern = pattern.trim_end_matches('.');
    if pattern.is_empty() || pattern.parse::<IpAddr>().is_ok() {
        return false;
    }
    if pattern == wanted {
        return true;
    }
    let (Some(parent), Some((label, rest))) = (pattern.strip_prefix("*."), wanted.split_once('.')) else {
        return false;
    };
    !label.is_empty() && label != "*" && rest == parent && rest.contains('.')
}

#[cfg(test)]
mod tests {
    use super::{covers, escaped};
    use crate::base::{ContentHash, KeyFingerprint};
    use crate::material::Leaf;

    fn leaf(names: &[&str]) -> Leaf {
        Leaf {
            subject: String::new(),
            names: names.iter().map(|name| String::from(*name)).collect(),
            serial: String::new(),
            not_before: 0,
            not_after: 0,
            fingerprint: ContentHash::of(b""),
            key: KeyFingerprint::of_spki(b""),
            key_type: String::new(),
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_left_most_label() {
        let leaf = leaf(&["*.example.com", "example.org", "*.com"]);
        for good in ["www.example.com", "WWW.Example.COM.", "*.example.com", "example.org"] {
            assert!(covers(&leaf, good), "{good}");
        }
        for bad in ["example.com", "a.b.example.com", ".example.com", "www.example.org", "*.example.org", "example.com.evil", "x.com", ""] {
            assert!(!covers(&leaf, bad), "{bad}");
        }
    }

    #[test]
    fn an_address_is_compared_as_one() {
        let leaf = leaf(&["192.0.2.1", "2001:db8::1", "*.0.2.1"]);
        for good in ["192.0.2.1", "2001:DB8:0::1", "[2001:db8::1]"] {
            assert!(covers(&leaf, good), "{good}");
        }
        for bad in ["192.0.2.2", "7.0.2.1", "2001:db8::2"] {
            assert!(!covers(&leaf, bad), "{bad}");
        }
    }

    #[test]
    fn a_comma_in_a_name_is_escaped() {
        assert_eq!(escaped("Example, Inc. "), "Example\\, Inc.\\ ");
        assert_eq!(escaped("#1"), "\\#1");
    }
}
