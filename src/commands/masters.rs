//! Step 4 of apply for what masters without certsync have: fetched into the copies that this host keeps, which are then read like
//! directories of its own.

use super::options::{Judging, Others};
use super::session::Session;
use crate::base::{AbsPath, Error, ErrorKind, Result, SetName};
use crate::fleet::master::{Fetched, Into, Master, News, Sets, Trouble, With};
use crate::host::Dir;
use crate::spec::fleet::DEADLINE;
use crate::spec::{Desired, RsyncFrom, SetSource};
use crate::state::mirror::{Mirror, mirror_path, retain_mirrors};
use std::collections::{BTreeMap, BTreeSet};

/// Every source at a master, with its key below `certs:`.
fn masters(desired: &mut Desired) -> impl Iterator<Item = (&SetName, &mut RsyncFrom)> {
    let sets = desired.sets.iter_mut().map(|set| (&set.name, &mut set.source));
    let patterns = desired.patterns.iter_mut().map(|pattern| (&pattern.name, &mut pattern.parent));
    sets.chain(patterns).filter_map(|(name, source)| match source {
        SetSource::Rsync(from) => Some((name, from)),
        SetSource::Directory(_) | SetSource::Upstream => None,
    })
}

/// Finds the copies that are kept.
pub(super) fn find_mirrors(desired: &mut Desired, dir: &Dir, at: &AbsPath) {
    for (name, from) in masters(desired) {
        from.mirror = mirror_path(dir, at, name);
    }
}

/// Asks every master what it has, and makes the copies like it; those of sets that the spec no longer has are removed. What cannot be had is
/// told with its set, and what is installed of it stays; where nobody else is waited for, a master that cannot be reached is a warning.
///
/// # Errors
/// Kind `State`.
pub(super) fn ask_masters(session: &mut Session, judging: &Judging, others: Others) -> Result<Vec<String>> {
    let names: Vec<SetName> = masters(&mut session.desired).map(|(name, _)| name.clone()).collect();
    if let Some(dir) = session.dir.as_ref().filter(|_| !session.keeps_in_memory()) {
        retain_mirrors(dir, &session.at, &names.iter().collect())?;
    }
    let mut asking = Asking { warnings: Vec::new(), unreachable: BTreeMap::new(), others };
    for name in names {
        asking.ask(session, judging, &name)?;
    }
    Ok(asking.warnings)
}

struct Asking {
    warnings: Vec<String>,
    /// Hosts that could not be reached: they are not asked again in this run.
    unreachable: BTreeMap<String, Error>,
    others: Others,
}

impl Asking {
    fn ask(&mut self, session: &mut Session, judging: &Judging, name: &SetName) -> Result<()> {
        match self.fetch(session, name) {
            Ok(None) => Ok(()),
            Ok(Some(fetched)) => take(session, judging, name, fetched),
            Err(Trouble { error, with: With::Host }) if self.others == Others::LeftAlone => {
                self.warnings.push(error.to_string());
                Ok(())
            }
            Err(Trouble { error, .. }) => {
                session.wake_all(judging)?;
                session.incoming.refused.insert(name.clone(), error);
                Ok(())
            }
        }
    }

    fn fetch(&mut self, session: &Session, name: &SetName) -> std::result::Result<Option<Fetched>, Trouble> {
        let desired = &session.desired;
        let own: BTreeSet<SetName> = desired.sets.iter().map(|set| set.name.clone()).collect();
        let set = desired.sets.iter().find(|set| set.name == *name).map(|set| (&set.source, &*set.select, Sets::One(&set.name)));
        let pattern = desired.patterns.iter().find(|pattern| pattern.name == *name);
        let found = set.or_else(|| pattern.map(|pattern| (&pattern.parent, &*pattern.template.select, Sets::Each(&own))));
        let Some((SetSource::Rsync(from), select, sets)) = found else { return Ok(None) };
        let deadline = desired.fleet.as_ref().map_or(DEADLINE, |fleet| fleet.settings.deadline);
        let master = Master { name, from, sets, select, limits: &desired.limits, deadline };
        let host = master.host();
        if let Some(error) = self.unreachable.get(&host) {
            let error = Error { subject: from.from.clone(), ..error.clone() };
            return Err(Trouble { error, with: With::Host });
        }
        let fetched = fetch_into(session, name, &master);
        if let Err(Trouble { error, with: With::Host }) = &fetched {
            self.unreachable.insert(host, error.clone());
        }
        fetched.map(Some)
    }
}

fn fetch_into(session: &Session, name: &SetName, master: &Master<'_>) -> std::result::Result<Fetched, Trouble> {
    let (dir, at) = (session.dir.as_ref(), &session.at);
    if session.keeps_in_memory() {
        let kept = dir.map(|dir| Mirror::find(dir, at, name)).transpose()?.flatten();
        return master.fetch(Into::Scratch(kept.as_ref()));
    }
    let dir = dir.ok_or_else(|| Error::new(ErrorKind::State, at.to_string(), "is not there"))?;
    master.fetch(Into::Kept(&Mirror::of(dir, at, name)?))
}

/// Has the copy read where something has changed, and notes what cannot be had.
fn take(session: &mut Session, judging: &Judging, name: &SetName, fetched: Fetched) -> Result<()> {
    if fetched.news == News::Changed || !fetched.refused.is_empty() {
        session.wake_all(judging)?;
    }
    let mirror = match &fetched.scratch {
        // Where nothing of it has come, there is nothing of it.
        Some(scratch) => Some(Mirror::in_scratch(scratch)?).filter(|mirror| mirror.marks().is_some()).map(|mirror| mirror.files_at()),
        None => session.dir.as_ref().and_then(|dir| mirror_path(dir, &session.at, name)),
    };
    if let Some((_, from)) = masters(&mut session.desired).find(|(known, _)| *known == name) {
        from.mirror = mirror;
    }
    session.incoming.confirmed.extend(fetched.confirmed);
    session.incoming.refused.extend(fetched.refused);
    session.scratch.extend(fetched.scratch);
    Ok(())
}
