//! Progress on stderr where work is long: seen on a terminal only, and only once it has taken a while.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::RefCell;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// Work shorter than this shows no bar.
const PATIENCE: Duration = Duration::from_millis(400);

/// Whether progress may be shown at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressChoice {
    /// Where stderr is a terminal.
    OnTerminal,
    /// Nowhere (`-q`, or a log that a bar would spoil).
    Nowhere,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sources are read.
    Reading,
    /// The host is looked at.
    Looking,
    /// Generations are built.
    Staging,
    /// Hooks run.
    Hooks,
    /// Servers below are served.
    PassingOn,
}

impl Kind {
    fn verb(self) -> &'static str {
        match self {
            Kind::Reading => "reading",
            Kind::Looking => "looking",
            Kind::Staging => "staging",
            Kind::Hooks => "hooks",
            Kind::PassingOn => "servers",
        }
    }
}

/// One stretch of work of known length. Does nothing where it may not be seen.
pub struct Progress {
    shown: bool,
    kind: Kind,
    total: u64,
    started: Instant,
    at: RefCell<At>,
}

struct At {
    done: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins `total` steps of work.
    pub fn new(choice: ProgressChoice, kind: Kind, total: usize) -> Self {
        let shown = choice == ProgressChoice::OnTerminal && stderr().is_terminal();
        Progress { shown, kind, total: total as u64, started: Instant::now(), at: RefCell::new(At { done: 0, bar: None }) }
    }

    /// The next step begins; `name` is what it works on, printable.
    pub fn step(&self, name: &str) {
        if !self.shown {
            return;
        }
        let mut at = self.at.borrow_mut();
        if at.bar.is_none() && self.started.elapsed() >= PATIENCE {
            at.bar = Some(bar(self.kind, self.total));
        }
        if let Some(bar) = &at.bar {
            bar.set_position(at.done);
            bar.set_message(crate::base::printable(name));
        }
        at.done += 1;
    }

    /// The work is done; the bar goes.
    pub fn finish(&self) {
        if let Some(bar) = self.at.borrow_mut().bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn bar(kind: Kind, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {wide_msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(kind.verb());
    bar
}

#[cfg(test)]
mod tests {
    use super::{Kind, Progress, ProgressChoice};

    #[test]
    fn a_hidden_progress_does_nothing() {
        let progress = Progress::new(ProgressChoice::Nowhere, Kind::Reading, 0);
        progress.step("a");
        progress.finish();
        assert_eq!(progress.at.borrow().done, 0);
    }
}
