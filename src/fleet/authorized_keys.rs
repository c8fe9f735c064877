//! The lines of authorized_keys that let exactly those hosts in that have to do with this one, and let them do nothing but talk to its gate
//! (sshd(8), AUTHORIZED_KEYS FILE FORMAT).

use crate::base::{AbsPath, SshKey, SshKeyId};
use crate::spec::fleet::{Fleet, Server, Via};

/// How the gate is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateCall {
    /// certsync itself.
    pub program: AbsPath,
    /// The spec.
    pub spec: AbsPath,
    /// The state directory.
    pub state_dir: AbsPath,
    /// This host's name, where somebody has said it.
    pub name: Option<String>,
}

/// The hosts that may log in here: those above, which push, signal or ask for a plan, and those directly below that run certsync, which fetch
/// or report.
pub fn callers(fleet: &Fleet) -> impl Iterator<Item = &Server> {
    let runs_certsync = |server: &&Server| server.via == Via::Ssh;
    let above = fleet.upstreams().filter(move |_| runs_certsync(&fleet.me()));
    above.chain(fleet.downstreams().filter(runs_certsync))
}

/// One line for each public key of each of them, in that order.
pub fn lines(fleet: &Fleet, gate: &GateCall) -> Vec<String> {
    callers(fleet).flat_map(|server| server.public_keys.iter().map(|key| line(server, key, gate))).collect()
}

/// The line of one key, if it is one of theirs.
pub fn line_of(fleet: &Fleet, id: SshKeyId, gate: &GateCall) -> Option<String> {
    let mut keys = callers(fleet).flat_map(|server| server.public_keys.iter().map(move |key| (server, key)));
    keys.find(|(_, key)| key.id() == id).map(|(server, key)| line(server, key, gate))
}

fn line(server: &Server, key: &SshKey, gate: &GateCall) -> String {
    let mut options = String::from("restrict");
    if !server.from.is_empty() {
        options.push_str(&format!(",from={}", quoted(&server.from.join(","))));
    }
    let id = key.id().to_string();
    let mut words = vec![gate.program.as_str(), "gate", "--peer", server.name.as_str(), "--key", &id];
    words.extend(["--spec", gate.spec.as_str(), "--state-dir", gate.state_dir.as_str()]);
    words.extend(gate.name.iter().flat_map(|name| ["--as", name.as_str()]));
    let command: Vec<String> = words.into_iter().map(for_shell).collect();
    format!("{options},command={} {key} {}", quoted(&command.join(" ")), server.name)
}

/// As the value of an option: sshd knows one escape, a backslash before a quotation mark. None of our values ends in a backslash: the last
/// character of each is one that [`for_shell`] has put there, or is none.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\\\""))
}

/// As one word for the account's shell.
pub(super) fn for_shell(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:+=@,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::{for_shell, quoted};
    use std::process::Command;

    const HOSTILE: [&str; 8] =
        ["/plain/path", "a b", "it's", "a\"b", "\\\"", "$(touch x) `x` $HOME *", "ends in a backslash\\", "back\\slash 'and' \"both\""];

    #[test]
    fn a_shell_reads_each_word_as_it_was() {
        let line: Vec<String> = HOSTILE.iter().map(|word| for_shell(word)).collect();
        for shell in ["sh", "bash", "dash"] {
            let Ok(out) = Command::new(shell).args(["-c", &format!("printf '%s\\n' {}", line.join(" "))]).output() else { continue };
            assert_eq!(String::from_utf8_lossy(&out.stdout).lines().collect::<Vec<_>>(), HOSTILE, "{shell}");
        }
    }

    /// As sshd takes an option's value out of its quotation marks: opt_dequote() in auth-options.c.
    fn dequoted(text: &str) -> Option<(String, &str)> {
        let mut rest = text.strip_prefix('"')?;
        let mut out = String::new();
        loop {
            if let Some(after) = rest.strip_prefix("\\\"") {
                out.push('"');
                rest = after;
            } else if let Some(after) = rest.strip_prefix('"') {
                return Some((out, after));
            } else {
                let c = rest.chars().next()?;
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }

    #[test]
    fn sshd_reads_each_option_as_it_was() {
        for word in HOSTILE {
            let word = for_shell(word);
            assert_eq!(dequoted(&format!("{} ssh-ed25519", quoted(&word))), Some((word, " ssh-ed25519")));
        }
    }
}
