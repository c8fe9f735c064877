//! CPU of many processes together, also of those that nobody waits for: by a control group (cgroups(7), version 2).

use std::fs;
use std::path::{Path, PathBuf};

/// A control group of our own.
pub struct Group(PathBuf);

/// CPU used so far, milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// In user mode.
    pub user: f64,
    /// In the kernel.
    pub system: f64,
}

impl Used {
    /// What was used since `before`.
    pub fn since(self, before: Used) -> Used {
        Used { user: self.user - before.user, system: self.system - before.system }
    }

    /// Both.
    pub fn cpu(self) -> f64 {
        self.user + self.system
    }
}

impl Group {
    /// A new one; none where this machine has no such groups, or does not let us make one.
    pub fn new(name: &str) -> Option<Group> {
        let mounts = fs::read_to_string("/proc/mounts").ok()?;
        let root = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|words| words.get(2) == Some(&"cgroup2"))?;
        let folder = Path::new(root.get(1)?).join(format!("certsync-{name}-{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        Some(Group(folder))
    }

    /// What its processes have used so far.
    ///
    /// # Panics
    /// If the kernel does not say.
    pub fn used(&self) -> Used {
        let text = fs::read_to_string(self.0.join("cpu.stat")).expect("cpu.stat");
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            line.unwrap_or_else(|| panic!("no {name}: {text}")) / 1e3
        };
        Used { user: of("user_usec "), system: of("system_usec ") }
    }

    /// Does `work` in it: what that starts stays there.
    ///
    /// # Panics
    /// If this process cannot go in or out.
    pub fn inside<T>(&self, work: impl FnOnce() -> T) -> T {
        let go = |folder: &Path| fs::write(folder.join("cgroup.procs"), std::process::id().to_string()).expect("to go there");
        go(&self.0);
        let done = work();
        go(self.0.parent().expect("the root"));
        done
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have just been ended, and may not be gone yet.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
