//! Text from outside, made fit for a terminal and a log.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// `text` without anything a terminal would act on, and without what reorders or hides what stands beside it: control
/// characters and the Unicode direction and format controls are shown as `\u{…}`, a line break as `\n`.
pub fn printable(text: &str) -> String {
    if is_printable(text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) { out.push(c) } else { out.extend(c.escape_default()) }
    }
    out
}

/// Whether [`printable`] changes nothing of it.
pub fn is_printable(text: &str) -> bool {
    // Nearly everything is ASCII.
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || text.chars().all(is_plain)
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

/// Line and column (in characters), both from 1, of the first byte that is not UTF-8; none where all of it is. Lines are
/// those of YAML: a carriage return alone ends one.
pub fn not_utf8(bytes: &[u8]) -> Option<(u32, u32)> {
    let good = std::str::from_utf8(bytes).err()?.valid_up_to();
    let before = String::from_utf8_lossy(&bytes[..good]).replace("\r\n", "\n").replace('\r', "\n");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Some((u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX)))
}

/// JSON with every character that [`printable`] would escape as `\uXXXX`, which means the same to whoever reads it. Such
/// characters stand in JSON only within strings, except for the line breaks between values.
pub fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_plain(c) || c == '\n' {
            out.push(c);
        } else {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}

/// YAML with every character that [`printable`] would escape as `\uXXXX` or `\UXXXXXXXX`. Such characters may stand in it only between double
/// quotes, except for the line breaks.
pub fn printable_yaml(yaml: &str) -> String {
    let mut out = String::with_capacity(yaml.len());
    for c in yaml.chars() {
        match u32::from(c) {
            _ if is_plain(c) || c == '\n' => out.push(c),
            code @ ..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

/// Neither a control character (Unicode's Cc), nor a separator of lines, nor a format character (Cf) that is not seen itself.
fn is_plain(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}'))
}

#[cfg(test)]
mod tests {
    use super::{escape, not_utf8, printable, printable_json, printable_yaml};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_terminal_sequence_is_shown_not_sent() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{202e}"), "a\\u{1b}[31mb\\nc\\u{202e}");
    }

    #[test]
    fn what_is_not_seen_is_shown() {
        for hidden in ["\u{61c}", "\u{ad}", "\u{180e}", "\u{200b}", "\u{202e}", "\u{2066}", "\u{9b}", "\u{e0041}", "\u{1d173}"] {
            assert!(printable(hidden).starts_with("\\u{"), "{hidden:?}");
        }
        assert_eq!(printable("münchen 証明書 🔑"), "münchen 証明書 🔑");
    }

    #[test]
    fn json_stays_the_same_value_without_anything_a_terminal_acts_on() -> serde_json::Result<()> {
        let value = "a\u{9b}31m\u{1b}[0m\u{202e}\u{e0041}\"\\ü🔑\n\u{7f}";
        let text = printable_json(&serde_json::to_string_pretty(&[value])?);
        assert_eq!(serde_json::from_str::<[String; 1]>(&text)?, [value]);
        assert_eq!(text, "[\n  \"a\\u009b31m\\u001b[0m\\u202e\\udb40\\udc41\\\"\\\\ü🔑\\n\\u007f\"\n]");
        Ok(())
    }

    #[test]
    fn yaml_is_shown_without_anything_a_terminal_acts_on() {
        let yaml = "a: \"\u{202e}ü🔑\u{e0041}\"\nb: c\n";
        assert_eq!(printable_yaml(yaml), "a: \"\\u202eü🔑\\U000e0041\"\nb: c\n");
    }

    #[test]
    fn the_first_byte_that_is_not_utf8_has_its_place() {
        assert_eq!(not_utf8("a\nü".as_bytes()), None);
        assert_eq!(not_utf8("a\nüb\u{1f600}\nxy".as_bytes().iter().chain(b"\xe9").copied().collect::<Vec<u8>>().as_slice()), Some((3, 3)));
        assert_eq!(not_utf8(b"\xff\xfe"), Some((1, 1)));
        assert_eq!(not_utf8(b"a\r\nb\rcd\xff"), Some((3, 3)));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_in_hex() {
        assert_eq!(escape(OsStr::from_bytes(b"a\xff\nb")), "a\\xff\\nb");
    }
}
