//! What root's apply answers to those who wait for it at an unprivileged gate: `answers/<id>.json`.

use super::Standing;
use super::share::{ANSWERS, file_mode};
use crate::base::{Error, ErrorKind, Mode, Result};
use crate::host::{Dir, Durability, Kind, clock, write_atomic};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::io;

/// No answer is larger: a thousand servers below with a thousand sets each.
const LARGEST: u64 = 64 << 20;
/// The age in seconds at which nobody waits for an answer any more.
const FORGOTTEN: i64 = 3600;

/// How the host stands after the run that served a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether the hosts below have been served as well.
    pub whole: bool,
    /// This host first, then every server below it.
    pub servers: Vec<Standing>,
}

/// Names what is waited for: digits and letters that nobody chose.
pub fn is_id(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Answers the request `id`, or answers it anew.
///
/// # Errors
/// Kind `State`.
pub fn answer(dir: &Dir, id: &str, answer: &Answer) -> Result<()> {
    let write = || -> io::Result<()> {
        let Some(answers) = dir.find_dir(OsStr::new(ANSWERS))? else { return Ok(()) };
        let name = format!("{id}.json");
        write_atomic(&answers, OsStr::new(&name), &serde_json::to_vec(answer)?, Mode::from_bits(0o600), Durability::Eventually)?;
        let held = answers.stat()?;
        answers.adjust_file(OsStr::new(&name), (held.uid, held.gid), file_mode(dir)?)
    };
    write().map_err(|error| Error::io(ErrorKind::State, "the answers in the state directory", &error))
}

/// The answer to the request `id`, where there is one already.
pub fn answered(dir: &Dir, id: &str) -> Option<Answer> {
    let answers = dir.find_dir(OsStr::new(ANSWERS)).ok()??;
    let (bytes, _) = answers.read_file(OsStr::new(&format!("{id}.json")), LARGEST).ok()?;
    serde_json::from_slice(bytes.expose()).ok()
}

/// Removes answers that nobody waits for any more; nobody misses it if that fails.
pub fn sweep_answers(dir: &Dir) {
    let Ok(Some(answers)) = dir.find_dir(OsStr::new(ANSWERS)) else { return };
    let old = i128::from(clock::unix_seconds() - FORGOTTEN) * 1_000_000_000;
    for entry in answers.entries().unwrap_or_default() {
        if entry.kind == Kind::File && matches!(answers.stat_at(&entry.name), Ok(Some(stat)) if stat.mtime < old) {
            let _ = answers.unlink(&entry.name);
        }
    }
}
