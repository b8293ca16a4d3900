//! `[sweep]`: paths into the file and the values that each takes in turn. Several paths make a grid; each point of
//! it is a file of its own, with the values put where the paths lead.

use toml::de::DeValue;

use crate::scenario::diagnose::{Finding, Findings, nearest};
use crate::scenario::plan::Plan;
use crate::scenario::tree::{Node, Value};
use crate::scenario::words::as_name;

/// One point of the grid.
#[derive(Clone)]
pub struct Point<'t> {
    settings: Vec<Setting<'t>>,
}

#[derive(Clone)]
struct Setting<'t> {
    path: String,
    steps: Vec<String>,
    value: Value<'t>,
    text: String,
}

/// All points, the last path running fastest; one without settings where there is no sweep. `None` if it is wrong.
pub fn points<'t>(root: &Value<'t>, text: &str, findings: &mut Findings) -> Option<Vec<Point<'t>>> {
    let errors = findings.errors();
    let sweep = Node::root(root).key("sweep");
    if let Some(value) = sweep.value().filter(|value| !value.get_ref().is_table()) {
        let help = "write `[sweep]` and beneath it `\"calls.rate\" = [\"2k/s\", \"4k/s\"]`";
        findings.push(Finding::error(value.span(), "`sweep` is a table", help));
    }
    let mut points = vec![Point { settings: Vec::new() }];
    for (path, node) in sweep.entries() {
        let values = settings(root, path, &node, text, findings);
        if points.len() * values.len().max(1) > MOST {
            let message = format!("the sweep has more than {MOST} points");
            findings.push(Finding::error(node.span(), message, "sweep fewer paths or values in one file"));
            return None;
        }
        let with = |point: &Point<'t>, value: &Setting<'t>| Point {
            settings: point.settings.iter().chain([value]).cloned().collect(),
        };
        points = points.iter().flat_map(|point| values.iter().map(move |value| with(point, value))).collect();
    }
    (findings.errors() == errors).then_some(points)
}

/// The values of one path.
fn settings<'t>(
    root: &Value<'t>,
    path: &str,
    node: &Node<'_, 't>,
    text: &str,
    findings: &mut Findings,
) -> Vec<Setting<'t>> {
    let steps: Vec<String> = path.split('.').map(str::to_owned).collect();
    let items = node.items();
    if items.is_empty() {
        let help = format!("write `\"{path}\" = [\"2k/s\", \"4k/s\"]`");
        findings.push(Finding::error(node.span(), "a path of the sweep takes a list of values", help));
    }
    if let Err((message, help)) = leads(&Node::root(root), &steps) {
        let finding = Finding::error(node.key_span(), format!("the path `{path}` leads nowhere: {message}"), help);
        findings.push(finding);
    }
    let setting = |item: &Node<'_, 't>| {
        let value = item.value()?.clone();
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            _ => text[value.span()].to_owned(),
        };
        Some(Setting { path: path.to_owned(), steps: steps.clone(), value, text })
    };
    items.iter().filter_map(setting).collect()
}

/// Whether a path leads into the file: all but its last key must be there.
fn leads(root: &Node<'_, '_>, steps: &[String]) -> Result<(), (String, String)> {
    let mut node = root.clone();
    for (number, step) in steps.iter().enumerate() {
        if step.is_empty() || steps[0] == "sweep" {
            return Err((
                "a key is missing".to_owned(),
                "write keys with points between them: \"calls.rate\"".to_owned(),
            ));
        }
        let is_last = number + 1 == steps.len();
        let is_list = node.value().is_some_and(|value| value.get_ref().is_array());
        let next = match step.parse::<usize>() {
            Ok(index) if is_list => node.index(index),
            _ => node.key(step),
        };
        if is_list && !next.exists() {
            let message = format!("`{step}` is not the number of a member");
            return Err((message, format!("the list has {} members, numbered from 0", node.items().len())));
        }
        if !is_last && !next.exists() {
            let keys: Vec<&str> = node.entries().iter().map(|(key, _)| *key).collect();
            let help = match nearest(step, keys.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "members of lists are named by number: \"clients.0.count\"".to_owned(),
            };
            return Err((format!("there is no `{step}`"), help));
        }
        node = next;
    }
    Ok(())
}

impl<'t> Point<'t> {
    /// The file with the values put where the paths lead; `None` if there are none.
    pub fn applied(&self, root: &Value<'t>) -> Option<Value<'t>> {
        if self.settings.is_empty() {
            return None;
        }
        let mut varied = root.clone();
        self.settings.iter().for_each(|setting| put(&mut varied, &setting.steps, &setting.value));
        Some(varied)
    }

    /// Whether the path has this value here.
    pub fn is_at(&self, path: &str, value: &str) -> bool {
        self.settings.iter().any(|setting| setting.path == path && same_value(&setting.value, value))
    }

    /// Names the plan after the point. Its name is that of its folder, so no two have the same.
    pub fn label(&self, plan: &mut Plan, number: usize, before: &[Plan]) {
        if self.settings.is_empty() {
            return;
        }
        plan.point = self.settings.iter().map(|setting| (setting.path.clone(), setting.text.clone())).collect();
        let slugs: Vec<String> = self.settings.iter().filter_map(|setting| as_name(&setting.text)).collect();
        let named = format!("{}-{}", plan.name, slugs.join("-"));
        let is_new = before.iter().all(|plan| plan.name != named);
        let complete = slugs.len() == self.settings.len() && named.len() <= 64 && is_new;
        plan.name = if complete { named } else { format!("{:.50}-{}", plan.name, number + 1) };
    }
}

/// Whether a value of the file is the one that this text stands for: numbers may be written in several ways.
pub fn same_value(value: &Value<'_>, text: &str) -> bool {
    match value.get_ref() {
        DeValue::String(said) => said == text,
        DeValue::Integer(said) => number(said.as_str()).is_some_and(|said| number(text) == Some(said)),
        DeValue::Float(said) => number(said.as_str()).is_some_and(|said| number(text) == Some(said)),
        _ => false,
    }
}

fn number(text: &str) -> Option<f64> {
    text.replace('_', "").parse().ok()
}

fn put<'t>(at: &mut Value<'t>, steps: &[String], value: &Value<'t>) {
    let Some((step, rest)) = steps.split_first() else {
        *at = value.clone();
        return;
    };
    match at.get_mut() {
        DeValue::Array(array) => {
            if let Some(next) = step.parse::<usize>().ok().and_then(|index| array.get_mut(index)) {
                put(next, rest, value);
            }
        }
        DeValue::Table(table) => {
            if let Some(next) = table.get_mut(step.as_str()) {
                put(next, rest, value);
            } else if rest.is_empty() {
                table.insert(toml::Spanned::new(value.span(), step.clone().into()), value.clone());
            }
        }
        _ => {}
    }
}

/// Most points of a grid.
const MOST: usize = 1_000;
