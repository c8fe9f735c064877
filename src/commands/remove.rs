//! `certsync remove`.

use super::Stop;
use super::options::RemoveOptions;
use crate::base::{Error, ErrorKind};
use crate::plan::Report;

/// Does what `options` say and reports it.
pub fn remove(options: &RemoveOptions) -> Result<Report, Stop> {
    let _ = options;
    Err(Error::new(ErrorKind::State, "certsync remove", "not built yet").into())
}
