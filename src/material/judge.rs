//! Judgement: a set is judged before it touches anything (design, section 4). A pure function of bytes, spec and time.

use super::certificate::Certificate;
use super::chain;
use super::contents::{Contents, Item, is_certificate_label};
use super::facts::{Leaf, SetFacts};
use super::half;
use super::key::Key;
use super::name::covers;
use super::set::{Material, join};
use super::spki::PublicKey;
use super::time::utc;
use crate::base::{KeyFingerprint, RelPath, printable};
use crate::spec::Accept;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What a set is judged against.
#[derive(Debug, Clone, Copy)]
pub struct Judging<'a> {
    /// Names that some leaf must cover.
    pub names: &'a [String],
    /// Doors the operator opened.
    pub accept: &'a BTreeSet<Accept>,
    /// Keys whose private half is known to others.
    pub revoked: &'a BTreeSet<KeyFingerprint>,
    /// Facts of the version last accepted into the store; `None` where "older" is not to be judged.
    pub previous: Option<&'a SetFacts>,
    /// The time of judgement, Unix seconds.
    pub now: i64,
}

/// One reason why a set is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The `accept:` word that would let the set through; `None`: nothing does.
    pub door: Option<Accept>,
    /// What is wrong, with the files, names and dates it is about.
    pub message: String,
    /// The way out.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal that `accept:` opens; `way_out` is what should be done instead, where there is something.
    pub(super) fn with_door(door: Accept, message: String, way_out: &str) -> Refusal {
        let word = word(door);
        let open = format!("`accept: [{word}]` in the spec or `--accept SET={word}` once lets it through");
        let hint = if way_out.is_empty() { open } else { format!("{way_out}; {open}") };
        Refusal { door: Some(door), message, hint: Some(hint) }
    }
}

/// How the spec writes a door.
fn word(door: Accept) -> &'static str {
    match door {
        Accept::Expired => "expired",
        Accept::NotYetValid => "not_yet_valid",
        Accept::Names => "names",
        Accept::Chain => "chain",
        Accept::UnpairedKey => "unpaired_key",
        Accept::Older => "older",
    }
}

