//! Reading a spec with everything it includes.

use super::desired::Desired;
use super::fault::{Fault, Faults, Pos, Reporter, quoted};
use super::resolve::{Written, resolve};
use super::surroundings::{Surroundings, Trust};
use super::tree::{LARGEST_SPEC, Node, parse};
use super::types::{Included, Spec};
use super::{de, leaf::PathText, wrap::At};
use crate::base::{AbsPath, ContentHash, Error, ErrorKind, escape, not_utf8, printable};
use crate::host::walk::{check_trusted, read_trusted};
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The most files that one spec may include.
const MOST_INCLUDED: usize = 10_000;

/// What is said of a file that is not there.
const NOT_FOUND: &str = "no such file";

/// What is said of bytes that are no text, and the way out.
const NOT_UTF8: &str = "this byte is not UTF-8";
const SAVE_AS_UTF8: &str = "save the file as UTF-8";

/// Where a spec comes from.
#[derive(Debug, Clone)]
pub enum SpecInput<'a> {
    /// A file.
    File(&'a AbsPath),
    /// Text read elsewhere (standard input) and the place it is meant for.
    Text {
        /// The YAML.
        text: String,
        /// Where it would lie: relative paths and includes start at its directory.
        at: AbsPath,
    },
}

/// A spec without fault.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The spec file as written, without what it includes.
    pub spec: Spec,
    /// The files it includes, in the order of reading.
    pub included: Vec<AbsPath>,
    /// This host's part, every default filled in.
    pub desired: Desired,
}

/// Reads the spec and everything it includes, and resolves this host's part; or all faults at once. `name` is this host's
/// among the servers, where somebody has said it (`--as`, `$CERTSYNC_AS`); otherwise it is found by the host's name.
pub fn load(input: SpecInput<'_>, name: Option<&str>) -> Result<Loaded, Faults> {
    load_with(input, name, &Surroundings::host())
}

/// The same against other surroundings than this host's.
pub fn load_with(input: SpecInput<'_>, name: Option<&str>, surroundings: &Surroundings) -> Result<Loaded, Faults> {
    let (path, text) = match input {
        SpecInput::File(path) => (path.clone(), read_spec(path, surroundings)?),
        SpecInput::Text { text, at } => (at, text),
    };
    let mut reading = Reading { surroundings, reporter: Reporter::default(), left: LARGEST_SPEC, hashes: RefCell::default() };
    reading.weigh(path.as_str(), &text)?;
    let directory = directory_of(&path);
    let Some(spec) = reading.document::<Spec>(path.as_str(), &text)? else {
        return Err(reading.reporter.into_faults().unwrap_or_else(|| Faults::one(Fault::of_file(path.as_str(), "no spec", None))));
    };
    let (included, parts) = reading.includes(&spec, &directory)?;
    let hash = ContentHash::of(reading.hashes.borrow().concat().as_bytes());
    let written = Written { path: &path, directory: &directory, spec: &spec, included: &parts, hash };
    let desired = resolve(&written, &reading.reporter, surroundings, name);
    match reading.reporter.into_faults() {
        Some(faults) => Err(faults),
        None => Ok(Loaded { spec, included, desired }),
    }
}

struct Reading<'a> {
    surroundings: &'a Surroundings,
    reporter: Reporter,
    /// Bytes that may still be read.
    left: u64,
    /// Of each file, in the order of reading.
    hashes: RefCell<Vec<String>>,
}

