use super::{SshKey, SshKeyId, base64};
use std::process::Command;

/// Keys that ssh-keygen made, and what `ssh-keygen -l` said of them.
const KNOWN: &[(&str, &str)] = &[
    (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINfYTpiLH8pQzcYlyt2N5Mwp2086vuAhroIng6h9lpzW a comment",
        "SHA256:mAdGgnYO7MnPS44RV9M+M2F2qg5IeL0Cak8aJ2yblN0",
    ),
    (
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBCyIoKc2oO4uyu0B/eBCuktAy/c2c09VkZYab7vbAN13I/svYP5pQhFX416vHXHX9OeOqFJyQSjqXE45bXD+0RM= a comment",
        "SHA256:LPQXfsDdRmirKzPPoq+4P+jbT+pIAPhvk4xv4H1jsUs",
    ),
    (
        "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBKjLZDBzNsuSgFGzY9dj6zCLtDk2IRry2lBoY22aeHmCOqDZ3e2N8PZsBZMfjcgv7ZWqEv9UAmxnlHTBXHMNOheqSeH/7UB7LrhPTOyIUdB0gWv/DVt0lfvev+cZ4U+bAQ== c",
        "SHA256:52YFS8griPHy6JVnmSOERAixzn40hkQp8ysl4BZlDwE",
    ),
    (
        "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAGRt3GzdT1DWej5BqjzzH4ToIr36wIl6w3DNDG+RAAUkfXz+hv9MbQr44cohzn6ab+OlolOVnewER4HVKNuxS1mFgD/BQ8Q8Zzqh7xlXX4EZtwdAIf7ATGK1uPq4/8lvK84OX/ELJO8PNF9QisdpY0sCxHigQyCqt0/Rm9W0J0nlD1Nag== a comment",
        "SHA256:DsYMRn0Anb/owK+sf/lYmwpJI6HDP/gkWuch6y9Y1Lk",
    ),
    (
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDhPHswviJHGBC3u/JsomsxNewzudEY+mGxHTm45DTHD3ceijazjKgJ+7dJfWS8tWDhuFe3+08J52OeOsWXUtBPdFl2PQZTXUPRvyb4Ga9vszXxJjOYLZVtFl4MJzMXQ/4bdz1XVQ3aFf+xFUrNu+pdESxTz5scwsb6+BrGMekc9yUwka8yHetb54nYhLXRso25coltPMp8fGKWqeiix3EpbRbDNXePO1J22h313IVCk9oSvIej2KLzmRDLd5plTe+LlACi0NAin6BHNMA8M8RMLcOJaPuFO2xQIw/bL7UpxbbwSgZ86s9I2yAtZdMh6suw3zhOZo+phJlswA1aO8oJ a comment",
        "SHA256:T6KPUQ/52R5KYgGBqU0pFvLFxqfX8lFGXY9GlBNRndY",
    ),
    (
        "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAINfYTpiLH8pQzcYlyt2N5Mwp2086vuAhroIng6h9lpzWAAAABHNzaDo= token",
        "SHA256:Wp71HhcJg0v0rZbR0U5oRuZdi6K8pNqPURaA1aqvrAQ",
    ),
    (
        "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBBCyIoKc2oO4uyu0B/eBCuktAy/c2c09VkZYab7vbAN13I/svYP5pQhFX416vHXHX9OeOqFJyQSjqXE45bXD+0RMAAAAEc3NoOg== token",
        "SHA256:XiSKasQvVdKFZt2vOluhyq/SHT+sp/+14QutltzYmic",
    ),
];

