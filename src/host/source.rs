//! Sources, read with no more rights than their owner has.

use super::file::read_whole;
use super::follow::{Heads, Reached, Spot, reach, reach_link};
use super::identity::{Identity, Rights};
use super::search::Search;
use super::{Dir, Entry, Kind, Stat};
use crate::base::{AbsPath, Error, ErrorKind, RelPath, Result, Secret, SetName, escape};
use crate::spec::Limits;
use nix::errno::Errno;
use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

/// A source directory, opened.
#[derive(Debug)]
pub struct Source {
    pub(super) path: AbsPath,
    pub(super) spot: Rc<Spot>,
    /// The device of the directory, whose file system answers for the files on it.
    pub(super) device: u64,
    pub(super) sound: Cell<bool>,
    top: Stat,
}

/// A file found in a source. Links are followed, with the rights of the directory's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative to the source.
    pub path: RelPath,
    /// Of the file at the end of the links.
    pub stat: Stat,
}

/// What is in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The files, sorted by path.
    pub files: Vec<SourceFile>,
    /// The folders they may lie in, the source itself left out, each with its metadata from before it was listed; a name that is not
    /// UTF-8 as well as it can be shown.
    pub folders: Vec<(String, Stat)>,
}

/// Entries looked at in one source, wanted or not: memory is bounded, whatever its owner puts there.
pub const MOST_ENTRIES: usize = 100_000;
impl Source {
    /// Opens `path`, walking step by step; from the first directory or link on the way that a user other than
    /// root and the running user owns, everything is done with that user's file-system uid, gid and groups.
    /// A missing directory: kind `Source`.
    pub fn open(path: &AbsPath) -> Result<Source> {
        let root = Dir::root().map_err(|error| fault(path.as_str(), &Identity::Own, &error))?;
        let root = Rc::new(Spot { dir: root, who: Identity::Own });
        let reached = reach(&root, path.as_path().as_os_str()).map_err(|error| missing(path, &Identity::Own, &error))?;
        let who = reached.spot.who.clone();
        let opened = {
            let _rights = who.assume()?;
            reached.open_dir().map_err(|error| missing(path, &who, &error))?
        };
        let wrap = |error: io::Error| fault(path.as_str(), &who, &error);
        let top = opened.stat().map_err(wrap)?;
        let sound = Cell::new(opened.stamps_are_sound().map_err(wrap)?);
        let spot = Rc::new(Spot::new(opened, &who).map_err(wrap)?);
        Ok(Source { path: path.clone(), spot, device: top.dev, sound, top })
    }

    /// Metadata of the source itself, from before anything in it was read.
    pub fn stat(&self) -> &Stat {
        &self.top
    }

    /// The names of directories (links to directories included, dot names not) directly below, sorted: what `/*` matches.
    /// A name that is no `SetName` is an error in the list of its own (kind `Judgement`), and so is a link that cannot be
    /// followed for another reason than that it leads nowhere (kind `Source`).
    pub fn subdirectories(&self) -> Result<Vec<Result<SetName>>> {
        let (mut rights, mut heads, mut out) = (Rights::own(), Heads::new(), Vec::new());
        for entry in self.list(&mut rights, &self.spot, MOST_ENTRIES).map_err(|fault| self.place(OsStr::new(""), fault))? {
            if entry.name.as_bytes().starts_with(b".") {
                continue;
            }
            let is_directory = match entry.kind {
                Kind::Dir => Ok(true),
                Kind::Link => self.leads_to_directory(&mut rights, &entry.name, &mut heads),
                Kind::File | Kind::Other => Ok(false),
            };
            match is_directory {
                Ok(true) => out.push(self.set_name(&entry.name)),
                Ok(false) => {}
                Err(error) => out.push(Err(error)),
            }
        }
        Ok(out)
    }

