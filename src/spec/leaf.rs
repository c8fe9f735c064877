//! The small values of a spec: each is read from one text and cannot be wrong afterwards.

use super::de::RAW;
use super::fault::quoted;
use crate::base::{KeyFingerprint, Mode, printable};
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use std::fmt;
use std::time::Duration;

/// Why a text is no such value, and the way out.
pub(super) type Wrong = (String, String);

/// Text as written, and whether it stands without quotes.
pub(super) struct Raw {
    pub(super) text: String,
    pub(super) plain: bool,
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Both;
        impl<'de> Visitor<'de> for Both {
            type Value = Raw;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut both: A) -> Result<Raw, A::Error> {
                let style: String = both.next_element()?.unwrap_or_default();
                Ok(Raw { text: both.next_element()?.unwrap_or_default(), plain: style == "plain" })
            }
        }
        deserializer.deserialize_newtype_struct(RAW, Both)
    }
}

/// A type that is read from a [`Raw`] by its `read`, with its JSON Schema.
macro_rules! leaf {
    ($name:ident, $schema:tt) => {
        impl<'de> serde::de::Deserialize<'de> for $name {
            fn deserialize<D: serde::de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = <super::leaf::Raw as serde::de::Deserialize>::deserialize(deserializer)?;
                $name::read(&raw).map_err(|(message, hint)| super::de::fault(message, hint))
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}
pub(super) use leaf;

fn is_number(raw: &Raw) -> bool {
    raw.plain && !raw.text.is_empty() && raw.text.bytes().all(|b| b.is_ascii_digit())
}

pub(super) fn wrong<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err((message.into(), hint.into()))
}

/// A mode, and the type character it was written with.
#[derive(Debug, Clone, Copy)]
pub struct ModeText {
    /// The permission bits.
    pub mode: Mode,
    /// `d` or `-` where it was written as `ls` prints it, with its first letter.
    pub kind: Option<char>,
}

impl ModeText {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let text = raw.text.as_str();
        if is_number(raw) || (raw.plain && text.starts_with("0o")) {
            let digits = text.trim_start_matches("0o");
            let hint = match format!("{digits:0>4}").parse::<Mode>() {
                Ok(mode) => {
                    format!("YAML may read a bare number as decimal or octal; write \"{mode}\" in quotes, or {}", &mode.ls('-')[1..])
                }
                Err(_) => "write it as `ls` prints it, such as -rw-r-----, or in octal with quotes, such as \"0640\"".into(),
            };
            return wrong(format!("a mode must not be a bare number: {}", quoted(text)), hint);
        }
        match text.parse() {
            Ok(mode) => Ok(ModeText { mode, kind: text.chars().next().filter(|c| text.len() == 10 && matches!(c, 'd' | '-')) }),
            Err(_) => wrong(
                format!("not a mode: {}", quoted(text)),
                "write it as `ls` prints it, such as -rw-r-----, or in octal with quotes, such as \"0640\"",
            ),
        }
    }
}

leaf!(ModeText, {
    "type": "string",
    "description": "A mode as ls prints it (drwxr-x---), or octal in quotes (\"0750\").",
    "pattern": "^([0-7]{3,4}|[d-]?([r-][w-][xsS-]){2}[r-][w-][xtT-])$"
});

/// A length of time: `60s`, `15m`, `1h30m`, `2d`.
#[derive(Debug, Clone, Copy)]
pub struct Period(pub Duration);

/// More than anybody needs, and far from any overflow: ten years.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

impl Period {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let hint = "write a number and a unit: 500ms, 60s, 15m, 12h, 2d";
        if is_number(raw) {
            return wrong(format!("a length of time needs a unit: {}", quoted(&raw.text)), format!("did you mean `{}s`?", raw.text));
        }
        match period(&raw.text) {
            Some(time) if time.is_zero() => wrong("a length of time must be longer than nothing", hint),
            Some(time) if time > LONGEST => wrong("a length of time must be at most ten years", hint),
            Some(time) => Ok(Period(time)),
            None => wrong(format!("not a length of time: {}", quoted(&raw.text)), hint),
        }
    }
}

