//! Paths without `.`, `..`, empty steps or control characters. A copy of a path costs nothing.

use super::SetName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is no path of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathError(String);

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PathError {}

/// A relative path of one or more plain steps: no `.` or `..`, no empty step, UTF-8, printable, each step at
/// most 255 bytes, the whole at most 1024.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RelPath(Arc<str>);

impl RelPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The steps, outermost first; never empty.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The directory steps and the last name.
    pub fn split(&self) -> (Vec<&str>, &str) {
        let mut steps: Vec<&str> = self.0.split('/').collect();
        let name = steps.pop().unwrap_or_default();
        (steps, name)
    }

    /// How many directories lie above the last name.
    pub fn depth(&self) -> usize {
        self.0.matches('/').count()
    }
}

impl From<&SetName> for RelPath {
    /// A name is one plain step.
    fn from(name: &SetName) -> Self {
        RelPath(name.as_str().into())
    }
}

impl FromStr for RelPath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        let shown = || super::printable(text);
        if text.is_empty() || text.starts_with('/') {
            return Err(PathError(format!("not a relative path: {:?}", shown())));
        }
        if !super::is_printable(text) {
            return Err(PathError(format!("a file name holds a control character: {}", shown())));
        }
        if text.split('/').any(|step| step.is_empty() || step == "." || step == "..") {
            return Err(PathError(format!("a file name holds an empty step, . or ..: {}", shown())));
        }
        if text.len() > 1024 || text.split('/').any(|step| step.len() > 255) {
            return Err(PathError(format!("a file name is too long: {}", shown())));
        }
        Ok(RelPath(text.into()))
    }
}

/// An absolute path, cleaned of `.`, empty steps and a trailing slash; `..` is refused, since what it means
/// depends on links.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct AbsPath(Arc<str>);

impl AbsPath {
    /// The path as text; `/` alone for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for the standard library.
    pub fn as_path(&self) -> &Path {
        Path::new(self.as_str())
    }

    /// The steps below the root, outermost first; none for the root itself.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|step| !step.is_empty())
    }

    /// This path with a relative one below it.
    #[must_use]
    pub fn join(&self, below: &RelPath) -> AbsPath {
        AbsPath([self.0.trim_end_matches('/'), "/", below.as_str()].concat().into())
    }

    /// Whether `self` is `other` or lies below it.
    pub fn is_within(&self, other: &AbsPath) -> bool {
        &*other.0 == "/" || self.0 == other.0 || self.0.strip_prefix(&*other.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// `text` taken relative to `base` where it is not absolute.
    pub fn resolve(text: &str, base: &AbsPath) -> Result<AbsPath, PathError> {
        if text.starts_with('/') { text.parse() } else { format!("{}/{text}", base.0).parse() }
    }
}

impl FromStr for AbsPath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        let shown = || super::printable(text);
        if !text.starts_with('/') {
            return Err(PathError(format!("not an absolute path: {:?}", shown())));
        }
        if !super::is_printable(text) {
            return Err(PathError(format!("a path holds a control character: {}", shown())));
        }
        const LONGEST: usize = 4000;
        // Nearly everything is clean.
        if text.len() <= LONGEST && text.split('/').skip(1).all(|step| !matches!(step, "" | "." | "..")) {
            return Ok(AbsPath(text.into()));
        }
        let mut out = String::with_capacity(text.len());
        for step in text.split('/').filter(|step| !step.is_empty() && *step != ".") {
            if step == ".." {
                return Err(PathError(format!("a path holds ..: {}", shown())));
            }
            out.push('/');
            out.push_str(step);
        }
        if out.len() > LONGEST {
            return Err(PathError(format!("a path is longer than {LONGEST} bytes")));
        }
        Ok(AbsPath(if out.is_empty() { "/".into() } else { out.into() }))
    }
}

impl TryFrom<PathBuf> for AbsPath {
    type Error = PathError;
    fn try_from(path: PathBuf) -> Result<Self, PathError> {
        match path.to_str() {
            Some(text) => text.parse(),
            None => Err(PathError(format!("a path is not UTF-8: {}", super::escape(path.as_os_str())))),
        }
    }
}

macro_rules! as_text {
    ($name:ident, $pattern:expr) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

as_text!(RelPath, "^[^/].*$");
as_text!(AbsPath, "^/.*$");

#[cfg(test)]
mod tests {
    use super::{AbsPath, RelPath};

    #[test]
    fn a_relative_path_has_only_plain_steps() {
        assert!("a/b c/d.pem".parse::<RelPath>().is_ok());
        for bad in ["", "/a", "a/", "a//b", "./a", "a/../b", "..", "a\nb"] {
            assert!(bad.parse::<RelPath>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_absolute_path_is_cleaned() -> Result<(), super::PathError> {
        assert_eq!("/a//b/./c/".parse::<AbsPath>()?.as_str(), "/a/b/c");
        assert_eq!("/".parse::<AbsPath>()?.as_str(), "/");
        assert!("/a/../b".parse::<AbsPath>().is_err());
        assert!("/a/bc".parse::<AbsPath>().is_ok_and(|p| !p.is_within(&AbsPath("/a/b".into()))));
        Ok(())
    }
}
