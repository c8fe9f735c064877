//! Text that another host wrote, read as JSON: made fit to be printed where it is read, so that nobody need think of it later.

use super::printable;
use serde::{Deserialize, Deserializer};

/// The longest text that is kept, in bytes.
const LONGEST: usize = 4 * 1024;

struct Told(String);

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Told(fit(&String::deserialize(d)?)))
    }
}

/// Printable, in one line, and cut where it is long.
fn fit(text: &str) -> String {
    let mut out = printable(text);
    if out.len() > LONGEST {
        let end = (0..=LONGEST - '…'.len_utf8()).rev().find(|end| out.is_char_boundary(*end)).unwrap_or(0);
        out.truncate(end);
        out.push('…');
    }
    out
}

/// For a `String`.
///
/// # Errors
/// It is no text.
pub fn text<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    Told::deserialize(d).map(|told| told.0)
}

/// For an `Option<String>`; it wants `default` beside it.
///
/// # Errors
/// It is no text.
pub fn option<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Told>::deserialize(d)?.map(|told| told.0))
}

/// For a `Vec<String>`.
///
/// # Errors
/// It is no list of texts.
pub fn list<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    Ok(Vec::<Told>::deserialize(d)?.into_iter().map(|told| told.0).collect())
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, fit};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Words {
        #[serde(deserialize_with = "super::text")]
        one: String,
        #[serde(default, deserialize_with = "super::option")]
        perhaps: Option<String>,
        #[serde(deserialize_with = "super::list")]
        many: Vec<String>,
    }

    #[test]
    fn what_a_terminal_would_act_on_is_shown_and_much_is_cut() {
        assert_eq!(fit("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
        let long = fit(&"ä".repeat(LONGEST));
        assert!(long.len() <= LONGEST && long.ends_with("ä…"));
        assert_eq!(fit(&long), long, "once is enough");
    }

    #[test]
    fn every_text_is_made_fit_where_it_is_read() {
        let read = |json| serde_json::from_str::<Words>(json).expect("words");
        let hostile = read(r#"{"one": "\u0007", "perhaps": "\u202e", "many": ["\r", "b"]}"#);
        assert_eq!(hostile.one, "\\u{7}");
        assert_eq!(hostile.perhaps.as_deref(), Some("\\u{202e}"));
        assert_eq!(hostile.many, ["\\r", "b"]);
        assert_eq!(read(r#"{"one": "", "many": []}"#).perhaps, None);
    }
}