fn period(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let letters = behind.bytes().take_while(u8::is_ascii_lowercase).count();
        let (unit, behind) = behind.split_at(letters);
        let number: u64 = number.parse().ok()?;
        let one: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            "d" => 24 * 60 * 60 * 1000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(one)?))?;
        rest = behind;
    }
    (!text.is_empty()).then_some(total)
}

leaf!(Period, {
    "type": "string",
    "description": "A length of time: 500ms, 60s, 15m, 1h30m, 2d.",
    "pattern": "^([0-9]+(ms|s|m|h|d))+$"
});

/// A number of bytes: `1MiB`, `512KiB`, `100B`.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub u64);

impl Size {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let hint = "write a number and a unit: 512KiB, 1MiB, 1GiB";
        if is_number(raw) {
            return wrong(format!("a size needs a unit: {}", quoted(&raw.text)), format!("did you mean `{}B` (bytes)?", raw.text));
        }
        let digits = raw.text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = raw.text.split_at(digits);
        let one: Option<u64> = match unit {
            "B" => Some(1),
            "KiB" | "K" => Some(1 << 10),
            "MiB" | "M" => Some(1 << 20),
            "GiB" | "G" => Some(1 << 30),
            "kB" | "KB" => Some(1_000),
            "MB" => Some(1_000_000),
            "GB" => Some(1_000_000_000),
            _ => None,
        };
        let bytes = number.parse::<u64>().ok().zip(one).and_then(|(number, one)| number.checked_mul(one));
        match bytes {
            Some(0) => wrong("a size must be at least one byte", hint),
            // Sizes are added up: far from any overflow.
            Some(bytes) if bytes <= 1 << 40 => Ok(Size(bytes)),
            Some(_) => wrong(format!("a size must be at most 1024GiB: {}", quoted(&raw.text)), hint),
            None => wrong(format!("not a size: {}", quoted(&raw.text)), hint),
        }
    }
}

leaf!(Size, {
    "type": "string",
    "description": "A number of bytes: 100B, 512KiB, 1MiB, 1GiB.",
    "pattern": "^[0-9]+(B|K|M|G|KiB|MiB|GiB|kB|KB|MB|GB)$"
});

/// A user or group: a name or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account(pub String);

impl Account {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let text = &raw.text;
        if text.is_empty() || text.contains([':', '/']) || text.chars().any(char::is_whitespace) || printable(text) != *text {
            return wrong(format!("not a user or group: {}", quoted(text)), "write one name or one number");
        }
        Ok(Account(text.clone()))
    }
}

leaf!(Account, { "type": ["string", "integer"], "description": "A user or group: a name or a number.", "minimum": 0 });

/// A pattern for file names: `*`, `?`, `[…]`.
#[derive(Debug, Clone)]
pub struct GlobText(pub String);

impl GlobText {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let hint = "`*` stands for any characters but a slash, `?` for one, `[abc]` for one of these";
        if raw.text.is_empty() || raw.text.starts_with('/') {
            return wrong(format!("not a pattern for files of a source: {}", quoted(&raw.text)), hint);
        }
        match glob::Pattern::new(&raw.text) {
            Ok(_) => Ok(GlobText(raw.text.clone())),
            Err(error) => wrong(format!("not a pattern: {}: {}", quoted(&raw.text), error.msg), hint),
        }
    }
}

leaf!(GlobText, {
    "type": "string",
    "description": "A pattern: * stands for any characters but a slash, ? for one, [abc] for one of these. Without a slash it is held against the file's name, with one against its path.",
    "minLength": 1
});

/// The fingerprint of a key that must never be installed.
#[derive(Debug, Clone, Copy)]
pub struct RevokedKey(pub KeyFingerprint);

