//! Which of the files that a master lists belong to a set: the same rules as for a directory of this host.

use crate::base::{Error, ErrorKind, RelPath, Result, SetName, escape};
use crate::host::Kind;
use crate::host::beside::undated;
use crate::host::rsync::listing::Listed;
use crate::host::source::MOST_ENTRIES;
use crate::spec::{Limits, Matcher};
use crate::state::mirror::Mark;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Folders in folders, at most.
const DEEPEST: usize = 16;
/// certsync's own folder, where a `dest` there is the source here.
const OURS: &str = ".certsync";

/// What is looked for in a list.
pub(super) struct Wanted<'a> {
    /// What rsync is told to read, for errors.
    pub from: &'a str,
    /// Which files.
    pub matcher: &'a Matcher,
    /// What a set may weigh.
    pub limits: &'a Limits,
    /// One set, or one of each directory.
    pub sets: Sets<'a>,
}

/// Which sets a list has.
#[derive(Clone, Copy)]
pub enum Sets<'a> {
    /// This one.
    One(&'a SetName),
    /// One of each directory, but those that are defined by their own name.
    Each(&'a BTreeSet<SetName>),
}

/// The files of one set.
pub(super) type Unit = BTreeMap<RelPath, Mark>;

/// What a list holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Units {
    /// The sets that can be had.
    pub good: BTreeMap<SetName, Unit>,
    /// Those that cannot, and why.
    pub bad: BTreeMap<SetName, Error>,
    /// Directories whose names cannot be those of sets.
    pub unnamed: Vec<Error>,
    /// A link among what is wanted, where links were not followed.
    pub link: Option<String>,
}

