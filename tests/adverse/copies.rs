//! Older material over newer, other file systems in the place of known ones, and what no stamp tells.

use super::host::Host;
use super::mounts::{Elsewhere, Mount, may_mount};
use super::pairs::Pair;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

#[track_caller]
fn run(program: &str, args: &[&str], dir: &Path) {
    let output = Command::new(program).args(args).current_dir(dir).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The source `live` in its first state is kept in `backup`; then a renewal is installed, of the same sizes and times.
fn renewed(elsewhere: &Elsewhere, second: &Pair, serial: &str) -> (Host, Pair) {
    let host = elsewhere.host();
    host.spec_one("");
    let first = Pair::new("site.test", 1);
    let write = |pair: &Pair, serial: &str| {
        host.source("live", pair);
        host.write("live/serial", serial);
        run("find", &["live", "-exec", "touch", "-d", "2026-01-01 12:00:00", "{}", "+"], host.dir());
    };
    write(&first, "old backup");
    host.apply().has_status(2);
    run("cp", &["-a", "live", "backup"], host.dir());
    write(second, serial);
    host.apply().has_status(2);
    host.quiet();
    host.forget_hooks();
    (host, first)
}

const RESTORES: [(&str, &[&str]); 4] = [
    ("cp", &["-a", "backup/.", "live/"]),
    ("rsync", &["-a", "--ignore-times", "backup/", "live/"]),
    ("rsync", &["-a", "--inplace", "--ignore-times", "backup/", "live/"]),
    ("sh", &["-c", "mv live live.newer && mv backup live"]),
];

#[test]
fn a_restored_backup_of_the_source_is_seen() {
    if !may_mount() {
        return;
    }
    let elsewhere = Elsewhere::new(|at| Mount::image(at, "ext3", &["-q", "-F", "-I", "256"]));
    for (program, args) in RESTORES {
        // The certificate stays, another file of the set is the older one.
        let same = Pair::new("site.test", 1);
        let (host, _) = renewed(&elsewhere, &same, "new serial");
        fs::copy(host.at("live/privkey.pem"), host.at("backup/privkey.pem")).expect("a copy");
        for name in ["cert.pem", "chain.pem", "fullchain.pem"] {
            fs::copy(host.at(&format!("live/{name}")), host.at(&format!("backup/{name}"))).expect("a copy");
        }
        run("find", &["backup", "-exec", "touch", "-d", "2026-01-01 12:00:00", "{}", "+"], host.dir());
        run(program, args, host.dir());
        host.planned_and_applied("installed", "renewed");
        assert_eq!((host.read("ssl/serial").as_str(), host.hooks()), ("old backup", 1), "{program} {args:?}");
        host.shows("ssl", &same);
        // The certificate itself is older: seen, and refused.
        let newer = Pair::new("site.test", 2);
        let (host, _) = renewed(&elsewhere, &newer, "new serial");
        run(program, args, host.dir());
        let run = host.apply().has_status(4);
        run.is("refused", "-");
        run.complains("is older than the one last accepted").complains("hint: ");
        host.shows("ssl", &newer);
    }
}

#[test]
fn an_old_copy_moved_into_the_place_of_a_dest_is_seen() {
    if !may_mount() {
        return;
    }
    let elsewhere = Elsewhere::new(|at| Mount::image(at, "ext3", &["-q", "-F", "-I", "256"]));
    for (program, args) in [
        ("rsync", &["-a", "--delete", "--ignore-times", "saved/", "ssl/"][..]),
        ("sh", &["-c", "mv ssl ssl.newer && mv saved ssl"]),
        ("sh", &["-c", "mv ssl/.certsync ssl.newer && mv saved/.certsync ssl/"]),
    ] {
        let newer = Pair::new("site.test", 2);
        let host = elsewhere.host();
        host.spec_one("");
        host.source("live", &Pair::new("site.test", 1));
        host.apply().has_status(2);
        run("cp", &["-a", "ssl", "saved"], host.dir());
        host.source("live", &newer);
        host.apply().has_status(2);
        host.quiet();
        run(program, args, host.dir());
        assert_eq!(host.plan().status, 2, "{program} {args:?}");
        host.apply().has_status(2);
        host.quiet();
        host.shows("ssl", &newer);
    }
}

#[test]
fn another_file_system_mounted_in_the_place_of_a_dest_or_a_source_is_seen() {
    if !may_mount() {
        return;
    }
    let elsewhere = Elsewhere::new(|at| Mount::tmpfs(at, "size=64m"));
    for place in ["ssl", "live"] {
        let host = elsewhere.host();
        host.spec_one("");
        let (first, second) = (Pair::new("site.test", 1), Pair::new("site.test", 2));
        host.source("live", &first);
        host.apply().has_status(2);
        host.quiet();
        // The same names, sizes, times and, made in the same order on an empty tmpfs, mostly the same inode numbers.
        let other = Mount::tmpfs(&host.at("other"), "size=1m,mode=755");
        run("cp", &["-a", &format!("{place}/."), "other/"], host.dir());
        let newer = if place == "live" { &second } else { &first };
        host.source("live", &first);
        if place == "live" {
            host.source("other", &second);
        } else {
            host.write("other/cert.pem", "drift");
        }
        let bind = Mount::bind(other.at(), &host.at(place));
        assert_eq!(host.plan().status, 2, "{place}");
        host.apply().has_status(2);
        host.quiet();
        host.shows("ssl", newer);
        assert!(host.has("ssl/.certsync"));
        // And away again: the dest below is as old as it was, the source too old to go back to.
        drop(bind);
        if place == "live" {
            host.apply().has_status(4).complains("is older than the one last accepted");
            host.shows("ssl", newer);
        } else {
            assert_ne!(host.apply().status, 4);
            host.quiet();
            host.shows("ssl", &first);
        }
    }
}

/// One file system after the other under the same device number, files under the same inode numbers.
#[test]
fn a_new_file_system_under_the_number_of_the_old_one_is_seen() {
    if !may_mount() {
        return;
    }
    let elsewhere = Elsewhere::new(|at| Mount::tmpfs(at, "size=64m"));
    let host = elsewhere.host();
    host.spec_one("");
    let pair = Pair::new("site.test", 1);
    let mut numbers = std::collections::BTreeSet::new();
    for round in 0..20 {
        let serial = format!("serial {round:03}");
        let mount = Mount::tmpfs(&host.at("live"), "size=1m,mode=755");
        host.source("live", &pair);
        host.write("live/serial", &serial);
        run("find", &["live", "-exec", "touch", "-d", "2026-01-01 12:00:00", "{}", "+"], host.dir());
        let stat = fs::metadata(host.at("live/serial")).expect("metadata");
        numbers.insert((stat.dev(), stat.ino()));
        host.apply().has_status(2);
        assert_eq!(host.read("ssl/serial"), serial);
        host.apply().has_status(0);
        drop(mount);
        host.apply().has_status(4).complains("no file of this set");
        assert_eq!(host.read("ssl/serial"), serial, "a source that is not mounted removes nothing");
    }
    assert!(numbers.len() < 20, "some were the same: {numbers:?}");
}

/// The image of a disk with some bytes changed: every inode number and every stamp is the same, the device alone is another.
#[test]
fn a_copy_of_a_disk_with_other_bytes_is_seen() {
    if !may_mount() {
        return;
    }
    let (was, is) = (b"original serial", b"replaced serial");
    for place in ["live", "ssl"] {
        let elsewhere = Elsewhere::new(|at| Mount::tmpfs(at, "size=512m"));
        let host = elsewhere.host();
        host.spec_one("");
        let disk = Mount::image(&host.at(place), "ext3", &["-q", "-F", "-I", "256"]);
        host.mode(place, 0o755);
        host.source("live", &Pair::new("site.test", 1));
        host.write("live/serial", was);
        if place == "live" {
            host.remove("live/lost+found");
        }
        host.apply().has_status(2);
        drop(disk);
        let mut bytes = fs::read(host.at(&format!("{place}.img"))).expect("the image");
        for at in 0..bytes.len() - was.len() {
            if bytes[at] == was[0] && bytes[at..].starts_with(was) {
                bytes[at..at + is.len()].copy_from_slice(is);
            }
        }
        fs::write(host.at("other.img"), bytes).expect("another image");
        let one = Mount::of_image(&host.at(&format!("{place}.img")), &host.at("one"));
        let other = Mount::of_image(&host.at("other.img"), &host.at("other"));
        let stamps = |at: &Path| fs::metadata(at).map(|m| (m.dev(), m.ino())).expect("metadata");
        assert_eq!(stamps(one.at()).1, stamps(other.at()).1);
        assert_ne!(stamps(one.at()).0, stamps(other.at()).0);
        let shown = Mount::bind(one.at(), &host.at(place));
        host.apply();
        host.quiet();
        drop(shown);
        let _shown = Mount::bind(other.at(), &host.at(place));
        assert_eq!(host.plan().status, 2, "{place}");
        host.apply().has_status(2);
        host.quiet();
        assert_eq!(host.read("ssl/serial"), host.read("live/serial"), "{place}");
    }
}

/// Maps a file of the current generation, writes once, so that the page stays writable, and again when told to.
const WRITER: &str = "\
import mmap, sys
f = open(sys.argv[1], 'r+b')
m = mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
m[0] = m[0]
print('ready', flush=True)
sys.stdin.readline()
m[0] = ord('X')
print('written', flush=True)
sys.stdin.readline()
";

/// What docs/layouts.md says of a write through mmap(2).
#[test]
fn a_write_through_a_mapping_moves_no_stamp_and_only_verify_content_sees_it() {
    if !may_mount() || !super::host::there("python3") {
        return;
    }
    let elsewhere = Elsewhere::new(|at| Mount::tmpfs(at, "size=64m"));
    for file in ["ssl/chain.pem", "live/chain.pem"] {
        let host = elsewhere.host();
        host.spec_one("");
        let pair = Pair::new("site.test", 1);
        host.source("live", &pair);
        host.apply().has_status(2);
        let mut writer = Command::new("python3")
            .args(["-c", WRITER])
            .arg(host.at(file))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let (mut stdin, mut lines) = (writer.stdin.take().expect("stdin"), BufReader::new(writer.stdout.take().expect("stdout")).lines());
        let mut says = |word: &str| assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some(word));
        says("ready");
        host.quiet();
        let stamps = |host: &Host| fs::metadata(host.at(file)).map(|m| (m.ino(), m.size(), m.mtime_nsec(), m.ctime(), m.ctime_nsec())).ok();
        let before = stamps(&host);
        stdin.write_all(b"\n").expect("a word to it");
        says("written");
        assert!(host.read(file).starts_with('X'), "{file} has changed");
        assert_eq!(stamps(&host), before, "{file}: no stamp has moved");
        host.quiet();
        assert_ne!(host.json(&["plan", "--verify-content"]).status, 0, "{file}");
        let run = host.json(&["apply", "--verify-content"]);
        if file.starts_with("ssl") {
            run.has_status(2).is("repaired", "drift");
            host.shows("ssl", &pair);
        } else {
            // A chain that is no certificate any more is carried as what it is, or refused: either way it was seen.
            assert_ne!(run.status, 0, "{:#}", run.json);
        }
        drop(stdin);
        let _ = writer.wait();
    }
}
