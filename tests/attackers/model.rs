//! What a trace says of every inode: who owns it, what its mode grants, and by which names it can be reached, call by call.

use super::trace::{Call, Effect};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Owner, group and permission bits, and whether an ACL that was inherited still lies over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub acl: bool,
}

struct Node {
    now: Grant,
    is_dir: bool,
    is_link: bool,
    /// A default ACL, handed down to what is made in it.
    default: bool,
    /// As it was before the run; none: the run made it.
    before: Option<Grant>,
    /// Every grant it had while somebody other than root could get to it, with the call after which it had it first.
    seen: BTreeMap<Grant, String>,
}

pub struct World {
    top: String,
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
}

/// What the spec grants at a path: owner, group, mode; none for what is not checked.
pub type Wanted<'a> = &'a dyn Fn(&str) -> Option<(u32, u32, u32)>;

impl World {
    /// What is on disk below `top` now.
    pub fn of(top: &Path) -> World {
        let mut world = World { top: top.display().to_string(), nodes: Vec::new(), names: BTreeMap::new() };
        world.look(top);
        world
    }

    fn look(&mut self, path: &Path) {
        let meta = path.symlink_metadata().expect("metadata");
        let acl = |name: &str| !meta.is_symlink() && xattr::get(path, name).ok().flatten().is_some();
        let now = Grant { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() & 0o7777, acl: acl("system.posix_acl_access") };
        self.add(
            path.display().to_string(),
            Node {
                now,
                is_dir: meta.is_dir(),
                is_link: meta.is_symlink(),
                default: acl("system.posix_acl_default"),
                before: Some(now),
                seen: BTreeMap::new(),
            },
        );
        if meta.is_dir() {
            for entry in fs::read_dir(path).expect("a listing") {
                self.look(&entry.expect("an entry").path());
            }
        }
    }

    fn add(&mut self, path: String, node: Node) {
        self.names.insert(path, self.nodes.len());
        self.nodes.push(node);
    }

    fn node(&mut self, path: &str) -> Option<&mut Node> {
        let id = *self.names.get(path)?;
        self.nodes.get_mut(id)
    }

    /// What the kernel makes of an inode that is made in `path`'s directory.
    fn make(&mut self, path: &str, mode: u32, is_dir: bool) {
        let above = path.rsplit_once('/').and_then(|(above, _)| self.names.get(above)).map(|id| &self.nodes[*id]);
        let (setgid, gid, default) = above.map_or((0, 0, false), |above| (above.now.mode & 0o2000, above.now.gid, above.default));
        let mode = if default { mode } else { mode & !0o022 } | if is_dir { setgid } else { 0 };
        let now = Grant { uid: 0, gid: if setgid == 0 { 0 } else { gid }, mode, acl: default };
        self.add(path.to_owned(), Node { now, is_dir, is_link: false, default: default && is_dir, before: None, seen: BTreeMap::new() });
    }

    fn moved(&mut self, from: &str, to: &str) {
        let below: Vec<String> = self.names.keys().filter(|path| *path == from || path.starts_with(&format!("{from}/"))).cloned().collect();
        for path in below {
            let id = self.names.remove(&path).expect("a name");
            self.names.insert(format!("{to}{}", &path[from.len()..]), id);
        }
    }

    /// Takes one call; what it does not know is a failure.
    pub fn take(&mut self, call: &Call) {
        assert_ne!(call.effect(), Effect::Unknown, "nobody has looked at this call: {call:?}");
        if !call.succeeded() {
            return;
        }
        let octal = |arg: usize| u32::from_str_radix(call.args[arg].trim_start_matches('0'), 8).unwrap_or(0);
        match call.name.as_str() {
            "openat" if call.args[2].contains("O_CREAT") => self.make(&call.at(0, 1).expect("a path"), octal(3), false),
            "mkdirat" => self.make(&call.at(0, 1).expect("a path"), octal(2), true),
            "symlinkat" => {
                let path = call.at(1, 2).expect("a path");
                self.make(&path, 0o777, false);
                self.node(&path).expect("it was just made").is_link = true;
            }
            "renameat" | "renameat2" => {
                let (from, to) = (call.at(0, 1).expect("a path"), call.at(2, 3).expect("a path"));
                if call.args.get(4).is_some_and(|flags| flags.contains("RENAME_EXCHANGE")) {
                    self.moved(&from, "/exchanged");
                    self.moved(&to, &from);
                    self.moved("/exchanged", &to);
                } else {
                    self.names.remove(&to);
                    self.moved(&from, &to);
                }
            }
            "linkat" => {
                let id = self.names.get(&call.at(0, 1).expect("a path")).copied();
                id.map(|id| self.names.insert(call.at(2, 3).expect("a path"), id));
            }
            "unlinkat" => drop(self.names.remove(&call.at(0, 1).expect("a path"))),
            "fchmod" | "fchown" | "fremovexattr" | "fsetxattr" => self.change(call, octal),
            _ => return,
        }
        self.watch(call);
    }