impl Wanted<'_> {
    /// Sorts a list.
    ///
    /// # Errors
    /// Kind `Source`: it is longer than any that is read.
    pub fn sort(&self, list: Vec<Listed>) -> Result<Units> {
        if list.len() > MOST_ENTRIES {
            let hint = "name a directory that holds certificates and little else";
            return Err(Error::new(ErrorKind::Source, self.from, format!("holds more than {MOST_ENTRIES} entries")).hint(hint));
        }
        let mut units = Units::default();
        let mut lists: BTreeMap<SetName, Vec<Listed>> = BTreeMap::new();
        match self.sets {
            Sets::One(set) => drop(lists.insert(set.clone(), list)),
            Sets::Each(own) => {
                let names = self.folders(&list, own, &mut units);
                lists.extend(names.iter().map(|name| (name.clone(), Vec::new())));
                for entry in list {
                    let Some((name, below)) = split(&entry.path) else { continue };
                    if let Some(own) = name.to_str().and_then(|name| name.parse().ok()).and_then(|name: SetName| lists.get_mut(&name)) {
                        let below = below.to_owned();
                        own.push(Listed { path: below, ..entry });
                    }
                }
            }
        }
        for (set, list) in lists {
            let at = match self.sets {
                Sets::One(_) => self.from.to_owned(),
                Sets::Each(_) => format!("{}/{set}", self.from),
            };
            match self.unit(&at, &list, &mut units.link) {
                Ok(unit) => drop(units.good.insert(set, unit)),
                Err(error) => drop(units.bad.insert(set, error)),
            }
        }
        Ok(units)
    }

    /// The directories directly there, dot names not.
    fn folders(&self, list: &[Listed], own: &BTreeSet<SetName>, units: &mut Units) -> BTreeSet<SetName> {
        let mut names = BTreeSet::new();
        for entry in list.iter().filter(|entry| split(&entry.path).is_none() && !entry.path.as_bytes().starts_with(b".")) {
            match entry.kind {
                Kind::Dir => {}
                Kind::Link => {
                    // It may lead to a directory.
                    units.link.get_or_insert_with(|| escape(&entry.path));
                    continue;
                }
                Kind::File | Kind::Other => continue,
            }
            let refuse = |cause: String| {
                let error = Error::new(ErrorKind::Judgement, format!("{}/{}", self.from, escape(&entry.path)), cause);
                error.hint("rename the directory; its name becomes the name of a set")
            };
            match entry.path.to_str().map(str::parse::<SetName>) {
                Some(Ok(name)) if own.contains(&name) => {}
                Some(Ok(name)) => drop(names.insert(name)),
                Some(Err(error)) => units.unnamed.push(refuse(error.to_string())),
                None => units.unnamed.push(refuse("a name is not UTF-8".into())),
            }
        }
        names
    }

    fn unit(&self, at: &str, list: &[Listed], link: &mut Option<String>) -> Result<Unit> {
        let dated = Dated::of(list);
        let mut unit = Unit::new();
        let mut bytes: u64 = 0;
        let wrong = |cause: String, hint: &str| Err(Error::new(ErrorKind::Source, at, cause).hint(hint));
        for entry in list.iter().filter(|entry| entry.kind != Kind::Dir) {
            if self.is_aside(&entry.path) || dated.stands_behind_link(entry) || !self.wants(&entry.path) {
                continue;
            }
            let shown = || format!("{at}/{}", escape(&entry.path));
            match entry.kind {
                Kind::File | Kind::Dir => {}
                Kind::Link => {
                    link.get_or_insert_with(shown);
                    continue;
                }
                Kind::Other => {
                    return Err(Error::new(ErrorKind::Source, shown(), "not a regular file")
                        .hint("a FIFO, socket or device is no material; remove it, or leave it out with except"));
                }
            }
            let path = rel_path(entry).map_err(|cause| {
                Error::new(ErrorKind::Judgement, shown(), cause).hint("rename the file there, or leave it out with except")
            })?;
            if path.depth() > DEEPEST {
                return wrong(format!("folders are nested more than {DEEPEST} deep"), "name the files of the set with only:");
            }
            if entry.size > self.limits.file {
                let cause = format!("{} bytes, more than limits.file allows ({})", entry.size, self.limits.file);
                let hint = "is it a certificate or key at all? raise limits.file, or leave it out with except";
                return Err(Error::new(ErrorKind::Source, shown(), cause).hint(hint));
            }
            bytes = bytes.saturating_add(entry.size);
            if bytes > self.limits.set {
                let cause = format!("its files hold more bytes than limits.set allows ({})", self.limits.set);
                return wrong(cause, "name the files that belong to the set with only");
            }
            if unit.len() >= self.limits.files as usize {
                let cause = format!("more files than limits.files allows ({})", self.limits.files);
                return wrong(cause, "name the files that belong to the set with only");
            }
            unit.insert(path, (entry.size, entry.mtime));
        }
        if unit.is_empty() && link.is_none() {
            return wrong("holds no file of this set".into(), "see only: and except: of the set");
        }
        Ok(unit)
    }

    fn wants(&self, path: &OsStr) -> bool {
        self.matcher.wants(&path.to_string_lossy())
    }

    /// Whether it lies in certsync's own folder, or in one whose name begins with a dot and that nobody asks for.
    fn is_aside(&self, path: &OsStr) -> bool {
        let is_aside = |folder: &Path| match folder.file_name() {
            Some(name) if name == OURS => true,
            Some(name) => name.as_bytes().starts_with(b".") && !self.wants(folder.as_os_str()),
            None => false,
        };
        Path::new(path).file_name().is_some_and(|name| name == OURS) || Path::new(path).ancestors().skip(1).any(is_aside)
    }
}

fn rel_path(entry: &Listed) -> std::result::Result<RelPath, String> {
    let text = entry.path.to_str().ok_or("a file name is not UTF-8")?;
    text.parse().map_err(|error: crate::base::PathError| error.to_string())
}

/// The first step of a path, and the rest where there is one.
fn split(path: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let bytes = path.as_bytes();
    let slash = bytes.iter().position(|byte| *byte == b'/')?;
    Some((OsStr::from_bytes(&bytes[..slash]), OsStr::from_bytes(&bytes[slash + 1..])))
}

