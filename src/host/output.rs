//! What a command printed: bounded, and fit for a terminal.

use crate::base::escape;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

/// The end of what was printed, and how much came before it.
pub(super) struct Output {
    bytes: Vec<u8>,
    kept: usize,
    cut: u64,
    closed: bool,
}

impl Output {
    /// Nothing yet; of all that comes, the last `kept` bytes stay.
    pub(super) fn keeping(kept: usize) -> Output {
        Output { bytes: Vec::new(), kept, cut: 0, closed: false }
    }

    /// Reads once, without waiting; whether there was something.
    pub(super) fn read_some(&mut self, pipe: &impl AsFd) -> bool {
        let mut chunk = [0; 16 * 1024];
        if self.closed {
            return false;
        }
        match nix::unistd::read(pipe, &mut chunk).map_err(io::Error::from) {
            Ok(0) => self.closed = true,
            Ok(read) => {
                self.add(&chunk[..read]);
                return true;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.closed = true,
        }
        false
    }

    /// Whether nobody can print any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The text: line breaks as they are, tabs as spaces, everything else that a terminal would act on escaped.
    pub(super) fn text(&mut self) -> String {
        self.shorten();
        let mut text = String::with_capacity(self.bytes.len());
        if self.cut > 0 {
            let _ = writeln!(text, "[{} bytes before this were cut]", self.cut);
        }
        for line in self.bytes.split_inclusive(|byte| *byte == b'\n') {
            let (line, end) = match line.strip_suffix(b"\n") {
                Some(line) => (line.strip_suffix(b"\r").unwrap_or(line), "\n"),
                None => (line, ""),
            };
            for (i, part) in line.split(|byte| *byte == b'\t').enumerate() {
                text.push_str(if i > 0 { "    " } else { "" });
                text.push_str(&escape(OsStr::from_bytes(part)));
            }
            text.push_str(end);
        }
        text
    }

    /// Takes what was read elsewhere.
    pub(super) fn add(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        // Not at every read: moving the kept bytes costs more than reading them.
        if self.bytes.len() > 4 * self.kept {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let Some(mut surplus) = self.bytes.len().checked_sub(self.kept).filter(|surplus| *surplus > 0) else { return };
        // Not in the middle of a character.
        while surplus < self.bytes.len() && self.bytes[surplus] & 0b1100_0000 == 0b1000_0000 {
            surplus += 1;
        }
        self.bytes.drain(..surplus);
        self.cut += surplus as u64;
    }
}

/// Makes reads from `descriptor` return at once.
pub(super) fn set_nonblocking(descriptor: &impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Output;

    const KEPT: usize = 64 * 1024;

    fn text(chunks: &[&[u8]]) -> String {
        let mut output = Output::keeping(KEPT);
        chunks.iter().for_each(|chunk| output.add(chunk));
        output.text()
    }

    #[test]
    fn line_breaks_stay_and_terminal_sequences_do_not() {
        assert_eq!(text(&[b"a\tb\r\n\x1b[31mred\n", b"\xffend"]), "a    b\n\\u{1b}[31mred\n\\xffend");
    }

    #[test]
    fn only_the_end_of_much_output_is_kept() {
        let line = [b"0123456789abcde\n".repeat(1024), Vec::new()].concat();
        let all = text(&vec![line.as_slice(); 100]);
        assert!(all.starts_with("[1572864 bytes before this were cut]\n0123"), "{}", &all[..60]);
        assert!(all.len() <= KEPT + 60);
        assert!(all.ends_with("abcde\n"));
    }

    #[test]
    fn a_cut_is_never_inside_a_character() {
        let all = text(&["ä".repeat(KEPT / 2 + 1).as_bytes(), b"x"]);
        assert!(all.starts_with("[4 bytes before this were cut]\nä"), "{}", &all[..60]);
    }
}
