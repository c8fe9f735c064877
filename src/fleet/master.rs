//! Fetching from a master without certsync, with the system's rsync, into the copy that this host keeps of it.
//!
//! One list shows whether anything has changed there: then nothing more is done. Otherwise what has changed is fetched into a new folder by
//! its names, and listed again: what is the same before and after takes its place in the copy. Nothing is deleted, followed or believed on the
//! way: rsync gets a folder of its own and a list of files, and what comes is held against both.

mod call;
mod units;

pub use units::Sets;

use crate::base::{Error, ErrorKind, RelPath, Result, SetName};
use crate::host::clock;
use crate::host::rsync::{Failure, Why};
use crate::host::scratch::ScratchDir;
use crate::spec::{Limits, RsyncFrom, Select};
use crate::state::mirror::{Coming, Links, Mark, Mirror, Provenance};
use call::Call;
use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;
use units::{Unit, Units, Wanted};

/// How often a source that changes while it is read is read again.
const TRIES: u32 = 4;
/// How long it is left alone before that.
const PAUSE: Duration = Duration::from_millis(200);

/// A source at a master without certsync.
pub struct Master<'a> {
    /// Its key below `certs:`.
    pub name: &'a SetName,
    /// What rsync is told to read.
    pub from: &'a RsyncFrom,
    /// Which sets it has.
    pub sets: Sets<'a>,
    /// Which files belong to them.
    pub select: &'a Select,
    /// What a set may weigh.
    pub limits: &'a Limits,
    /// How long one run of rsync may take.
    pub deadline: Duration,
}

/// Where what is fetched goes.
pub enum Into<'a> {
    /// To the copy that is kept.
    Kept(&'a Mirror),
    /// To a folder of its own, beside the copy that is kept if there is one: for those who change nothing.
    Scratch(Option<&'a Mirror>),
}

/// What came of asking a master.
pub struct Fetched {
    /// Whether the copy is another one now.
    pub news: News,
    /// Sets of which the copy is what the master has.
    pub confirmed: BTreeSet<SetName>,
    /// Sets that cannot be had, and why.
    pub refused: BTreeMap<SetName, Error>,
    /// The copy, where it is not the one that is kept.
    pub scratch: Option<ScratchDir>,
}

/// Whether something has changed at a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    Same,
    /// Something.
    Changed,
}

/// Why a master could not be asked.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// In words.
    pub error: Error,
    /// What it concerns.
    pub with: With,
}

/// What a trouble concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// The way to the host: whatever else is read from it fails as well.
    Host,
    /// This source alone.
    Source,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble { error, with: With::Source }
    }
}

/// Of each set, its files as they are in a copy.
type Have = BTreeMap<SetName, Unit>;

impl Master<'_> {
    /// The host it is on, as it is written, with what the login there depends on: what fails for one source of a host fails for all.
    pub fn host(&self) -> String {
        let from = &self.from.from;
        let host = match from.strip_prefix("rsync://") {
            Some(rest) => format!("rsync://{}", rest.split('/').next().unwrap_or_default()),
            None => from.split(':').next().unwrap_or_default().to_owned(),
        };
        let file = |path: &Option<_>| path.as_ref().map(ToString::to_string).unwrap_or_default();
        let port = self.from.port.map(|port| port.to_string()).unwrap_or_default();
        [host, port, file(&self.from.identity), file(&self.from.password_file)].join("\n")
    }

    /// Has the copy made like what the master has.
    ///
    /// # Errors
    /// Kind `Source`, or `State`: nothing of it could be had, and the copy that is kept is as it was, or has changed to what the master had in the
    /// middle of it.
    pub fn fetch(&self, into: Into<'_>) -> std::result::Result<Fetched, Trouble> {
        let call = Call::new(self.from, self.deadline)?;
        let matcher = self.select.matcher();
        let wanted = Wanted { from: &self.from.from, matcher: &matcher, limits: self.limits, sets: self.sets };
        let known = match into {
            Into::Kept(mirror) => Some(mirror),
            Into::Scratch(mirror) => mirror,
        };
        let before = known.and_then(Mirror::provenance).filter(|before| before.from == self.from.from);
        let links = before.as_ref().map(|before| before.links).unwrap_or_default();
        let have = match (known, &before) {
            (Some(mirror), Some(before)) => {
                let mut have = mirror.marks().map(|marks| self.by_set(marks)).unwrap_or_default();
                have.retain(|_, unit| unit.values().all(|mark| before.is_settled(mark)));
                have
            }
            _ => Have::new(),
        };
        let asked = clock::unix_seconds();
        Fetching { master: self, call, wanted, known, before, asked, links, have, news: News::Same, troubles: BTreeMap::new() }.run(&into)
    }

    fn by_set(&self, marks: BTreeMap<RelPath, Mark>) -> Have {
        let mut have = Have::new();
        for (path, mark) in marks {
            match self.sets {
                Sets::One(set) => drop(have.entry(set.clone()).or_default().insert(path, mark)),
                Sets::Each(_) => {
                    let Some((set, below)) = path.as_str().split_once('/') else { continue };
                    if let (Ok(set), Ok(below)) = (set.parse(), below.parse()) {
                        have.entry(set).or_default().insert(below, mark);
                    }
                }
            }
        }
        have
    }

    /// A file of a set, as it is called in the whole source.
    fn path(&self, set: &SetName, path: &RelPath) -> String {
        match self.sets {
            Sets::One(_) => path.to_string(),
            Sets::Each(_) => format!("{set}/{path}"),
        }
    }

    fn error(&self, cause: impl core::convert::Into<String>) -> Error {
        Error::new(ErrorKind::Source, self.from.from.as_str(), cause)
    }

    fn trouble(&self, failure: Failure) -> Trouble {
        let with = if failure.is_of_host() { With::Host } else { With::Source };
        Trouble { error: failure.into_error(ErrorKind::Source, self.from.from.as_str()), with }
    }
}

