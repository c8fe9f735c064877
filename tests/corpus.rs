//! Keys and certificates of a corpus, read by certsync and by openssl. Run by `scripts/prove.d/corpus`;
//! without `CERTSYNC_CORPUS` it says that it was skipped.

use certsync::base::{KeyFingerprint, RelPath, Secret};
use certsync::material::{FileKind, Judging, Material, certificate_fingerprints, describe, judge, kind_of};
use certsync::spec::Accept;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NOW: i64 = 1_795_262_400;

/// What one program says about a file.
struct Answers {
    /// Public half of the private key in it, as DER (openssl) or fingerprint (both).
    key: Option<KeyFingerprint>,
    /// Public key of the first certificate in it.
    certificate: Option<KeyFingerprint>,
}

/// Does this key belong to this certificate?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Belongs,
    DoesNot,
    CannotTell,
}

#[test]
fn certsync_and_openssl_agree_about_keys_and_certificates() {
    let Some(corpus) = std::env::var_os("CERTSYNC_CORPUS") else {
        eprintln!("skipped: CERTSYNC_CORPUS names no directory");
        return;
    };
    let mut files = Vec::new();
    walk(Path::new(&corpus), &mut files);
    files.sort();
    assert!(!files.is_empty(), "the corpus is empty");

    let panics: Vec<_> = files.iter().filter(|file| !survives(&fs::read(file).expect("a file"))).collect();
    println!("{} files read, whole, cut and damaged: {} panics", files.len(), panics.len());

    // PKCS#12 is carried as it is and not looked into.
    let is_looked_into = |file: &&PathBuf| file.extension().is_none_or(|end| end != "p12") && may_be_x509(&fs::read(file).expect("a file"));
    let candidates: Vec<&PathBuf> = files.iter().filter(is_looked_into).collect();
    let read: BTreeMap<&PathBuf, (Answers, Answers)> =
        candidates.iter().map(|file| (*file, (by_openssl(file), by_certsync(file)))).collect();
    let mut wrong = Vec::new();
    compare_readings(&read, Path::new(&corpus), &mut wrong);
    compare_pairs(&read, Path::new(&corpus), &mut wrong);
    compare_fresh_pairs(&read, Path::new(&corpus), &mut wrong);
    for line in &wrong {
        println!("WRONG {line}");
    }
    assert!(panics.is_empty() && wrong.is_empty(), "panics: {panics:?}");
}

fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        if entry.path().is_dir() { walk(&entry.path(), out) } else { out.push(entry.path()) }
    }
}

fn may_be_x509(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30) || bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

fn set(files: Vec<(&str, Vec<u8>)>) -> Material {
    Material::new(files.into_iter().map(|(name, bytes)| (name.parse::<RelPath>().expect("a path"), Secret::new(bytes))).collect())
}

/// The file as it is, and cut or damaged in a few ways where it may be PEM or DER; the others are test vectors of megabytes.
fn survives(bytes: &[u8]) -> bool {
    let damaged = |at: usize| bytes.iter().enumerate().map(|(i, byte)| if i % 97 == at { byte ^ 0x20 } else { *byte }).collect();
    let mut variants: Vec<Vec<u8>> = vec![bytes.to_vec()];
    if may_be_x509(bytes) {
        variants.extend([bytes[..bytes.len() / 2].to_vec(), bytes[bytes.len() / 3..].to_vec(), damaged(5), damaged(71)]);
    }
    variants.into_iter().all(|variant| catch_unwind(move || look(variant)).is_ok())
}

fn look(bytes: Vec<u8>) {
    let described = describe(&bytes, NOW);
    assert_eq!(described.kind, kind_of(&bytes));
    let marked = bytes.windows(11).any(|window| window == b"PRIVATE KEY");
    assert!(!(marked && described.kind.is_public()), "public though it names a private key");
    certificate_fingerprints(&bytes);
    let material = set(vec![("a.pem", bytes.clone()), ("b.pem", bytes)]);
    material.warnings();
    let _any_verdict = verdict(&material);
}

