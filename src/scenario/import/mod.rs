//! Configurations that people already have, as contenders: a gRPC service config or an Envoy cluster becomes the
//! settings that a person would have written. What is not understood, or what nothing here does, is an error at its
//! place and never ignored; all findings of a file come at once.

mod cluster;
mod envoy;
mod grpc;
mod message;
mod native;
mod retry;
mod service_config;
mod source;
mod subsets;

use std::io::Read;
use std::path::{Component, Path};
use std::sync::Arc;

use serde::Serialize;

use super::diagnose::{Finding, Findings, printable};
use super::read::Reader;
use super::schema::Contender;
use super::tree::{self, MOST_BYTES, Node};
use super::words::Setting;
use crate::base::time::Duration;
use crate::policy::{balancer, retry as retries};
use message::{Reading, Spelling};
use source::{Syntax, Value};

/// What a contender was read from: with it the run can be made again, wherever the file was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// What it is: `service_config` or `envoy_cluster`.
    pub format: &'static str,
    /// The bytes of the file.
    pub text: Arc<str>,
}

/// The settings of a configuration.
#[derive(Debug, Default, PartialEq)]
struct Settings {
    balancer: Option<balancer::catalog::Spec>,
    retry: Option<retries::Config>,
    wait_for_ready: Option<bool>,
    deadline: Option<Duration>,
}

/// A kind of configuration.
struct Format {
    /// The key of a contender.
    key: &'static str,
    /// What it is called.
    what: &'static str,
    /// How its keys are spelled.
    spelling: Spelling,
    /// Whether a file with the ending of YAML is YAML.
    yaml: bool,
    /// Reads it.
    read: fn(&Value, &mut Reading<'_>) -> Option<Settings>,
    /// The balancer where neither the configuration nor the scenario names one.
    otherwise: &'static str,
}

const FORMATS: &[Format] = &[
    Format {
        key: "service_config",
        what: "service config",
        spelling: Spelling::Exact,
        yaml: false,
        read: service_config::read,
        // gRPC's default policy.
        otherwise: "grpc.pick_first",
    },
    Format {
        key: "envoy_cluster",
        what: "Envoy cluster",
        spelling: Spelling::SnakeOrCamel,
        yaml: true,
        read: cluster::read,
        otherwise: "envoy.round_robin",
    },
];

/// `(key of a contender, source of the file that reads it)` of every format; the card is the `//!` head of it.
pub const CARDS: &[(&str, &str)] =
    &[("service_config", include_str!("service_config.rs")), ("envoy_cluster", include_str!("cluster.rs"))];

/// Fills in what a contender takes from a file, and judges the file even if the contender is wrong. `None` if anything
/// is.
pub fn fill(contender: Option<Contender>, node: &Node<'_, '_>, reader: &mut Reader<'_>) -> Option<Contender> {
    let mut asked = FORMATS.iter().filter_map(|format| Some((format, node.key(format.key).text()?)));
    let Some((format, path)) = asked.next() else { return contender };
    if let Some((second, _)) = asked.next() {
        let message = format!("a contender is read from one file: `{}` or `{}`", format.key, second.key);
        reader.findings.push(Finding::error(node.key(second.key).key_span(), message, "keep one of the two"));
        return None;
    }
    let file = match open(reader.folder, path, format) {
        Ok(file) => file,
        Err(Refused::There(findings)) => {
            reader.findings.attach(*findings);
            return None;
        }
        Err(Refused::Here(message, help)) => {
            reader.findings.push(Finding::error(node.key(format.key).span(), message, help));
            return None;
        }
    };
    let settings = judge(format, &file, &mut reader.findings);
    let (mut contender, settings) = (contender?, settings?);
    let taken = taken(&contender, &settings);
    for key in &taken {
        let message = format!("`{key}` is given here and in the {}, too", format.what);
        let finding = Finding::error(node.key(key).key_span(), message, "keep one of the two");
        reader.findings.push(finding.label("the second one"));
    }
    merge(&mut contender, settings);
    contender.imported = Some((Imported { format: format.key, text: file.text.into() }, format.otherwise));
    taken.is_empty().then_some(contender)
}

/// What both the scenario and the configuration set.
fn taken(contender: &Contender, settings: &Settings) -> Vec<&'static str> {
    let both = [
        ("balancer", contender.balancer.is_some() && settings.balancer.is_some()),
        ("retry", contender.retry.is_some() && settings.retry.is_some()),
        ("wait_for_ready", contender.wait_for_ready.is_some() && settings.wait_for_ready.is_some()),
        ("deadline", contender.deadline.is_some() && settings.deadline.is_some()),
    ];
    both.into_iter().filter(|(_, both)| *both).map(|(key, _)| key).collect()
}

