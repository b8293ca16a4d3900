//! The reference page of the scenario language: what `schema.rs` says about every key, as Markdown.

use std::fmt::Write;

use serde_json::{Map, Value};

/// `docs/scenarios.md`.
pub fn reference() -> String {
    let schema = super::json_schema().to_value();
    let mut page = Page { defs: &schema["$defs"], text: HEAD.to_owned() };
    for (title, pointer, about) in SECTIONS {
        let Some(part) = schema.pointer(pointer) else { continue };
        writeln!(page.text, "\n## {title}\n\n{about}").expect("text grows");
        page.table(part, !pointer.is_empty());
    }
    page.text
}

struct Page<'s> {
    defs: &'s Value,
    text: String,
}

impl Page<'_> {
    /// The keys of a table; `deep` ones, too.
    fn table(&mut self, schema: &Value, deep: bool) {
        let mut rows = Vec::new();
        self.rows("", self.target(schema), &mut rows);
        rows.retain(|row| deep || !row.split('|').nth(1).is_some_and(|key| key.contains('.')));
        self.text += "\n| key | what it is | default | meaning |\n|---|---|---|---|\n";
        for row in rows {
            self.text += &row;
        }
    }

    /// A row for each key of a table, or for each member of a catalogue, with the keys inside it below.
    fn rows(&self, prefix: &str, schema: &Value, rows: &mut Vec<String>) {
        let needed = schema.get("required").and_then(Value::as_array);
        for (name, property) in properties(schema) {
            let is_needed = needed.is_some_and(|needed| needed.iter().any(|key| key == name));
            self.row(&format!("{prefix}{name}"), property, is_needed, rows);
        }
        for member in members(schema) {
            for (name, config) in properties(member) {
                let about = text(member, "description");
                rows.push(format!("| `{prefix}{name}` | | | {about} |\n"));
                self.rows(&format!("{prefix}{name}."), self.target(config), rows);
            }
        }
    }

    fn row(&self, name: &str, property: &Value, is_needed: bool, rows: &mut Vec<String>) {
        let kind = self.kind(property);
        let default = match property.get("default").filter(|_| !self.is_table(property)) {
            Some(default) => as_written(default),
            None if is_needed => "needed".to_owned(),
            None => String::new(),
        };
        let about = text(property, "description");
        rows.push(format!("| `{name}` | {kind} | {default} | {about} |\n"));
        if is_linked(property) {
            return;
        }
        for option in options(property).into_iter().filter(|option| !is_linked(option)) {
            let option = self.target(option);
            if option.get("properties").is_some() || !members(option).is_empty() {
                self.rows(&format!("{name}."), option, rows);
            }
        }
    }

    /// What may stand there, in a few words.
    fn kind(&self, schema: &Value) -> String {
        if let Some((_, words)) = name(schema).and_then(|name| WORDS.iter().find(|(known, _)| *known == name)) {
            return (*words).to_owned();
        }
        let target = self.target(schema);
        if !members(target).is_empty() {
            return "name or table".to_owned();
        }
        let constants: Vec<String> = constants(target);
        if !constants.is_empty() {
            return constants.join(", ");
        }
        if let Some(options) = target.get("anyOf").and_then(Value::as_array) {
            let mut kinds: Vec<String> = options.iter().map(|option| self.kind(option)).collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
        match target.get("type").and_then(Value::as_str) {
            Some("integer") => "whole number".to_owned(),
            Some("number") => "number".to_owned(),
            Some("boolean") => "true or false".to_owned(),
            Some("string") => "text".to_owned(),
            Some("array") => match target.get("items") {
                Some(items) if self.is_table(items) => "list of tables".to_owned(),
                Some(items) => format!("list of: {}", self.kind(items)),
                None => "list".to_owned(),
            },
            Some("object") => "table".to_owned(),
            _ => "text or number".to_owned(),
        }
    }

    fn is_table(&self, schema: &Value) -> bool {
        self.target(schema).get("properties").is_some()
    }

    /// The schema that a reference leads to.
    fn target<'v>(&'v self, schema: &'v Value) -> &'v Value {
        name(schema).and_then(|name| self.defs.get(name)).unwrap_or(schema)
    }
}

/// The name after a reference.
fn name(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.rsplit('/').next()
}

