//! Values as they are written on the command line.

use crate::base::{SetName, printable};
use crate::spec::Accept;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use std::time::Duration;

/// The longest duration anybody means: a hundred years.
const LONGEST_SECONDS: u64 = 100 * 365 * 86_400;

/// Reads `30s`, `15m`, `2h`, `21d` or `3w`; a number alone is refused, since nobody could tell its unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("not a duration: {} (write 30s, 15m, 2h, 21d or 3w)", printable(text));
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        Some('w') => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let seconds = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(wrong)?;
    if seconds > LONGEST_SECONDS {
        return Err(format!("too long a duration: {}", printable(text)));
    }
    Ok(Duration::from_secs(seconds))
}

/// Reads `SET=WORD`. The name of a set may hold `=`; a word never does.
pub fn accept(text: &str) -> Result<(SetName, Accept), String> {
    let (set, word) = text.rsplit_once('=').ok_or_else(|| format!("not SET=WORD: {}", printable(text)))?;
    let set = set.parse::<SetName>().map_err(|e| e.to_string())?;
    let deserializer: StrDeserializer<'_, ValueError> = word.into_deserializer();
    match Accept::deserialize(deserializer) {
        Ok(accept) => Ok((set, accept)),
        Err(_) => {
            Err(format!("no such refusal: {} (there are expired, not_yet_valid, names, chain, unpaired_key and older)", printable(word)))
        }
    }
}

/// Reads a digest or the beginning of one: 6 to 64 hexadecimal digits, made lower case.
pub fn digest_prefix(text: &str) -> Result<String, String> {
    if (6..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("not a digest or the first six or more digits of one: {}", printable(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::{accept, digest_prefix, duration};
    use crate::spec::Accept;
    use std::time::Duration;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("21d"), Ok(Duration::from_secs(21 * 86_400)));
        for bad in ["", "15", "m", "-1s", "1.5h", "1m30s", "5 m", "9999999999999999999s", "99999w", "1µ"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn accept_names_a_set_and_a_refusal() {
        assert_eq!(accept("a=b=older").map(|(set, word)| (set.to_string(), word)), Ok(("a=b".into(), Accept::Older)));
        for bad in ["older", "a=", "=older", "a=Older", "a=newer"] {
            assert!(accept(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_beginning_of_a_digest_is_enough() {
        assert_eq!(digest_prefix("ABCDEF0"), Ok("abcdef0".into()));
        for bad in ["", "abcde", "abcdeg", &"a".repeat(65)] {
            assert!(digest_prefix(bad).is_err(), "{bad}");
        }
    }
}