/// A DSA key of ssh-keygen's, as far as it matters.
const DSA: &str = "ssh-dss AAAAB3NzaC1kc3MAAACBAOAnSz3sP+C78xUP7/fHdLaXniJJvzk23wq1fXP/LAXqI8lGIDKpYD68vBZkfvjSvqhyIWOkZ7dnAx01DdVSaOxcvmjbWt5NoSepJtlVuJkzSJ5KAStswCSwKhVuexRlXIhueZPFL8zOpzDQvsWevRnGTZk5dA3l5RK/ZmS9qrkbAAAAFQCIOmQWrbStAGJkqDc+spcTcmh6hQAAAIEAuyCsHRb7N8mKfHIeaAFvdinAgnvBI/NAexra/9QPxvLU0wdxkJ2m8kMJgfxXUnCoSG9PQ78j6WetFNTdCYjG4JAN5HlktK6Ld7lPR94aeEvJxNLQoHuuAMmjqwBGyuKLzqEkGQgOinNQWccn9TLrGUpf7MzpaQZWMHZ100MeOWsAAACALnBbAU123hRSqgNiO4WhPpQ1tIS/G2TtQsOk0ycXxHq6qZWNQHFpUsYTxNkH01kGCxtqwv+IgHLJMVboG2PCD7r6rxAKk//yOxxeHEGyUtTRhL82M06s/tq/7bc0lO4qIgn6c394jwRHLi4PDk4h7mvY/aHWSEFAJkEh1BG7+U8= a comment";

/// A string as it stands in a key.
fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat()
}

/// A line that calls itself `kind` and holds `parts`.
fn line(kind: &str, parts: &[&[u8]]) -> String {
    let blob: Vec<u8> = parts.iter().flat_map(|part| string(part)).collect();
    format!("{kind} {}", base64::encode_padded(&blob))
}

fn refusal(text: &str) -> String {
    text.parse::<SshKey>().expect_err(text).to_string()
}

#[test]
fn keys_of_ssh_keygen_are_read_and_have_its_fingerprints() {
    for (text, id) in KNOWN {
        let key: SshKey = text.parse().expect(text);
        assert_eq!(key.id().to_string(), *id);
        assert_eq!(id.parse(), Ok(key.id()));
        let (bare, _) = text.rsplit_once(if text.ends_with(" a comment") { " a comment" } else { " " }).expect("a comment");
        assert_eq!(key.to_string(), bare);
        assert_eq!(bare.parse(), Ok(key.clone()), "without its comment it is the same key");
        assert_eq!(format!("  {bare}   and many words ").parse(), Ok(key.clone()));
        assert!(bare.starts_with(key.algorithm()));
        assert_eq!(serde_json::from_str::<SshKey>(&serde_json::to_string(&key).expect("JSON")).expect("read again"), key);
    }
}

#[test]
fn a_key_that_ssh_keygen_makes_now_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let file = dir.path().join(kind);
        let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-C", "x y", "-t", kind, "-f"]).arg(&file).output();
        if made.is_err() {
            eprintln!("skipped: ssh-keygen is not installed");
            return;
        }
        let text = std::fs::read_to_string(file.with_extension("pub")).expect("the public key");
        let shown = Command::new("ssh-keygen").arg("-lf").arg(&file).output().expect("its fingerprint").stdout;
        let key: SshKey = text.trim_end().parse().expect("a key");
        assert_eq!(String::from_utf8_lossy(&shown).split(' ').nth(1), Some(key.id().to_string().as_str()));
    }
}

#[test]
fn what_would_become_options_or_another_line_is_refused() {
    let (good, _) = KNOWN[3];
    for bad in [
        format!("command=\"/bin/sh\" {good}"),
        format!("restrict {good}"),
        format!("{good}\nssh-ed25519 AAAA"),
        format!("{good}\r"),
        format!("{good}\0"),
        format!("{good} \x1b[2J"),
        format!("web1,10.0.0.1 {good}"),
        good.replacen(' ', "\t", 1),
        good.to_uppercase(),
        format!("{good}{}", " ".repeat(9000)),
        String::new(),
        "   ".into(),
    ] {
        let why = refusal(&bad);
        assert!(!why.contains(char::is_control) && why.len() < 250, "{why}");
    }
}

