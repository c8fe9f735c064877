//! What doing nothing costs, in system calls, since time is no test; and that no renewal is missed for its cheapness.

use super::host::{Host, is_root, there};
use super::pairs::Pair;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Every call that changes a file, a directory, or what is known of them.
const CHANGES: &str = "write,pwrite64,writev,pwritev,pwritev2,truncate,ftruncate,fallocate,sendfile,copy_file_range,splice,\
    creat,mknod,mknodat,mkdir,mkdirat,symlink,symlinkat,link,linkat,rename,renameat,renameat2,unlink,unlinkat,rmdir,\
    chmod,fchmod,fchmodat,fchmodat2,chown,lchown,fchown,fchownat,utime,utimes,futimesat,utimensat,\
    setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,fremovexattr,fsync,fdatasync,sync,syncfs,sync_file_range";
/// Every call that brings bytes of a file into the process.
const READS: &str = "read,pread64,readv,preadv,preadv2,mmap,sendfile,copy_file_range,splice";
const OPENS: &str = "open,openat,openat2,creat";

const LINEAGES: &str = "\
version: 1
hooks:
  log: { run: \"echo ran >> [DIR]/hooks.log\" }
certs:
  lineages:
    source: letsencrypt/live/*
    install: { dest: \"ssl/{name}\", hooks: [log] % }
";

/// A host with this many lineages of certbot through one pattern set, installed, its cache warm.
fn lineages(count: usize, rest: &str) -> Host {
    let host = uninstalled(count, &LINEAGES.replace('%', rest));
    host.apply().has_status(2);
    settled(host)
}

/// A host with this many lineages of certbot, and this spec.
fn uninstalled(count: usize, spec: &str) -> Host {
    let host = Host::new();
    host.spec(spec);
    let pair = Pair::new("site.test", 1);
    for number in 0..count {
        let live = format!("letsencrypt/live/n{number:03}");
        fs::create_dir_all(host.at(&live)).expect("a folder");
        for (file, text) in pair.files() {
            let kept = format!("archive/n{number:03}/{}", file.replace(".pem", "1.pem"));
            host.write(&format!("letsencrypt/{kept}"), text);
            symlink(format!("../../{kept}"), host.at(&format!("{live}/{file}"))).expect("a link");
        }
    }
    host
}

/// Content that was read within the clock tick of its change is read again: here until that is over.
fn settled(host: Host) -> Host {
    let cache = || fs::metadata(host.at("state/cache")).map(|metadata| metadata.ino()).expect("a cache");
    for _ in 0..50 {
        let before = cache();
        host.apply().has_status(0);
        if cache() == before {
            return host;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the cache is written again and again");
}

#[test]
fn a_second_apply_reads_no_content_and_writes_nothing_but_its_times() {
    if !there("strace") || !is_root() {
        return;
    }
    for layout in ["generations", "flat"] {
        let rest = format!("layout: {layout}");
        for host in [settled(Host::installed(&rest).0), lineages(3, &format!(", {rest}"))] {
            let is_content = |line: &String| line.contains(".pem") || line.contains("/store/");
            let read: Vec<String> = host.traced(READS, &["apply", "-q"]).into_iter().filter(is_content).collect();
            assert_eq!(read, [""; 0], "{layout}");
            let opened = host.traced(OPENS, &["apply", "-q"]);
            let contents: Vec<&String> = opened.iter().filter(|line| is_content(line) && !line.contains("O_PATH")).collect();
            assert!(contents.is_empty(), "{layout}: a stat for each file and no more: {contents:#?}");
            let writable = |line: &&String| ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|how| line.contains(how));
            let ours = |line: &String| [".lock\"", "\"last-run\"", "\"last-success\""].iter().any(|name| line.contains(name));
            let written: Vec<&String> = opened.iter().filter(writable).filter(|line| !ours(line)).collect();
            assert!(written.is_empty(), "{layout}: {written:#?}");
            let changes = host.traced(CHANGES, &["apply", "-q"]);
            let times = |line: &String| line.contains("utimensat(") && (line.contains("\"last-run\"") || line.contains("\"last-success\""));
            assert_eq!((changes.len(), changes.iter().all(times)), (2, true), "{changes:#?}");
            let changes = host.traced(CHANGES, &["plan", "-q"]);
            assert!(changes.is_empty(), "{layout}: {changes:#?}");
        }
    }
}

/// System calls on files, for each further set of four files at its source and four that are installed.
///
/// To be lowered with the cost, never raised without a reason: a bare walk that stats every entry of both sides needs 58 for `generations`, 23 of them stats.
const BUDGET: [(&str, usize); 2] = [("generations", 15), ("flat", 19)];

#[test]
fn each_further_set_with_nothing_to_do_costs_a_bounded_number_of_system_calls() {
    if !there("strace") || !is_root() {
        return;
    }
    for (layout, budget) in BUDGET {
        let [few, many] = [4, 24].map(|count| {
            let host = lineages(count, &format!(", layout: {layout}"));
            host.traced("%file,%desc", &["apply", "-q"]).iter().filter(|line| !line.contains(" resumed>")).count()
        });
        let each = (many - few) / 20;
        eprintln!("{layout}: {each} system calls for each set, at most {budget}");
        assert!(each <= budget, "{layout}: {each} for each set, at most {budget}");
    }
}

#[test]
fn a_dest_that_sets_share_is_not_listed_once_more_for_each_of_them() {
    if !there("strace") || !is_root() {
        return;
    }
    let spec = LINEAGES.replace("\"ssl/{name}\"", "ssl, files: { \"{name}/all.pem\": [fullchain.pem, privkey.pem] }").replace('%', "");
    let listings = |count| {
        let host = uninstalled(count, &spec);
        let listed = host.traced("getdents64", &["apply", "-q"]);
        listed.iter().filter(|line| line.contains("/ssl>") || line.contains("/ssl/.certsync>")).count()
    };
    let [few, many] = [3, 13].map(listings);
    assert!(few > 0);
    assert_eq!(few, many, "with each set there is more in it");
}

/// How a renewal comes about so that size and second of its files stay as they were.
#[derive(Debug, Clone, Copy)]
enum How {
    /// Written over in place, its time put back.
    InPlace,
    /// Another file renamed into its place, its time put back.
    Renamed,
    /// Written over in place within the same second.
    SameSecond,
}

#[test]
fn a_renewal_of_the_same_size_and_second_is_never_missed() {
    let (host, first) = Host::installed("");
    let beside = there("rsync");
    let rsync = |how: &str| {
        if beside {
            let done = Command::new("rsync").arg(how).args([host.at("live/"), host.at("copied")]).status().expect("rsync");
            assert!(done.success());
        }
    };
    rsync("-a");
    let mut missed = 0;
    for number in 2..=16 {
        let how = [How::InPlace, How::Renamed, How::SameSecond][usize::from(number) % 3];
        let pair = same_size(&first, number);
        for (name, text) in pair.files() {
            renew(&host.at(&format!("live/{name}")), &text, how);
        }
        rsync("-a");
        let has_missed = beside && pair.files().iter().any(|(name, text)| host.read(&format!("copied/{name}")) != *text);
        missed += usize::from(has_missed);
        rsync("-ac");
        host.plan().has_status(2).is("installed", "renewed");
        host.apply().has_status(2).is("installed", "renewed");
        host.shows("ssl", &pair);
        assert_eq!(host.hooks(), usize::from(number) - 1, "{how:?}: the hook of each");
    }
    if beside {
        eprintln!("15 renewals of the same size and second: rsync -a missed {missed}, certsync none");
    }
}

/// A renewal with files as long as those of `first`: signatures differ in length.
fn same_size(first: &Pair, number: u8) -> Pair {
    let sizes = |pair: &Pair| pair.files().map(|(_, text)| text.len());
    let mut tries = (0..1000).map(|_| Pair::new("site.test", number));
    tries.find(|pair| sizes(pair) == sizes(first)).expect("one of a thousand is as long")
}

fn renew(file: &Path, text: &str, how: How) {
    let before = fs::metadata(file).expect("metadata");
    let written = match how {
        How::Renamed => file.with_extension("new"),
        How::InPlace | How::SameSecond => file.to_owned(),
    };
    fs::write(&written, text).expect("it is written");
    let nanoseconds = match how {
        How::InPlace | How::Renamed => before.mtime_nsec(),
        How::SameSecond => (before.mtime_nsec() + 500_000_000) % 1_000_000_000,
    };
    let time: SystemTime = UNIX_EPOCH + Duration::new(before.mtime().unsigned_abs(), u32::try_from(nanoseconds).expect("below a second"));
    let open = File::options().write(true).open(&written).expect("it opens");
    open.set_times(FileTimes::new().set_modified(time)).expect("its time");
    if written != file {
        fs::rename(&written, file).expect("it is renamed");
    }
    let after = fs::metadata(file).expect("metadata");
    assert_eq!((after.len(), after.mtime()), (before.len(), before.mtime()), "the same size and second");
}
