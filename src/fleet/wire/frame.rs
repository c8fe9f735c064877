//! Frames: a length (four bytes, big-endian, of what follows the kind), a kind (one byte), and the payload.

use crate::base::Secret;
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// The longest message: an offer of a hundred thousand sets.
pub const LONGEST_MESSAGE: usize = 32 << 20;
/// The longest piece of a file.
pub const LONGEST_PIECE: usize = 64 << 10;

/// A message, in JSON.
const MESSAGE: u8 = 0;
/// A piece of a file.
const PIECE: u8 = 1;

/// One frame.
pub enum Frame {
    /// A message, in JSON.
    Message(Vec<u8>),
    /// A piece of a file: it may be of a private key.
    Piece(Secret),
}

/// Writes a message.
///
/// # Errors
/// `InvalidInput`: it is too long; what the stream fails with.
pub fn write_message(to: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    if payload.len() > LONGEST_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"));
    }
    to.write_all(&head(MESSAGE, payload.len()))?;
    to.write_all(payload)
}

/// Writes the bytes of a file, in pieces.
///
/// # Errors
/// What the stream fails with.
pub fn write_file(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(LONGEST_PIECE) {
        to.write_all(&head(PIECE, piece.len()))?;
        to.write_all(piece)?;
    }
    Ok(())
}

fn head(kind: u8, length: usize) -> [u8; 5] {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [length[0], length[1], length[2], length[3], kind]
}

/// Reads one frame; nothing at the end of the stream. What claims to be too long is refused before anything is made room for.
///
/// # Errors
/// `InvalidData`: no frame; `UnexpectedEof`: the stream ends within one; what the stream fails with.
pub fn read(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut head = [0; 5];
    if !read_head(from, &mut head)? {
        return Ok(None);
    }
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let longest = match head[4] {
        MESSAGE => LONGEST_MESSAGE,
        PIECE => LONGEST_PIECE,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "what came is no frame")),
    };
    if length > longest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
    }
    if head[4] == PIECE {
        let mut bytes = Zeroizing::new(vec![0; length]);
        from.read_exact(&mut bytes)?;
        return Ok(Some(Frame::Piece(Secret::new(std::mem::take(&mut *bytes)))));
    }
    // Room is made as it comes: a peer that claims much and sends little costs little.
    let mut bytes = Vec::new();
    Read::take(&mut *from, length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(Frame::Message(bytes)))
}

/// Whether there was one: the stream may end before it, but not within it.
fn read_head(from: &mut impl Read, head: &mut [u8; 5]) -> io::Result<bool> {
    let mut length = 0;
    while length < head.len() {
        match from.read(&mut head[length..]) {
            Ok(0) if length == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::{Frame, LONGEST_PIECE, read, write_file, write_message};
    use std::io;

    fn kind(result: io::Result<Option<Frame>>) -> Result<&'static str, io::ErrorKind> {
        match result {
            Ok(None) => Ok("end"),
            Ok(Some(Frame::Message(_))) => Ok("message"),
            Ok(Some(Frame::Piece(_))) => Ok("piece"),
            Err(error) => Err(error.kind()),
        }
    }

    #[test]
    fn a_frame_comes_back_and_one_cut_off_anywhere_does_not() -> io::Result<()> {
        let mut bytes = Vec::new();
        write_message(&mut bytes, b"{\"bye\":null}")?;
        assert_eq!(kind(read(&mut bytes.as_slice())), Ok("message"));
        assert_eq!(kind(read(&mut &bytes[..0])), Ok("end"));
        for end in 1..bytes.len() {
            assert_eq!(kind(read(&mut &bytes[..end])), Err(io::ErrorKind::UnexpectedEof), "cut off at {end}");
        }
        Ok(())
    }

    #[test]
    fn a_file_is_sent_in_pieces_and_an_empty_one_in_none() -> io::Result<()> {
        let file = vec![7; 2 * LONGEST_PIECE + 1];
        let mut bytes = Vec::new();
        write_file(&mut bytes, &file)?;
        let (mut rest, mut back) = (bytes.as_slice(), Vec::new());
        while let Some(Frame::Piece(piece)) = read(&mut rest)? {
            back.extend_from_slice(piece.expose());
        }
        assert_eq!(back, file);
        bytes.clear();
        write_file(&mut bytes, b"")?;
        assert!(bytes.is_empty());
        Ok(())
    }

    #[test]
    fn what_claims_to_be_too_long_or_is_of_no_kind_is_refused_at_once() {
        for bytes in [[0xff, 0xff, 0xff, 0xff, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 2], *b"SSH-2"] {
            assert_eq!(kind(read(&mut bytes.as_slice())), Err(io::ErrorKind::InvalidData), "{bytes:?}");
        }
    }
}
