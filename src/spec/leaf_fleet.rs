//! What a spec says of other hosts: addresses, logins, keys and rsync's own way of naming a place.

use super::fault::quoted;
use super::leaf::{Raw, Wrong, leaf, wrong};
use super::leaf_names::is_dns_name;
use crate::base::{SshKey, printable};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host name or address to connect to.
#[derive(Debug, Clone)]
pub struct HostText(pub String);

impl HostText {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let text = raw.text.as_str();
        if is_host(text) {
            return Ok(HostText(text.to_owned()));
        }
        let host_and_port =
            text.rsplit_once(':').filter(|(host, port)| is_host(host.trim_matches(['[', ']'])) && port.parse::<u16>().is_ok());
        let hint = match (host_and_port, text.split_once('@')) {
            (Some((host, port)), _) => format!("write `address: {}` and `port: {port}`", host.trim_matches(['[', ']'])),
            (None, Some((user, host))) if is_login(user) && is_host(host) => format!("write `address: {host}` and `user: {user}`"),
            _ => "write a host name such as web1.example.com, an IP address, or the name of a `Host` in ssh_config".into(),
        };
        wrong(format!("not the address of a host: {}", quoted(text)), hint)
    }
}

leaf!(HostText, { "type": "string", "description": "A host name or an IP address.", "pattern": "^[^-/@\\s][^/@\\s]*$" });

/// A name, an IP address, or a link-local one with its interface.
fn is_host(text: &str) -> bool {
    let zoned = || text.split_once('%').filter(|(_, zone)| is_dns_name(zone)).is_some_and(|(host, _)| host.parse::<Ipv6Addr>().is_ok());
    is_dns_name(text) || text.parse::<IpAddr>().is_ok() || zoned()
}

/// The user to log in as.
#[derive(Debug, Clone)]
pub struct LoginText(pub String);

impl LoginText {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        if is_login(&raw.text) {
            return Ok(LoginText(raw.text.clone()));
        }
        let hint = if raw.text.starts_with('-') { "ssh would take it for an option" } else { "write one name, such as certsync" };
        wrong(format!("not the name of a user: {}", quoted(&raw.text)), hint)
    }
}

leaf!(LoginText, { "type": "string", "description": "The name of a user.", "pattern": "^[^-\\s][^\\s]*$" });

/// What ssh takes on its command line (OpenSSH since 9.6 refuses these characters of the shell).
fn is_login(text: &str) -> bool {
    let is_odd = |c: char| c.is_whitespace() || "'`\"$;&<>|(){}/:\\".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.len() <= 256 && !text.contains(is_odd) && printable(text) == text
}

/// A public key as OpenSSH writes it.
#[derive(Debug, Clone)]
pub struct KeyText(pub SshKey);

impl KeyText {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        match raw.text.parse() {
            Ok(key) => Ok(KeyText(key)),
            Err(error) => {
                wrong(format!("not a public key: {error}"), "write the line of the file that ends in .pub, such as \"ssh-ed25519 AAAA…\"")
            }
        }
    }
}

leaf!(KeyText, {
    "type": "string",
    "description": "A public key as OpenSSH writes it: type, base64, and perhaps a comment.",
    "pattern": "^(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ +[A-Za-z0-9+/]+=*( .*)?$"
});

/// One pattern of `from=` in authorized_keys (sshd(8)): a name or address with `*` and `?`, or address/bits; `!` before it shuts out.
#[derive(Debug, Clone)]
pub struct FromText(pub String);

impl FromText {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let text = raw.text.as_str();
        let bare = text.strip_prefix('!').unwrap_or(text);
        let wrong_net = |why: &str, hint: String| wrong(format!("{why}: {}", quoted(text)), hint);
        if let Some((address, bits)) = bare.split_once('/') {
            return match (address.parse::<IpAddr>(), bits.parse::<u32>()) {
                (Ok(address), Ok(bits)) if network(address, bits) == Some(address) => Ok(FromText(text.to_owned())),
                (Ok(address), Ok(bits)) => match network(address, bits) {
                    Some(net) => wrong_net("sshd refuses a network with bits behind its mask", format!("did you mean `{net}/{bits}`?")),
                    None => wrong_net("not so many bits in such an address", "an IPv4 address has 32 bits, an IPv6 address 128".into()),
                },
                _ => wrong_net("not a network", "write it as 10.0.0.0/24".into()),
            };
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".:*?-_%".contains(c);
        if bare.is_empty() || bare.starts_with('-') || !bare.chars().all(is_plain) {
            let hint = "write an address, a network such as 10.0.0.0/24, or a name with `*` and `?`; each is an item of its own";
            return wrong(format!("not a pattern for addresses: {}", quoted(text)), hint);
        }
        Ok(FromText(text.to_owned()))
    }
}

leaf!(FromText, {
    "type": "string",
    "description": "A pattern of sshd's from=: a name or address with * and ?, or address/bits; ! before it shuts out.",
    "pattern": "^!?[A-Za-z0-9.:*?_%/-]+$"
});

/// The network of an address with so many bits; none where it has fewer.
fn network(address: IpAddr, bits: u32) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) if bits <= 32 => {
            Some(Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0)).into())
        }
        IpAddr::V6(address) if bits <= 128 => {
            Some(Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0)).into())
        }
        _ => None,
    }
}

/// What rsync is told to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsyncText {
    /// As written, without the `/*` at its end.
    pub from: String,
    /// Whether it ended in `/*`.
    pub is_pattern: bool,
    /// Whether it is read from an rsync daemon, not over ssh.
    pub is_daemon: bool,
    /// Whether it names a port.
    pub has_port: bool,
}

