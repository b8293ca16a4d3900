//! `plimsoll list`, `explain` and `schema`: what there is, from the catalogues themselves.

use serde_json::{Value, json};

use super::Exit;
use super::args::{ExplainOptions, Format, ListOptions, What};
use super::run::say;
use crate::base::dist::Distribution;
use crate::fault;
use crate::measure::catalog::{Better, METRICS, Metric, SHARE};
use crate::policy::balancer;
use crate::scenario::diagnose::nearest;
use crate::scenario::explain::meanings;
use crate::scenario::import;
use crate::workload::spec::Arrivals;

/// Prints a catalogue.
pub(super) fn list(options: &ListOptions) -> Exit {
    let rows = rows(options.what);
    match options.format {
        Format::Json => say(&serde_json::to_string_pretty(&rows).unwrap_or_default()),
        Format::Human => say(&table(&rows)),
    }
}

fn rows(what: What) -> Vec<Value> {
    match what {
        What::Balancers => {
            let presets = balancer::presets::presets();
            balancer::catalog::CARDS.iter().map(balancer_row).chain(presets.map(preset_row)).collect()
        }
        What::Faults => fault::catalog::CARDS
            .iter()
            .map(|(name, source)| json!({ "name": name, "about": first_line(&head(source)) }))
            .collect(),
        What::Metrics => METRICS.iter().chain([&SHARE]).map(metric_row).collect(),
        What::Arrivals => Arrivals::NAMES.iter().map(|name| json!({ "name": name, "about": "" })).collect(),
        What::Laws => Distribution::NAMES.iter().map(|name| json!({ "name": name, "about": "" })).collect(),
        What::Scenarios => shipped(),
    }
}

fn balancer_row(card: &balancer::catalog::Card) -> Value {
    let line = |label| card.line(label).unwrap_or_default();
    json!({
        "name": card.name,
        "about": first_line(&card.text()),
        "aliases": card.aliases,
        "family": card.family,
        "observes": line("Observes:"),
        "cost": line("Cost:"),
        "source": line("Origin:"),
        "parameters": balancer::catalog::parameters(card),
    })
}

/// A preset: the row of its balancer under its own name, with its own defaults.
fn preset_row(preset: balancer::presets::Preset) -> Value {
    let mut row = balancer_row(preset.card);
    let stands_for: Value = serde_json::from_str(preset.stands_for).unwrap_or_default();
    row["name"] = preset.name.into();
    row["about"] = format!("Stands for {}.", preset.stands_for).into();
    row["aliases"] = json!([]);
    for parameter in row["parameters"].as_array_mut().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        if let Some(own) = stands_for[preset.card.name].get(name) {
            parameter["default"] = own.clone();
        }
    }
    row["preset_of"] = stands_for;
    row
}

fn metric_row(metric: &Metric) -> Value {
    let better = match metric.better {
        Better::Lower => "lower",
        Better::Higher => "higher",
        Better::Neither => "neither",
    };
    json!({ "name": metric.key, "about": metric.about, "title": metric.title, "unit": metric.unit.text(), "better": better })
}

/// The shipped files, with the question that each asks.
fn shipped() -> Vec<Value> {
    let question =
        |text: &str| text.lines().next().map_or(String::new(), |line| line.trim_start_matches('#').trim().to_owned());
    crate::scenario::shipped::FILES
        .iter()
        .map(|(path, text)| json!({ "name": path.trim_end_matches(".toml"), "about": question(text), "file": format!("scenarios/{path}") }))
        .collect()
}

fn table(rows: &[Value]) -> String {
    let text = |row: &Value, key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let width = rows.iter().map(|row| text(row, "name").chars().count()).max().unwrap_or(0);
    rows.iter().map(|row| format!("{:<width$}  {}\n", text(row, "name"), text(row, "about"))).collect()
}

