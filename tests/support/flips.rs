//! Changes that hide from a cache: same size, modification times put back, and many of them within one tick of the
//! clock that stamps inodes, while certsync looks. The next apply must see each.
//!
//! The set of each attack has its source in `src/SET`, is installed in `dest/SET`, and what else is needed lies in `spare/SET`. A file
//! `serial` in the set is what changes.

use super::host::Host;
use super::pairs::Pair;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// One way to change something unseen.
pub struct Attack {
    pub set: &'static str,
    layout: &'static str,
    /// What the source holds besides certificate and key.
    lay_out: fn(&Place) -> io::Result<()>,
    side: Side,
    /// Brings about state `n`.
    flip: Change,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Each state is as good as the other; what was installed last is the one to hide behind.
    Source,
    /// Only state 0 is right.
    Dest,
}

/// What an attack shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// What certsync installed last.
    Installed,
    /// Something else.
    Changed,
}

/// The folders of one attack.
pub struct Place {
    root: PathBuf,
    set: &'static str,
}

const SERIAL: &str = "serial";
/// Since 1970: the modification time that everything has.
const THEN: Duration = Duration::new(1_700_000_000, 123_456_789);

type Change = fn(&Place, u64) -> io::Result<()>;

const fn source(set: &'static str, lay_out: fn(&Place) -> io::Result<()>, flip: Change) -> Attack {
    Attack { set, layout: "generations", lay_out, side: Side::Source, flip }
}

const fn dest(set: &'static str, flip: Change) -> Attack {
    Attack { set, layout: "generations", lay_out: plain, side: Side::Dest, flip }
}

const fn flat(set: &'static str, flip: Change) -> Attack {
    Attack { set, layout: "flat", lay_out: plain, side: Side::Dest, flip }
}

/// All of them.
pub const ATTACKS: &[Attack] = &[
    source("source-written", plain, |at, n| write_over(&at.source(SERIAL), n)),
    source("source-made-again", plain, |at, n| make_again(&at.source(SERIAL), n)),
    source("source-moved-over", plain, |at, n| move_over(at, &at.source(SERIAL), n)),
    source("source-hard-link", hard_links, hard_link),
    source("source-swapped", plain, |at, n| swap(&at.source(""), &at.spare("source"), SERIAL, n)),
    source("source-folder-swapped", nested, |at, n| swap(&at.source("sub/deep"), &at.spare("deep"), SERIAL, n)),
    source("source-file-comes", plain, comes_and_goes),
    source("source-is-link", releases, |at, n| point(at, &at.source(""), &format!("../spare/{}/release{}", at.set, n % 2))),
    source("live-link", archive, |at, n| point(at, &at.source(SERIAL), &format!("../../spare/{}/archive/serial{}", at.set, n % 2))),
    source("live-link-made-again", archive, |at, n| {
        point_again(&at.source(SERIAL), &format!("../../spare/{}/archive/serial{}", at.set, n % 2))
    }),
    source("link-on-the-way", on_the_way, |at, n| point(at, &at.spare("now"), &format!("release{}", n % 2))),
    source("kubernetes", kubernetes, |at, n| point(at, &at.source("..data"), &format!("..{}", n % 2))),
    dest("dest-written", |at, n| write_over(&at.dest(SERIAL), n)),
    dest("dest-made-again", |at, n| make_again(&fs::canonicalize(at.dest(SERIAL))?, n)),
    dest("dest-moved-over", |at, n| move_over(at, &fs::canonicalize(at.dest(SERIAL))?, n)),
    dest("dest-link", |at, n| point(at, &at.dest(SERIAL), &at.below_current(["serial", "privkey.pem"][odd(n)]))),
    dest("dest-link-made-again", |at, n| point_again(&at.dest(SERIAL), &at.below_current(["serial", "privkey.pem"][odd(n)]))),
    dest("dest-link-is-file", link_or_file),
    dest("dest-current", current_elsewhere),
    dest("dest-generation-swapped", |at, n| swap(&fs::canonicalize(at.own("current"))?, &at.spare("generation"), SERIAL, n)),
    dest("dest-set-folder-swapped", |at, n| swap(&at.own(""), &at.spare("set"), "current/serial", n)),
    dest("dest-own-folder-swapped", |at, n| swap(&at.dest(".certsync"), &at.spare("own"), &format!("{}/current/serial", at.set), n)),
    dest("dest-swapped", |at, n| swap(&at.dest(""), &at.spare("dest"), SERIAL, n)),
    dest("dest-mode", |at, n| set_mode(&fs::canonicalize(at.dest(SERIAL))?, [0o600, 0o644][odd(n)])),
    dest("dest-folder-mode", |at, n| set_mode(&fs::canonicalize(at.own("current"))?, [0o755, 0o777][odd(n)])),
    dest("dest-acl", |at, n| acl(&fs::canonicalize(at.dest(SERIAL))?, n)),
    dest("dest-folder-acl", |at, n| acl(&fs::canonicalize(at.own("current"))?, n)),
    flat("flat-written", |at, n| write_over(&at.dest(SERIAL), n)),
    flat("flat-made-again", |at, n| make_again(&at.dest(SERIAL), n)),
    flat("flat-moved-over", |at, n| move_over(at, &at.dest(SERIAL), n)),
    flat("flat-is-link", |at, n| if n % 2 == 1 { point(at, &at.dest(SERIAL), "privkey.pem") } else { make_again(&at.dest(SERIAL), 0) }),
    flat("flat-generation", |at, n| write_over(&at.own("current").join(SERIAL), n)),
];

