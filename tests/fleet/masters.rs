//! Masters without certsync, read with rsync: over ssh, with rrsync, from a daemon.

use crate::needs_a_fleet;
use crate::support::process::{eventually, free_port, listens};
use crate::support::{Fleet, Node, server};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// A host with certsync, and one with an sshd and rsync only that it may log in to.
struct Pair(Fleet);

/// How a spec says how to log in to the master.
fn by_ssh(pair: &Pair, path: &str) -> String {
    format!("{{ rsync: \"root@127.0.0.1:{path}\", port: {}, identity: /srv/id }}", pair.master().port)
}

impl Pair {
    fn new() -> Pair {
        let pair = Pair(Fleet::new(&[server("host", "user: root"), server("master", "upstream: host, user: root")], "certs: {}\n"));
        let (host, master) = (pair.host(), pair.master());
        let id = host.path("id");
        assert!(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&id).status().expect("it runs").success());
        pair.let_in("");
        let host_key = Command::new("ssh-keygen").arg("-yf").arg(master.path("host_key")).output().expect("it runs").stdout;
        let line = format!("[127.0.0.1]:{} {}", master.port, String::from_utf8_lossy(&host_key));
        host.write("home/root/.ssh/known_hosts", &line);
        pair
    }

    fn host(&self) -> &Node {
        self.0.node("host")
    }

    fn master(&self) -> &Node {
        self.0.node("master")
    }

    /// Lets the host's key in at the master, with these options before it.
    fn let_in(&self, options: &str) {
        let line = format!("{options} {}", self.host().read("id.pub"));
        self.master().write("home/root/.ssh/authorized_keys", line.trim_start());
    }

    /// A spec without servers.
    fn spec(&self, certs: &str) {
        self.host().write("certsync.yaml", &format!("version: 1\n{certs}"));
    }

    fn set(&self, source: &str) {
        self.spec(&format!("certs:\n  legacy: {{ source: {source}, install: /srv/live }}\n"));
    }

    /// certsync on the host, which stands alone.
    fn run(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().expect("it runs"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.host().inside("env");
        command.args(["-u", "CERTSYNC_AS", "/opt/certsync"]).args(args).stdin(Stdio::null());
        command
    }

    /// How often somebody has logged in at the master.
    fn logins(&self) -> usize {
        self.master().log().matches("Accepted publickey").count()
    }

    fn installed(&self, file: &str) -> String {
        fs::read_to_string(self.host().path(&format!("live/{file}"))).unwrap_or_default()
    }
}

struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    #[track_caller]
    fn ends(self, status: i32) -> String {
        assert_eq!(self.status, Some(status), "{}{}", self.out, self.err);
        format!("{}{}", self.out, self.err)
    }

    /// That it failed, and said this.
    #[track_caller]
    fn fails(self, words: &[&str]) {
        let all = self.ends(1);
        for word in words {
            assert!(all.contains(word), "{word:?} is not in\n{all}");
        }
    }
}

fn issue() -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["example.com".to_owned()]).expect("a name");
    (params.self_signed(&key).expect("it is signed").pem(), key.serialize_pem())
}

/// Gives a file a time of its own, later than those before and long past: what was written just now may be written again in the same second,
/// and is fetched once more.
fn age(path: &Path) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let ago = Duration::from_secs(1_000_000 - 10 * NEXT.fetch_add(1, Ordering::Relaxed));
    let file = fs::File::options().write(true).open(path).expect("the file");
    file.set_modified(SystemTime::now() - ago).expect("its time");
}

/// A plain directory with a certificate and its key.
fn renew(node: &Node, at: &str) -> String {
    let (certificate, key) = issue();
    node.write(&format!("{at}/cert.pem"), &certificate);
    node.write(&format!("{at}/privkey.pem"), &key);
    ["cert.pem", "privkey.pem"].iter().for_each(|name| age(&node.path(&format!("{at}/{name}"))));
    certificate
}

