//! What does not belong there, at every step of every path, before a run: never a write, chown or chmod outside the `dest`, never a
//! byte of what only root may read, and a run that ends.

use super::fortress::{Held, Scene, held};
use super::him::{HIM, in_full};
use super::host::is_root;
use nix::mount::{MsFlags, mount, umount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// What is planted; root's hand plants it, as his could after `fs.protected_hardlinks` was turned off, and gives it to him.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    LinkToDirectory,
    LinkToKey,
    LinkWithDots,
    LinkThroughProc,
    HardLink,
    Fifo,
    Device,
    RootsDirectory,
    RootsEmptyDirectory,
    HisDirectory,
    RootsFile,
    Mount,
}

const KINDS: [Kind; 12] = [
    Kind::LinkToDirectory,
    Kind::LinkToKey,
    Kind::LinkWithDots,
    Kind::LinkThroughProc,
    Kind::HardLink,
    Kind::Fifo,
    Kind::Device,
    Kind::RootsDirectory,
    Kind::RootsEmptyDirectory,
    Kind::HisDirectory,
    Kind::RootsFile,
    Kind::Mount,
];

/// Where: relative to the host; `GEN` is the generation in place.
const STEPS: [&str; 15] = [
    "his/sub",
    "his/sub/ssl",
    "his/sub/ssl/.certsync",
    "his/sub/ssl/.certsync/owner",
    "his/sub/ssl/.certsync/site",
    "his/sub/ssl/.certsync/site/current",
    "his/sub/ssl/.certsync/site/.new-1-2-3",
    "his/sub/ssl/.certsync/site/GEN",
    "his/sub/ssl/.certsync/site/GEN/privkey.pem",
    "his/sub/ssl/.certsync/site/GEN/extra",
    "his/sub/ssl/privkey.pem",
    "his/sub/ssl/.new-1-2-3",
    "his/live",
    "his/live/privkey.pem",
    "state/store",
];

/// Before which run it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    First,
    Renewal,
    AfterALoss,
}

fn plant(scene: &Scene, kind: Kind, path: &Path) {
    if let Ok(meta) = fs::symlink_metadata(path) {
        if kind == Kind::Mount {
            let from = if meta.is_dir() || meta.is_symlink() && path.is_dir() { "fortress/set" } else { "fortress/set/privkey.pem" };
            mount(Some(&scene.host.at(from)), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("a mount");
            return;
        }
        // Out of the way, where nothing looks.
        fs::rename(path, scene.host.at("was")).expect("a rename");
    }
    let _ = fs::create_dir_all(path.parent().expect("a parent"));
    let fortress = |name: &str| scene.host.at("fortress").join(name);
    match kind {
        Kind::LinkToDirectory => symlink(fortress("set"), path).expect("a link"),
        Kind::LinkToKey => symlink(fortress("set/privkey.pem"), path).expect("a link"),
        Kind::LinkWithDots => {
            let up = path.strip_prefix(scene.host.dir()).expect("below the host").components().skip(1).map(|_| "../").collect::<String>();
            symlink(format!("{up}his/../fortress/private/../set"), path).expect("a link");
        }
        Kind::LinkThroughProc => symlink(format!("/proc/self/root{}", fortress("set").display()), path).expect("a link"),
        Kind::HardLink => fs::hard_link(fortress("set/privkey.pem"), path).expect("a link"),
        Kind::Fifo => nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o666)).expect("a FIFO"),
        Kind::Device => mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 5)).expect("a device"),
        Kind::RootsDirectory => fs::rename(scene.host.at("kept"), path).expect("a rename"),
        Kind::RootsEmptyDirectory => fs::rename(scene.host.at("fortress/empty"), path).expect("a rename"),
        Kind::RootsFile => fs::rename(scene.host.at("kept/privkey.pem"), path).expect("a rename"),
        Kind::HisDirectory => fs::create_dir(path).expect("a directory"),
        Kind::Mount => fs::create_dir(path)
            .and_then(|()| Ok(mount(Some(&fortress("set")), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?))
            .expect("a mount"),
    }
    if !matches!(kind, Kind::RootsDirectory | Kind::RootsEmptyDirectory | Kind::RootsFile | Kind::HardLink | Kind::Mount) {
        std::os::unix::fs::lchown(path, Some(HIM), Some(HIM)).expect("it is given to him");
    }
}

