//! `certsync apply`.

use super::Stop;
use super::options::ApplyOptions;
use crate::base::{Error, ErrorKind};
use crate::plan::Report;

/// Does what `options` say and reports it.
pub fn apply(options: &ApplyOptions) -> Result<Report, Stop> {
    let _ = options;
    Err(Error::new(ErrorKind::State, "certsync apply", "not built yet").into())
}