/// The number-th version as certbot lays it out.
fn certbot(node: &Node, number: u32) -> String {
    let (certificate, key) = issue();
    fs::create_dir_all(node.path("le/live/example.com")).expect("a folder");
    node.write("le/live/README", "not a set");
    for (name, text) in [("cert", &certificate), ("privkey", &key)] {
        node.write(&format!("le/archive/example.com/{name}{number}.pem"), text);
        age(&node.path(&format!("le/archive/example.com/{name}{number}.pem")));
        let link = node.path(&format!("le/live/example.com/{name}.pem"));
        let _ = fs::remove_file(&link);
        symlink(format!("../../archive/example.com/{name}{number}.pem"), link).expect("a link");
    }
    certificate
}

/// Every file below, with what tells whether it was written.
fn stamps(root: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    let mut out = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let data = fs::symlink_metadata(entry.path()).expect("it is there");
            out.insert(entry.path().display().to_string(), (data.ino(), data.ctime(), data.ctime_nsec()));
            if data.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    out
}

#[test]
fn certbots_lineages_are_read_over_ssh_renewed_and_left_alone_when_nothing_is_new() {
    needs_a_fleet!();
    let pair = Pair::new();
    let first = certbot(pair.master(), 1);
    pair.set(&by_ssh(&pair, "/srv/le/live/example.com"));
    pair.run(&["validate"]).ends(0);
    pair.run(&["apply", "--detailed-exitcode"]).ends(2);
    assert_eq!(pair.installed("cert.pem"), first);
    let mode = |path: &str| fs::symlink_metadata(pair.host().path(path)).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!((mode("state/rsync"), mode("state/rsync/legacy"), mode("state/rsync/legacy/files")), (0o700, 0o700, 0o700));
    assert_eq!(mode("state/rsync/legacy/files/privkey.pem"), 0o600);
    // The cache is written once more when times have passed.
    pair.run(&["apply", "--detailed-exitcode"]).ends(0);
    let (before, logins) = (stamps(&pair.host().path("state/rsync")), pair.logins());
    let state = stamps(&pair.host().path("state")).get(&pair.host().path("state/state.json").display().to_string()).copied();
    assert!(pair.run(&["apply", "--detailed-exitcode"]).ends(0).contains("nothing to do"));
    assert_eq!(pair.logins(), logins + 1, "one run of rsync shows that nothing has changed");
    assert_eq!(stamps(&pair.host().path("state/rsync")), before);
    assert_eq!(stamps(&pair.host().path("state")).get(&pair.host().path("state/state.json").display().to_string()).copied(), state);
    let second = certbot(pair.master(), 2);
    let logins = pair.logins();
    assert!(pair.run(&["apply", "--offline"]).status == Some(1), "only plan has it");
    assert!(pair.run(&["plan", "--offline"]).ends(0).contains("nothing to do"));
    assert_eq!(pair.logins(), logins, "nobody was asked");
    let before = stamps(&pair.host().path("state"));
    assert!(pair.run(&["plan"]).ends(0).contains("cert.pem"));
    assert_eq!(stamps(&pair.host().path("state")), before, "plan changes nothing");
    assert!(fs::read_dir("/run").expect("it is there").flatten().all(|entry| !entry.path().join("files/privkey.pem").exists()));
    pair.run(&["apply", "--detailed-exitcode"]).ends(2);
    assert_eq!(pair.installed("cert.pem"), second);
    // What the spec no longer has is kept no longer.
    pair.spec("certs: {}\n");
    pair.run(&["apply"]);
    assert!(!pair.host().path("state/rsync").exists());
}

