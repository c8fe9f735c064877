//! A model of what a power cut may take away, held against a recorded run: nothing is shown before it is on disk.
//!
//! The strictest reading of fsync(2): bytes, owner and mode of a file are on disk after an fsync of the file itself, a name after
//! an fsync of the directory it is in, and everything after a syncfs of its file system. The state directory counts as a file system
//! of its own, as `/var` often is. Names that begin with `.new-` or `.trash-` may be lost: nobody relies on them.
//!
//! A generation gets its name before the barrier (design, section 5, steps 6 and 7). It is shown to nobody then, so that is no publication.

use super::trace::{Call, Effect};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a power cut may take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatile {
    /// Bytes, owner or mode.
    Content,
    /// The name in its directory, or that there is none any more.
    Name,
}

/// What was there before the run, by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum There {
    Dir,
    File,
    /// With what it says.
    Link(String),
}

/// Everything below a directory.
pub fn tree(dir: &Path) -> BTreeMap<String, There> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).expect("a listing") {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))).expect("an entry");
            let there = if kind.is_dir() {
                There::Dir
            } else if kind.is_symlink() {
                There::Link(std::fs::read_link(&path).expect("a link").display().to_string())
            } else {
                There::File
            };
            found.insert(path.display().to_string(), there);
            if kind.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

/// The disk as it might be after a power cut.
pub struct Model {
    host: String,
    there: BTreeMap<String, There>,
    volatile: BTreeSet<(String, Volatile)>,
    /// Links that are on disk, whatever has replaced them since.
    links: BTreeMap<String, String>,
    /// What was written to files of the state directory.
    written: BTreeMap<String, String>,
    /// The state as it was last given its name.
    state: Option<Value>,
    complaints: Vec<String>,
}

/// What is wrong with the order of these calls of a run that began with `there`.
pub fn complaints(calls: &[Call], host: &Path, there: BTreeMap<String, There>) -> Vec<String> {
    let mut model = Model::after(calls, host, there);
    model.at_the_end();
    model.complaints
}

/// What a power cut after these calls may take away, by path.
pub fn at_risk(calls: &[Call], host: &Path, there: BTreeMap<String, There>) -> (BTreeSet<(String, Volatile)>, BTreeMap<String, String>) {
    let model = Model::after(calls, host, there);
    (model.volatile, model.links)
}

impl Model {
    fn after(calls: &[Call], host: &Path, there: BTreeMap<String, There>) -> Model {
        let mut model = Model {
            host: host.display().to_string(),
            there,
            volatile: BTreeSet::new(),
            links: BTreeMap::new(),
            written: BTreeMap::new(),
            state: None,
            complaints: Vec::new(),
        };
        calls.iter().filter(|call| call.effect() == Effect::Changes && call.succeeded()).for_each(|call| model.take(call));
        model
    }

    fn take(&mut self, call: &Call) {
        match call.name.as_str() {
            "openat" => self.opened(call),
            "write" => self.wrote(call),
            "fchmod" | "fchown" | "fremovexattr" => self.unsure(call.path_of(0), Volatile::Content),
            "mkdirat" => {
                let path = call.at(0, 1);
                self.unsure(path.as_deref(), Volatile::Content);
                self.named(path, There::Dir);
            }
            "symlinkat" => {
                let path = call.at(1, 2);
                self.named(path, There::Link(call.string(0).unwrap_or_default().to_owned()));
            }
            "linkat" => self.named(call.at(2, 3), There::File),
            "renameat" | "renameat2" => self.renamed(call),
            "unlinkat" => self.unlinked(call),
            "fsync" => self.synced(call),
            "syncfs" => {
                let is_state = call.path_of(0).is_some_and(|path| self.is_state(path));
                let host = self.host.clone();
                self.volatile.retain(|(path, _)| in_state(&host, path) != is_state);
            }
            // The times of last-run and last-success.
            _ => {}
        }
    }

    fn opened(&mut self, call: &Call) {
        let Some(path) = call.at(0, 1) else { return };
        if !self.there.contains_key(&path) {
            self.unsure(Some(&path), Volatile::Content);
            self.named(Some(path), There::File);
        }
    }

    fn wrote(&mut self, call: &Call) {
        self.unsure(call.path_of(0), Volatile::Content);
        if let (Some(path), Some(text)) = (call.path_of(0), call.string(1))
            && self.is_state(path)
        {
            self.written.entry(path.to_owned()).or_default().push_str(&unescaped(text));
        }
    }

    fn unsure(&mut self, path: Option<&str>, what: Volatile) {
        if let Some(path) = path.filter(|path| path.starts_with(&self.host)) {
            self.volatile.insert((path.to_owned(), what));
        }
    }