    /// Every regular file below, nested folders too (links to folders are not entered), sorted by path, for which `wanted` says yes; without
    /// `.certsync`, and without a file that a link in the same directory points at or once did
    /// (`stem-<digits>.ext` beside a link `stem.ext`). More than `limits.files` of them, or a larger one than `limits.file`: kind `Source`.
    /// A wanted name that is not UTF-8 or holds control characters: kind `Judgement`, the name shown escaped.
    /// FIFOs, sockets, devices and dangling links that are wanted: kind `Source`, named.
    ///
    /// `wanted` is asked before anything is done with an entry. Of folders only those whose names begin with a dot are asked about,
    /// since a pattern for files says nothing on the folders they lie in.
    pub fn files(&self, limits: &Limits, wanted: &dyn Fn(&str) -> bool) -> Result<Listing> {
        Search::new(self, limits, wanted).run()
    }

    /// Reads one file whole, at most `limit` bytes, with the metadata of the descriptor read, taken before the read.
    pub fn read(&self, path: &RelPath, limit: u64) -> Result<(Secret, Stat)> {
        let (folders, name) = path.split();
        let (mut rights, mut spot) = (Rights::own(), Rc::clone(&self.spot));
        for folder in folders {
            spot = self.enter(&mut rights, &spot, OsStr::new(folder)).map_err(|error| self.place(OsStr::new(path.as_str()), error))?;
        }
        rights.take(&spot.who)?;
        let at = |who: &Identity, error: &io::Error| self.file_fault(OsStr::new(path.as_str()), who, error);
        if !spot.who.may_follow() {
            match spot.dir.open_file(OsStr::new(name)) {
                Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {}
                Err(error) => return Err(at(&spot.who, &error)),
                Ok((fd, stat)) => return Ok((read_whole(fd, &stat, limit).map_err(|error| at(&spot.who, &error))?, stat)),
            }
        }
        let reached = reach_link(&spot, OsStr::new(name), &mut Heads::new()).map_err(|error| at(&spot.who, &error))?;
        let who = &reached.spot.who;
        rights.take(who)?;
        let (fd, stat) = reached.open_file().map_err(|error| at(who, &error))?;
        Ok((read_whole(fd, &stat, limit).map_err(|error| at(who, &error))?, stat))
    }

    /// Whether its path still leads here: the directory itself may have been exchanged, and the old one be on its way out.
    pub fn is_in_place(&self) -> bool {
        let inode = |source: &Source| source.spot.dir.stat().ok().map(|stat| (stat.dev, stat.ino));
        Source::open(&self.path).is_ok_and(|now| inode(&now).is_some() && inode(&now) == inode(self))
    }

    /// Whether content stamps of the file system can be trusted for the cache. A file on another device than the directory
    /// settles it, with a no, as soon as [`Source::files`] has met one on a file system that is not known to be sound.
    pub fn stamps_are_sound(&self) -> bool {
        self.sound.get()
    }

    pub(super) fn list(&self, rights: &mut Rights, spot: &Spot, most: usize) -> std::result::Result<Vec<Entry>, Fault> {
        rights.take(&spot.who).map_err(Fault::Rights)?;
        spot.dir.entries_at_most(most).map_err(|error| Fault::Io(spot.who.clone(), error))
    }

    pub(super) fn enter(&self, rights: &mut Rights, spot: &Spot, name: &OsStr) -> std::result::Result<Rc<Spot>, Fault> {
        rights.take(&spot.who).map_err(Fault::Rights)?;
        let opened = spot.dir.open_dir(name).and_then(|dir| Spot::new(dir, &spot.who));
        opened.map(Rc::new).map_err(|error| Fault::Io(spot.who.clone(), error))
    }

    fn leads_to_directory(&self, rights: &mut Rights, name: &OsStr, heads: &mut Heads) -> Result<bool> {
        match self.stat_link(rights, &self.spot, name, heads) {
            Ok((_, stat)) => Ok(stat.kind == Kind::Dir),
            Err(Fault::Io(_, error)) if leads_nowhere(&error) => Ok(false),
            Err(other) => Err(self.place(name, other)),
        }
    }

    /// Follows the link `name` to its end.
    pub(super) fn stat_link(
        &self,
        rights: &mut Rights,
        spot: &Rc<Spot>,
        name: &OsStr,
        heads: &mut Heads,
    ) -> std::result::Result<(Reached, Stat), Fault> {
        rights.take(&spot.who).map_err(Fault::Rights)?;
        let reached = reach_link(spot, name, heads).map_err(|error| Fault::Io(spot.who.clone(), error))?;
        rights.take(&reached.spot.who).map_err(Fault::Rights)?;
        let stat = reached.stat().map_err(|error| Fault::Io(reached.spot.who.clone(), error))?;
        Ok((reached, stat))
    }

