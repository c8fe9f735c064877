//! This host's own key pair for SSH: made here, kept in the state directory, and only its public half ever leaves it.
//!
//! A key is one file in OpenSSH's format, without a passphrase: whether there is a key, and which, changes by one rename. There is no file
//! with the public half beside it that could belong to another key after a crash.

use crate::base::{AbsPath, Error, ErrorKind, Mode, Result, Secret, SshKey, base64};
use crate::host::{Dir, Durability, unique, write_atomic};
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use std::ffi::{OsStr, OsString};
use std::io;
use zeroize::Zeroizing;

/// Where the keys are in the state directory.
pub const FOLDER: &str = "keys";
/// The key that is used.
const CURRENT: &str = "id_ed25519";
/// The one that is going to be.
const NEXT: &str = "next";
/// The one that was.
const PREVIOUS: &str = "previous";
/// A key of RSA with 16384 bits has 13 KiB.
const LARGEST: u64 = 64 * 1024;
const PRIVATE: Mode = Mode::from_bits(0o600);

/// What stands at the head and at the end of a private key.
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
/// How its bytes begin (PROTOCOL.key of OpenSSH).
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Whether something was to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// A key was made, or taken into use.
    Now(SshKey),
    /// It was so already.
    Before(SshKey),
}

/// The keys of a state directory.
pub struct Keys<'a> {
    folder: Dir,
    at: &'a AbsPath,
}

/// Whether the state directory `dir` holds a host's own key.
///
/// # Errors
/// What the file system says.
pub fn has_key(dir: &Dir) -> io::Result<bool> {
    match dir.find_dir(OsStr::new(FOLDER))? {
        Some(folder) => Ok(folder.stat_at(OsStr::new(CURRENT))?.is_some()),
        None => Ok(false),
    }
}

impl<'a> Keys<'a> {
    /// Opens the folder of the state directory `dir`, which lies at `at`; makes it (0700) where it is missing.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn open(dir: &Dir, at: &'a AbsPath) -> Result<Keys<'a>> {
        let open = || -> io::Result<Dir> {
            if let Some(folder) = dir.find_dir(OsStr::new(FOLDER))? {
                return Ok(folder);
            }
            let owner = dir.stat()?;
            let made = dir.make_finished_dir(OsStr::new(FOLDER), (owner.uid, owner.gid), Mode::from_bits(0o700));
            match made {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => dir.open_dir(OsStr::new(FOLDER)),
                made => made.and_then(|folder| dir.sync().map(|()| folder)),
            }
        };
        open().map(|folder| Keys { folder, at }).map_err(|error| Error::io(ErrorKind::State, format!("{at}/{FOLDER}"), &error))
    }

    /// Where the private key is, if this host has one of its own.
    ///
    /// # Errors
    /// Kind `State`.
    pub fn find(dir: &Dir, at: &AbsPath) -> Result<Option<AbsPath>> {
        let path = format!("{at}/{FOLDER}/{CURRENT}");
        match has_key(dir) {
            Ok(true) => path.parse().map(Some).map_err(|_| Error::new(ErrorKind::State, &path, "is not a path")),
            Ok(false) => Ok(None),
            // An unprivileged gate may not look, and has nobody to log in to.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
            Err(error) => Err(Error::io(ErrorKind::State, path, &error)),
        }
    }

    /// Makes this host's key; the one that is there stays.
    ///
    /// # Errors
    /// Kind `State`: what is there is no key, or none can be written.
    pub fn make(&self) -> Result<Made> {
        self.make_at(CURRENT)
    }

    /// Makes the key that is going to be used; the one that is there stays.
    ///
    /// # Errors
    /// Kind `State`: this host has no key yet, what is there is no key, or none can be written.
    pub fn make_next(&self) -> Result<Made> {
        if self.read(CURRENT)?.is_none() {
            return Err(self.error(CURRENT, "there is no key yet that another one could follow").hint("certsync keygen makes the first"));
        }
        self.make_at(NEXT)
    }

    /// Takes the next key into use and keeps the former one as `previous`. Killed anywhere, it leaves one of the two in use, and when it is
    /// run again it goes on.
    ///
    /// # Errors
    /// Kind `State`: there is no next key and never was one, or it cannot be moved.
    pub fn activate(&self) -> Result<Made> {
        let current = self.read(CURRENT)?;
        let Some((next, _)) = self.read(NEXT)? else {
            return match (current, self.read(PREVIOUS)?) {
                (Some((current, _)), Some(_)) => Ok(Made::Before(current)),
                _ => Err(self.error(NEXT, "there is no next key").hint("certsync keygen --next makes one")),
            };
        };
        let swap = || -> io::Result<()> {
            if let Some((_, former)) = &current {
                write_atomic(&self.folder, OsStr::new(PREVIOUS), former.expose(), PRIVATE, Durability::OnDisk)?;
            }
            self.folder.rename(OsStr::new(NEXT), &self.folder, OsStr::new(CURRENT))?;
            self.folder.sync()
        };
        swap().map_err(|error| self.fault(CURRENT, &error))?;
        Ok(Made::Now(next))
    }

    fn make_at(&self, name: &str) -> Result<Made> {
        if let Some((there, _)) = self.read(name)? {
            return Ok(Made::Before(there));
        }
        let (key, private) = generate().map_err(|cause| self.error(name, cause))?;
        let temporary = OsString::from(unique(".new-"));
        let place = || -> io::Result<()> {
            let owner = self.folder.stat()?;
            self.folder.create_file(&temporary, private.expose(), (owner.uid, owner.gid), PRIVATE)?;
            self.folder.sync_file(&temporary)?;
            self.folder.rename_new(&temporary, &self.folder, OsStr::new(name))?;
            self.folder.sync()
        };
        let placed = place();
        if placed.is_err() {
            // The first error is the one to hear.
            let _ = self.folder.unlink(&temporary);
        }
        match placed {
            Ok(()) => Ok(Made::Now(key)),
            // Somebody was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match self.read(name)? {
                Some((there, _)) => Ok(Made::Before(there)),
                None => Err(self.fault(name, &error)),
            },
            Err(error) => Err(self.fault(name, &error)),
        }
    }

    /// A key and its public half.
    fn read(&self, name: &str) -> Result<Option<(SshKey, Secret)>> {
        let (private, stat) = match self.folder.read_file(OsStr::new(name), LARGEST) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.fault(name, &error)),
        };
        if stat.mode.bits() & 0o077 != 0 {
            let cause = format!("others may read it ({}), and ssh refuses such a key", stat.mode.ls('-'));
            return Err(self.error(name, cause).hint(format!("chmod 600 {}; who has read it can log in with it", self.path(name))));
        }
        match public_half(private.expose()) {
            Some(key) => Ok(Some((key, private))),
            None => {
                Err(self.error(name, "is not a private key of OpenSSH's").hint("move it away; certsync never overwrites what lies there"))
            }
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{FOLDER}/{name}", self.at)
    }

    fn error(&self, name: &str, cause: impl Into<String>) -> Error {
        Error::new(ErrorKind::State, self.path(name), cause)
    }

    fn fault(&self, name: &str, error: &io::Error) -> Error {
        Error::io(ErrorKind::State, self.path(name), error)
    }
}

