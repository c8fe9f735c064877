//! What the figures were taken on.

use crate::measure::Line;
use serde::Serialize;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The machine, the file system, the build.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many of it this process may use.
    pub processors: usize,
    /// Kernel release.
    pub kernel: String,
    /// Type of the file system that holds the trees.
    pub file_system: String,
    /// Load average of the last minute at the start: above 0.5 the figures are those of a busy machine.
    pub load: f64,
    /// How certsync was built.
    pub build: String,
    /// certsync's own version, and what it is compared with.
    pub versions: Vec<String>,
}

impl Machine {
    /// This one, with trees in `work`, and with this certsync instead of the one built beside.
    pub fn of(work: &Path, certsync: Option<&Path>) -> Machine {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let processor =
            read("/proc/cpuinfo").lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1.to_owned()));
        Machine {
            processor: processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(work),
            load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN),
            build: match certsync {
                Some(program) => program.display().to_string(),
                None if cfg!(debug_assertions) => "debug build".to_owned(),
                None => "release build".to_owned(),
            },
            versions: vec![first_line(certsync.unwrap_or(Path::new(env!("CARGO_BIN_EXE_certsync"))))],
        }
    }
}

/// The first line that a program prints about its version.
pub fn first_line(program: impl AsRef<OsStr>) -> String {
    let text = Line::new(program).arg("--version").run();
    let line = text.lines().next().unwrap_or_default();
    line.split("  ").take(2).collect::<Vec<_>>().join(" ")
}

/// By the device number, as mountinfo has it.
fn file_system(path: &Path) -> String {
    let device = fs::metadata(path).expect("the directory of the trees").dev();
    let number = format!("{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&number));
    line.and_then(|line| line.split_once(" - ")?.1.split(' ').next()).unwrap_or("unknown").to_owned()
}
