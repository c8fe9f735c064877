//! A builder for one call of the program: what is not expected is a failure.
//!
//! ```ignore
//! Test::new().spec("version: 1\n").args(["plan"]).stdout("nothing to do\n").run();
//! ```

#![allow(dead_code, reason = "each test file uses its own part of this")]

pub mod leaks;
pub mod site;

use assert_cmd::Command;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// One call of the program in a directory of its own.
///
/// The spec is `certsync.yaml` and the state directory `state`, both in [`dir`](Test::dir), where the program runs as well.
/// In what it prints, that directory is shown as `[DIR]`. Nothing of the caller's environment but PATH is passed on.
#[must_use]
pub struct Test {
    dir: Dir,
    args: Vec<String>,
    env: Vec<(String, String)>,
    stdin: String,
    stdout: Expected,
    stderr: Expected,
    status: i32,
}

enum Dir {
    Own(tempfile::TempDir),
    Shared(PathBuf),
}

enum Expected {
    Exactly(String),
    Containing(Vec<String>),
    Anything,
}

/// What the program printed.
pub struct Answer {
    /// On stdout, the directory shown as `[DIR]`.
    pub stdout: String,
    /// On stderr, the same.
    pub stderr: String,
    dir: Dir,
}

impl Answer {
    /// The directory of the test.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A further call in the same directory, while this answer lives.
    pub fn again(&self) -> Test {
        Test::inside(self.dir())
    }
}

impl Dir {
    fn path(&self) -> &Path {
        match self {
            Dir::Own(dir) => dir.path(),
            Dir::Shared(dir) => dir,
        }
    }
}

impl Test {
    /// In a new directory.
    pub fn new() -> Self {
        Test::at(Dir::Own(tempfile::Builder::new().prefix("certsync-test-").tempdir().expect("a temporary directory")))
    }

    /// In a directory that is there already.
    pub fn inside(dir: &Path) -> Self {
        Test::at(Dir::Shared(dir.to_owned()))
    }

    fn at(dir: Dir) -> Self {
        Test {
            dir,
            args: Vec::new(),
            env: Vec::new(),
            stdin: String::new(),
            stdout: Expected::Exactly(String::new()),
            stderr: Expected::Exactly(String::new()),
            status: 0,
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the spec; `[DIR]` in it is replaced.
    pub fn spec(self, text: &str) -> Self {
        self.file("certsync.yaml", text)
    }

    /// Writes a file below the directory; `[DIR]` in it is replaced.
    pub fn file(self, path: &str, content: &str) -> Self {
        let file = self.dir().join(path);
        fs::create_dir_all(file.parent().expect("a file has a parent")).expect("a directory is made");
        let content = content.replace("[DIR]", &self.dir().display().to_string());
        fs::write(file, content).expect("a file is written");
        self
    }

    /// The arguments; `[DIR]` in them is replaced.
    pub fn args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        let dir = self.dir().display().to_string();
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().replace("[DIR]", &dir)));
        self
    }

    /// One variable of the environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.replace("[DIR]", &self.dir().display().to_string())));
        self
    }

    /// What stands on stdin.
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.to_owned();
        self
    }

    /// All of stdout.
    pub fn stdout(mut self, text: &str) -> Self {
        self.stdout = Expected::Exactly(text.to_owned());
        self
    }

    /// A part of stdout (repeatable: each must be there).
    pub fn stdout_has(mut self, text: &str) -> Self {
        self.stdout = self.stdout.and(text);
        self
    }

    /// Whatever stdout says.
    pub fn any_stdout(mut self) -> Self {
        self.stdout = Expected::Anything;
        self
    }

    /// All of stderr.
    pub fn stderr(mut self, text: &str) -> Self {
        self.stderr = Expected::Exactly(text.to_owned());
        self
    }

    /// A part of stderr (repeatable: each must be there).
    pub fn stderr_has(mut self, text: &str) -> Self {
        self.stderr = self.stderr.and(text);
        self
    }

    /// Whatever stderr says.
    pub fn any_stderr(mut self) -> Self {
        self.stderr = Expected::Anything;
        self
    }

    /// The exit status.
    pub fn status(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    /// Calls the program and compares.
    #[track_caller]
    pub fn run(self) -> Answer {
        let dir = self.dir.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_certsync"));
        command.env_clear().current_dir(dir).write_stdin(self.stdin.clone()).args(self.args.iter().map(OsStr::new));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", dir);
        command.env("CERTSYNC_SPEC", dir.join("certsync.yaml")).env("CERTSYNC_STATE_DIR", dir.join("state"));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let output = command.output().expect("the program runs");
        leaks::note_run(dir, &output.stdout, &output.stderr);
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&dir.display().to_string(), "[DIR]");
        let (stdout, stderr) = (shown(&output.stdout), shown(&output.stderr));
        let whole = format!("certsync {}\n--- stdout\n{stdout}--- stderr\n{stderr}---", self.args.join(" "));
        assert_eq!(output.status.code(), Some(self.status), "exit status of {whole}");
        self.stdout.compare("stdout", &stdout, &whole);
        self.stderr.compare("stderr", &stderr, &whole);
        Answer { stdout, stderr, dir: self.dir }
    }
}

impl Expected {
    fn and(self, text: &str) -> Self {
        let mut parts = match self {
            Expected::Containing(parts) => parts,
            Expected::Exactly(_) | Expected::Anything => Vec::new(),
        };
        parts.push(text.to_owned());
        Expected::Containing(parts)
    }

    #[track_caller]
    fn compare(&self, stream: &str, found: &str, whole: &str) {
        match self {
            Expected::Exactly(text) => assert_eq!(found, text, "{stream} of {whole}"),
            Expected::Containing(parts) => {
                for part in parts {
                    assert!(found.contains(part), "{stream} lacks {part:?} in {whole}");
                }
            }
            Expected::Anything => {}
        }
    }
}
