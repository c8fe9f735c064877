//! A command on another host, run to its end.

use super::{Connection, Failure, KEPT, Why, failure};
use crate::host::link::Trouble;
use crate::host::output::Output;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

/// How a command on another host ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its exit status.
    pub status: i32,
    /// The last line that it printed, on stderr or, failing that, on stdout; printable.
    pub last: Option<String>,
}

impl Connection {
    /// Gives the command nothing to read, and waits for its end.
    ///
    /// # Errors
    /// It could not be reached, or did not end in time: then it may still run there.
    pub fn complete(mut self) -> Result<Finished, Failure> {
        self.link.finish();
        let mut printed = Output::keeping(KEPT);
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = self.link.read(&mut chunk) {
            printed.add(&chunk[..read]);
        }
        if self.link.trouble() == Some(Trouble::Late) {
            return Err(late());
        }
        // It may have closed its output and still be at work.
        let left = self.link.patience().until.saturating_duration_since(Instant::now());
        let Some(status) = self.wait(left) else { return Err(late()) };
        let errors = self.link.errors();
        match (status.code(), status.signal()) {
            (Some(failure::SSH_FAILED), _) => Err(self.failed(&errors)),
            (Some(status), _) => {
                let last = failure::last_line(&errors).map(failure::in_our_form);
                Ok(Finished { status, last: last.or_else(|| failure::last_line(&printed.text()).map(failure::in_our_form)) })
            }
            (None, signal) => {
                let cause = format!("ssh was ended by signal {}", signal.unwrap_or_default());
                Err(Failure { why: Why::Closed, cause, hint: None })
            }
        }
    }

    fn failed(&self, errors: &str) -> Failure {
        failure::explain(Trouble::Ended, failure::End::Exit(failure::SSH_FAILED), failure::Before::Silent, errors, &self.hints)
    }
}

fn late() -> Failure {
    Failure { why: Why::Deadline, cause: "did not end in time".into(), hint: None }
}
