//! Sources that are not as they should be: a clear error, and what is installed stays.

use super::host::Host;
use super::pairs::Pair;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Command;

/// Spoils the source of an installed set and expects this complaint; what is installed stays, and its drift is repaired.
#[track_caller]
fn spoiled(result: &str, complaint: &str, spoil: impl FnOnce(&Host)) {
    let (host, pair) = Host::installed("");
    spoil(&host);
    let plan = host.plan().has_status(1);
    plan.complains(complaint);
    assert_eq!(plan.json["sets"][0]["result"], result, "{:#}", plan.json);
    host.apply().has_status(4).complains(complaint);
    host.shows("ssl", &pair);
    host.mode("ssl/privkey.pem", 0o640);
    host.apply().has_status(6);
    assert_eq!((host.mode_of("ssl/privkey.pem").as_str(), host.hooks()), ("0600", 0));
    host.shows("ssl", &pair);
}

#[test]
fn a_missing_source_removes_nothing() {
    spoiled("failed", "live: no such directory", |host| host.remove("live"));
}

#[test]
fn a_source_without_a_file_of_the_set_removes_nothing() {
    spoiled("failed", "live: holds no file of this set", |host| {
        host.remove("live");
        host.write("live/README", "text");
    });
}

#[test]
fn a_fifo_in_a_source_is_named_and_keeps_nobody_waiting() {
    spoiled("failed", "live/fifo", |host| {
        assert!(Command::new("mkfifo").arg(host.at("live/fifo")).status().expect("mkfifo").success());
    });
}

#[test]
fn a_dangling_link_in_a_source_is_named() {
    spoiled("failed", "live/cert.pem", |host| {
        host.remove("live/cert.pem");
        symlink("../nowhere", host.at("live/cert.pem")).expect("a link");
    });
}

#[test]
fn a_file_over_the_limit_is_named() {
    spoiled("failed", "live/large.bin", |host| host.write("live/large.bin", vec![b'x'; (1 << 20) + 1]));
}

#[test]
fn a_sparse_file_of_a_tebibyte_is_named_and_not_read() {
    spoiled("failed", "live/large.bin", |host| {
        fs::File::create(host.at("live/large.bin")).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    });
}

#[test]
fn an_endless_device_behind_a_link_is_named_and_not_read() {
    for device in ["/dev/zero", "/dev/full", "/dev/tty"] {
        spoiled("failed", "live/extra.pem", |host| symlink(device, host.at("live/extra.pem")).expect("a link"));
    }
}

/// Tells another thread to stop when it is dropped.
struct Stop<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_is_read_to_its_limit_at_most() {
    let (host, pair) = Host::installed("");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::File::create(host.at("live/growing")).expect("a file");
            let mut size = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::io::Write::write_all(&mut file, &[b'x'; 512]).expect("a write");
                size += 512;
                if size > 3 << 20 {
                    size = 0;
                    file.set_len(0).expect("it is emptied");
                }
            }
        });
        // The writer ends whatever becomes of this thread.
        let _end = Stop(&stop);
        for _ in 0..10 {
            let run = host.apply();
            // Either it stood still for a moment (and perhaps for another), or one of these is said.
            let told = ["changes faster than it can be read", "larger than 1048576 bytes", "more than limits.file"];
            assert!([0, 2].contains(&run.status) || told.iter().any(|text| run.stderr.contains(text)), "{}: {}", run.status, run.stderr);
            host.shows("ssl", &pair);
        }
    });
    host.remove("live/growing");
    host.apply();
    host.quiet();
}

#[test]
fn a_set_over_the_limit_is_refused_with_its_size() {
    let (host, _) = Host::one("");
    host.spec("version: 1\nlimits: { set: 2KiB }\ncerts:\n  site: { source: live, install: ssl }\n");
    host.apply().has_status(4).complains("more bytes than limits.set allows (2048)").complains("hint: ");
    assert!(!host.has("ssl"));
}

#[test]
fn too_many_files_are_refused() {
    let (host, _) = Host::one("");
    host.spec("version: 1\nlimits: { files: 3 }\ncerts:\n  site: { source: live, install: ssl }\n");
    host.apply().has_status(4).complains("limits.files");
    assert!(!host.has("ssl"));
}

#[test]
fn names_that_are_no_text_are_refused_and_shown_escaped() {
    spoiled("refused", "bad\\xff", |host| {
        fs::write(host.at("live").join(OsStr::from_bytes(b"bad\xff.pem")), "x").expect("a file");
    });
    spoiled("refused", "bad\\nname", |host| host.write("live/bad\nname.pem", "x"));
    spoiled("refused", "bad\\u{1b}[31m", |host| host.write("live/bad\u{1b}[31m.pem", "x"));
}

