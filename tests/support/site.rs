//! A small host: a spec, sources with real certificates, places to put them, and a log that hooks write.
//!
//! Below [`Site::dir`]: `src/SET/` are sources, `log` is what hooks wrote (`echo word >> [DIR]/log` in the spec),
//! `state` is the state directory.

use super::{Test, leaks};
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

/// A self-signed certificate and its key, PEM.
#[derive(Clone)]
pub struct Issued {
    pub chain: String,
    pub key: String,
    der: Vec<u8>,
    public: Vec<u8>,
}

/// What a certificate is to be.
pub struct Wanted<'a> {
    pub names: &'a [&'a str],
    /// Days from now to the beginning of its validity, negative for the past.
    pub from: i64,
    /// Days from now to its end.
    pub to: i64,
}

/// A certificate for `names` that began `age` days ago and is valid for 60 more.
pub fn issue(names: &[&str], age: i64) -> Issued {
    issue_with(&Wanted { names, from: -age, to: 60 })
}

pub fn issue_with(wanted: &Wanted<'_>) -> Issued {
    let key = KeyPair::generate().expect("a key is made");
    certify(wanted, &key)
}

/// A certificate for a key that is there already, with which `of` was issued.
pub fn issue_again(wanted: &Wanted<'_>, of: &Issued) -> Issued {
    certify(wanted, &KeyPair::from_pem(&of.key).expect("a key is read"))
}

fn certify(wanted: &Wanted<'_>, key: &KeyPair) -> Issued {
    let names: Vec<String> = wanted.names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names are right");
    params.distinguished_name.push(DnType::CommonName, wanted.names[0]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let at = |days: i64| {
        let seconds = i64::try_from(now.as_secs()).expect("a time") + days * 86_400;
        date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).expect("after 1970"))
    };
    params.not_before = at(wanted.from);
    // An hour more, so that the number of days left does not change while a test runs.
    params.not_after = at(wanted.to) + Duration::from_secs(3600);
    let certificate = params.self_signed(key).expect("it is signed");
    Issued {
        chain: certificate.pem(),
        key: key.serialize_pem(),
        der: certificate.der().to_vec(),
        public: rcgen::PublicKeyData::subject_public_key_info(key),
    }
}

impl Issued {
    /// The certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// `SHA256:…` of the public key, as `revoked_keys` takes it.
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest, Sha256};
        let hash: String = Sha256::digest(&self.public).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("SHA256:{hash}")
    }
}

