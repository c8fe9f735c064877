//! Where everything is, from the command line and the environment.

use super::cli::{GlobalArgs, SpecFlag, SpecPath, SpecPathOrStdin};
use super::options::{Place, SpecPlace};
use crate::base::{AbsPath, Error, ErrorKind, Result, escape, not_utf8};
use crate::host::users;
use crate::spec::SpecInput;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Where the spec is when nobody says.
const SPEC: &str = "/etc/certsync/certsync.yaml";
/// Where root's state is when nobody says.
const STATE: &str = "/var/lib/certsync";
/// The most that is read from stdin, in bytes.
const MOST: u64 = 16 << 20;

/// A place on the command line that may be stdin.
pub(super) fn of_either(global: &GlobalArgs, spec: &SpecPathOrStdin) -> Result<Place> {
    let from_stdin = spec.spec.as_deref() == Some(Path::new("-"));
    match (from_stdin, &spec.at) {
        (true, Some(at)) => {
            let at = absolute(at, ErrorKind::Usage)?;
            place(global, SpecPlace::Stdin { text: read_stdin()?, at })
        }
        (true, None) => Err(Error::new(ErrorKind::Usage, "command line", "a spec on stdin needs --at PATH")
            .hint("PATH is the file that the spec stands for; relative paths in it start there")),
        (false, Some(_)) => {
            Err(Error::new(ErrorKind::Usage, "command line", "--at goes with a spec on stdin").hint("write - for SPEC, or leave --at out"))
        }
        (false, None) => of_file(global, spec.spec.as_ref()),
    }
}

/// A place on the command line that is a file.
pub(super) fn of_path(global: &GlobalArgs, spec: &SpecPath) -> Result<Place> {
    of_file(global, spec.spec.as_ref())
}

/// The same as a flag.
pub(super) fn of_flag(global: &GlobalArgs, spec: &SpecFlag) -> Result<Place> {
    of_file(global, spec.spec.as_ref())
}

fn of_file(global: &GlobalArgs, spec: Option<&PathBuf>) -> Result<Place> {
    if spec.is_some_and(|spec| spec == Path::new("-")) {
        return Err(Error::new(ErrorKind::Usage, "command line", "only plan, validate and spec read a spec from stdin"));
    }
    let spec = spec.cloned().or_else(|| from_environment("CERTSYNC_SPEC").map(PathBuf::from)).unwrap_or_else(|| PathBuf::from(SPEC));
    place(global, SpecPlace::File(absolute(&spec, ErrorKind::Usage)?))
}

fn place(global: &GlobalArgs, spec: SpecPlace) -> Result<Place> {
    let name = match (&global.name, from_environment("CERTSYNC_AS")) {
        (Some(name), _) => Some(name.clone()),
        (None, Some(name)) => Some(name.into_string().map_err(|name| not_text("$CERTSYNC_AS", &name))?),
        (None, None) => None,
    };
    Ok(Place { spec, name, state_dir: state_dir(global)? })
}

/// The input that the loader of specs takes.
pub(super) fn input(place: &SpecPlace) -> SpecInput<'_> {
    match place {
        SpecPlace::File(path) => SpecInput::File(path),
        SpecPlace::Stdin { text, at } => SpecInput::Text { text: text.clone(), at: at.clone() },
    }
}

/// The state directory.
pub(super) fn state_dir(global: &GlobalArgs) -> Result<AbsPath> {
    if let Some(dir) = global.state_dir.clone().or_else(|| from_environment("CERTSYNC_STATE_DIR").map(PathBuf::from)) {
        return absolute(&dir, ErrorKind::Usage);
    }
    let user = users::running_user();
    if user.uid == 0 {
        return absolute(Path::new(STATE), ErrorKind::State);
    }
    // A relative XDG path is to be ignored (XDG Base Directory Specification).
    let xdg = from_environment("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = from_environment("HOME").map_or_else(|| PathBuf::from(user.home), PathBuf::from);
    absolute(&xdg.unwrap_or_else(|| home.join(".local/state")).join("certsync"), ErrorKind::State)
}

/// A variable that is set and not empty.
fn from_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// `path` from the current directory on. What `..` means depends on links, so a path that holds one is asked of the
/// kernel, all but its last name.
pub(super) fn absolute(path: &Path, kind: ErrorKind) -> Result<AbsPath> {
    let shown = || escape(path.as_os_str());
    let mut full = std::path::absolute(path).map_err(|error| Error::io(kind, shown(), &error))?;
    if full.components().any(|step| step == Component::ParentDir) {
        full = match (full.parent(), full.file_name()) {
            (Some(parent), Some(name)) => parent.canonicalize().map(|parent| parent.join(name)),
            _ => full.canonicalize(),
        }
        .map_err(|error| Error::io(kind, shown(), &error))?;
    }
    AbsPath::try_from(full).map_err(|error| Error::new(kind, shown(), error.to_string()))
}

fn read_stdin() -> Result<String> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MOST + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::io(ErrorKind::Spec, "stdin", &error))?;
    if bytes.len() as u64 > MOST {
        return Err(Error::new(ErrorKind::Spec, "stdin", format!("holds more than {} MiB", MOST >> 20)).hint("is it a spec at all?"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let (line, column) = not_utf8(error.as_bytes()).unwrap_or((1, 1));
        Error::new(ErrorKind::Spec, format!("stdin:{line}:{column}"), "this byte is not UTF-8").hint("save the spec as UTF-8")
    })
}

fn not_text(subject: &str, value: &OsString) -> Error {
    Error::new(ErrorKind::Usage, subject, format!("is not UTF-8 text: {}", escape(value)))
}

#[cfg(test)]
mod tests {
    use super::absolute;
    use crate::base::ErrorKind;
    use std::path::Path;

    #[test]
    fn a_relative_path_starts_at_the_current_directory() {
        let here = std::env::current_dir().unwrap_or_default();
        let path = absolute(Path::new("./a/../b.yaml"), ErrorKind::Usage);
        assert!(path.is_err(), "a is not there");
        let path = absolute(Path::new("src/../b.yaml"), ErrorKind::Usage);
        assert_eq!(path.map(|path| path.to_string()), Ok(here.join("b.yaml").display().to_string()));
    }
}
