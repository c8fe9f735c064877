//! Certificates of one authority, each younger than the one before.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use std::sync::OnceLock;

/// A leaf with its chain and key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub cert: String,
    pub chain: String,
    pub key: String,
}

impl Pair {
    /// The `number`th renewal for `name`, with a key of its own; a higher number starts later.
    pub fn new(name: &str, number: u8) -> Pair {
        Pair::of(&[name], number)
    }

    /// The same for several names.
    pub fn of(names: &[&str], number: u8) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2024, 1, 1 + number);
        params.not_after = date_time_ymd(2099, 1, 1);
        let (issuer, chain) = authority();
        let cert = params.signed_by(&key, issuer).expect("a signature");
        Pair { cert: cert.pem(), chain: chain.clone(), key: key.serialize_pem() }
    }

    pub fn fullchain(&self) -> String {
        format!("{}{}", self.cert, self.chain)
    }

    /// What haproxy reads.
    pub fn joined(&self) -> String {
        format!("{}{}", self.fullchain(), self.key)
    }

    /// Certbot's four files.
    pub fn files(&self) -> [(&'static str, String); 4] {
        [
            ("cert.pem", self.cert.clone()),
            ("chain.pem", self.chain.clone()),
            ("fullchain.pem", self.fullchain()),
            ("privkey.pem", self.key.clone()),
        ]
    }
}

fn authority() -> &'static (Issuer<'static, KeyPair>, String) {
    static AUTHORITY: OnceLock<(Issuer<'static, KeyPair>, String)> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2100, 1, 1);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        (Issuer::new(params, key), pem)
    })
}
