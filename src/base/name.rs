//! Names of sets, hooks and servers. A copy of a name costs nothing.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError(String);

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NameError {}

/// The longest name, in bytes: what is left of NAME_MAX (255) for a prefix and a suffix of ours.
const LONGEST: usize = 200;

fn check(text: &str) -> Result<(), NameError> {
    let shown = || super::printable(text);
    if text.is_empty() {
        return Err(NameError("a name is empty".into()));
    }
    if text.len() > LONGEST {
        return Err(NameError(format!("a name is longer than {LONGEST} bytes: {}", shown())));
    }
    if text.starts_with(['.', '-']) {
        return Err(NameError(format!("a name begins with {:?}: {}", &text[..1], shown())));
    }
    if !super::is_printable(text) || text.contains(['/', '\\']) {
        return Err(NameError(format!("a name holds a slash, backslash or control character: {}", shown())));
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $reserved:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text; safe as one path component and on a terminal.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text)?;
                let reserved: &[&str] = $reserved;
                if reserved.contains(&text) {
                    return Err(NameError(format!("the name {text} is reserved")));
                }
                Ok($name(text.into()))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": "^[^./\\\\-][^/\\\\]*$", "maxLength": 200 })
            }
        }
    };
}

name_type!(
    /// The name of a certificate set: one path component, no leading dot, printable; `owner` is reserved,
    /// since `dest/.certsync/owner` is certsync's own.
    SetName, &["owner"]
);
name_type!(
    /// The name of a hook.
    HookName, &[]
);
name_type!(
    /// The name of a server or of a group of them; `all` is reserved, since it stands for every server but a set's origin.
    ServerName, &["all"]
);

#[cfg(test)]
mod tests {
    use super::SetName;

    #[test]
    fn a_set_name_is_one_path_component() {
        for good in ["example.com", "*.example.com", "münchen.example", "a b"] {
            assert!(good.parse::<SetName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "-x", "a/b", "a\\b", "a\nb", "owner", &"x".repeat(201)] {
            assert!(bad.parse::<SetName>().is_err(), "{bad}");
        }
    }
}
