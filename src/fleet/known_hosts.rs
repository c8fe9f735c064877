//! The lines of known_hosts by which this host knows those it connects to (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).

use crate::base::{AbsPath, ContentHash, Error, ErrorKind, Mode, Result, ServerName};
use crate::host::{Dir, Durability, write_atomic};
use crate::spec::fleet::{Fleet, Server};
use std::ffi::OsStr;
use std::io;

/// Where the lines for one connection each are kept, in the state directory.
pub const FOLDER: &str = "known-hosts";
/// The port that is not written.
const SSH: u16 = 22;

/// The hosts that this one connects to: those above and those directly below.
pub fn called(fleet: &Fleet) -> impl Iterator<Item = &Server> {
    fleet.upstreams().chain(fleet.downstreams())
}

/// One line for each host key of each of them, under its name and its address.
pub fn lines(fleet: &Fleet) -> Vec<String> {
    let names = |server: &Server| format!("{},{}", alias(&server.name), place(server));
    called(fleet).flat_map(|server| server.host_keys.iter().map(move |key| format!("{} {key}", names(server)))).collect()
}

/// What ssh is to call a server when it looks its key up (`HostKeyAlias`). ssh takes some characters in a list of names for patterns or for
/// marks, and compares in lower case: a name with any of them gets another one that no other server has.
pub fn alias(name: &ServerName) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    if name.as_str().chars().all(plain) {
        return name.to_string();
    }
    let like: String = name.as_str().to_lowercase().chars().map(|c| if plain(c) { c } else { '-' }).collect();
    let hash = ContentHash::of(name.as_str().as_bytes()).to_string();
    format!("{like}-{}", &hash[..12])
}

/// An address as it stands in known_hosts.
fn place(server: &Server) -> String {
    let address = server.address.to_lowercase();
    if server.port == SSH { address } else { format!("[{address}]:{}", server.port) }
}

/// Keeps what this host knows of one server in a file of its own, for ssh to look at, and returns its path; none where the spec says nothing
/// of its host key. Nothing is written where it is so already. A file for each: ssh reads it for every connection.
///
/// # Errors
/// Kind `State`.
pub fn keep(dir: &Dir, at: &AbsPath, server: &Server) -> Result<Option<AbsPath>> {
    if server.host_keys.is_empty() {
        return Ok(None);
    }
    let alias = alias(&server.name);
    let path = format!("{at}/{FOLDER}/{alias}");
    let text: String = server.host_keys.iter().map(|key| format!("{alias} {key}\n")).collect();
    write(dir, &alias, text.as_bytes()).map_err(|error| Error::io(ErrorKind::State, &path, &error))?;
    path.parse().map(Some).map_err(|_| Error::new(ErrorKind::State, path, "is not a path"))
}

fn write(dir: &Dir, name: &str, text: &[u8]) -> io::Result<()> {
    let folder = match dir.find_dir(OsStr::new(FOLDER))? {
        Some(folder) => folder,
        None => {
            let owner = dir.stat()?;
            match dir.make_finished_dir(OsStr::new(FOLDER), (owner.uid, owner.gid), Mode::from_bits(0o700)) {
                // Another connection was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => dir.open_dir(OsStr::new(FOLDER))?,
                made => made?,
            }
        }
    };
    let there = folder.read_file(OsStr::new(name), text.len() as u64);
    if there.is_ok_and(|(there, _)| there.expose() == text) {
        return Ok(());
    }
    write_atomic(&folder, OsStr::new(name), text, Mode::from_bits(0o600), Durability::Eventually)
}

#[cfg(test)]
mod tests {
    use super::alias;
    use crate::base::ServerName;

    #[test]
    fn a_name_that_ssh_would_take_for_a_pattern_or_lower_gets_another_one() {
        let of = |name: &str| alias(&name.parse::<ServerName>().expect("a name"));
        assert_eq!(of("web-1.example.net"), "web-1.example.net");
        let mut all = std::collections::BTreeSet::new();
        for name in ["Web1", "web1", "*.example", "a,b", "!a", "@a", "|1|", "a b", "münchen", "#a"] {
            let alias = of(name);
            assert!(alias.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c)), "{alias}");
            assert!(all.insert(alias));
        }
    }
}
