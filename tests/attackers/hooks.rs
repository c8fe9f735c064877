//! A hook of an unprivileged user, and what others can see of it.

use super::fortress::{Scene, controls};
use super::him::{HIM, as_him};
use super::host::is_root;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A scene with a hook of his that runs this line.
fn with_hook(line: &str) -> Scene {
    let scene = Scene::new("dest: ssl, hooks: [look]");
    let spec = scene.host.read("certsync.yaml");
    let hook = format!("hooks:\n  look: {{ user: '{HIM}', run: \"{line}\" }}\ncerts:\n");
    scene.host.spec(&spec.replace("certs:\n", &hook));
    scene
}

fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(30), "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The caller has an open file, groups, a umask and variables that are none of the hook's business.
#[test]
fn a_hook_of_his_gets_nothing_that_is_roots() {
    if !is_root() {
        return;
    }
    let look = "cd [DIR]/his; ls -l /proc/self/fd > fds; id -u > uid; id -G > groups; umask > umask; env > env; readlink /proc/$PPID/cwd > cwd; \
        cat /proc/$PPID/environ /proc/$PPID/maps [DIR]/fortress/set/privkey.pem $CERTSYNC_CHANGES.x >> told 2>/dev/null; \
        (echo x >> $CERTSYNC_CHANGES) 2>/dev/null && echo write > wrote; rm -f $CERTSYNC_CHANGES 2>/dev/null && echo rm >> wrote; \
        touch $(dirname $CERTSYNC_CHANGES)/x 2>/dev/null && echo make >> wrote; true";
    let scene = with_hook(look);
    let key = scene.host.at("fortress/set/privkey.pem").display().to_string();
    let mut with_key = Command::new("setpriv");
    scene.host.environment(&mut with_key);
    let line = format!("umask 000; exec 7<{key} 8<{key}; exec \"$0\" apply");
    with_key.args(["--groups", "0,4242,27", "--", "sh", "-c", &line, env!("CARGO_BIN_EXE_certsync")]).env("SECRET_OF_THE_CALLER", "x");
    let output = with_key.output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| scene.host.read(&format!("his/{name}"));
    assert_eq!((read("uid"), read("groups"), read("umask")), (format!("{HIM}\n"), format!("{HIM}\n"), "0022\n".into()));
    assert!(!read("fds").contains("privkey") && read("fds").lines().count() <= 6, "{}", read("fds"));
    assert!(!read("env").contains("SECRET") && !read("env").contains("CERTSYNC_SPEC"), "{}", read("env"));
    assert_eq!((read("cwd"), read("told")), (String::new(), String::new()), "he reads nothing of certsync itself, nor of root's");
    assert!(!scene.host.has("his/wrote"), "{}", read("wrote"));
}

#[test]
fn nobody_else_reads_or_plants_what_a_hook_is_told() {
    if !is_root() {
        return;
    }
    let scene = with_hook("cd [DIR]/his; echo $CERTSYNC_CHANGES > path.new; mv path.new path; while [ ! -e go ]; do sleep 0.02; done");
    let child = scene.host.command(&["apply"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs");
    wait_for(&scene.host.at("his/path"));
    let path = scene.host.read("his/path").trim().to_owned();
    let folder = Path::new(&path).parent().expect("a folder").to_owned();
    let reads = |uid: &str| {
        Command::new("setpriv").args(["--reuid", uid, "--regid", uid, "--clear-groups", "cat", &path]).output().expect("setpriv")
    };
    assert!(reads(&HIM.to_string()).status.success(), "he can read it himself");
    assert!(!reads("54321").status.success(), "and nobody else can");
    for line in ["ls \"$0\"", "touch \"$0/x\"", "touch \"$0/../certsync-x\"", "mv \"$0\" \"$0.x\""] {
        let output = as_him("sh").args(["-c", line]).arg(&folder).output().expect("sh");
        assert!(!output.status.success(), "{line} worked");
    }
    let meta = fs::metadata(folder.parent().expect("a parent")).expect("metadata");
    assert!(meta.uid() == 0 && meta.mode() & 0o022 == 0, "others can plant beside it: {:o}", meta.mode());
    scene.host.write("his/go", "");
    assert!(child.wait_with_output().expect("its end").status.success());
    assert!(!folder.exists());
}

#[test]
fn what_a_hook_prints_commands_no_terminal() {
    if !is_root() {
        return;
    }
    let scene = with_hook(r"printf '\\033]0;title\\007\\033[2J\\233c\\r\\010gone\\n'; exit 1");
    for args in [&["apply"][..], &["apply", "--format", "json"], &["apply", "-v", "--log-format", "json"], &["status"]] {
        let output = scene.run(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(args[0] == "status" || text.contains("gone"), "{args:?} shows it");
        assert_eq!(controls(&output), Vec::<char>::new(), "{args:?}: {text}");
    }
}
