//! Reading one set from its source directory, and judging it.

use crate::base::{ContentHash, Digest, Error, ErrorKind, Result, Secret, SetName};
use crate::host::source::{Listing, Source, SourceFile};
use crate::host::{Stat, clock};
use crate::material::{Judging, Material, Refusal, judge, kind_of};
use crate::spec::{Accept, Desired, DesiredSet, Limits, Matcher, SetSource};
use crate::state::{Acl, Contents, Known, State, Trace, What};
use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

/// What was found at a set's source.
pub enum Found {
    /// The version that was accepted before; only what the cache does not know was read.
    Same(Digest),
    /// Another version, or one to be judged anew: it was read, judged and accepted.
    Accepted(Material),
    /// It was read and judged, and may not be used.
    Refused(Error),
    /// It could not be read.
    Unreadable(Error),
}

/// Doors opened once, by `--accept SET=WORD`.
pub type Accepted = BTreeMap<SetName, BTreeSet<Accept>>;

/// Reads the set's source as far as needed, and judges it when its digest would change, for a new install, and when
/// `names`, `accept` or `revoked_keys` changed.
pub fn collect(set: &DesiredSet, desired: &Desired, state: &State, once: &Accepted, contents: &mut Contents, now: i64) -> Found {
    match try_collect(set, desired, state, once, contents, now).map_err(|error| of_source(set, error)) {
        Ok(found) => found,
        Err(error) if error.kind == ErrorKind::Judgement => Found::Refused(error),
        Err(error) => Found::Unreadable(error),
    }
}

/// What is wrong with the copy of what a master has is wrong there.
fn of_source(set: &DesiredSet, error: Error) -> Error {
    let below = match &set.source {
        SetSource::Rsync(from) => from.mirror.as_ref().and_then(|mirror| error.subject.strip_prefix(mirror.as_str())),
        SetSource::Directory(_) | SetSource::Upstream => None,
    };
    match below {
        Some(below) => Error { subject: format!("{}{below}", set.source), ..error },
        None => error,
    }
}

fn try_collect(set: &DesiredSet, desired: &Desired, state: &State, once: &Accepted, contents: &mut Contents, now: i64) -> Result<Found> {
    let known = state.sets.get(&set.name);
    let new_install = set.installs.iter().any(|install| state.install(&set.name, &install.dest).is_none_or(|i| i.current.is_none()));
    // Whether a fault met here stays is seen when everything is read.
    if let Some(known) = known.filter(|known| !new_install && known.judged == set.judged_hash(&desired.revoked))
        && let Ok(digest) = Reader::open(set, &desired.limits)?.digest(contents)
        && known.digest == digest
    {
        return Ok(Found::Same(digest));
    }
    let material = whole(set, &desired.limits, contents)?;
    let mut accept = set.accept.clone();
    accept.extend(once.get(&set.name).into_iter().flatten());
    let under = Judging { names: &set.names, accept: &accept, revoked: &desired.revoked, previous: known.map(|k| k.facts.as_ref()), now };
    Ok(match judge(&material, &under) {
        Ok(()) => Found::Accepted(material),
        Err(refusals) => Found::Refused(refusal(set, &refusals)),
    })
}

/// Reads exactly the version `digest` from the source, if it is still there.
///
/// # Errors
/// Kind `Source`.
pub fn reread(set: &DesiredSet, limits: &Limits, digest: &Digest, contents: &mut Contents) -> Result<Option<Material>> {
    // This read is no part of the look that the set may be passed over for.
    let trace = std::mem::take(&mut contents.trace);
    let material = whole(set, limits, contents);
    contents.trace = trace;
    let material = material?;
    Ok((material.digest() == *digest).then_some(material))
}

pub(super) fn refusal(set: &DesiredSet, refusals: &[Refusal]) -> Error {
    let cause = refusals.iter().map(|r| r.message.clone()).collect::<Vec<_>>().join("; ");
    // The judge knows no name of the set that it judges.
    let named = |hint: &String| hint.replace("--accept SET=", &format!("--accept {}=", set.name));
    // A door helps only where every refusal has one.
    let shut = refusals.iter().any(|r| r.door.is_none());
    let mut hints: Vec<String> = refusals.iter().filter(|r| !shut || r.door.is_none()).filter_map(|r| r.hint.as_ref()).map(named).collect();
    hints.dedup();
    let error = Error::new(ErrorKind::Judgement, set.name.to_string(), format!("refused: {cause}"));
    if hints.is_empty() { error } else { error.hint(hints.join("; ")) }
}

/// How often a source that changes under the reader is read again.
const TRIES: u32 = 5;
/// How long it is left alone before that.
const PAUSE: Duration = Duration::from_millis(10);

