//! What the runbooks of the documentation promise and their own tests, with stand-ins for services, cannot show.

use crate::needs;
use crate::support::pki::Authority;
use crate::support::tls::serial;
use crate::support::web::Nginx;
use crate::support::{CHANGED, Sandbox, UNCHANGED};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};

const NAME: &str = "www.example.test";
const FILES: [&str; 4] = ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"];

/// Reads files again and again, as a service might at any moment.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<Seen>>,
}

/// A file, and what was read there: its content or the error.
type Seen = (PathBuf, Result<String, String>);

impl Reader {
    fn start(files: Vec<PathBuf>) -> Reader {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = spawn(move || {
            let mut seen = BTreeSet::new();
            while !asked.load(Ordering::Relaxed) {
                for file in &files {
                    let read = fs::read_to_string(file).map_err(|error| error.to_string());
                    seen.insert((file.clone(), read));
                }
            }
            seen
        });
        Reader { stop, thread }
    }

    fn seen(self) -> BTreeSet<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the reader ends")
    }
}

#[test]
fn from_a_script_to_certsync_no_file_is_missing_or_half_at_any_moment() {
    needs!("nginx", "openssl");
    let sandbox = Sandbox::new();
    let authority = Authority::new(&sandbox.path("authority"));
    let (old, new) = (authority.leaf(&[NAME]), authority.leaf(&[NAME]));
    let live = old.write_certbot(&sandbox.path("certbot"), "site", 1);
    // What the script did: copy, chmod.
    let tls = sandbox.folder("tls");
    let files: Vec<PathBuf> = FILES.iter().map(|file| tls.join(file)).collect();
    for (name, file) in FILES.iter().zip(&files) {
        fs::copy(live.join(name), file).expect("a copy");
    }
    fs::set_permissions(tls.join("privkey.pem"), fs::Permissions::from_mode(0o640)).expect("a mode");
    let nginx = Nginx::start(&sandbox, "ssl_certificate ROOT/tls/fullchain.pem; ssl_certificate_key ROOT/tls/privkey.pem;");
    sandbox.spec(&format!(
        "version: 1\nhooks:\n  nginx:\n{}certs:\n  site:\n    source: ROOT/certbot/live/site\n    \
         install: {{ dest: ROOT/tls, key_mode: -rw-r-----, hooks: [nginx] }}\n",
        nginx.hook(NAME)
    ));
    let contents = |files: &[PathBuf]| files.iter().map(|file| (file.clone(), Ok(installed(file)))).collect::<BTreeSet<Seen>>();
    let before = contents(&files);

    let reader = Reader::start(files.clone());
    sandbox.apply().exits(CHANGED);
    let seen = reader.seen();
    assert!(seen == before, "adoption changes no byte and leaves no gap: {}", faults(&seen));
    assert!(!sandbox.path("hook.log").exists(), "nothing changed for nginx");
    sandbox.apply().exits(UNCHANGED);

    new.write_certbot(&sandbox.path("certbot"), "site", 2);
    let reader = Reader::start(files.clone());
    sandbox.apply().exits(CHANGED);
    let (seen, after) = (reader.seen(), contents(&files));
    assert!(seen.is_subset(&before.union(&after).cloned().collect()), "every file was the old one or the new one: {}", faults(&seen));
    assert_eq!(serial(nginx.port, NAME), new.serial());
    sandbox.is_settled();
}

fn installed(file: &PathBuf) -> String {
    fs::read_to_string(file).expect("an installed file")
}

/// What could not be read, without any content.
fn faults(seen: &BTreeSet<Seen>) -> String {
    let errors = seen.iter().filter_map(|(file, read)| read.as_ref().err().map(|error| format!("{}: {error}", file.display())));
    errors.collect::<Vec<_>>().join(", ")
}