/// Whether this can be: his generation must be there to be planted in, a first install has none.
fn can_be(step: &str, kind: Kind, time: Time) -> bool {
    // What root mounts at the dest itself is the dest.
    // What it mounts at `current` is the generation's.
    if kind == Kind::Mount && (!step.starts_with("his/sub/ssl/") || step.ends_with("/current")) {
        return false;
    }
    let inside = step.contains("/.certsync/") || step == "state/store";
    match time {
        Time::First => !inside,
        Time::Renewal => true,
        // The state is lost: what is there is all there is to go by.
        Time::AfterALoss => step != "state/store" && !step.starts_with("his/live"),
    }
}

fn try_one(step: &str, kind: Kind, layout: &str, time: Time) {
    let when = format!("{kind:?} at {step}, {layout}, {time:?}");
    let scene = Scene::new(&format!("dest: his/sub/ssl, layout: {layout}"));
    fs::rename(scene.host.at("live"), scene.host.at("his/live")).expect("a rename");
    scene.give_all("his/live");
    let spec = scene.host.read("certsync.yaml").replace("source: live", "source: his/live");
    scene.host.spec(&spec);
    scene.keep("kept");
    if time != Time::First {
        assert_eq!(scene.run(&["apply"]).status.code(), Some(0), "{when}");
        scene.host.source("his/live", &super::pairs::Pair::new("site.test", 2));
    }
    let generation = if time == Time::First { String::new() } else { scene.host.current("his/sub/ssl", "site") };
    if time == Time::AfterALoss {
        scene.host.remove("state");
    }
    let mut path = scene.host.at(&step.replace("GEN", &generation));
    if kind == Kind::Mount {
        // A mount at a link is one at what it leads to.
        path = fs::canonicalize(&path).unwrap_or(path);
    }
    plant(&scene, kind, &path);
    let (fortress, kept): (Held, Held) = (scene.fortress(), held(&scene.host.at("kept")));
    let planted: Held = if matches!(kind, Kind::RootsDirectory | Kind::RootsFile) { held(&path) } else { Held::new() };
    let known: Held = held(scene.host.dir()).into_iter().filter(|(_, inode)| inode.is_roots() || kind == Kind::Mount).collect();
    let commands: [&[&str]; 5] =
        [&["plan"], &["apply"], &["status"], &["apply", "--verify-content", "--format", "json"], &["rollback", "site"]];
    let runs: Vec<_> = commands.iter().map(|args| scene.run(args)).collect();
    if kind == Kind::Mount {
        umount(&path).unwrap_or_else(|error| panic!("{when}: it was not mounted any more: {error}"));
    }
    if kind == Kind::HardLink {
        let bare = |held: Held| held.into_iter().map(|(number, inode)| (number, inode.without_names())).collect::<Held>();
        assert_eq!(bare(scene.fortress()), bare(fortress), "{when}");
    } else {
        scene.stands(&fortress, &when);
    }
    scene.survives(&kept, &when);
    // A file of root's that he put at a name that is certsync's own may be replaced there, as by himself; a directory is kept.
    if kind == Kind::RootsDirectory && !step.starts_with("his/sub/ssl/.certsync/site") {
        let at = path.strip_prefix(scene.host.dir()).expect("below the host").display().to_string();
        scene.survives_as(&at, &planted, &when);
    }
    scene.tells_nothing(&known, &runs, &when);
}

#[test]
fn what_is_planted_at_a_step_leads_certsync_nowhere() {
    if !is_root() {
        return;
    }
    // Its mounts are seen by nobody else.
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]).arg(std::env::current_exe().expect("this program"));
    let output = command.args(["--exact", "planted::every_thing_at_every_step", "--ignored", "--nocapture"]).output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("all held"), "{said}");
    println!("{}", said.lines().find(|line| line.contains("all held")).unwrap_or_default());
}

#[test]
#[ignore = "a part of the test above, which starts it in a mount namespace of its own"]
fn every_thing_at_every_step() {
    let every = if in_full() { 1 } else { 17 };
    let (mut number, mut tried) = (0, 0);
    for time in [Time::First, Time::Renewal, Time::AfterALoss] {
        for layout in ["generations", "flat"] {
            for step in STEPS {
                for kind in KINDS.into_iter().filter(|kind| can_be(step, *kind, time)) {
                    number += 1;
                    if number % every == 0 {
                        try_one(step, kind, layout, time);
                        tried += 1;
                    }
                }
            }
        }
    }
    println!("planted: {tried} of {number} tried, all held");
}
