//! `certsync plan`.

use super::Stop;
use super::options::PlanOptions;
use crate::base::{Error, ErrorKind};
use crate::plan::Report;

/// Does what `options` say and reports it.
pub fn plan(options: &PlanOptions) -> Result<Report, Stop> {
    let _ = options;
    Err(Error::new(ErrorKind::State, "certsync plan", "not built yet").into())
}
