//! What strace wrote (`strace -f -y`), read back: one value for each system call.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One system call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who made it; 0 where strace followed nobody and wrote no number.
    pub pid: u32,
    pub name: String,
    /// As strace shows them, descriptors with their paths.
    pub args: Vec<String>,
    /// What follows `= `; `?` where the call did not return.
    pub result: String,
}

/// How a name of a call is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It changes files, or brings them to disk.
    Changes,
    /// It does neither.
    Harmless,
    /// Nobody has looked at it yet.
    Unknown,
}

/// Every call by which certsync changes files or brings them to disk.
pub const CHANGING: &[&str] = &[
    "mkdirat",
    "openat",
    "write",
    "fremovexattr",
    "fsetxattr",
    "fchown",
    "fchmod",
    "fsync",
    "syncfs",
    "symlinkat",
    "linkat",
    "renameat",
    "renameat2",
    "unlinkat",
    "utimensat",
];

/// Calls that change nothing on a file system, of those that certsync and the C library make.
const HARMLESS: &[&str] = &[
    "access",
    "arch_prctl",
    "brk",
    "capget",
    "capset",
    "chdir",
    "clock_gettime",
    "clock_nanosleep",
    "clone",
    "clone3",
    "close",
    "close_range",
    "connect",
    "dup",
    "dup2",
    "dup3",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "execve",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fcntl",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fstat",
    "fstatfs",
    "futex",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getrandom",
    "getresgid",
    "getresuid",
    "getsid",
    "getsockopt",
    "gettid",
    "getuid",
    "getxattr",
    "ioctl",
    "kill",
    "lgetxattr",
    "lseek",
    "lstat",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "openat2",
    "pipe2",
    "poll",
    "ppoll",
    "prctl",
    "pread64",
    "prlimit64",
    "read",
    "readlink",
    "readlinkat",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "sched_getaffinity",
    "sched_yield",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "set_tid_address",
    "setfsgid",
    "setfsuid",
    "setgid",
    "setgroups",
    "setpgid",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setsid",
    "setsockopt",
    "setuid",
    "shutdown",
    "sigaltstack",
    "signalfd4",
    "socket",
    "socketpair",
    "stat",
    "statfs",
    "statx",
    "sysinfo",
    "tgkill",
    "umask",
    "uname",
    "unshare",
    "vfork",
    "wait4",
    "waitid",
];

impl Call {
    /// The path that strace shows behind the descriptor in this argument.
    pub fn path_of(&self, arg: usize) -> Option<&str> {
        let text = self.args.get(arg)?;
        let (_, path) = text.split_once('<')?;
        let path = path.strip_suffix('>')?;
        path.starts_with('/').then_some(path)
    }

    /// The string in this argument.
    pub fn string(&self, arg: usize) -> Option<&str> {
        self.args.get(arg)?.strip_prefix('"')?.strip_suffix('"')
    }

    /// The path that a directory descriptor and a name make.
    pub fn at(&self, dir: usize, name: usize) -> Option<String> {
        let name = self.string(name)?;
        if name.starts_with('/') {
            return Some(name.to_owned());
        }
        Some(format!("{}/{name}", self.path_of(dir)?))
    }

    /// Whether the call did what it was asked.
    pub fn succeeded(&self) -> bool {
        !self.result.starts_with('-') && !self.result.starts_with('?')
    }

    pub fn was_injected(&self) -> bool {
        self.result.ends_with("(INJECTED)")
    }

    /// What the call means for files.
    pub fn effect(&self) -> Effect {
        let name = self.name.as_str();
        match name {
            "openat" => {
                let flags = self.args.get(2).map_or("", String::as_str);
                if flags.contains("O_TMPFILE") {
                    Effect::Unknown
                } else if flags.contains("O_CREAT") || flags.contains("O_TRUNC") {
                    Effect::Changes
                } else {
                    Effect::Harmless
                }
            }
            // Into a pipe, a socket or a terminal.
            "write" if self.path_of(0).is_none_or(|path| path.starts_with("/dev/") && !path.starts_with("/dev/shm/")) => Effect::Harmless,
            "openat2" if self.args.get(2).is_some_and(|how| how.contains("O_CREAT") || how.contains("O_TRUNC")) => Effect::Unknown,
            "mmap" if self.args.get(3).is_some_and(|flags| flags.contains("MAP_SHARED")) && self.args[2].contains("PROT_WRITE") => {
                // Shared memory without a file is nobody else's.
                if self.args[3].contains("MAP_ANONYMOUS") { Effect::Harmless } else { Effect::Unknown }
            }
            _ if CHANGING.contains(&name) => Effect::Changes,
            _ if HARMLESS.contains(&name) => Effect::Harmless,
            _ => Effect::Unknown,
        }
    }

