//! Looking at a `dest`.

use super::{
    CURRENT, META, Marker, OWNER_FILE, ObservedDest, ObservedDir, ObservedFile, ObservedInstall, ObservedName, ObservedTree, Rights,
};
use crate::base::{AbsPath, Error, ErrorKind, GenerationHash, RelPath, Result, Secret, SetName, escape, printable};
use crate::host::{Dir, Entry, Kind, Stat, clock, users, walk};
use crate::material::{Description, FileKind, describe, kind_of};
use crate::state::{Acl, Contents, Inode, Known, What};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::ffi::OsStr;
use std::io;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Metadata, and contents where the cache does not know them.
    Metadata,
    /// Every file described in an operator's words as well, at this time (Unix seconds).
    Words(i64),
}

const DEEPEST: usize = 32;

/// How to look.
#[derive(Debug, Clone, Copy)]
pub struct How<'a> {
    /// How closely.
    pub depth: Depth,
    /// Content of `.certsync/owner` when it is ours.
    pub us: &'a str,
    /// The generation that the state takes for the current one.
    pub recorded: Option<&'a str>,
    /// Bytes of the largest file that is read: a larger one is nothing certsync installed.
    pub largest: u64,
}

/// Looks at `dest` for `set`. `names` are looked at in `dest` besides those of the current generation.
///
/// # Errors
/// Kind `Install` or `Permission`: what stands in the way.
pub fn observe(dest: &AbsPath, set: &SetName, names: &[&RelPath], contents: &mut Contents, how: How<'_>) -> Result<ObservedInstall> {
    let walked = walk::to(dest)?;
    if !walked.missing.is_empty() {
        let names = names.iter().map(|name| ((*name).clone(), ObservedName::Missing)).collect();
        return Ok(ObservedInstall { names, ..ObservedInstall::default() });
    }
    Looker { contents, how, device: 0 }.install(&walked, set, names).map_err(|error| {
        let shown = Error::io(ErrorKind::Install, dest, &error);
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                shown.hint("see what others may have put there, then chmod go-w it, or move it away: what is missing is made anew")
            }
            _ => shown,
        }
    })
}

struct Looker<'a> {
    contents: &'a mut Contents,
    how: How<'a>,
    /// The device of the `dest`.
    device: u64,
}

