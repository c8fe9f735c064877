//! YAML as a tree in which every node knows its place. Anchors, aliases and tags are refused, so that the tree is
//! never larger than the text; the text, its depth and its nodes are limited, so that no input is slow.

use super::fault::{Pos, Reporter, quoted};
use crate::base::printable;
use granit_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::HashMap;

/// The most bytes that a spec and all it includes may have.
pub const LARGEST_SPEC: u64 = 8 * 1024 * 1024;
/// How deep lists and mappings may be nested.
pub const DEEPEST: usize = 64;
/// The most nodes (keys, values, lists, mappings) of one file.
pub const MOST_NODES: usize = 1_000_000;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub pos: Pos,
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    /// Text; `plain` where it stands without quotes.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A mapping: keys are scalars, each once.
    Map(Vec<(Node, Node)>),
    /// A fault was recorded for it; nothing more is to be said.
    Faulty,
}

impl Node {
    /// Whether it is nothing: no value at all, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, in words.
    pub(super) fn words(&self) -> String {
        match &self.kind {
            _ if self.is_null() => "nothing".into(),
            Kind::Scalar { text, .. } => quoted(text),
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a mapping".into(),
            Kind::Faulty => "a fault".into(),
        }
    }
}

/// Why there is no tree: a fault that stands alone.
pub(super) struct Broken {
    pub pos: Pos,
    pub message: String,
    pub hint: Option<String>,
}

/// Reads the one document of `text`; nothing where it is empty.
pub(super) fn parse(text: &str, file: u32, reporter: &Reporter) -> Result<Option<Node>, Broken> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        emit_comments: false,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let mut builder = Builder { file, reporter, open: Vec::new(), root: None, nodes: 0, documents: 0 };
    for next in Parser::new_from_str_with_options(text, options) {
        match next {
            Ok((event, span)) => builder.take(event, span)?,
            Err(error) => return Err(builder.syntax(&error)),
        }
    }
    Ok(builder.root)
}

/// A list or mapping that is not closed yet.
enum Open {
    List(Pos, Vec<Node>),
    Map(Pos, Vec<(Node, Node)>, Option<Node>),
}

struct Builder<'a> {
    file: u32,
    reporter: &'a Reporter,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Broken> {
        let pos = self.pos(span);
        match event {
            Event::Scalar(text, style, _, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let plain = matches!(style, ScalarStyle::Plain);
                self.add(Node { pos, kind: Kind::Scalar { text: text.into_owned(), plain } })
            }
            Event::SequenceStart(_, _, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.begin(Open::List(pos, Vec::new()), pos)
            }
            Event::MappingStart(_, _, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.begin(Open::Map(pos, Vec::new(), None), pos)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.refuse(pos, "an alias is not allowed in a spec", "write the value out, or use `defaults`");
                self.add(Node { pos, kind: Kind::Faulty })
            }
            Event::Anchor(..) => {
                self.refuse(pos, "an anchor is not allowed in a spec", "write the value out, or use `defaults`");
                Ok(())
            }
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(broken(pos, "a second document", "a spec is one YAML document; remove the `---`"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: Open, pos: Pos) -> Result<(), Broken> {
        if self.open.len() >= DEEPEST {
            return Err(too_deep(pos));
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Broken> {
        let node = match self.open.pop() {
            Some(Open::List(pos, items)) => Node { pos, kind: Kind::List(items) },
            Some(Open::Map(pos, pairs, _)) => Node { pos, kind: Kind::Map(self.unique(pairs)) },
            None => return Ok(()),
        };
        self.add(node)
    }

    fn add(&mut self, node: Node) -> Result<(), Broken> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(broken(node.pos, format!("more than {MOST_NODES} values in one file"), "split the spec with `include`"));
        }
        match self.open.last_mut() {
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, pairs, key)) => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => *key = Some(node),
            },
            None => self.root = Some(node),
        }
        Ok(())
    }

    /// The pairs with a usable key, each key once; the others are faults.
    fn unique(&self, pairs: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
        let mut first: HashMap<String, Pos> = HashMap::with_capacity(pairs.len());
        let mut kept = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            match &key.kind {
                Kind::Scalar { text, .. } if !key.is_null() => match first.get(text) {
                    Some(other) => self.reporter.fault(
                        key.pos,
                        format!("the key {} stands here twice", quoted(text)),
                        Some(format!("it is first written at {}", self.reporter.place(*other))),
                    ),
                    None => {
                        first.insert(text.clone(), key.pos);
                        kept.push((key, value));
                    }
                },
                Kind::Faulty => {}
                _ => self.refuse(key.pos, "a key must be text", "write `key: value`"),
            }
        }
        kept
    }

    fn refuse_tag(&self, present: bool, span: Span) {
        if present {
            let pos = span.tag_span().map_or_else(|| self.pos(span), |tag| self.pos(tag));
            self.refuse(pos, "a tag is not allowed in a spec", "remove it; quotes make text of a number");
        }
    }

    fn refuse(&self, pos: Pos, message: &str, hint: &str) {
        self.reporter.fault(pos, message, Some(hint.to_owned()));
    }

    fn pos(&self, span: Span) -> Pos {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let length = if span.start.line() == span.end.line() { span.end.col().saturating_sub(span.start.col()) } else { 1 };
        Pos { file: self.file, line: narrow(span.start.line()), column: narrow(span.start.col()).saturating_add(1), length: narrow(length) }
    }

    fn syntax(&self, error: &granit_parser::ScanError) -> Broken {
        use granit_parser::ErrorKind;
        let pos = self.pos(Span::empty(*error.marker()));
        let info = error.info();
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            return too_deep(pos);
        }
        let hint = if info.contains("mapping values are not allowed") {
            "check the indentation, and quote text that holds `: `"
        } else if info.contains("tab") {
            "indent with spaces"
        } else {
            "check the indentation, the quotes and the brackets there"
        };
        broken(pos, format!("not YAML: {}", printable(info.trim_end_matches('.'))), hint)
    }
}

fn too_deep(pos: Pos) -> Broken {
    broken(pos, format!("nested more than {DEEPEST} levels deep"), "a spec needs no more than ten")
}

fn broken(pos: Pos, message: impl Into<String>, hint: &str) -> Broken {
    Broken { pos, message: message.into(), hint: Some(hint.to_owned()) }
}