#[test]
fn a_file_that_is_gone_at_the_master_stays_unless_it_is_pruned_and_an_older_certificate_is_refused() {
    needs_a_fleet!();
    let pair = Pair::new();
    renew(pair.master(), "ssl");
    pair.master().write("ssl/extra.txt", "more");
    let source = by_ssh(&pair, "/srv/ssl");
    pair.set(&source);
    pair.run(&["apply"]).ends(0);
    assert_eq!(pair.installed("extra.txt"), "more");
    fs::remove_file(pair.master().path("ssl/extra.txt")).expect("it was there");
    pair.run(&["apply"]).ends(0);
    assert_eq!(pair.installed("extra.txt"), "more", "carried");
    pair.spec(&format!("certs:\n  legacy: {{ source: {source}, install: {{ dest: /srv/live, prune: true }} }}\n"));
    pair.run(&["apply"]).ends(0);
    assert!(!pair.host().path("live/extra.txt").exists());
    let installed = pair.installed("cert.pem");
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["example.com".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(1971, 1, 1);
    pair.master().write("ssl/cert.pem", &params.self_signed(&key).expect("signed").pem());
    pair.master().write("ssl/privkey.pem", &key.serialize_pem());
    pair.run(&["apply"]).fails(&["refused", "legacy"]);
    assert_eq!(pair.installed("cert.pem"), installed);
}

#[test]
fn a_master_that_is_away_or_has_another_host_key_is_a_failure_and_drift_is_repaired() {
    needs_a_fleet!();
    let pair = Pair::new();
    let certificate = renew(pair.master(), "ssl");
    pair.set(&by_ssh(&pair, "/srv/ssl"));
    pair.run(&["apply"]).ends(0);
    let broken = |how: &[&str]| {
        fs::remove_file(pair.host().path("live/cert.pem")).expect("it was there");
        pair.run(&["apply"]).fails(how);
        assert_eq!(pair.installed("cert.pem"), certificate, "repaired from the store");
    };
    let known = pair.host().read("home/root/.ssh/known_hosts");
    pair.host().write("home/root/.ssh/known_hosts", "");
    broken(&["root@127.0.0.1:/srv/ssl: ", "host key is known", "ssh-keyscan -p", "write it into known_hosts"]);
    pair.host().write("home/root/.ssh/known_hosts", &known);
    pair.master().write("home/root/.ssh/authorized_keys", "");
    broken(&["root@127.0.0.1:/srv/ssl: ", "Permission denied (publickey", "authorized_keys of that account"]);
    pair.set(&format!("{{ rsync: \"root@127.0.0.1:/srv/ssl\", port: {} }}", free_port()));
    broken(&["root@127.0.0.1:/srv/ssl: ", "Connection refused"]);
    // A configuration run is not made red by a host far away.
    pair.run(&["apply", "--local"]).ends(0);
    pair.set(&format!("{{ rsync: \"root@127.0.0.1:/srv/ssl\", port: {}, identity: /srv/none }}", pair.master().port));
    broken(&["/srv/none", "no such file"]);
    pair.let_in("");
    pair.set(&by_ssh(&pair, "/srv/nowhere"));
    broken(&["root@127.0.0.1:/srv/nowhere: ", "/srv/nowhere", "No such file or directory"]);
}

#[test]
fn what_is_too_big_no_file_or_badly_named_is_refused_before_it_is_fetched() {
    needs_a_fleet!();
    let pair = Pair::new();
    let certificate = renew(pair.master(), "ssl");
    pair.set(&by_ssh(&pair, "/srv/ssl"));
    pair.run(&["apply"]).ends(0);
    let before = stamps(&pair.host().path("state/rsync"));
    let big = fs::File::create(pair.master().path("ssl/big.pem")).expect("a file");
    big.set_len(10 << 30).expect("a hole");
    pair.run(&["apply"]).fails(&["root@127.0.0.1:/srv/ssl/big.pem: 10737418240 bytes, more than limits.file allows"]);
    assert_eq!(stamps(&pair.host().path("state/rsync")), before);
    fs::remove_file(pair.master().path("ssl/big.pem")).expect("it was there");
    let fifo = pair.master().path("ssl/fifo.pem");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("it runs").success());
    pair.run(&["apply"]).fails(&["root@127.0.0.1:/srv/ssl/fifo.pem: not a regular file"]);
    fs::remove_file(fifo).expect("it was there");
    fs::write(pair.master().path("ssl/\u{1b}[2J.pem"), "x").expect("written");
    pair.run(&["apply"]).fails(&["holds a control character", "\\u{1b}[2J.pem"]);
    fs::remove_file(pair.master().path("ssl/\u{1b}[2J.pem")).expect("it was there");
    for number in 0..1001 {
        pair.master().write(&format!("ssl/many/{number}"), "");
    }
    pair.run(&["apply"]).fails(&["more files than limits.files allows (1000)"]);
    // What the set does not want is nothing to it.
    let source = by_ssh(&pair, "/srv/ssl");
    pair.spec(&format!("certs:\n  legacy: {{ source: {source}, only: [cert.pem, privkey.pem], install: /srv/live }}\n"));
    pair.run(&["apply", "--detailed-exitcode"]).ends(0);
    assert_eq!(pair.installed("cert.pem"), certificate);
}

