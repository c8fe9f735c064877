//! One listing of a source, folder by folder.

use super::beside::Links;
use super::follow::{Heads, Reached, Spot};
use super::identity::Rights;
use super::source::{Fault, Listing, MOST_ENTRIES, Source, SourceFile, leads_nowhere};
use super::{Entry, Kind, Stat};
use crate::base::{Error, ErrorKind, RelPath, Result};
use crate::spec::Limits;
use nix::errno::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

/// Folders in folders, at most.
const DEEPEST: u32 = 16;
/// certsync's own folder, where a `dest` of one set is the source of another.
const OURS: &str = ".certsync";

/// A search for the files of a set.
pub(super) struct Search<'a> {
    source: &'a Source,
    limits: &'a Limits,
    wanted: &'a dyn Fn(&str) -> bool,
    /// Entries that may still be met.
    left: usize,
    /// Bytes found so far.
    bytes: u64,
    found: Vec<SourceFile>,
    folders: Vec<(String, Stat)>,
    rights: Rights,
}

impl<'a> Search<'a> {
    pub(super) fn new(source: &'a Source, limits: &'a Limits, wanted: &'a dyn Fn(&str) -> bool) -> Search<'a> {
        Search { source, limits, wanted, left: MOST_ENTRIES, bytes: 0, found: Vec::new(), folders: Vec::new(), rights: Rights::own() }
    }

    /// Every file, sorted by path.
    pub(super) fn run(mut self) -> Result<Listing> {
        let spot = Rc::clone(&self.source.spot);
        self.folder(&spot, OsStr::new(""), 0)?;
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Listing { files: self.found, folders: self.folders })
    }

    fn folder(&mut self, spot: &Rc<Spot>, prefix: &OsStr, depth: u32) -> Result<()> {
        if depth > DEEPEST {
            return Err(self.error(prefix, format!("folders are nested more than {DEEPEST} deep")));
        }
        if !prefix.is_empty() {
            let stat = spot.dir.stat().map_err(|error| self.source.place(prefix, Fault::Io(spot.who.clone(), error)))?;
            self.folders.push((prefix.to_string_lossy().into_owned(), stat));
        }
        let entries = match self.source.list(&mut self.rights, spot, self.left) {
            Err(fault) if !prefix.is_empty() && fault.is_denial() && !self.wants(prefix) => return Ok(()),
            other => other.map_err(|fault| self.source.place(prefix, fault))?,
        };
        self.left -= entries.len();
        let links = links_among(&mut self.rights, spot, &entries)?;
        let mut heads = Heads::new();
        for entry in &entries {
            let path = below(prefix, &entry.name);
            match entry.kind {
                _ if entry.name == OURS => {}
                Kind::Dir => self.subfolder(spot, entry, &path, depth)?,
                _ if links.stand_for(&entry.name) || !self.wants(&path) => {}
                _ => self.file(spot, entry, &path, &mut heads)?,
            }
        }
        Ok(())
    }

    fn subfolder(&mut self, spot: &Rc<Spot>, entry: &Entry, path: &OsStr, depth: u32) -> Result<()> {
        if entry.name.as_bytes().starts_with(b".") && !self.wants(path) {
            return Ok(());
        }
        match self.source.enter(&mut self.rights, spot, &entry.name) {
            Ok(inner) => self.folder(&inner, path, depth + 1),
            // Gone, or exchanged for something else, since it was listed.
            Err(Fault::Io(_, error)) if leads_nowhere(&error) => Ok(()),
            Err(fault) if fault.is_denial() && !self.wants(path) => Ok(()),
            Err(fault) => Err(self.source.place(path, fault)),
        }
    }