    fn set_name(&self, name: &OsStr) -> Result<SetName> {
        let refuse = |cause: String| {
            Error::new(ErrorKind::Judgement, self.shown(name), cause).hint("rename the directory; its name becomes the name of a set")
        };
        let text = name.to_str().ok_or_else(|| refuse("a name is not UTF-8".into()))?;
        text.parse().map_err(|error: crate::base::NameError| refuse(error.to_string()))
    }

    /// The whole path of something below, for an error.
    pub(super) fn shown(&self, below: &OsStr) -> String {
        let path = self.path.as_str();
        if below.is_empty() { path.to_owned() } else { format!("{}/{}", path.trim_end_matches('/'), escape(below)) }
    }

    pub(super) fn place(&self, below: &OsStr, fault: Fault) -> Error {
        match fault {
            Fault::Rights(error) => error,
            Fault::Io(who, error) => self.file_fault(below, &who, &error),
        }
    }

    fn file_fault(&self, below: &OsStr, who: &Identity, error: &io::Error) -> Error {
        let out = fault(&self.shown(below), who, error);
        match error.kind() {
            io::ErrorKind::FileTooLarge => out.hint("is it a certificate or key at all? raise limits.file, or leave it out with except"),
            _ => out,
        }
    }
}

/// What went wrong at an entry, before it is known how to call it.
pub(super) enum Fault {
    Rights(Error),
    Io(Identity, io::Error),
}

impl Fault {
    /// Whether the rights that were used do not reach.
    pub(super) fn is_denial(&self) -> bool {
        matches!(self, Fault::Io(_, error) if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

pub(super) fn leads_nowhere(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR))
}

/// A fault on the way to the source itself.
fn missing(path: &AbsPath, who: &Identity, error: &io::Error) -> Error {
    let cause = match error.kind() {
        io::ErrorKind::NotFound => "no such directory",
        io::ErrorKind::NotADirectory => "not a directory",
        _ => return fault(path.as_str(), who, error),
    };
    Error::new(ErrorKind::Source, path.as_str(), cause).hint(
        "certsync makes no sources: obtain the certificate first, or correct source in the spec; nothing that is installed was removed",
    )
}

fn fault(subject: &str, who: &Identity, error: &io::Error) -> Error {
    let out = Error::io(ErrorKind::Source, subject, error);
    if error.kind() != io::ErrorKind::PermissionDenied {
        return out;
    }
    let name = who.name();
    out.hint(match who {
        Identity::Own => format!("certsync runs as {name}; run it as root, or give {name} the right to read this"),
        Identity::User(_) => {
            format!("read with the rights of {name}, to whom a directory or link on the way belongs; give {name} the right, or make the way root's")
        }
    })
}

/// Whether both paths lead to one directory, links followed; compared by device and inode, nothing is read.
pub fn same_directory(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    inode(one).is_some_and(|inode_of_one| Some(inode_of_one) == inode(other))
}

#[cfg(test)]
mod tests {
    use super::Source;
    use crate::base::{Error, ErrorKind};
    use crate::host::testing::{STRANGER, Scene, Test, needs_root};
    use crate::spec::Limits;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    const LIMITS: Limits = Limits { file: 100, set: 1000, files: 10 };

