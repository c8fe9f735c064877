//! The spec: YAML types, loading with positions, resolving to this host's part.

mod de;
mod desired;
mod elsewhere;
mod expand;
mod fault;
pub mod fleet;
mod leaf;
mod leaf_fleet;
mod leaf_names;
mod load;
mod real;
mod resolve;
mod resolved;
mod resolved_fleet;
mod schema;
mod select;
mod surroundings;
mod together;
mod tree;
mod types;
mod types_fleet;
mod wrap;

pub use desired::{
    Accept, Command, Desired, DesiredInstall, DesiredSet, FileRule, Hook, HookUser, InstallRest, InstallTemplate, Layout, Limits, Named,
    Owner, PatternSet, Prune, RsyncFrom, Select, SetSource, SetTemplate, StartTls, Verify,
};
pub use expand::under_hash;
pub use fault::{Fault, Faults, suggest};
pub use load::{Loaded, SpecInput, load, load_with};
pub use real::Real;
pub use resolved::resolved_yaml;
pub use schema::schema;
pub use select::Matcher;
pub use surroundings::{Found, FoundKind, Running, Surroundings, Trust};
pub use together::check_together;
pub use types::Spec;
