//! Names and addresses of the network, as values of a spec.

use super::fault::quoted;
use super::leaf::{Raw, Wrong, leaf, wrong};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A name that a certificate covers: a DNS name, perhaps with `*.` before it, or an IP address.
#[derive(Debug, Clone)]
pub struct CertName(pub String);

impl CertName {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let text = raw.text.as_str();
        let name = text.strip_prefix("*.").unwrap_or(text);
        if is_dns_name(name) || text.parse::<IpAddr>().is_ok() {
            return Ok(CertName(text.to_owned()));
        }
        let hint = if text.is_ascii() {
            "write a DNS name such as www.example.com or *.example.com, or an IP address"
        } else {
            "write the name as it stands in the certificate, such as xn--mnchen-3ya.example"
        };
        wrong(format!("not a name that a certificate can cover: {}", quoted(text)), hint)
    }
}

pub(super) fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 253 && text.split('.').all(label) && !text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

leaf!(CertName, { "type": "string", "description": "A DNS name, perhaps with *. before it, or an IP address.", "minLength": 1 });

/// The name that a TLS client asks for: a DNS name or an IP address.
#[derive(Debug, Clone)]
pub struct ServedName(pub String);

impl ServedName {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        if is_dns_name(&raw.text) || raw.text.parse::<IpAddr>().is_ok() {
            return Ok(ServedName(raw.text.clone()));
        }
        wrong(format!("not the name of a server: {}", quoted(&raw.text)), "write the one name that clients use, such as www.example.com")
    }
}

leaf!(ServedName, { "type": "string", "description": "A DNS name or an IP address.", "minLength": 1 });

/// `host:port`.
#[derive(Debug, Clone)]
pub struct Address(pub String);

impl Address {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let hint = "write host:port, such as 127.0.0.1:443, [::1]:443 or localhost:25";
        let Some((host, port)) = raw.text.rsplit_once(':').filter(|_| raw.text.parse::<IpAddr>().is_err()) else {
            return wrong(format!("an address needs a port: {}", quoted(&raw.text)), hint);
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good_host = match bracketed {
            Some(host) => host.parse::<Ipv6Addr>().is_ok(),
            None => is_dns_name(host) || host.parse::<Ipv4Addr>().is_ok(),
        };
        let good_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
        if good_host && good_port { Ok(Address(raw.text.clone())) } else { wrong(format!("not an address: {}", quoted(&raw.text)), hint) }
    }
}

leaf!(Address, { "type": "string", "description": "host:port, such as 127.0.0.1:443 or [::1]:443.", "pattern": ":[0-9]+$" });

#[cfg(test)]
mod tests {
    use super::{Address, CertName, Raw};

    fn raw(text: &str) -> Raw {
        Raw { text: text.into(), plain: true }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["127.0.0.1:443", "[::1]:443", "localhost:25", "mail.example.com:587"] {
            assert!(Address::read(&raw(good)).is_ok(), "{good}");
        }
        for bad in ["localhost", "127.0.0.1", "::1", "[::1]", ":443", "a b:1", "x:0", "x:65536", "x:+1", "[x]:1"] {
            assert!(Address::read(&raw(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_certificate_covers_dns_names_and_addresses() {
        for good in ["example.com", "*.example.com", "localhost", "10.0.0.1", "::1", "_dmarc.example.com"] {
            assert!(CertName::read(&raw(good)).is_ok(), "{good}");
        }
        for bad in ["", "*", "a.*.b", "*.*.a", "münchen.example", "a b", "a..b", "10.0.0", "{name}"] {
            assert!(CertName::read(&raw(bad)).is_err(), "{bad}");
        }
    }
}
