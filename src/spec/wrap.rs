//! The wrappers of the YAML types: a value with its place, one or many, a mapping in its written order.

use super::de::{AT, LIST, Numbers};
use super::fault::Pos;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A value and its place in the spec. It may be missing (a key that is not written) or faulty (then the fault has been
/// recorded): both have no value.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// The place of its key (its own, in a list) and its own; none: it is not written.
    place: Option<(Pos, Pos)>,
    value: Option<T>,
}

impl<T> Default for At<T> {
    fn default() -> Self {
        At { place: None, value: None }
    }
}

impl<T> At<T> {
    /// The value, where there is one without fault.
    pub fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Whether it is written, be it faulty.
    pub fn is_written(&self) -> bool {
        self.place.is_some()
    }

    /// Its place.
    pub fn pos(&self) -> Pos {
        self.place.unwrap_or_default().1
    }

    /// The place of its key; in a list its own.
    pub fn key(&self) -> Pos {
        self.place.unwrap_or_default().0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Both<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Both<T> {
            type Value = At<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut both: A) -> Result<At<T>, A::Error> {
                let Some([a, b, c, d, e, f, g, h]) = both.next_element::<Numbers>()? else {
                    return Err(de::Error::custom("a value without a place"));
                };
                let key = Pos { file: a, line: b, column: c, length: d };
                let own = Pos { file: e, line: f, column: g, length: h };
                Ok(At { place: Some((key, own)), value: both.next_element()? })
            }
        }
        deserializer.deserialize_newtype_struct(AT, Both(PhantomData))
    }
}

/// One value, or a list of them.
#[derive(Debug, Clone)]
pub struct List<T>(pub Vec<At<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        List(Vec::new())
    }
}

impl<T> List<T> {
    /// The values without fault, in order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(At::value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Many<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Many<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list of them")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_newtype_struct(LIST, Many(PhantomData))
    }
}

/// A mapping from names of the operator's choice, in the order written.
#[derive(Debug, Clone)]
pub struct Entries<K, V>(pub Vec<(At<K>, At<V>)>);

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Entries<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Pairs<K, V> {
            type Value = Entries<K, V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Entries<K, V>, A::Error> {
                let mut list = Vec::new();
                while let Some(pair) = pairs.next_entry()? {
                    list.push(pair);
                }
                Ok(Entries(list))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

impl<K, V: JsonSchema> JsonSchema for Entries<K, V> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("EntriesOf{}", V::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}
