//! `state.json` by lines: one for each set, one for each install, so that a run that touches one set of ten thousand neither reads nor
//! writes what is recorded of the others anew. It is JSON all the same, and read as a whole wherever its lines are not as written here.

use super::State;
use crate::base::SetName;
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

/// Runs shorter than this are copied: a write of its own costs more.
const WORTH_A_PART: usize = 64 << 10;

/// A text in parts: what is written anew, and between that long runs of lines as they were read.
#[derive(Default)]
pub(super) struct Joined<'a> {
    new: Vec<u8>,
    /// Each with how much of `new` stands before it.
    runs: Vec<(usize, &'a [u8])>,
}

impl<'a> Joined<'a> {
    /// The text, part by part.
    pub(super) fn parts(&self) -> Vec<&[u8]> {
        let (mut parts, mut from) = (Vec::with_capacity(self.runs.len() * 2 + 1), 0);
        for (at, run) in &self.runs {
            parts.extend([&self.new[from..*at], *run]);
            from = *at;
        }
        parts.push(&self.new[from..]);
        parts
    }

    fn add(&mut self, run: &'a [u8]) {
        if run.len() < WORTH_A_PART {
            self.new.extend_from_slice(run);
        } else {
            self.runs.push((self.new.len(), run));
        }
    }
}

impl Asleep {
    /// How many sets sleep.
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    /// Takes the lines of the sets in `asleep`, which are in order, out of `text`; what is left is a whole `state.json` too. The text itself
    /// again where it does not have the lines that are written here, or not all of those sets.
    pub(super) fn part(text: Vec<u8>, asleep: &[&str]) -> Result<(Vec<u8>, Asleep), Vec<u8>> {
        match lines_of(&text, asleep) {
            Some((rest, sets, installs)) => Ok((rest, Asleep { text: Arc::new(text), sets, installs })),
            None => Err(text),
        }
    }

    /// Everything again as one text; what is in `awake` as it is now.
    pub(super) fn join(&self, awake: &State) -> io::Result<Joined<'_>> {
        let mut out = Joined::default();
        write!(out.new, "{{\"version\":{},\"host\":", awake.version)?;
        serde_json::to_writer(&mut out.new, &awake.host)?;
        out.new.extend_from_slice(b",\"spec\":");
        serde_json::to_writer(&mut out.new, &awake.spec)?;
        out.new.extend_from_slice(b",\"sets\":{");
        let (mut first, mut asleep) = (true, self.sets.as_slice());
        for (name, set) in &awake.sets {
            asleep = self.before(asleep, name, &mut out, &mut first);
            next_line(&mut out.new, &mut first);
            serde_json::to_writer(&mut out.new, name)?;
            out.new.push(b':');
            serde_json::to_writer(&mut out.new, set)?;
        }
        self.run(asleep, &mut out, &mut first);
        out.new.extend_from_slice(b"\n},\"patterns\":");
        serde_json::to_writer(&mut out.new, &awake.patterns)?;
        out.new.extend_from_slice(b",\"installs\":[");
        (first, asleep) = (true, self.installs.as_slice());
        for install in &awake.installs {
            asleep = self.before(asleep, &install.set, &mut out, &mut first);
            next_line(&mut out.new, &mut first);
            serde_json::to_writer(&mut out.new, install)?;
        }
        self.run(asleep, &mut out, &mut first);
        out.new.extend_from_slice(b"\n]}\n");
        Ok(out)
    }

    /// The lines of sets before `name` go to `out`; the others.
    fn before<'a, 'l>(&'a self, lines: &'l [Line], name: &SetName, out: &mut Joined<'a>, first: &mut bool) -> &'l [Line] {
        let (before, rest) = lines.split_at(lines.partition_point(|line| self.text[line.name.clone()] < *name.as_str().as_bytes()));
        self.run(before, out, first);
        rest
    }

    /// All of these lines; those that follow each other in the file at once.
    fn run<'a>(&'a self, mut lines: &[Line], out: &mut Joined<'a>, first: &mut bool) {
        while let Some(begin) = lines.first() {
            let is_next = |pair: &&[Line]| pair[0].whole.end + LINE_END.len() == pair[1].whole.start;
            let count = 1 + lines.windows(2).take_while(is_next).count();
            next_line(&mut out.new, first);
            out.add(&self.text[begin.whole.start..lines[count - 1].whole.end]);
            lines = &lines[count..];
        }
    }

    /// The lines as one `state.json` of their own, with this head.
    pub(super) fn alone(&self, head: &State) -> io::Result<Vec<u8>> {
        let empty = State { sets: std::collections::BTreeMap::new(), installs: Vec::new(), asleep: Asleep::default(), ..head.clone() };
        Ok(self.join(&empty)?.parts().concat())
    }
}

