//! Specs: no text makes certsync panic; every fault lies where there is text; what is right can be written out and read back.

use crate::shown;
use certsync::base::{AbsPath, ContentHash, SetName};
use certsync::host::users::User;
use certsync::spec::fleet::Fleet;
use certsync::spec::{
    Desired, Faults, Found, FoundKind, Loaded, Running, SpecInput, Surroundings, Trust, check_together, load_with, resolved_yaml,
    under_hash,
};
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

/// As many faults are listed.
const MOST_FAULTS: usize = 100;

/// Takes `data` for a spec; what stands behind a NUL byte is the file `more.yaml` beside it, for specs that include one.
pub fn check(data: &[u8]) {
    let (main, more) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], Some(&data[end + 1..])),
        None => (data, None),
    };
    if may_include(main) && may_leave(main) {
        return;
    }
    let place = Place::new();
    place.put("more.yaml", more);
    let input = match std::str::from_utf8(main) {
        Ok(text) => SpecInput::Text { text: text.to_owned(), at: place.main.clone() },
        Err(_) => {
            place.put("certsync.yaml", Some(main));
            SpecInput::File(&place.main)
        }
    };
    match load_with(input, None, &surroundings()) {
        Ok(loaded) => right(&loaded, &place),
        Err(faults) => wrong(&faults, &place, main, more.unwrap_or_default()),
    }
}

/// Whether `include` is written there, or can be, with escapes.
fn may_include(main: &[u8]) -> bool {
    [&b"include"[..], b"\\x", b"\\u", b"\\U", b"\\\n", b"\\\r"].iter().any(|word| has(main, word))
}

/// Whether a path in it may be absolute: this host's own files are not to be read.
fn may_leave(main: &[u8]) -> bool {
    let begins = |at: usize| at == 0 || !matches!(main[at - 1], b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'*' | b'}');
    main.iter().enumerate().any(|(at, byte)| *byte == b'/' && begins(at)) || [&b"\\x"[..], b"\\u", b"\\U"].iter().any(|e| has(main, e))
}

fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// A directory of this process's own.
struct Place {
    directory: &'static PathBuf,
    main: AbsPath,
}

impl Place {
    fn new() -> Place {
        static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
        let directory = DIRECTORY.get_or_init(|| {
            let made = std::env::temp_dir().join(format!("certsync-fuzz-{}", std::process::id()));
            fs::create_dir_all(&made).expect("a directory for included files");
            made
        });
        Place { directory, main: AbsPath::try_from(directory.join("certsync.yaml")).expect("a plain path") }
    }

    fn put(&self, name: &str, content: Option<&[u8]>) {
        let file = self.directory.join(name);
        match content {
            Some(content) => fs::write(file, content).expect("an included file"),
            None if file.exists() => fs::remove_file(file).expect("the file goes"),
            None => {}
        }
    }
}

fn user(name: &str) -> Option<User> {
    let (name, id) = match name {
        "root" | "0" => ("root", 0),
        "ushio" | "1000" => ("ushio", 1000),
        "www-data" | "33" => ("www-data", 33),
        _ => return None,
    };
    Some(User { name: name.into(), uid: id, gid: id, home: format!("/home/{name}") })
}

fn group(name: &str) -> Option<(String, u32)> {
    let (name, id) = match name {
        "root" | "0" => ("root", 0),
        "ushio" | "1000" => ("ushio", 1000),
        "ssl-cert" => ("ssl-cert", 110),
        _ => return None,
    };
    Some((name.into(), id))
}

/// A made-up host with certbot's directory on it.
fn surroundings() -> Surroundings {
    Surroundings {
        user,
        group,
        running: Running { user: user("root").expect("root"), group: group("root").expect("root"), groups: vec![0] },
        look: |path| {
            let (inode, kind) = match path.to_str()? {
                "/etc/letsencrypt/live/example.com" | "/srv/mount" => (77, FoundKind::Dir),
                "/srv/link" => (5, FoundKind::Link),
                "/etc/letsencrypt/renewal" => (6, FoundKind::Dir),
                known @ ("/" | "/etc" | "/etc/letsencrypt" | "/etc/letsencrypt/live" | "/srv") => {
                    (1000 + known.len() as u64, FoundKind::Dir)
                }
                _ => return None,
            };
            Some(Found { inode: (1, inode), kind, uid: 0, shared: false })
        },
        target: |path| (path.to_str() == Some("/srv/link")).then(|| PathBuf::from("../etc/./letsencrypt/live/example.com")),
        trust: Trust::Skip,
        host_name: || "host.example.com".into(),
    }
}

