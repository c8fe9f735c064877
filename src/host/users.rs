//! Users and groups.

use crate::base::{escape, printable};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use users::os::unix::UserExt;

/// Name, id and primary group of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: String,
}

thread_local! {
    /// A look-up reads files or asks a directory server, and the same few are shown for every set.
    static USERS: RefCell<HashMap<u32, Option<User>>> = RefCell::default();
    static GROUPS: RefCell<HashMap<u32, String>> = RefCell::default();
}

/// Looks a user up by name, or by number where `text` is all digits. A number without an entry is a user all the
/// same: its own name, the group of that number, home `/`.
pub fn user(text: &str) -> Option<User> {
    match id(text) {
        Id::Number(uid) => Some(by_uid(uid)),
        Id::Name => users::get_user_by_name(text).map(|found| known(&found)),
        Id::Neither => None,
    }
}

/// Looks a group up by name or number: its name (the number where it has none) and id.
pub fn group(text: &str) -> Option<(String, u32)> {
    match id(text) {
        Id::Number(gid) => Some((group_name(gid), gid)),
        Id::Name => users::get_group_by_name(text).map(|found| (shown(found.name()), found.gid())),
        Id::Neither => None,
    }
}

/// The effective user.
pub fn running_user() -> User {
    by_uid(users::get_effective_uid())
}

/// The effective group: its name (the number where it has none) and id.
pub fn running_group() -> (String, u32) {
    let gid = users::get_effective_gid();
    (group_name(gid), gid)
}

/// The groups of this process: the effective one and all supplementary ones.
pub fn running_groups() -> Vec<u32> {
    let mut groups = vec![users::get_effective_gid()];
    groups.extend(nix::unistd::getgroups().unwrap_or_default().into_iter().map(nix::unistd::Gid::as_raw));
    groups
}

/// The name shown for a uid: its name, or the number.
pub fn user_name(uid: u32) -> String {
    entry(uid).map_or_else(|| uid.to_string(), |found| found.name)
}

/// Whether the system knows a user of this number.
pub(super) fn has_entry(uid: u32) -> bool {
    entry(uid).is_some()
}

/// The name shown for a gid.
pub fn group_name(gid: u32) -> String {
    let look_up = || users::get_group_by_gid(gid).map_or_else(|| gid.to_string(), |found| shown(found.name()));
    GROUPS.with_borrow_mut(|known| known.entry(gid).or_insert_with(look_up).clone())
}

/// This host's name.
pub fn host_name() -> String {
    nix::unistd::gethostname().map_or_else(|_| String::from("localhost"), |name| shown(&name))
}

/// What a text from the spec names.
enum Id {
    Number(u32),
    Name,
    Neither,
}

fn id(text: &str) -> Id {
    if text.is_empty() || text.contains('\0') {
        return Id::Neither;
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Id::Name;
    }
    match text.parse() {
        // chown(2) takes the highest number for "leave as it is".
        Ok(u32::MAX) | Err(_) => Id::Neither,
        Ok(number) => Id::Number(number),
    }
}

fn by_uid(uid: u32) -> User {
    entry(uid).unwrap_or_else(|| User { name: uid.to_string(), uid, gid: uid, home: "/".into() })
}

/// What the system knows of the user of this number; looked up once.
fn entry(uid: u32) -> Option<User> {
    USERS.with_borrow_mut(|users| users.entry(uid).or_insert_with(|| users::get_user_by_uid(uid).map(|found| known(&found))).clone())
}

fn known(found: &users::User) -> User {
    let home = match found.home_dir().to_str() {
        Some(home) if home.starts_with('/') => printable(home),
        _ => "/".into(),
    };
    User { name: shown(found.name()), uid: found.uid(), gid: found.primary_group_id(), home }
}

fn shown(name: &OsStr) -> String {
    escape(name)
}

#[cfg(test)]
mod tests {
    use super::{group, host_name, running_group, running_user, user, user_name};

    #[test]
    fn root_is_found_by_name_and_by_number() {
        assert_eq!(user("root").map(|u| (u.uid, u.gid)), Some((0, 0)));
        assert_eq!(user("0"), user("root"));
        assert_eq!(group("0").map(|g| g.1), Some(0));
        assert_eq!(user_name(0), "root");
    }

    #[test]
    fn a_number_without_an_entry_is_still_a_user_and_a_group() {
        let nobody_has = 3_999_999_991;
        let found = user("3999999991");
        assert_eq!(found.map(|u| (u.name, u.uid, u.gid, u.home)), Some(("3999999991".into(), nobody_has, nobody_has, "/".into())));
        assert_eq!(group("3999999991"), Some(("3999999991".into(), nobody_has)));
    }

    #[test]
    fn what_names_nobody_is_nobody() {
        for text in ["", "no such user here", "4294967295", "4294967296", "99999999999999999999", "root\0"] {
            assert_eq!(user(text), None, "{text:?}");
            assert_eq!(group(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_running_user_has_a_name() {
        assert_eq!(user(&running_user().uid.to_string()), Some(running_user()));
        assert_eq!(group(&running_group().1.to_string()), Some(running_group()));
        assert!(!host_name().is_empty());
    }
}
