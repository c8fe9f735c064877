//! `certsync deploy-hook`.

use super::Stop;
use super::options::DeployHookOptions;
use crate::base::{Error, ErrorKind};
use crate::plan::Report;

/// Does what `options` say and reports it.
pub fn deploy_hook(options: &DeployHookOptions) -> Result<Report, Stop> {
    let _ = options;
    Err(Error::new(ErrorKind::State, "certsync deploy-hook", "not built yet").into())
}