#[test]
fn quotes_and_spaces_in_a_name_are_carried_as_they_are() {
    let (host, _) = Host::one("");
    let names = ["it's", "say \"hello\"", "$(reboot)", "a;b", "back\\slash", "müller.txt", "%s"];
    for name in names {
        host.write(&format!("live/{name}"), name);
    }
    let plan = String::from_utf8(host.command(&["plan"]).output().expect("it runs").stdout).expect("UTF-8");
    host.apply().has_status(2);
    host.quiet();
    for name in names {
        assert_eq!(host.read(&format!("ssl/{name}")), name);
        assert!(plan.contains(name), "{name} in {plan}");
    }
}

#[test]
fn a_source_that_cannot_be_read_is_named() {
    let (host, _) = Host::one("");
    if super::host::is_root() {
        // Read with the rights of the directory's owner.
        std::os::unix::fs::chown(host.at("live"), Some(4321), Some(4321)).expect("chown");
        host.mode("live/privkey.pem", 0o600);
    } else {
        host.mode("live/privkey.pem", 0o000);
    }
    host.mode(".", 0o711);
    host.apply().has_status(4).complains("live/privkey.pem").complains("hint: ");
    assert!(!host.has("ssl"));
}

#[test]
fn certbots_links_are_followed_and_a_renewal_moves_them() {
    let host = Host::new();
    host.spec_one("");
    for number in [1, 2] {
        let pair = Pair::new("site.test", number);
        for (name, text) in pair.files() {
            let real = name.replace(".pem", &format!("{number}.pem"));
            host.write(&format!("archive/{real}"), text);
            let _ = fs::create_dir(host.at("live"));
            let _ = fs::remove_file(host.at(&format!("live/{name}")));
            symlink(format!("../archive/{real}"), host.at(&format!("live/{name}"))).expect("a link");
        }
        host.write("live/README", "text");
        host.apply().has_status(2);
        host.shows("ssl", &pair);
        assert!(!host.has("ssl/README"));
        host.quiet();
    }
}

#[test]
fn what_dehydrateds_links_once_pointed_at_is_no_material() {
    let host = Host::new();
    host.spec_one("");
    for number in [1, 2] {
        let pair = Pair::new("site.test", number);
        for (name, text) in pair.files() {
            let real = name.replace(".pem", &format!("-170000000{number}.pem"));
            host.write(&format!("live/{real}"), text);
            let _ = fs::remove_file(host.at(&format!("live/{name}")));
            symlink(&real, host.at(&format!("live/{name}"))).expect("a link");
        }
        host.apply().has_status(2);
        host.shows("ssl", &pair);
        let names = fs::read_dir(host.at("ssl")).expect("a listing").count();
        assert_eq!(names, 5, "four files and .certsync");
        host.quiet();
    }
}

#[test]
fn a_source_that_changes_all_the_time_is_never_half_installed() {
    let (host, _) = Host::one("");
    host.spec(&super::host::ONE.replace(" % ", "").replace("    source: live\n", "    source: live\n    accept: [older]\n"));
    let pairs = [Pair::new("site.test", 1), Pair::new("site.test", 2)];
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for pair in pairs.iter().cycle() {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                for (name, text) in pair.files() {
                    host.write("next", text);
                    fs::rename(host.at("next"), host.at(&format!("live/{name}"))).expect("a rename");
                }
            }
        });
        let _end = Stop(&stop);
        let mut halves = 0;
        for _ in 0..10 {
            host.apply();
            if host.has("ssl/privkey.pem") {
                let (chain, key) = (host.read("ssl/fullchain.pem"), host.read("ssl/privkey.pem"));
                halves += u32::from(!pairs.iter().any(|pair| pair.fullchain() == chain && pair.key == key));
            }
        }
        assert_eq!(halves, 0, "half a pair");
    });
}

/// Plans again and again while `renew` is called every few milliseconds; none of them may find half a source.
#[track_caller]
fn never_found_half(host: &Host, renew: impl Fn(usize) + Sync) {
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                renew(number);
                std::thread::sleep(std::time::Duration::from_millis(40));
            }
        });
        let _end = Stop(&stop);
        let runs: Vec<_> = (0..30).map(|_| host.plan()).collect();
        for run in runs {
            assert_eq!(run.status, 2, "{}", run.stderr);
        }
    });
}

#[test]
fn a_source_directory_that_is_exchanged_and_removed_while_it_is_read_is_read_again() {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    let (host, _) = Host::one("");
    let pairs = [Pair::new("site.test", 1), Pair::new("site.test", 2)];
    never_found_half(&host, |number| {
        host.source("new", &pairs[number % 2]);
        renameat2(AT_FDCWD, &host.at("new"), AT_FDCWD, &host.at("live"), RenameFlags::RENAME_EXCHANGE).expect("exchanged");
        for name in ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"] {
            host.remove(&format!("new/{name}"));
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        host.remove("new");
    });
}
