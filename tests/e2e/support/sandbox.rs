//! A folder of its own for each test, certsync run in it, and a record of all it printed and kept.

use super::certsync::Run;
use super::leaks::{self, Recorder};
use super::process::output;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A folder of its own: `certsync.yaml` and `state` in it belong to certsync, all else to the test.
pub struct Sandbox {
    root: TempDir,
    recorder: Recorder,
}

impl Sandbox {
    /// A new one, which other users may enter: servers give up root.
    pub fn new() -> Sandbox {
        let root = tempfile::Builder::new().prefix("certsync-e2e-").tempdir().expect("a temporary folder");
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        let name = std::thread::current().name().unwrap_or("unnamed").replace("::", "-");
        Sandbox { root, recorder: Recorder::new(&name) }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A path in it.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// A path in it as text, for specs and configurations.
    pub fn text(&self, relative: &str) -> String {
        self.path(relative).to_str().expect("a path in UTF-8").to_owned()
    }

    /// Makes a folder in it.
    pub fn folder(&self, relative: &str) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// Writes a file in it, 0644; `ROOT` in the text stands for the folder.
    pub fn write(&self, relative: &str, text: &str) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, text.replace("ROOT", self.root().to_str().expect("a path in UTF-8"))).expect("a file");
        path
    }

    /// Writes a program in it; `ROOT` as in [`write`](Sandbox::write).
    pub fn script(&self, relative: &str, text: &str) -> PathBuf {
        let path = self.write(relative, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        path
    }

    /// Reads a file in it; empty if there is none.
    pub fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap_or_default()
    }

    /// How many lines a file in it has: what counting hooks write.
    pub fn lines(&self, relative: &str) -> usize {
        self.read(relative).lines().count()
    }

    /// Writes the spec, `ROOT` standing for the folder.
    pub fn spec(&self, text: &str) {
        self.write("certsync.yaml", text);
    }

    /// `state.json` as it is.
    pub fn state(&self) -> Vec<u8> {
        fs::read(self.path("state/state.json")).expect("state.json")
    }

    /// Runs certsync with the sandbox's spec and state directory.
    pub fn certsync(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(binary());
        command.args(arguments).args(["--state-dir", &self.text("state")]).env("CERTSYNC_SPEC", self.path("certsync.yaml"));
        self.run(&mut command)
    }

    /// Runs a prepared certsync command and records what it printed.
    pub fn run(&self, command: &mut Command) -> Run {
        self.recorder.learn_keys(self.root());
        for inherited in ["CERTSYNC_AS", "CERTSYNC_STATE_DIR", "RENEWED_LINEAGE", "RENEWED_DOMAINS"] {
            if !command.get_envs().any(|(name, _)| name == inherited) {
                command.env_remove(inherited);
            }
        }
        let output = output(command);
        self.recorder.keep_output(&output.stdout, &output.stderr);
        Run {
            arguments: command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect(),
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// `apply --detailed-exitcode`.
    pub fn apply(&self) -> Run {
        self.certsync(&["apply", "--detailed-exitcode"])
    }

    /// `plan --detailed-exitcode`.
    pub fn plan(&self) -> Run {
        self.certsync(&["plan", "--detailed-exitcode"])
    }

    /// A second apply and a plan find nothing to do, and the state stays as it is, byte for byte.
    #[track_caller]
    pub fn is_settled(&self) {
        let before = self.state();
        self.plan().exits(super::UNCHANGED);
        self.apply().exits(super::UNCHANGED);
        assert!(before == self.state(), "a second apply changed state.json");
        self.plan().exits(super::UNCHANGED);
    }

    /// A script that runs `certsync ARGUMENTS` for another program, its output recorded as well.
    pub fn certsync_script(&self, relative: &str, arguments: &str) -> String {
        let out = self.recorder.folder().join(format!("{}.output", relative.replace('/', "-")));
        let text = format!(
            "#!/bin/sh\nexport CERTSYNC_SPEC=ROOT/certsync.yaml\n{} {arguments} --state-dir ROOT/state >>{out} 2>&1\nstatus=$?\n\
             echo \"status $status\" >>{out}\nexit $status\n",
            binary(),
            out = out.display()
        );
        self.script(relative, &text).to_str().expect("a path in UTF-8").to_owned()
    }

    /// What a script of [`certsync_script`](Sandbox::certsync_script) printed so far, for messages of failing tests.
    pub fn script_output(&self, relative: &str) -> String {
        fs::read_to_string(self.recorder.folder().join(format!("{}.output", relative.replace('/', "-")))).unwrap_or_default()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.recorder.learn_keys(self.root());
        self.recorder.keep_state(&self.path("state"));
        // What a hook was told is not kept by certsync, but it was written.
        self.recorder.keep_output(self.read("changes.json").as_bytes(), b"");
        if !std::thread::panicking() {
            let found = leaks::scan(&[self.recorder.folder().to_owned()]);
            assert!(found.leaks.is_empty(), "lines of private keys outside store and dest: {:?}", found.leaks);
        }
    }
}

/// The program under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_certsync")
}