/// The ways of writing it.
const RSYNC_FORMS: &str = "write `user@host:directory`, `host:directory` or `rsync://host/module`";

impl RsyncText {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let text = raw.text.as_str();
        let whole = |why: &str, hint: &str| wrong(format!("{why}: {}", quoted(text)), hint);
        if printable(text) != text || text.len() > 4000 {
            return whole("not a place that rsync can read", "it holds a control character, or is longer than 4000 bytes");
        }
        let (from, is_pattern) = text.strip_suffix("/*").map_or((text, false), |from| (from, true));
        let (host, directory, is_daemon) = match (from.strip_prefix("rsync://"), from.split_once(':')) {
            (Some(rest), _) => {
                let (host, module) = rest.split_once('/').unwrap_or((rest, ""));
                (host, module, true)
            }
            (None, Some((host, rest))) if rest.starts_with(':') => {
                let hint = format!("write `rsync://{host}/{}`", rest.trim_start_matches(':'));
                return whole("an rsync daemon is written as an address", &hint);
            }
            (None, Some((host, directory))) if !host.contains('/') => (host, directory, false),
            _ => {
                return whole("no host to read from", "a directory of this host is written without `rsync`; otherwise user@host:directory");
            }
        };
        let (user, host) = host.split_once('@').map_or((None, host), |(user, host)| (Some(user), host));
        let (host, port) = if is_daemon { split_port(host) } else { (host, None) };
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if !user.is_none_or(is_login) || !is_host(bare) || !is_port {
            return whole("not a place that rsync can read", RSYNC_FORMS);
        }
        if directory.trim_matches('/').is_empty() {
            let hint = if is_daemon { "write the module: rsync://host/module" } else { "write the directory: host:directory" };
            return whole("nothing to read is named", hint);
        }
        if directory.contains(['*', '?', '[']) {
            return whole("only the last step can be `*`", "write one set for each directory, or `/*` at the end");
        }
        if directory.split('/').any(|step| step == "..") || directory.starts_with('~') {
            return whole(
                "a path holds `..` or begins with `~`",
                "write the whole path; one that begins without `/` starts in that user's home",
            );
        }
        Ok(RsyncText { from: from.to_owned(), is_pattern, is_daemon, has_port: port.is_some() })
    }
}

leaf!(RsyncText, {
    "type": "string",
    "description": "user@host:directory, host:directory, or rsync://user@host/module; one that ends in /* makes one set of each directory.",
    "pattern": "^(rsync://[^/]+/.+|[^/:]+:[^:].*)$"
});

/// `host:port`, where there is a port; the colons of `[::1]` are the address's own.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((before, port)) if !port.contains(']') => (before, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::{FromText, HostText, LoginText, Raw, RsyncText};

    fn raw(text: &str) -> Raw {
        Raw { text: text.into(), plain: true }
    }

    #[test]
    fn an_address_is_a_host_alone() {
        for good in ["web1", "web1.example.com", "10.0.0.11", "2001:db8::1", "fe80::1%eth0", "web_1"] {
            assert!(HostText::read(&raw(good)).is_ok(), "{good}");
        }
        for bad in ["", "-oProxyCommand=x", "a b", "web1:22", "[::1]:22", "root@web1", "a/b", "web1,web2", "fe80::1%", "x\n"] {
            assert!(HostText::read(&raw(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_and_a_user_have_their_own_keys() {
        let hint = |text: &str| HostText::read(&raw(text)).err().map(|(_, hint)| hint).unwrap_or_default();
        assert_eq!(hint("web1:2222"), "write `address: web1` and `port: 2222`");
        assert_eq!(hint("[::1]:22"), "write `address: ::1` and `port: 22`");
        assert_eq!(hint("root@web1"), "write `address: web1` and `user: root`");
    }

    #[test]
    fn a_user_is_no_option_and_no_command() {
        for good in ["certsync", "svc-tls", "ushio@example.com", "münchen"] {
            assert!(LoginText::read(&raw(good)).is_ok(), "{good}");
        }
        for bad in ["", "-x", "a b", "a;b", "$(id)", "a:b", "a/b", "a\tb", "a\\b"] {
            assert!(LoginText::read(&raw(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_sshd_would_refuse_of_from_is_refused() {
        for good in ["10.0.0.1", "10.0.0.0/24", "*.example.com", "!10.0.0.7", "2001:db8::/32", "0.0.0.0/0", "192.168.?.*"] {
            assert!(FromText::read(&raw(good)).is_ok(), "{good}");
        }
        for bad in ["", "!", "10.0.0.1/24", "10.0.0.0/33", "x/8", "a,b", "a\" b", "::/129", "a b", "-x"] {
            assert!(FromText::read(&raw(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_for_rsync_has_a_host_and_a_directory() {
        let read = |text: &str| RsyncText::read(&raw(text));
        for good in [
            "ssl@ssl.example.com:/home/ssl",
            "host:dir",
            "h:dir/*",
            "rsync://u@host:8730/module/sub",
            "rsync://host/m/*",
            "rsync://[::1]:873/m",
        ] {
            assert!(read(good).is_ok(), "{good}: {:?}", read(good));
        }
        for bad in [
            "",
            "/srv/a",
            "host",
            "host:",
            "host:/*",
            "rsync://host",
            "rsync://host/",
            "host::m",
            "-e:x",
            "h:../x",
            "h:~/x",
            "h:a/*/b",
            "rsync://h:0/m",
            "a/b:c",
            "u ser@h:x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let pattern = read("rsync://host:8730/m/*").ok();
        assert_eq!(pattern, Some(RsyncText { from: "rsync://host:8730/m".into(), is_pattern: true, is_daemon: true, has_port: true }));
    }
}
