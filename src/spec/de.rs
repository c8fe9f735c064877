//! Serde over the marked tree, made so that one fault does not hide the next.
//!
//! Every value that a type wraps in [`At`] is a place where reading goes on: a fault inside it is recorded and the value
//! is left out. Four names that the types pass through serde ask for more than serde knows:
//! [`AT`] for place and value, [`LIST`] for one or many, [`RAW`] for text that knows whether it was quoted, and an enum
//! whose name begins with [`SHAPE`] for a value that may be text, a list or a mapping.

use super::elsewhere::elsewhere;
use super::fault::{Pos, Reporter, nearest, quoted, suggest};
use super::tree::{Kind, Node};
use serde::Deserialize;
use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use std::fmt;

/// Name of the newtype that takes place and value.
pub(super) const AT: &str = "$at";
/// Name of the newtype that takes one value or a list of them.
pub(super) const LIST: &str = "$list";
/// Name of the newtype that takes text and whether it stands without quotes.
pub(super) const RAW: &str = "$raw";
/// Beginning of the name of an enum of shapes; what is expected follows.
pub(super) const SHAPE: &str = "$shape:";

/// Where a value stands: the numbers of its key's and its own [`Pos`], as they pass through serde.
pub(super) type Numbers = [u32; 8];

/// Between a message and its hint in an error that a leaf type makes.
const HINT: char = '\u{1f}';

/// An error for a leaf type to return, with a hint.
pub(super) fn fault<E: de::Error>(message: impl fmt::Display, hint: impl fmt::Display) -> E {
    E::custom(format_args!("{message}{HINT}{hint}"))
}

/// Reads `T` from the tree; every fault goes to `reporter`.
pub(super) fn read<'a, T: Deserialize<'a>>(node: &'a Node, reporter: &'a Reporter) -> Option<T> {
    let value = Value { node, key: None, reporter };
    T::deserialize(value).map_err(|trouble| trouble.record(value)).ok()
}

/// A fault on its way to the next place where reading goes on.
#[derive(Debug)]
pub(super) struct Trouble {
    /// Nothing: it has been recorded already.
    said: Option<(String, Option<String>)>,
}

impl Trouble {
    fn new(message: impl Into<String>, hint: Option<String>) -> Self {
        Trouble { said: Some((message.into(), hint)) }
    }

    fn record(self, value: Value<'_>) {
        if let Some((message, hint)) = self.said {
            value.reporter.fault(value.place(), message, hint);
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.said.as_ref().map_or("", |(message, _)| message))
    }
}

impl std::error::Error for Trouble {}

impl de::Error for Trouble {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let text = message.to_string();
        match text.split_once(HINT) {
            Some((message, hint)) => Trouble::new(message, Some(hint.to_owned())),
            None if text == "the name all is reserved" => {
                Trouble::new(text, Some("it stands for every server but a set's origin; use another name".into()))
            }
            // Of all values that are read from text, names alone come from `base`, where no hint is given.
            None => Trouble::new(text, Some("a name is one plain word, as a directory is called: example.com, reload-nginx".into())),
        }
    }

    fn invalid_value(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match unexpected {
            de::Unexpected::Unsigned(number) => number.to_string(),
            other => other.to_string(),
        };
        let range = match expected.to_string().as_str() {
            "u16" => format!("a whole number up to {}", u16::MAX),
            "u32" => format!("a whole number up to {}", u32::MAX),
            other => other.to_owned(),
        };
        Trouble::new(format!("expected {range}, found {found}"), Some("write a smaller number".into()))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Trouble::new(format!("unknown word {}", quoted(variant)), suggest(variant, expected, "known are"))
    }
}

/// A node, its key, and where faults go.
#[derive(Clone, Copy)]
struct Value<'a> {
    node: &'a Node,
    key: Option<Pos>,
    reporter: &'a Reporter,
}

impl<'a> Value<'a> {
    /// Where a fault of this value is shown: at its key where there is nothing to show.
    fn place(&self) -> Pos {
        match self.key {
            Some(key) if self.node.pos.length == 0 && self.node.is_null() => key,
            _ => self.node.pos,
        }
    }

