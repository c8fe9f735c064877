//! What lies in the root of the state directory.

use super::requests::is_unfinished;
use super::{file, floors, mirror, peers, requests, share, staged, turn};
use std::ffi::OsStr;

/// The names that this module's parts use there.
const NAMES: [&str; 11] = [
    file::FILE,
    floors::FILE,
    mirror::ROOT,
    peers::FOLDER,
    requests::FOLDER,
    share::ANSWERS,
    share::INBOX,
    staged::STAGED,
    "store",
    turn::NEXT,
    turn::RUN,
];

/// Those that say that certsync has worked there.
pub const MARKS: [&str; 2] = [file::FILE, turn::RUN];

/// Whether it is a name of these, something half written, or a state that was set aside.
pub fn is_of_state(name: &OsStr) -> bool {
    let aside = name.as_encoded_bytes().strip_prefix(file::FILE.as_bytes()).and_then(|rest| rest.strip_prefix(b"."));
    NAMES.iter().any(|ours| name == *ours)
        || is_unfinished(name)
        || aside.is_some_and(|rest| rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-'))
}
