//! File modes as `ls` prints them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Permission bits (at most 0o7777), read as `drwxr-x---`, `-rw-r-----`, `rwxr-x---` or `0750` in quotes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mode(u32);

/// Why a text is no mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeError(String);

impl Mode {
    /// From permission bits; higher bits are cut off.
    pub const fn from_bits(bits: u32) -> Self {
        Mode(bits & 0o7777)
    }

    /// The permission bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// As `ls` prints it, with the given type character (`d`, `-`, `l`).
    pub fn ls(self, kind: char) -> String {
        let mut out = String::with_capacity(10);
        out.push(kind);
        for (shift, special, set, unset) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
            let bits = self.0 >> shift;
            out.push(if bits & 4 != 0 { 'r' } else { '-' });
            out.push(if bits & 2 != 0 { 'w' } else { '-' });
            out.push(match (bits & 1 != 0, self.0 & special != 0) {
                (true, true) => set,
                (false, true) => unset,
                (true, false) => 'x',
                (false, false) => '-',
            });
        }
        out
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    /// Reads `0750` (three or four octal digits), or nine letters with an optional leading type character.
    fn from_str(text: &str) -> Result<Self, ModeError> {
        let wrong = || ModeError(format!("not a mode: {}", super::printable(text)));
        if (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
            return u32::from_str_radix(text, 8).map(Mode).map_err(|_| wrong());
        }
        let letters = match text.len() {
            9 => text,
            10 if text.starts_with(['d', '-']) => &text[1..],
            _ => return Err(wrong()),
        };
        let mut bits = 0;
        for (i, c) in letters.chars().enumerate() {
            let place = 0o400 >> i;
            let special = [0o4000, 0o2000, 0o1000][i / 3];
            bits |= match (i % 3, c) {
                (_, '-') => 0,
                (0, 'r') | (1, 'w') | (2, 'x') => place,
                (2, 's') if i < 6 => place | special,
                (2, 'S') if i < 6 => special,
                (2, 't') if i == 8 => place | special,
                (2, 'T') if i == 8 => special,
                _ => return Err(wrong()),
            };
        }
        Ok(Mode(bits))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ModeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ModeError {}

impl Serialize for Mode {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Mode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mode".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "a mode as ls prints it (drwxr-x---) or octal in quotes (\"0750\")",
            "pattern": "^([0-7]{3,4}|[d-]?([r-][w-][xsS-]){2}[r-][w-][xtT-])$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Mode;

    #[test]
    fn a_mode_is_read_as_ls_prints_it() {
        for (text, bits) in
            [("drwxr-x---", 0o750), ("-rw-r-----", 0o640), ("rwxrwxrwt", 0o1777), ("-rwsr-Sr-T", 0o7744), ("0750", 0o750), ("640", 0o640)]
        {
            assert_eq!(text.parse::<Mode>().map(Mode::bits), Ok(bits), "{text}");
        }
        assert_eq!(Mode::from_bits(0o7744).ls('-'), "-rwsr-Sr-T");
        assert_eq!(Mode::from_bits(0o750).ls('d'), "drwxr-x---");
    }

    #[test]
    fn what_ls_never_prints_is_no_mode() {
        for text in ["", "rwx", "lrwxrwxrwx", "drwxr-x--", "0980", "07500", "wrxr-x---", "rwtr-x---"] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
    }
}