    fn named(&mut self, path: Option<String>, there: There) {
        self.unsure(path.as_deref(), Volatile::Name);
        if let Some(path) = path {
            self.there.insert(path, there);
        }
    }

    fn synced(&mut self, call: &Call) {
        let Some(synced) = call.path_of(0) else { return };
        let is_done = |path: &str, what: Volatile| match what {
            Volatile::Content => path == synced,
            Volatile::Name => parent(path) == synced,
        };
        let done: Vec<String> = self.volatile.iter().filter(|(path, what)| is_done(path, *what)).map(|(path, _)| path.clone()).collect();
        for path in &done {
            match self.there.get(path) {
                Some(There::Link(target)) => self.links.insert(path.clone(), target.clone()),
                _ => self.links.remove(path),
            };
        }
        let gone: Vec<&String> = done.iter().filter(|path| !self.there.contains_key(*path)).collect();
        self.volatile.retain(|(path, what)| !is_done(path, *what) && !gone.iter().any(|gone| is_below(path, gone)));
    }

    fn unlinked(&mut self, call: &Call) {
        let Some(gone) = call.at(0, 1) else { return };
        self.there.remove(&gone);
        // The names that a directory lost before it went can come back with it.
        self.volatile.retain(|(path, what)| !is_below(path, &gone) || *what == Volatile::Name);
        self.unsure(Some(&gone), Volatile::Name);
    }

    fn renamed(&mut self, call: &Call) {
        let (Some(from), Some(to)) = (call.at(0, 1), call.at(2, 3)) else { return };
        let exchanged = call.args.get(4).is_some_and(|flags| flags.contains("EXCHANGE"));
        if exchanged {
            self.link_is_shown(&from, &to);
            self.moved(&to, "(aside)");
            self.moved(&from, &to);
            self.moved("(aside)", &from);
            self.unsure(Some(&from), Volatile::Name);
        } else {
            self.judge(&from, &to);
            self.volatile.retain(|(path, _)| !is_below(path, &to));
            self.moved(&from, &to);
        }
        self.unsure(Some(&to), Volatile::Name);
    }

    fn moved(&mut self, from: &str, to: &str) {
        let new = |path: &str| format!("{to}{}", &path[from.len()..]);
        self.volatile = std::mem::take(&mut self.volatile)
            .into_iter()
            .filter(|item| *item != (from.to_owned(), Volatile::Name))
            .map(|(path, what)| if is_below(&path, from) { (new(&path), what) } else { (path, what) })
            .collect();
        let rekeyed = |path: String| if is_below(&path, from) { new(&path) } else { path };
        self.there = std::mem::take(&mut self.there).into_iter().map(|(path, there)| (rekeyed(path), there)).collect();
    }

    /// Whether what gets a new name may have it already.
    fn judge(&mut self, from: &str, to: &str) {
        if to == format!("{}/state/state.json", self.host) {
            self.state_is_named(from);
        } else if to.ends_with("/current") && to.contains("/.certsync/") {
            self.is_switched(from, to);
        } else if from.contains("/.certsync/") && !to.contains("/.certsync/") {
            if self.link(from).is_some() { self.link_is_shown(from, to) } else { self.copy_is_shown(from, to) }
        }
    }

    /// The state tells of what is on disk: itself, the store, and all that was shown before.
    fn state_is_named(&mut self, from: &str) {
        self.must_last(from, "state.json");
        let relied: Vec<String> = self.volatile.iter().map(|(path, _)| path.clone()).filter(|path| self.is_relied_on(path)).collect();
        for path in relied {
            self.complain(&path, "the state that tells of it");
        }
        self.state = self.written.get(from).and_then(|text| serde_json::from_str(text).ok());
        if self.state.is_none() {
            self.complaints.push("a state was written that cannot be read".into());
        }
    }

    fn is_relied_on(&self, path: &str) -> bool {
        !is_temporary(path) && (!self.is_state(path) || path.contains("/state/store/") && self.there.contains_key(path))
    }

    /// `current` shows a generation that is whole on disk, and the state on disk has announced it.
    fn is_switched(&mut self, from: &str, to: &str) {
        let Some(target) = self.link(from) else {
            self.complaints.push(format!("{to} is no link"));
            return;
        };
        let generation = format!("{}/{target}", parent(to));
        let unsure: Vec<String> = self.volatile.iter().map(|(path, _)| path.clone()).filter(|path| is_below(path, &generation)).collect();
        unsure.iter().for_each(|path| self.complain(path, &format!("{to} that shows it")));
        self.way_must_last(to);
        self.is_announced(to, &target);
    }