    fn numbers(&self) -> Numbers {
        let value = self.place();
        let key = self.key.unwrap_or(value);
        [key.file, key.line, key.column, key.length, value.file, value.line, value.column, value.length]
    }

    fn expected(&self, what: &str) -> Trouble {
        if matches!(self.node.kind, Kind::Faulty) {
            return Trouble { said: None };
        }
        let hint = match (&self.node.kind, what) {
            _ if self.node.is_null() => "write a value, or leave the key out",
            (_, "a whole number") => "write digits alone, such as 2",
            (_, "a mapping") => "write lines of `key: value` below it",
            (_, "a list") => "write a list, such as [one, two]",
            (Kind::List(_), _) => "write it without the inner [ ] or `- `",
            (Kind::Map(_), _) => "write one value here, without `key: `",
            _ => "write a value of that kind",
        };
        Trouble::new(format!("expected {what}, found {}", self.node.words()), Some(hint.into()))
    }

    fn text(&self, what: &str) -> Result<(&'a str, bool), Trouble> {
        match &self.node.kind {
            Kind::Scalar { text, plain } if !self.node.is_null() => Ok((text, *plain)),
            _ => Err(self.expected(what)),
        }
    }

    fn whole_number(&self) -> Result<u64, Trouble> {
        let (text, plain) = self.text("a whole number")?;
        match text.parse() {
            Ok(number) if plain && text.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
            Ok(_) if !plain => {
                Err(Trouble::new(format!("expected a whole number, found text: {}", quoted(text)), Some("remove the quotes".into())))
            }
            _ => Err(self.expected("a whole number")),
        }
    }