/// Everything as it was at one moment: looked at again after the read, and read again if anything moved in between, if a file
/// went or another directory came in its place.
fn whole(set: &DesiredSet, limits: &Limits, contents: &mut Contents) -> Result<Material> {
    let mut last = None;
    for attempt in 0..TRIES {
        if attempt > 0 {
            sleep(PAUSE);
        }
        let reader = Reader::open(set, limits)?;
        match reader.look(&mut contents.trace) {
            Ok(before) => match reader.contents(&before, contents) {
                Ok(Some(material)) if reader.is_steady(&before) => return Ok(material),
                // It cannot be read though nothing moves.
                Err(error) if reader.is_steady(&before) => return Err(error),
                read => last = read.err(),
            },
            Err(error) if reader.source.is_in_place() => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        Error::new(ErrorKind::Source, set.source.to_string(), "changes faster than it can be read")
            .hint("try again when the renewal is through")
    }))
}

struct Reader<'a> {
    set: &'a DesiredSet,
    limits: &'a Limits,
    source: Source,
    /// The coarse clock, read before the source was looked at.
    clock: i128,
    matcher: Matcher,
}

impl<'a> Reader<'a> {
    fn open(set: &'a DesiredSet, limits: &'a Limits) -> Result<Self> {
        let clock = clock::coarse_nanoseconds();
        let directory =
            set.source.place().ok_or_else(|| Error::new(ErrorKind::Source, set.source.to_string(), "is not a directory of this host"))?;
        Ok(Reader { set, limits, source: Source::open(directory)?, clock, matcher: set.select.matcher() })
    }

    fn list(&self) -> Result<Listing> {
        let Listing { files, folders } = self.source.files(self.limits, &|path| self.matcher.wants(path))?;
        let wrong = |cause: String| Error::new(ErrorKind::Source, self.set.source.to_string(), cause);
        if files.is_empty() {
            return Err(wrong("holds no file of this set".into()).hint("see only: and except: of the set"));
        }
        let total: u64 = files.iter().map(|file| file.stat.size).sum();
        if total > self.limits.set {
            let cause = format!("holds {total} bytes, more than limits.set allows ({})", self.limits.set);
            return Err(wrong(cause).hint("name the files of the set with only:, or raise limits.set"));
        }
        Ok(Listing { files, folders })
    }

    /// The same, as the look that the set may be passed over for as long as nothing of it changes.
    fn look(&self, trace: &mut Trace) -> Result<Vec<SourceFile>> {
        trace.begin_source(self.clock);
        let Listing { files, folders } = self.list()?;
        trace.note(What::Source, "", self.source.stat());
        folders.iter().for_each(|(path, stat)| trace.note(What::Source, path, stat));
        files.iter().for_each(|file| trace.note(What::Source, file.path.as_str(), &file.stat));
        if !self.source.stamps_are_sound() {
            trace.spoil();
        }
        Ok(files)
    }

    /// The digest, reading only what the cache does not know.
    fn digest(&self, contents: &mut Contents) -> Result<Digest> {
        let mut hashes: Vec<(SourceFile, ContentHash)> = Vec::new();
        for file in self.look(&mut contents.trace)? {
            let sha256 = match contents.find(&file.stat) {
                Some(known) => known.sha256,
                None => self.read(&file, contents)?.1,
            };
            hashes.push((file, sha256));
        }
        Ok(Digest::of(hashes.iter().map(|(file, hash)| (file.path.as_str(), hash))))
    }

    fn read(&self, file: &SourceFile, contents: &mut Contents) -> Result<(Secret, ContentHash, Stat)> {
        let clock = clock::coarse_nanoseconds();
        let (bytes, stat) = self.source.read(&file.path, self.limits.file)?;
        let sha256 = bytes.sha256();
        if self.source.stamps_are_sound() {
            contents.record(&stat, Known { sha256, kind: kind_of(bytes.expose()), acl: Acl::Unknown }, clock);
        }
        Ok((bytes, sha256, stat))
    }

    /// Every file's content; nothing where one is not as it was listed.
    fn contents(&self, listed: &[SourceFile], contents: &mut Contents) -> Result<Option<Material>> {
        let mut files = Vec::with_capacity(listed.len());
        for file in listed {
            let (bytes, _, stat) = self.read(file, contents)?;
            if stat != file.stat {
                return Ok(None);
            }
            files.push((file.path.clone(), bytes));
        }
        Ok(Some(Material::new(files)))
    }

    /// Whether everything is still as it was listed, where the spec says that it is.
    fn is_steady(&self, listed: &[SourceFile]) -> bool {
        self.list().is_ok_and(|now| now.files == listed) && self.source.is_in_place()
    }
}