impl Reading<'_> {
    fn weigh(&mut self, name: &str, text: &str) -> Result<(), Faults> {
        match self.left.checked_sub(text.len() as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let (message, hint) = too_large();
                Err(Faults::one(Fault::of_file(name, message, Some(hint))))
            }
        }
    }

    /// Parses one file and reads `T` from it. A fault of YAML stands alone.
    fn document<T: DeserializeOwned>(&self, name: &str, text: &str) -> Result<Option<T>, Faults> {
        if text.contains("PRIVATE KEY-----") {
            let hint = "keys belong in a source, never in a spec";
            return Err(Faults::one(Fault::of_file(name, "this file holds a private key, it is no spec", Some(hint.into()))));
        }
        self.hashes.borrow_mut().push(ContentHash::of(text.as_bytes()).to_string());
        let file = self.reporter.add_file(name, text);
        match parse(text, file, &self.reporter) {
            Ok(Some(node)) => Ok(self.read(&node)),
            Ok(None) => {
                let pos = Pos { file, line: 1, column: 1, length: 1 };
                Err(self.reporter.alone(pos, "the spec is empty".into(), Some("begin with `version: 1` and `certs:`".into())))
            }
            Err(broken) => Err(self.reporter.alone(broken.pos, broken.message, broken.hint)),
        }
    }

    fn read<T: DeserializeOwned>(&self, node: &Node) -> Option<T> {
        de::read(node, &self.reporter)
    }

    fn includes(&mut self, spec: &Spec, directory: &AbsPath) -> Result<(Vec<AbsPath>, Vec<Included>), Faults> {
        let mut paths: Vec<AbsPath> = Vec::new();
        let mut places: Vec<Pos> = Vec::new();
        for at in spec.include.value().map(|list| list.0.as_slice()).unwrap_or_default() {
            for path in self.matches(at, directory) {
                if paths.len() >= MOST_INCLUDED {
                    self.reporter.fault(at.pos(), format!("more than {MOST_INCLUDED} files are included"), None);
                    break;
                }
                if !paths.contains(&path) {
                    paths.push(path);
                    places.push(at.pos());
                }
            }
        }
        let mut parts = Vec::with_capacity(paths.len());
        for (path, at) in paths.iter().zip(places) {
            parts.extend(self.include(path, at)?);
        }
        Ok((paths, parts))
    }

    /// One included file; a fault of the file as a whole is shown where it is included.
    fn include(&mut self, path: &AbsPath, at: Pos) -> Result<Option<Included>, Faults> {
        let bytes = match read_bytes(path, Asked::ByInclude, self.surroundings.trust) {
            Ok(bytes) => bytes,
            Err(error) => {
                let hint = error.hint.filter(|_| error.cause != NOT_FOUND).or_else(|| Some("make the file, or leave it out".into()));
                self.reporter.fault(at, format!("{path}: {}", error.cause), hint);
                return Ok(None);
            }
        };
        let text = match text_of(bytes) {
            Ok(text) => text,
            Err((line, column)) => {
                self.reporter.fault(at, format!("{path}:{line}:{column}: {NOT_UTF8}"), Some(SAVE_AS_UTF8.into()));
                return Ok(None);
            }
        };
        self.weigh(path.as_str(), &text)?;
        // A file that holds comments alone is a set that somebody has switched off.
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(None);
        }
        self.document(path.as_str(), &text)
    }

    /// The files that one entry of `include` names, sorted. A pattern may match none; a plain name must exist.
    fn matches(&self, at: &At<PathText>, directory: &AbsPath) -> Vec<AbsPath> {
        let Some(PathText(text)) = at.value() else { return Vec::new() };
        let refuse = |message: String, hint: &str| self.reporter.fault(at.pos(), message, Some(hint.to_owned()));
        let pattern = match AbsPath::resolve(text, directory) {
            Ok(pattern) => pattern,
            Err(error) => {
                refuse(error.to_string(), "write a path relative to the spec file");
                return Vec::new();
            }
        };
        if !text.contains(['*', '?', '[']) {
            return vec![pattern];
        }
        let base: String = directory.as_str().to_owned();
        let whole =
            if text.starts_with('/') { text.clone() } else { format!("{}/{text}", glob::Pattern::escape(base.trim_end_matches('/'))) };
        if let Err(error) = self.check_folder(&pattern) {
            self.reporter.fault(at.pos(), format!("{}: {}", error.subject, error.cause), error.hint);
            return Vec::new();
        }
        let options = glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
        let found = match glob::glob_with(&whole, options) {
            Ok(found) => found,
            Err(error) => {
                refuse(format!("not a pattern: {}: {}", quoted(text), error.msg), "`*` and `?` stand for characters of a file's name");
                return Vec::new();
            }
        };
        let mut paths = Vec::new();
        for entry in found.take(MOST_INCLUDED + 1) {
            match entry {
                Ok(path) => match AbsPath::try_from(path) {
                    Ok(path) => paths.push(path),
                    Err(error) => refuse(error.to_string(), "rename the file"),
                },
                Err(error) => refuse(
                    format!("{}: {}", escape(error.path().as_os_str()), words(error.error())),
                    "a folder that is included must be readable",
                ),
            }
        }
        paths.sort();
        paths
    }

    /// Whoever may add a file to an include folder writes the spec. The folder is what stands before the first pattern.
    fn check_folder(&self, pattern: &AbsPath) -> Result<(), Error> {
        let fixed: Vec<&str> = pattern.steps().take_while(|step| !step.contains(['*', '?', '['])).collect();
        let folder: AbsPath =
            format!("/{}", fixed.join("/")).parse().map_err(|e| Error::new(ErrorKind::Spec, pattern.as_str(), format!("{e}")))?;
        if self.surroundings.trust == Trust::Check && folder.as_path().is_dir() { check_trusted(&folder) } else { Ok(()) }
    }
}

