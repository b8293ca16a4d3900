//! `docs/strategies.md`: which strategy to take for which fleet, the presets, and the card of every balancer.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::page::toml_text;
use crate::judge::rule::Limit;
use crate::policy::balancer::catalog::{self, CARDS, Card, LABELS, Spec};
use crate::policy::balancer::guide::{ADVICE, Advice, FAMILIES};
use crate::policy::balancer::presets::presets;
use crate::scenario::plan::{ContenderPlan, Expect, Plan};
use crate::scenario::shipped::{self, Shipped};

/// The page.
pub fn strategies() -> String {
    let shipped: Vec<Shipped> = shipped::plans().collect();
    let mut page = HEAD.to_owned();
    page += "\n## Which one to take\n\n";
    page += ADVICE_HEAD;
    for advice in ADVICE {
        page += &advice_row(advice, &shipped);
    }
    page += "\n## Presets\n\n";
    page += PRESETS_HEAD;
    for preset in presets() {
        let stands_for = serde_json::from_str(preset.stands_for).map(|spec: Spec| written(&spec)).unwrap_or_default();
        writeln!(page, "| `{}` | {} | `{stands_for}` |", preset.name, link(preset.card.name)).expect("text grows");
    }
    for (family, head) in FAMILIES {
        writeln!(page, "\n## {family}\n\n{}", first_paragraph(&head_of(head))).expect("text grows");
        for card in CARDS.iter().filter(|card| card.family == *family) {
            page += &section(card, &shipped);
        }
    }
    page
}

/// A row of the decision table, with the gates of the scenario that hold it.
fn advice_row(advice: &Advice, shipped: &[Shipped]) -> String {
    let Some(scenario) = shipped.iter().find(|shipped| shipped.name == advice.scenario) else { return String::new() };
    let contenders = |names: &[&str]| {
        let found = names.iter().filter_map(|name| contender(scenario, name));
        found.map(described).collect::<Vec<_>>().join(", ")
    };
    let gates = gates(advice, scenario);
    let held = if gates.is_empty() { VALIDATED.to_owned() } else { gates.join("; ") };
    format!(
        "| {} | {} | {} | {} ([{name}](../scenarios/{name}.toml)) | {held} |\n",
        advice.fleet,
        contenders(advice.take),
        contenders(advice.rather_than),
        advice.why,
        name = advice.scenario
    )
}

fn contender<'s>(scenario: &'s Shipped, name: &str) -> Option<&'s ContenderPlan> {
    scenario.plans.first()?.contenders.iter().find(|contender| contender.name == name)
}

/// A contender as its balancer, with what differs from the defaults.
fn described(contender: &ContenderPlan) -> String {
    let Some(spec) = contender.channel.balancer.listed() else { return format!("`{}`", contender.name) };
    let attempts = contender.channel.retry.as_ref().map_or(1, |retry| retry.attempts);
    let retry = if attempts > 1 { format!(" with {attempts} attempts") } else { String::new() };
    let written = written(spec);
    let shown = if written == spec.name() { link(spec.name()) } else { format!("[`{written}`](#{})", spec.name()) };
    shown + &retry
}

/// The gates of a scenario that are about the contenders of a piece of advice, each once.
fn gates(advice: &Advice, scenario: &Shipped) -> Vec<String> {
    let mut found = BTreeMap::new();
    for plan in &scenario.plans {
        for expect in &plan.expects {
            let name = expect.contender.map(|index| plan.contenders[index].name.as_str());
            if name.is_none_or(|name| advice.take.contains(&name) || advice.rather_than.contains(&name)) {
                found.entry(expect.line).or_insert_with(|| gate(expect, plan));
            }
        }
    }
    found.into_values().collect()
}

fn gate(expect: &Expect, plan: &Plan) -> String {
    let name = |index: usize| plan.contenders[index].name.as_str();
    let who = expect.contender.map_or("each", name);
    let when = expect.window.map_or(String::new(), |(from, until)| format!(" ({from} to {until})"));
    let limit = match expect.limit {
        Limit::NoWorseThan { contender, .. } => format!("no worse than `{}`", name(contender)),
        _ => expect.rule(&plan.name).limit_text(name),
    };
    format!("`{who}` {} {limit}{when}", expect.metric)
}

/// A balancer in a line: its name, and those parameters in braces that differ from the defaults.
fn written(spec: &Spec) -> String {
    brief(&serde_json::to_value(spec).unwrap_or_default())
}

