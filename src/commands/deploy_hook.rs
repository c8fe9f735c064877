//! `certsync deploy-hook`: for certbot, lego and acme.sh.

use super::Stop;
use super::options::{DeployHookOptions, Judging};
use super::pass_on::Passing;
use super::session::{Pass, Session};
use super::turns::{Requests, Wish, in_turn, serve};
use crate::base::{Error, ErrorKind, SetName, printable};
use crate::collect::name_sets;
use crate::host::source::same_directory;
use crate::plan::Report;
use crate::state::requests::Scope;
use std::collections::BTreeSet;
use std::path::Path;

/// Applies the sets whose source was just renewed. What the ACME client says selects sets, it never supplies a path.
pub fn deploy_hook(options: &DeployHookOptions) -> Result<Report, Stop> {
    if options.renewed.is_empty() {
        return Err(Error::new(
            ErrorKind::Usage,
            "certsync deploy-hook",
            "nothing says what was renewed: RENEWED_LINEAGE and its like are not set",
        )
        .hint("this command is run by certbot, lego or acme.sh; by hand, use certsync apply")
        .into());
    }
    let judging = Judging::default();
    let sets = renewed_sets(options, &judging)?;
    if sets.is_empty() {
        let mut report = Report::new(None);
        let shown: Vec<String> = options.renewed.iter().map(|path| printable(path)).collect();
        report.warnings.push(format!("no set is read from {}: nothing to do", shown.join(", ")));
        return Ok(report);
    }
    let scope = Scope::Sets(sets);
    let wish = Wish {
        who: "certsync deploy-hook",
        place: &options.place,
        judging: &judging,
        whole: false,
        requests: Requests::Served,
        request: Some(scope.clone()),
        patience: options.run.lock_timeout,
        others: options.run.others,
        passing: Passing::default(),
        progress: options.run.progress,
    };
    let done = in_turn(&wish, |session, asked| serve(session, &judging, asked.and(scope.clone()), options.run.progress))?;
    Ok(done.unwrap_or_else(|| {
        let mut report = Report::new(None);
        report.warnings.push("another certsync waits for its turn and will do this too".into());
        report
    }))
}

fn renewed_sets(options: &DeployHookOptions, judging: &Judging) -> Result<BTreeSet<SetName>, Stop> {
    let session = Session::looking(&options.place, judging, Pass::Nothing)?;
    // What `..` in them means is the kernel's to say.
    let renewed: Vec<&Path> = options.renewed.iter().map(Path::new).filter(|path| path.is_absolute()).collect();
    let sets = name_sets(&session.desired, &session.state).sets;
    let is_renewed = |source: &Path| renewed.iter().any(|path| *path == source || same_directory(path, source));
    Ok(sets
        .into_iter()
        .filter(|set| set.source.directory().is_some_and(|source| is_renewed(source.as_path())))
        .map(|set| set.name)
        .collect())
}