fn directory_of(path: &AbsPath) -> AbsPath {
    let parent = path.as_path().parent().map(PathBuf::from).unwrap_or_else(|| Path::new("/").to_owned());
    AbsPath::try_from(parent).unwrap_or_else(|_| path.clone())
}

/// What is said of a spec that is too large, and the way out.
fn too_large() -> (String, String) {
    (
        format!("the spec is larger than {} MiB with all it includes", LARGEST_SPEC >> 20),
        "is it a spec at all? where it names very many sets, a source that ends in `/*` makes one of each directory".into(),
    )
}

fn read_spec(path: &AbsPath, surroundings: &Surroundings) -> Result<String, Faults> {
    let bytes = read_bytes(path, Asked::OnTheCommandLine, surroundings.trust)
        .map_err(|error| Faults::one(Fault::of_file(path.as_str(), error.cause, error.hint)))?;
    text_of(bytes).map_err(|place| Faults::one(Fault::at(path.as_str(), place, NOT_UTF8, Some(SAVE_AS_UTF8.into()))))
}

/// The bytes as text, or the place of the first byte that is none. The line itself is never shown: it may be that of a key in DER.
fn text_of(bytes: Vec<u8>) -> Result<String, (u32, u32)> {
    String::from_utf8(bytes).map_err(|error| not_utf8(error.as_bytes()).unwrap_or((1, 1)))
}

/// Who named a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    OnTheCommandLine,
    ByInclude,
}

/// Reads a file that nobody else may write. The one place where the spec asks who may.
fn read_bytes(path: &AbsPath, asked: Asked, trust: Trust) -> Result<Vec<u8>, Error> {
    let wrong = |cause: String| Error::new(ErrorKind::Spec, path.as_str(), cause);
    let kind = path.as_path().metadata().map_err(|error| unreadable(path, &error))?;
    if kind.is_dir() {
        return Err(wrong("this is a directory".into()).hint(match asked {
            Asked::OnTheCommandLine => "name the spec file, such as certsync.yaml in it",
            Asked::ByInclude => "name the files in it, such as `certs.d/*.yaml`",
        }));
    }
    if !kind.is_file() {
        return Err(wrong("this is not a regular file".into()).hint(match asked {
            Asked::OnTheCommandLine => "`-` with `--at PATH` reads a spec from standard input",
            Asked::ByInclude => "move it away, or name only regular files in `include`",
        }));
    }
    if kind.len() > LARGEST_SPEC {
        let (cause, hint) = too_large();
        return Err(wrong(cause).hint(hint));
    }
    if trust == Trust::Check {
        return read_trusted(path, LARGEST_SPEC).map_err(|error| Error { subject: path.to_string(), cause: about(path, &error), ..error });
    }
    let mut bytes = Vec::new();
    let file = File::open(path.as_path()).map_err(|error| unreadable(path, &error))?;
    file.take(LARGEST_SPEC + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

/// The cause, with the subject where that is another one than `path` (a directory above it, a link).
fn about(path: &AbsPath, error: &Error) -> String {
    if error.subject == path.as_str() { error.cause.clone() } else { format!("{}: {}", error.subject, error.cause) }
}

fn unreadable(path: &AbsPath, error: &io::Error) -> Error {
    let known = Error::io(ErrorKind::Spec, path, error);
    match error.kind() {
        io::ErrorKind::NotFound => {
            Error::new(ErrorKind::Spec, path.as_str(), NOT_FOUND).hint("name the spec on the command line or in CERTSYNC_SPEC")
        }
        io::ErrorKind::PermissionDenied => known.hint("run as the user who may read it"),
        _ => known,
    }
}

fn words(error: &io::Error) -> String {
    printable(&Error::io(ErrorKind::Spec, "", error).cause)
}