impl Looker<'_> {
    fn install(&mut self, walked: &walk::Walk, set: &SetName, names: &[&RelPath]) -> io::Result<ObservedInstall> {
        let dest = &walked.dir;
        let stat = dest.stat()?;
        self.device = stat.dev;
        self.note(What::Dest, "", &stat);
        if !dest.stamps_are_sound()? {
            self.contents.trace.spoil();
        }
        let meta = own_dir(dest, META)?;
        let mut own_folders = Vec::new();
        let marker = match &meta {
            Some(meta) => {
                own_folders.push(self.seen(What::Meta, "", meta)?);
                self.marker(meta)?
            }
            None => Marker::Nobody,
        };
        let mut observed = ObservedInstall {
            dest: Some(ObservedDest {
                inode: Inode { dev: stat.dev, ino: stat.ino },
                uid: stat.uid,
                gid: stat.gid,
                mode: stat.mode,
                wider: dest.has_wider_acl(None)?,
                parent_is_safe: walked.parent_is_safe,
                marker,
            }),
            own_folders,
            ..ObservedInstall::default()
        };
        if let Some(meta) = meta
            && let Some(set_dir) = own_dir(&meta, set.as_str())?
        {
            observed.own_folders.push(self.seen(What::Folder, "", &set_dir)?);
            self.generations(&set_dir, &mut observed)?;
        }
        let mut wanted: Vec<RelPath> = names.iter().map(|name| (*name).clone()).collect();
        wanted.extend(observed.tree.iter().flat_map(|tree| tree.files.keys().cloned()));
        for name in wanted {
            if let Place::Vacant(place) = observed.names.entry(name) {
                let found = self.name(dest, place.key())?;
                place.insert(found);
            }
        }
        Ok(observed)
    }

    fn generations(&mut self, set_dir: &Dir, observed: &mut ObservedInstall) -> io::Result<()> {
        for entry in set_dir.entries()? {
            observed.leftovers |= is_leftover(&entry.name);
            if let (Kind::Dir, Some(name)) = (entry.kind, entry.name.to_str())
                && !name.starts_with('.')
            {
                observed.generations.push(name.to_owned());
            }
        }
        observed.current = match set_dir.read_link(OsStr::new(CURRENT)) {
            Ok(target) => target.into_string().ok(),
            Err(_) => None,
        };
        let name = observed.current.as_deref().or(self.how.recorded);
        if let Some(name) = name
            && observed.generations.iter().any(|there| there == name)
        {
            let dir = set_dir.open_dir(OsStr::new(name))?;
            let mut tree = ObservedTree { name: name.to_owned(), files: BTreeMap::new(), hash: None, dirs: Vec::new() };
            self.tree(&dir, "", &mut tree)?;
            let hashes: Option<Vec<_>> = tree.files.iter().map(|(path, file)| Some((path.as_str(), file.sha256.as_ref()?))).collect();
            tree.hash = hashes.map(GenerationHash::of);
            observed.tree = Some(tree);
        }
        Ok(())
    }

    fn tree(&mut self, dir: &Dir, prefix: &str, tree: &mut ObservedTree) -> io::Result<()> {
        if prefix.matches('/').count() > DEEPEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "folders are nested too deeply"));
        }
        tree.dirs.push(self.seen(What::Generation, prefix.trim_end_matches('/'), dir)?);
        for entry in dir.entries()? {
            let path = format!("{prefix}{}", escape(&entry.name));
            if entry.kind == Kind::Dir {
                self.tree(&dir.open_dir(&entry.name)?, &format!("{path}/"), tree)?;
                continue;
            }
            // A strange name was put there by somebody else: under its escaped form it makes the hash differ.
            if let Ok(path) = path.parse::<RelPath>() {
                let file = self.file(What::Generation, path.as_str(), dir, &entry.name)?;
                tree.files.insert(path, file);
            }
        }
        Ok(())
    }

    /// Everything of an install lies on one file system, or its times prove nothing of each other.
    fn note(&mut self, what: What, path: &str, stat: &Stat) {
        self.contents.trace.note(what, path, stat);
        if stat.dev != self.device {
            self.contents.trace.spoil();
        }
    }

    /// A directory, its metadata taken before anything in it is looked at.
    fn seen(&mut self, what: What, path: &str, dir: &Dir) -> io::Result<ObservedDir> {
        let stat = dir.stat()?;
        self.note(what, path, &stat);
        Ok(ObservedDir { uid: stat.uid, gid: stat.gid, mode: stat.mode, wider: dir.has_wider_acl(None)? })
    }

    /// Who manages this `dest`.
    fn marker(&mut self, meta: &Dir) -> io::Result<Marker> {
        let (marker, stat) = marker_and_stat(meta, self.how.us)?;
        stat.iter().for_each(|stat| self.note(What::Meta, OWNER_FILE, stat));
        Ok(marker)
    }

    fn file(&mut self, what: What, path: &str, dir: &Dir, name: &OsStr) -> io::Result<ObservedFile> {
        let clock = clock::coarse_nanoseconds();
        let Some(stat) = dir.stat_at(name)? else { return Err(io::ErrorKind::NotFound.into()) };
        if stat.kind != Kind::File || stat.size > self.how.largest {
            return Ok(described(&stat, None, None));
        }
        if self.how.depth == Depth::Metadata
            && let Some(known) = self.contents.find(&stat).filter(|known| known.acl != Acl::Unknown)
        {
            self.note(what, path, &stat);
            return Ok(described(&stat, Some(known), None));
        }
        let (bytes, stat) = dir.read_file(name, self.how.largest)?;
        self.note(what, path, &stat);
        let known = self.learn(dir, name, &bytes, &stat, clock)?;
        Ok(described(&stat, Some(known), self.words(&bytes)))
    }

    /// The ACL is asked for after the stat that it is recorded with: a change in between only makes the entry stale.
    fn learn(&mut self, dir: &Dir, name: &OsStr, bytes: &Secret, stat: &Stat, clock: i128) -> io::Result<Known> {
        let acl = if dir.has_wider_acl(Some(name))? { Acl::Wider } else { Acl::Plain };
        let known = Known { sha256: bytes.sha256(), kind: kind_of(bytes.expose()), acl };
        if dir.stamps_are_sound().unwrap_or(false) {
            self.contents.record(stat, known, clock);
        }
        Ok(known)
    }

    fn words(&self, bytes: &Secret) -> Option<Description> {
        match self.how.depth {
            Depth::Metadata => None,
            Depth::Words(now) => Some(describe(bytes.expose(), now)),
        }
    }

    fn name(&mut self, dest: &Dir, name: &RelPath) -> io::Result<ObservedName> {
        let (folders, leaf) = name.split();
        let mut dir = dest.try_clone()?;
        let mut path = String::new();
        for folder in folders {
            dir = match dir.stat_at(OsStr::new(folder))? {
                None => return Ok(ObservedName::Missing),
                Some(stat) if stat.kind == Kind::Dir => dir.open_dir(OsStr::new(folder))?,
                Some(_) => return Ok(ObservedName::Obstacle("below something that is no directory")),
            };
            path = if path.is_empty() { folder.to_owned() } else { format!("{path}/{folder}") };
            let stat = dir.stat()?;
            self.note(What::Dest, &path, &stat);
        }
        let leaf = OsStr::new(leaf);
        Ok(match dir.stat_at(leaf)?.map(|stat| stat.kind) {
            None => ObservedName::Missing,
            Some(Kind::Link) => {
                let target = dir.read_link(leaf)?;
                ObservedName::Link(target.to_str().map_or_else(|| escape(&target), printable))
            }
            Some(Kind::File) => ObservedName::File(self.file(What::Dest, name.as_str(), &dir, leaf)?),
            Some(Kind::Dir) => ObservedName::Obstacle("a directory"),
            Some(Kind::Other) => ObservedName::Obstacle("a device, FIFO or socket"),
        })
    }
}

