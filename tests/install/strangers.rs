//! A `dest` in somebody else's directory, and sources caught in the middle: what must never happen.

use super::host::{Host, is_root};
use super::pairs::Pair;
use std::fs::rename;
use std::os::unix::fs::chown;

const STRANGER: u32 = 4321;

/// A `dest` owned by a stranger, and a file of root's beside it that the stranger may move and not read.
fn with_secret() -> (Host, Pair) {
    let (host, pair) = Host::one(&format!("owner: {STRANGER}, group: {STRANGER}"));
    std::fs::create_dir(host.at("ssl")).expect("a directory");
    chown(host.at("ssl"), Some(STRANGER), Some(STRANGER)).expect("chown");
    host.write("secret", "the secret of root");
    host.mode("secret", 0o600);
    (host, pair)
}

/// Nothing below `dest` that the stranger may read holds the secret.
fn nothing_is_told(host: &Host) {
    for (path, shown) in host.snapshot() {
        if path.starts_with("ssl") && shown.contains("the secret of root") {
            assert_eq!(host.owner_of(&path.display().to_string()).0, 0, "{}", path.display());
        }
    }
}

#[test]
fn a_file_of_roots_moved_to_a_wanted_name_is_not_adopted_for_its_mover() {
    if !is_root() {
        return;
    }
    let (host, _) = with_secret();
    rename(host.at("secret"), host.at("ssl/privkey.pem")).expect("a rename");
    host.apply().has_status(4).complains("privkey.pem");
    nothing_is_told(&host);
}

#[test]
fn a_file_of_roots_moved_into_a_generation_is_not_carried_for_its_mover() {
    if !is_root() {
        return;
    }
    let (host, _) = with_secret();
    host.apply().has_status(2);
    rename(host.at("secret"), host.at(&format!("ssl/.certsync/site/{}/x.pem", host.current("ssl", "site")))).expect("a rename");
    host.renew(2);
    host.apply();
    nothing_is_told(&host);
}

#[test]
fn a_generation_that_a_stranger_has_numbered_stops_nothing() {
    let (host, _) = Host::installed("");
    std::fs::create_dir(host.at("ssl/.certsync/site/18446744073709551615-0123456789ab")).expect("a directory");
    let new = host.renew(2);
    host.apply().has_status(2);
    host.shows("ssl", &new);
    assert!(host.current("ssl", "site").starts_with("2-"), "{}", host.current("ssl", "site"));
    host.quiet();
}

#[test]
fn a_set_in_the_middle_of_a_renewal_is_refused_and_the_old_one_stays() {
    for moved in ["cert.pem privkey.pem", "cert.pem privkey.pem chain.pem", "fullchain.pem", "cert.pem"] {
        let (host, old) = Host::installed("");
        let new = Pair::new("site.test", 2);
        for (name, text) in new.files().into_iter().filter(|(name, _)| moved.split(' ').any(|moved| moved == *name)) {
            host.write(&format!("live/{name}"), text);
        }
        host.apply().has_status(4).is("refused", "-");
        host.shows("ssl", &old);
        host.source("live", &new);
        host.apply().has_status(2);
        host.shows("ssl", &new);
    }
}

/// What `openssl req -x509` makes calls itself a CA.
#[test]
fn halves_of_two_self_signed_certificates_are_refused() {
    let self_signed = || {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(["site.test".to_owned()]).expect("a name");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (params.self_signed(&key).expect("a signature").pem(), key.serialize_pem())
    };
    let (old, new) = (self_signed(), self_signed());
    let (host, _) = Host::one("");
    host.remove("live/chain.pem");
    for name in ["cert.pem", "fullchain.pem"] {
        host.write(&format!("live/{name}"), &old.0);
    }
    host.write("live/privkey.pem", &old.1);
    host.apply().has_status(2);
    host.write("live/cert.pem", &new.0);
    host.write("live/privkey.pem", &new.1);
    host.apply().has_status(4).is("refused", "-");
    assert_eq!((host.read("ssl/cert.pem"), host.read("ssl/privkey.pem")), old);
}

#[test]
fn an_old_key_is_never_carried_beside_new_certificates() {
    let (host, old) = Host::installed("");
    for gone in ["privkey.pem", "fullchain.pem", "cert.pem"] {
        host.source("live", &Pair::new("site.test", 2));
        host.remove(&format!("live/{gone}"));
        host.apply().has_status(4).complains("what would stand there does not fit together");
        host.shows("ssl", &old);
    }
}

#[test]
fn a_key_is_never_pruned_alone() {
    let (host, old) = Host::installed("prune: true");
    host.remove("live/privkey.pem");
    host.apply().has_status(4).complains("it is not pruned alone");
    host.shows("ssl", &old);
}

#[test]
fn a_carried_file_does_not_end_renewals_where_the_group_may_write() {
    let (host, _) = Host::one("dir_mode: drwxrwx---");
    host.write("live/extra.txt", "text");
    host.apply().has_status(2);
    host.remove("live/extra.txt");
    let pair = host.renew(2);
    host.apply().has_status(2);
    host.shows("ssl", &pair);
    assert_eq!(host.read("ssl/extra.txt"), "text");
}

#[test]
fn what_was_carried_survives_the_loss_of_current() {
    let (host, _) = Host::one("");
    host.write("live/extra.txt", "text");
    host.apply().has_status(2);
    host.remove("live/extra.txt");
    host.apply();
    host.remove("ssl/.certsync/site/current");
    host.planned_and_applied("repaired", "drift");
    assert_eq!(host.read("ssl/extra.txt"), "text");
    host.quiet();
}

#[test]
fn what_was_let_in_once_is_repaired_without_the_door() {
    let (host, _) = Host::one("");
    let stranger = Pair::new("site.test", 2);
    host.write("live/cert.pem", &stranger.cert);
    host.apply().has_status(4).is("refused", "-");
    host.json(&["apply", "--accept", "site=unpaired_key"]).has_status(2);
    host.remove("ssl/.certsync/site/current");
    host.planned_and_applied("repaired", "drift");
    assert_eq!(host.read("ssl/cert.pem"), stranger.cert);
    host.mode("ssl/privkey.pem", 0o644);
    host.planned_and_applied("repaired", "drift");
}
