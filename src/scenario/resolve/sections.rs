//! The parts of a file, each read for itself, so that a mistake in one hides none in the others.

use toml::Spanned;
use toml::de::DeValue;

use crate::fault;
use crate::policy::health;
use crate::scenario::diagnose::{Finding, listed, nearest};
use crate::scenario::import;
use crate::scenario::read::Reader;
use crate::scenario::schema::{Backends, Calls, Clients, Contender, Discovery, Expect, Fault, File, Network};
use crate::scenario::tree::{Node, Value};
use crate::scenario::words::{is_name, not_a_name};

/// A file, read. What is `None` was wrong, and the findings say so.
pub struct Sections {
    /// `name`, and nothing else of the top.
    pub name: Option<File>,
    /// `baseline`, and nothing else of the top.
    pub baseline: Option<File>,
    /// The times at the top, and nothing else of it.
    pub times: Option<File>,
    /// `[calls]`.
    pub calls: Option<Calls>,
    /// `[[clients]]`.
    pub clients: Vec<Option<Clients>>,
    /// `[[backends]]`.
    pub backends: Vec<Option<Backends>>,
    /// `[network]`.
    pub network: Option<Network>,
    /// `[discovery]`.
    pub discovery: Option<Discovery>,
    /// `[health]`.
    pub health: Option<Option<health::Spec>>,
    /// `[[faults]]`.
    pub faults: Vec<Option<(Fault, fault::catalog::Spec)>>,
    /// `[client]`.
    pub client: Option<Contender>,
    /// `[contenders.NAME]`, in the order of the file.
    pub contenders: Vec<(String, Option<Contender>)>,
    /// `[[expect]]`.
    pub expects: Vec<Option<Expect>>,
}

/// Reads all parts.
pub fn read<'t>(value: &Value<'t>, reader: &mut Reader<'t>) -> Sections {
    let root = Node::root(value);
    // An unknown key at the top is found here, and nothing new below: no finding is said twice.
    reader.read::<File>(&only(value, |key| !SECTIONS.contains(&key)), TOP);
    Sections {
        name: top(value, &["name"], reader),
        baseline: top(value, &["baseline"], reader),
        times: top(value, &["duration", "warmup", "seeds", "drain"], reader),
        calls: optional(&root, "calls", reader),
        clients: list(&root, "clients", reader),
        backends: list(&root, "backends", reader),
        network: optional(&root, "network", reader),
        discovery: optional(&root, "discovery", reader),
        health: match root.key("health").value() {
            Some(value) => reader.read(value, "`[health]`").map(Some),
            None => Some(None),
        },
        faults: items(&root, "faults", reader).iter().map(|node| fault(node, reader)).collect(),
        client: {
            let client = optional(&root, "client", reader);
            import::fill(client, &root.key("client"), reader)
        },
        contenders: contenders(&root, reader),
        expects: list(&root, "expect", reader),
    }
}

/// Some of the keys at the top, so that a mistake in one does not keep the others from being judged.
fn top<'t>(root: &Value<'t>, keys: &[&str], reader: &mut Reader<'t>) -> Option<File> {
    reader.read(&only(root, |key| keys.contains(&key)), TOP)
}

/// The table with those of its members whose key is wanted.
fn only<'t>(table: &Value<'t>, wanted: impl Fn(&str) -> bool) -> Value<'t> {
    let members = table.get_ref().as_table().into_iter().flatten();
    let kept = members.filter(|(key, _)| wanted(key.get_ref())).map(|(key, value)| (key.clone(), value.clone()));
    Spanned::new(table.span(), DeValue::Table(kept.collect()))
}

fn optional<'t, T>(root: &Node<'_, 't>, key: &str, reader: &mut Reader<'t>) -> Option<T>
where
    T: serde::de::DeserializeOwned + Default,
{
    match root.key(key).value() {
        Some(value) => reader.read(value, &format!("`[{key}]`")),
        None => Some(T::default()),
    }
}

fn list<'t, T: serde::de::DeserializeOwned>(root: &Node<'_, 't>, key: &str, reader: &mut Reader<'t>) -> Vec<Option<T>> {
    let items = items(root, key, reader);
    let what = format!("`[[{key}]]`");
    items.iter().map(|node| node.value().and_then(|value| reader.read(value, &what))).collect()
}