#[test]
fn rrsync_serves_plain_directories_and_is_named_where_it_refuses_to_follow_links() {
    needs_a_fleet!();
    let pair = Pair::new();
    if pair.host().inside("rrsync").arg("--help").output().map_or(true, |output| !output.status.success()) {
        eprintln!("skipped: rrsync is not installed");
        return;
    }
    let certificate = renew(pair.master(), "ssl/plain");
    certbot(pair.master(), 1);
    pair.let_in("restrict,command=\"rrsync -ro /srv/ssl\"");
    pair.set(&by_ssh(&pair, "plain"));
    pair.run(&["apply"]).ends(0);
    assert_eq!(pair.installed("cert.pem"), certificate);
    let logins = pair.logins();
    pair.run(&["apply", "--detailed-exitcode"]).ends(0);
    assert_eq!(pair.logins(), logins + 1, "it is remembered that links are refused there");
    let certificate = renew(pair.master(), "ssl/plain");
    pair.run(&["apply"]).ends(0);
    assert_eq!(pair.installed("cert.pem"), certificate);
    pair.let_in("restrict,command=\"rrsync -ro /srv/le\"");
    pair.set(&by_ssh(&pair, "live/example.com"));
    pair.run(&["apply"]).fails(&["is a link, and the far end refuses to follow links (-L)", "certbot's live cannot be read through it"]);
    assert_eq!(pair.installed("cert.pem"), certificate);
    pair.let_in("");
    pair.set(&by_ssh(&pair, "/srv/le/live/example.com"));
    pair.run(&["apply"]).ends(0);
}

/// A module that holds what certbot's links lead to, by a daemon that changes its root and by one that does not.
const LOOSE: &str = "[le]\npath = /srv/le\n[loose]\npath = /srv/le\nuse chroot = no\n";

/// An rsync daemon in the master's namespace, ended when dropped.
struct Daemon(Child, u16);