#[test]
fn a_refusal_says_what_the_text_is_instead() {
    assert!(refusal(DSA).starts_with("a DSA key"));
    assert!(refusal("ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1").starts_with("a certificate of a key"));
    assert!(refusal(KNOWN[0].1).starts_with("this is a fingerprint"));
    assert!(refusal("AAAAC3NzaC1lZDI1NTE5AAAA").starts_with("before the base64 the type of the key is missing"));
    assert!(refusal("-----BEGIN OPENSSH PRIVATE KEY-----").starts_with("this is a private key"));
    assert!(refusal("restrict ssh-ed25519 AAAA").starts_with("begins with restrict, not with the type of a key: ssh-ed25519, "));
    assert!(refusal("ssh-ed25519").ends_with("there is no base64 of a key"));
    // A line of a private key's base64 is not repeated.
    assert!(!refusal("b3BlbnNzaC1rZXktdjEAAAAABG5v").contains("b3Bl"));
}

#[test]
fn a_key_is_what_its_type_says_and_nothing_else() {
    let ed = b"ssh-ed25519".as_slice();
    let of = |parts: &[&[u8]]| line("ssh-ed25519", parts);
    assert!(of(&[ed, &[7; 32]]).parse::<SshKey>().is_ok());
    assert!(refusal(&of(&[b"ssh-rsa", &[7; 32]])).ends_with("is one of another type inside"));
    assert!(refusal(&of(&[b"ssh-ed25519\0", &[7; 32]])).ends_with("is one of another type inside"));
    for bad in [of(&[ed, &[7; 31]]), of(&[ed, &[7; 33]]), of(&[ed]), of(&[ed, &[7; 32], b""]), of(&[])] {
        refusal(&bad);
    }
    let ec = |curve: &[u8], point: &[u8]| line("ecdsa-sha2-nistp256", &[b"ecdsa-sha2-nistp256", curve, point]);
    let mut point = [9; 65];
    refusal(&ec(b"nistp256", &point));
    point[0] = 4;
    assert!(ec(b"nistp256", &point).parse::<SshKey>().is_ok());
    refusal(&ec(b"nistp384", &point));
    refusal(&ec(b"nistp256", &[]));
    // One number, one way to write it: another way would be the same key with another fingerprint.
    let rsa = |modulus: &[u8]| line("ssh-rsa", &[b"ssh-rsa", &[1, 0, 1], modulus]);
    assert!(rsa(&[0, 200, 1]).parse::<SshKey>().is_ok() && rsa(&[100, 1]).parse::<SshKey>().is_ok());
    for bad in [&[200, 1][..], &[0, 100, 1], &[0, 0, 200], &[0], &[]] {
        refusal(&rsa(bad));
    }
}

#[test]
fn a_key_cut_at_any_byte_or_with_any_length_changed_is_refused() {
    for (text, _) in KNOWN {
        let mut words = text.split(' ');
        let (kind, coded) = (words.next().expect("a type"), words.next().expect("base64"));
        let blob = base64::decode(coded).expect("base64");
        for end in 0..blob.len() {
            refusal(&format!("{kind} {}", base64::encode_padded(&blob[..end])));
        }
        for byte in 0..4 {
            let mut other = blob.clone();
            other[byte] ^= 0x80;
            refusal(&format!("{kind} {}", base64::encode_padded(&other)));
        }
    }
}

#[test]
fn a_fingerprint_has_one_form() {
    let id = KNOWN[0].1;
    assert_eq!(id.parse::<SshKeyId>().map(|id| id.hex().len()), Ok(64));
    assert!(format!("{id}=").parse::<SshKeyId>().is_ok());
    for bad in ["", "SHA256:", &id[7..], &id[..49], "MD5:aa:bb", &format!("{id}AA"), &id.to_lowercase().replace("sha256", "SHA256")[..49]] {
        assert!(bad.parse::<SshKeyId>().is_err(), "{bad}");
    }
}