/// A small host.
pub struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    /// With this spec; `[DIR]` in it is replaced.
    pub fn new(spec: &str) -> Site {
        let dir = tempfile::Builder::new().prefix("certsync-test-").tempdir().expect("a temporary directory");
        // Hooks of other users write their log here.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("its mode is set");
        let site = Site { dir };
        site.spec(spec);
        site
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir().join(path)
    }

    /// Replaces the spec.
    pub fn spec(&self, text: &str) {
        fs::write(self.path("certsync.yaml"), text.replace("[DIR]", &self.dir().display().to_string())).expect("a spec is written");
    }

    /// Changes the spec.
    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("certsync.yaml")).expect("a spec is read");
        assert!(text.contains(from), "{from:?} is not in the spec");
        self.spec(&text.replace(from, to));
    }

    /// Puts a certificate into the source `src/SET`, as a renewal does.
    pub fn source(&self, set: &str, issued: &Issued) {
        self.write(&format!("src/{set}/fullchain.pem"), &issued.chain);
        self.write(&format!("src/{set}/privkey.pem"), &issued.key);
    }

    pub fn write(&self, path: &str, text: &str) {
        let file = self.path(path);
        fs::create_dir_all(file.parent().expect("a file has a parent")).expect("a directory is made");
        fs::write(file, text).expect("a file is written");
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn remove(&self, path: &str) {
        let path = self.path(path);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Whether something, even a dangling link, is there.
    pub fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// Whether this certificate, with its key, is what a reader of `dest` finds.
    pub fn shows(&self, dest: &str, issued: &Issued) -> bool {
        let read = |name: &str| fs::read_to_string(self.path(dest).join(name)).unwrap_or_default();
        read("fullchain.pem") == issued.chain && read("privkey.pem") == issued.key
    }

    /// The words that hooks wrote since the last call.
    pub fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        text.lines().map(str::to_owned).collect()
    }

    /// `state.json`.
    pub fn state(&self) -> Value {
        serde_json::from_str(&self.read("state/state.json")).expect("the state is JSON")
    }

    /// Calls the program; with `--format json` the answer is parsed.
    pub fn call(&self, args: &[&str]) -> Run {
        self.call_with(args, &[])
    }

    /// The same with variables of the environment; `[DIR]` in them is replaced.
    pub fn call_with(&self, args: &[&str], env: &[(&str, &str)]) -> Run {
        let output = self.command(args, env).output().expect("the program runs");
        super::leaks::note_run(self.dir(), &output.stdout, &output.stderr);
        Run::new(output, self.dir())
    }

    /// The same, not waited for.
    pub fn start(&self, args: &[&str], env: &[(&str, &str)]) -> Child {
        self.command(args, env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs")
    }

    /// What became of what was started.
    pub fn end(&self, child: Child) -> Run {
        Run::new(child.wait_with_output().expect("it ends"), self.dir())
    }

    fn command(&self, args: &[&str], env: &[(&str, &str)]) -> Command {
        let dir = self.dir().display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_certsync"));
        command.args(args.iter().map(|arg| arg.replace("[DIR]", &dir))).env_clear().current_dir(self.dir());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.dir());
        command.env("CERTSYNC_SPEC", self.path("certsync.yaml")).env("CERTSYNC_STATE_DIR", self.path("state"));
        command.envs(env.iter().map(|(name, value)| (name, value.replace("[DIR]", &dir))));
        command
    }

    /// `certsync apply --format json`, which must end with this status.
    #[track_caller]
    pub fn apply(&self, status: i32) -> Run {
        self.call(&["apply", "--format", "json"]).ends(status)
    }

    /// `certsync plan --format json`, which must end with this status.
    #[track_caller]
    pub fn plan(&self, status: i32) -> Run {
        self.call(&["plan", "--format", "json"]).ends(status)
    }

    /// A call whose answer is compared word by word.
    pub fn test(&self) -> Test {
        Test::inside(self.dir())
    }
}

/// What a call came to.
#[derive(Debug)]
pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub json: Value,
}

impl Run {
    fn new(output: std::process::Output, dir: &Path) -> Run {
        leaks::note_run(dir, &output.stdout, &output.stderr);
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&dir.display().to_string(), "[DIR]");
        let (stdout, stderr) = (shown(&output.stdout), shown(&output.stderr));
        let json = serde_json::from_str(&stdout).unwrap_or_default();
        Run { status: output.status.code(), stdout, stderr, json }
    }

    #[track_caller]
    pub fn ends(self, status: i32) -> Run {
        assert_eq!(self.status, Some(status), "exit status of:\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// stderr holds this.
    #[track_caller]
    pub fn says(self, text: &str) -> Run {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}:\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// The result of a set.
    #[track_caller]
    pub fn set(&self, name: &str) -> &str {
        self.find_set(name)["result"].as_str().unwrap_or_else(|| panic!("no set {name} in {}", self.stdout))
    }

    pub fn find_set(&self, name: &str) -> &Value {
        let sets = self.json["sets"].as_array().map(Vec::as_slice).unwrap_or_default();
        sets.iter().find(|set| set["name"] == name).unwrap_or(&Value::Null)
    }

    /// The result of the install of `set` at `dest`, relative to the directory.
    #[track_caller]
    pub fn install(&self, set: &str, dest: &str) -> &str {
        let dest = format!("[DIR]/{dest}");
        let installs = self.find_set(set)["installs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = installs.iter().find(|install| install["dest"] == dest.as_str());
        found.and_then(|install| install["result"].as_str()).unwrap_or_else(|| panic!("no {set} at {dest} in {}", self.stdout))
    }

    /// The hooks of the report, each `name[/set] phase result`.
    pub fn hooks(&self) -> Vec<String> {
        let hooks = self.json["hooks"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let line = |hook: &Value| {
            let set = hook["set"].as_str().map(|set| format!("/{set}")).unwrap_or_default();
            format!("{}{set} {} {}", text(&hook["name"]), text(&hook["phase"]), text(&hook["result"]))
        };
        hooks.iter().map(line).collect()
    }

    pub fn changed(&self) -> bool {
        self.json["changed"] == true
    }
}

/// Whether the tests run as root; says loudly what is left out otherwise.
pub fn is_root() -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}