impl Daemon {
    fn start(node: &Node, modules: &str) -> Daemon {
        let port = free_port();
        node.write("rsyncd.conf", &format!("port = {port}\naddress = 127.0.0.1\nuse chroot = yes\nuid = root\n{modules}"));
        let mut rsync = node.inside("rsync");
        rsync.args(["--daemon", "--no-detach", "--config=/srv/rsyncd.conf"]).stdin(Stdio::null());
        let daemon = Daemon(rsync.spawn().expect("it starts"), port);
        eventually("the daemon listens", || listens(port));
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_daemon_with_a_password_is_read_by_a_pattern() {
    needs_a_fleet!();
    let pair = Pair::new();
    let master = pair.master();
    let one = renew(master, "ssl/one.test");
    let two = renew(master, "ssl/two.test");
    master.write("ssl/README", "no set");
    master.write("secrets", "joe:the password\n");
    fs::set_permissions(master.path("secrets"), fs::Permissions::from_mode(0o600)).expect("its mode");
    let module = "auth users = joe\nsecrets file = /srv/secrets\n";
    let daemon = Daemon::start(master, &format!("[ssl]\npath = /srv/ssl\n{module}[live]\npath = /srv/le/live/example.com\n{LOOSE}"));
    let (host, port) = (pair.host(), daemon.1);
    host.write("password", "the password\n");
    let lineages = |more: &str| {
        let source = format!("{{ rsync: \"rsync://joe@127.0.0.1:{port}/ssl/*\", password_file: /srv/password }}");
        pair.spec(&format!("certs:\n  lineages: {{ source: {source}, install: \"/srv/live/{{name}}\" }}\n{more}"));
    };
    lineages("");
    fs::set_permissions(host.path("password"), fs::Permissions::from_mode(0o644)).expect("its mode");
    pair.run(&["apply"]).fails(&["/srv/password: others may read the password in it", "chmod 600 /srv/password"]);
    fs::set_permissions(host.path("password"), fs::Permissions::from_mode(0o600)).expect("its mode");
    pair.run(&["apply"]).ends(0);
    assert_eq!((pair.installed("one.test/cert.pem"), pair.installed("two.test/cert.pem")), (one.clone(), two));
    pair.run(&["apply", "--detailed-exitcode"]).ends(0);
    let before = stamps(&host.path("state/rsync/lineages/files/one.test"));
    let two = renew(master, "ssl/two.test");
    renew(master, "ssl/three.test");
    pair.run(&["plan"]).ends(0);
    pair.run(&["apply"]).ends(0);
    assert_eq!(pair.installed("two.test/cert.pem"), two);
    assert!(!pair.installed("three.test/cert.pem").is_empty());
    assert_eq!(stamps(&host.path("state/rsync/lineages/files/one.test")), before, "only what has changed was fetched");
    // One that cannot be had leaves the others alone.
    fs::remove_file(master.path("ssl/three.test/privkey.pem")).expect("it was there");
    fs::File::create(master.path("ssl/three.test/big")).expect("a file").set_len(2 << 20).expect("a hole");
    let two = renew(master, "ssl/two.test");
    pair.run(&["apply"]).fails(&["three.test/big: 2097152 bytes, more than limits.file allows"]);
    assert_eq!(pair.installed("two.test/cert.pem"), two);
    // One that is gone is an orphan; all of them gone is a failure.
    fs::remove_dir_all(master.path("ssl/three.test")).expect("it was there");
    assert!(pair.run(&["apply"]).ends(0).contains("three.test stays at /srv/live/three.test"));
    fs::rename(master.path("ssl"), master.path("away")).expect("moved");
    fs::create_dir(master.path("ssl")).expect("made");
    pair.run(&["apply"]).fails(&["/ssl/*: matches nothing any more"]);
    fs::remove_dir(master.path("ssl")).expect("removed");
    fs::rename(master.path("away"), master.path("ssl")).expect("moved back");
    pair.run(&["apply"]).ends(0);
    host.write("password", "another\n");
    pair.run(&["apply"]).fails(&["auth failed on module ssl", "password_file"]);
    assert_eq!(pair.installed("one.test/cert.pem"), one);
    let certificate = certbot(master, 1);
    pair.set(&format!("{{ rsync: \"rsync://127.0.0.1:{port}/live\" }}"));
    pair.run(&["apply"]).fails(&["what it leads to must lie in the module as well"]);
    for module in ["le", "loose"] {
        pair.set(&format!("{{ rsync: \"rsync://127.0.0.1:{port}/{module}/live/example.com\" }}"));
        pair.run(&["apply"]).ends(0);
        assert_eq!(pair.installed("cert.pem"), certificate, "{module}");
        pair.spec("certs: {}\n");
        fs::remove_dir_all(host.path("live")).expect("it was there");
        pair.run(&["apply"]);
    }
}

#[test]
fn a_set_that_does_not_come_whole_is_not_read() {
    needs_a_fleet!();
    let pair = Pair::new();
    let master = pair.master();
    let certificate = renew(master, "ssl");
    pair.let_in("");
    pair.set(&by_ssh(&pair, "/srv/ssl"));
    pair.run(&["apply"]).ends(0);
    let before = stamps(&pair.host().path("state/rsync/legacy/files"));
    renew(master, "ssl");
    // root reads everything: another user's login stands for a key that he may not read.
    let user = pair.host().read("id.pub");
    master.write("home/certsync/.ssh/authorized_keys", &user);
    fs::set_permissions(master.path("ssl/privkey.pem"), fs::Permissions::from_mode(0o600)).expect("its mode");
    pair.set(&by_ssh(&pair, "/srv/ssl").replace("root@", "certsync@"));
    pair.run(&["apply"]).fails(&["certsync@127.0.0.1:/srv/ssl: ", "privkey.pem", "Permission denied (13)"]);
    assert_eq!(stamps(&pair.host().path("state/rsync/legacy/files")), before);
    assert_eq!(pair.installed("cert.pem"), certificate);
    symlink("nowhere", master.path("ssl/dangling.pem")).expect("a link");
    pair.set(&by_ssh(&pair, "/srv/ssl"));
    pair.run(&["apply"]).fails(&["symlink has no referent", "dangling.pem", "a link there leads to nothing"]);
}

#[test]
fn a_run_that_is_killed_while_it_fetches_leaves_nothing_that_is_read() {
    needs_a_fleet!();
    let pair = Pair::new();
    let master = pair.master();
    let certificate = renew(master, "ssl");
    pair.set(&by_ssh(&pair, "/srv/ssl"));
    pair.run(&["apply"]).ends(0);
    let renewed = renew(master, "ssl");
    // rsync there begins its second run, which brings the files, when it is told to.
    let gate = "#!/bin/sh\ncase $SSH_ORIGINAL_COMMAND in *files-from*) while [ ! -e /srv/go ]; do sleep 0.05; done;; esac\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n";
    master.write("slow", gate);
    fs::set_permissions(master.path("slow"), fs::Permissions::from_mode(0o755)).expect("its mode");
    pair.let_in("command=\"/srv/slow\"");
    let folder = pair.host().path("state/rsync/legacy");
    let mut child = pair.command(&["apply"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let is_coming =
        || fs::read_dir(&folder).into_iter().flatten().flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(".new-"));
    eventually("it fetches", is_coming);
    // nsenter, env and certsync are one process after the other.
    child.kill().expect("it is killed");
    let _ = child.wait();
    let _ = pair.host().inside("pkill").args(["-KILL", "-x", "certsync"]).status();
    assert_eq!(pair.installed("cert.pem"), certificate);
    // Its rsync is still at work when the next run begins, which ends it.
    pair.let_in("");
    pair.run(&["apply"]).ends(0);
    assert_eq!(pair.installed("cert.pem"), renewed);
    let is_whole = || fs::read_dir(&folder).expect("it is there").count() == 2;
    assert!(is_whole(), "files and where they come from");
    master.write("go", "");
    pair.run(&["apply", "--detailed-exitcode"]).ends(0);
    assert!(is_whole(), "nobody else writes there");
}

#[test]
fn a_file_that_is_written_twice_within_a_second_is_fetched_again() {
    needs_a_fleet!();
    let pair = Pair::new();
    renew(pair.master(), "ssl");
    pair.set(&by_ssh(&pair, "/srv/ssl"));
    let at = SystemTime::now();
    for text in ["one", "two"] {
        pair.master().write("ssl/note.txt", text);
        let file = fs::File::options().write(true).open(pair.master().path("ssl/note.txt")).expect("the file");
        file.set_modified(at).expect("its time");
        pair.run(&["apply"]).ends(0);
        assert_eq!(pair.installed("note.txt"), text);
    }
}

#[test]
fn a_renewal_in_the_middle_of_a_fetch_is_fetched_as_a_whole() {
    needs_a_fleet!();
    let pair = Pair::new();
    let master = pair.master();
    renew(master, "ssl");
    pair.set(&by_ssh(&pair, "/srv/ssl"));
    pair.run(&["apply"]).ends(0);
    renew(master, "ssl");
    let renewed = renew(master, "next");
    // The certificate is there when the files are fetched, the key comes with the list after that.
    let steps = "case $SSH_ORIGINAL_COMMAND in *files-from*) [ -e /srv/next/cert.pem ] && mv /srv/next/cert.pem /srv/ssl;; \
                 *) [ -e /srv/next/cert.pem ] || { [ -e /srv/next/privkey.pem ] && mv /srv/next/privkey.pem /srv/ssl; };; esac\n";
    master.write("renewing", &format!("#!/bin/sh\n{steps}exec sh -c \"$SSH_ORIGINAL_COMMAND\"\n"));
    fs::set_permissions(master.path("renewing"), fs::Permissions::from_mode(0o755)).expect("its mode");
    pair.let_in("command=\"/srv/renewing\"");
    pair.run(&["apply"]).ends(0);
    assert_eq!(pair.installed("cert.pem"), renewed);
    assert!(!master.path("next/privkey.pem").exists());
}

#[test]
fn a_master_that_sends_more_than_it_lists_is_cut_off() {
    needs_a_fleet!();
    let pair = Pair::new();
    let master = pair.master();
    let certificate = renew(master, "ssl");
    pair.set(&by_ssh(&pair, "/srv/ssl"));
    pair.run(&["apply"]).ends(0);
    renew(master, "ssl");
    // It lists one directory and sends another, where the same name is a file without end.
    fs::create_dir(master.path("bad")).expect("made");
    fs::File::create(master.path("bad/cert.pem")).expect("a file").set_len(100 << 30).expect("a hole");
    fs::write(master.path("bad/privkey.pem"), "x").expect("written");
    let other = r#"$(echo "${SSH_ORIGINAL_COMMAND#rsync }" | sed s,/srv/ssl,/srv/bad,)"#;
    let gate = format!("case $SSH_ORIGINAL_COMMAND in *files-from*) exec rsync {other};; esac\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n");
    master.write("liar", &format!("#!/bin/sh\n{gate}"));
    fs::set_permissions(master.path("liar"), fs::Permissions::from_mode(0o755)).expect("its mode");
    pair.let_in("command=\"/srv/liar\"");
    pair.run(&["apply"]).fails(&["root@127.0.0.1:/srv/ssl: sends more than it has listed, and was cut off"]);
    assert_eq!(pair.installed("cert.pem"), certificate);
    assert_eq!(fs::read_dir(pair.host().path("state/rsync/legacy")).expect("it is there").count(), 2, "what came is gone");
}

#[test]
fn masters_that_stall_or_talk_nonsense_fail_in_time() {
    needs_a_fleet!();
    let certs = |source: &str| {
        format!("fleet: {{ deadline: 3s }}\ncerts:\n  legacy: {{ source: {source}, targets: [master], install: /srv/live }}\n")
    };
    let mut pair = Pair::new();
    let certificate = renew(pair.master(), "ssl");
    let source = by_ssh(&pair, "/srv/ssl");
    pair.0.set_certs(&certs(&source));
    pair.host().write("certsync.yaml", &pair.0.spec());
    pair.host().certsync(&["apply"]);
    assert!(pair.host().path("state/store/legacy").exists(), "its origin has it");
    for (command, words) in [
        ("sleep 600", "rsync was not through in time, and was ended"),
        ("yes Welcome", "protocol version mismatch"),
        ("false", "connection unexpectedly closed"),
        ("exec cat /dev/zero", "root@127.0.0.1:/srv/ssl: "),
    ] {
        pair.let_in(&format!("command=\"{command}\""));
        let said = pair.host().certsync(&["apply"]);
        assert_eq!(said.status, Some(1), "{said:?}");
        assert!(said.stderr.contains(words) || said.stdout.contains(words), "{command}: {said:?}");
    }
    assert!(!certificate.is_empty());
}

#[test]
fn only_the_origin_reads_the_master_and_the_others_get_it_from_there() {
    needs_a_fleet!();
    let servers =
        [server("mgmt", "user: root"), server("web1", "upstream: mgmt, user: root"), server("legacy", "upstream: mgmt, user: root")];
    let mut fleet = Fleet::new(&servers, "certs: {}\n");
    let pair_key = fleet.node("mgmt").path("id");
    assert!(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&pair_key).status().expect("it runs").success());
    let legacy = fleet.node("legacy");
    let own = legacy.read("home/root/.ssh/authorized_keys");
    let port = legacy.port;
    let certificate = renew(legacy, "ssl");
    let host_key = Command::new("ssh-keygen").arg("-yf").arg(legacy.path("host_key")).output().expect("it runs").stdout;
    let known = format!("[127.0.0.1]:{port} {}", String::from_utf8_lossy(&host_key));
    fleet.node("mgmt").write("home/root/.ssh/known_hosts", &known);
    fleet.set_certs(&format!(
        "certs:\n  example.com: {{ source: {{ rsync: \"root@127.0.0.1:/srv/ssl\", port: {port}, identity: /srv/id }}, targets: [web1], install: /srv/live }}\n"
    ));
    fleet.tell();
    let (mgmt, web1) = (fleet.node("mgmt"), fleet.node("web1"));
    fleet.node("legacy").write("home/root/.ssh/authorized_keys", &format!("{own}{}", mgmt.read("id.pub")));
    mgmt.certsync(&["apply", "--local"]).ok();
    web1.certsync(&["apply"]).ok();
    assert_eq!(fs::read_to_string(web1.path("live/cert.pem")).unwrap_or_default(), certificate);
    assert!(!web1.path("state/rsync").exists() && mgmt.path("state/rsync/example.com/files/cert.pem").exists());
    let spec = web1.certsync(&["spec"]).ok();
    assert!(spec.contains("rsync: root@127.0.0.1:/srv/ssl"), "{spec}");
    mgmt.forgets();
    web1.forgets();
}
