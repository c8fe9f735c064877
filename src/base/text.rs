//! Text from outside, made fit for a terminal and a log.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// `text` without anything a terminal would act on: control characters and the Unicode direction and
/// format controls are shown as `\u{…}`, a line break as `\n`.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) { out.push(c) } else { out.extend(c.escape_default()) }
    }
    out
}

/// A file name of any bytes as printable text: bytes that are not UTF-8 are shown as `\xNN`.
pub fn escape(name: &OsStr) -> String {
    let mut out = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        out.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Line and column (in characters), both from 1, of the first byte that is not UTF-8; none where all of it is.
pub fn not_utf8(bytes: &[u8]) -> Option<(u32, u32)> {
    let good = std::str::from_utf8(bytes).err()?.valid_up_to();
    let before = String::from_utf8_lossy(&bytes[..good]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Some((u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX)))
}

fn is_plain(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'))
}

#[cfg(test)]
mod tests {
    use super::{escape, not_utf8, printable};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_terminal_sequence_is_shown_not_sent() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{202e}"), "a\\u{1b}[31mb\\nc\\u{202e}");
    }

    #[test]
    fn the_first_byte_that_is_not_utf8_has_its_place() {
        assert_eq!(not_utf8("a\nü".as_bytes()), None);
        assert_eq!(not_utf8("a\nüb\u{1f600}\nxy".as_bytes().iter().chain(b"\xe9").copied().collect::<Vec<u8>>().as_slice()), Some((3, 3)));
        assert_eq!(not_utf8(b"\xff\xfe"), Some((1, 1)));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_in_hex() {
        assert_eq!(escape(OsStr::from_bytes(b"a\xff\nb")), "a\\xff\\nb");
    }
}
