//! The JSON Schema of a spec.

use super::types::Spec;
use schemars::generate::SchemaSettings;

/// The JSON Schema of a spec (draft 2020-12), as it lies in `schema/spec.schema.json`.
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Spec>().to_value()
}
