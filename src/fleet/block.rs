//! A block of lines that certsync keeps in a file of somebody else's: authorized_keys, known_hosts. Every other line stays as it is.

use crate::base::{Error, ErrorKind, Result};

/// How the line before the block begins.
const BEGIN: &[u8] = b"# BEGIN certsync";
/// How the line behind it begins.
const END: &[u8] = b"# END certsync";

/// `text` with the block that holds `lines` in the place of the former one, or at the end; without any lines there is no block.
/// `keeper` is the command that keeps it.
///
/// # Errors
/// Kind `Permission`: it cannot be told which lines are the block.
pub fn with_block(text: &[u8], lines: &[String], keeper: &str) -> Result<Vec<u8>> {
    let block = block(lines, keeper);
    let mut out = Vec::with_capacity(text.len() + block.len());
    match find(text)? {
        Some((from, to)) => {
            out.extend_from_slice(&text[..from]);
            out.extend_from_slice(&block);
            out.extend_from_slice(&text[to..]);
        }
        None => {
            out.extend_from_slice(text);
            if !block.is_empty() && !text.is_empty() && !text.ends_with(b"\n") {
                out.push(b'\n');
            }
            out.extend_from_slice(&block);
        }
    }
    Ok(out)
}

fn block(lines: &[String], keeper: &str) -> Vec<u8> {
    if lines.is_empty() {
        return Vec::new();
    }
    let mut out = BEGIN.to_vec();
    out.extend(format!(": {keeper} keeps these lines\n").bytes());
    for line in lines {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(END);
    out.push(b'\n');
    out
}

/// Where the block begins and ends, its own two lines included.
fn find(text: &[u8]) -> Result<Option<(usize, usize)>> {
    let wrong = |line: usize, cause: &str| {
        Err(Error::new(ErrorKind::Permission, format!("line {line}"), cause)
            .hint("leave one line `# BEGIN certsync` and, below it, one line `# END certsync`, or neither"))
    };
    let (mut open, mut found, mut at) = (None, None, 0);
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let end = at + line.len();
        if line.starts_with(BEGIN) {
            if open.is_some() || found.is_some() {
                return wrong(number + 1, "a second block of certsync's begins here");
            }
            open = Some((at, number + 1));
        } else if line.starts_with(END) {
            match open.take() {
                Some((from, _)) => found = Some((from, end)),
                None => return wrong(number + 1, "a block of certsync's ends here that has not begun"),
            }
        }
        at = end;
    }
    match open {
        Some((_, number)) => wrong(number, "the block of certsync's that begins here has no end"),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::with_block;

    fn with(text: &str, lines: &[&str]) -> String {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let out = with_block(text.as_bytes(), &lines, "certsync x");
        String::from_utf8(out.expect("one block or none")).expect("text")
    }

    const BLOCK: &str = "# BEGIN certsync: certsync x keeps these lines\na\nb\n# END certsync\n";

    #[test]
    fn a_block_is_put_at_the_end_and_later_stays_where_it_is() {
        assert_eq!(with("", &["a", "b"]), BLOCK);
        assert_eq!(with("mine\n", &["a", "b"]), format!("mine\n{BLOCK}"));
        assert_eq!(with("no line break", &["a", "b"]), format!("no line break\n{BLOCK}"));
        let moved = format!("  mine\r\n\n{BLOCK}\tlast, \u{fc} no line break");
        assert_eq!(with(&moved, &["a", "b"]), moved, "nothing to change");
        assert_eq!(with(&moved, &["c"]), moved.replace("a\nb\n", "c\n"));
    }

    #[test]
    fn without_lines_there_is_no_block() {
        assert_eq!(with("mine\n", &[]), "mine\n");
        assert_eq!(with("no line break", &[]), "no line break");
        assert_eq!(with(&format!("one\n{BLOCK}two\n"), &[]), "one\ntwo\n");
    }

    #[test]
    fn other_bytes_than_text_stay() {
        let text = [b"\xff\xfe\0\n".as_slice(), BLOCK.as_bytes(), b"\xc3"].concat();
        let out = with_block(&text, &["a".into(), "b".into()], "certsync x").expect("one block");
        assert_eq!(out, text);
    }

    #[test]
    fn a_block_whose_ends_cannot_be_told_is_refused() {
        let unclosed = BLOCK.replace("# END certsync\n", "");
        let unopened = "x\n# END certsync\n";
        for text in [&unclosed, unopened, &format!("{BLOCK}{BLOCK}"), &format!("{unclosed}{BLOCK}"), &format!("{BLOCK}{unopened}")] {
            let error = with_block(text.as_bytes(), &["a".into()], "certsync x").expect_err(text);
            assert!(error.subject.starts_with("line ") && error.hint.is_some(), "{error}");
        }
    }
}
