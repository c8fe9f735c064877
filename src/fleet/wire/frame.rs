//! Frames: a length (four bytes, big-endian, of what follows the kind), a kind (one byte), and the payload.

use crate::base::Secret;
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// Frames up to this length together go out at once: a set of some files, with its head.
const TOGETHER: usize = 16 << 10;

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

/// Small frames that go out together, by [`Write::flush`]. Each write of its own becomes a packet of ssh's, which four processes have to
/// do with.
pub struct Together<'a, W> {
    to: &'a mut W,
    /// It never grows, so that what may be of a key lies in one place, and is wiped there.
    kept: Zeroizing<Vec<u8>>,
}

impl<'a, W: Write> Together<'a, W> {
    /// None yet.
    pub fn new(to: &'a mut W) -> Self {
        Together { to, kept: Zeroizing::new(Vec::with_capacity(TOGETHER)) }
    }

    fn send(&mut self) -> io::Result<()> {
        self.to.write_all(&self.kept)?;
        self.kept.clear();
        Ok(())
    }
}

impl<W: Write> Write for Together<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.kept.len() + bytes.len() > TOGETHER {
            self.send()?;
        }
        if bytes.len() > TOGETHER {
            return self.to.write(bytes);
        }
        self.kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()?;
        self.to.flush()
    }
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
    use super::{Frame, LONGEST_PIECE, TOGETHER, Together, read, write_file, write_message};
    use std::io::{self, Write};

    /// What was written, and by how many writes.
    #[derive(Default)]
    struct Counted {
        bytes: Vec<u8>,
        writes: usize,
    }

    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            self.bytes.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

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
    fn small_frames_go_out_by_one_write_and_large_ones_in_their_order() -> io::Result<()> {
        for (length, most) in [(10, 1), (TOGETHER - 5, 2), (TOGETHER + 1, 3), (LONGEST_PIECE + 1, 4)] {
            let (mut plain, mut counted, file) = (Vec::new(), Counted::default(), vec![7; length]);
            write_message(&mut plain, b"{}")?;
            write_file(&mut plain, &file)?;
            let mut together = Together::new(&mut counted);
            write_message(&mut together, b"{}")?;
            write_file(&mut together, &file)?;
            together.flush()?;
            assert!(counted.bytes == plain && counted.writes <= most, "{length}: {} writes", counted.writes);
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
