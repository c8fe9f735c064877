//! The program between certsync and a hook's command.

use super::text;
use crate::base::printable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, getgrouplist, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid, setsid, setuid};
use serde::{Deserialize, Serialize};
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The hidden first argument.
pub(super) const ARGUMENT: &str = "__hook-shim";
/// Sent when nothing but the exec itself is left to do.
const READY: &[u8] = b"ready\n";
/// The longest answer that is read.
const ANSWER_LIMIT: u64 = 4096;

/// What the shim is told.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) user: String,
    pub(super) argv: Vec<String>,
    /// The whole environment; of two equal names the later one counts.
    pub(super) env: Vec<(String, String)>,
    /// The soft limit of core files to go back to.
    pub(super) core: Option<u64>,
}

/// What the shim has said once it is gone.
pub(super) enum Answer {
    /// The command was started.
    Started,
    /// It was not; why.
    Failed(String),
    /// The shim died on the way, or the program is no certsync.
    Nothing,
}

/// Reads what the shim has written so far, without waiting.
pub(super) fn read_answer(mut socket: &UnixStream) -> Answer {
    let mut bytes = Vec::new();
    // An error (nothing more to read yet) leaves what was read before it.
    let _ = socket.set_nonblocking(true).and_then(|()| Read::take(&mut socket, ANSWER_LIMIT).read_to_end(&mut bytes));
    let (ready, rest) = match bytes.strip_prefix(READY) {
        Some(rest) => (true, rest),
        None => (false, bytes.as_slice()),
    };
    match (ready, rest.is_empty()) {
        (true, true) => Answer::Started,
        (false, true) => Answer::Nothing,
        (_, false) => Answer::Failed(printable(String::from_utf8_lossy(rest).trim_end())),
    }
}

/// For `main`, before it looks at its arguments in any other way: the exit code if this process was started as the shim.
pub fn shim_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == ARGUMENT).then(|| shim(&arguments.collect::<Vec<_>>()))
}

/// The hidden second half of [`run`](super::run): called by `main` when this process was started as the shim. Becomes the
/// user, sets umask 022, cwd `/`, no stdin, then execs; returns only on failure.
///
/// Signals that the caller of certsync ignores, other than SIGPIPE, stay ignored, as they do for any command.
pub fn shim(arguments: &[OsString]) -> ExitCode {
    let answer = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let (Ok(mut answer), true) = (answer, arguments.is_empty()) else { return ExitCode::FAILURE };
    let why = match become_command(&mut answer) {
        Ok(never) => match never {},
        Err(why) => why,
    };
    // Whoever cannot be told does not listen any more.
    let _ = answer.write_all(why.as_bytes());
    ExitCode::FAILURE
}

enum Never {}

fn become_command(socket: &mut UnixStream) -> Result<Never, String> {
    let order = read_order(socket).map_err(|error| format!("not started by certsync: {}", text(&error)))?;
    let [program, rest @ ..] = order.argv.as_slice() else { return Err("the command is empty".into()) };
    // A session of its own is a process group of its own, without a terminal that a password could be asked on.
    setsid().map_err(|errno| format!("cannot make a session: {}", text(&errno.into())))?;
    File::open("/dev/null")
        .and_then(|null| Ok(nix::unistd::dup2_stdin(null)?))
        .map_err(|error| format!("cannot open /dev/null: {}", text(&error)))?;
    close_others(socket.as_raw_fd());
    umask(Mode::from_bits_truncate(0o022));
    std::env::set_current_dir("/").map_err(|error| format!("cannot go to /: {}", text(&error)))?;
    restore_core_limit(order.core);
    become_user(&order)?;
    SigSet::empty().thread_set_mask().map_err(|errno| format!("cannot unblock signals: {}", text(&errno.into())))?;
    socket.write_all(READY).map_err(|error| format!("cannot answer: {}", text(&error)))?;
    // Sets SIGPIPE back to its default, which Rust programs ignore.
    let error = Command::new(program).args(rest).env_clear().envs(order.env).exec();
    Err(format!("{program}: {}", text(&error)))
}

fn read_order(socket: &mut UnixStream) -> io::Result<Order> {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Closes what certsync itself was started with: a lock held by a cron job's shell, a listening socket.
fn close_others(keep: i32) {
    let open: Vec<i32> = match std::fs::read_dir("/proc/self/fd") {
        Ok(list) => list.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect(),
        Err(_) => (3..1024).collect(),
    };
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2 && *descriptor != keep) {
        let _ = nix::unistd::close(descriptor);
    }
}

fn restore_core_limit(soft: Option<u64>) {
    if let (Some(soft), Ok((_, hard))) = (soft, getrlimit(Resource::RLIMIT_CORE)) {
        let _ = setrlimit(Resource::RLIMIT_CORE, soft.min(hard), hard);
    }
}

/// Takes on the user's groups, group and id, for good.
fn become_user(order: &Order) -> Result<(), String> {
    let (uid, gid) = (Uid::from_raw(order.uid), Gid::from_raw(order.gid));
    let is_root = Uid::effective().is_root();
    if !is_root {
        return if uid == Uid::effective() { Ok(()) } else { Err(format!("cannot become {}: certsync does not run as root", order.user)) };
    }
    let failed = |what: &str, errno: nix::errno::Errno| format!("cannot become {} ({what}): {}", order.user, text(&errno.into()));
    take_groups(&order.user, gid).or_else(|errno| if uid.is_root() { Ok(()) } else { Err(failed("setgroups", errno)) })?;
    setresgid(gid, gid, gid).map_err(|errno| failed("setgid", errno))?;
    setresuid(uid, uid, uid).map_err(|errno| failed("setuid", errno))?;
    let ids = getresuid().map_err(|errno| failed("getresuid", errno))?;
    let groups = getresgid().map_err(|errno| failed("getresgid", errno))?;
    let became = [ids.real, ids.effective, ids.saved] == [uid; 3] && [groups.real, groups.effective, groups.saved] == [gid; 3];
    if !became || (!uid.is_root() && setuid(Uid::from_raw(0)).is_ok()) {
        return Err(format!("cannot become {}: the rights of root stayed", order.user));
    }
    Ok(())
}

fn take_groups(user: &str, gid: Gid) -> nix::Result<()> {
    let name = CString::new(user).map_err(|_| nix::errno::Errno::EINVAL)?;
    let mut wanted = getgrouplist(&name, gid)?;
    let mut now = getgroups()?;
    wanted.sort_by_key(|group| group.as_raw());
    wanted.dedup();
    now.sort_by_key(|group| group.as_raw());
    if now == wanted { Ok(()) } else { setgroups(&wanted) }
}
