//! The plan as a value: made by the pure function [`diff`], rendered as text or JSON, run by `apply`.

mod report;
mod types;

pub use report::{HookReport, HookResult, InstallReport, Report, SetReport};
pub use types::{
    Change, ContentChange, Due, FileSource, HookPlan, InstallPlan, NextGeneration, Outcome, Phase, Plan, PlannedFile, Reason, SetPlan, Step,
};
