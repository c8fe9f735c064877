//! PEM (RFC 7468) with the tolerance of OpenSSL's PEM_read_bio: text around blocks, a byte order mark, CRLF, trailing
//! blanks, headers (RFC 1421). A block that is not whole is reported, never skipped.

use zeroize::Zeroizing;

/// One block, whole or not.
pub(super) struct Block {
    /// What stands between `-----BEGIN ` and `-----`.
    pub(super) label: String,
    /// Whether its headers say that it is encrypted (`Proc-Type: 4,ENCRYPTED`).
    pub(super) encrypted: bool,
    /// The decoded body, or why there is none.
    pub(super) body: Result<Zeroizing<Vec<u8>>, &'static str>,
}

/// A file taken apart.
pub(super) struct Pem {
    /// Its blocks in order.
    pub(super) blocks: Vec<Block>,
    /// Whether what stands outside the blocks can hold nothing that must stay private, as far as that can be told.
    pub(super) harmless_outside: bool,
    /// Whether a private key is spoken of anywhere in the file.
    pub(super) speaks_of_private_keys: bool,
}

/// Takes a file apart. Any bytes will do.
pub(super) fn read(bytes: &[u8]) -> Pem {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut pem = Pem { blocks: Vec::new(), harmless_outside: true, speaks_of_private_keys: false };
    let mut lines = Lines(text).peekable();
    while let Some(line) = lines.next() {
        pem.speaks_of_private_keys |= speaks_of_private_keys(line);
        match begin_label(line) {
            Some(label) => pem.blocks.push(block(label, &mut lines)),
            None => pem.harmless_outside &= is_harmless(line),
        }
    }
    pem
}

/// Lines without their ends: `\n`, `\r\n`.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
        let line = self.0.get(..end).unwrap_or_default();
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        Some(line.trim_ascii_end())
    }
}

fn begin_label(line: &[u8]) -> Option<String> {
    label(line, b"-----BEGIN ")
}

fn label(line: &[u8], prefix: &[u8]) -> Option<String> {
    let inner = line.strip_prefix(prefix)?.strip_suffix(b"-----")?;
    Some(String::from_utf8_lossy(inner).into_owned())
}

fn block<'a>(label: String, lines: &mut std::iter::Peekable<Lines<'a>>) -> Block {
    let (body, encrypted) = body(&label, lines);
    Block { label, encrypted, body }
}

fn body<'a>(label_of_begin: &str, lines: &mut std::iter::Peekable<Lines<'a>>) -> (Result<Zeroizing<Vec<u8>>, &'static str>, bool) {
    let encrypted = headers(lines);
    let mut text: Vec<&[u8]> = Vec::new();
    let ended = loop {
        match lines.peek() {
            None => break Err("its END line is missing"),
            Some(line) if begin_label(line).is_some() => break Err("its END line is missing"),
            Some(line) => match label(line, b"-----END ") {
                Some(found) => {
                    lines.next();
                    break if found == label_of_begin { Ok(()) } else { Err("its END line is of another kind") };
                }
                None => text.push(line),
            },
        }
        lines.next();
    };
    (ended.and_then(|()| decode(&text)), encrypted)
}

/// Reads headers, if there are any, and the blank line behind them.
fn headers<'a>(lines: &mut std::iter::Peekable<Lines<'a>>) -> bool {
    let mut encrypted = false;
    if !lines.peek().is_some_and(|line| line.contains(&b':')) {
        return false;
    }
    while let Some(line) = lines.next_if(|line| !line.starts_with(b"-----")) {
        encrypted |= line.windows(9).any(|window| window == b"ENCRYPTED");
        if line.is_empty() {
            break;
        }
    }
    encrypted
}