    /// Except where what is shown is what readers found there before: the first step of an adoption.
    fn is_announced(&mut self, current: &str, target: &str) {
        let (dest, set) = current.split_once("/.certsync/").expect("a place of ours");
        let set = parent(set);
        let adopts = !self.there.contains_key(current) && self.there.get(&format!("{dest}/fullchain.pem")) == Some(&There::File);
        if adopts {
            return;
        }
        self.state_must_last(current);
        let Some(install) = self.install(set, dest) else {
            self.complaints.push(format!("{current} was switched before the state announced it"));
            return;
        };
        let next = &install["next"];
        let marks = install["marks"].as_object().map_or(0, serde_json::Map::len);
        if next["name"] != target {
            self.complaints.push(format!("{current} was switched to {target}, and the state on disk announces {}", next["name"]));
        } else if marks != 0 && self.link(current).is_none_or(|former| content_of(&former) != content_of(target)) {
            self.complaints.push(format!("{current} was switched to other bytes while the mark of a hook was on disk"));
        }
    }

    /// What the link at this path says.
    fn link(&self, path: &str) -> Option<String> {
        if let Some(There::Link(target)) = self.there.get(path) { Some(target.clone()) } else { None }
    }

    fn install(&self, set: &str, dest: &str) -> Option<Value> {
        let installs = self.state.as_ref()?["installs"].as_array()?;
        installs.iter().find(|install| install["set"] == set && install["dest"] == dest).cloned()
    }

    /// A link leads to what is on disk, where it leads to anything yet.
    fn link_is_shown(&mut self, from: &str, to: &str) {
        self.current_must_last(from, &format!("{to} that leads there"));
        self.way_must_last(to);
    }

    /// A copy (`flat`) is whole on disk, and it was announced: half of the names may be new after a power cut.
    fn copy_is_shown(&mut self, from: &str, to: &str) {
        self.must_last(from, to);
        self.way_must_last(to);
        self.state_must_last(to);
        let place = parent(from).split_once("/.certsync/");
        if place.and_then(|(dest, set)| self.install(set, dest)).is_none() {
            self.complaints.push(format!("{to} was replaced before the state announced it"));
        }
    }

    fn state_must_last(&mut self, before: &str) {
        let named = format!("{}/state/state.json", self.host);
        if self.volatile.iter().any(|(path, _)| *path == named) {
            self.complain(&named, before);
        }
    }

    /// `current` of the set whose folder `from` lies in.
    fn current_must_last(&mut self, from: &str, before: &str) {
        let current = format!("{}/current", parent(from));
        if self.volatile.contains(&(current.clone(), Volatile::Name)) {
            self.complain(&current, before);
        }
    }

    fn must_last(&mut self, path: &str, shown: &str) {
        if self.volatile.contains(&(path.to_owned(), Volatile::Content)) {
            self.complain(path, shown);
        }
    }

    /// Every directory on the way keeps its name.
    fn way_must_last(&mut self, path: &str) {
        let mut way = parent(path);
        while way.len() > self.host.len() {
            if self.volatile.contains(&(way.to_owned(), Volatile::Name)) {
                self.complain(way, &format!("{path} in it"));
            }
            way = parent(way);
        }
    }

    /// A run that ends well has nothing left to bring to disk but what may be lost.
    fn at_the_end(&mut self) {
        let state = format!("{}/state/state.json", self.host);
        let relied: Vec<String> = self
            .volatile
            .iter()
            .map(|(path, _)| path.clone())
            .filter(|path| (!self.is_state(path) && !is_temporary(path)) || *path == state)
            .collect();
        relied.iter().for_each(|path| self.complain(path, "the end of the run"));
    }

    fn complain(&mut self, path: &str, before: &str) {
        self.complaints.push(format!("{path} is not on disk before {before}").replace(&self.host, "[DIR]"));
    }

    fn is_state(&self, path: &str) -> bool {
        in_state(&self.host, path)
    }
}

fn in_state(host: &str, path: &str) -> bool {
    is_below(path, &format!("{host}/state"))
}

fn is_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The part of a generation's name that tells its content.
fn content_of(generation: &str) -> Option<&str> {
    Some(generation.split_once('-')?.1)
}

fn is_temporary(path: &str) -> bool {
    path.split('/').any(|step| step.starts_with(".new-") || step.starts_with(".trash-"))
}

/// A string as strace shows it, its escapes undone.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c == '\\').then(|| chars.next()).flatten() {
            None => out.push(c),
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some(other) => out.push(other),
        }
    }
    out
}
