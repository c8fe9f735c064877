//! What `rsync --list-only` prints (rsync(1), `--list-only`, `--8-bit-output`).

use crate::host::Kind;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Modification time, Unix seconds.
    pub mtime: i64,
    /// Where it is, relative to what was listed; any bytes.
    pub path: OsString,
}

/// Reads a list that was printed with the time zone UTC and `--8-bit-output`. The directory that was listed is left out.
///
/// # Errors
/// The first line that is none of a list.
pub fn read_list(text: &[u8]) -> Result<Vec<Listed>, String> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut out = Vec::new();
    for line in lines {
        let listed = read_line(line).ok_or_else(|| String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned())?;
        if listed.path != "." {
            out.push(listed);
        }
    }
    Ok(out)
}

/// `-rw-r--r--          1,234 2026/11/22 08:49:29 name`: the name begins one space after the time.
fn read_line(line: &[u8]) -> Option<Listed> {
    let (mode, rest) = split_word(line)?;
    let (size, rest) = split_word(rest)?;
    let (day, rest) = split_word(rest)?;
    let (time, name) = split_word(rest)?;
    let kind = match (mode.len(), mode.first()?) {
        (10.., b'-') => Kind::File,
        (10.., b'd') => Kind::Dir,
        (10.., b'l') => Kind::Link,
        (10.., b'p' | b's' | b'c' | b'b') => Kind::Other,
        _ => return None,
    };
    // In groups of three, where rsync is made to.
    let digits: Vec<u8> = size.iter().copied().filter(|byte| !matches!(byte, b',' | b'.')).collect();
    let size = std::str::from_utf8(&digits).ok()?.parse().ok()?;
    (!name.is_empty()).then_some(())?;
    Some(Listed { kind, size, mtime: seconds(day, time)?, path: OsString::from_vec(unescaped(name)) })
}

/// A word, and what follows the one space after it.
fn split_word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let begin = line.iter().position(|byte| *byte != b' ')?;
    let line = &line[begin..];
    let end = line.iter().position(|byte| *byte == b' ')?;
    Some((&line[..end], &line[end + 1..]))
}

/// `2026/11/22` and `08:49:29` as Unix seconds.
fn seconds(day: &[u8], time: &[u8]) -> Option<i64> {
    let numbers = |text: &[u8], by: char| -> Option<[i64; 3]> {
        let parts = std::str::from_utf8(text).ok()?.splitn(3, by).map(|part| part.parse().ok());
        parts.collect::<Option<Vec<i64>>>()?.try_into().ok()
    };
    let [year, month, day] = numbers(day, '/')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let is_one = (0..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    (is_one && (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second)).then_some(())?;
    // Days since 1970 of a date, with years that begin in March: the day of a leap year is then the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// `\#012` stands for the byte with that number in base eight.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, after @ ..] = rest {
        let number = rest.strip_prefix(b"\\#").and_then(|digits| digits.get(..3)).and_then(|digits| {
            let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()))?;
            u8::from_str_radix(text, 8).ok()
        });
        match number {
            Some(byte) => {
                out.push(byte);
                rest = &rest[5..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Listed, read_list};
    use crate::host::Kind;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_list_is_read_with_spaces_and_control_characters_in_its_names() {
        let text = "drwxr-xr-x          4,096 2026/11/22 08:49:29 .\n\
            -rw-r--r--              2 1970/01/01 00:00:00  b c.pem\n\
            -rw-r--r--      5,000,000 2026/11/22 08:49:29 d/ü\n\
            -rw-r--r--              1 2024/02/29 23:59:59 ctl\\#012\\#033x\\#9\n\
            lrwxrwxrwx              7 2026/11/22 08:49:29 dang\n\
            prw-r--r--              0 2026/11/22 08:49:29 ff\n";
        let listed = |kind, size, mtime, path: &[u8]| Listed { kind, size, mtime, path: OsString::from_vec(path.to_vec()) };
        let wanted = vec![
            listed(Kind::File, 2, 0, b" b c.pem"),
            listed(Kind::File, 5_000_000, 1_795_337_369, "d/ü".as_bytes()),
            listed(Kind::File, 1, 1_709_251_199, b"ctl\n\x1bx\\#9"),
            listed(Kind::Link, 7, 1_795_337_369, b"dang"),
            listed(Kind::Other, 0, 1_795_337_369, b"ff"),
        ];
        assert_eq!(read_list(text.as_bytes()), Ok(wanted));
    }

    #[test]
    fn what_is_no_line_of_a_list_is_an_error() {
        let good = "-rw-r--r-- 2 2026/11/22 08:49:29 a";
        assert!(read_list(good.as_bytes()).is_ok());
        for bad in [
            "Welcome to ssl.example.com",
            "-rw-r--r-- 2 2026/11/22 08:49:29",
            "-rw-r--r-- 2 2026/13/22 08:49:29 a",
            "-rw-r--r-- x 2026/11/22 08:49:29 a",
            "-rw-r--r-- 99999999999999999999 2026/11/22 08:49:29 a",
            "?rw-r--r-- 2 2026/11/22 08:49:29 a",
        ] {
            assert_eq!(read_list(bad.as_bytes()), Err(bad.to_owned()));
        }
    }
}