    fn change(&mut self, call: &Call, octal: impl Fn(usize) -> u32) {
        let Some(node) = call.path_of(0).map(str::to_owned).and_then(|path| self.node(&path)) else { return };
        let id = |arg: usize, now: u32| call.args[arg].parse().unwrap_or(now);
        match call.name.as_str() {
            "fchmod" => node.now.mode = octal(1),
            "fchown" => (node.now.uid, node.now.gid) = (id(1, node.now.uid), id(2, node.now.gid)),
            _ if call.args[1].contains("posix_acl_default") => node.default = false,
            "fremovexattr" => node.now.acl = false,
            _ => {
                let bytes = unescape(call.string(2).expect("a value"));
                assert_eq!(bytes.len(), 4 + 3 * 8, "an ACL that is no mode: {call:?}");
                let of = |entry: usize| u32::from(bytes[4 + entry * 8 + 2]);
                node.now = Grant { mode: node.now.mode & 0o7000 | of(0) << 6 | of(1) << 3 | of(2), acl: false, ..node.now };
            }
        }
    }

    /// Writes down what can be reached now by others than root.
    fn watch(&mut self, call: &Call) {
        let private: BTreeSet<&String> = self
            .names
            .iter()
            .filter(|(_, id)| self.nodes[**id].is_dir && self.nodes[**id].now.uid == 0 && self.nodes[**id].now.mode & 0o077 == 0)
            .map(|(path, _)| path)
            .collect();
        let within = |path: &str| {
            let below_top = |above: &&str| above.len() > self.top.len();
            path.match_indices('/').map(|(at, _)| &path[..at]).filter(below_top).any(|above| private.contains(&above.to_owned()))
        };
        let reached: Vec<usize> = self.names.iter().filter(|(path, _)| !within(path)).map(|(_, id)| *id).collect();
        for id in reached {
            let node = &mut self.nodes[id];
            node.seen.entry(node.now).or_insert_with(|| format!("{} {}", call.name, call.args.join(", ")));
        }
    }

    /// Where anything granted more than it may: what the spec says of the place where it came to stand, or, for what was there before, what
    /// it granted then. What came to stand nowhere may grant nobody anything.
    pub fn excesses(&self, wanted: Wanted<'_>) -> Vec<String> {
        let mut out = Vec::new();
        for (id, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.is_link) {
            let path = self.names.iter().find(|(_, named)| **named == id).map(|(path, _)| path.as_str());
            let spec = match path {
                None => Some((0, 0, 0o700)),
                Some(path) => wanted(path),
            };
            let Some(spec) = spec else { continue };
            let allowed: Vec<(u32, u32, u32)> = node.before.map(|was| (was.uid, was.gid, was.mode)).into_iter().chain([spec]).collect();
            // An ACL that was there before is what is to be repaired.
            let had_acl = node.before.is_some_and(|was| was.acl);
            for (grant, call) in &node.seen {
                if grant.acl && !had_acl && grant.mode & 0o070 != 0 || exceeds(*grant, &allowed) {
                    out.push(format!(
                        "{}: {:o} {}:{} acl {} after {call}",
                        path.unwrap_or("gone"),
                        grant.mode,
                        grant.uid,
                        grant.gid,
                        grant.acl
                    ));
                }
            }
        }
        out
    }

    /// Files and directories that the run made and that are there.
    pub fn made(&self) -> usize {
        self.names.values().filter(|id| self.nodes[**id].before.is_none() && !self.nodes[**id].is_link).count()
    }
}

/// Whether a grant gives anybody but root more than all of `allowed` together.
fn exceeds(grant: Grant, allowed: &[(u32, u32, u32)]) -> bool {
    let any = |bits: &dyn Fn(&(u32, u32, u32)) -> u32| allowed.iter().map(bits).fold(0, |all, one| all | one);
    let others = any(&|(_, _, mode)| mode & 7);
    let group = any(&|(_, gid, mode)| if *gid == grant.gid { mode >> 3 & 7 } else { mode & 7 });
    let owner = any(&|(uid, _, mode)| if *uid == grant.uid { mode >> 6 & 7 } else { mode & 7 });
    grant.mode & 7 & !others != 0 || grant.mode >> 3 & 7 & !group != 0 || grant.uid != 0 && grant.mode >> 6 & 7 & !owner != 0
}

/// The bytes of a string as strace prints them.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let digits = rest.iter().take(3).take_while(|byte| (b'0'..=b'7').contains(*byte)).count();
        let length = digits.max(1);
        out.push(match rest[0] {
            _ if digits > 0 => rest[..digits].iter().fold(0u32, |value, digit| value * 8 + u32::from(digit - b'0')) as u8,
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 11,
            b'f' => 12,
            other => other,
        });
        rest = &rest[length..];
    }
    out
}
