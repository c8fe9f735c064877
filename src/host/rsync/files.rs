//! Files that rsync and ssh are given to log in with.

use crate::base::{AbsPath, Error, ErrorKind, Result};
use nix::unistd::Uid;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// Whether the file with a password is one, and nobody else may read it. rsync refuses it as well, but does not say how to mend it.
///
/// # Errors
/// Kind `Permission`, or what the kernel says.
pub fn check_password_file(path: &AbsPath) -> Result<()> {
    let data = metadata(path)?;
    if data.mode() & 0o007 != 0 {
        let error = Error::new(ErrorKind::Permission, path.as_str(), "others may read the password in it");
        return Err(error.hint(format!("chmod 600 {path}")));
    }
    let us = Uid::effective().as_raw();
    if data.uid() != us && data.uid() != 0 {
        let error = Error::new(ErrorKind::Permission, path.as_str(), "the password in it belongs to somebody else");
        return Err(error.hint(format!("make it a file of your own: chown {us} {path}")));
    }
    Ok(())
}

/// Whether the private key for ssh is there: ssh only warns, and says something else at last.
///
/// # Errors
/// What the kernel says.
pub fn check_identity(path: &AbsPath) -> Result<()> {
    metadata(path).map(drop)
}

fn metadata(path: &AbsPath) -> Result<Metadata> {
    let data = std::fs::metadata(path.as_path()).map_err(|error| Error::io(ErrorKind::Permission, path, &error))?;
    if data.is_file() { Ok(data) } else { Err(Error::new(ErrorKind::Permission, path.as_str(), "is no regular file")) }
}

#[cfg(test)]
mod tests {
    use super::{check_identity, check_password_file};
    use crate::host::testing::{Scene, Test};

    #[test]
    fn a_password_that_others_may_read_is_refused_and_so_is_a_missing_key() -> Test {
        let scene = Scene::new()?;
        scene.file("open", "secret", 0o604)?;
        scene.file("closed", "secret", 0o640)?;
        assert!(check_password_file(&scene.abs("closed")?).is_ok());
        let refused = check_password_file(&scene.abs("open")?).err().ok_or("it was taken")?;
        assert_eq!(refused.cause, "others may read the password in it");
        assert!(refused.hint.is_some_and(|hint| hint.starts_with("chmod 600 ")));
        assert!(check_identity(&scene.abs("none")?).is_err_and(|error| error.cause == "no such file or directory"));
        Ok(())
    }
}
