//! Changing a file that may be somebody else's, as careful as sshd is when it reads one (sshd_config(5), StrictModes).

use super::walk::to;
use super::{Dir, Kind, Stat, unique, users};
use crate::base::{AbsPath, Error, ErrorKind, Mode, Result, Secret};
use nix::unistd::geteuid;
use std::ffi::{OsStr, OsString};
use std::io;

/// The largest file that is looked at.
const LARGEST: u64 = 16 << 20;
/// The mode of a file that was not there: sshd reads it as the user whose it is, and there is no secret in it.
const NEW: Mode = Mode::from_bits(0o644);
/// How often it is begun again where somebody else changes the file meanwhile.
const TRIES: usize = 3;

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    /// It was replaced.
    Changed,
    /// It was so already; nothing was written.
    Same,
}

/// Replaces the file at `path` by what `change` makes of it, as a whole, with the same owner, group and mode. One that is not there gets
/// those of its directory, and 0644; it is not made empty.
///
/// # Errors
/// Kind `Permission`: it is a link or has a second name, or others than root, the running user and the directory's owner could write it or
/// put another one in its place; what `change` fails with.
pub fn edit(path: &AbsPath, change: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<Edited> {
    let (above, name) = path.as_str().rsplit_once('/').unwrap_or_default();
    let above: AbsPath = if above.is_empty() { "/".parse() } else { above.parse() }.map_err(|_| error(path, "is not a path of a file"))?;
    let walk = to(&above)?;
    if let Some(missing) = walk.missing.first() {
        return Err(error(path, format!("the directory {missing} on the way to it is not there")).hint(format!("mkdir -p {above}")));
    }
    let holder = walk.dir.stat().map_err(|why| fault(path, &why))?;
    check_holder(path, &above, &holder, walk.loose.as_ref().map(|loose| loose.mover))?;
    let file = File { path, name: OsStr::new(name), dir: &walk.dir, holder };
    for _ in 0..TRIES {
        if let Some(edited) = file.try_edit(&change)? {
            return Ok(edited);
        }
    }
    Err(error(path, "somebody else changes it all the time"))
}

struct File<'a> {
    path: &'a AbsPath,
    name: &'a OsStr,
    dir: &'a Dir,
    holder: Stat,
}

impl File<'_> {
    /// Nothing where somebody else has changed it meanwhile.
    fn try_edit(&self, change: &impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<Option<Edited>> {
        let before = self.read()?;
        let text = before.as_ref().map_or(&[][..], |(text, _)| text.expose());
        let after = change(text).map_err(|why| Error { subject: format!("{}: {}", self.path, why.subject), ..why })?;
        if after == text {
            return Ok(Some(Edited::Same));
        }
        let (owner, mode) = match &before {
            Some((_, stat)) => ((stat.uid, stat.gid), stat.mode),
            None => ((self.holder.uid, self.holder.gid), NEW),
        };
        let temporary = OsString::from(unique(".certsync-new-"));
        let replace = || -> io::Result<bool> {
            self.dir.create_file(&temporary, &after, owner, mode)?;
            self.dir.sync_file(&temporary)?;
            let is_as_it_was = match (self.dir.stat_at(self.name)?, &before) {
                (Some(now), Some((_, then))) => now == *then,
                (now, then) => now.is_none() && then.is_none(),
            };
            if is_as_it_was {
                self.dir.rename(&temporary, self.dir, self.name)?;
                self.dir.sync()?;
            }
            Ok(is_as_it_was)
        };
        let replaced = replace();
        if !matches!(replaced, Ok(true)) {
            // The first error is the one to hear.
            let _ = self.dir.unlink(&temporary);
        }
        Ok(replaced.map_err(|why| fault(self.path, &why))?.then_some(Edited::Changed))
    }

    fn read(&self) -> Result<Option<(Secret, Stat)>> {
        match self.dir.stat_at(self.name).map_err(|why| fault(self.path, &why))? {
            None => return Ok(None),
            Some(Stat { kind: Kind::File, .. }) => {}
            Some(Stat { kind: Kind::Link, .. }) => {
                return Err(error(self.path, "is a link").hint("name the file that it leads to"));
            }
            Some(_) => return Err(error(self.path, "is no regular file")),
        }
        let (text, stat) = self.dir.read_file(self.name, LARGEST).map_err(|why| fault(self.path, &why))?;
        if stat.nlink != 1 {
            return Err(error(self.path, "has other hard links").hint("find them with find -samefile, and remove all but one"));
        }
        if !is_ours(&stat, self.holder.uid) {
            let cause = format!("belongs to {}, and the directory it lies in to {}", name_of(&stat), name_of(&self.holder));
            return Err(error(self.path, cause).hint("sshd does not read such a file either"));
        }
        if stat.mode.bits() & 0o022 != 0 {
            let cause = format!("others may write to it ({}), and sshd does not read such a file", stat.mode.ls('-'));
            return Err(error(self.path, cause).hint(format!("chmod go-w {}", self.path)));
        }
        Ok(Some((text, stat)))
    }
}

