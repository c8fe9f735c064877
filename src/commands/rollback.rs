//! `certsync rollback`.

use super::Stop;
use super::options::{Judging, RollbackOptions, RollbackTo};
use super::pass_on::Passing;
use super::revisions::{is_origin, next};
use super::session::{Session, look};
use super::turns::{Done, Requests, Wish, in_turn, serve};
use crate::apply::restore;
use crate::base::{Digest, Error, ErrorKind, SetName};
use crate::material::Material;
use crate::plan::{Reason, Report};
use crate::state::requests::Scope;
use crate::state::{Fresh, Hold, Store, short};
use crate::survey::{Keep, Look, Retry, Sources};
use std::collections::BTreeSet;

/// Takes every install of a set back to a former version and holds it there, or ends that hold.
pub fn rollback(options: &RollbackOptions) -> Result<Report, Stop> {
    let judging = Judging::default();
    let wish = Wish {
        who: "certsync rollback",
        place: &options.place,
        judging: &judging,
        whole: false,
        requests: Requests::Left,
        request: None,
        patience: options.run.lock_timeout,
        others: options.run.others,
        passing: Passing::default(),
        progress: options.run.progress,
    };
    let done = in_turn(&wish, |session, _| {
        let own = Scope::Sets(BTreeSet::from([options.set.clone()]));
        match target(session, options)? {
            Some(at) => Ok(Done { report: back(session, options, at)?, served: Scope::Sets(BTreeSet::new()) }),
            None => {
                let is_origin = is_origin(session, &options.set);
                if let Some(known) = session.state.sets.get_mut(&options.set) {
                    if is_origin {
                        known.revision = next(known);
                    }
                    known.hold = None;
                }
                serve(session, &judging, own, options.run.progress)
            }
        }
    })?;
    Ok(done.unwrap_or_else(|| Report::new(None)))
}

/// Where to go; `None`: forward again.
fn target(session: &Session, options: &RollbackOptions) -> Result<Option<Digest>, Stop> {
    let set = &options.set;
    let wrong = |cause: String| Error::new(ErrorKind::State, set.to_string(), cause);
    let Some(known) = session.state.sets.get(set) else {
        return Err(wrong("is not installed here".into()).hint("certsync status lists what is").into());
    };
    let store = session.dir.as_ref().map(|dir| Store::new(dir, &session.at));
    let revision = |digest: &Digest| match &store {
        _ if *digest == known.digest => known.revision,
        Some(store) => store.revision(set, digest).unwrap_or(0),
        None => 0,
    };
    let installed = installs(session, set).filter_map(|install| install.current.as_ref()?.digest).map(|digest| revision(&digest)).max();
    let mut candidates: BTreeSet<Digest> =
        installs(session, set).flat_map(|install| &install.former).filter_map(|generation| generation.digest).collect();
    let mut installed = installed;
    if let Some(store) = store.as_ref().filter(|_| installs(session, set).next().is_none()) {
        // What only passes through here has its former versions in the store alone.
        let present = known.hold.as_ref().map_or(known.digest, |hold| hold.at);
        candidates.extend(store.versions(set).into_iter().map(|(digest, _)| digest).filter(|digest| *digest != present));
        installed = Some(revision(&present));
    }
    match &options.to {
        RollbackTo::Release if known.hold.is_none() => Err(wrong("is not held".into()).into()),
        RollbackTo::Release => Ok(None),
        RollbackTo::Former => {
            match candidates
                .iter()
                .filter(|digest| Some(revision(digest)) < installed)
                .max_by_key(|digest| (revision(digest), serial(session, set, digest)))
            {
                // By the order in which they came, so that a second rollback goes further back and not forward again.
                Some(digest) => Ok(Some(*digest)),
                None => Err(wrong("has no former version here".into())
                    .hint("what was there before certsync came is kept in .certsync as the first generation; put it back at the source")
                    .into()),
            }
        }
        RollbackTo::Version(prefix) => {
            let all: BTreeSet<Digest> =
                candidates.into_iter().chain([known.digest]).filter(|d| d.to_string().starts_with(prefix)).collect();
            match (all.len(), all.first()) {
                (1, Some(digest)) => Ok(Some(*digest)),
                (0, _) => Err(wrong(format!("has no kept version {prefix}"))
                    .hint("certsync status --format json lists digests; keep: sets how many are kept")
                    .into()),
                _ => Err(wrong(format!("has several kept versions that begin with {prefix}")).hint("give more digits").into()),
            }
        }
    }
}

/// The highest number of a generation of this version: tells which came later where the store has lost the revisions.
fn serial(session: &Session, set: &SetName, digest: &Digest) -> u64 {
    let of_version = installs(session, set).flat_map(|install| &install.former).filter(|generation| generation.digest == Some(*digest));
    of_version.filter_map(|generation| generation.name.split('-').next()?.parse().ok()).max().unwrap_or(0)
}

fn installs<'a>(session: &'a Session, set: &'a SetName) -> impl Iterator<Item = &'a crate::state::InstallState> {
    session.state.installs.iter().filter(move |install| install.set == *set)
}

/// The version's material: in the store, or put there again from a generation that is still in place.
fn stored(session: &Session, set: &SetName, at: &Digest) -> Result<Material, Stop> {
    let Some(dir) = &session.dir else { return Err(Error::new(ErrorKind::State, session.at.to_string(), "is not there").into()) };
    let store = Store::new(dir, &session.at);
    store.load(set, at).or_else(|error| {
        let material = restore(&session.state, set, at).ok_or(error)?;
        store.purge_version(set, at)?;
        store.commit(set, &material, store.revision(set, at).unwrap_or(0))?;
        store.flush(&Fresh::from([(set.clone(), *at)]))?;
        Ok(material)
    })
}

fn back(session: &mut Session, options: &RollbackOptions, at: Digest) -> Result<Report, Stop> {
    let set = &options.set;
    let stored = stored(session, set, &at)?;
    if let Some(key) = stored.facts().keys.iter().find(|key| session.desired.revoked.contains(key)) {
        return Err(Error::new(ErrorKind::Judgement, set.to_string(), format!("version {} has the revoked key {key}", short(&at))).into());
    }
    let is_origin = is_origin(session, set);
    if let Some(known) = session.state.sets.get_mut(set) {
        // At the origin it is a change of content like any other, and is passed on.
        let revision = is_origin.then(|| next(known));
        if known.digest == at {
            known.revision = revision.unwrap_or(known.revision);
        }
        known.hold = (known.digest != at).then_some(Hold { at, against: known.digest, revision });
    }
    let scope = Scope::Sets(BTreeSet::from([set.clone()]));
    let back = Look {
        scope: scope.clone(),
        sources: Sources::Recorded,
        retry: Retry::Now,
        because: Some(Reason::Rollback),
        ..look(&Judging::default(), Keep::InStore, options.run.progress)
    };
    let surveyed = session.survey(back);
    if surveyed.plan.sets.is_empty() {
        return Err(Error::new(ErrorKind::Spec, set.to_string(), "is not in the spec")
            .hint("certsync remove deletes an orphaned set")
            .into());
    }
    let errors: Vec<Error> = surveyed
        .plan
        .sets
        .iter()
        .flat_map(|plan| plan.error.iter().chain(plan.installs.iter().filter_map(|i| i.error.as_ref())))
        .cloned()
        .collect();
    if !errors.is_empty() {
        return Err(errors.into());
    }
    Ok(session.carry_out(surveyed, options.run.progress)?)
}
