//! Asking a TLS server which certificate it serves.

mod starttls;
mod timed;

use crate::base::{Error, ErrorKind, printable};
use crate::spec::{StartTls, Verify};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use timed::Timed;

/// The DER certificate that the server presents first, without judging it. The error says at which step it failed
/// (resolve, connect, STARTTLS, handshake), printable.
///
/// This asks once; a server that is being reloaded may refuse, and is asked again by the caller. The server has proved that it
/// holds the certificate's private key. That it wants a certificate from us as well, which it does not get, is no failure.
pub fn served_certificate(question: &Verify, timeout: Duration) -> Result<Vec<u8>, String> {
    let deadline = Instant::now() + timeout;
    let place = printable(&question.address);
    let name = ServerName::try_from(question.server_name.clone())
        .map_err(|_| format!("server name {}: neither a host name nor an address", printable(&question.server_name)))?;
    let addresses = resolve(&question.address, timeout).map_err(|why| format!("resolve {place}: {why}"))?;
    let stream = connect(&addresses, deadline).map_err(|error| format!("connect to {place}: {}", text(&error)))?;
    let mut stream = Timed::new(stream, deadline);
    if let Some(protocol) = question.starttls {
        starttls::begin(&mut stream, protocol).map_err(|error| format!("starttls ({}) at {place}: {}", label(protocol), text(&error)))?;
    }
    handshake(&mut stream, name).map_err(|error| format!("tls handshake with {place}: {}", text(&error)))
}

fn label(protocol: StartTls) -> &'static str {
    match protocol {
        StartTls::Smtp => "smtp",
        StartTls::Imap => "imap",
        StartTls::Postgres => "postgres",
    }
}

/// The addresses of `host:port`. The system's resolver knows no deadline, hence a thread, which is left behind if it takes too long.
fn resolve(address: &str, timeout: Duration) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let (sender, receiver) = channel();
    let asked = address.to_owned();
    let thread = move || {
        // Nobody may be listening any more.
        let _ = sender.send(asked.to_socket_addrs().map(Iterator::collect::<Vec<_>>));
    };
    std::thread::Builder::new().name("resolve".into()).spawn(thread).map_err(|error| text(&error))?;
    match receiver.recv_timeout(timeout) {
        Ok(Ok(addresses)) if addresses.is_empty() => Err("no address".into()),
        Ok(found) => found.map_err(|error| text(&error)),
        Err(_) => Err("no answer in time".into()),
    }
}

/// The first address that can be connected to; each gets its share of the time that is left.
fn connect(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (i, address) in addresses.iter().enumerate() {
        let others = u32::try_from(addresses.len() - i).unwrap_or(u32::MAX);
        let share = timed::left(deadline)? / others;
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn handshake(stream: &mut Timed, name: ServerName<'static>) -> io::Result<Vec<u8>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let witness = Arc::new(Witness { provider: Arc::clone(&provider), seen: Mutex::new(Seen::default()) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    // A resumed session shows no certificate.
    config.resumption = Resumption::disabled();
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut done = Ok(());
    while done.is_ok() && connection.is_handshaking() {
        done = connection.complete_io(stream).map(|_| ());
    }
    connection.send_close_notify();
    let _ = connection.write_tls(stream);
    let seen = std::mem::take(&mut *witness.seen.lock().unwrap_or_else(PoisonError::into_inner));
    match (done, seen) {
        (_, Seen { certificate: Some(certificate), is_proved: true }) => Ok(certificate),
        (Err(error), _) => Err(error),
        (Ok(()), _) => Err(io::Error::other("the server showed no certificate")),
    }
}

/// Accepts whatever certificate it is shown and remembers it; whether the server holds its key is checked as ever.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    certificate: Option<Vec<u8>>,
    is_proved: bool,
}

impl Witness {
    fn proved(&self, valid: Result<HandshakeSignatureValid, rustls::Error>) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).is_proved = valid.is_ok();
        valid
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = Seen { certificate: Some(end_entity.to_vec()), is_proved: false };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.proved(verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.proved(verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// An error in words.
fn text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".into(),
        _ => printable(&Error::io(ErrorKind::Hook, "", error).cause),
    }
}

#[cfg(test)]
mod tests;
