//! The command line of ssh.

use super::failure::{Far, Hints};
use crate::base::{AbsPath, Error, ErrorKind, Result, printable};
use std::time::Duration;

/// Where to log in, as whom, and what must be true of the far end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    address: String,
    /// None where ssh_config says it.
    port: Option<u16>,
    /// The same.
    user: Option<String>,
    known: Option<Known>,
    identity: Option<String>,
    far: Far,
    command: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    alias: String,
    file: String,
}

/// What the far end is asked to run. The gate's line in authorized_keys says what really runs there; where somebody forgot that line's
/// command, the account's shell must not be fed with what is meant for certsync.
const COMMAND: &str = "certsync gate";

impl Login {
    /// The server at `address`, as `user`.
    ///
    /// # Errors
    /// An address or a user that ssh, or a shell that an operator's ProxyCommand starts, could take for something else.
    pub fn new(address: &str, port: u16, user: &str) -> Result<Login> {
        Login::written(address, Some(port), Some(user), Far::Certsync)
    }

    /// The same where ssh_config may say the port and the user, and with what is there.
    ///
    /// # Errors
    /// As [`Login::new`].
    pub fn written(address: &str, port: Option<u16>, user: Option<&str>, far: Far) -> Result<Login> {
        let plain = |text: &str, more: &[u8]| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
            !text.is_empty() && text.len() <= 255 && !text.starts_with('-') && text.bytes().all(good)
        };
        let wrong =
            |what: &str, text: &str| Err(Error::new(ErrorKind::Peer, printable(text), format!("this is no {what} that ssh can be given")));
        if !plain(address, b".-_:%") {
            return wrong("address", address);
        }
        // A domain's users have a backslash, @ or + in their names.
        if let Some(user) = user
            && (!plain(user, b".-_@+\\") || user.ends_with('\\'))
        {
            return wrong("user", user);
        }
        Ok(Login { address: address.into(), port, user: user.map(String::from), known: None, identity: None, far, command: COMMAND.into() })
    }

    /// Its host key must stand in `file`, under the name `alias`; no other file is looked at.
    ///
    /// # Errors
    /// A path that cannot be written in an option of ssh.
    pub fn known_as(mut self, alias: &str, file: &AbsPath) -> Result<Login> {
        self.known = Some(Known { alias: alias.into(), file: quoted(file)? });
        Ok(self)
    }

    /// Logs in with the private key in `file`, and no other but those that ssh_config names.
    ///
    /// # Errors
    /// A path that cannot be written in an option of ssh.
    pub fn with_key(mut self, file: &AbsPath) -> Result<Login> {
        self.identity = Some(quoted(file)?);
        Ok(self)
    }

    /// Runs `line` there, which the shell of the account reads, instead of talking to certsync.
    pub fn running(mut self, line: &str) -> Login {
        self.command = line.into();
        self
    }

    /// The arguments; it may take `time` to connect.
    pub(super) fn arguments(&self, time: Duration) -> Vec<String> {
        let mut out = self.options(time);
        out.extend(["--".into(), self.address.clone(), self.command.clone()]);
        out
    }

    /// The address, as rsync writes one before a path.
    pub(in crate::host) fn rsync_host(&self) -> String {
        if self.address.contains(':') { format!("[{}]", self.address) } else { self.address.clone() }
    }

    /// All that goes before the address.
    pub(in crate::host) fn options(&self, time: Duration) -> Vec<String> {
        // No terminal, no agent and no display there; a first value holds, so all of this goes before ssh_config.
        let mut out: Vec<String> = ["-T", "-a", "-x"].map(String::from).into();
        let mut option = |text: &str| out.extend(["-o".into(), text.into()]);
        option("BatchMode=yes");
        option("StrictHostKeyChecking=yes");
        option("UpdateHostKeys=no");
        option("ClearAllForwardings=yes");
        option("PermitLocalCommand=no");
        option("RemoteCommand=none");
        // What goes wrong is said, however ssh_config likes it.
        option("LogLevel=INFO");
        option("ConnectionAttempts=1");
        option(&format!("ConnectTimeout={}", time.as_secs().clamp(1, 3600)));
        // A minute without a sign of life.
        option("ServerAliveInterval=15");
        option("ServerAliveCountMax=4");
        if let Some(known) = &self.known {
            option(&format!("HostKeyAlias={}", known.alias));
            option(&format!("UserKnownHostsFile={}", known.file));
            option("GlobalKnownHostsFile=/dev/null");
            option("VerifyHostKeyDNS=no");
            option("CheckHostIP=no");
            // Added in OpenSSH 8.5.
            option("IgnoreUnknown=KnownHostsCommand");
            option("KnownHostsCommand=none");
        }
        if let Some(identity) = &self.identity {
            option(&format!("IdentityFile={identity}"));
            option("IdentitiesOnly=yes");
            option("IdentityAgent=none");
        }
        if self.known.is_some() || self.identity.is_some() {
            // A connection that something else has opened was neither checked by this host key nor logged in with this key.
            option("ControlMaster=no");
            option("ControlPath=none");
        }
        out.extend(self.port.iter().flat_map(|port| ["-p".into(), port.to_string()]));
        out.extend(self.user.iter().flat_map(|user| ["-l".into(), user.clone()]));
        out
    }

    pub(in crate::host) fn hints(&self) -> Hints {
        Hints {
            address: self.address.clone(),
            port: self.port.unwrap_or(22),
            has_known: self.known.is_some(),
            has_identity: self.identity.is_some(),
            far: self.far,
        }
    }
}