fn decode(lines: &[&[u8]]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    const WRONG: &str = "it is not base64";
    // Room for everything at once: a buffer that grows leaves copies behind, which nobody wipes.
    let mut out = Zeroizing::new(Vec::with_capacity(lines.iter().map(|line| line.len()).sum::<usize>() / 4 * 3 + 3));
    let (mut bits, mut count, mut padding) = (0u32, 0u32, 0u32);
    for byte in lines.iter().flat_map(|line| line.iter()) {
        let value = match byte {
            b' ' | b'\t' | b'\r' => continue,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => SIX_BITS[usize::from(*byte)],
        };
        if padding > 0 || value > 63 {
            return Err(WRONG);
        }
        bits = (bits << 6) | u32::from(value);
        count += 1;
        if count.is_multiple_of(4) {
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
            bits = 0;
        }
    }
    match (count % 4, padding) {
        (0, 0) => {}
        (3, 1) => out.extend_from_slice(&(bits << 6).to_be_bytes()[1..3]),
        (2, 2) => out.extend_from_slice(&(bits << 12).to_be_bytes()[1..2]),
        _ => return Err(WRONG),
    }
    Ok(out)
}

/// The value of each base64 digit; 64 for any other byte.
const SIX_BITS: [u8; 256] = {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [64u8; 256];
    let mut i = 0;
    while i < 64 {
        table[digits[i] as usize] = i as u8;
        i += 1;
    }
    table
};

/// Whether a line names a private key: `private`, at most one character, `key`, in any case.
pub(super) fn speaks_of_private_keys(line: &[u8]) -> bool {
    let mut rest = line;
    while let Some(start) = rest.iter().position(|byte| matches!(byte, b'p' | b'P')) {
        rest = rest.get(start..).unwrap_or_default();
        let is_at = |place: usize, word: &[u8]| rest.get(place..place + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word));
        if is_at(0, b"private") && (is_at(7, b"key") || is_at(8, b"key")) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

/// Whether a line outside any block may be shown: text, and no long run of base64 (a key that lost its BEGIN line).
fn is_harmless(line: &[u8]) -> bool {
    const LONGEST_RUN: usize = 48;
    let mut run = 0;
    for byte in line {
        if *byte < b' ' && *byte != b'\t' && *byte != b'\x0c' && *byte != b'\r' {
            return false;
        }
        run = if SIX_BITS[usize::from(*byte)] < 64 { run + 1 } else { 0 };
        if run > LONGEST_RUN {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::read;

    fn bodies(text: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
        read(text).blocks.into_iter().map(|block| (block.label, block.body.ok().map(|body| body.to_vec()))).collect()
    }

    #[test]
    fn blocks_are_found_as_openssl_finds_them() {
        let text = b"\xef\xbb\xbf-----BEGIN A-----\r\nAAEC \r\nAw==\r\n-----END A-----  \r\nsome words\n-----BEGIN B-----\nx: y\n\nAAEC\n-----END B-----";
        assert_eq!(bodies(text), [("A".into(), Some(vec![0, 1, 2, 3])), ("B".into(), Some(vec![0, 1, 2]))]);
    }

    #[test]
    fn a_block_that_is_not_whole_is_reported() {
        for text in [
            "-----BEGIN A-----\nAAEC\n",
            "-----BEGIN A-----\nAAEC\n-----END B-----\n",
            "-----BEGIN A-----\nAA?C\n-----END A-----\n",
            "-----BEGIN A-----\nAAE\n-----END A-----",
        ] {
            assert_eq!(bodies(text.as_bytes()), [("A".into(), None)], "{text}");
        }
        assert_eq!(bodies(b"-----BEGIN A-----\nAAEC\n-----BEGIN B-----\nAAEC\n-----END B-----\n").len(), 2);
    }

    #[test]
    fn an_encrypted_block_says_so_in_its_headers() {
        let text =
            b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAEC\n-----END RSA PRIVATE KEY-----\n";
        assert!(read(text).blocks.iter().all(|block| block.encrypted && block.body.is_ok()));
    }

    #[test]
    fn text_that_may_hide_a_key_is_not_harmless() {
        assert!(read(b"# a comment\n  sha256 ab:cd\n").harmless_outside);
        assert!(!read("A".repeat(64).as_bytes()).harmless_outside);
        assert!(!read(b"P\0R\0I\0V\0A\0T\0E\0").harmless_outside);
        for text in ["-----BEGIN PRIVATE KEY----", "x privatekey y", "Private-Key: (2048 bit)"] {
            assert!(read(text.as_bytes()).speaks_of_private_keys, "{text}");
        }
        assert!(!read(b"a private thing, a key").speaks_of_private_keys);
    }
}
