//! As much of DER (X.690) as certificates and keys need: no allocation when reading, no panic on any input.

/// Tags that occur here.
pub(super) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const SEQUENCE: u8 = 0x30;
    /// Constructed, context specific.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    pub(crate) const CONTEXT_1: u8 = 0xa1;
    pub(crate) const CONTEXT_2: u8 = 0xa2;
    pub(crate) const CONTEXT_3: u8 = 0xa3;
    /// The same, primitive (IMPLICIT of a string type).
    pub(crate) const CONTEXT_1_PRIMITIVE: u8 = 0x81;
}

/// One element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Tlv<'a> {
    /// Its tag, always a single byte.
    pub(super) tag: u8,
    /// Its content.
    pub(super) body: &'a [u8],
    /// Tag, length and content.
    pub(super) whole: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// A reader of its content.
    pub(super) fn inside(&self) -> Reader<'a> {
        Reader(self.body)
    }
}

/// Reads elements one after the other.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next element; `None` at the end and where there is no whole element.
    pub(super) fn any(&mut self) -> Option<Tlv<'a>> {
        let (&tag, &first) = (self.0.first()?, self.0.get(1)?);
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (start, length) = match first {
            0..=0x7f => (2, usize::from(first)),
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let length = self.0.get(2..2 + count)?.iter().fold(0usize, |sum, byte| (sum << 8) | usize::from(*byte));
                (2 + count, length)
            }
            _ => return None,
        };
        let end = start.checked_add(length)?;
        let (whole, body) = (self.0.get(..end)?, self.0.get(start..end)?);
        self.0 = self.0.get(end..)?;
        Some(Tlv { tag, body, whole })
    }

    /// The next element if it has this tag; nothing is read otherwise.
    pub(super) fn take(&mut self, tag: u8) -> Option<Tlv<'a>> {
        if self.0.first() == Some(&tag) { self.any() } else { None }
    }

    /// The content of the next element if it is a whole number of bytes in a BIT STRING.
    pub(super) fn bits(&mut self) -> Option<&'a [u8]> {
        match self.take(tag::BIT_STRING)?.body.split_first()? {
            (0, bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A non-negative INTEGER without leading zeros; zero itself is empty.
    pub(super) fn unsigned(&mut self) -> Option<&'a [u8]> {
        let body = self.take(tag::INTEGER)?.body;
        if body.first()? & 0x80 != 0 {
            return None;
        }
        Some(strip_zeros(body))
    }
}

/// `bytes` without leading zero bytes.
pub(super) fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

/// The only element of `bytes`, which must be a SEQUENCE with nothing behind it.
pub(super) fn sequence(bytes: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(bytes);
    let found = reader.take(tag::SEQUENCE)?;
    reader.rest().is_empty().then(|| found.inside())
}

/// Writes an element with this tag around `parts`. For public data only: the buffer is not wiped.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    match u8::try_from(length) {
        Ok(short @ 0..=0x7f) => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let bytes = strip_zeros(&bytes);
            out.push(0x80 | bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// Writes a non-negative INTEGER from its bytes.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let bytes = strip_zeros(bytes);
    match bytes.first() {
        Some(first) if first & 0x80 == 0 => element(tag::INTEGER, &[bytes]),
        _ => element(tag::INTEGER, &[&[0], bytes]),
    }
}

/// How many bits a number has, leading zeros not counted.
pub(super) fn bit_length(bytes: &[u8]) -> usize {
    let bytes = strip_zeros(bytes);
    bytes.first().map_or(0, |first| bytes.len() * 8 - first.leading_zeros() as usize)
}

/// An OID's content in dotted form, as far as it makes sense.
pub(super) fn dotted(oid: &[u8]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut value = 0u64;
    for byte in oid {
        value = value.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (value / 40).min(2);
                numbers.push(first);
                value -= first * 40;
            }
            numbers.push(value);
            value = 0;
        }
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::{Reader, bit_length, dotted, element, integer, sequence, tag};

    #[test]
    fn what_is_written_is_read_again() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let body = vec![7; length];
            let written = element(tag::OCTET_STRING, &[&body]);
            let read = Reader::new(&written).any();
            assert!(read.is_some_and(|found| found.body == body && found.whole == written), "{length}");
        }
        assert_eq!(integer(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[]), [2, 1, 0]);
        assert_eq!(bit_length(&[0, 1, 0]), 9);
    }

    #[test]
    fn a_length_beyond_the_end_is_nothing() {
        for bytes in [&[][..], &[0x30], &[0x30, 5, 0], &[0x30, 0x80, 0, 0], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x1f, 1, 0]] {
            assert!(Reader::new(bytes).any().is_none(), "{bytes:?}");
        }
        assert!(sequence(&[0x30, 0, 0]).is_none());
    }

    #[test]
    fn an_oid_is_dotted() {
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]), "1.2.840.10045.2.1");
        assert_eq!(dotted(&[0x2b, 0x65, 0x70]), "1.3.101.112");
        assert_eq!(dotted(&[0x88, 0x37]), "2.999");
    }
}
