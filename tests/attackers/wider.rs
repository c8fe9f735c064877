//! Another local user waits for a moment in which a file grants more than the spec says: there is none, by the trace and by trying.

use super::fortress::Scene;
use super::him::{Attack, HIM, Swapper, in_full};
use super::host::{Host, is_root};
use super::model::World;
use super::trace::{Call, read};
use std::process::Command;

const GROUP: u32 = 4321;
/// Even its owner may not write the key.
const RIGHTS: &str = "owner: 12345, group: 4321, dir_mode: dr-xr-x---, file_mode: -rw-r--r--, key_mode: -r--r-----";

/// One run to be traced: what the install says, and what happens before.
struct Case {
    name: &'static str,
    install: &'static str,
    begin: fn(&Scene),
}

fn nothing(_: &Scene) {}

fn installed(scene: &Scene) {
    assert_eq!(scene.run(&["apply"]).status.code(), Some(0));
}

fn renewed(scene: &Scene) {
    installed(scene);
    scene.host.renew(2);
}

fn setfacl(host: &Host, args: &[&str], path: &str) {
    assert!(Command::new("setfacl").args(args).arg(host.at(path)).status().expect("setfacl").success());
}

/// Whatever is made below `way` gives a stranger all, and belongs to the directory's group.
fn wide_parent(scene: &Scene) {
    std::fs::create_dir(scene.host.at("way")).expect("a directory");
    scene.host.mode("way", 0o2755);
    std::os::unix::fs::chown(scene.host.at("way"), None, Some(777)).expect("chown");
    setfacl(&scene.host, &["-d", "-m", "u:7777:rwx,g:777:rwx,o::rwx"], "way");
}

fn wide_dest(scene: &Scene) {
    scene.host.source("ssl", &super::pairs::Pair::new("site.test", 3));
    for name in ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"] {
        scene.host.mode(&format!("ssl/{name}"), 0o600);
    }
    scene.host.mode("ssl", 0o700);
    setfacl(&scene.host, &["-m", "u:7777:r-x,g::---", "-d", "-m", "u:7777:rwx,o::rwx"], "ssl");
}

fn drifted(scene: &Scene) {
    installed(scene);
    let at = format!("ssl/.certsync/site/{}", scene.host.current("ssl", "site"));
    scene.host.mode(&format!("{at}/privkey.pem"), 0o666);
    setfacl(&scene.host, &["-m", "u:7777:r-x", "-d", "-m", "u:7777:rwx"], "ssl/.certsync");
}

fn was(scene: &Scene, layout: &str) {
    let spec = scene.host.read("certsync.yaml");
    let other = if layout == "flat" {
        spec.replace("layout: generations", "layout: flat")
    } else {
        spec.replace("layout: flat", "layout: generations")
    };
    scene.host.spec(&other);
    installed(scene);
    scene.host.spec(&spec);
}

const CASES: [Case; 11] = [
    Case { name: "first install", install: "dest: ssl", begin: nothing },
    Case { name: "first install, flat", install: "dest: ssl, layout: flat", begin: nothing },
    Case { name: "first install below a default ACL", install: "dest: way/ssl", begin: wide_parent },
    Case { name: "first install below a default ACL, flat", install: "dest: way/on/ssl, layout: flat", begin: wide_parent },
    Case { name: "first install in his directory", install: "dest: his/ssl", begin: nothing },
    Case { name: "renewal", install: "dest: ssl", begin: renewed },
    Case { name: "renewal, flat", install: "dest: ssl, layout: flat", begin: renewed },
    Case { name: "adoption in a dest with ACLs", install: "dest: ssl", begin: wide_dest },
    Case { name: "drift", install: "dest: ssl", begin: drifted },
    Case { name: "from flat to generations", install: "dest: ssl, layout: generations", begin: |scene| was(scene, "flat") },
    Case { name: "from generations to flat", install: "dest: ssl, layout: flat", begin: |scene| was(scene, "generations") },
];

/// The host before a run, and what the run did.
fn traced(case: &Case) -> (Scene, World, Vec<Call>) {
    let scene = Scene::new(&format!("{}, {RIGHTS}", case.install));
    (case.begin)(&scene);
    let world = World::of(scene.host.dir());
    let trace = scene.host.dir().with_extension("trace");
    let mut command = Command::new("strace");
    scene.host.environment(&mut command);
    command.args(["-y", "-s", "1000000", "-o"]).arg(&trace).args([env!("CARGO_BIN_EXE_certsync"), "apply"]);
    let output = command.output().expect("strace");
    assert!(output.status.success(), "{}: {}", case.name, String::from_utf8_lossy(&output.stderr));
    let calls = read(&trace);
    let _ = std::fs::remove_file(trace);
    (scene, world, calls)
}

