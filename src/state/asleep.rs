//! `state.json` by lines: one for each set, one for each install, so that a run that touches one set of ten thousand neither reads nor
//! writes what is recorded of the others anew. It is JSON all the same, and read as a whole wherever its lines are not as written here.

use super::State;
use crate::base::SetName;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

/// What is recorded of sets that nobody has asked about: their lines as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asleep {
    text: Arc<Vec<u8>>,
    sets: Vec<Line>,
    installs: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    name: Range<usize>,
    /// Without the comma and the line break after it.
    whole: Range<usize>,
}

impl Asleep {
    /// How many sets sleep.
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    /// Takes the lines of the sets in `asleep` out of `text`; what is left is a whole `state.json` too. The text itself again where it does not
    /// have the lines that are written here, or not all of those sets.
    pub(super) fn part(text: Vec<u8>, asleep: &BTreeSet<&str>) -> Result<(Vec<u8>, Asleep), Vec<u8>> {
        match lines_of(&text, asleep) {
            Some((rest, sets, installs)) => Ok((rest, Asleep { text: Arc::new(text), sets, installs })),
            None => Err(text),
        }
    }

    /// Everything again as one text; what is in `awake` as it is now.
    pub(super) fn join(&self, awake: &State) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.text.len() + 4096);
        write!(out, "{{\"version\":{},\"host\":", awake.version)?;
        serde_json::to_writer(&mut out, &awake.host)?;
        out.extend_from_slice(b",\"spec\":");
        serde_json::to_writer(&mut out, &awake.spec)?;
        out.extend_from_slice(b",\"sets\":{");
        let mut first = true;
        let mut asleep = self.sets.iter().peekable();
        for (name, set) in &awake.sets {
            self.before(&mut asleep, name.as_str(), &mut out, &mut first);
            next_line(&mut out, &mut first);
            serde_json::to_writer(&mut out, name)?;
            out.push(b':');
            serde_json::to_writer(&mut out, set)?;
        }
        self.rest(asleep, &mut out, &mut first);
        out.extend_from_slice(b"\n},\"patterns\":");
        serde_json::to_writer(&mut out, &awake.patterns)?;
        out.extend_from_slice(b",\"installs\":[");
        first = true;
        let mut asleep = self.installs.iter().peekable();
        for install in &awake.installs {
            self.before(&mut asleep, install.set.as_str(), &mut out, &mut first);
            next_line(&mut out, &mut first);
            serde_json::to_writer(&mut out, install)?;
        }
        self.rest(asleep, &mut out, &mut first);
        out.extend_from_slice(b"\n]}\n");
        Ok(out)
    }

    fn name(&self, line: &Line) -> &[u8] {
        &self.text[line.name.clone()]
    }

    fn before<'a>(
        &'a self,
        asleep: &mut std::iter::Peekable<impl Iterator<Item = &'a Line>>,
        name: &str,
        out: &mut Vec<u8>,
        first: &mut bool,
    ) {
        while let Some(line) = asleep.next_if(|line| self.name(line) < name.as_bytes()) {
            next_line(out, first);
            out.extend_from_slice(&self.text[line.whole.clone()]);
        }
    }

    fn rest<'a>(&'a self, asleep: impl Iterator<Item = &'a Line>, out: &mut Vec<u8>, first: &mut bool) {
        for line in asleep {
            next_line(out, first);
            out.extend_from_slice(&self.text[line.whole.clone()]);
        }
    }

    /// The lines as one `state.json` of their own, with this head.
    pub(super) fn alone(&self, head: &State) -> io::Result<Vec<u8>> {
        let empty = State { sets: std::collections::BTreeMap::new(), installs: Vec::new(), asleep: Asleep::default(), ..head.clone() };
        self.join(&empty)
    }
}

/// What is left without those lines, those of sets and those of installs.
fn lines_of(text: &[u8], asleep: &BTreeSet<&str>) -> Option<(Vec<u8>, Vec<Line>, Vec<Line>)> {
    let ends: Vec<usize> = std::str::from_utf8(text).ok()?.match_indices('\n').map(|(at, _)| at).collect();
    let starts = std::iter::once(0).chain(ends.iter().map(|end| end + 1));
    let mut lines = starts.zip(ends.iter().copied()).map(|(start, end)| start..end);
    let mut out = Vec::new();
    let head = lines.next().filter(|line| text[line.clone()].ends_with(b"\"sets\":{"))?;
    out.extend_from_slice(&text[head]);
    let (sets, middle) = section(text, &mut lines, b"\"", b"\":", &mut out, asleep)?;
    out.extend_from_slice(&text[middle.clone()]);
    text[middle].ends_with(b"\"installs\":[").then_some(())?;
    let (installs, last) = section(text, &mut lines, b"{\"set\":\"", b"\",", &mut out, asleep)?;
    out.extend_from_slice(&text[last]);
    let is_in_order = |lines: &[Line], may_repeat: bool| {
        let name = |line: &Line| &text[line.name.clone()];
        lines.is_sorted_by(|a, b| name(a) < name(b) || (may_repeat && name(a) == name(b)))
    };
    let is_whole = lines.next().is_none() && sets.len() == asleep.len() && is_in_order(&sets, false) && is_in_order(&installs, true);
    is_whole.then_some((out, sets, installs))
}

fn next_line(out: &mut Vec<u8>, first: &mut bool) {
    out.extend_from_slice(if *first { b"\n" } else { b",\n" });
    *first = false;
}

/// The lines up to one that does not begin with `open`; those of sets that are awake go to `out`.
fn section(
    text: &[u8],
    lines: &mut impl Iterator<Item = Range<usize>>,
    open: &[u8],
    close: &[u8],
    out: &mut Vec<u8>,
    asleep: &BTreeSet<&str>,
) -> Option<(Vec<Line>, Range<usize>)> {
    let (mut found, mut first) = (Vec::new(), true);
    for line in lines {
        let bytes = &text[line.clone()];
        let Some(rest) = bytes.strip_prefix(open) else {
            out.push(b'\n');
            return Some((found, line));
        };
        let length = rest.iter().position(|byte| *byte == b'"')?;
        rest.get(length..)?.starts_with(close).then_some(())?;
        let name = line.start + open.len()..line.start + open.len() + length;
        let whole = line.start..line.end - usize::from(bytes.ends_with(b","));
        let is_asleep = std::str::from_utf8(&text[name.clone()]).is_ok_and(|name| asleep.contains(name));
        if is_asleep {
            found.push(Line { name, whole });
        } else {
            next_line(out, &mut first);
            out.extend_from_slice(&text[whole]);
        }
    }
    None
}

/// The names of sets, for [`Asleep::part`].
pub(super) fn names<'a>(sets: impl IntoIterator<Item = &'a SetName>) -> BTreeSet<&'a str> {
    sets.into_iter().map(SetName::as_str).collect()
}
