//! Users and groups.

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

/// Looks a user up by name, or by number where `text` is all digits.
pub fn user(text: &str) -> Option<User> {
    let _ = text;
    todo!()
}

/// Looks a group up by name or number: its name (the number where it has none) and id.
pub fn group(text: &str) -> Option<(String, u32)> {
    let _ = text;
    todo!()
}

/// The effective user.
pub fn running_user() -> User {
    todo!()
}

/// The effective group: its name (the number where it has none) and id.
pub fn running_group() -> (String, u32) {
    todo!()
}

/// The name shown for a uid: its name, or the number.
pub fn user_name(uid: u32) -> String {
    let _ = uid;
    todo!()
}

/// The name shown for a gid.
pub fn group_name(gid: u32) -> String {
    let _ = gid;
    todo!()
}

/// This host's name.
pub fn host_name() -> String {
    todo!()
}