impl Place {
    fn at(&self, side: &str, path: &str) -> PathBuf {
        let folder = self.root.join(side).join(self.set);
        if path.is_empty() { folder } else { folder.join(path) }
    }

    fn source(&self, path: &str) -> PathBuf {
        self.at("src", path)
    }

    fn dest(&self, path: &str) -> PathBuf {
        self.at("dest", path)
    }

    fn spare(&self, path: &str) -> PathBuf {
        self.at("spare", path)
    }

    /// Below `.certsync/SET` of `dest`.
    fn own(&self, path: &str) -> PathBuf {
        let folder = self.dest(".certsync").join(self.set);
        if path.is_empty() { folder } else { folder.join(path) }
    }

    /// The target of a link in `dest`.
    fn below_current(&self, name: &str) -> String {
        format!(".certsync/{}/current/{name}", self.set)
    }
}

fn odd(n: u64) -> usize {
    usize::from(n % 2 == 1)
}

fn content(n: u64) -> String {
    format!("{n:09}\n")
}

/// Puts the modification time back to the one that everything has.
fn age(path: &Path) -> io::Result<()> {
    let then = TimeSpec::from_duration(THEN);
    Ok(utimensat(AT_FDCWD, path, &then, &then, UtimensatFlags::NoFollowSymlink)?)
}

fn age_parent(path: &Path) -> io::Result<()> {
    age(path.parent().unwrap_or(Path::new("/")))
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
    fs::write(path, text)?;
    age(path)?;
    age_parent(path)
}

fn plain(at: &Place) -> io::Result<()> {
    put(&at.source(SERIAL), &content(0))
}

fn nested(at: &Place) -> io::Result<()> {
    put(&at.source("sub/deep/serial"), &content(0))
}

fn hard_links(at: &Place) -> io::Result<()> {
    put(&at.spare("old0"), &content(0))?;
    put(&at.spare("old1"), &content(1))?;
    fs::hard_link(at.spare("old0"), at.source(SERIAL))
}

fn archive(at: &Place) -> io::Result<()> {
    put(&at.spare("archive/serial0"), &content(0))?;
    put(&at.spare("archive/serial1"), &content(1))?;
    symlink(format!("../../spare/{}/archive/serial0", at.set), at.source(SERIAL))
}

/// The links in the source stay as they are; a directory that they lead through becomes another.
fn on_the_way(at: &Place) -> io::Result<()> {
    put(&at.spare("release0/serial"), &content(0))?;
    put(&at.spare("release1/serial"), &content(1))?;
    symlink("release0", at.spare("now"))?;
    symlink(format!("../../spare/{}/now/serial", at.set), at.source(SERIAL))
}

fn kubernetes(at: &Place) -> io::Result<()> {
    put(&at.source("..0/serial"), &content(0))?;
    put(&at.source("..1/serial"), &content(1))?;
    symlink("..0", at.source("..data"))?;
    symlink("..data/serial", at.source(SERIAL))
}

