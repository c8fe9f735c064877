//! The spec: YAML types, loading with positions, resolving to this host's part.

mod desired;
mod expand;
mod fault;
mod load;
mod select;
mod together;

pub use desired::{
    Accept, Command, Desired, DesiredInstall, DesiredSet, FileRule, Hook, HookUser, InstallRest, InstallTemplate, Layout, Limits, Named,
    Owner, PatternSet, Prune, Select, SetTemplate, StartTls, Verify,
};
pub use expand::under_hash;
pub use fault::{Fault, Faults};
pub use load::{Loaded, SpecInput, load, resolved_yaml, schema};
pub use select::Matcher;
pub use together::check_together;
