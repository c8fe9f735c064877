//! Why a command could not start.

use super::output::{complain, print_error};
use crate::base::Error;
use crate::plan::{Report, json};
use crate::spec::Faults;

/// Why a command could not start: nothing was touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The spec is wrong.
    Faults(Faults),
    /// Anything else; never empty.
    Errors(Vec<Error>),
}

impl Stop {
    /// Shows it on stderr.
    pub(super) fn print(&self) {
        match self {
            Stop::Faults(faults) => complain(&faults.to_string()),
            Stop::Errors(errors) => errors.iter().for_each(|error| print_error(error, "")),
        }
    }

    /// The first reason, in one line.
    pub(super) fn line(&self) -> String {
        match self {
            Stop::Faults(faults) => faults.errors().first().map(Error::to_string),
            Stop::Errors(errors) => errors.first().map(Error::to_string),
        }
        .unwrap_or_default()
    }

    /// It as the report of a run in which nothing happened.
    pub(super) fn json(&self) -> String {
        json(&Report::of_errors(match self {
            Stop::Faults(faults) => faults.errors(),
            Stop::Errors(errors) => errors.clone(),
        }))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Errors(vec![error])
    }
}

impl From<Vec<Error>> for Stop {
    fn from(errors: Vec<Error>) -> Self {
        Stop::Errors(errors)
    }
}

impl From<Faults> for Stop {
    fn from(faults: Faults) -> Self {
        Stop::Faults(faults)
    }
}
