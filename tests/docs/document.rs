//! Documents taken apart into blocks.

use super::top;

/// One Markdown file.
pub struct Document {
    /// Its path in the project.
    pub path: String,
    /// Its fenced blocks, in order.
    pub blocks: Vec<Block>,
    /// Its text.
    pub text: String,
}

/// One fenced block.
pub struct Block {
    /// The first word after the fence.
    pub language: String,
    /// Where it begins, from 1.
    pub line: usize,
    /// What the comments before it say: `key: value`, or a word.
    pub before: Vec<(String, String)>,
    /// Its lines.
    pub text: String,
}

/// One command of a `console` block.
pub struct Command {
    /// Where it stands, from 1.
    pub line: usize,
    /// The host that it is run on, where there are several.
    pub host: Option<String>,
    /// What is run.
    pub text: String,
    /// What it prints.
    pub expected: Vec<String>,
}

impl Document {
    /// Reads one of the project's documents.
    pub fn read(path: &str) -> Document {
        let text = std::fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut blocks: Vec<Block> = Vec::new();
        let mut open: Option<(String, Block)> = None;
        let mut before = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if let Some((fence, block)) = &mut open {
                if line.trim() == fence {
                    blocks.extend(open.take().map(|(_, block)| block));
                } else {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                continue;
            }
            let ticks: String = line.chars().take_while(|c| *c == '`').collect();
            if ticks.len() >= 3 {
                let language = line[ticks.len()..].trim().to_owned();
                open = Some((ticks, Block { language, line: index + 1, before: std::mem::take(&mut before), text: String::new() }));
            } else if let Some(comment) = line.trim().strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->")) {
                let (key, value) = comment.split_once(':').unwrap_or((comment, ""));
                before.push((key.trim().to_owned(), value.trim().to_owned()));
            } else if !line.trim().is_empty() {
                before.clear();
            }
        }
        assert!(open.is_none(), "{path}: a block is not closed");
        Document { path: path.to_owned(), blocks, text }
    }
}

impl Block {
    /// What the comments before it say of `key`.
    pub fn marked(&self, key: &str) -> Option<&str> {
        self.before.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The commands of a `console` block.
    pub fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            let at = self.line + 1 + index;
            if let Some((host, text)) = prompted(line) {
                commands.push(Command { line: at, host: host.map(str::to_owned), text: text.to_owned(), expected: Vec::new() });
                continue;
            }
            let command = commands.last_mut().unwrap_or_else(|| panic!("line {at}: a console block begins with a command"));
            match line.strip_prefix("> ") {
                Some(more) if command.expected.is_empty() => {
                    command.text.push('\n');
                    command.text.push_str(more);
                }
                _ => command.expected.push(line.to_owned()),
            }
        }
        commands
    }
}

/// A command after its prompt: `$ `, or the name of a host and `# `.
fn prompted(line: &str) -> Option<(Option<&str>, &str)> {
    if let Some(text) = line.strip_prefix("$ ") {
        return Some((None, text));
    }
    let (host, text) = line.split_once("# ")?;
    (!host.is_empty() && host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())).then_some((Some(host), text))
}

/// Whether what was printed is what is written, `…` standing for anything.
pub fn matches(expected: &[String], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line.trim() == "…" => (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..])),
        Some((line, rest)) => printed.split_first().is_some_and(|(first, others)| line_matches(line, first) && matches(rest, others)),
    }
}

/// A table's columns are as wide as the paths in it, which differ: several spaces are one.
fn line_matches(expected: &str, printed: &str) -> bool {
    let (expected, printed) = (narrow(expected), narrow(printed));
    let mut parts = expected.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut left) = printed.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return left.is_empty() };
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

fn narrow(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    line.trim_end().chars().for_each(|c| {
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    });
    out
}

#[test]
fn an_ellipsis_matches_anything_and_nothing_else_does() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&lines("a … c\n…\nz"), &["a b c", "x", "y", "z"]));
    assert!(matches(&lines("…\nz"), &["z"]));
    assert!(!matches(&lines("a … c"), &["a b d"]));
    assert!(!matches(&lines("a"), &["a", "b"]));
    assert!(!matches(&[], &["a"]));
    assert!(!line_matches("aXa", "aX"));
}