/// The members of a list of tables.
fn items<'n, 't>(root: &Node<'n, 't>, key: &str, reader: &mut Reader<'t>) -> Vec<Node<'n, 't>> {
    let node = root.key(key);
    let is_list = node.value().is_none_or(|value| value.get_ref().is_array());
    if !is_list {
        let message = format!("`{key}` is a list of tables");
        let help = format!("write `[[{key}]]`, in double brackets, once for each of them");
        reader.findings.push(Finding::error(node.span(), message, help).label("not a list"));
    }
    node.items()
}

fn contenders<'t>(root: &Node<'_, 't>, reader: &mut Reader<'t>) -> Vec<(String, Option<Contender>)> {
    let node = root.key("contenders");
    if let Some(value) = node.value().filter(|value| !value.get_ref().is_table()) {
        let help = "write `[contenders]` and beneath it a line for each, `NAME = { balancer = \"random\" }`";
        reader.findings.push(Finding::error(value.span(), "`contenders` is a table", help));
    }
    let mut read = Vec::new();
    for (name, node) in node.entries() {
        let contender = contender(name, &node, reader);
        read.push((name.to_owned(), contender));
    }
    read
}

fn contender<'t>(name: &str, node: &Node<'_, 't>, reader: &mut Reader<'t>) -> Option<Contender> {
    let fits = is_name(name);
    if !fits {
        let said = not_a_name(name);
        let (message, help) = said.split_once(": ").unwrap_or((&said, "choose another"));
        reader.findings.push(Finding::error(node.key_span(), message, help).label("not a name"));
    }
    let value = node.value()?;
    if let Some(balancer) = node.text() {
        let message = "a contender is a table of settings, and not a name alone";
        reader.findings.push(Finding::error(node.span(), message, format!("write `{{ balancer = \"{balancer}\" }}`")));
        return None;
    }
    let contender = reader.read(value, &format!("the contender `{name}`")).filter(|_| fits);
    import::fill(contender, node, reader)
}

/// A fault: its time and target, and the one key that says what it is.
fn fault<'t>(node: &Node<'_, 't>, reader: &mut Reader<'t>) -> Option<(Fault, fault::catalog::Spec)> {
    let value = node.value()?;
    if !value.get_ref().is_table() {
        let help = "write `[[faults]]` and beneath it `at = \"30s\"` and the fault";
        reader.findings.push(Finding::error(node.span(), "a fault is a table", help));
        return None;
    }
    let rest: Vec<_> = node.entries().into_iter().filter(|(key, _)| !TIMING.contains(key)).collect();
    let (known, unknown): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(key, _)| is_fault(key));
    let clean = known.len() == 1 && unknown.is_empty();
    let when = reader.read::<Fault>(&only(value, |key| TIMING.contains(&key)), "`[[faults]]`");
    let what = match known.as_slice() {
        [] if unknown.len() == 1 => {
            reader.read::<fault::catalog::Spec>(&only(value, |key| key == unknown[0].0), "`[[faults]]`");
            return None;
        }
        [] if unknown.is_empty() => {
            let help = "add one, such as `crash = {}`; `plimsoll list faults` shows all of them";
            let finding = Finding::error(node.span(), "this table does not say which fault happens", help);
            reader.findings.push(finding.label("no fault here"));
            return None;
        }
        [first, others @ ..] => {
            for (key, other) in others {
                let message = format!("two faults in one table: `{}` and `{key}`", first.0);
                let help = "give each a `[[faults]]` table of its own";
                reader.findings.push(Finding::error(other.key_span(), message, help).label("the second fault"));
            }
            reader.read(&only(value, |key| key == first.0), "`[[faults]]`")
        }
        [] => None,
    };
    for (key, node) in unknown {
        let names = TIMING.iter().chain(fault::catalog::Spec::NAMES).copied();
        let help = match nearest(key, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("leave it out: beside the fault there may be {}", listed(TIMING, "and")),
        };
        let finding = Finding::error(node.key_span(), format!("`[[faults]]` has no key `{key}`"), help);
        reader.findings.push(finding.label("unknown key"));
    }
    when.zip(what).filter(|_| clean)
}

fn is_fault(key: &str) -> bool {
    fault::catalog::Spec::ALIASES.iter().any(|(name, aliases)| *name == key || aliases.contains(&key))
}

/// What is read section by section.
const SECTIONS: &[&str] = &[
    "calls",
    "clients",
    "backends",
    "network",
    "discovery",
    "health",
    "faults",
    "client",
    "contenders",
    "expect",
    "sweep",
];
/// The keys of a fault's table besides the fault itself.
const TIMING: &[&str] = &["at", "for", "every", "target", "share"];
/// What messages call the top of a file.
const TOP: &str = "a scenario file";
