//! Against a rustls server behind a few lines that speak as far as STARTTLS, and against `openssl s_server`.

use super::served_certificate;
use crate::spec::{StartTls, Verify};
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion, version};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Fault = Box<dyn std::error::Error + Send + Sync>;
type Test = Result<(), Fault>;

const LONG: Duration = Duration::from_secs(10);
/// Said by the server and waited for from the client, in turn; the server begins.
type Script = &'static [(&'static [u8], &'static [u8])];

struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn identity(name: &str, algorithm: &'static SignatureAlgorithm) -> Result<Identity, Fault> {
    let key = KeyPair::generate_for(algorithm)?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    // Expired: what is served is reported, not judged.
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0])];
    let certificate = params.self_signed(&key)?.der().clone();
    Ok(Identity { certificate, key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())) })
}

/// Chooses by SNI, as a web server does; the last one is for everybody else.
#[derive(Debug)]
struct ByName(Vec<(String, Arc<CertifiedKey>)>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = self.0.iter().find(|(name, _)| hello.server_name() == Some(name));
        named.or(self.0.last()).map(|(_, key)| Arc::clone(key))
    }
}

fn config(
    identities: &[(&str, &Identity)],
    versions: &[&'static SupportedProtocolVersion],
    ask_client: bool,
) -> Result<ServerConfig, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions)?;
    let builder = match (ask_client, identities.first()) {
        (true, Some((_, identity))) => {
            let mut roots = RootCertStore::empty();
            roots.add(identity.certificate.clone())?;
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut keys = Vec::new();
    for (name, identity) in identities {
        let key = aws_lc_rs::sign::any_supported_type(&identity.key)?;
        keys.push(((*name).to_owned(), Arc::new(CertifiedKey::new(vec![identity.certificate.clone()], key))));
    }
    Ok(builder.with_cert_resolver(Arc::new(ByName(keys))))
}

/// Serves one connection; its address.
fn serve(script: Script, config: ServerConfig) -> Result<String, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || -> Test {
        let (mut stream, _) = listener.accept()?;
        for (said, awaited) in script {
            stream.write_all(said)?;
            let mut heard = vec![0; awaited.len()];
            stream.read_exact(&mut heard)?;
            assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(awaited));
        }
        let mut connection = ServerConnection::new(Arc::new(config))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        let mut rest = Vec::new();
        let _ = rustls::Stream::new(&mut connection, &mut stream).read_to_end(&mut rest);
        Ok(())
    });
    Ok(address)
}

/// Says `bytes` and then nothing, keeping the connection open if `stay`.
fn say(bytes: &'static [u8], stay: Duration) -> Result<String, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || -> Test {
        let (mut stream, _): (TcpStream, _) = listener.accept()?;
        stream.write_all(bytes)?;
        std::thread::sleep(stay);
        Ok(())
    });
    Ok(address)
}

