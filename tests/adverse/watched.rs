//! Holding certsync still at each directory and file that it opens or reads, by fanotify(7).

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response};
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Runs the command; whenever it is about to open or read something on the mount of `at` whose path has `part` in it, it is held while
/// `look` is called with the number of the event. Whatever `look` touches must be reached by another mount.
#[track_caller]
pub fn held(mut command: Command, at: &Path, part: &str, mut look: impl FnMut(u64)) -> ExitStatus {
    let flags = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
    let group = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC).expect("fanotify");
    let mask = MaskFlags::FAN_OPEN_PERM | MaskFlags::FAN_ACCESS_PERM | MaskFlags::FAN_ONDIR;
    group.mark(MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_MOUNT, mask, std::io::stdin(), Some(at)).expect("a mark");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let mut number = 0;
    loop {
        if let Some(status) = child.try_wait().expect("its status") {
            return status;
        }
        let mut fds = [PollFd::new(group.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(5_u8)).expect("poll");
        for event in group.read_events().unwrap_or_default() {
            let fd = event.fd().expect("a descriptor");
            let path = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("its path");
            if path.to_string_lossy().contains(part) {
                look(number);
                number += 1;
            }
            group.write_response(FanotifyResponse::new(fd, Response::FAN_ALLOW)).expect("an answer");
        }
    }
}
