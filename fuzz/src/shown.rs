//! What may be shown on a terminal.

/// Panics where `text` holds anything that a terminal acts on or that reorders or hides what stands beside it; line breaks are allowed.
pub fn lines(text: &str) {
    let bad = text.chars().find(|c| *c != '\n' && is_hostile(*c));
    assert!(bad.is_none(), "{bad:?} is shown in {text:?}");
}

/// The same for text of one line.
pub fn line(text: &str) {
    let bad = text.chars().find(|c| is_hostile(*c));
    assert!(bad.is_none(), "{bad:?} is shown in {text:?}");
}

/// Control characters (Unicode's Cc), line and paragraph separators, and the format characters (Cf) that are not themselves seen.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb
            | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe007f)
}
