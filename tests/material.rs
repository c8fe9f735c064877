//! Sets as operators and ACME clients leave them, and sets that must not pass, each with its exact words.
//!
//! `tests/cases/material/<name>/` holds `set/` (and `before/`, the set last accepted), `judging.json` and `expected.txt`.
//! `CERTSYNC_BLESS=1` writes the expectations anew; read every line of the difference.

use certsync::base::{KeyFingerprint, RelPath, Secret};
use certsync::material::{Judging, Material, describe, judge};
use certsync::spec::Accept;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    now: i64,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    accept: BTreeSet<Accept>,
    #[serde(default)]
    revoked: BTreeSet<KeyFingerprint>,
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/material")
}

fn files_below(dir: &Path, prefix: &str, out: &mut Vec<(RelPath, Secret)>) {
    for entry in fs::read_dir(dir).expect("a directory of the case") {
        let entry = entry.expect("an entry");
        let name = format!("{prefix}{}", entry.file_name().to_str().expect("a name in UTF-8"));
        if entry.path().is_dir() {
            files_below(&entry.path(), &format!("{name}/"), out);
        } else {
            out.push((name.parse().expect("a relative path"), Secret::new(fs::read(entry.path()).expect("a file"))));
        }
    }
}

fn material(dir: &Path) -> Material {
    let mut files = Vec::new();
    files_below(dir, "", &mut files);
    Material::new(files)
}

fn outcome(dir: &Path) -> String {
    let case: Case = serde_json::from_slice(&fs::read(dir.join("judging.json")).expect("judging.json")).expect("a judging");
    let set = material(&dir.join("set"));
    let before = dir.join("before").is_dir().then(|| material(&dir.join("before")));
    let previous = before.as_ref().map(|before| before.facts().as_ref());
    let under = Judging { names: &case.names, accept: &case.accept, revoked: &case.revoked, previous, now: case.now };
    let mut out = String::new();
    match judge(&set, &under) {
        Ok(()) => out.push_str("accepted\n"),
        Err(refusals) => {
            for refusal in refusals {
                let door = refusal.door.map_or_else(|| "null".into(), |door| serde_json::to_string(&door).expect("a door"));
                out.push_str(&format!("refused: {}\n  door: {door}\n  hint: {}\n", refusal.message, refusal.hint.unwrap_or_default()));
            }
        }
    }
    for leaf in &set.facts().leaves {
        out.push_str(&format!("leaf: {} {} {}\n", leaf.names.join(" "), leaf.key_type, leaf.serial));
    }
    for file in set.files() {
        out.push_str(&format!("file: {} {:?}\n", file.path, file.kind));
    }
    for warning in set.warnings() {
        out.push_str(&format!("warning: {warning}\n"));
    }
    out
}

fn expect(path: &Path, found: &str) {
    if std::env::var_os("CERTSYNC_BLESS").is_some() {
        fs::write(path, found).expect("write the expectation");
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(found == expected, "{}:\nexpected\n{expected}\nfound\n{found}", path.display());
}

macro_rules! cases {
    ($($name:ident)*) => {
        const NAMED: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            let dir = cases().join(stringify!($name));
            expect(&dir.join("expected.txt"), &outcome(&dir));
        })*
    };
}

