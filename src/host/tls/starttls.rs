//! What is said before TLS begins.

use crate::base::printable;
use crate::spec::StartTls;
use std::io::{self, Read, Write};

const LONGEST_LINE: usize = 4096;
const MOST_LINES: usize = 200;

/// Brings a fresh connection to where the TLS handshake begins. Nothing of the handshake is read.
pub(super) fn begin(stream: &mut (impl Read + Write), protocol: StartTls) -> io::Result<()> {
    match protocol {
        StartTls::Smtp => smtp(stream),
        StartTls::Imap => imap(stream),
        StartTls::Postgres => postgres(stream),
    }
}

/// RFC 3207, with replies as in RFC 5321, 4.2.1.
fn smtp(stream: &mut (impl Read + Write)) -> io::Result<()> {
    smtp_reply(stream, "220")?;
    stream.write_all(b"EHLO certsync.invalid\r\n")?;
    smtp_reply(stream, "250")?;
    stream.write_all(b"STARTTLS\r\n")?;
    smtp_reply(stream, "220")
}

fn smtp_reply(stream: &mut impl Read, code: &str) -> io::Result<()> {
    for _ in 0..MOST_LINES {
        let line = read_line(stream)?;
        match line.strip_prefix(code) {
            Some(rest) if rest.starts_with('-') => {}
            Some(rest) if rest.is_empty() || rest.starts_with(' ') => return Ok(()),
            _ => return Err(refused(&line)),
        }
    }
    Err(io::Error::other("a reply without end"))
}

/// RFC 9051, 6.2.1; the greeting and untagged lines as in 7.1.
fn imap(stream: &mut (impl Read + Write)) -> io::Result<()> {
    let greeting = read_line(stream)?;
    if !starts_with(&greeting, "* OK") {
        return Err(refused(&greeting));
    }
    stream.write_all(b"a001 STARTTLS\r\n")?;
    for _ in 0..MOST_LINES {
        let line = read_line(stream)?;
        if starts_with(&line, "a001 OK") {
            return Ok(());
        }
        if !line.starts_with("* ") || starts_with(&line, "* BYE") {
            return Err(refused(&line));
        }
    }
    Err(io::Error::other("a reply without end"))
}

/// The SSLRequest of PostgreSQL's protocol: length 8, code 80877103; one byte answers, `S` for yes.
fn postgres(stream: &mut (impl Read + Write)) -> io::Result<()> {
    let request = [8_u32.to_be_bytes(), 80_877_103_u32.to_be_bytes()].concat();
    stream.write_all(&request)?;
    let mut answer = [0];
    read_all(stream, &mut answer)?;
    match &answer {
        b"S" => Ok(()),
        b"N" => Err(io::Error::other("the server has tls switched off")),
        other => Err(refused(&String::from_utf8_lossy(other))),
    }
}

/// A line without its end. Byte by byte, since what follows the last line belongs to TLS.
fn read_line(stream: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LONGEST_LINE {
        read_all(stream, &mut byte)?;
        if byte == [b'\n'] {
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            return Ok(String::from_utf8_lossy(line).into_owned());
        }
        line.push(byte[0]);
    }
    Err(io::Error::other("a line without end"))
}

fn read_all(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<()> {
    stream.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::other("the server closed the connection"),
        _ => error,
    })
}

fn starts_with(line: &str, start: &str) -> bool {
    line.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

fn refused(line: &str) -> io::Error {
    let shown: String = printable(line).chars().take(200).collect();
    io::Error::other(format!("the server answered {shown:?}"))
}
