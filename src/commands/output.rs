//! The only place that writes to stdout, and the only one that prints errors.

use super::cli::{Color, GlobalArgs};
use crate::base::{Error, ErrorKind, printable};
use crate::plan::{Detail, Paint};
use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};

/// How and where a command answers.
pub(super) struct Output {
    /// Whether the answer is coloured.
    pub(super) paint: Paint,
    /// How much is shown.
    pub(super) detail: Detail,
    /// Whether text for people is kept back.
    pub(super) voice: Voice,
    failed: RefCell<Option<io::Error>>,
}

/// Whether text for people is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// It is.
    Normal,
    /// Only errors are (`-q`).
    Quiet,
}

impl Output {
    /// As the command line says.
    pub(super) fn new(global: &GlobalArgs) -> Self {
        Output {
            paint: paint(global.color),
            detail: if global.verbose > 0 { Detail::All } else { Detail::Changes },
            voice: if global.quiet { Voice::Quiet } else { Voice::Normal },
            failed: RefCell::new(None),
        }
    }

    /// Before the command line is known.
    pub(super) fn plain() -> Self {
        Output { paint: Paint::No, detail: Detail::Changes, voice: Voice::Normal, failed: RefCell::new(None) }
    }

    /// Writes what was asked for to stdout.
    pub(super) fn answer(&self, text: &str) {
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            self.failed.borrow_mut().get_or_insert(error);
        }
    }

    /// Writes text that only people want, so not with `-q`.
    pub(super) fn tell(&self, text: &str) {
        if self.voice == Voice::Normal {
            self.answer(text);
        }
    }

    /// Whether text that only people want is written.
    pub(super) fn speaks(&self) -> bool {
        self.voice == Voice::Normal
    }

    /// Whether everything was written. A reader that went away (`certsync plan | head`) has had enough, which is no error.
    pub(super) fn close(&self) -> Result<(), Error> {
        match self.failed.borrow().as_ref() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io(ErrorKind::Usage, "stdout", error)),
            _ => Ok(()),
        }
    }
}

fn paint(color: Color) -> Paint {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let wanted = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => io::stdout().is_terminal() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
    };
    if wanted { Paint::Yes } else { Paint::No }
}

/// Prints one error, its hint, and what a failed hook printed.
pub(super) fn print_error(error: &Error, output: &str) {
    let mut text = format!("certsync: error: {}\n", printable(&error.to_string()));
    for line in output.lines() {
        text.push_str(&format!("  | {}\n", printable(line)));
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("  hint: {}\n", printable(hint)));
    }
    complain(&text);
}

/// Writes text that is made for stderr already.
pub(super) fn complain(text: &str) {
    // Nobody is left to hear that stderr is closed.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