impl RevokedKey {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        match raw.text.parse() {
            Ok(key) => Ok(RevokedKey(key)),
            Err(_) => wrong(
                format!("not the fingerprint of a key: {}", quoted(&raw.text)),
                "write `SHA256:` and the SHA-256 of the public key, as `certsync plan` shows it: 43 characters of base64, or 64 hexadecimal digits",
            ),
        }
    }
}

leaf!(RevokedKey, {
    "type": "string",
    "description": "SHA-256 of a public key (DER SubjectPublicKeyInfo): SHA256: and base64, or 64 hexadecimal digits.",
    "pattern": "^SHA256:([A-Za-z0-9+/]{43}=?|[0-9a-fA-F]{64})$"
});

/// A path on this host; relative ones start at the spec file's directory.
#[derive(Debug, Clone)]
pub struct PathText(pub String);

impl PathText {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let text = &raw.text;
        if text.is_empty() {
            return wrong("a path is empty", "write an absolute path, or one relative to the spec file");
        }
        if let Some(first) = text.chars().next().filter(|c| matches!(c, '~' | '$')) {
            let hint = format!("write the whole path; for a name that really begins so, write `./{first}…`");
            return wrong(format!("`{first}` is not expanded: {}", quoted(text)), hint);
        }
        if printable(text) != *text {
            return wrong(format!("a path holds a control character: {}", quoted(text)), "use another name");
        }
        if text.split('/').any(|step| step == "..") {
            return wrong(
                format!("a path holds `..`: {}", quoted(text)),
                "write the path without it, since what it means depends on links",
            );
        }
        if text.len() > 4000 {
            return wrong("a path is longer than 4000 bytes", "use a shorter one");
        }
        Ok(PathText(text.clone()))
    }
}

leaf!(PathText, { "type": "string", "description": "A path; a relative one starts at the spec file's directory.", "minLength": 1 });

/// The name of a file in a set or a `dest`, perhaps below folders; `{name}` may stand in it.
#[derive(Debug, Clone)]
pub struct FileName(pub String);

impl FileName {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        match raw.text.parse::<crate::base::RelPath>() {
            Ok(_) if raw.text.split('/').any(|step| step == ".certsync") => wrong(
                format!("a file must not lie in `.certsync`: {}", quoted(&raw.text)),
                "`.certsync` is certsync's own; use another name",
            ),
            Ok(_) => Ok(FileName(raw.text.clone())),
            Err(error) => wrong(error.to_string(), "write a plain file name, or one below plain folders, such as sub/cert.pem"),
        }
    }
}

leaf!(FileName, { "type": "string", "description": "A file name, perhaps below folders: no leading slash, no `..`.", "pattern": "^[^/].*$" });

/// Text that says something: not empty, without control characters.
#[derive(Debug, Clone)]
pub struct Line(pub String);

impl Line {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        if raw.text.trim().is_empty() || printable(&raw.text) != raw.text {
            return wrong(
                format!("expected a word or a line of text, found {}", quoted(&raw.text)),
                "write one line without control characters",
            );
        }
        Ok(Line(raw.text.clone()))
    }
}

leaf!(Line, { "type": "string", "minLength": 1 });

#[cfg(test)]
mod tests {
    use super::{Raw, Size, period};
    use std::time::Duration;

    fn raw(text: &str) -> Raw {
        Raw { text: text.into(), plain: true }
    }

    #[test]
    fn a_length_of_time_is_a_sum_of_units() {
        assert_eq!(period("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(period("500ms"), Some(Duration::from_millis(500)));
        for bad in ["", "s", "5", "5x", "-5s", "5s ", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(period(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_size_has_a_unit() {
        assert_eq!(Size::read(&raw("1MiB")).map(|size| size.0).ok(), Some(1 << 20));
        for bad in ["1", "0B", "MiB", "1mb", "-1B", "99999999999GiB"] {
            assert!(Size::read(&raw(bad)).is_err(), "{bad}");
        }
    }
}