fn wrong(faults: &Faults, place: &Place, main: &[u8], more: &[u8]) {
    assert!((1..=MOST_FAULTS).contains(&faults.list.len()), "{} faults", faults.list.len());
    assert!(!faults.more || faults.list.len() == MOST_FAULTS);
    shown::lines(&faults.to_string());
    for fault in &faults.list {
        shown::line(&fault.source);
        // No full stop; a name at the end may have one.
        let ends_a_sentence =
            |word: &str| word.strip_suffix('.').is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()) && !word.is_empty());
        let full_stop = fault.message.rsplit(' ').next().is_some_and(ends_a_sentence);
        assert!(!fault.message.is_empty() && !full_stop, "{}", fault.message);
        let is_main = fault.file == place.main.as_str();
        assert!(is_main || fault.file.ends_with("/more.yaml"), "{}", fault.file);
        let text = String::from_utf8_lossy(if is_main { main } else { more });
        within(&text, fault.line, fault.column, &fault.to_string());
        let carets = fault.caret.trim_start().len();
        assert!(carets <= 120 && fault.caret.chars().count() <= 160, "{fault}");
    }
    for error in faults.errors() {
        shown::line(&error.subject);
        shown::line(&error.cause);
        error.hint.iter().for_each(|hint| shown::line(hint));
    }
}

/// A place is a character of the file, or the end of a line, or the end of the file; or no place at all.
fn within(text: &str, line: u32, column: u32, fault: &str) {
    if line == 0 {
        assert_eq!(column, 0, "{fault}");
        return;
    }
    // A carriage return alone ends a line in YAML.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.split('\n').collect();
    let found = lines.get(line as usize - 1).unwrap_or_else(|| panic!("line {line} of {} lines: {fault}", lines.len()));
    let end = found.chars().count() as u32 + 1;
    assert!((1..=end).contains(&column), "column {column} of a line that ends at {end}: {fault}");
}

fn right(loaded: &Loaded, place: &Place) {
    let yaml = resolved_yaml(loaded);
    shown::lines(&yaml);
    let again = load_with(SpecInput::Text { text: yaml.clone(), at: place.main.clone() }, None, &surroundings());
    let mut again = again.unwrap_or_else(|faults| panic!("what certsync wrote is refused:\n{faults}\n{yaml}"));
    // It is another text, and its hash another one.
    if let (Some(again), Some(fleet)) = (&mut again.desired.fleet, &loaded.desired.fleet) {
        again.spec_hash = fleet.spec_hash;
        ways_make_sense(fleet);
    }
    assert_eq!(again.desired, loaded.desired, "{yaml}");
    assert_eq!(resolved_yaml(&again), yaml);
    names_are_opened(&loaded.desired);
}

/// Whoever a set ends at may have it, and so may whoever is above on the way here.
fn ways_make_sense(fleet: &Fleet) {
    assert!(fleet.server(&fleet.me).is_some() && fleet.upstreams().count() == fleet.me().upstreams.len());
    for route in &fleet.routes {
        assert!(fleet.is_entitled(&fleet.me, &route.entry), "{}", route.entry);
        for target in fleet.targets(route) {
            assert!(fleet.is_entitled(&target.name, &route.entry), "{} {}", target.name, route.entry);
            assert!(target.name == fleet.me || fleet.is_below(&target.name, &fleet.me), "{} {}", target.name, route.entry);
            for upper in target.upstreams.iter().filter(|upper| fleet.is_below(upper, &fleet.me)) {
                assert!(fleet.is_entitled(upper, &route.entry), "{upper} {}", route.entry);
            }
        }
    }
}

fn names_are_opened(desired: &Desired) {
    let mut sets = desired.sets.clone();
    for pattern in &desired.patterns {
        for name in ["example.com", "*.example.org", "a b", &"x".repeat(200)] {
            let name: SetName = name.parse().expect("the name of a set");
            match pattern.expand(&name) {
                Ok(set) => sets.push(set),
                Err(error) => shown::line(&format!("{error} {}", error.hint.as_deref().unwrap_or_default())),
            }
        }
    }
    for (_, error) in check_together(&sets) {
        shown::line(&format!("{error} {}", error.hint.as_deref().unwrap_or_default()));
    }
    for set in &sets {
        assert!(set.select.matcher().wants("privkey.pem") || !set.select.only.is_empty() || !set.select.except.is_empty());
        let judged = set.judged_hash(&desired.revoked);
        for install in &set.installs {
            let hashes: [ContentHash; 3] = [judged, install.shape_hash(), under_hash(install, &desired.hooks)];
            assert!(hashes.iter().all(|hash| *hash != ContentHash::of(b"")), "a hash of nothing: its value could not be written");
        }
    }
}