/// What the spec says of a path of the host.
fn wanted(scene: &Scene, path: &str) -> Option<(u32, u32, u32)> {
    let path = path.strip_prefix(scene.host.dir().to_str()?)?.trim_start_matches('/');
    if path.starts_with("state") {
        return Some((0, 0, 0o700));
    }
    let steps: Vec<&str> = path.split('/').collect();
    let at = steps.iter().position(|step| *step == "ssl")?;
    Some(match steps[at + 1..] {
        [] => (HIM, GROUP, 0o550),
        [".certsync"] | [".certsync", "site"] => (0, 0, 0o755),
        [".certsync", "owner"] => (0, 0, 0o644),
        [".certsync", "site", _] => (HIM, GROUP, 0o550),
        [.., name] if name.contains("privkey") => (HIM, GROUP, 0o440),
        _ => (HIM, GROUP, 0o644),
    })
}

/// The excesses of a run of these calls.
fn excesses(scene: &Scene, mut world: World, calls: &[Call]) -> (Vec<String>, usize) {
    for call in calls {
        world.take(call);
    }
    (world.excesses(&|path| wanted(scene, path)), world.made())
}

#[test]
fn no_file_grants_more_than_the_spec_says_at_any_moment() {
    if !is_root() {
        return;
    }
    for case in &CASES {
        let (scene, world, calls) = traced(case);
        let (excesses, made) = excesses(&scene, world, &calls);
        assert!(excesses.is_empty(), "{}:\n{}", case.name, excesses.join("\n"));
        assert!(made > 0, "{}: {made} made, which cannot be", case.name);
    }
    println!("modes: {} runs traced, all held", CASES.len());
}

/// A way to spoil a trace; whether it found its place.
type Mutant = (&'static str, fn(&mut Vec<Call>) -> bool);

fn change(calls: &mut [Call], name: &str, holds: &str, from: &str, to: &str) -> bool {
    let here =
        |call: &&mut Call| call.name == name && call.args.iter().any(|arg| arg.contains(holds)) && call.args.iter().any(|arg| arg == from);
    let mut found = false;
    for call in calls.iter_mut().filter(here) {
        call.args.iter_mut().filter(|arg| *arg == from).for_each(|arg| to.clone_into(arg));
        found = true;
    }
    found
}

fn exchange_order(calls: &mut [Call], first: &str, then: &str, holds: &str) -> bool {
    let at = |name: &str| calls.iter().rposition(|call| call.name == name && call.path_of(0).is_some_and(|path| path.contains(holds)));
    let (Some(one), Some(two)) = (at(first), at(then)) else { return false };
    calls.swap(one, two);
    true
}

#[test]
fn a_trace_that_grants_more_for_a_moment_is_told() {
    if !is_root() {
        return;
    }
    let below = &CASES[2];
    let mutants: [(&Case, Mutant); 6] = [
        (&CASES[1], ("a file is made for all", |calls| change(calls, "openat", ".certsync/site>", "0600", "0644"))),
        (&CASES[0], ("a directory is made for all", |calls| change(calls, "mkdirat", ".certsync/site", "0700", "0755"))),
        (&CASES[0], ("a key gets the wrong mode", |calls| change(calls, "fchmod", "privkey.pem", "0440", "0444"))),
        (&CASES[1], ("a key gets its mode before its owner", |calls| exchange_order(calls, "fchown", "fchmod", ".certsync/site/.new-"))),
        (
            below,
            ("an inherited ACL stays", |calls| {
                let before = calls.len();
                calls.retain(|call| !(call.name == "fremovexattr" && call.args[1].contains("access")));
                calls.len() < before
            }),
        ),
        (
            &CASES[7],
            ("a dest is opened before it is closed", |calls| {
                let Some(at) = calls.iter().position(|call| call.name == "fsetxattr") else { return false };
                let mut wide = calls[at].clone();
                wide.name = "fchmod".into();
                wide.args = vec![wide.args[0].clone(), "0777".into()];
                calls.insert(at, wide);
                true
            }),
        ),
    ];
    for (case, (name, spoil)) in mutants {
        let (scene, world, mut calls) = traced(case);
        assert!(spoil(&mut calls), "{name}: nothing to spoil");
        let (excesses, _) = excesses(&scene, world, &calls);
        assert!(!excesses.is_empty(), "{name} was not told");
    }
}

#[test]
fn a_reader_who_tries_all_the_time_gets_no_key() {
    if !is_root() {
        return;
    }
    for (install, begin) in
        [("dest: way/ssl", wide_parent as fn(&Scene)), ("dest: way/on/ssl, layout: flat", wide_parent), ("dest: ssl", wide_dest)]
    {
        let scene = Scene::new(&format!("{install}, {}", RIGHTS.replace("12345", "54321").replace("dr-xr-x---", "drwxr-xr-x")));
        begin(&scene);
        scene.host.mode("live", 0o700);
        let reader = Swapper::start(&Attack::Read(scene.host.dir().to_owned()));
        for number in 4..if in_full() { 24 } else { 8 } {
            scene.host.renew(number);
            scene.run_slowly(200, &["apply"]);
        }
        let got = reader.end();
        assert!(got.contains("cert.pem") && !got.contains("privkey.pem"), "{install}: {got}");
    }
}