/// The directory's owner can do with its files what he likes; besides him only root and we may.
fn check_holder(path: &AbsPath, above: &AbsPath, holder: &Stat, mover: Option<u32>) -> Result<()> {
    let me = geteuid().as_raw();
    if me != 0 && !is_ours(holder, me) {
        return Err(error(path, format!("the directory it lies in belongs to {}", name_of(holder))).hint("run it as that user, or as root"));
    }
    if holder.mode.bits() & 0o022 != 0 {
        let cause = format!("others may write to the directory it lies in ({}), and sshd does not read such a file", holder.mode.ls('d'));
        // A directory that is meant for everybody is not to be closed.
        let sticky = holder.mode.bits() & 0o1000 != 0;
        let hint =
            if sticky { "choose a file in a directory that only its owner may write to".into() } else { format!("chmod go-w {above}") };
        return Err(error(path, cause).hint(hint));
    }
    match mover {
        Some(mover) if mover != holder.uid => {
            let cause = "others may exchange a directory on the way to it, and sshd does not read such a file";
            Err(error(path, cause).hint(format!("see the directories above {above} with `namei -l {above}`")))
        }
        _ => Ok(()),
    }
}

fn is_ours(stat: &Stat, owner: u32) -> bool {
    [0, owner, geteuid().as_raw()].contains(&stat.uid)
}

fn name_of(stat: &Stat) -> String {
    users::user_name(stat.uid)
}

fn error(path: &AbsPath, cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::Permission, path.as_str(), cause)
}

fn fault(path: &AbsPath, why: &io::Error) -> Error {
    Error::io(ErrorKind::Permission, path, why)
}

#[cfg(test)]
mod tests {
    use super::{Edited, edit};
    use crate::base::{Error, Result};
    use crate::host::testing::{STRANGER, Scene, Test, needs_root};
    use std::os::unix::fs::{MetadataExt, symlink};

    /// Adds a line, once.
    fn add(text: &[u8]) -> Result<Vec<u8>> {
        Ok(if text.ends_with(b"ours\n") { text.to_vec() } else { [text, b"ours\n"].concat() })
    }

    fn refused(scene: &Scene, name: &str) -> std::result::Result<Error, Box<dyn std::error::Error>> {
        Ok(edit(&scene.abs(name)?, add).err().ok_or_else(|| format!("{name} was taken"))?)
    }

    #[test]
    fn a_file_keeps_its_mode_and_is_written_only_where_something_changes() -> Test {
        let scene = Scene::new()?;
        scene.file("keys", "mine\n", 0o640)?;
        let path = scene.abs("keys")?;
        assert_eq!(edit(&path, add)?, Edited::Changed);
        let first = std::fs::metadata(scene.at("keys"))?;
        assert_eq!((std::fs::read_to_string(scene.at("keys"))?.as_str(), first.mode() & 0o7777), ("mine\nours\n", 0o640));
        assert_eq!(edit(&path, add)?, Edited::Same);
        let then = std::fs::metadata(scene.at("keys"))?;
        assert_eq!((first.ino(), first.ctime_nsec()), (then.ino(), then.ctime_nsec()), "nothing was written");
        Ok(())
    }

