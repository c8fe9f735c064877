//! What root's apply answers to those who wait for it at an unprivileged gate: `answers/<id>.json`.

use super::share::{ANSWERS, file_mode};
use super::{Standing, in_parts};
use crate::base::{Error, ErrorKind, Mode, Result};
use crate::host::{Dir, Durability, Kind, clock, write_atomic};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::io;

/// No file of an answer is larger: longer ones are kept in parts.
const LARGEST: u64 = 64 << 20;
/// What a part has at most, in bytes, unless one server alone has more.
const LONGEST_PART: usize = 8 << 20;
/// The age in seconds at which nobody waits for an answer any more.
const FORGOTTEN: i64 = 3600;

/// How the host stands after the run that served a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether the hosts below have been served as well.
    pub whole: bool,
    /// This host first, then every server below it.
    pub servers: Vec<Standing>,
    /// How many further files hold the servers, where they are too many for one.
    #[serde(default)]
    pub parts: usize,
}

impl Answer {
    /// An answer with all of these.
    pub fn new(whole: bool, servers: Vec<Standing>) -> Answer {
        Answer { whole, servers, parts: 0 }
    }

    /// Every server of the answer to the request `id`; nothing where a part is gone.
    pub fn all(self, dir: &Dir, id: &str) -> Option<Vec<Standing>> {
        let mut servers = self.servers;
        for part in 0..self.parts {
            servers.extend(read::<Vec<Standing>>(dir, &part_name(id, part))?);
        }
        Some(servers)
    }
}

fn part_name(id: &str, part: usize) -> String {
    format!("{id}.{part}.json")
}

fn read<T: for<'de> Deserialize<'de>>(dir: &Dir, name: &str) -> Option<T> {
    let answers = dir.find_dir(OsStr::new(ANSWERS)).ok()??;
    let (bytes, _) = answers.read_file(OsStr::new(name), LARGEST).ok()?;
    serde_json::from_slice(bytes.expose()).ok()
}

/// Names what is waited for: digits and letters that nobody chose.
pub fn is_id(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Answers the request `id`, or answers it anew.
///
/// # Errors
/// Kind `State`.
pub fn answer(dir: &Dir, id: &str, answer: Answer) -> Result<()> {
    let write = || -> io::Result<()> {
        let Some(answers) = dir.find_dir(OsStr::new(ANSWERS))? else { return Ok(()) };
        let held = answers.stat()?;
        let mode = file_mode(dir)?;
        let put = |name: &str, bytes: &[u8]| {
            write_atomic(&answers, OsStr::new(name), bytes, Mode::from_bits(0o600), Durability::Eventually)?;
            answers.adjust_file(OsStr::new(name), (held.uid, held.gid), mode)
        };
        let mut parts = in_parts(answer.servers, LONGEST_PART);
        let mut head = Answer::new(answer.whole, Vec::new());
        if parts.len() == 1 {
            head.servers = parts.pop().unwrap_or_default();
        } else {
            head.parts = parts.len();
            for (number, part) in parts.iter().enumerate() {
                put(&part_name(id, number), &serde_json::to_vec(part)?)?;
            }
        }
        // The last to be written: who sees it finds the parts.
        put(&format!("{id}.json"), &serde_json::to_vec(&head)?)
    };
    write().map_err(|error| Error::io(ErrorKind::State, "the answers in the state directory", &error))
}

/// The answer to the request `id`, where there is one already, without what is kept in parts.
pub fn answered(dir: &Dir, id: &str) -> Option<Answer> {
    read(dir, &format!("{id}.json"))
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