    fn shape(&self) -> &'static str {
        match self.node.kind {
            Kind::Scalar { .. } => "scalar",
            Kind::List(_) => "list",
            Kind::Map(_) | Kind::Faulty => "mapping",
        }
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Trouble;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match &self.node.kind {
            Kind::Scalar { text, .. } => visitor.visit_borrowed_str(text),
            Kind::List(_) => self.deserialize_seq(visitor),
            Kind::Map(_) => self.deserialize_map(visitor),
            Kind::Faulty => Err(Trouble { said: None }),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_borrowed_str(self.text("text")?.0)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let (text, plain) = self.text("`true` or `false`")?;
        match text {
            "true" | "True" | "TRUE" if plain => visitor.visit_bool(true),
            "false" | "False" | "FALSE" if plain => visitor.visit_bool(false),
            _ => {
                let meant = match text.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" | "1" | "true" => Some("true"),
                    "no" | "off" | "n" | "0" | "false" => Some("false"),
                    _ => None,
                };
                let hint = meant.map_or_else(|| "write `true` or `false`".into(), |word| format!("did you mean `{word}`, without quotes?"));
                let found = if plain { "" } else { "text: " };
                Err(Trouble::new(format!("expected `true` or `false`, found {found}{}", quoted(text)), Some(hint)))
            }
        }
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_u64(self.whole_number()?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_u64(self.whole_number()?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_u64(self.whole_number()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Trouble> {
        match name {
            AT => visitor.visit_seq(Placed { value: self, step: 0 }),
            LIST => match &self.node.kind {
                Kind::List(items) => visitor.visit_seq(Items { rest: items.iter(), reporter: self.reporter }),
                Kind::Faulty => Err(Trouble { said: None }),
                _ => visitor.visit_seq(Items { rest: std::slice::from_ref(self.node).iter(), reporter: self.reporter }),
            },
            RAW => {
                let (text, plain) = self.text("text")?;
                visitor.visit_seq(SeqDeserializer::new([if plain { "plain" } else { "quoted" }, text].into_iter()))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match &self.node.kind {
            Kind::List(items) => visitor.visit_seq(Items { rest: items.iter(), reporter: self.reporter }),
            _ => Err(self.expected("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match &self.node.kind {
            Kind::Map(pairs) => visitor.visit_map(Pairs::new(pairs, None, self.reporter)),
            _ => Err(self.expected("a mapping")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        match &self.node.kind {
            Kind::Map(pairs) => visitor.visit_map(Pairs::new(pairs, Some((name, known)), self.reporter)),
            _ => Err(self.expected("a mapping")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        match name.strip_prefix(SHAPE) {
            Some(what) if !variants.contains(&self.shape()) || self.node.is_null() => Err(self.expected(what)),
            Some(_) => visitor.visit_enum(Shape(self)),
            None => visitor.visit_enum(StrDeserializer::<Trouble>::new(self.text("a word")?.0)),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// Place, then value: what [`AT`] is given. Here a fault is recorded and reading goes on.
struct Placed<'a> {
    value: Value<'a>,
    step: u8,
}

impl<'a> SeqAccess<'a> for Placed<'a> {
    type Error = Trouble;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Trouble> {
        self.step += 1;
        if self.step == 1 {
            return seed.deserialize(SeqDeserializer::new(self.value.numbers().into_iter())).map(Some);
        }
        match seed.deserialize(self.value) {
            Ok(value) => Ok(Some(value)),
            Err(trouble) => {
                trouble.record(self.value);
                Ok(None)
            }
        }
    }
}

struct Items<'a> {
    rest: std::slice::Iter<'a, Node>,
    reporter: &'a Reporter,
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Trouble;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Trouble> {
        let Some(node) = self.rest.next() else { return Ok(None) };
        seed.deserialize(Value { node, key: None, reporter: self.reporter }).map(Some)
    }
}

/// The pairs of a mapping. Where the known keys are given, others are recorded; one that is most likely a known key
/// misspelt is read as that key, so that the faults behind it are found as well and nothing seems to be missing.
struct Pairs<'a> {
    all: &'a [(Node, Node)],
    next: usize,
    value: Option<Value<'a>>,
    known: Option<(&'static str, &'static [&'static str])>,
    guessed: Vec<&'a str>,
    reporter: &'a Reporter,
}

impl<'a> Pairs<'a> {
    fn new(all: &'a [(Node, Node)], known: Option<(&'static str, &'static [&'static str])>, reporter: &'a Reporter) -> Self {
        Pairs { all, next: 0, value: None, known, guessed: Vec::new(), reporter }
    }

    /// The key as it is to be read; nothing where it is to be passed over.
    fn name(&mut self, key: &'a Node) -> Option<&'a str> {
        let Kind::Scalar { text, .. } = &key.kind else { return None };
        let Some((owner, known)) = self.known.filter(|(_, known)| !known.contains(&text.as_str())) else { return Some(text) };
        if self.reporter.is_full() {
            self.reporter.fault(key.pos, "unknown key", None);
            return None;
        }
        let elsewhere = elsewhere(owner, text);
        let hint = elsewhere.map(str::to_owned).or_else(|| suggest(text, known, "known here are"));
        self.reporter.fault(key.pos, format!("unknown key {}", quoted(text)), hint);
        let guess = nearest(text, known.iter().copied()).filter(|_| elsewhere.is_none())?;
        let written = self.all.iter().any(|(other, _)| matches!(&other.kind, Kind::Scalar { text, .. } if text == guess));
        if written || self.guessed.contains(&guess) {
            return None;
        }
        self.guessed.push(guess);
        Some(guess)
    }
}

impl<'a> MapAccess<'a> for Pairs<'a> {
    type Error = Trouble;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Trouble> {
        while let Some((key, value)) = self.all.get(self.next) {
            self.next += 1;
            let Some(name) = self.name(key) else { continue };
            self.value = Some(Value { node: value, key: Some(key.pos), reporter: self.reporter });
            return match self.known {
                Some(_) => seed.deserialize(StrDeserializer::new(name)).map(Some),
                None => seed.deserialize(Value { node: key, key: None, reporter: self.reporter }).map(Some),
            };
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Trouble> {
        let value = self.value.take().ok_or_else(|| Trouble::custom("a key without a value"))?;
        seed.deserialize(value)
    }
}

/// A value as the variant of its shape.
struct Shape<'a>(Value<'a>);

impl<'a> EnumAccess<'a> for Shape<'a> {
    type Error = Trouble;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self), Trouble> {
        let name: StrDeserializer<'_, Trouble> = self.0.shape().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'a> VariantAccess<'a> for Shape<'a> {
    type Error = Trouble;

    fn unit_variant(self) -> Result<(), Trouble> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, Trouble> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Trouble> {
        self.0.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'a>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Trouble> {
        self.0.deserialize_map(visitor)
    }
}
