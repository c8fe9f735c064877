//! The spec: YAML types, loading with positions, resolving to this host's part.

mod desired;

pub use desired::{
    Accept, Command, Desired, DesiredInstall, DesiredSet, FileRule, Hook, HookUser, InstallRest, InstallTemplate, Layout, Limits, Named,
    Owner, PatternSet, Prune, Select, SetTemplate, StartTls, Verify,
};
