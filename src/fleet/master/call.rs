//! The two runs of rsync: one lists, the other brings files by their names.

use crate::base::{AbsPath, Error, ErrorKind, Result};
use crate::host::rsync::listing::{Listed, read_list};
use crate::host::rsync::{Failure, Over, Rsync, check_identity, check_password_file};
use crate::host::ssh::{Far, Login};
use crate::spec::RsyncFrom;
use crate::state::mirror::{Coming, Links, Mark};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest list that is read, in bytes: more than all the entries that are.
const LONGEST_LIST: usize = 32 << 20;
/// How often what has come is weighed.
const EVERY: Duration = Duration::from_millis(50);
/// Entries that rsync may make for a moment beside those that were asked for.
const SPARE: usize = 64;

/// How a source is reached.
pub(super) struct Call {
    way: Way,
    /// With a slash at its end: what is in it, not it.
    path: String,
    /// The same as it is given beside a list of names, and what then goes before each of them.
    base: (String, String),
    deadline: Duration,
}

enum Way {
    Ssh(Login),
    Daemon { port: Option<u16>, password_file: Option<AbsPath> },
}

impl Call {
    /// # Errors
    /// Kind `Source`: files that it needs are not there, or others may read the password.
    pub(super) fn new(from: &RsyncFrom, deadline: Duration) -> Result<Call> {
        let wrong = |error: Error| Error { kind: ErrorKind::Source, ..error };
        let slashed = |path: &str| format!("{}/", path.trim_end_matches('/'));
        if from.from.starts_with("rsync://") {
            from.password_file.as_ref().map_or(Ok(()), check_password_file).map_err(wrong)?;
            let way = Way::Daemon { port: from.port, password_file: from.password_file.clone() };
            return Ok(Call { way, path: slashed(&from.from), base: of_module(&from.from), deadline });
        }
        let (host, path) = from.from.split_once(':').unwrap_or((&from.from, ""));
        let (user, address) = host.split_once('@').map_or((None, host), |(user, host)| (Some(user), host));
        let mut login = Login::written(address, from.port, user, Far::Master).map_err(wrong)?;
        if let Some(identity) = &from.identity {
            check_identity(identity).map_err(wrong)?;
            login = login.with_key(identity).map_err(wrong)?;
        }
        // The root directory keeps its only slash; what begins with a dash is no option.
        let path = if path.starts_with('-') { format!("./{path}") } else { path.to_owned() };
        let path = slashed(&path);
        Ok(Call { way: Way::Ssh(login), base: (path.clone(), String::new()), path, deadline })
    }

    fn over(&self) -> Over<'_> {
        match &self.way {
            Way::Ssh(login) => Over::Ssh(login),
            Way::Daemon { port, password_file } => Over::Daemon { port: *port, password_file: password_file.as_ref() },
        }
    }

    /// Everything there; the first line that is none of a list where it is no list.
    pub(super) fn list(&self, links: Links) -> std::result::Result<std::result::Result<Vec<Listed>, String>, Failure> {
        let over = self.over();
        let place = over.place(&self.path);
        let mut options = vec!["--recursive", "--list-only", "--8-bit-output", "--no-motd"];
        options.extend(following(links));
        let until = Instant::now() + self.deadline;
        let call = Rsync { over, options: &options, places: &[&place], input: b"", most: LONGEST_LIST, until };
        Ok(read_list(&call.run(|| Ok(()))?))
    }

    /// Brings the files `asked` into `coming`, and ends it when there is more than was asked for.
    pub(super) fn bring(
        &self,
        asked: &BTreeMap<String, Mark>,
        links: Links,
        coming: &Coming<'_>,
        largest: u64,
    ) -> std::result::Result<(), Failure> {
        let over = self.over();
        let (base, before) = &self.base;
        let (from, to) = (over.place(base), format!("{}/", coming.at()));
        // Owner, group and mode there are nothing to us; links, devices and their like do not come. Names stand for themselves.
        let mut options = vec!["--times", "--perms", "--chmod=Du=rwx,Dgo=,Fu=rw,Fgo=", "--8-bit-output", "--no-motd"];
        options.extend(["--from0", "--files-from=-"]);
        options.extend(following(links));
        let input: Vec<u8> = asked.keys().flat_map(|path| before.bytes().chain(path.bytes()).chain([0])).collect();
        let folders: usize = asked.keys().map(|path| Path::new(path).components().count()).sum();
        let most = (folders + SPARE, asked.values().map(|mark| mark.0).sum::<u64>().saturating_add(largest));
        let mut next = Instant::now();
        let watch = || {
            if Instant::now() < next {
                return Ok(());
            }
            let began = Instant::now();
            let weight = coming.weight(most);
            next = Instant::now() + EVERY.max(began.elapsed() * 10);
            if weight.0 > most.0 || weight.1 > most.1 {
                return Err("sends more than it has listed, and was cut off".to_owned());
            }
            Ok(())
        };
        let until = Instant::now() + self.deadline;
        Rsync { over, options: &options, places: &[&from, &to], input: &input, most: LONGEST_LIST, until }.run(watch).map(drop)
    }
}

/// A module, and what goes before the names of files of a directory in it: rsync makes what stands after `/./`. A daemon that does not change
/// its root finds no file by its name where it was given the directory itself (seen with rsync 3.5.0).
fn of_module(address: &str) -> (String, String) {
    let rest = address.strip_prefix("rsync://").unwrap_or(address);
    let mut steps = rest.split('/').filter(|step| !step.is_empty());
    let (host, module) = (steps.next().unwrap_or_default(), steps.next().unwrap_or_default());
    let below: String = steps.flat_map(|step| [step, "/"]).collect();
    let before = if below.is_empty() { below } else { format!("{below}./") };
    (format!("rsync://{host}/{module}/"), before)
}

fn following(links: Links) -> Option<&'static str> {
    (links == Links::Followed).then_some("--copy-links")
}

#[cfg(test)]
mod tests {
    use super::of_module;

    #[test]
    fn files_of_a_daemon_are_named_from_its_module() {
        let of = |address: &str| of_module(address);
        assert_eq!(of("rsync://u@host:8730/m"), ("rsync://u@host:8730/m/".into(), String::new()));
        assert_eq!(of("rsync://host/m/live//x/"), ("rsync://host/m/".into(), "live/x/./".into()));
    }
}