/// Files such as `cert-1700000000.pem` behind a link `cert.pem`. Where links are followed one is no longer seen to be one: but it has
/// the size and the time of the file that it leads to.
struct Dated<'a> {
    behind: HashSet<&'a OsStr>,
}

impl<'a> Dated<'a> {
    fn of(list: &'a [Listed]) -> Dated<'a> {
        let marks: HashMap<&OsStr, &Listed> = list.iter().map(|entry| (entry.path.as_os_str(), entry)).collect();
        let pairs: Vec<(&OsStr, &Listed, bool)> = list
            .iter()
            .filter(|entry| entry.kind == Kind::File)
            .filter_map(|entry| {
                let path = Path::new(&entry.path);
                let link = path.with_file_name(undated(path.file_name()?)?);
                let link = *marks.get(link.as_os_str())?;
                let is_link = link.kind == Kind::Link || (link.size, link.mtime) == (entry.size, entry.mtime);
                Some((entry.path.as_os_str(), link, is_link))
            })
            .collect();
        let links: HashSet<&OsStr> = pairs.iter().filter(|(_, _, is_link)| *is_link).map(|(_, link, _)| link.path.as_os_str()).collect();
        let behind = pairs.iter().filter(|(_, link, _)| links.contains(link.path.as_os_str()));
        Dated { behind: behind.map(|(name, _, _)| *name).collect() }
    }

    fn stands_behind_link(&self, entry: &Listed) -> bool {
        self.behind.contains(entry.path.as_os_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Sets, Units, Wanted};
    use crate::base::SetName;
    use crate::host::Kind;
    use crate::host::rsync::listing::Listed;
    use crate::host::source::MOST_ENTRIES;
    use crate::spec::{Limits, Select};
    use std::collections::BTreeSet;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    const LIMITS: Limits = Limits { file: 100, set: 150, files: 3 };

    fn entry(kind: Kind, path: &[u8], size: u64, mtime: i64) -> Listed {
        Listed { kind, size, mtime, path: OsString::from_vec(path.to_vec()) }
    }

    fn file(path: &str) -> Listed {
        entry(Kind::File, path.as_bytes(), 1, 7)
    }

    fn folder(path: &str) -> Listed {
        entry(Kind::Dir, path.as_bytes(), 4096, 7)
    }

    fn name(text: &str) -> SetName {
        text.parse().expect("a name")
    }

    fn sorted(sets: Sets<'_>, list: Vec<Listed>) -> Units {
        let matcher = Select { only: Vec::new(), except: vec!["README".into(), ".*".into()] }.matcher();
        Wanted { from: "host:/srv", matcher: &matcher, limits: &LIMITS, sets }.sort(list).expect("not too long")
    }

    fn of_one(list: Vec<Listed>) -> Result<Vec<String>, String> {
        let set = name("one");
        let units = sorted(Sets::One(&set), list);
        match (units.good.get(&set), units.bad.get(&set)) {
            (Some(unit), None) => Ok(unit.keys().map(ToString::to_string).collect()),
            (None, Some(error)) => Err(error.to_string()),
            _ => Err(format!("{units:?}")),
        }
    }

    #[test]
    fn the_files_of_a_set_are_those_that_it_wants_and_nothing_of_certsyncs_own() {
        let list = ["cert.pem", "README", ".hidden/key.pem", ".certsync/owner", "a/.certsync/x", "a/key.pem"].map(file);
        let list = [folder(".hidden"), folder(".certsync"), folder("a")].into_iter().chain(list).collect();
        assert_eq!(of_one(list), Ok(vec!["a/key.pem".into(), "cert.pem".into()]));
        assert_eq!(of_one(vec![file("README")]), Err("host:/srv: holds no file of this set".into()));
    }

    #[test]
    fn what_stands_behind_a_link_that_was_followed_is_told_by_size_and_time() {
        let dated = |path: &str, mtime| entry(Kind::File, path.as_bytes(), 1, mtime);
        let list = vec![dated("cert.pem", 9), dated("cert-1690000000.pem", 3), dated("cert-1700000000.pem", 9), dated("other-1.pem", 2)];
        assert_eq!(of_one(list), Ok(vec!["cert.pem".into(), "other-1.pem".into()]));
        let list = vec![dated("cert.pem", 9), dated("cert-1.pem", 3)];
        assert_eq!(of_one(list), Ok(vec!["cert-1.pem".into(), "cert.pem".into()]), "two files");
    }

    #[test]
    fn what_a_hostile_master_may_list_is_no_file_of_a_set() {
        let refused = |entry: Listed, why: &str| {
            let error = of_one(vec![file("cert.pem"), entry]).expect_err(why);
            assert!(error.contains(why), "{error}");
        };
        refused(file("../../etc/cron.d/x"), "a file name holds an empty step, . or ..");
        refused(file("/etc/passwd"), "not a relative path");
        refused(entry(Kind::File, b"\x1b[2J", 1, 7), "\\u{1b}[2J: a file name holds a control character");
        refused(entry(Kind::File, b"\xff.pem", 1, 7), "host:/srv/\\xff.pem: a file name is not UTF-8");
        refused(entry(Kind::Other, b"dev", 0, 7), "host:/srv/dev: not a regular file");
        refused(entry(Kind::File, b"big", 101, 7), "host:/srv/big: 101 bytes, more than limits.file allows (100)");
        refused(entry(Kind::File, b"big", u64::MAX, 7), "more than limits.file allows");
        refused(file(&["a"; 18].join("/")), "folders are nested more than 16 deep");
        let list = vec![entry(Kind::File, b"a", 100, 7), entry(Kind::File, b"b", 51, 7)];
        assert!(of_one(list).is_err_and(|error| error.contains("more bytes than limits.set allows (150)")));
        let list = ["a", "b", "c", "d"].map(file).into();
        assert!(of_one(list).is_err_and(|error| error.contains("more files than limits.files allows (3)")));
        let matcher = Select { only: Vec::new(), except: Vec::new() }.matcher();
        let set = name("one");
        let wanted = Wanted { from: "host:/srv", matcher: &matcher, limits: &LIMITS, sets: Sets::One(&set) };
        let many = (0..=MOST_ENTRIES).map(|number| file(&number.to_string())).collect();
        assert!(wanted.sort(many).is_err_and(|error| error.cause == "holds more than 100000 entries"));
    }

    #[test]
    fn a_pattern_makes_a_set_of_each_directory_and_one_that_is_bad_leaves_the_others() {
        let own = BTreeSet::from([name("own")]);
        let list = ["a/f", "own/f", "big/1", "big/2", "big/3", "big/4", ".hidden/f", "loose"].map(file);
        let folders = ["a", "own", "big", ".hidden", "owner", "bad\\name"].map(folder);
        let units = sorted(Sets::Each(&own), folders.into_iter().chain(list).collect());
        assert_eq!(units.good.keys().map(SetName::as_str).collect::<Vec<_>>(), ["a"]);
        assert_eq!(units.bad.keys().map(SetName::as_str).collect::<Vec<_>>(), ["big"]);
        assert_eq!(units.unnamed.len(), 2, "{:?}", units.unnamed);
        assert_eq!(units.link, None);
    }

    #[test]
    fn a_link_is_told_where_it_is_wanted() {
        let set = name("one");
        let link = |path: &str| entry(Kind::Link, path.as_bytes(), 9, 7);
        assert_eq!(sorted(Sets::One(&set), vec![link("cert.pem")]).link.as_deref(), Some("host:/srv/cert.pem"));
        assert_eq!(sorted(Sets::One(&set), vec![file("cert.pem"), link("README")]).link, None);
        assert_eq!(sorted(Sets::Each(&BTreeSet::new()), vec![link("www")]).link.as_deref(), Some("www"));
    }
}
