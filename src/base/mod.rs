//! Types that cannot be wrong: parsed once at the edge, believed everywhere else.

pub mod base64;
mod digest;
mod error;
mod mode;
mod name;
mod path;
mod secret;
mod ssh_key;
mod text;
pub mod told;

pub use digest::{ContentHash, Digest, GenerationHash, KeyFingerprint, hex};
pub use error::{Error, ErrorKind, Result};
pub use mode::{Mode, ModeError};
pub use name::{HookName, NameError, ServerName, SetName};
pub use path::{AbsPath, PathError, RelPath};
pub use secret::Secret;
pub use ssh_key::{SshKey, SshKeyError, SshKeyId};
pub use text::{escape, is_printable, not_utf8, printable, printable_json, printable_yaml};