/// A path as the value of an option: in quotes, since a space would begin a second one.
fn quoted(path: &AbsPath) -> Result<String> {
    if path.as_str().contains(['"', '\\', '$', '%']) {
        let cause = "ssh cannot be given a path with a quotation mark, backslash, dollar or percent sign";
        return Err(Error::new(ErrorKind::State, path.as_str(), cause).hint("choose another state directory with --state-dir"));
    }
    Ok(format!("\"{path}\""))
}

#[cfg(test)]
mod tests {
    use super::Login;
    use std::time::Duration;

    fn line(login: &Login) -> String {
        login.arguments(Duration::from_secs(20)).join(" ")
    }

    #[test]
    fn the_host_key_is_checked_and_nothing_is_forwarded_whatever_ssh_config_says() {
        let plain = Login::new("10.0.0.1", 2222, "certsync").expect("plain");
        let line = line(&plain);
        assert!(line.starts_with("-T -a -x -o BatchMode=yes -o StrictHostKeyChecking=yes "), "{line}");
        assert!(line.contains(" -o ClearAllForwardings=yes ") && line.contains(" -o ConnectTimeout=20 "), "{line}");
        assert!(line.ends_with(" -p 2222 -l certsync -- 10.0.0.1 certsync gate"), "{line}");
        for other in ["IdentitiesOnly", "KnownHosts", "HostKeyAlias", "Control"] {
            assert!(!line.contains(other), "left to ssh_config: {other}");
        }
    }

    #[test]
    fn a_given_host_key_and_a_key_of_our_own_leave_no_other_way() {
        let file = "/var/lib/my certsync/known".parse().expect("a path");
        let login =
            Login::new("fe80::1%eth0", 22, "certsync").and_then(|login| login.known_as("web1", &file)?.with_key(&file)).expect("plain");
        let line = line(&login);
        for wanted in [
            "HostKeyAlias=web1",
            "UserKnownHostsFile=\"/var/lib/my certsync/known\"",
            "GlobalKnownHostsFile=/dev/null",
            "IdentityFile=\"/var/lib/my certsync/known\"",
            "IdentitiesOnly=yes",
            "ControlPath=none",
        ] {
            assert!(line.contains(&format!(" -o {wanted} ")), "{wanted}: {line}");
        }
    }

    #[test]
    fn what_ssh_or_a_shell_could_take_for_something_else_is_no_address_and_no_user() {
        for bad in ["", "-oProxyCommand=x", "a b", "a;b", "$(x)", "a\nb", "ssh://x", "x@y", "`x`", "münchen", &"x".repeat(256)] {
            assert!(Login::new(bad, 22, "certsync").is_err(), "{bad}");
        }
        for bad in ["", "-l", "a b", "a;b", "a'b", "a\nb", "x\\"] {
            assert!(Login::new("10.0.0.1", 22, bad).is_err(), "{bad}");
        }
        assert!(Login::new("web-1.example.net", 22, "EXAMPLE\\joe").is_ok());
        for bad in ["/a\"b", "/a%h", "/${HOME}", "/a\\b"] {
            assert!(Login::new("a", 22, "b").and_then(|login| login.with_key(&bad.parse().expect("a path"))).is_err(), "{bad}");
        }
    }
}