    /// The call without what differs from run to run: process ids, times, serial numbers, hashes, descriptors.
    pub fn signature(&self, host: &Path) -> String {
        let host = host.display().to_string();
        let most = if self.name == "write" { 1 } else { self.args.len() };
        let shown = (0..most).map(|i| match (self.path_of(i), self.string(i)) {
            (Some(path), _) => format!("<{}>", steady(&path.replace(&host, "[DIR]"))),
            (None, Some(text)) => format!("\"{}\"", steady(&text.replace(&host, "[DIR]"))),
            (None, None) => self.args[i].clone(),
        });
        format!("{} {}", self.name, shown.collect::<Vec<_>>().join(", "))
    }
}

/// A path without what differs from run to run.
fn steady(path: &str) -> String {
    let is_hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let one = |step: &str| {
        if step.starts_with(".new-") {
            ".new".to_owned()
        } else if step.starts_with(".trash-") {
            ".trash".to_owned()
        } else if step.starts_with(".taken-") {
            ".taken".to_owned()
        } else if step.starts_with("certsync-") && step.len() > 24 {
            "TEMPORARY".to_owned()
        } else if step.get(..64).is_some_and(|digest| is_hex(digest, 64)) {
            format!("DIGEST{}", &step[64..])
        } else if step.split_once('-').is_some_and(|(number, hash)| is_number(number) && is_hex(hash, 12)) {
            "GENERATION".to_owned()
        } else {
            step.to_owned()
        }
    };
    path.split('/').map(one).collect::<Vec<_>>().join("/")
}

/// Reads what strace wrote.
pub fn read(file: &Path) -> Vec<Call> {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    parse(&String::from_utf8_lossy(&bytes))
}

/// Reads the text of a trace.
pub fn parse(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    // Where the first half of a call stands that another process interrupted.
    let mut begun: BTreeMap<u32, (usize, String)> = BTreeMap::new();
    for line in text.lines() {
        let (pid, rest) = match line.split_once(' ') {
            Some((number, rest)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
                (number.parse().expect("a process id"), rest.trim_start())
            }
            _ => (0, line),
        };
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let (at, first) = begun.remove(&pid).expect("the first half of a call");
            let (_, second) = resumed.split_once(" resumed>").expect("the second half of a call");
            calls[at] = call(pid, &format!("{first}{second}"));
        } else if let Some(first) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(pid, (calls.len(), first.trim_end().to_owned()));
            calls.push(call(pid, &format!("{first}) = ?")));
        } else {
            calls.push(call(pid, rest));
        }
    }
    calls
}

fn call(pid: u32, text: &str) -> Call {
    let (name, rest) = text.split_once('(').unwrap_or_else(|| panic!("a system call: {text}"));
    let (args, rest) = arguments(rest);
    let result = rest.trim_start().strip_prefix('=').unwrap_or("?").trim().to_owned();
    Call { pid, name: name.to_owned(), args, result }
}

/// The arguments up to the closing parenthesis, and what follows it.
fn arguments(text: &str) -> (Vec<String>, &str) {
    let mut args = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            match c {
                '"' => quoted = true,
                '(' | '{' | '[' | '<' => depth += 1,
                ')' if depth == 0 => {
                    let args = args.iter().map(|arg| arg.trim().to_owned()).filter(|arg| !arg.is_empty()).collect();
                    return (args, &text[at + 1..]);
                }
                ')' | '}' | ']' | '>' => depth -= 1,
                ',' if depth == 0 => {
                    args.push(String::new());
                    continue;
                }
                _ => {}
            }
        }
        args.last_mut().expect("an argument").push(c);
    }
    (args, "")
}

#[test]
fn a_trace_is_read_with_its_halves_joined() {
    let calls = parse(concat!(
        "7 renameat2(4</a b>, \"x,\\\"(\", 4</a b>, \"y\", RENAME_NOREPLACE) = -1 EIO (Input/output error) (INJECTED)\n",
        "7 read(3<pipe:[12]>,  <unfinished ...>\n",
        "8 openat(3</a>, \"f\", O_WRONLY|O_CREAT|O_EXCL, 0600) = 9</a/f>\n",
        "7 <... read resumed>\"hello\", 9)   = 5\n",
        "7 write(1<pipe:[13]>, \"x\", 1) = 1\n",
        "7 write(9</a/f>, \"x\", 1 <unfinished ...>\n",
        "7 +++ killed by SIGKILL +++\n",
    ));
    let names: Vec<_> = calls.iter().map(|call| (call.pid, call.name.as_str(), call.effect())).collect();
    assert_eq!(
        names,
        [
            (7, "renameat2", Effect::Changes),
            (7, "read", Effect::Harmless),
            (8, "openat", Effect::Changes),
            (7, "write", Effect::Harmless),
            (7, "write", Effect::Changes)
        ]
    );
    assert_eq!((calls[0].at(0, 1).as_deref(), calls[0].was_injected(), calls[0].succeeded()), (Some("/a b/x,\\\"("), true, false));
    assert_eq!((calls[1].args.len(), calls[1].result.as_str()), (3, "5"));
    assert_eq!(calls[4].result, "?");
    assert_eq!(
        parse("mkdirat(8</tmp/h/.new-1-2-3>, \".new-4-5-6\", 0700) = 0")[0].signature(Path::new("/tmp/h")),
        "mkdirat <[DIR]/.new>, \".new\", 0700"
    );
}