fn brief(value: &Value) -> String {
    let Some((name, parameters)) = as_balancer(value) else { return toml_text(value) };
    let plain: Option<Spec> = serde_json::from_value(name.as_str().into()).ok();
    let defaults = plain.and_then(|spec| serde_json::to_value(spec).ok()).unwrap_or_default();
    let differs = |(key, value): &(&String, &Value)| defaults[name][*key] != **value;
    let changed = parameters.as_object().into_iter().flatten().filter(differs);
    let changed: Vec<String> = changed.map(|(key, value)| format!("{key} = {}", brief(value))).collect();
    if changed.is_empty() { name.clone() } else { format!("{name} {{ {} }}", changed.join(", ")) }
}

/// Name and parameters, if the value is a balancer.
fn as_balancer(value: &Value) -> Option<(&String, &Value)> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.iter().next().filter(|(name, inside)| inside.is_object() && CARDS.iter().any(|card| card.name == **name))
}

/// The card of a balancer, as a section.
fn section(card: &Card, shipped: &[Shipped]) -> String {
    let mut text = format!("\n### {}\n\n{}\n\n", card.name, first_paragraph(&card.text()));
    for label in LABELS {
        let line = card.line(label).unwrap_or_default();
        writeln!(text, "- **{}** {line}", label).expect("text grows");
    }
    if !card.aliases.is_empty() {
        writeln!(text, "- **Also called:** `{}`", card.aliases.join("`, `")).expect("text grows");
    }
    let own: Vec<&str> = presets().filter(|preset| preset.card.name == card.name).map(|preset| preset.name).collect();
    if !own.is_empty() {
        writeln!(text, "- **Presets:** `{}`", own.join("`, `")).expect("text grows");
    }
    let shows = |shipped: &&Shipped| shipped.runs(card.name);
    let files: Vec<String> = shipped.iter().filter(shows).map(|s| file_link(s.name)).collect();
    if !files.is_empty() {
        writeln!(text, "- **Runs in:** {}", files.join(", ")).expect("text grows");
    }
    text + &notes(card) + &parameters(card)
}

/// What a card says beside its first sentence and its labels.
fn notes(card: &Card) -> String {
    let text = card.text();
    let labelled = |paragraph: &&str| LABELS.iter().any(|label| paragraph.lines().any(|line| line.starts_with(label)));
    let paragraphs = text.split("\n\n").skip(1).filter(|paragraph| !labelled(paragraph));
    paragraphs.map(|paragraph| format!("\n{paragraph}\n")).collect()
}