fn verdict(material: &Material) -> Result<(), Vec<certsync::material::Refusal>> {
    let accept = BTreeSet::from([Accept::Expired, Accept::NotYetValid]);
    let names = [String::from("example.com")];
    judge(material, &Judging { names: &names, accept: &accept, revoked: &BTreeSet::new(), previous: None, now: NOW })
}

fn openssl(args: &[&str], file: &Path) -> Option<Vec<u8>> {
    let out = Command::new("openssl").args(args).arg("-in").arg(file).stdin(Stdio::null()).stderr(Stdio::null()).output().expect("openssl");
    (out.status.success() && !out.stdout.is_empty()).then_some(out.stdout)
}

fn by_openssl(file: &Path) -> Answers {
    let key = openssl(&["pkey", "-passin", "pass:", "-pubout", "-outform", "DER"], file);
    let pem = openssl(&["x509", "-noout", "-pubkey"], file);
    Answers {
        key: key.map(|der| KeyFingerprint::of_spki(&der)),
        certificate: pem.and_then(|pem| public_der(&pem)).map(|der| KeyFingerprint::of_spki(&der)),
    }
}

/// A public key in PEM as openssl writes it in DER.
fn public_der(pem: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new("openssl")
        .args(["pkey", "-pubin", "-outform", "DER"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    child.stdin.take().expect("a pipe").write_all(pem).expect("openssl reads");
    let out = child.wait_with_output().expect("openssl ends");
    out.status.success().then_some(out.stdout)
}

/// The first fingerprint in the description of a key and of a certificate.
fn by_certsync(file: &Path) -> Answers {
    let lines = describe(&fs::read(file).expect("a file"), NOW).lines;
    let last_word = |line: &String| line.rsplit(' ').next().and_then(|word| word.parse().ok());
    let key = lines.iter().find(|line| line.starts_with("private key ")).and_then(last_word);
    let mut after = lines.iter().skip_while(|line| *line != "certificate");
    Answers { key, certificate: after.find(|line| line.starts_with("  key ")).and_then(last_word) }
}

/// What certsync says of a file in a line.
fn said(file: &Path) -> String {
    describe(&fs::read(file).expect("a file"), NOW).lines.into_iter().next().unwrap_or_default()
}

fn short(file: &Path, corpus: &Path) -> String {
    file.strip_prefix(corpus).unwrap_or(file).display().to_string()
}

/// File by file: the same public half?
fn compare_readings(read: &BTreeMap<&PathBuf, (Answers, Answers)>, corpus: &Path, wrong: &mut Vec<String>) {
    for (what, of) in
        [("private keys", (|answers: &Answers| answers.key) as fn(&Answers) -> _), ("certificates", |answers| answers.certificate)]
    {
        let (mut same, mut only_openssl, mut only_certsync) = (0, Vec::new(), Vec::new());
        for (file, (openssl, certsync)) in read {
            match (of(openssl), of(certsync)) {
                (None, None) => {}
                (Some(theirs), Some(ours)) if theirs == ours => same += 1,
                (Some(_), Some(_)) => wrong.push(format!("{what}: {} has another public half for openssl", short(file, corpus))),
                (Some(_), None) => only_openssl.push(format!("{}: {}", short(file, corpus), said(file))),
                (None, Some(_)) => only_certsync.push(short(file, corpus)),
            }
        }
        println!("{what}: {same} read alike, {} by openssl only, {} by certsync only", only_openssl.len(), only_certsync.len());
        only_openssl.iter().for_each(|file| println!("  openssl only:  {file}"));
        only_certsync.iter().for_each(|file| println!("  certsync only: {file}"));
    }
}

/// Every key that openssl reads against every certificate that it reads. Where neither takes them for a pair, one in 40 is
/// judged, since all of them would take minutes.
fn compare_pairs(read: &BTreeMap<&PathBuf, (Answers, Answers)>, corpus: &Path, wrong: &mut Vec<String>) {
    let mut counts: BTreeMap<(Verdict, Verdict), usize> = BTreeMap::new();
    let keys: Vec<_> = read.iter().filter(|(_, (theirs, _))| theirs.key.is_some()).collect();
    let certificates: Vec<_> = read.iter().filter(|(_, (theirs, _))| theirs.certificate.is_some()).collect();
    for (i, (key, (their_key, our_key))) in keys.iter().enumerate() {
        for (k, (certificate, (theirs, ours))) in certificates.iter().enumerate() {
            let openssl = if their_key.key == theirs.certificate { Verdict::Belongs } else { Verdict::DoesNot };
            let certain = openssl == Verdict::DoesNot && our_key.key.is_some() && our_key.key != ours.certificate;
            let certsync = match certain && (i + k) % 40 != 0 {
                true => Verdict::DoesNot,
                false => pair_verdict(fs::read(key).expect("a key"), fs::read(certificate).expect("a certificate")),
            };
            *counts.entry((openssl, certsync)).or_default() += 1;
            if (openssl, certsync) == (Verdict::Belongs, Verdict::CannotTell) {
                println!("  certsync cannot tell: {} and {}", short(key, corpus), short(certificate, corpus));
            }
            if openssl != certsync && certsync != Verdict::CannotTell {
                wrong.push(format!(
                    "{} and {}: openssl {openssl:?}, certsync {certsync:?}",
                    short(key, corpus),
                    short(certificate, corpus)
                ));
            }
        }
    }
    println!("{} keys with {} certificates:", keys.len(), certificates.len());
    counts.iter().for_each(|((openssl, certsync), count)| println!("  openssl {openssl:?}, certsync {certsync:?}: {count}"));
}

fn pair_verdict(key: Vec<u8>, certificate: Vec<u8>) -> Verdict {
    let material = set(vec![("key", key), ("certificate", certificate)]);
    let unpaired =
        verdict(&material).err().is_some_and(|refusals| refusals.iter().any(|refusal| refusal.door == Some(Accept::UnpairedKey)));
    let uncertain = material.warnings().iter().any(|warning| warning.ends_with("cannot be checked against its certificate"));
    let has_key = material.files().iter().any(|file| file.kind == FileKind::PrivateKey);
    match (unpaired, uncertain || !has_key) {
        (true, _) => Verdict::DoesNot,
        (false, true) => Verdict::CannotTell,
        (false, false) => Verdict::Belongs,
    }
}

fn keys_in(file: &Path) -> usize {
    describe(&fs::read(file).expect("a file"), NOW).lines.iter().filter(|line| line.starts_with("private key")).count()
}

/// A corpus has few keys beside their certificates: openssl makes one for each key it reads.
fn compare_fresh_pairs(read: &BTreeMap<&PathBuf, (Answers, Answers)>, corpus: &Path, wrong: &mut Vec<String>) {
    let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
    for (key, _) in read.iter().filter(|(_, (theirs, _))| theirs.key.is_some()) {
        if keys_in(key) > 1 {
            println!("  holds several keys, openssl reads the first, certsync asks for a certificate for each: {}", short(key, corpus));
            continue;
        }
        let out = Command::new("openssl")
            .args(["req", "-x509", "-new", "-subj", "/CN=example.com", "-days", "10", "-passin", "pass:", "-key"])
            .arg(key)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .expect("openssl");
        if !out.status.success() {
            continue;
        }
        let verdict = pair_verdict(fs::read(key).expect("a key"), out.stdout);
        *counts.entry(verdict).or_default() += 1;
        match verdict {
            Verdict::Belongs => {}
            Verdict::DoesNot => wrong.push(format!("{}: not taken for the key of its own certificate", short(key, corpus))),
            Verdict::CannotTell => println!("  certsync cannot tell: {}: {}", short(key, corpus), said(key)),
        }
    }
    println!("every key with a certificate made for it: {counts:?}");
}