fn described(stat: &Stat, known: Option<Known>, description: Option<Description>) -> ObservedFile {
    ObservedFile {
        sha256: known.map(|known| known.sha256),
        kind: known.map_or(FileKind::Unrecognised, |known| known.kind),
        uid: stat.uid,
        gid: stat.gid,
        mode: stat.mode,
        wider: known.is_some_and(|known| known.acl == Acl::Wider),
        description,
    }
}

/// Reads these files of a generation of `set` at `dest`, for a look at what they are together with others.
///
/// # Errors
/// Kind `Install`: which one cannot be read, or not with these rights.
pub fn read_generation(
    dest: &AbsPath,
    set: &SetName,
    name: &str,
    paths: &[RelPath],
    limit: u64,
    rights: Rights,
) -> Result<Vec<(RelPath, Secret)>> {
    let walked = walk::to(dest)?;
    let read = || -> io::Result<Vec<(RelPath, Secret)>> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let meta = own_dir(&walked.dir, META)?.ok_or_else(gone)?;
        let top = own_dir(&meta, set.as_str())?.ok_or_else(gone)?.open_dir(OsStr::new(name))?;
        let one = |path: &RelPath| {
            let (folders, leaf) = path.split();
            let dir = folders.iter().try_fold(top.try_clone()?, |dir, folder| dir.open_dir(OsStr::new(folder)))?;
            let bytes = match rights {
                Rights::Ours => dir.read_file(OsStr::new(leaf), limit)?.0,
                Rights::Owners => dir.read_file_as_owner(OsStr::new(leaf), limit, None)?,
            };
            Ok((path.clone(), bytes))
        };
        paths.iter().map(one).collect()
    };
    read().map_err(|e| Error::io(ErrorKind::Install, dest, &e))
}

/// How the name begins that a file which is adopted has for a moment.
pub const TAKEN: &str = ".taken-";

/// Whether certsync itself made this name, for a moment.
pub fn is_leftover(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| [".new-", ".trash-", TAKEN].iter().any(|prefix| name.starts_with(prefix)))
}

/// Whether this is a folder that somebody put in the place of a file at the moment it was adopted: not ours to remove.
pub fn is_foreign_folder(entry: &Entry) -> bool {
    entry.kind == Kind::Dir && entry.name.to_str().is_some_and(|name| name.starts_with(TAKEN))
}

/// Opens a folder of ours: one that somebody else made in its place, or may write in, is not believed.
///
/// # Errors
/// `PermissionDenied`, saying whose it is.
pub fn own_dir(dir: &Dir, name: &str) -> io::Result<Option<Dir>> {
    let denied = |cause: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, cause));
    let found = match dir.open_unmounted(OsStr::new(name)) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => return denied(format!("something is mounted at {name}")),
        Err(error) => return Err(error),
    };
    let stat = found.stat()?;
    if stat.uid != users::running_user().uid {
        return denied(format!("{name} belongs to {}, not to the user certsync runs as", users::user_name(stat.uid)));
    }
    if stat.mode.bits() & 0o022 != 0 {
        return denied(format!("others may write in {name}"));
    }
    Ok(Some(found))
}

/// Who manages the `dest` with this folder.
///
/// # Errors
/// The file cannot be read.
pub fn marker(meta: &Dir, us: &str) -> io::Result<Marker> {
    Ok(marker_and_stat(meta, us)?.0)
}

fn marker_and_stat(meta: &Dir, us: &str) -> io::Result<(Marker, Option<Stat>)> {
    match meta.read_file(OsStr::new(OWNER_FILE), 8192) {
        Ok((text, stat)) => {
            let text = String::from_utf8_lossy(text.expose());
            let text = text.trim_end_matches('\n');
            if text == us {
                return Ok((Marker::Us, Some(stat)));
            }
            // Whatever lies at that name is shown to an operator only if it is what certsync writes there.
            let shown =
                text.parse::<AbsPath>().map_or_else(|_| String::from("a place that the file does not name"), |at| printable(at.as_str()));
            Ok((Marker::Other(shown), Some(stat)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((Marker::Nobody, None)),
        Err(error) => Err(error),
    }
}
