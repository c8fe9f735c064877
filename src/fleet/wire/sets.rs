//! Sets on the wire: a head that lists the files, then their bytes in pieces. The receiver makes room only for what its own limits allow,
//! and believes no digest that it has not worked out itself.

use super::frame::{Frame, read};
use super::message::{FileHead, Message, Refusal, Version};
use super::{Broken, Wire};
use crate::base::{Error, ErrorKind, RelPath, Result, Secret, SetName, printable};
use crate::material::Material;
use crate::spec::Limits;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use zeroize::Zeroizing;

/// What came where a set was due.
pub struct CameSet {
    /// Which version.
    pub version: Version,
    /// The pattern that made it, if one did.
    pub pattern: Option<SetName>,
    /// What it consists of, its digest verified; or why it does not come.
    pub material: std::result::Result<Material, Refusal>,
}

impl<L: Write> Wire<L> {
    /// Sends a set.
    ///
    /// # Errors
    /// Kind `Peer`.
    pub fn send_set(&mut self, version: &Version, pattern: Option<&SetName>, material: &Material) -> Result<()> {
        let files = material
            .files()
            .iter()
            .map(|file| FileHead { path: file.path.clone(), size: file.bytes.len() as u64, sha256: file.bytes.sha256() })
            .collect();
        let head = Message::Set { version: version.clone(), pattern: pattern.cloned(), files };
        self.send_with(&head, material.files().iter().map(|file| file.bytes.expose()))
    }

    /// Says that a set which was asked for does not come.
    ///
    /// # Errors
    /// Kind `Peer`.
    pub fn send_without(&mut self, version: &Version, why: &Refusal) -> Result<()> {
        self.send(&Message::Without { version: version.clone(), why: why.clone() })
    }
}

impl<L: Write> Wire<L> {
    /// Answers with a plan.
    ///
    /// # Errors
    /// Kind `Peer`.
    pub fn send_plan(&mut self, json: &[u8]) -> Result<()> {
        self.send_with(&Message::Planned { size: json.len() as u64 }, std::iter::once(json))
    }
}

impl<L: Read> Wire<L> {
    /// The plan that was announced with `size` bytes; no more than `most` are taken.
    ///
    /// # Errors
    /// Kind `Peer`: it is longer, or cut off.
    pub fn receive_plan(&mut self, size: u64, most: u64) -> Result<Vec<u8>> {
        if size > most {
            return Err(self.fault(format!("its plan has {size} bytes, and no more than {most} are taken")));
        }
        self.bytes(size).map(Secret::into_public)
    }

    /// The next set; nothing where all have come. After an error the conversation cannot go on.
    ///
    /// # Errors
    /// Kind `Peer`: it is larger than `limits`, not what its head says, or cut off.
    pub fn receive_set(&mut self, limits: &Limits) -> Result<Option<CameSet>> {
        match self.must()? {
            Message::End => Ok(None),
            Message::Without { version, why } => Ok(Some(CameSet { version, pattern: None, material: Err(why) })),
            Message::Set { version, pattern, files } => {
                let material = self.files(&version, files, limits).inspect_err(|_| self.broken = Broken::Yes)?;
                Ok(Some(CameSet { version, pattern, material: Ok(material) }))
            }
            Message::Refused(why) => {
                self.broken = Broken::Yes;
                Err(Error::new(ErrorKind::Peer, self.peer.clone(), printable(&why.cause)))
            }
            _ => Err(self.out_of_turn("a set")),
        }
    }

    fn files(&mut self, version: &Version, heads: Vec<FileHead>, limits: &Limits) -> Result<Material> {
        let set = &version.set;
        let wrong = |cause: String| Error::new(ErrorKind::Peer, set.to_string(), cause);
        let (count, total) = (heads.len(), heads.iter().try_fold(0u64, |sum, head| sum.checked_add(head.size)));
        if count == 0 || count > limits.files as usize {
            return Err(wrong(format!("comes with {count} files, limits.files allows 1 to {}", limits.files)));
        }
        if total.is_none_or(|total| total > limits.set) {
            return Err(wrong(format!("comes with more bytes than limits.set allows ({})", limits.set)));
        }
        let mut paths = BTreeSet::new();
        for head in &heads {
            check_path(&head.path).map_err(&wrong)?;
            if head.size > limits.file {
                return Err(wrong(format!("{}: has {} bytes, limits.file allows {}", head.path, head.size, limits.file)));
            }
            if !paths.insert(head.path.clone()) {
                return Err(wrong(format!("{}: comes twice", head.path)));
            }
        }
        let folders: Vec<String> = paths.iter().map(|path| format!("{path}/")).collect();
        if paths.iter().any(|path| folders.iter().any(|folder| path.as_str().starts_with(folder.as_str()))) {
            return Err(wrong("comes with a name that is both a file and a folder".into()));
        }
        let mut files = Vec::with_capacity(count);
        for head in heads {
            let bytes = self.bytes(head.size)?;
            if bytes.sha256() != head.sha256 {
                return Err(wrong(format!("{}: came damaged: its SHA-256 is another one", head.path)));
            }
            files.push((head.path, bytes));
        }
        let material = Material::new(files);
        if material.digest() == version.digest { Ok(material) } else { Err(wrong("came damaged: its digest is another one".into())) }
    }

    fn bytes(&mut self, size: u64) -> Result<Secret> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        while bytes.len() < size {
            match read(&mut self.link) {
                Ok(Some(Frame::Piece(piece))) if !piece.is_empty() && piece.len() <= size - bytes.len() => {
                    bytes.extend_from_slice(piece.expose());
                }
                Ok(Some(_)) => return Err(self.out_of_turn("a piece of a file")),
                Ok(None) => return Err(self.fault("the connection was cut off")),
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(Secret::new(std::mem::take(&mut *bytes)))
    }
}

/// What no set of certsync's has.
fn check_path(path: &RelPath) -> std::result::Result<(), String> {
    if path.steps().any(|step| step == ".certsync" || step.len() > 255) {
        return Err(format!("{}: is no name of a set's file", printable(path.as_str())));
    }
    Ok(())
}
