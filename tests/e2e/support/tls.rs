//! What a TLS client sees.

use super::process::output;
use std::process::Command;

/// The serial number of the certificate that the server on loopback port `port` shows to a client that asks for `name`.
pub fn serial(port: u16, name: &str) -> String {
    serial_after(port, name, &[])
}

/// The same after STARTTLS: `smtp`, `imap` or `postgres`.
pub fn starttls_serial(port: u16, name: &str, protocol: &str) -> String {
    serial_after(port, name, &["-starttls", protocol])
}

fn serial_after(port: u16, name: &str, more: &[&str]) -> String {
    let address = format!("127.0.0.1:{port}");
    let client = output(Command::new("timeout").args(["60", "openssl", "s_client", "-connect", &address, "-servername", name]).args(more));
    let text = String::from_utf8_lossy(&client.stdout).into_owned();
    let begin = text.find("-----BEGIN CERTIFICATE-----");
    let end = text.find("-----END CERTIFICATE-----");
    let (Some(begin), Some(end)) = (begin, end) else {
        panic!("no certificate from {address} for {name}:\n{text}{}", String::from_utf8_lossy(&client.stderr));
    };
    super::pki::serial_of_text(&format!("{}-----END CERTIFICATE-----\n", &text[begin..end]))
}