cases! {
    bad_address_named_as_dns
    bad_certificate_cut_short
    bad_certificate_with_a_hole
    bad_chain_in_a_joined_file
    bad_chain_of_a_namesake
    bad_chain_of_a_namesake_with_an_ec_key
    bad_chain_of_another_ca
    bad_chain_of_ec_with_a_forged_leaf
    bad_chain_out_of_order
    bad_chain_with_a_forged_leaf
    bad_empty_fullchain
    bad_empty_key
    bad_expired
    bad_expired_a_second_ago
    bad_expired_without_keys
    bad_garbage
    bad_half_renewed
    bad_half_renewed_chain
    bad_half_renewed_the_other_way
    bad_joined_key_of_another
    bad_key_alone
    bad_key_beside_a_ca_bundle
    bad_key_cut_short
    bad_key_not_base64
    bad_key_of_another_certificate
    bad_key_of_another_certificate_rsa
    bad_key_with_a_hole
    bad_lego_folder_with_a_stray_key
    bad_many_faults
    bad_name_not_in_ascii
    bad_names_missing
    bad_names_of_a_ca_bundle
    bad_names_of_no_certificate
    bad_not_yet_valid
    bad_older
    bad_one_door_of_two
    bad_one_key_of_two_without_certificate
    bad_one_of_a_pair_expired
    bad_one_of_a_pair_older
    bad_revoked_key
    bad_revoked_key_without_the_key
    bad_revoked_whatever_is_accepted
    bad_two_halves
    bad_two_halves_in_a_joined_file
    bad_wildcard_too_deep
    bad_wildcard_wanted
    bad_wildcard_without_apex
    bad_zeros
    good_acme_sh
    good_addresses
    good_ca_bundle
    good_certbot
    good_certificates_only
    good_common_name_only
    good_companions
    good_dehydrated
    good_der
    good_ed25519
    good_encrypted_key
    good_encrypted_old_form
    good_every_door_open
    good_generic
    good_haproxy
    good_in_its_last_second
    good_key_first
    good_leaf_not_first_warned_about
    good_lego
    good_md5_chain_warned_about
    good_nested
    good_older_with_other_names
    good_one_of_a_pair_renewed
    good_p384
    good_p521
    good_pair_of_rsa_and_ec
    good_pkcs1
    good_pss_chain
    good_pss_key
    good_renewed_after_the_last
    good_sec1_with_parameters
    good_sec1_without_public_half
    good_self_signed
    good_sha1_chain
    good_text_crlf_and_mark
    good_trusted_certificate
}

#[test]
fn every_case_has_its_test() {
    let mut found: Vec<String> = fs::read_dir(cases())
        .expect("the cases")
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir()).and_then(|entry| entry.file_name().into_string().ok()))
        .collect();
    found.sort();
    let mut named: Vec<&str> = NAMED.to_vec();
    named.sort_unstable();
    assert_eq!(found, named);
}

#[test]
fn good_cases_pass_and_bad_ones_do_not() {
    for name in NAMED {
        let outcome = outcome(&cases().join(name));
        assert_eq!(outcome.starts_with("accepted\n"), name.starts_with("good_"), "{name}: {outcome}");
    }
}

/// The description of every kind of file, at a fixed time.
#[test]
fn files_are_described_in_an_operators_words() {
    let mut text = String::new();
    for (case, file) in [
        ("good_companions", "fullchain.pem"),
        ("good_companions", "privkey.pem"),
        ("good_companions", "dh.pem"),
        ("good_companions", "ask.csr"),
        ("good_companions", "list.crl"),
        ("good_companions", "ec.pub"),
        ("good_companions", "note.txt"),
        ("good_haproxy", "example.com.pem"),
        ("good_encrypted_key", "privkey.pem"),
        ("good_addresses", "tls.crt"),
        ("bad_expired", "cert.pem"),
        ("bad_not_yet_valid", "cert.pem"),
        ("bad_key_cut_short", "privkey.pem"),
        ("bad_certificate_cut_short", "fullchain.pem"),
        ("good_der", "ec.der"),
        ("good_der", "ec.key"),
    ] {
        let bytes = fs::read(cases().join(case).join("set").join(file)).expect("a file");
        let description = describe(&bytes, 1_795_262_400);
        text.push_str(&format!("== {case}/{file}: {:?}\n{}\n", description.kind, description.lines.join("\n")));
    }
    expect(&cases().join("descriptions.txt"), &text);
}

/// No run of 16 base64 digits of any private key of the cases is in anything that is said about a set.
#[test]
fn no_byte_of_a_key_is_ever_said() {
    for name in NAMED {
        let dir = cases().join(name);
        let set = material(&dir.join("set"));
        let mut said = outcome(&dir);
        let mut digits = Vec::new();
        for file in set.files() {
            said.push_str(&describe(file.bytes.expose(), 0).lines.join("\n"));
            let text = String::from_utf8_lossy(file.bytes.expose()).into_owned();
            let inside = text.lines().skip_while(|line| !line.contains("PRIVATE KEY")).filter(|line| !line.contains("-----"));
            digits.extend(inside.filter(|line| line.len() >= 16).map(|line| line[..16].to_owned()));
        }
        assert!(!digits.iter().any(|run| said.contains(run)), "{name}");
    }
}