/// The `//!` head of a source file.
fn head(source: &str) -> String {
    let lines = source.lines().take_while(|line| line.starts_with("//!"));
    lines.map(|line| line.trim_start_matches("//!").trim_start_matches(' ')).collect::<Vec<_>>().join("\n")
}

fn first_line(text: &str) -> String {
    text.split("\n\n").next().unwrap_or_default().replace('\n', " ")
}

/// Prints the card of one thing.
pub(super) fn explain(options: &ExplainOptions) -> Exit {
    let name = options.name.as_str();
    let balancer = balancer::catalog::CARDS.iter().find(|card| card.name == name || card.aliases.contains(&name));
    if let Some(card) = balancer {
        return say(&balancer_text(card));
    }
    if let Some(preset) = balancer::presets::presets().find(|preset| preset.name == name) {
        return say(&format!("{name} (preset): {}\n\n{}", preset.stands_for, balancer_text(preset.card)));
    }
    if let Some((name, source)) = fault::catalog::CARDS.iter().find(|(known, _)| *known == name) {
        return say(&format!("{name} (fault)\n\n{}", head(source)));
    }
    if let Some(metric) = METRICS.iter().chain([&SHARE]).find(|metric| metric.key == name) {
        return say(&format!("{} (metric, {})\n\n{}: {}", metric.key, metric.unit.text(), metric.title, metric.about));
    }
    if let Some((key, source)) = import::CARDS.iter().find(|(key, _)| *key == name) {
        return say(&format!("{key} (key of a contender)\n\n{}", head(source)));
    }
    if let Some(meanings) = meanings(name) {
        eprintln!("error: `{name}` may be more than one balancer\n  help: say which one is meant: {meanings}");
        return Exit::BadInput;
    }
    let spellings =
        |card: &'static balancer::catalog::Card| [card.name].into_iter().chain(card.aliases.iter().copied());
    let names = balancer::catalog::CARDS.iter().flat_map(spellings);
    let names: Vec<&str> = names
        .chain(balancer::presets::presets().map(|preset| preset.name))
        .chain(fault::catalog::CARDS.iter().map(|card| card.0))
        .chain(METRICS.iter().map(|metric| metric.key))
        .chain(import::CARDS.iter().map(|(key, _)| *key))
        .collect();
    let hint = nearest(name, names.iter().copied()).map_or(String::new(), |near| format!("did you mean `{near}`? "));
    eprintln!(
        "error: nothing is called `{name}`\n  help: {hint}`plimsoll list balancers`, `faults` and `metrics` show the names"
    );
    Exit::BadInput
}

fn balancer_text(card: &balancer::catalog::Card) -> String {
    let also =
        if card.aliases.is_empty() { String::new() } else { format!("\nAlso called: {}.", card.aliases.join(", ")) };
    let parameters = balancer::catalog::parameters(card);
    let row = |parameter: &Value| {
        let text = |key: &str| parameter.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let default = parameter.get("default").map_or(String::new(), |default| format!(" (default {default})"));
        format!("  {}{default}: {}\n", text("name"), text("about"))
    };
    let rows: String = parameters.iter().map(row).collect();
    let parameters = if rows.is_empty() { "\nNo parameters.\n".to_owned() } else { format!("\nParameters:\n{rows}") };
    let shown = shown_by(card.name);
    format!("{} (balancer, family {})\n\n{}\n{also}{parameters}{shown}", card.name, card.family, card.text())
}

/// The shipped scenarios in which a balancer competes.
fn shown_by(balancer: &str) -> String {
    let running = crate::scenario::shipped::plans().filter(|shipped| shipped.runs(balancer));
    let files: Vec<String> = running.map(|shipped| format!("  scenarios/{}.toml\n", shipped.name)).collect();
    if files.is_empty() { String::new() } else { format!("\nRuns in:\n{}", files.concat()) }
}

/// Prints the JSON Schema.
pub(super) fn schema() -> Exit {
    say(&serde_json::to_string_pretty(&crate::scenario::document::json_schema()).unwrap_or_default())
}
