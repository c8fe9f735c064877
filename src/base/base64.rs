//! Base64 (RFC 4648, section 4). What is made of a secret is one too: its holder wipes it.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The bytes in base64, without padding. The text never grows beyond the room that is made for it, which would leave a copy.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |acc, byte| (acc << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        out.extend((0..=chunk.len()).map(|i| char::from(DIGITS[((bits >> (18 - 6 * i)) & 63) as usize])));
    }
    out
}

/// The bytes in base64, padded to a multiple of four characters.
pub fn encode_padded(bytes: &[u8]) -> String {
    let mut out = encode(bytes);
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

/// The bytes that `text` stands for, padded in full or not at all. Each value has one such text only: bits that are left over must be zero.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    if body.len() % 4 == 1 || (body.len() != text.len() && (text.len() - body.len() > 2 || !text.len().is_multiple_of(4))) {
        return None;
    }
    let mut out = Vec::with_capacity(body.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0u32, 0);
    for digit in body.bytes() {
        bits = (bits << 6) | u32::from(value(digit)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0).then_some(out)
}

/// What a digit counts.
fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, encode_padded};

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 4648, section 10.
        let known =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in known {
            assert_eq!(encode_padded(plain.as_bytes()), coded);
            assert_eq!(encode(plain.as_bytes()), coded.trim_end_matches('='));
            assert_eq!(decode(coded).as_deref(), Some(plain.as_bytes()), "{coded}");
            assert_eq!(decode(coded.trim_end_matches('=')).as_deref(), Some(plain.as_bytes()), "{coded}");
        }
    }

    #[test]
    fn what_is_not_base64_or_not_the_one_way_to_write_it_is_none() {
        for bad in ["Z", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm9v====", "Zm9v=", "Zm 9", "Zm-_", "=", "====", "Zg==Zg==", "Zmé"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