/// One fetch under way.
struct Fetching<'a> {
    master: &'a Master<'a>,
    call: Call,
    wanted: Wanted<'a>,
    known: Option<&'a Mirror>,
    /// What the copy that is kept was made from, if it was made from this source.
    before: Option<Provenance>,
    /// When this fetch began, Unix seconds.
    asked: i64,
    links: Links,
    have: Have,
    news: News,
    /// Why sets did not come whole the last time.
    troubles: BTreeMap<SetName, Error>,
}

impl Fetching<'_> {
    fn run(mut self, into: &Into<'_>) -> std::result::Result<Fetched, Trouble> {
        let mut units = self.list()?;
        let mut due = self.due(&units);
        let scratch = match into {
            Into::Scratch(_) if !due.is_empty() || self.gone(&units).next().is_some() => {
                // A copy of its own needs all of it.
                self.have.clear();
                due = self.due(&units);
                Some(ScratchDir::new().map_err(|error| Error::io(ErrorKind::State, "a temporary folder", &error))?)
            }
            Into::Scratch(_) | Into::Kept(_) => None,
        };
        let in_scratch = scratch.as_ref().map(Mirror::in_scratch).transpose()?;
        let target = match (into, &in_scratch) {
            (_, Some(mirror)) => Some(mirror),
            (Into::Kept(mirror), None) => Some(*mirror),
            (Into::Scratch(_), None) => None,
        };
        for attempt in 0..TRIES {
            let Some(mirror) = target.filter(|_| !due.is_empty()) else { break };
            if attempt > 0 {
                sleep(PAUSE);
            }
            let coming = mirror.begin()?;
            let before = std::mem::take(&mut self.troubles);
            let whole = self.bring(&coming, &due)?;
            // What does not come for the same reason twice does not come a third time.
            if whole.is_empty() && before == self.troubles {
                break;
            }
            units = self.list()?;
            // What is the same before and after was so in between.
            let steady: Have = whole.into_iter().filter(|(set, unit)| units.good.get(set) == Some(unit)).collect();
            self.put(coming, steady)?;
            due = self.due(&units);
        }
        self.settle(units, due, matches!(into, Into::Kept(_)).then_some(()).and(target)).map(|fetched| Fetched { scratch, ..fetched })
    }

    /// What is another version there than in the copy.
    fn due(&self, units: &Units) -> Have {
        let is_due = |(set, unit): &(&SetName, &Unit)| self.have.get(*set) != Some(*unit);
        units.good.iter().filter(is_due).map(|(set, unit)| (set.clone(), unit.clone())).collect()
    }

    /// Sets of the copy that the master has no more.
    fn gone<'u>(&self, units: &'u Units) -> impl Iterator<Item = SetName> + use<'u> {
        let there = match self.master.sets {
            Sets::One(_) => BTreeSet::new(),
            Sets::Each(_) => self.known.map(Mirror::folders).unwrap_or_default(),
        };
        there.into_iter().filter(|set| !units.good.contains_key(set) && !units.bad.contains_key(set))
    }

    /// What the master has.
    fn list(&mut self) -> std::result::Result<Units, Trouble> {
        let first = self.links;
        let listed = match self.list_with(first) {
            Err(Listless::Failed(failure)) if failure.why == Why::LinksRefused && first == Links::Followed => {
                self.links = Links::Refused;
                self.list_with(Links::Refused)
            }
            other => other,
        };
        let units = self.told(listed)?;
        let Some(link) = units.link.clone() else { return Ok(units) };
        if first == Links::Refused {
            match self.list_with(Links::Followed) {
                Err(Listless::Failed(failure)) if failure.why == Why::LinksRefused => {}
                other => {
                    self.links = Links::Followed;
                    return self.told(other);
                }
            }
        }
        let error = self.master.error(format!("{link} is a link, and the far end refuses to follow links (-L)"));
        Err(error
            .hint("rrsync refuses that below its directory, so that certbot's live cannot be read through it: let that key run rsync without it")
            .into())
    }

    fn told(&self, listed: std::result::Result<Units, Listless>) -> std::result::Result<Units, Trouble> {
        listed.map_err(|why| match why {
            Listless::Failed(failure) => self.master.trouble(failure),
            Listless::Wrong(error) => error.into(),
        })
    }

    fn list_with(&self, links: Links) -> std::result::Result<Units, Listless> {
        let list = self.call.list(links).map_err(Listless::Failed)?;
        let list = list.map_err(|line| {
            let cause = format!("answers what is no list of rsync: {}", crate::base::printable(&line));
            Listless::Wrong(self.master.error(cause))
        })?;
        self.wanted.sort(list).map_err(Listless::Wrong)
    }

    /// Has the files of these sets brought; returns the sets that came whole.
    fn bring(&mut self, coming: &Coming<'_>, due: &Have) -> std::result::Result<Have, Trouble> {
        let asked: BTreeMap<String, Mark> =
            due.iter().flat_map(|(set, unit)| unit.iter().map(|(path, mark)| (self.master.path(set, path), *mark))).collect();
        let failure = match self.call.bring(&asked, self.links, coming, self.master.limits.file) {
            Ok(()) => None,
            Err(failure) if failure.why == Why::Partial => Some(failure),
            Err(failure) => return Err(self.master.trouble(failure)),
        };
        let strange = |what: &str| self.master.error(format!("sends what nobody asked for: {what}"));
        let came = coming.marks().map_err(|error| strange(&error.cause))?;
        if let Some(path) = came.keys().find(|path| !asked.contains_key(path.as_str())) {
            return Err(strange(path.as_str()).into());
        }
        let came: BTreeMap<&str, Mark> = came.iter().map(|(path, mark)| (path.as_str(), *mark)).collect();
        let mut whole = Have::new();
        for (set, unit) in due {
            if unit.iter().all(|(path, mark)| came.get(self.master.path(set, path).as_str()) == Some(mark)) {
                whole.insert(set.clone(), unit.clone());
                continue;
            }
            let error = match failure.clone() {
                Some(failure) => {
                    // What is said of another set's file is none of this one's.
                    let missing = unit.keys().map(|path| self.master.path(set, path)).collect::<Vec<_>>();
                    let own = failure.lines.iter().find(|line| missing.iter().any(|path| line.contains(path.as_str()))).cloned();
                    let cause = own.unwrap_or_else(|| failure.cause.clone());
                    Failure { cause, ..failure }.into_error(ErrorKind::Source, self.master.from.from.as_str())
                }
                None => self.master.error("changes faster than it can be read").hint("try again when the renewal is through"),
            };
            self.troubles.insert(set.clone(), error);
        }
        Ok(whole)
    }

    fn put(&mut self, coming: Coming<'_>, steady: Have) -> Result<()> {
        if steady.is_empty() {
            return Ok(());
        }
        match self.master.sets {
            Sets::One(_) => coming.put_whole()?,
            Sets::Each(_) => coming.put_folders(steady.keys())?,
        }
        self.news = News::Changed;
        self.have.extend(steady);
        Ok(())
    }

    /// Nothing more is fetched: what the copy has is what it is.
    fn settle(mut self, units: Units, due: Have, kept: Option<&Mirror>) -> std::result::Result<Fetched, Trouble> {
        let gone: Vec<SetName> = self.gone(&units).collect();
        let mut refused = units.bad;
        for set in due.into_keys() {
            let changing = || self.master.error("changes faster than it can be read").hint("try again when the renewal is through");
            refused.insert(set.clone(), self.troubles.remove(&set).unwrap_or_else(changing));
        }
        if let Some(error) = joined(units.unnamed) {
            refused.insert(self.master.name.clone(), error);
        }
        if units.good.is_empty() && refused.is_empty() && !gone.is_empty() {
            let error = Error::new(ErrorKind::Source, format!("{}/*", self.master.from.from), "matches nothing any more");
            return Err(error.hint("is something not mounted there? what is installed stays").into());
        }
        for set in &gone {
            self.news = News::Changed;
            kept.map_or(Ok(()), |mirror| mirror.remove(set))?;
        }
        // Until all of it has come, what is left of another master's, or may have changed meanwhile, must not pass for what is there.
        let asked = match &self.before {
            Some(before) if self.news == News::Same || !refused.is_empty() => Some(before.asked),
            None if !refused.is_empty() => None,
            Some(_) | None => Some(self.asked),
        };
        if let (Some(asked), Some(mirror)) = (asked, kept.filter(|mirror| mirror.marks().is_some())) {
            mirror.note(&Provenance { from: self.master.from.from.clone(), links: self.links, asked })?;
        }
        let confirmed = units.good.into_keys().filter(|set| !refused.contains_key(set)).collect();
        Ok(Fetched { news: self.news, confirmed, refused, scratch: None })
    }
}

/// Why there is no list.
enum Listless {
    Failed(Failure),
    Wrong(Error),
}

/// The first of several errors, which says how many more there are.
fn joined(errors: Vec<Error>) -> Option<Error> {
    let more = errors.len().saturating_sub(1);
    let first = errors.into_iter().next()?;
    Some(if more == 0 { first } else { Error { cause: format!("{} (and {more} more like it)", first.cause), ..first } })
}