fn ask(address: &str, name: &str, starttls: Option<StartTls>) -> Result<Vec<u8>, String> {
    served_certificate(&Verify { address: address.into(), server_name: name.into(), starttls }, LONG)
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

#[test]
fn the_certificate_of_the_name_asked_for_is_reported_in_both_versions() -> Test {
    let a = identity("a.example", &PKCS_ECDSA_P256_SHA256)?;
    let b = identity("b.example", &PKCS_ED25519)?;
    for versions in [&[&version::TLS12][..], &[&version::TLS13]] {
        let address = serve(&[], config(&[("a.example", &a), ("b.example", &b)], versions, false)?)?;
        assert_eq!(ask(&address, "a.example", None)?, a.certificate.to_vec());
        let address = serve(&[], config(&[("a.example", &a), ("b.example", &b)], versions, false)?)?;
        assert_eq!(ask(&address, "127.0.0.1", None)?, b.certificate.to_vec(), "an address is no SNI");
    }
    Ok(())
}

#[test]
fn a_server_that_wants_a_certificate_from_us_shows_its_own_all_the_same() -> Test {
    let a = identity("a.example", &PKCS_ECDSA_P256_SHA256)?;
    for versions in [&[&version::TLS12][..], &[&version::TLS13]] {
        let address = serve(&[], config(&[("a.example", &a)], versions, true)?)?;
        assert_eq!(ask(&address, "a.example", None)?, a.certificate.to_vec());
    }
    Ok(())
}

#[test]
fn a_server_without_the_key_is_not_believed() -> Test {
    let a = identity("a.example", &PKCS_ECDSA_P256_SHA256)?;
    let other = identity("a.example", &PKCS_ECDSA_P256_SHA256)?;
    for versions in [&[&version::TLS12][..], &[&version::TLS13]] {
        let impostor = Identity { certificate: a.certificate.clone(), key: other.key.clone_key() };
        let address = serve(&[], config(&[("a.example", &impostor)], versions, false)?)?;
        let answer = ask(&address, "a.example", None);
        assert!(answer.as_ref().is_err_and(|why| why.starts_with("tls handshake with 127.0.0.1:")), "{answer:?}");
    }
    Ok(())
}

#[test]
fn tls_begins_after_starttls_in_smtp_imap_and_postgres() -> Test {
    let a = identity("a.example", &PKCS_ECDSA_P256_SHA256)?;
    let smtp: Script = &[
        (b"220-mail\r\n220 ready\r\n", b"EHLO certsync.invalid\r\n"),
        (b"250-mail\r\n250-STARTTLS\r\n250 HELP\r\n", b"STARTTLS\r\n"),
        (b"220 2.0.0 go\r\n", b""),
    ];
    let imap: Script = &[(b"* OK [CAPABILITY IMAP4rev1] hi\r\n", b"a001 STARTTLS\r\n"), (b"* OK still\r\na001 ok begin\r\n", b"")];
    let postgres: Script = &[(b"", b"\x00\x00\x00\x08\x04\xd2\x16\x2f"), (b"S", b"")];
    for (protocol, script) in [(StartTls::Smtp, smtp), (StartTls::Imap, imap), (StartTls::Postgres, postgres)] {
        let address = serve(script, config(&[("a.example", &a)], BOTH, false)?)?;
        assert_eq!(ask(&address, "a.example", Some(protocol))?, a.certificate.to_vec(), "{protocol:?}");
    }
    Ok(())
}

#[test]
fn a_refusal_names_the_step_and_what_was_said() -> Test {
    let short = Duration::ZERO;
    let cases: [(StartTls, &[u8], &str); 6] = [
        (StartTls::Smtp, b"554 no\x1b[1m\r\n", "the server answered \"554 no\\\\u{1b}[1m\""),
        (StartTls::Smtp, b"220 a\r\n250 b\r\n454 not now\r\n", "the server answered \"454 not now\""),
        (StartTls::Imap, b"* BYE busy\r\n", "the server answered \"* BYE busy\""),
        (StartTls::Imap, b"* OK\r\na001 BAD what\r\n", "the server answered \"a001 BAD what\""),
        (StartTls::Postgres, b"N", "the server has tls switched off"),
        (StartTls::Postgres, b"", "the server closed the connection"),
    ];
    for (protocol, said, why) in cases {
        // Kept open for a while, lest a reset overtakes what was said.
        let address = say(said, if said.is_empty() { short } else { Duration::from_millis(300) })?;
        let answer = ask(&address, "a.example", Some(protocol));
        let reset = said.is_empty() && answer.as_ref().is_err_and(|text| text.contains("connection reset"));
        assert!(reset || answer == Err(format!("starttls ({}) at {address}: {why}", super::label(protocol))), "{answer:?}");
    }
    Ok(())
}

#[test]
fn an_address_that_answers_nothing_fails_at_the_deadline_with_its_step() -> Test {
    let ask = |address: &str, starttls| {
        let question = Verify { address: address.into(), server_name: "a.example".into(), starttls };
        served_certificate(&question, Duration::from_millis(200)).err().unwrap_or_default()
    };
    let start = Instant::now();
    let address = say(b"", LONG)?;
    assert_eq!(ask(&address, None), format!("tls handshake with {address}: no answer in time"));
    let address = say(b"220", LONG)?;
    assert_eq!(ask(&address, Some(StartTls::Smtp)), format!("starttls (smtp) at {address}: no answer in time"));
    assert!(start.elapsed() < Duration::from_secs(5));
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    assert_eq!(ask(&closed.to_string(), None), format!("connect to {closed}: connection refused"));
    let nowhere = ask("127.0.0.1", None);
    assert!(nowhere.starts_with("resolve 127.0.0.1: "), "{nowhere}");
    Ok(())
}

#[test]
fn a_server_that_does_not_speak_tls_is_named() -> Test {
    let address = say(b"HTTP/1.1 400 Bad Request\r\n\r\n", Duration::from_millis(300))?;
    let answer = ask(&address, "a.example", None);
    assert!(answer.as_ref().is_err_and(|why| why.starts_with(&format!("tls handshake with {address}: "))), "{answer:?}");
    let name = served_certificate(&Verify { address, server_name: "a b".into(), starttls: None }, LONG);
    assert_eq!(name, Err("server name a b: neither a host name nor an address".into()));
    Ok(())
}

#[test]
fn openssl_s_server_is_understood() -> Test {
    use std::process::{Command, Stdio};
    let Ok(version) = Command::new("openssl").arg("version").output() else {
        eprintln!("skipped: needs openssl");
        return Ok(());
    };
    assert!(version.status.success());
    let folder = tempfile::tempdir()?;
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("cert.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a.example", "-days", "2", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status()?;
    assert!(made.success());
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &address, "-cert"])
        .arg(&certificate)
        .arg("-key")
        .arg(&key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let until = Instant::now() + LONG;
    let mut answer = ask(&address, "a.example", None);
    while answer.is_err() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
        answer = ask(&address, "a.example", None);
    }
    server.kill()?;
    server.wait()?;
    let der = Command::new("openssl").args(["x509", "-outform", "DER", "-in"]).arg(&certificate).output()?.stdout;
    assert_eq!(answer, Ok(der));
    Ok(())
}