/// What is left without those lines, those of sets and those of installs.
fn lines_of(text: &[u8], asleep: &[&str]) -> Option<(Vec<u8>, Vec<Line>, Vec<Line>)> {
    let ends: Vec<usize> = std::str::from_utf8(text).ok()?.match_indices('\n').map(|(at, _)| at).collect();
    let starts = std::iter::once(0).chain(ends.iter().map(|end| end + 1));
    let mut lines = starts.zip(ends.iter().copied()).map(|(start, end)| start..end);
    let mut out = Vec::new();
    let head = lines.next().filter(|line| text[line.clone()].ends_with(b"\"sets\":{"))?;
    out.extend_from_slice(&text[head]);
    let sets = Section { text, open: b"\"", close: b"\":", repeats: Repeats::Never };
    let (sets, middle) = sets.part(&mut lines, asleep, &mut out)?;
    out.extend_from_slice(&text[middle.clone()]);
    text[middle].ends_with(b"\"installs\":[").then_some(())?;
    let installs = Section { text, open: b"{\"set\":\"", close: b"\",", repeats: Repeats::Sometimes };
    let (installs, last) = installs.part(&mut lines, asleep, &mut out)?;
    out.extend_from_slice(&text[last]);
    let is_whole = lines.next().is_none() && sets.len() == asleep.len();
    is_whole.then_some((out, sets, installs))
}

/// Between two lines.
const LINE_END: &[u8] = b",\n";

fn next_line(out: &mut Vec<u8>, first: &mut bool) {
    out.extend_from_slice(if *first { b"\n" } else { LINE_END });
    *first = false;
}

/// Lines for sets, in the order of their names.
struct Section<'a> {
    text: &'a [u8],
    /// What stands before the name.
    open: &'a [u8],
    /// What stands after it.
    close: &'a [u8],
    repeats: Repeats,
}

/// Whether a set may have several lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeats {
    Never,
    Sometimes,
}

impl Section<'_> {
    /// The lines of sets in `asleep`, up to one that does not begin as they do, and that one; those of sets that are awake go to `out`.
    fn part(
        &self,
        lines: &mut impl Iterator<Item = Range<usize>>,
        asleep: &[&str],
        out: &mut Vec<u8>,
    ) -> Option<(Vec<Line>, Range<usize>)> {
        let mut found = Vec::with_capacity(asleep.len());
        let (mut first, mut last, mut asleep) = (true, None, asleep.iter().map(|name| name.as_bytes()).peekable());
        for line in lines {
            let bytes = &self.text[line.clone()];
            let Some(rest) = bytes.strip_prefix(self.open) else {
                out.push(b'\n');
                return Some((found, line));
            };
            let length = rest.iter().position(|byte| *byte == b'"')?;
            rest.get(length..)?.starts_with(self.close).then_some(())?;
            let name = &rest[..length];
            let is_in_order = last.is_none_or(|last| last < name || (last == name && self.repeats == Repeats::Sometimes));
            is_in_order.then_some(())?;
            last = Some(name);
            let start = line.start + self.open.len();
            let whole = line.start..line.end - usize::from(bytes.ends_with(b","));
            while asleep.next_if(|asleep| *asleep < name).is_some() {}
            if asleep.peek() == Some(&name) {
                found.push(Line { name: start..start + length, whole });
            } else {
                next_line(out, &mut first);
                out.extend_from_slice(&self.text[whole]);
            }
        }
        None
    }
}

