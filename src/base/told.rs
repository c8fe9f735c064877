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

/// The longest text of several lines that is kept, in bytes.
const LONGEST_LINES: usize = 256 * 1024;

struct Lines(String);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let mut out = String::with_capacity(text.len().min(LONGEST_LINES));
        for line in text.split_inclusive('\n') {
            let (words, end) = line.strip_suffix('\n').map_or((line, ""), |words| (words, "\n"));
            let words = fit(words);
            if out.len() + words.len() + end.len() > LONGEST_LINES {
                out.push('…');
                break;
            }
            out.push_str(&words);
            out.push_str(end);
        }
        Ok(Lines(out))
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

/// For a `String` of several lines, each of which is made fit.
///
/// # Errors
/// It is no text.
pub fn lines<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    Lines::deserialize(d).map(|lines| lines.0)
}

/// For an `Option<String>` of several lines; it wants `default` beside it.
///
/// # Errors
/// It is no text.
pub fn optional_lines<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Lines>::deserialize(d)?.map(|lines| lines.0))
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, LONGEST_LINES, fit};
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
    fn lines_stay_lines_and_many_are_cut() {
        #[derive(Deserialize)]
        struct Text(#[serde(deserialize_with = "super::lines")] String);
        let read = |text: &str| serde_json::from_str::<Text>(&serde_json::to_string(text).expect("json")).expect("text").0;
        assert_eq!(read("a\n\u{1b}[2Jb\r\n\nc"), "a\n\\u{1b}[2Jb\\r\n\nc");
        assert_eq!(read(""), "");
        let much = read(&"line\n".repeat(LONGEST_LINES));
        assert!(much.len() <= LONGEST_LINES + '…'.len_utf8() && much.ends_with("line\n…"));
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
