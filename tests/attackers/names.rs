//! An author of certificates hides commands to a terminal, and other lines, in every name there is.

use super::fortress::{Scene, controls};
use super::host::is_root;
use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

const HIDDEN: &str = "\u{1b}]0;title\u{7}\u{1b}[2J\r\u{8}\nfake: line\u{7f}\u{9b}31m\u{202e}";

#[test]
fn what_a_certificate_says_commands_no_terminal() {
    if !is_root() {
        return;
    }
    let scene = Scene::new("dest: ssl");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["site.test".to_owned()]).expect("a name");
    for kind in [DnType::CommonName, DnType::OrganizationName, DnType::LocalityName] {
        params.distinguished_name.push(kind, HIDDEN);
    }
    let ascii: String = HIDDEN.chars().filter(char::is_ascii).collect();
    params.subject_alt_names.push(SanType::DnsName(ascii.clone().try_into().expect("ASCII")));
    params.subject_alt_names.push(SanType::Rfc822Name(ascii.clone().try_into().expect("ASCII")));
    params.subject_alt_names.push(SanType::URI(ascii.try_into().expect("ASCII")));
    params.not_before = date_time_ymd(2024, 1, 5);
    params.not_after = date_time_ymd(2099, 1, 1);
    let certificate = params.self_signed(&key).expect("a signature").pem();
    for name in ["cert.pem", "fullchain.pem"] {
        scene.host.write(&format!("live/{name}"), &certificate);
    }
    scene.host.remove("live/chain.pem");
    scene.host.write("live/privkey.pem", key.serialize_pem());
    let commands: [&[&str]; 7] = [
        &["plan"],
        &["plan", "-v", "--format", "json"],
        &["apply", "-v"],
        &["status"],
        &["status", "--format", "json"],
        &["status", "--format", "prometheus"],
        &["plan", "-vv", "--log-format", "json", "--verify-content"],
    ];
    for args in commands {
        let output = scene.run(args);
        assert!(output.status.code().is_some_and(|code| code < 3), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(controls(&output), Vec::<char>::new(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!lines.lines().any(|line| line.starts_with("fake")), "{args:?}: {lines}");
    }
    let plan = String::from_utf8_lossy(&scene.run(&["status"]).stdout).into_owned();
    assert!(plan.contains("site"), "{plan}");
}