    #[test]
    fn a_file_that_is_not_there_is_made_but_never_empty() -> Test {
        let scene = Scene::new()?;
        assert_eq!(edit(&scene.abs("none")?, |text| Ok(text.to_vec()))?, Edited::Same);
        assert!(!scene.at("none").exists());
        assert_eq!(edit(&scene.abs("none")?, add)?, Edited::Changed);
        assert_eq!(std::fs::metadata(scene.at("none"))?.mode() & 0o7777, 0o644);
        let error = refused(&scene, "missing/keys")?;
        assert!(error.hint.is_some_and(|hint| hint.starts_with("mkdir -p ")));
        Ok(())
    }

    #[test]
    fn links_second_names_and_what_others_may_write_are_refused() -> Test {
        let scene = Scene::new()?;
        scene.file("keys", "", 0o600)?;
        symlink("keys", scene.at("link"))?;
        assert_eq!(refused(&scene, "link")?.cause, "is a link");
        std::fs::hard_link(scene.at("keys"), scene.at("second"))?;
        assert_eq!(refused(&scene, "keys")?.cause, "has other hard links");
        scene.fifo("fifo")?;
        assert_eq!(refused(&scene, "fifo")?.cause, "is no regular file");
        scene.file("open", "", 0o664)?;
        assert!(refused(&scene, "open")?.cause.starts_with("others may write to it (-rw-rw-r--)"));
        scene.folder("shared", 0o777)?;
        assert!(refused(&scene, "shared/keys")?.cause.starts_with("others may write to the directory it lies in"));
        scene.folder("shared/private", 0o755)?;
        assert!(refused(&scene, "shared/private/keys")?.cause.starts_with("others may exchange a directory on the way"));
        assert_eq!(std::fs::read_to_string(scene.at("keys"))?, "");
        Ok(())
    }

    #[test]
    fn what_root_makes_for_a_user_is_the_users() -> Test {
        if needs_root() {
            return Ok(());
        }
        let scene = Scene::new()?;
        for name in ["home", "home/.ssh"] {
            scene.folder(name, 0o755)?;
            scene.give(name, STRANGER)?;
        }
        let path = scene.abs("home/.ssh/authorized_keys")?;
        assert_eq!(edit(&path, add)?, Edited::Changed);
        let made = std::fs::metadata(scene.at("home/.ssh/authorized_keys"))?;
        assert_eq!((made.uid(), made.mode() & 0o7777), (STRANGER, 0o644));
        // Another user's file in his directory, and another user's directory above.
        scene.give("home/.ssh/authorized_keys", STRANGER - 1)?;
        assert!(refused(&scene, "home/.ssh/authorized_keys")?.cause.starts_with("belongs to "));
        scene.give("home/.ssh/authorized_keys", 0)?;
        assert_eq!(edit(&path, |_| Ok(b"new\n".to_vec()))?, Edited::Changed);
        assert_eq!(std::fs::metadata(scene.at("home/.ssh/authorized_keys"))?.uid(), 0, "root's own stays root's");
        scene.give("home", STRANGER - 1)?;
        assert!(refused(&scene, "home/.ssh/authorized_keys")?.cause.starts_with("others may exchange"));
        // He has put a link to root's own file in its place.
        scene.give("home", STRANGER)?;
        scene.file("roots", "root's own\n", 0o600)?;
        std::fs::remove_file(scene.at("home/.ssh/authorized_keys"))?;
        symlink(scene.at("roots"), scene.at("home/.ssh/authorized_keys"))?;
        assert_eq!(refused(&scene, "home/.ssh/authorized_keys")?.cause, "is a link");
        assert_eq!(std::fs::read_to_string(scene.at("roots"))?, "root's own\n");
        Ok(())
    }
}
