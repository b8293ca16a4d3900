//! What the language looks like from outside: its JSON Schema, and the reference page that is made from it.

mod page;
mod strategies;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use super::schema::{Fault, File};
use crate::fault::catalog::Spec;

pub use page::reference;
pub use strategies::strategies;

/// The JSON Schema of scenario files.
pub fn json_schema() -> Schema {
    let mut schema = schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<File>();
    schema.insert("title".to_owned(), "A plimsoll scenario".into());
    let mut schema = schema.to_value();
    without_null(&mut schema);
    Schema::try_from(schema).unwrap_or_default()
}

/// What may be left out may not be null: TOML has no such value.
fn without_null(schema: &mut Value) {
    let is_null = |value: &Value| *value == serde_json::json!({ "type": "null" }) || *value == "null";
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(members) => {
            members.retain(|key, value| key != "default" || !value.is_null());
            for key in ["anyOf", "type"] {
                let Some(Value::Array(options)) = members.get_mut(key) else { continue };
                options.retain(|option| !is_null(option));
                if options.len() == 1 {
                    let only = options.remove(0);
                    members.remove(key);
                    match only {
                        Value::Object(inner) => {
                            members.extend(inner.into_iter().filter(|(key, _)| key != "description"))
                        }
                        only => drop(members.insert(key.to_owned(), only)),
                    }
                }
            }
            members.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

/// A list of faults: each stands as a key beside `at`, `for`, `every`, `target` and `share`.
pub(super) fn faults(generator: &mut SchemaGenerator) -> Schema {
    let mut table = Fault::json_schema(generator);
    let known = Spec::json_schema(generator);
    let members = known.get("anyOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut choice = Vec::new();
    let properties = table.ensure_object().entry("properties").or_insert_with(|| Map::new().into());
    for member in members.iter().filter_map(|member| member.get("properties").and_then(Value::as_object)) {
        for (name, config) in member {
            properties[name] = described(config, Spec::about(name));
            choice.push(serde_json::json!({ "required": [name] }));
        }
    }
    table.insert("oneOf".to_owned(), choice.into());
    json_schema!({ "type": "array", "items": table })
}

/// A schema with a description of its own.
fn described(schema: &Value, about: &str) -> Value {
    let mut schema = schema.clone();
    schema["description"] = about.into();
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_says_what_it_is() {
        fn walk(path: &str, schema: &Value) {
            for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let described = property.get("description").is_some() || property.get("$ref").is_some();
                assert!(described, "{path}.{name} has no description");
                walk(&format!("{path}.{name}"), property);
            }
            match schema {
                Value::Object(members) => members.iter().for_each(|(key, value)| walk(&format!("{path}.{key}"), value)),
                Value::Array(items) => items.iter().for_each(|item| walk(path, item)),
                _ => {}
            }
        }
        walk("", json_schema().as_value());
    }

    #[test]
    fn the_reference_page_is_up_to_date() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scenarios.md");
        if std::env::var_os("PLIMSOLL_WRITE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, reference()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(page == reference(), "write it again: PLIMSOLL_WRITE_DOCS=1 cargo test --lib scenario::document");
    }

    #[test]
    fn the_example_on_the_page_is_a_scenario() {
        let page = reference();
        let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let loaded = crate::scenario::resolve::parse(example, "example.toml", &Default::default());
        assert!(loaded.unwrap_or_else(|findings| panic!("{findings}")).warnings.is_empty());
    }

    #[test]
    fn a_fault_is_a_key_of_its_table() {
        let schema = json_schema();
        let table = &schema.as_value()["properties"]["faults"]["items"];
        for name in ["at", "for", "target", "crash", "slow", "partition"] {
            assert!(table["properties"].get(name).is_some(), "{name}");
        }
        assert_eq!(table["oneOf"].as_array().unwrap().len(), Spec::NAMES.len());
    }
}