    /// A wanted entry that is no folder.
    fn file(&mut self, spot: &Rc<Spot>, entry: &Entry, path: &OsStr, heads: &mut Heads) -> Result<()> {
        let name = self.rel_path(path)?;
        let (reached, stat) = match self.stat(spot, entry, heads) {
            Ok(found) => found,
            Err(Fault::Io(_, error)) if entry.kind == Kind::Link && leads_nowhere(&error) => {
                let hint = "make what it points at, remove it, or leave it out with except";
                return Err(self.error(path, "a link that leads nowhere").hint(hint));
            }
            // Gone since it was listed.
            Err(Fault::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(fault) => return Err(self.source.place(path, fault)),
        };
        match stat.kind {
            Kind::File => {}
            Kind::Dir => return Ok(()),
            Kind::Link | Kind::Other => {
                return Err(self
                    .error(path, "not a regular file")
                    .hint("a FIFO, socket or device is no material; remove it, or leave it out with except"));
            }
        }
        self.weigh(path, &stat)?;
        self.note_device(&reached, &stat);
        self.found.push(SourceFile { path: name, stat });
        Ok(())
    }

    fn stat(&mut self, spot: &Rc<Spot>, entry: &Entry, heads: &mut Heads) -> std::result::Result<(Reached, Stat), Fault> {
        if entry.kind == Kind::Link {
            return self.source.stat_link(&mut self.rights, spot, &entry.name, heads);
        }
        let reached = Reached { spot: Rc::clone(spot), rest: entry.name.clone() };
        self.rights.take(&spot.who).map_err(Fault::Rights)?;
        let found = spot.dir.stat_at(&entry.name).and_then(|found| found.ok_or_else(|| Errno::ENOENT.into()));
        found.map(|stat| (reached, stat)).map_err(|error| Fault::Io(spot.who.clone(), error))
    }

    fn weigh(&mut self, path: &OsStr, stat: &Stat) -> Result<()> {
        let limits = self.limits;
        if stat.size > limits.file {
            let cause = format!("{} bytes, more than limits.file allows ({})", stat.size, limits.file);
            return Err(self.error(path, cause).hint("is it a certificate or key at all? raise limits.file, or leave it out with except"));
        }
        self.bytes = self.bytes.saturating_add(stat.size);
        if self.bytes > limits.set {
            let cause = format!("its files hold more bytes than limits.set allows ({})", limits.set);
            return Err(
                Error::new(ErrorKind::Source, self.source.path.as_str(), cause).hint("name the files that belong to the set with only")
            );
        }
        if self.found.len() >= limits.files as usize {
            let cause = format!("more files than limits.files allows ({})", limits.files);
            return Err(
                Error::new(ErrorKind::Source, self.source.path.as_str(), cause).hint("name the files that belong to the set with only")
            );
        }
        Ok(())
    }

    /// A file elsewhere is only as good as the file system it is on.
    fn note_device(&self, reached: &Reached, stat: &Stat) {
        if stat.dev == self.source.device || !self.source.sound.get() {
            return;
        }
        let is_there = reached.spot.dir.stat().is_ok_and(|dir| dir.dev == stat.dev);
        if !(is_there && reached.spot.dir.stamps_are_sound().unwrap_or(false)) {
            self.source.sound.set(false);
        }
    }

    /// Names are held against patterns as they would be printed; what cannot be a name of ours fails only when it is wanted.
    fn wants(&self, path: &OsStr) -> bool {
        (self.wanted)(&path.to_string_lossy())
    }

    fn rel_path(&self, path: &OsStr) -> Result<RelPath> {
        let refuse = |cause: &str| {
            Error::new(ErrorKind::Judgement, self.source.shown(path), cause).hint("rename the file, or leave it out with except")
        };
        let text = path.to_str().ok_or_else(|| refuse("a file name is not UTF-8"))?;
        let plain = text
            .parse()
            .map_err(|_| refuse(if text.len() > 1024 { "a file name is too long" } else { "a file name holds a control character" }))?;
        Ok(plain)
    }

    fn error(&self, path: &OsStr, cause: impl Into<String>) -> Error {
        Error::new(ErrorKind::Source, self.source.shown(path), cause)
    }
}

fn links_among(rights: &mut Rights, spot: &Spot, entries: &[Entry]) -> Result<Links> {
    let mut links = Links::default();
    if entries.iter().all(|entry| entry.kind != Kind::Link) {
        return Ok(links);
    }
    rights.take(&spot.who)?;
    for entry in entries.iter().filter(|entry| entry.kind == Kind::Link) {
        links.add(&entry.name, spot.dir.read_link(&entry.name).ok().as_deref());
    }
    Ok(links)
}

fn below(prefix: &OsStr, name: &OsStr) -> OsString {
    let mut path = prefix.to_owned();
    if !path.is_empty() {
        path.push("/");
    }
    path.push(name);
    path
}