/// The names of sets in order, for [`Asleep::part`].
pub(super) fn names<'a>(sets: impl IntoIterator<Item = &'a SetName>) -> Vec<&'a str> {
    let mut names: Vec<&str> = sets.into_iter().map(SetName::as_str).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::{Asleep, names};
    use crate::base::{AbsPath, SetName};
    use crate::spec::Layout;
    use crate::state::State;

    /// A state with this many sets, two installs each.
    fn state(count: usize) -> State {
        let path = |text: String| text.parse::<AbsPath>().unwrap_or_else(|error| unreachable!("{error}"));
        let mut state = State::empty("host".into(), path("/s.yaml".into()));
        for number in 0..count {
            let name: SetName = format!("set-{number:05}").parse().unwrap_or_else(|error| unreachable!("{error}"));
            let set = serde_json::from_value(serde_json::json!({
                "digest": "0".repeat(64), "revision": number, "facts": { "leaves": [], "keys": [] }, "judged": "1".repeat(64),
                "pattern": null, "hold": null
            }));
            state.sets.insert(name.clone(), set.unwrap_or_else(|error| unreachable!("{error}")));
            for dest in ["a", "b"] {
                state.install_entry(&name, &path(format!("/{dest}/{name}")), Layout::Generations);
            }
        }
        state
    }

    fn text(state: &State) -> Vec<u8> {
        state.asleep.join(state).unwrap_or_else(|error| unreachable!("{error}")).parts().concat()
    }

    #[test]
    fn what_sleeps_is_written_as_it_was_read_in_a_few_parts() -> Result<(), Box<dyn std::error::Error>> {
        let whole = state(3000);
        let written = text(&whole);
        assert!(serde_json::from_slice::<State>(&written)? == whole);
        for awake in [vec![0], vec![2999], vec![7, 8, 1500], (0..3000).step_by(2).collect(), Vec::new(), (0..3000).collect::<Vec<usize>>()]
        {
            let of_asleep = whole.sets.keys().enumerate().filter(|(number, _)| !awake.contains(number)).map(|(_, name)| name);
            let asleep = names(of_asleep);
            let (rest, asleep) = Asleep::part(written.clone(), &asleep).map_err(|_| "the lines are not found")?;
            let rest = State { asleep, ..serde_json::from_slice(&rest)? };
            assert_eq!((rest.sets.len(), rest.installs.len()), (awake.len(), 2 * awake.len()));
            let joined = rest.asleep.join(&rest)?;
            assert!(joined.parts().concat() == written, "{awake:?}");
            assert!(joined.parts().len() <= 4 * (awake.len() + 1).min(5) + 1, "{awake:?}: {} parts", joined.parts().len());
        }
        Ok(())
    }

    #[test]
    fn lines_out_of_order_or_told_twice_are_read_as_a_whole() {
        let written = String::from_utf8(text(&state(3))).unwrap_or_default();
        let asleep = ["set-00000", "set-00001"];
        assert!(Asleep::part(written.clone().into_bytes(), &asleep).is_ok());
        let line = |at: usize| written.lines().nth(at).unwrap_or_default();
        for (one, other) in [(line(1), line(2)), (line(5), line(7))] {
            let turned = written.replacen(one, "?", 1).replacen(other, one, 1).replacen('?', other, 1);
            assert!(turned.len() == written.len() && Asleep::part(turned.into_bytes(), &asleep).is_err(), "{one}");
        }
        let twice = written.replacen(line(1), &format!("{0}\n{0}", line(1)), 1);
        assert!(Asleep::part(twice.into_bytes(), &asleep).is_err());
    }
}
