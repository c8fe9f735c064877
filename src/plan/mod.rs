//! The plan as a value: made by the pure function [`diff`], rendered as text or JSON, run by `apply`.

mod diff;
mod differ;
mod generation;
mod hooks;
mod names;
mod render;
mod report;
mod rights;
mod transition;
mod types;
mod words;

pub use diff::{Diffed, Situation, Wanted, WantedFile, diff};
pub use hooks::{Place, due, owes_run, owes_verify, places, returned_error};
pub use names::{Shown, link_target};
pub use render::{Detail, Paint, json, text};
pub use report::{Failure, HookReport, HookResult, InstallReport, Report, ServerReport, ServerResult, ServerSet, SetReport, Tense};
pub use transition::{begin, go_back, promote};
pub use types::{
    Change, ContentChange, Due, FileSource, HookPlan, InstallPlan, NextGeneration, Outcome, Phase, Plan, PlannedFile, Reason, SetPlan, Step,
};