/// A new Ed25519 key: its public half, and the file of the private one.
fn generate() -> std::result::Result<(SshKey, Secret), String> {
    let failed = |_| "a key cannot be made".to_owned();
    let pair = Ed25519KeyPair::generate().map_err(failed)?;
    let seed: Curve25519SeedBin<'_> = pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(failed)?;
    let public: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| "a key cannot be made".to_owned())?;
    let key = SshKey::ed25519(&public);
    let private = written(&key, &public, seed.as_ref());
    Ok((key, private))
}

/// A private key without a passphrase, as PROTOCOL.key of OpenSSH has it. Nothing here grows, which would leave a copy of the seed.
fn written(key: &SshKey, public: &[u8; 32], seed: &[u8]) -> Secret {
    const COMMENT: &[u8] = b"certsync";
    let mut half = Zeroizing::new(Vec::with_capacity(256));
    // Two equal numbers, by which whoever decrypts it sees that the passphrase was right; there is none.
    half.extend([0; 8]);
    put(&mut half, key.algorithm().as_bytes());
    put(&mut half, public);
    half.extend(64u32.to_be_bytes());
    half.extend_from_slice(seed);
    half.extend_from_slice(public);
    put(&mut half, COMMENT);
    let padding = (8 - half.len() % 8) % 8;
    half.extend((1..=8u8).take(padding));
    let mut all = Zeroizing::new(Vec::with_capacity(512));
    all.extend_from_slice(MAGIC);
    put(&mut all, b"none");
    put(&mut all, b"none");
    put(&mut all, b"");
    all.extend(1u32.to_be_bytes());
    put(&mut all, key.blob());
    put(&mut all, &half);
    let coded = Zeroizing::new(base64::encode_padded(&all));
    let mut text = Zeroizing::new(Vec::with_capacity(1024));
    text.extend_from_slice(BEGIN.as_bytes());
    text.push(b'\n');
    for line in coded.as_bytes().chunks(70) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend_from_slice(END.as_bytes());
    text.push(b'\n');
    Secret::new(std::mem::take(&mut *text))
}

fn put(to: &mut Vec<u8>, part: &[u8]) {
    to.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(part);
}

/// The public half of a private key, which stands in it in clear; so it is found in one with a passphrase too.
fn public_half(file: &[u8]) -> Option<SshKey> {
    let text = std::str::from_utf8(file).ok()?.trim();
    let body = text.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let mut coded = Zeroizing::new(String::with_capacity(body.len()));
    body.lines().for_each(|line| coded.push_str(line.trim()));
    let bytes = Zeroizing::new(base64::decode(&coded)?);
    let mut rest = bytes.strip_prefix(MAGIC)?;
    for _ in 0..3 {
        rest = taken(rest)?.1;
    }
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (blob, _) = taken(rest)?;
    let (kind, _) = taken(blob)?;
    let line = format!("{} {}", std::str::from_utf8(kind).ok()?, base64::encode_padded(blob));
    (*count == 1u32.to_be_bytes()).then(|| line.parse().ok()).flatten()
}

fn taken(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests;
