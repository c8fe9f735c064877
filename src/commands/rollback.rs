//! `certsync rollback`.

use super::Stop;
use super::options::RollbackOptions;
use crate::base::{Error, ErrorKind};
use crate::plan::Report;

/// Does what `options` say and reports it.
pub fn rollback(options: &RollbackOptions) -> Result<Report, Stop> {
    let _ = options;
    Err(Error::new(ErrorKind::State, "certsync rollback", "not built yet").into())
}
