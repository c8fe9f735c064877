//! `certsync schema`.

use super::Stop;
use super::cli::{SchemaArgs, SchemaOf};
use super::exit::{Exit, SUCCESS};
use super::output::Output;
use crate::plan::Report;
use crate::spec;
use crate::state::State;
use crate::status::StatusReport;
use crate::status::fleet::FleetStatus;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// Prints one schema.
pub(super) fn run(args: &SchemaArgs, output: &Output) -> Result<Exit, Stop> {
    output.answer(&schema_of(args.what));
    Ok(SUCCESS)
}

/// One schema (draft 2020-12) as text with a final line break; the files in `schema/` are equal to it.
pub fn schema_of(what: SchemaOf) -> String {
    let schema = match what {
        SchemaOf::Spec => spec::schema(),
        SchemaOf::State => titled::<State>("certsync state", "What certsync did last: `state.json` in its state directory."),
        SchemaOf::Plan => titled::<Report>("certsync plan", "The answer of `certsync plan --format json`: what would be."),
        SchemaOf::Report => titled::<Report>(
            "certsync report",
            "The answer of `apply`, `rollback`, `remove` and `deploy-hook` with `--format json`: what was done.",
        ),
        SchemaOf::Status => {
            titled::<StatusReport>("certsync status", "The answer of `certsync status --format json`: how this host stands.")
        }
        SchemaOf::FleetStatus => titled::<FleetStatus>(
            "certsync fleet status",
            "The answer of `certsync status --fleet --format json`: how every server below this host stands.",
        ),
    };
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

fn titled<T: JsonSchema>(title: &str, description: &str) -> Value {
    // As it is written: a field that may be null is there all the same.
    let mut schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
    schema.insert("title".into(), title.into());
    schema.insert("description".into(), description.into());
    schema.to_value()
}
