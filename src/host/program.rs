//! Where this program is.

use crate::base::{AbsPath, Error, ErrorKind, Result};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A path under which this program can be called later: the one that PATH has for it, if it is there; it may be a link that an update
/// points elsewhere. Otherwise the place it was started from.
///
/// # Errors
/// Kind `State`: that place cannot be learned, or is no path of ours.
pub fn this_program() -> Result<AbsPath> {
    let failed = |why: &std::io::Error| Error::io(ErrorKind::State, "certsync's own program", why);
    let own = std::env::current_exe().map_err(|why| failed(&why))?;
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = found_in(&paths, &own).unwrap_or(own);
    AbsPath::try_from(found).map_err(|why| Error::new(ErrorKind::State, "certsync's own program", why.to_string()))
}

fn found_in(paths: &OsStr, own: &Path) -> Option<std::path::PathBuf> {
    let inode = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    let wanted = inode(own)?;
    let is_own = |path: &Path| inode(path) == Some(wanted);
    let name = own.file_name()?;
    std::env::split_paths(paths).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(|path| is_own(path))
}

#[cfg(test)]
mod tests {
    use super::found_in;
    use crate::host::testing::{Scene, Test};
    use std::ffi::OsString;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_link_that_leads_to_it_is_found_and_another_program_of_its_name_is_not() -> Test {
        let scene = Scene::new()?;
        for name in ["opt", "usr", "other"] {
            scene.folder(name, 0o755)?;
        }
        scene.file("opt/certsync", "", 0o755)?;
        scene.file("other/certsync", "", 0o755)?;
        symlink(scene.at("opt/certsync"), scene.at("usr/certsync"))?;
        let paths = |names: &[&str]| -> OsString { std::env::join_paths(names.iter().map(|name| scene.at(name))).unwrap_or_default() };
        let own = scene.at("opt/certsync");
        assert_eq!(found_in(&paths(&["other", "usr", "opt"]), &own), Some(scene.at("usr/certsync")));
        assert_eq!(found_in(&paths(&["other"]), &own), None);
        Ok(())
    }
}