fn releases(at: &Place) -> io::Result<()> {
    let pair = at.source("");
    for n in 0..2 {
        copy(&pair, &at.spare(&format!("release{n}")))?;
        put(&at.spare(&format!("release{n}/serial")), &content(n))?;
    }
    fs::remove_dir_all(&pair)?;
    symlink(format!("../spare/{}/release0", at.set), pair)
}

/// The same inode, in place; the write's own time shows for a moment only.
fn write_over(file: &Path, n: u64) -> io::Result<()> {
    fill(OpenOptions::new().write(true).open(file)?, n)
}

fn fill(mut file: File, n: u64) -> io::Result<()> {
    file.write_all(content(n).as_bytes())?;
    file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + THEN))
}

/// Mostly the same inode number: the one that just became free.
fn make_again(file: &Path, n: u64) -> io::Result<()> {
    fs::remove_file(file)?;
    fill(OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?, n)?;
    age_parent(file)
}

/// A finished file moved over the name; what that frees is the inode number of the next.
fn move_over(at: &Place, file: &Path, n: u64) -> io::Result<()> {
    let fresh = at.spare("fresh");
    fill(OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?, n)?;
    fs::rename(&fresh, file)?;
    age_parent(file)
}

fn hard_link(at: &Place, n: u64) -> io::Result<()> {
    let fresh = at.spare("fresh");
    let _ = fs::remove_file(&fresh);
    fs::hard_link(at.spare(&format!("old{}", n % 2)), &fresh)?;
    fs::rename(&fresh, at.source(SERIAL))?;
    age_parent(&at.source(SERIAL))
}

fn comes_and_goes(at: &Place, n: u64) -> io::Result<()> {
    let file = at.source("another");
    if n % 2 == 1 { put(&file, &content(n)) } else { fs::remove_file(&file).and_then(|()| age_parent(&file)) }
}

fn point(at: &Place, link: &Path, target: &str) -> io::Result<()> {
    let fresh = at.spare("link");
    let _ = fs::remove_file(&fresh);
    symlink(target, &fresh)?;
    age(&fresh)?;
    fs::rename(&fresh, link)?;
    age_parent(link)
}

/// The link's inode number stays, and for a moment there is none.
fn point_again(link: &Path, target: &str) -> io::Result<()> {
    fs::remove_file(link)?;
    symlink(target, link)?;
    age(link)?;
    age_parent(link)
}

fn link_or_file(at: &Place, n: u64) -> io::Result<()> {
    if n.is_multiple_of(2) {
        return point(at, &at.dest(SERIAL), &at.below_current(SERIAL));
    }
    put(&at.spare("file"), &content(n))?;
    fs::rename(at.spare("file"), at.dest(SERIAL))?;
    age_parent(&at.dest(SERIAL))
}

/// Right is the generation that the state records, as the newest there.
fn current_elsewhere(at: &Place, n: u64) -> io::Result<()> {
    let right = at.spare("right");
    let now = fs::read_link(at.own("current"))?;
    if fs::metadata(at.own("current")).is_ok() {
        let _ = fs::remove_file(&right);
        symlink(&now, &right)?;
    }
    let target = if n % 2 == 1 { PathBuf::from("0-nothing") } else { fs::read_link(&right)? };
    point(at, &at.own("current"), &target.to_string_lossy())
}

/// Exchanges a directory for a copy of it, whose serial is another.
fn swap(here: &Path, copied: &Path, serial: &str, n: u64) -> io::Result<()> {
    if !copied.exists() {
        copy(here, copied)?;
    }
    write_over(&copied.join(serial), n)?;
    renameat2(AT_FDCWD, here, AT_FDCWD, copied, RenameFlags::RENAME_EXCHANGE)?;
    for moved in [here, copied] {
        age(moved)?;
        age_parent(moved)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
        age(&target)?;
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    age(to)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Another user may read and enter, which the mode does not show: its group bits are the mask. See acl(5), linux/posix_acl_xattr.h.
fn acl(path: &Path, n: u64) -> io::Result<()> {
    const NAME: &str = "system.posix_acl_access";
    if n.is_multiple_of(2) {
        return xattr::remove(path, NAME);
    }
    let mode = fs::metadata(path)?.permissions().mode();
    let everyone = u32::MAX;
    let entries = [
        (1_u16, mode >> 6 & 7, everyone),
        (2, mode >> 3 & 7, 54_321),
        (4, 0, everyone),
        (16, mode >> 3 & 7, everyone),
        (32, mode & 7, everyone),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, who) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(u16::try_from(rights).unwrap_or(0).to_le_bytes());
        bytes.extend(who.to_le_bytes());
    }
    xattr::set(path, NAME, &bytes)
}

/// How the spec comes to the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// It names it.
    Named,
    /// A pattern matches it.
    Pattern,
}

