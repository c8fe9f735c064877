//! Specs without fault, what becomes of them, and that no text at all makes the loader fall.

use certsync::base::{AbsPath, HookName, Mode, SetName, printable};
use certsync::host::users::User;
use certsync::spec::{
    Accept, Command, Desired, Faults, Found, FoundKind, Layout, Loaded, Prune, Running, SpecInput, StartTls, Surroundings, Trust,
    check_together, load_with, resolved_yaml, under_hash,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Every key of the grammar that is about one host.
const WHOLE: &str = r#"
version: 1
revoked_keys: ["SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "SHA256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"]
defaults:
  owner: root
  group: ssl-cert
  dir_mode: drwxr-x---
  file_mode: -rw-r--r--
  key_mode: -rw-r-----
  layout: generations
  keep: 2
  prune: false
hooks:
  reload-nginx:
    check: [nginx, -t]
    run: [systemctl, try-reload-or-restart, nginx]
    verify: { tls: "127.0.0.1:443", server_name: www.example.com, starttls: smtp }
    timeout: 30s
    user: root
    env: { FOO: bar, PORT: 8080, YES: yes, EMPTY: "", ODD: "a: 'b' \"c\" #d\n  e\n" }
    per_set: false
  reload-haproxy: { run: [systemctl, reload, haproxy] }
  docker: { run: "docker ps | grep -q x && echo \"'y'\"", per_set: true, user: 1000 }
  unused: { run: "true", user: nobody-here }
certs:
  example.com:
    source: /etc/letsencrypt/live/example.com
    only: ["*.pem"]
    except: []
    names: [example.com, "*.example.com", 10.0.0.1]
    accept: [older, expired]
    install:
      - dest: /etc/ssl/example.com
        hooks: [reload-nginx]
      - dest: /etc/haproxy/certs
        files: { "{name}.pem": [fullchain.pem, privkey.pem], sub/chain.pem: "{name}.cer" }
        owner: 33
        dir_mode: "0710"
        hooks: [reload-haproxy, reload-nginx]
  short: { source: certs/short, install: out/./short/ }
  lineages:
    source: /etc/letsencrypt/live2/*
    install: { dest: "/certsync/live/{name}", owner: ushio, layout: flat, keep: 5, prune: true, hooks: docker, key_mode: "0600" }
limits: { file: 2MiB, set: 20000kB, files: 50 }
"#;

fn account(name: &str) -> Option<(String, u32)> {
    let (name, id) = match name {
        "root" | "0" => ("root", 0),
        "ushio" | "1000" => ("ushio", 1000),
        "www-data" | "33" => ("www-data", 33),
        "ssl-cert" => ("ssl-cert", 110),
        _ => return None,
    };
    Some((name.to_owned(), id))
}

fn user(name: &str) -> Option<User> {
    account(name).map(|(name, uid)| User { name, uid, gid: uid, home: "/home".into() })
}

fn surroundings() -> Surroundings {
    Surroundings {
        running: Running { user: user("root").expect("root"), group: ("root".into(), 0), groups: vec![0] },
        user,
        group: account,
        look: |_| None,
        target: |_| None,
        trust: Trust::Skip,
        host_name: || "host.example.com".into(),
    }
}

fn load(text: &str) -> Result<Loaded, Faults> {
    let at: AbsPath = "/etc/certsync/certsync.yaml".parse().expect("a path");
    load_with(SpecInput::Text { text: text.into(), at }, None, &surroundings())
}

fn good(text: &str) -> Loaded {
    load(text).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

fn first_line(text: &str) -> String {
    load(text).err().and_then(|faults| faults.list.first().map(|fault| fault.message.clone())).unwrap_or_default()
}

#[test]
fn every_key_of_one_host_arrives() {
    let desired = good(WHOLE).desired;
    assert_eq!(desired.revoked.len(), 2);
    assert_eq!((desired.limits.file, desired.limits.set, desired.limits.files), (2 << 20, 20_000_000, 50));
    let hooks: Vec<&str> = desired.hooks.iter().map(|hook| hook.name.as_str()).collect();
    assert_eq!(hooks, ["reload-nginx", "reload-haproxy", "docker"], "hooks that nobody names are no part of this host");
    let nginx = &desired.hooks[0];
    assert_eq!(nginx.check, Some(Command::Argv(vec!["nginx".into(), "-t".into()])));
    assert_eq!(nginx.verify.as_ref().and_then(|verify| verify.starttls), Some(StartTls::Smtp));
    assert_eq!((nginx.timeout, desired.hooks[1].timeout), (Duration::from_secs(30), Duration::from_secs(60)));
    assert_eq!(nginx.env[1], ("PORT".into(), "8080".into()));
    assert!(matches!(&desired.hooks[2].run, Some(Command::Shell(text)) if text.starts_with("docker ps |")));
    assert_eq!((desired.hooks[2].user.name.as_str(), desired.hooks[2].per_set), ("ushio", true));
    let set = &desired.sets[0];
    assert_eq!(set.accept.iter().copied().collect::<Vec<_>>(), [Accept::Expired, Accept::Older]);
    assert!(set.select.except.is_empty() && desired.sets[1].select.except.len() == 5);
    let haproxy = &set.installs[1];
    assert_eq!((haproxy.rest.owner.name.as_str(), haproxy.rest.owner.id, haproxy.rest.group.id), ("33", 33, 110));
    assert_eq!((haproxy.rest.named.owner, haproxy.rest.named.group, haproxy.rest.named.dir_mode), (true, false, true));
    assert_eq!(haproxy.rest.dir_mode, Mode::from_bits(0o710));
    let files = haproxy.files.as_ref().expect("files");
    assert_eq!((files[0].name.as_str(), files[0].parts.len()), ("example.com.pem", 2));
    assert_eq!(files[1].parts[0].as_str(), "example.com.cer");
}

#[test]
fn relative_paths_start_at_the_spec() {
    let desired = good(WHOLE).desired;
    assert_eq!(desired.sets[1].source.to_string(), "/etc/certsync/certs/short");
    assert_eq!(desired.sets[1].installs[0].dest.as_str(), "/etc/certsync/out/short");
}

#[test]
fn what_is_not_written_is_the_default() {
    let desired = good("version: 1\ncerts: { a: { source: /a, install: /b } }\n").desired;
    let rest = &desired.sets[0].installs[0].rest;
    assert_eq!((rest.owner.name.as_str(), rest.group.name.as_str()), ("root", "root"));
    assert_eq!((rest.dir_mode.bits(), rest.file_mode.bits(), rest.key_mode.bits()), (0o755, 0o644, 0o600));
    assert_eq!((rest.layout, rest.keep, rest.prune), (Layout::Generations, 2, Prune::Keep));
    assert_eq!((desired.limits.file, desired.limits.set, desired.limits.files), (1 << 20, 16 << 20, 1000));
    assert_eq!(rest.named, Default::default());
}

#[test]
fn a_pattern_makes_a_set_of_each_name() {
    let desired = good(WHOLE).desired;
    let pattern = &desired.patterns[0];
    assert_eq!((pattern.name.as_str(), pattern.parent.to_string().as_str()), ("lineages", "/etc/letsencrypt/live2"));
    let name: SetName = "*.example.org".parse().expect("a name");
    let set = pattern.expand(&name).expect("a set");
    assert_eq!(set.source.to_string(), "/etc/letsencrypt/live2/*.example.org");
    assert_eq!(set.installs[0].dest.as_str(), "/certsync/live/*.example.org");
    assert_eq!(set.pattern.as_ref(), Some(&pattern.name));
}

fn reloaded(desired: &Loaded) -> Desired {
    good(&resolved_yaml(desired)).desired
}

#[test]
fn the_resolved_spec_is_a_spec_of_the_same_host() {
    let loaded = good(WHOLE);
    assert_eq!(reloaded(&loaded), loaded.desired);
    let small = good("version: 1\ncerts: { a: { source: /a, install: /b } }\n");
    assert_eq!(reloaded(&small), small.desired);
}

#[test]
fn text_that_looks_like_something_else_survives_the_resolved_spec() {
    for text in [
        "",
        " ",
        "~",
        "null",
        "true",
        "0x10",
        "1e3",
        "- a",
        "a: b",
        "#x",
        "'",
        "\"",
        "a\n",
        "\n\na",
        " a \n b\n",
        "\\",
        "%x",
        "@",
        "`",
        "é\u{2028}ü",
        "\t",
        "|",
        ">",
        "&a",
        "*a",
        "!t",
        "{x",
        "[x",
        "---",
        "...",
        "=",
        "<<",
        "cp \u{202e}/srv; x",
        "\u{200b}'\\\"\n a",
        "a\u{e0041}: \u{feff}\u{85}",
    ] {
        let quoted = serde_json::to_string(text).expect("JSON");
        let spec = format!(
            "version: 1\nhooks: {{ h: {{ run: [x, {quoted}], env: {{ A: {quoted} }} }} }}\ncerts: {{ a: {{ source: /a, install: {{ dest: /b, hooks: h }} }} }}\n"
        );
        let loaded = good(&spec);
        assert_eq!(loaded.desired.hooks[0].env[0].1, text);
        let yaml = resolved_yaml(&loaded);
        assert_eq!(reloaded(&loaded), loaded.desired, "{text:?}\n{yaml}");
        assert!(yaml.lines().all(|line| printable(line) == line), "a terminal acts on it: {yaml:?}");
    }
}

#[test]
fn hashes_change_with_what_they_are_about_and_with_nothing_else() {
    let before = good(WHOLE).desired;
    let after = good(&WHOLE.replace("timeout: 30s", "timeout: 31s")).desired;
    let (one, other) = (&before.sets[0].installs[0], &after.sets[0].installs[0]);
    assert_eq!(one.shape_hash(), other.shape_hash());
    assert_ne!(under_hash(one, &before.hooks), under_hash(other, &after.hooks));
    assert_eq!(under_hash(&before.sets[1].installs[0], &before.hooks), under_hash(&after.sets[1].installs[0], &after.hooks));
    assert_eq!(before.sets[0].judged_hash(&before.revoked), after.sets[0].judged_hash(&after.revoked));
    assert_ne!(before.sets[0].judged_hash(&before.revoked), after.sets[0].judged_hash(&Default::default()));
    assert_ne!(one.shape_hash(), before.sets[0].installs[1].shape_hash());
}

#[test]
fn clashes_of_expanded_sets_are_found_among_ten_thousand_in_time() {
    let text = "version: 1\ncerts:\n  p: { source: /src/*, install: { dest: /etc/all, files: { \"{name}.pem\": a } } }\n  x: { source: /x, install: { dest: /etc/all, files: { n17.pem: a } } }\n";
    let desired = good(text).desired;
    let mut sets = desired.sets.clone();
    let names = (0..10_000).map(|number| format!("n{number}").parse::<SetName>().expect("a name"));
    sets.extend(names.map(|name| desired.patterns[0].expand(&name).expect("a set")));
    let start = Instant::now();
    let clashes = check_together(&sets);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let found: Vec<(String, String)> = clashes.iter().map(|(name, error)| (name.to_string(), error.cause.clone())).collect();
    assert_eq!(found, [("n17".to_string(), "set `x` writes /etc/all/n17.pem too".to_string())]);
}

#[test]
fn an_owner_may_be_a_number_and_a_hook_may_have_any_plain_name() {
    let desired =
        good("version: 1\nhooks: { a b: { run: x } }\ncerts: { a: { source: /a, install: { dest: /b, owner: 1000, hooks: [a b] } } }\n")
            .desired;
    assert_eq!(desired.sets[0].installs[0].rest.owner.id, 1000);
    assert_eq!(desired.sets[0].installs[0].rest.hooks, ["a b".parse::<HookName>().expect("a name")]);
}

#[test]
fn includes_are_read_in_the_order_of_their_names() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().canonicalize()?;
    fs::create_dir(root.join("certs.d"))?;
    fs::write(root.join("spec.yaml"), "version: 1\ninclude: [certs.d/*.yaml, more.yaml]\ncerts: { m: { source: m, install: /m } }\n")?;
    fs::write(root.join("certs.d/20.yaml"), "certs: { b: { source: b, install: { dest: /b, hooks: h } } }\n")?;
    fs::write(root.join("certs.d/10.yaml"), "certs: { a: { source: a, install: /a } }\n")?;
    fs::write(root.join("certs.d/.hidden.yaml"), "nonsense\n")?;
    fs::write(root.join("certs.d/30.yaml~"), "nonsense\n")?;
    fs::write(root.join("more.yaml"), "hooks: { h: { run: x } }\n")?;
    let path = AbsPath::try_from(root.join("spec.yaml"))?;
    let loaded = load_with(SpecInput::File(&path), None, &surroundings()).map_err(|faults| faults.to_string())?;
    let names: Vec<&str> = loaded.desired.sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(names, ["m", "a", "b"]);
    assert_eq!(
        loaded.desired.sets[1].source.to_string(),
        root.join("a").display().to_string(),
        "relative to the spec, not to the included file"
    );
    assert_eq!(loaded.included.len(), 3);
    Ok(())
}

#[test]
fn a_spec_that_cannot_be_read_says_why() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().canonicalize()?;
    fs::write(root.join("latin1.yaml"), b"version: 1\n# caf\xe9\n")?;
    fs::write(root.join("large.yaml"), "# 345678\n".repeat(1 << 20))?;
    let said = |name: &str| -> Result<String, Box<dyn std::error::Error>> {
        let path = AbsPath::try_from(root.join(name))?;
        let faults = load_with(SpecInput::File(&path), None, &surroundings()).err().ok_or("no fault")?;
        Ok(faults.to_string().replace(&format!("{}/", root.display()), ""))
    };
    assert_eq!(
        said("none.yaml")?,
        "certsync: error: none.yaml: no such file\n  hint: name the spec on the command line or in CERTSYNC_SPEC\n"
    );
    assert_eq!(said("latin1.yaml")?, "certsync: error: latin1.yaml:2:6: this byte is not UTF-8\n  hint: save the file as UTF-8\n");
    assert!(said("large.yaml")?.starts_with("certsync: error: large.yaml: the spec is larger than 8 MiB with all it includes\n  hint: "));
    fs::create_dir(root.join("folder"))?;
    assert!(said("folder")?.contains("this is a directory"));
    Ok(())
}

#[test]
fn a_spec_that_others_may_write_is_refused() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().canonicalize()?;
    let path = AbsPath::try_from(root.join("spec.yaml"))?;
    fs::write(path.as_path(), "version: 1\ninclude: certs.d/*.yaml\n")?;
    fs::create_dir(root.join("certs.d"))?;
    fs::write(root.join("certs.d/a.yaml"), "certs: { a: { source: /src/a, install: /dest/a } }\n")?;
    let mode = |name: &str, mode| fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode));
    let said = || {
        load_with(SpecInput::File(&path), None, &Surroundings { trust: Trust::Check, ..surroundings() })
            .map_err(|faults| faults.to_string())
    };
    for name in ["spec.yaml", "certs.d/a.yaml"] {
        mode(name, 0o644)?;
    }
    mode("certs.d", 0o755)?;
    assert_eq!(said()?.desired.sets.len(), 1);
    for (name, open, closed) in [("spec.yaml", 0o666, 0o644), ("certs.d", 0o777, 0o755), ("certs.d/a.yaml", 0o666, 0o644)] {
        mode(name, open)?;
        let fault = said().err().ok_or(name)?;
        assert!(fault.contains("hint: "), "{fault}");
        mode(name, closed)?;
    }
    assert!(said().is_ok());
    Ok(())
}

#[test]
fn a_dest_that_is_a_source_through_a_link_is_found_on_a_real_host() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().canonicalize()?;
    fs::create_dir_all(root.join("src/deep"))?;
    std::os::unix::fs::symlink("src/deep", root.join("link"))?;
    let at = AbsPath::try_from(root.join("spec.yaml"))?;
    let here = Surroundings { trust: Trust::Skip, ..Surroundings::host() };
    let load = |text: &str| load_with(SpecInput::Text { text: text.into(), at: at.clone() }, None, &here);
    let found = load("version: 1\ncerts: { a: { source: src, install: link/below } }\n").err().ok_or("no fault")?;
    assert!(found.to_string().contains("overlaps"), "{found}");
    assert!(load("version: 1\ncerts: { a: { source: src, install: beside } }\n").is_ok());
    Ok(())
}

#[test]
fn what_is_included_must_be_a_regular_file_and_stdin_is_no_way_out() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path().join("certs.d/folder.yaml"))?;
    assert!(std::process::Command::new("mkfifo").arg(folder.path().join("certs.d/fifo.yaml")).status()?.success());
    let at = AbsPath::try_from(folder.path().canonicalize()?.join("spec.yaml"))?;
    let text = "version: 1\ninclude: certs.d/*.yaml\ncerts: {}\n".to_owned();
    let faults = load_with(SpecInput::Text { text, at }, None, &surroundings()).err().ok_or("loaded")?;
    let said: Vec<(&str, &str)> = faults
        .list
        .iter()
        .map(|fault| (fault.message.rsplit('/').next().unwrap_or_default(), fault.hint.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(
        said,
        [
            ("fifo.yaml: this is not a regular file", "move it away, or name only regular files in `include`"),
            ("folder.yaml: this is a directory", "name the files in it, such as `certs.d/*.yaml`"),
        ]
    );
    Ok(())
}

#[test]
fn a_spec_that_is_too_large_is_told_the_way_out() {
    let faults = load(&"# x\n".repeat(3 << 20)).expect_err("12 MiB");
    assert_eq!(faults.list[0].message, "the spec is larger than 8 MiB with all it includes");
    assert!(faults.list[0].hint.as_ref().is_some_and(|hint| hint.contains("`/*`")));
}

/// A host on which 65534 has a home that holds links and what looks like certbot's folders, and root has the same in /srv.
fn host_with_a_stranger() -> Surroundings {
    fn look(path: &Path) -> Option<Found> {
        let text = path.to_str()?;
        let uid = if text.starts_with("/home/x") { 65534 } else { 0 };
        let kind = match text {
            "/srv/link" | "/srv/to-home" | "/shared/link" | "/home/x/link" | "/home/x/rooted" => FoundKind::Link,
            "/" | "/srv" | "/srv/b" | "/srv/live" | "/srv/renewal" | "/shared" => FoundKind::Dir,
            "/home" | "/home/x" | "/home/x/live" | "/home/x/renewal" | "/home/x/b" => FoundKind::Dir,
            _ => return None,
        };
        let uid = if text == "/home/x/rooted" { 0 } else { uid };
        let inode = text.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
        Some(Found { inode: (1, inode), kind, uid, shared: text == "/shared" })
    }
    let target = |path: &Path| Some(if path.ends_with("to-home") { "/home/x/link".into() } else { "/srv/b".into() });
    Surroundings { look, target, ..surroundings() }
}

#[test]
fn what_others_put_on_disk_makes_no_fault_of_the_spec() {
    let at: AbsPath = "/etc/certsync/certsync.yaml".parse().expect("a path");
    let said = |dest: &str, source: &str| {
        let text =
            format!("version: 1\ncerts: {{ a: {{ source: /src/a, install: {dest} }}, b: {{ source: {source}, install: /dest/b }} }}\n");
        let loaded = load_with(SpecInput::Text { text, at: at.clone() }, None, &host_with_a_stranger());
        loaded.err().map(|faults| faults.list.into_iter().map(|fault| fault.message).collect::<Vec<_>>().join("; ")).unwrap_or_default()
    };
    for dest in ["/srv/link", "/srv/link/below"] {
        assert!(said(dest, "/srv/b").contains("overlaps"), "{dest}");
    }
    assert!(said("/srv/live/d", "/srv/c").contains("certbot"));
    for dest in ["/home/x/link", "/home/x/rooted", "/shared/link", "/srv/to-home"] {
        assert_eq!(said(dest, "/srv/b"), "", "{dest}");
    }
    assert_eq!(said("/srv/b", "/home/x/link"), "", "a source is no better");
    assert_eq!(said("/home/x/live/d", "/srv/b"), "");
    assert!(said("/home/x/b/d", "/home/x/b").contains("overlaps"), "what the spec itself says is a fault wherever it lies");
}

#[test]
fn hostile_text_dies_quickly() {
    let start = Instant::now();
    let mut laughs = String::from("version: 1\na0: &a0 [lol, lol]\n");
    for level in 1..60 {
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", ")));
    }
    assert!(load(&laughs).is_err_and(|faults| faults.more && faults.list.len() == 100 && faults.list[1].message == "unknown key `a0`"));
    for deep in ["[".repeat(1_000_000), "{a: ".repeat(500_000), "- ".repeat(500_000), "? ".repeat(500_000)] {
        assert!(load(&deep).is_err());
    }
    let mut stairs = String::new();
    for level in 0..1000 {
        stairs.push_str(&format!("{}a:\n", " ".repeat(level)));
    }
    assert_eq!(first_line(&stairs), "nested more than 64 levels deep");
    assert!(
        load(&format!("version: 1\nx: [{}]\n", "a,".repeat(1_100_000)))
            .is_err_and(|faults| faults.to_string().contains("values in one file"))
    );
    assert!(load(&format!("version: 1\ncerts: {{ {} }}\n", "a: 1, ".repeat(200_000))).is_err());
    assert!(load(&"a".repeat(7 << 20)).is_err());
    assert!(load(&(0..200_000).map(|number| format!("k{number}: 1\n")).collect::<String>()).is_err());
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn a_large_spec_is_read_in_time() {
    let mut text = String::from("version: 1\nhooks: { h: { run: x } }\ncerts:\n");
    for number in 0..10_000 {
        text.push_str(&format!("  s{number}:\n    source: /src/s{number}\n    names: [s{number}.example.com]\n    install: {{ dest: /etc/ssl/s{number}, hooks: [h] }}\n"));
    }
    let start = Instant::now();
    assert_eq!(good(&text).desired.sets.len(), 10_000);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

/// A small generator with a fixed seed (xorshift64), so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

#[test]
fn no_mutation_of_a_spec_makes_the_loader_fall() {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        "\n",
        "  ",
        "- ",
        "\"",
        "'",
        "&a ",
        "*a",
        "!t ",
        "|",
        "#",
        "~",
        "{name}",
        "/*",
        "..",
        "0",
        "-1",
        "\u{0}",
        "\u{1b}",
        "é",
        "\u{feff}",
        "\t",
        "certs:",
        "? ",
        "%",
        "99999999999999999999",
        "null",
        ",",
    ];
    let mut dice = Dice(0x5eed_1234_5678_9abc);
    let mut faulty = 0;
    for _ in 0..3000 {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(text.len());
            match dice.roll(4) {
                0 => drop(text.remove(at)),
                1 => drop(text.splice(at..at, pieces[dice.roll(pieces.len())].chars())),
                2 => text.truncate(at.max(1)),
                _ => {
                    let end = (at + dice.roll(40)).min(text.len());
                    let piece: Vec<char> = text[at..end].to_vec();
                    let to = dice.roll(text.len());
                    text.splice(to..to, piece);
                }
            }
        }
        let text: String = text.into_iter().collect();
        match load(&text) {
            Ok(loaded) => assert_eq!(reloaded(&loaded), loaded.desired, "{text}"),
            Err(faults) => {
                faulty += 1;
                assert!(!faults.list.is_empty() && faults.list.len() <= 100);
                let shown = faults.to_string();
                assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
            }
        }
    }
    assert!(faulty > 1000, "{faulty}");
}
