//! docs/spec.md against the schema, docs/commands.md against `--help`.

use super::document::Document;
use super::top;
use assert_cmd::Command;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The tables of a document that follow a comment `<!-- KEY: VALUE -->`: value, then the first cell of each row and the row.
fn tables(document: &Document, key: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut lines = document.text.lines();
    while let Some(line) = lines.next() {
        let comment = line.strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->")).and_then(|text| text.split_once(':'));
        let Some((_, value)) = comment.filter(|(name, _)| name.trim() == key) else { continue };
        let rows = lines.by_ref().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
        let rows = rows.map(|row| (first_code(row), row.to_owned()));
        found.insert(value.trim().to_owned(), rows.collect());
    }
    found
}

/// The first word in backticks, without what follows it there.
fn first_code(row: &str) -> String {
    row.split('`').nth(1).unwrap_or_default().split([' ', '=']).next().unwrap_or_default().to_owned()
}

#[test]
fn the_spec_reference_has_every_key_of_the_schema_and_no_other() {
    let text = std::fs::read_to_string(top().join("schema/spec.schema.json")).expect("the schema is there");
    let schema: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut types: BTreeMap<String, &Value> = BTreeMap::from([("Spec".to_owned(), &schema["properties"])]);
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        if definition.get("properties").is_some() {
            types.insert(name.clone(), &definition["properties"]);
        }
    }
    let tables = tables(&Document::read("docs/spec.md"), "keys");
    assert_eq!(tables.keys().collect::<Vec<_>>(), types.keys().collect::<Vec<_>>(), "the types with keys");
    for (name, properties) in types {
        let properties = properties.as_object().expect("properties");
        let rows = &tables[&name];
        assert_eq!(rows.keys().collect::<BTreeSet<_>>(), properties.keys().collect::<BTreeSet<_>>(), "keys of {name}");
        for (key, row) in rows {
            let told = properties[key]["description"].as_str().unwrap_or_default();
            if let Some(default) = told.split_once("Default: ").map(|(_, rest)| rest.trim_end_matches('.')) {
                let missing: Vec<&str> = default.split(", ").filter(|word| !row.contains(word)).collect();
                assert!(missing.is_empty(), "{name}.{key}: the default is {default}, the reference says {row}");
            }
            assert_eq!(told.contains("Not supported yet"), row.contains("not supported yet"), "{name}.{key}: {row}");
        }
    }
}

fn help(args: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_certsync")).args(args).arg("--help").output().expect("certsync runs");
    String::from_utf8(done.stdout).expect("help is UTF-8")
}

/// The options of one help page, those of every command apart.
fn options(help: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (own, global) = help.split_once("Options of every command:").expect("every page has them");
    let of = |text: &str| {
        // Descriptions stand further right.
        let lines = text.lines().filter(|line| (2..=6).contains(&(line.len() - line.trim_start().len())));
        let lines = lines.map(str::trim_start).filter(|line| line.starts_with('-'));
        lines.filter_map(|line| line.split([' ', ',', '.']).find(|word| word.starts_with("--"))).map(str::to_owned).collect()
    };
    (of(own), of(global))
}

#[test]
fn the_command_reference_has_every_command_and_option_and_no_other() {
    let tables = tables(&Document::read("docs/commands.md"), "options");
    let top_help = help(&[]);
    let listed = top_help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list of commands");
    let commands: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let always = BTreeSet::from(["--help".to_owned()]);
    for command in &commands {
        let (own, _) = options(&help(&[command]));
        let own: BTreeSet<&String> = own.difference(&always).collect();
        let described = tables.get(*command).cloned().unwrap_or_default();
        assert_eq!(described.keys().collect::<BTreeSet<_>>(), own, "options of {command}");
    }
    let (_, global) = options(&top_help);
    assert_eq!(tables["every command"].keys().collect::<BTreeSet<_>>(), global.iter().collect::<BTreeSet<_>>());
    let text = Document::read("docs/commands.md").text;
    for command in commands {
        assert!(text.contains(&format!("\n## {command}\n")), "a section for {command}");
    }
}