fn merge(contender: &mut Contender, settings: Settings) {
    let Settings { balancer, retry, wait_for_ready, deadline } = settings;
    contender.balancer = contender.balancer.take().or(balancer);
    contender.retry = contender.retry.take().or(retry.map(Setting::To));
    contender.wait_for_ready = contender.wait_for_ready.or(wait_for_ready);
    contender.deadline = contender.deadline.or(deadline);
}

/// The balancer of a name of the catalogue.
pub fn named(name: &str) -> Option<balancer::catalog::Spec> {
    serde_json::from_value(name.into()).ok()
}

/// A file with its name in messages.
struct File {
    origin: String,
    text: String,
    syntax: Syntax,
}

/// Why there is no file.
enum Refused {
    /// The scenario is to blame: what is wrong, and the next step.
    Here(String, &'static str),
    /// The file is.
    There(Box<Findings>),
}

/// The settings of a file. Its findings go to those of the scenario.
fn judge(format: &Format, file: &File, all: &mut Findings) -> Option<Settings> {
    let mut findings = Findings::new(&file.origin, &file.text);
    let value = source::parse(&file.text, file.syntax, &mut findings);
    let settings = value.and_then(|value| {
        let mut reading = Reading { findings: &mut findings, spelling: format.spelling };
        (format.read)(&value, &mut reading)
    });
    let settings = settings.filter(|_| !findings.has_errors());
    debug_assert!(settings.is_some() || findings.has_errors(), "refused without a reason");
    all.attach(findings);
    settings
}

/// Reads a file below the folder of the scenario, within the limits of scenario files.
fn open(folder: Option<&Path>, path: &str, format: &Format) -> Result<File, Refused> {
    let here = |message: String, help| Err(Refused::Here(message, help));
    let shown = printable(&source::shortened(path));
    let relative = Path::new(path);
    let inside = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if path.is_empty() || !inside || path.contains(['\\', '\0']) {
        let message = format!("`{shown}` leaves the folder of the scenario file");
        let help = "put the file beside the scenario or into a folder beside it, and write the path from there";
        return here(message, help);
    }
    let Some(folder) = folder else {
        let help = "give the scenario as a file; a text alone has no folder that others could be in";
        return here(format!("`{shown}` cannot be read: the scenario is no file"), help);
    };
    let ending = relative.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let syntax = if format.yaml && ending != "json" { Syntax::Yaml } else { Syntax::Json };
    let place = folder.join(relative);
    let origin = place.display().to_string();
    let mut bytes = Vec::new();
    let is_file = std::fs::metadata(&place).map(|facts| facts.is_file());
    let read = match is_file {
        Ok(false) => return here(format!("`{shown}` is no file"), "give the path of a file"),
        Ok(true) => {
            std::fs::File::open(&place).and_then(|file| file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes))
        }
        Err(error) => Err(error),
    };
    if let Err(error) = read {
        let message = format!("the {} `{shown}` cannot be read: {error}", format.what);
        return here(message, "check the path: it begins at the folder of the scenario file");
    }
    let text = tree::decode(&origin, &bytes).map_err(|findings| Refused::There(Box::new(findings)))?;
    Ok(File { origin, text, syntax })
}
