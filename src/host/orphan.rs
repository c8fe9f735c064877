//! Programs that a killed run has left at work.

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long one that was killed may take to be gone.
const GRACE: Duration = Duration::from_secs(5);
const NAP: Duration = Duration::from_millis(5);

/// Kills every process of this user that has an argument which ends in `end`, such as the path of a folder that only one run ever had, and
/// waits until it is gone; how many there were.
pub fn end_those_with(end: &str) -> usize {
    let Ok(all) = fs::read_dir("/proc") else { return 0 };
    let ids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let found: Vec<i32> = ids.filter(|id| Pid::from_raw(*id) != Pid::this() && has_argument(*id, end.as_bytes())).collect();
    for id in &found {
        // One that has ended meanwhile is what was wanted.
        let _ = kill(Pid::from_raw(*id), Signal::SIGKILL);
    }
    let until = Instant::now() + GRACE;
    while found.iter().any(|id| has_argument(*id, end.as_bytes())) && Instant::now() < until {
        sleep(NAP);
    }
    found.len()
}

/// Whether the process is one of ours and has such an argument; one that has ended has none.
fn has_argument(id: i32, end: &[u8]) -> bool {
    let path = format!("/proc/{id}");
    let is_ours = Path::new(&path).metadata().is_ok_and(|stat| stat.uid() == geteuid().as_raw());
    let line = fs::read(format!("{path}/cmdline")).unwrap_or_default();
    is_ours && line.split(|byte| *byte == 0).any(|word| word.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::end_those_with;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    #[test]
    fn those_with_the_argument_are_ended_and_no_others() {
        let unique = format!("/{}-orphan/tree/", std::process::id());
        // They stay shells, which end with what they wait for: their own input.
        let start = |word: &str| Command::new("sh").args(["-c", "read line", "sh", word]).stdin(Stdio::piped()).spawn().expect("a shell");
        let (mut one, mut other) = (start(&format!("/x{unique}")), start("/x/tree/"));
        let mut ended = 0;
        // It may not have come to have its arguments yet.
        for _ in 0..500 {
            ended += end_those_with(&unique);
            if ended > 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!((ended, one.wait().expect("it ended").signal()), (1, Some(9)));
        assert!(other.try_wait().expect("its status").is_none());
        other.kill().expect("killed");
        other.wait().expect("it ended");
        assert_eq!(end_those_with(&unique), 0);
    }
}