/// Judges a set. All its faults at once, in the order of weight; those whose door is open are left out.
///
/// # Errors
/// The refusals, never an empty list.
pub fn judge(material: &Material, under: &Judging) -> Result<(), Vec<Refusal>> {
    let mut refusals = revoked(material, under.revoked);
    let shut = |door: Accept| !under.accept.contains(&door);
    if shut(Accept::UnpairedKey) {
        refusals.extend(unpaired_keys(material));
        refusals.extend(half::strangers(material));
    }
    refusals.extend(half::hollow(material).into_iter().filter(|(door, _)| shut(*door)).map(|(_, refusal)| refusal));
    if shut(Accept::Chain) {
        refusals.extend(damaged_certificates(material));
        refusals.extend(two_halves(material));
        refusals.extend(half::other_chains(material));
        refusals.extend(chain::broken(material));
    }
    refusals.extend(dates(material, under.now).into_iter().filter(|refusal| refusal.door.is_none_or(shut)));
    if shut(Accept::Names) {
        refusals.extend(uncovered(material, under.names));
    }
    if let (Some(previous), true) = (under.previous, shut(Accept::Older)) {
        refusals.extend(older(material, previous));
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

fn revoked(material: &Material, revoked: &BTreeSet<KeyFingerprint>) -> Vec<Refusal> {
    let found = material.facts().keys.iter().filter(|key| revoked.contains(key));
    let refusal = |key: &KeyFingerprint| Refusal {
        door: None,
        message: format!("{}: key {key} is in revoked_keys", material.files_with_key(*key)),
        hint: Some("renew with a new key; nothing lets a revoked one through".into()),
    };
    found.map(refusal).collect()
}

pub(super) const TOGETHER: &str = "let the renewal finish, or put the files of one renewal together";

/// Keys that no certificate of the set is for. A damaged key is one too: whose it is cannot be told.
pub(super) fn unpaired_keys(material: &Material) -> Vec<Refusal> {
    let certificates = || material.each().flat_map(|(_, contents)| contents.certificates());
    let certified: HashSet<KeyFingerprint> = certificates().map(|found| found.key.fingerprint).collect();
    let mut out = Vec::new();
    for (path, key) in material.each().flat_map(|(path, contents)| contents.keys().map(move |key| (path, key))) {
        match key {
            Key::Readable(public) if !certified.contains(&public.fingerprint) => out.push(unpaired(material, path, public)),
            // Which certificate is its own cannot be told, but none can be where all are for another kind of key.
            Key::Opaque(_, Some(oid)) if !certificates().any(|found| found.key.oid() == Some(oid)) => out.push(Refusal::with_door(
                Accept::UnpairedKey,
                format!("{path}: the key is without its certificate; the set holds none for a key of its kind"),
                TOGETHER,
            )),
            Key::Damaged(why) => out.push(Refusal::with_door(
                Accept::UnpairedKey,
                format!("{path}: the private key cannot be read: {why}"),
                "copy it again from where it was made",
            )),
            _ => {}
        }
    }
    out
}

fn unpaired(material: &Material, path: &RelPath, public: &PublicKey) -> Refusal {
    let shown =
        |leaf: &Certificate| format!("{} in {} is for key {}", leaf.title(), material.files_with(leaf.fingerprint), leaf.key.fingerprint);
    let others: Vec<String> = material.leaves().iter().map(|leaf| shown(leaf)).collect();
    let certificates = material.each().flat_map(|(_, contents)| contents.certificates()).count();
    let have = match (others.as_slice(), certificates) {
        ([], 0) => String::from("the set holds no certificate"),
        ([], _) => String::from("the set holds no certificate but those of CAs"),
        (some, _) => join(some.iter().map(String::as_str)),
    };
    Refusal::with_door(
        Accept::UnpairedKey,
        format!("{path}: the key ({} {}) is without its certificate; {have}", public.name, public.fingerprint),
        TOGETHER,
    )
}

fn damaged_certificates(material: &Material) -> Vec<Refusal> {
    material.each().flat_map(|(path, contents)| damaged_in(path, contents)).collect()
}

fn damaged_in(path: &RelPath, contents: &Contents) -> Vec<Refusal> {
    let mut out = Vec::new();
    let mut place = 0;
    for item in &contents.items {
        match item {
            Item::Certificate(_) => place += 1,
            Item::Damaged(label, why) if is_certificate_label(label) => {
                place += 1;
                let message = format!("{path}: certificate {place} is damaged: {why}");
                out.push(Refusal::with_door(Accept::Chain, message, "copy the file again from where it was made"));
            }
            _ => {}
        }
    }
    out
}

/// Files that begin with different leaves for one key: two halves of two renewals that reuse it.
pub(super) fn two_halves(material: &Material) -> Vec<Refusal> {
    let mut firsts: BTreeMap<KeyFingerprint, Vec<(&RelPath, &Certificate)>> = BTreeMap::new();
    for (path, contents) in material.each() {
        if let Some(first) = contents.certificates().next().filter(|first| material.is_leaf(first)) {
            firsts.entry(first.key.fingerprint).or_default().push((path, first));
        }
    }
    firsts.values().filter_map(|files| two_of(files)).collect()
}

fn two_of(files: &[(&RelPath, &Certificate)]) -> Option<Refusal> {
    let (path, first) = files.first()?;
    let (other_path, other) = files.iter().find(|(_, other)| other.fingerprint != first.fingerprint)?;
    let shown = |found: &Certificate| format!("{} of {} (serial {})", found.title(), utc(found.not_before), found.serial);
    Some(Refusal::with_door(
        Accept::Chain,
        format!("{path} begins with {}, {other_path} with {}, both for one key", shown(first), shown(other)),
        TOGETHER,
    ))
}

fn dates(material: &Material, now: i64) -> Vec<Refusal> {
    material.leaves().iter().filter_map(|leaf| date(material, leaf, now)).collect()
}

fn date(material: &Material, leaf: &Certificate, now: i64) -> Option<Refusal> {
    let subject = || format!("{}: {}", material.files_with(leaf.fingerprint), leaf.title());
    if now > leaf.not_after {
        let message = format!("{} expired at {}", subject(), utc(leaf.not_after));
        return Some(Refusal::with_door(Accept::Expired, message, "renew it"));
    }
    if now < leaf.not_before {
        let message = format!("{} is not valid before {}; it is {} here", subject(), utc(leaf.not_before), utc(now));
        return Some(Refusal::with_door(Accept::NotYetValid, message, "see whether this host's clock is right"));
    }
    None
}

fn uncovered(material: &Material, names: &[String]) -> Option<Refusal> {
    let leaves = &material.facts().leaves;
    let missing: Vec<&str> = names.iter().filter(|name| !leaves.iter().any(|leaf| covers(leaf, name))).map(String::as_str).collect();
    if missing.is_empty() {
        return None;
    }
    let have: BTreeSet<&str> = leaves.iter().flat_map(|leaf| leaf.names.iter().map(String::as_str)).collect();
    let have = match have.len() {
        0 => String::from("the set names no server"),
        _ => format!("the set has {}", join(have.into_iter())),
    };
    let way_out = if missing.iter().all(|name| name.is_ascii()) { "" } else { "write names as certificates do (xn--…)" };
    Some(Refusal::with_door(Accept::Names, format!("no certificate covers {}; {have}", printable(&join(missing.into_iter()))), way_out))
}

/// A leaf is held against the one it replaces: same names, same kind of key where there is one, the newest against the
/// newest, so that a pair of an RSA and an EC certificate may be renewed one after the other.
fn older(material: &Material, previous: &SetFacts) -> Vec<Refusal> {
    let now = &material.facts().leaves;
    let gone = newest_first(previous.leaves.iter().filter(|leaf| !now.iter().any(|new| new.fingerprint == leaf.fingerprint)));
    let come = newest_first(now.iter().filter(|leaf| !previous.leaves.iter().any(|old| old.fingerprint == leaf.fingerprint)));
    let mut free: Vec<&Leaf> = gone;
    let mut out = Vec::new();
    for new in come {
        let same_names = |old: &&Leaf| old.names == new.names;
        let same_kind = free.iter().position(|old| same_names(old) && old.key_type == new.key_type);
        let Some(place) = same_kind.or_else(|| free.iter().position(same_names)) else { continue };
        let old = free.remove(place);
        if new.not_before < old.not_before {
            out.push(older_than(material, new, old));
        }
    }
    out
}

fn newest_first<'a>(leaves: impl Iterator<Item = &'a Leaf>) -> Vec<&'a Leaf> {
    let mut leaves: Vec<&Leaf> = leaves.collect();
    leaves.sort_by_key(|leaf| std::cmp::Reverse(leaf.not_before));
    leaves
}

fn older_than(material: &Material, new: &Leaf, old: &Leaf) -> Refusal {
    let title = new.names.first().unwrap_or(&new.subject);
    let message = format!(
        "{}: {title} of {} (serial {}) is older than the one last accepted, of {} (serial {})",
        material.files_with(new.fingerprint),
        utc(new.not_before),
        new.serial,
        utc(old.not_before),
        old.serial
    );
    Refusal::with_door(Accept::Older, message, "")
}
