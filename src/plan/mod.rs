//! The plan as a value: made by the pure function [`diff`], rendered as text or JSON, run by `apply`.

mod render;
mod report;
mod types;

pub use render::{Detail, Paint, json, text};
pub use report::{Failure, HookReport, HookResult, InstallReport, Level, Report, ServerReport, ServerResult, ServerSet, SetReport, Tense};
pub use types::{
    Change, ContentChange, Due, FileSource, HookPlan, InstallPlan, NextGeneration, Outcome, Phase, Plan, PlannedFile, Reason, SetPlan, Step,
};