    fn names(source: &Source, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<String>, Error> {
        Ok(source.files(&LIMITS, wanted)?.files.into_iter().map(|file| file.path.as_str().to_owned()).collect())
    }

    fn all(source: &Source) -> Result<Vec<String>, Error> {
        names(source, &|_| true)
    }

    fn text(source: &Source, name: &str) -> Result<String, Box<dyn std::error::Error>> {
        Ok(String::from_utf8(source.read(&name.parse()?, 100)?.0.expose().to_vec())?)
    }

    fn certbot() -> Result<Scene, Box<dyn std::error::Error>> {
        let scene = Scene::new()?;
        scene.folder("archive/example.com", 0o700)?;
        scene.folder("live/example.com", 0o700)?;
        for name in ["cert", "privkey"] {
            scene.file(&format!("archive/example.com/{name}7.pem"), &format!("the {name}"), 0o600)?;
            symlink(format!("../../archive/example.com/{name}7.pem"), scene.at(&format!("live/example.com/{name}.pem")))?;
        }
        scene.file("live/README", "", 0o644)?;
        Ok(scene)
    }

    #[test]
    fn certbots_links_are_followed_to_the_files_themselves() -> Test {
        let scene = certbot()?;
        let source = Source::open(&scene.abs("live/example.com")?)?;
        assert_eq!(all(&source)?, ["cert.pem", "privkey.pem"]);
        for file in source.files(&LIMITS, &|_| true)?.files {
            let target = scene.ino(&format!("live/example.com/{}", file.path.as_str()))?;
            assert_eq!(file.stat.ino, target);
            assert_eq!(source.read(&file.path, 100)?.1, file.stat);
        }
        assert_eq!(text(&source, "cert.pem")?, "the cert");
        assert!(source.stamps_are_sound());
        Ok(())
    }

    #[test]
    fn a_pattern_matches_directories_and_links_to_them() -> Test {
        let scene = certbot()?;
        scene.folder("live/.hidden", 0o755)?;
        scene.folder("live/owner", 0o755)?;
        symlink("example.com", scene.at("live/www"))?;
        symlink("nowhere", scene.at("live/dangling"))?;
        symlink("README", scene.at("live/file"))?;
        let found = Source::open(&scene.abs("live")?)?.subdirectories()?;
        let shown: Vec<String> = found.iter().map(|name| name.as_ref().map_or_else(|e| e.cause.clone(), ToString::to_string)).collect();
        assert_eq!(shown, ["example.com", "the name owner is reserved", "www"]);
        Ok(())
    }

    #[test]
    fn folders_are_entered_but_neither_links_to_them_nor_certsyncs_own() -> Test {
        let scene = Scene::new()?;
        for folder in ["s/a/b", "s/.certsync/x", "s/a/.certsync", "s/.git", "elsewhere"] {
            scene.folder(folder, 0o755)?;
        }
        for file in ["s/z", "s/a/b/c", "s/.certsync/x/y", "s/a/.certsync/y", "s/.git/config", "elsewhere/file"] {
            scene.file(file, "", 0o644)?;
        }
        symlink("../elsewhere", scene.at("s/link"))?;
        symlink("a", scene.at("s/here"))?;
        let source = Source::open(&scene.abs("s")?)?;
        assert_eq!(names(&source, &|path| !path.starts_with('.'))?, ["a/b/c", "z"]);
        assert_eq!(all(&source)?, [".git/config", "a/b/c", "z"]);
        assert_eq!(text(&source, "a/b/c")?, "");
        Ok(())
    }

    #[test]
    fn files_behind_a_link_beside_them_are_no_material() -> Test {
        let scene = Scene::new()?;
        for file in ["cert-1690000000.pem", "cert-1700000000.pem", "other-1.pem"] {
            scene.file(file, file, 0o644)?;
        }
        symlink("cert-1700000000.pem", scene.at("cert.pem"))?;
        let source = Source::open(&scene.abs("")?)?;
        assert_eq!(all(&source)?, ["cert.pem", "other-1.pem"]);
        assert_eq!(text(&source, "cert.pem")?, "cert-1700000000.pem");
        Ok(())
    }

    #[test]
    fn what_is_odd_and_wanted_is_named_and_what_is_not_wanted_does_no_harm() -> Test {
        let scene = Scene::new()?;
        scene.file("good.pem", "", 0o644)?;
        scene.file("large", &"x".repeat(101), 0o644)?;
        scene.fifo("fifo")?;
        symlink("fifo", scene.at("to-fifo"))?;
        symlink("nowhere", scene.at("dangling"))?;
        symlink("loop", scene.at("loop"))?;
        std::fs::write(scene.at("a\u{1b}b"), "")?;
        std::fs::write(scene.at("x").with_file_name(std::ffi::OsStr::from_bytes(b"\xff")), "")?;
        let source = Source::open(&scene.abs("")?)?;
        assert_eq!(names(&source, &|name| name.ends_with(".pem"))?, ["good.pem"]);
        for (odd, kind, cause) in [
            ("large", ErrorKind::Source, "101 bytes, more than limits.file allows (100)"),
            ("to-fifo", ErrorKind::Source, "not a regular file"),
            ("dangling", ErrorKind::Source, "a link that leads nowhere"),
            ("loop", ErrorKind::Source, "a link that leads nowhere"),
            ("a\u{1b}b", ErrorKind::Judgement, "a file name holds a control character"),
            ("\u{fffd}", ErrorKind::Judgement, "a file name is not UTF-8"),
        ] {
            let error = names(&source, &|name| name == odd).err().ok_or(odd)?;
            assert_eq!((error.kind, error.cause.as_str()), (kind, cause), "{odd}");
            assert!(error.hint.is_some());
        }
        let error = source.read(&"large".parse()?, 100).err().ok_or("read")?;
        assert_eq!((error.kind, error.cause.as_str()), (ErrorKind::Source, "larger than 100 bytes"));
        assert!(source.read(&"fifo".parse()?, 100).is_err());
        Ok(())
    }

    #[test]
    fn a_fifo_that_is_wanted_is_named() -> Test {
        let scene = Scene::new()?;
        scene.fifo("fifo")?;
        let error = all(&Source::open(&scene.abs("")?)?).err().ok_or("listed")?;
        assert_eq!(
            (error.kind, error.subject, error.cause.as_str()),
            (ErrorKind::Source, scene.abs("fifo")?.to_string(), "not a regular file")
        );
        Ok(())
    }

    #[test]
    fn too_many_files_too_many_bytes_and_too_deep_folders_are_refused() -> Test {
        let scene = Scene::new()?;
        scene.folder("many", 0o755)?;
        scene.folder("heavy", 0o755)?;
        scene.folder(&format!("deep{}", "/d".repeat(17)), 0o755)?;
        for i in 0..11 {
            scene.file(&format!("many/{i}"), "", 0o644)?;
            scene.file(&format!("heavy/{i}"), &"x".repeat(100), 0o644)?;
        }
        for (folder, cause) in [
            ("many", "more files than limits.files allows (10)"),
            ("heavy", "its files hold more bytes than limits.set allows (1000)"),
            ("deep", "folders are nested more than 16 deep"),
        ] {
            let error = all(&Source::open(&scene.abs(folder)?)?).err().ok_or(folder)?;
            assert_eq!((error.kind, error.cause.as_str()), (ErrorKind::Source, cause));
        }
        Ok(())
    }

    #[test]
    fn a_source_that_is_not_there_says_so() -> Test {
        let scene = Scene::new()?;
        scene.file("file", "", 0o644)?;
        for (name, cause) in [("none/at/all", "no such directory"), ("file", "not a directory"), ("file/x", "not a directory")] {
            let error = Source::open(&scene.abs(name)?).err().ok_or("opened")?;
            assert_eq!((error.kind, error.cause.as_str()), (ErrorKind::Source, cause));
            assert!(error.hint.is_some());
        }
        Ok(())
    }

    /// A file that only root may read, and a stranger's source with links to it.
    fn planted() -> Result<Scene, Box<dyn std::error::Error>> {
        let scene = Scene::new()?;
        scene.file("shadow", "root's secret", 0o600)?;
        scene.folder("home", 0o755)?;
        scene.file("home/own.pem", "his", 0o600)?;
        symlink("own.pem", scene.at("home/link.pem"))?;
        symlink("../shadow", scene.at("home/planted.pem"))?;
        for name in ["home", "home/own.pem", "home/link.pem", "home/planted.pem"] {
            scene.give(name, STRANGER)?;
        }
        Ok(scene)
    }

    #[test]
    fn a_planted_link_shows_nothing_its_owner_could_not_read() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = planted()?;
        let source = Source::open(&scene.abs("home")?)?;
        assert_eq!(text(&source, "own.pem")?, "his");
        assert_eq!(text(&source, "link.pem")?, "his");
        let error = source.read(&"planted.pem".parse()?, 100).err().ok_or("root's secret was read")?;
        assert_eq!((error.kind, error.cause.as_str()), (ErrorKind::Source, "permission denied"));
        assert!(error.hint.is_some_and(|hint| hint.contains(&format!("the rights of {STRANGER}"))));
        Ok(())
    }

