//! One run of certsync, and what it answered.

/// `--detailed-exitcode`: nothing to do, or nothing done.
pub const UNCHANGED: i32 = 0;
/// `--detailed-exitcode`: changes.
pub const CHANGED: i32 = 2;
/// Bit of `apply --detailed-exitcode` that says that something failed.
pub const FAILED: i32 = 4;

/// What a run answered.
#[derive(Debug)]
pub struct Run {
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Exit status; -1 when it was killed.
    pub status: i32,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr.
    pub stderr: String,
}

impl Run {
    /// It ended with this status.
    #[track_caller]
    pub fn exits(self, status: i32) -> Run {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// It changed something, or failed, or both: any status but success without change.
    #[track_caller]
    pub fn fails(self) -> Run {
        assert!(self.status & FAILED != 0, "expected a failure: {self}");
        self
    }

    /// One of its outputs says this.
    #[track_caller]
    pub fn says(self, what: &str) -> Run {
        assert!(self.stdout.contains(what) || self.stderr.contains(what), "does not say {what:?}: {self}");
        self
    }

    /// Its stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "certsync {}: status {}\n{}{}", self.arguments.join(" "), self.status, self.stdout, self.stderr)
    }
}
