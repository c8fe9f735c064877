use super::{Keys, Made, generate, public_half};
use crate::base::{AbsPath, ErrorKind, Result, SshKey};
use crate::host::Dir;
use crate::state::test_dir::with_dir;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

fn at(path: &Path) -> AbsPath {
    path.to_str().and_then(|path| path.parse().ok()).expect("a path")
}

fn key(made: Made) -> SshKey {
    match made {
        Made::Now(key) | Made::Before(key) => key,
    }
}

/// Calls `test` with the keys of a new state directory.
fn with_keys(test: impl FnOnce(&Keys<'_>, &Dir, &Path) -> Result<()>) -> Result<()> {
    with_dir(|dir, path| {
        let at = at(path);
        test(&Keys::open(dir, &at)?, dir, path)
    })
}

#[test]
fn a_key_is_made_once_and_only_its_owner_may_read_it() -> Result<()> {
    with_keys(|keys, dir, path| {
        assert_eq!(Keys::find(dir, keys.at)?, None);
        let Made::Now(made) = keys.make()? else { panic!("there was none") };
        assert_eq!(keys.make()?, Made::Before(made));
        assert_eq!(Keys::find(dir, keys.at)?, Some(at(&path.join("keys/id_ed25519"))));
        let mode = |name: &str| fs::metadata(path.join(name)).expect("it is there").mode() & 0o7777;
        assert_eq!((mode("keys"), mode("keys/id_ed25519")), (0o700, 0o600));
        assert_eq!(fs::read_dir(path.join("keys")).expect("a folder").count(), 1, "nothing else is left there");
        Ok(())
    })
}

#[test]
fn ssh_keygen_reads_it_and_signs_with_it() -> Result<()> {
    with_keys(|keys, _, path| {
        let made = key(keys.make()?);
        let file = path.join("keys/id_ed25519");
        let Ok(shown) = Command::new("ssh-keygen").arg("-y").arg("-f").arg(&file).output() else {
            eprintln!("skipped: ssh-keygen is not installed");
            return Ok(());
        };
        assert_eq!(String::from_utf8_lossy(&shown.stdout).trim_end(), format!("{made} certsync"), "{shown:?}");
        fs::write(path.join("text"), "text").expect("written");
        let signed = Command::new("ssh-keygen").args(["-Y", "sign", "-n", "test", "-f"]).arg(&file).arg(path.join("text")).output();
        assert!(signed.expect("it is installed").status.success());
        fs::write(path.join("signers"), format!("me {made}\n")).expect("written");
        let checked = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-n", "test", "-I", "me", "-f"])
            .arg(path.join("signers"))
            .arg("-s")
            .arg(path.join("text.sig"))
            .stdin(fs::File::open(path.join("text")).expect("it is there"))
            .output();
        assert!(checked.expect("it is installed").status.success(), "the private half belongs to the public one");
        Ok(())
    })
}

#[test]
fn keys_that_ssh_keygen_made_are_kept_also_with_a_passphrase() -> Result<()> {
    with_keys(|keys, _, path| {
        for (kind, passphrase) in [("ed25519", ""), ("rsa", ""), ("ecdsa", "secret words")] {
            let file = path.join("keys/id_ed25519");
            let _ = fs::remove_file(&file);
            let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(&file).output();
            if made.is_err() {
                eprintln!("skipped: ssh-keygen is not installed");
                return Ok(());
            }
            let public = fs::read_to_string(file.with_extension("pub")).expect("the public half");
            assert_eq!(keys.make()?, Made::Before(public.trim().parse().expect("a key")), "{kind}");
            fs::remove_file(file.with_extension("pub")).expect("removed");
        }
        Ok(())
    })
}

#[test]
fn a_next_key_is_made_beside_the_one_in_use_and_takes_its_place_once() -> Result<()> {
    with_keys(|keys, _, path| {
        assert_eq!(keys.make_next().err().map(|error| error.kind), Some(ErrorKind::State), "there is none to follow");
        assert!(keys.activate().is_err(), "and none to take");
        let first = key(keys.make()?);
        assert!(keys.activate().is_err(), "nor without a next one");
        let next = key(keys.make_next()?);
        assert_ne!(first, next);
        assert_eq!(keys.make_next()?, Made::Before(next.clone()));
        assert_eq!(keys.make()?, Made::Before(first.clone()), "the first is still in use");
        assert_eq!(keys.activate()?, Made::Now(next.clone()));
        assert_eq!(keys.activate()?, Made::Before(next.clone()));
        assert_eq!(keys.make()?, Made::Before(next));
        let previous = fs::read(path.join("keys/previous")).expect("kept");
        assert_eq!(public_half(&previous), Some(first));
        assert!(!path.join("keys/next").exists());
        Ok(())
    })
}

#[test]
fn an_activation_that_was_cut_off_goes_on() -> Result<()> {
    with_keys(|keys, _, path| {
        let first = key(keys.make()?);
        let next = key(keys.make_next()?);
        // Killed between its two renames.
        fs::copy(path.join("keys/id_ed25519"), path.join("keys/previous")).expect("copied");
        assert_eq!(keys.make()?, Made::Before(first.clone()));
        assert_eq!(keys.activate()?, Made::Now(next));
        assert_eq!(public_half(&fs::read(path.join("keys/previous")).expect("kept")), Some(first));
        Ok(())
    })
}

#[test]
fn what_is_no_key_is_never_overwritten_and_not_shown() -> Result<()> {
    with_keys(|keys, _, path| {
        let file = path.join("keys/id_ed25519");
        let (_, private) = generate().expect("a key");
        let half = &private.expose()[..150];
        for bytes in [&b""[..], b"not a key", half, b"-----BEGIN OPENSSH PRIVATE KEY-----\n\n-----END OPENSSH PRIVATE KEY-----\n"] {
            fs::write(&file, bytes).expect("written");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
            let error = keys.make().expect_err("no key");
            assert_eq!(error.cause, "is not a private key of OpenSSH's");
            assert_eq!(fs::read(&file).expect("still there"), bytes);
        }
        fs::write(&file, private.expose()).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("its mode");
        assert!(keys.make().is_err_and(|error| error.cause.starts_with("others may read it (-rw-r-----)")));
        fs::remove_file(&file).expect("removed");
        symlink("/etc/hostname", &file).expect("a link");
        assert!(keys.make().is_err(), "a link is not followed");
        assert!(file.is_symlink());
        Ok(())
    })
}