fn parameters(card: &Card) -> String {
    let rows: Vec<Value> = catalog::parameters(card);
    if rows.is_empty() {
        return String::new();
    }
    let row = |row: &Value| {
        // Every balancer can be named alone, so nothing is needed: what has no default can be left out.
        let default = row.get("default").map_or(String::new(), |value| format!("`{}`", brief(value)));
        let about = row["about"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        format!("| `{}` | {default} | {about} |\n", row["name"].as_str().unwrap_or_default())
    };
    let rows: String = rows.iter().map(row).collect();
    format!("\n| parameter | default | meaning |\n|---|---|---|\n{rows}")
}

fn link(balancer: &str) -> String {
    format!("[`{balancer}`](#{balancer})")
}

fn file_link(scenario: &str) -> String {
    format!("[{scenario}](../scenarios/{scenario}.toml)")
}

/// The `//!` head of a source file.
fn head_of(source: &str) -> String {
    let lines = source.lines().take_while(|line| line.starts_with("//!"));
    lines.map(|line| line.trim_start_matches("//!").trim_start_matches(' ')).collect::<Vec<_>>().join("\n")
}

fn first_paragraph(text: &str) -> &str {
    text.split("\n\n").next().unwrap_or_default()
}

const HEAD: &str = include_str!("strategies.md");

const ADVICE_HEAD: &str = "\
Each row stands on a shipped scenario. The last column has the gates of that scenario by which the row stands or falls, \
with the names that the contenders have there; a row that has none stands on a number in [validation](validation.md).

| fleet, or what may happen to it | take | rather than | because | held by |
|---|---|---|---|---|
";

const VALIDATED: &str = "a number in [validation](validation.md)";

const PRESETS_HEAD: &str = "\
A balancer as a product ships it. A preset is used like a balancer, parameters included.

| preset | balancer | the same, written out |
|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'s>(shipped: &'s [Shipped], name: &str) -> Option<&'s Shipped> {
        shipped.iter().find(|shipped| shipped.name == name)
    }

    /// What is wrong with a piece of advice, in words.
    fn mistakes(advice: &Advice, shipped: &[Shipped], validation: &str) -> Vec<String> {
        let Some(scenario) = find(shipped, advice.scenario) else {
            return vec![format!("there is no scenario `{}`", advice.scenario)];
        };
        let mut wrong = Vec::new();
        let sides = [("take", advice.take), ("rather_than", advice.rather_than)];
        for (side, names) in sides {
            if names.is_empty() {
                wrong.push(format!("`{side}` names nobody"));
            }
            for name in names {
                match contender(scenario, name) {
                    None => wrong.push(format!("{} has no contender `{name}`", advice.scenario)),
                    Some(found) if found.channel.balancer.listed().is_none() => {
                        wrong.push(format!("`{name}` is not in the catalogue"));
                    }
                    Some(_) => {}
                }
            }
        }
        wrong.extend(
            advice
                .take
                .iter()
                .filter(|name| advice.rather_than.contains(name))
                .map(|name| format!("`{name}` is to be taken and to be left")),
        );
        let row = format!("\n| {}", advice.scenario);
        let validated = validation.match_indices(&row).any(|(at, _)| {
            validation[at + row.len()..].starts_with(|next: char| next != '-' && !next.is_alphanumeric())
        });
        if gates(advice, scenario).is_empty() && !validated {
            wrong.push(format!("neither a gate of {} nor a row of docs/validation.md holds it", advice.scenario));
        }
        wrong
    }

    fn validation() -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/validation.md");
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn advice_stands_on_scenarios_that_show_it() {
        let (shipped, validation): (Vec<Shipped>, _) = (shipped::plans().collect(), validation());
        for advice in ADVICE {
            let wrong = mistakes(advice, &shipped, &validation);
            assert!(wrong.is_empty(), "{}: {}", advice.fleet, wrong.join("; "));
        }
    }

    #[test]
    fn advice_that_stands_on_nothing_is_found() {
        let (shipped, validation): (Vec<Shipped>, _) = (shipped::plans().collect(), validation());
        let good = *ADVICE.iter().find(|advice| advice.scenario == "slow-node").unwrap();
        let wrong = |advice: Advice| mistakes(&advice, &shipped, &validation);
        assert_eq!(wrong(good), [""; 0]);
        assert_eq!(wrong(Advice { scenario: "no-such", ..good }), ["there is no scenario `no-such`"]);
        let nobody = wrong(Advice { take: &["ring_hash"], ..good });
        assert_eq!(nobody, ["slow-node has no contender `ring_hash`"]);
        assert_eq!(wrong(Advice { rather_than: &[], ..good }), ["`rather_than` names nobody"]);
        let both = wrong(Advice { take: good.rather_than, ..good });
        assert_eq!(both, ["`round_robin` is to be taken and to be left"]);
        let unproven = mistakes(&Advice { take: &["random"], rather_than: &[], ..good }, &shipped, "");
        assert!(unproven.iter().any(|text| text.starts_with("neither a gate")), "{unproven:?}");
    }

    #[test]
    fn the_page_is_up_to_date() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/strategies.md");
        if std::env::var_os("PLIMSOLL_WRITE_DOCS").is_some() {
            std::fs::write(&path, strategies()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(page == strategies(), "write it again: PLIMSOLL_WRITE_DOCS=1 cargo test --lib scenario::document");
    }

    #[test]
    fn the_page_has_every_balancer_and_every_preset_once() {
        let page = strategies();
        let count = |text: &str| page.lines().filter(|line| line.starts_with(text)).count();
        for card in CARDS {
            assert_eq!(page.lines().filter(|line| *line == format!("### {}", card.name)).count(), 1, "{}", card.name);
        }
        for preset in presets() {
            assert_eq!(count(&format!("| `{}` |", preset.name)), 1, "{}", preset.name);
        }
        assert_eq!(count("### "), CARDS.len());
    }

    #[test]
    fn only_what_differs_from_the_defaults_is_written() {
        let text = |json: &str| written(&serde_json::from_str(json).unwrap());
        assert_eq!(text(r#""round_robin""#), "round_robin");
        assert_eq!(text(r#"{ "least_request": { "choices": 3 } }"#), "least_request { choices = 3 }");
        let nested = r#"{ "locality_first": { "child": { "least_request": { "choices": 3 } } } }"#;
        assert_eq!(text(nested), "locality_first { child = least_request { choices = 3 } }");
    }
}