    #[test]
    fn roots_own_link_does_not_lend_roots_rights_to_the_next_one() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = planted()?;
        scene.folder("ours", 0o755)?;
        symlink("../home/planted.pem", scene.at("ours/relative.pem"))?;
        symlink(scene.at("home/planted.pem"), scene.at("ours/absolute.pem"))?;
        symlink("../home/own.pem", scene.at("ours/good.pem"))?;
        let source = Source::open(&scene.abs("ours")?)?;
        assert_eq!(text(&source, "good.pem")?, "his");
        for name in ["relative.pem", "absolute.pem"] {
            assert!(source.read(&name.parse()?, 100).is_err_and(|error| error.cause == "permission denied"), "{name}");
        }
        assert_eq!(all(&source)?, ["absolute.pem", "good.pem", "relative.pem"]);
        Ok(())
    }

    #[test]
    fn a_strangers_link_in_roots_own_source_is_read_with_the_strangers_rights() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = planted()?;
        scene.folder("shared", 0o1777)?;
        symlink(scene.at("shadow"), scene.at("shared/a.pem"))?;
        symlink("../home/own.pem", scene.at("shared/b.pem"))?;
        scene.give("shared/a.pem", STRANGER)?;
        scene.give("shared/b.pem", STRANGER)?;
        let source = Source::open(&scene.abs("shared")?)?;
        assert!(source.read(&"a.pem".parse()?, 100).is_err_and(|error| error.cause == "permission denied"));
        assert_eq!(text(&source, "b.pem")?, "his");
        Ok(())
    }

    #[test]
    fn a_source_behind_a_strangers_link_is_read_with_the_strangers_rights() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = planted()?;
        scene.folder("private", 0o700)?;
        scene.file("private/key.pem", "root's secret", 0o600)?;
        symlink(scene.at("private"), scene.at("home/source"))?;
        scene.give("home/source", STRANGER)?;
        let error = Source::open(&scene.abs("home/source")?).err().ok_or("opened")?;
        assert_eq!((error.kind, error.cause.as_str()), (ErrorKind::Source, "permission denied"));
        Ok(())
    }

    #[test]
    fn a_strangers_folder_in_roots_own_source_is_read_with_the_strangers_rights() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = planted()?;
        let source = Source::open(&scene.abs("")?)?;
        let error = source.read(&"home/planted.pem".parse()?, 100).err().ok_or("root's secret was read")?;
        assert_eq!(error.cause, "permission denied");
        assert_eq!(names(&source, &|path| path != "home/planted.pem")?, ["home/link.pem", "shadow"]);
        assert_eq!(text(&source, "home/own.pem")?, "his");
        assert_eq!(text(&source, "shadow")?, "root's secret", "own rights are back");
        Ok(())
    }
    #[test]
    fn a_strangers_link_does_not_reach_what_root_has_open() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = planted()?;
        scene.folder("private/sub", 0o755)?;
        scene.file("private/sub/key.pem", "root's secret", 0o644)?;
        scene.mode("private", 0o700)?;
        let held = std::fs::File::open(scene.at("private"))?;
        let through = format!("/proc/self/fd/{}/sub", std::os::fd::AsRawFd::as_raw_fd(&held));
        symlink(format!("{through}/key.pem"), scene.at("home/file.pem"))?;
        symlink(&through, scene.at("home/sub"))?;
        for name in ["home/file.pem", "home/sub"] {
            scene.give(name, STRANGER)?;
        }
        let source = Source::open(&scene.abs("home")?)?;
        let refused = |error: &Error| error.kind == ErrorKind::Source && error.cause.contains("through /proc");
        assert!(source.read(&"file.pem".parse()?, 100).is_err_and(|error| refused(&error)));
        assert!(names(&source, &|name| name == "file.pem").is_err_and(|error| refused(&error)));
        assert!(Source::open(&scene.abs("home/sub")?).is_err_and(|error| refused(&error)));
        assert!(source.subdirectories()?.iter().all(|found| found.as_ref().is_err_and(refused)));
        Ok(())
    }
}