/// What is explained elsewhere on the page, or on another.
fn is_linked(schema: &Value) -> bool {
    name(schema).is_some_and(|name| WORDS.iter().any(|(known, _)| *known == name))
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// The members of a catalogue: after the list of bare names, a table with one key each.
fn members(schema: &Value) -> Vec<&Value> {
    let options = schema.get("anyOf").and_then(Value::as_array);
    let tables = options.into_iter().flatten().filter(|option| option.get("required").is_some());
    tables.filter(|option| properties(option).count() == 1).collect()
}

/// A property, or what it may be one of; for a list, what is in it.
fn options(schema: &Value) -> Vec<&Value> {
    match schema.get("anyOf").and_then(Value::as_array) {
        Some(options) => options.iter().collect(),
        None => vec![schema.get("items").unwrap_or(schema)],
    }
}

/// The words of an enumeration.
fn constants(schema: &Value) -> Vec<String> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let each = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let each =
        each.flat_map(|option| option.get("const").into_iter().chain(option.get("enum").and_then(|list| list.get(0))));
    listed
        .chain(each)
        .chain(schema.get("const"))
        .filter_map(Value::as_str)
        .map(|word| format!("`\"{word}\"`"))
        .collect()
}

fn text(schema: &Value, key: &str) -> String {
    schema.get(key).and_then(Value::as_str).unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

/// A default, as a file would write it.
fn as_written(value: &Value) -> String {
    match value {
        Value::Array(items) if items.is_empty() => String::new(),
        Value::Object(members) if members.is_empty() => String::new(),
        // A choice without parameters is a bare name.
        Value::Object(members)
            if members.len() == 1 && members.values().all(|value| *value == Value::Object(Map::new())) =>
        {
            format!("`\"{}\"`", members.keys().next().map_or("", String::as_str))
        }
        _ => format!("`{}`", toml_text(value)),
    }
}

pub(super) fn toml_text(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key} = {}", toml_text(value))).collect();
            if members.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", members.join(", ")) }
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml_text).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// What types are called on the page.
const WORDS: &[(&str, &str)] = &[
    ("Duration", "duration"),
    ("Rate", "rate"),
    ("Ratio", "share"),
    ("Factor", "number above 0"),
    ("Bytes", "size"),
    ("Status", "gRPC status, `\"unavailable\"` say"),
    ("Law", "[duration or law](#laws)"),
    ("distribution", "[law](#laws)"),
    ("arrival_process", "[arrivals](#arrivals)"),
    ("key_law", "[keys](#keys)"),
    ("balancer", "[balancer](strategies.md)"),
    ("subset", "[name or table](strategies.md)"),
];

/// Title, where the schema has it, and what is said before the table.
const SECTIONS: &[(&str, &str, &str)] = &[
    ("The top of the file", "", "Tables and lists of tables are described in sections of their own."),
    ("`[calls]`", "/$defs/Calls", "Who calls, how often, and what a call brings with it."),
    ("`[[clients]]`", "/$defs/Clients", "Client channels, in groups. Left out: one client."),
    ("`[[backends]]`", "/$defs/Backends", "Servers, in groups."),
    ("`[network]`", "/$defs/Network", "Delays are one way."),
    ("`[discovery]`", "/$defs/discovery", "How clients learn of backends. Left out: `\"static\"`."),
    ("`[health]`", "/$defs/health_check", "Active health checks. Left out: none."),
    (
        "`[[faults]]`",
        "/properties/faults/items",
        "When, whom, and exactly one fault, with its parameters in a table: `crash = {}`, `slow = { factor = 10 }`. \
         `plimsoll explain NAME` says more about each.",
    ),
    (
        "`[client]` and `[contenders.NAME]`",
        "/$defs/Contender",
        "A contender is one client configuration. `[client]` holds what all contenders share.",
    ),
    (
        "`[[expect]]`",
        "/$defs/Expect",
        "A gate. It has exactly one of `at_most`, `at_least` and `no_worse_than`; `plimsoll list metrics` shows what can \
         be judged. Limits are in the unit of the metric: durations for metrics in ms, rates for calls/s, shares for \
         fractions, numbers without unit for the rest.",
    ),
    ("Arrivals", "/$defs/arrival_process", "How an open workload spaces its calls."),
    ("Keys", "/$defs/key_law", "Which keys the calls carry."),
    ("Laws", "/$defs/distribution", "What durations are drawn from."),
];

const HEAD: &str = include_str!("head.md");
