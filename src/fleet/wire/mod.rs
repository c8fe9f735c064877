//! The conversation of two hosts: a hello with a range of versions, then length-limited frames. Nothing that comes is believed before it
//! was checked, and no text that comes reaches a terminal as it is.

mod frame;
mod message;
mod reports;
mod sets;

pub use message::{FileHead, Hello, Message, Offered, Refusal, VERSIONS, Version, Waits};
pub use sets::CameSet;

use crate::base::{Error, ErrorKind, Result, printable};
use crate::host;
use crate::host::ssh::Connection;
use frame::{Frame, Together};
use std::io::{self, Read, Write};
use std::time::Duration;

/// A stream to another host.
pub trait Link: Read + Write {
    /// Whether the other side has hung up. Nothing is read.
    fn is_gone(&mut self) -> bool;
    /// From now on each single step may take this long.
    fn wait_each(&mut self, each: Duration);
}

impl Link for host::link::Link {
    fn is_gone(&mut self) -> bool {
        host::link::Link::is_gone(self)
    }

    fn wait_each(&mut self, each: Duration) {
        host::link::Link::wait_each(self, each);
    }
}

impl Link for Connection {
    fn is_gone(&mut self) -> bool {
        self.link().is_gone()
    }

    fn wait_each(&mut self, each: Duration) {
        self.link().wait_each(each);
    }
}

/// One end of a conversation over the stream `L`.
pub struct Wire<L> {
    link: L,
    /// What the other end is called in errors.
    peer: String,
    broken: Broken,
    /// The version that both speak, once they have said so.
    version: u32,
}

/// Whether the conversation can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    No,
    Yes,
}

impl<L> Wire<L> {
    /// Begins on `link`; `peer` names the other end in errors.
    pub fn new(link: L, peer: impl Into<String>) -> Self {
        Wire { link, peer: peer.into(), broken: Broken::No, version: VERSIONS.0 }
    }

    /// Whether the conversation cannot go on: what was sent or came is cut off, or makes no sense.
    pub fn is_broken(&self) -> bool {
        self.broken == Broken::Yes
    }

    /// Whether the other end knows sets that are kept until the origin gives its word, and reports in parts.
    pub fn knows_parts_and_stages(&self) -> bool {
        self.version >= 2
    }

    /// The stream.
    pub fn link(&mut self) -> &mut L {
        &mut self.link
    }

    /// The stream, where the conversation is over.
    pub fn into_link(self) -> L {
        self.link
    }

    /// An error of the other end, after which the conversation cannot go on.
    fn fault(&mut self, cause: impl Into<String>) -> Error {
        self.broken = Broken::Yes;
        Error::new(ErrorKind::Peer, self.peer.clone(), cause)
    }

    /// The other end did not say what was due.
    pub fn out_of_turn(&mut self, due: &str) -> Error {
        self.fault(format!("said something else where {due} was due"))
    }

    fn failed(&mut self, error: &io::Error) -> Error {
        self.broken = Broken::Yes;
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                self.fault("the connection was cut off")
            }
            io::ErrorKind::TimedOut => self.fault(printable(&error.to_string())),
            io::ErrorKind::InvalidData => self.fault(format!("{error}: is it certsync that answers there?")),
            _ => Error::io(ErrorKind::Peer, self.peer.clone(), error),
        }
    }
}

impl<L: Write> Wire<L> {
    /// Sends a message.
    ///
    /// # Errors
    /// Kind `Peer`.
    pub fn send(&mut self, message: &Message) -> Result<()> {
        self.send_with(message, std::iter::empty())
    }

    /// Sends a message, and behind it the bytes of these files.
    fn send_with<'a>(&mut self, message: &Message, mut files: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let bytes = serde_json::to_vec(message).map_err(|error| self.fault(printable(&error.to_string())))?;
        let mut together = Together::new(&mut self.link);
        let sent = frame::write_message(&mut together, &bytes)
            .and_then(|()| files.try_for_each(|file| frame::write_file(&mut together, file)))
            .and_then(|()| together.flush());
        drop(together);
        sent.map_err(|error| self.failed(&error))
    }
}

impl<L: Read> Wire<L> {
    /// The next message; nothing where the other end has said all.
    ///
    /// # Errors
    /// Kind `Peer`: the connection broke, or what came is no message.
    pub fn hear(&mut self) -> Result<Option<Message>> {
        match frame::read(&mut self.link) {
            Ok(None) => Ok(None),
            Ok(Some(Frame::Message(bytes))) => match Message::parse(&bytes) {
                Some(message) => Ok(Some(message)),
                None => Err(self.fault("what came is no message of this version")),
            },
            Ok(Some(Frame::Piece(_))) => Err(self.out_of_turn("a message")),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// The next message, which must come.
    ///
    /// # Errors
    /// Kind `Peer`.
    pub fn must(&mut self) -> Result<Message> {
        match self.hear()? {
            Some(message) => Ok(message),
            None => Err(self.fault("closed the connection before it answered")),
        }
    }
}

impl<L: Read + Write> Wire<L> {
    /// Says hello first and hears the answer.
    ///
    /// # Errors
    /// Kind `Peer`: the other end refuses, or speaks no version that this one does.
    pub fn greet(&mut self, hello: &Hello) -> Result<Hello> {
        self.send(&Message::Hello(hello.clone()))?;
        match self.must()? {
            Message::Hello(theirs) => self.agree(hello, theirs),
            Message::Refused(why) => {
                self.broken = Broken::Yes;
                Err(refused(&self.peer, &why, hello))
            }
            _ => Err(self.out_of_turn("hello")),
        }
    }

    /// Hears the hello and answers it.
    ///
    /// # Errors
    /// As [`Wire::greet`].
    pub fn greet_back(&mut self, hello: &Hello) -> Result<Hello> {
        let Message::Hello(theirs) = self.must()? else { return Err(self.out_of_turn("hello")) };
        self.send(&Message::Hello(hello.clone()))?;
        self.agree(hello, theirs)
    }

    /// The highest version that both speak is used; where there is none, both sides say the same.
    fn agree(&mut self, ours: &Hello, theirs: Hello) -> Result<Hello> {
        let ((low, high), (their_low, their_high)) = (ours.versions, theirs.versions);
        if low.max(their_low) > high.min(their_high) {
            let who = if their_low > high { "update certsync on this host" } else { "update certsync on that host" };
            let cause = format!("speaks versions {their_low} to {their_high} of the protocol, this certsync {low} to {high}");
            return Err(self.fault(cause).hint(who));
        }
        self.version = high.min(their_high);
        Ok(theirs)
    }
}

fn refused(peer: &str, why: &Refusal, hello: &Hello) -> Error {
    let error = why.error(ErrorKind::Peer, &hello.name, hello.spec);
    Error { subject: peer.to_owned(), ..error }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