/// A host with the set of one attack, installed.
pub struct Arena {
    pub host: Host,
    attack: &'static Attack,
    place: Place,
    serial: u64,
    /// Changes made.
    pub flips: u64,
}

impl Arena {
    /// On this host, whose directory the attack reaches as `root`.
    #[track_caller]
    pub fn new(host: Host, root: &Path, attack: &'static Attack, naming: Naming) -> Arena {
        let set = attack.set;
        // With an ACL the group bits are its mask.
        let rest = format!("layout: {}, prune: true, key_mode: \"{}\"", attack.layout, if set == "dest-acl" { "0640" } else { "0600" });
        let (name, source, dest) = match naming {
            Naming::Named => (set, set, set),
            Naming::Pattern => ("pattern", "*", "{name}"),
        };
        host.spec(&format!("version: 1\ncerts:\n  {name}: {{ source: src/{source}, install: {{ dest: \"dest/{dest}\", {rest} }} }}\n"));
        host.source(&format!("src/{set}"), &Pair::new("site.test", 1));
        let place = Place { root: root.to_owned(), set };
        fs::create_dir_all(place.spare("")).expect("a folder");
        (attack.lay_out)(&place).unwrap_or_else(|error| panic!("{set}: {error}"));
        host.apply().has_status(2);
        let arena = Arena { host, attack, place, serial: 0, flips: 0 };
        assert_eq!(arena.settle(), [""; 0], "{set}");
        arena
    }

    /// Changes what is there to what was not there before, or back.
    #[track_caller]
    pub fn flip(&mut self, to: State) {
        let n = match (self.attack.side, to) {
            (Side::Source, State::Installed) => self.serial,
            (Side::Source, State::Changed) => self.serial + 1,
            (Side::Dest, State::Installed) => 0,
            (Side::Dest, State::Changed) => self.serial * 2 + 1,
        };
        // What certsync just replaces, or what is so already, cannot be changed.
        if (self.attack.flip)(&self.place, n).is_ok() {
            self.flips += 1;
        }
    }

    /// An apply in peace, after the last flip; answers with what it missed.
    #[track_caller]
    pub fn end(&mut self, at: State) -> Vec<String> {
        if at == State::Changed || self.attack.side == Side::Dest {
            self.serial += 1;
        }
        self.settle()
    }

    fn settle(&self) -> Vec<String> {
        let run = self.host.apply();
        let mut missed = Vec::new();
        if !matches!(run.status, 0 | 2) {
            missed.push(format!("apply in peace ended with {}: {}", run.status, run.stderr));
        }
        if let Err(what) = same(&self.place.source(""), &self.place.dest("")) {
            missed.push(what);
        }
        let run = self.host.json(&["plan", "--verify-content"]);
        if run.status != 0 {
            let set = run.set(self.attack.set);
            missed.push(format!("--verify-content finds more: {} {}", set["result"], set["error"]));
        }
        missed
    }
}

/// Whether every file of the source, links followed, is in `dest` with the same content.
fn same(source: &Path, dest: &Path) -> Result<(), String> {
    for entry in fs::read_dir(source).map_err(|error| error.to_string())?.flatten() {
        let (name, theirs) = (entry.file_name(), dest.join(entry.file_name()));
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let file = entry.path();
        if file.is_dir() {
            same(&file, &theirs)?;
        } else if fs::read(&file).map_err(|error| error.to_string())? != fs::read(&theirs).unwrap_or_default() {
            let text = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| error.to_string());
            return Err(format!("{} shows {:?}, the source {:?}", theirs.display(), text(&theirs), text(&file)));
        }
    }
    Ok(())
}
