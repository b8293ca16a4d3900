//! From a file to plans. Names become numbers, defaults become explicit, sweeps unfold, and the sanity of the
//! whole is judged: all findings at once, each at its place. Nothing later checks a plan again.

mod calls;
mod contenders;
mod faults;
mod fleet;
mod gates;
mod limits;
mod network;
mod sections;
mod sweep;

#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::{Path, PathBuf};

use super::diagnose::{Finding, Findings, listed, nearest, printable};
use super::plan::{Discovery, Plan};
use super::read::Reader;
use super::schema;
use super::tree::{self, MOST_BYTES, Node, Value, Variables};
use super::words::{as_name, is_name};
pub use calls::MOST_SEEDS;
use gates::Scene;
use sections::Sections;
use sweep::Point;

/// What a command line has to say about a file.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--set NAME=value`, for `${NAME}` in the file.
    pub sets: Vec<(String, String)>,
    /// Where `${NAME}` is looked up otherwise.
    pub environment: fn(&str) -> Option<String>,
    /// `--seeds`: replications, instead of the file's.
    pub seeds: Option<u32>,
    /// `--seed`: the first seed.
    pub first_seed: u64,
    /// `--contenders`: globs; only matching contenders run. None: all of them.
    pub contenders: Vec<String>,
    /// `--max-calls`: a plan that may need more calls is refused.
    pub max_calls: u64,
    /// `--max-memory`, in bytes: a plan that may need more is refused.
    pub max_memory: u64,
    /// Folder that paths in the file begin at. [`load`] takes that of the file; without one no further file is read.
    pub folder: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            sets: Vec::new(),
            environment: |_| None,
            seeds: None,
            first_seed: 1,
            contenders: Vec::new(),
            max_calls: 1_000_000_000,
            max_memory: 4 << 30,
            folder: None,
        }
    }
}

/// What a file became.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// One plan, or one for each point of the sweep.
    pub plans: Vec<Plan>,
    /// What may not be as meant; empty for most files.
    pub warnings: Findings,
}

/// Reads a file.
///
/// # Errors
/// All that is wrong with it.
pub fn load(path: &Path, options: &Options) -> Result<Loaded, Findings> {
    let origin = path.display().to_string();
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let mut findings = Findings::new(&origin, "");
        let help = "check the path; `plimsoll list scenarios` shows the shipped ones";
        findings.push(Finding::outside(format!("the scenario file cannot be read: {error}"), help));
        return Err(findings);
    }
    let folder = options.folder.clone().or_else(|| path.parent().map(Path::to_path_buf));
    parse(&tree::decode(&origin, &bytes)?, &origin, &Options { folder, ..options.clone() })
}

/// Reads the text of a file; `origin` is the file's name in messages, and its stem the scenario's default name.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(text: &str, origin: &str, options: &Options) -> Result<Loaded, Findings> {
    let mut findings = Findings::new(origin, text);
    if text.trim().is_empty() {
        let help = "begin with `name`, `[calls]`, `[[backends]]` and `[contenders]`; docs/scenarios.md has an example";
        findings.push(Finding::error(0..0, "the file is empty", help));
        return Err(findings);
    }
    #[expect(clippy::needless_late_init, reason = "the tree borrows from it, and must be dropped first")]
    let filled;
    let Some(mut root) = tree::parse(text, &mut findings) else { return Err(findings) };
    let variables = Variables { sets: &options.sets, environment: options.environment };
    filled = tree::variables(&root, &variables, &mut findings);
    tree::fill(&mut root, &filled);

    let mut reader = Reader { findings, filled: &filled, folder: options.folder.as_deref() };
    let about = About { question: question(text), stem: stem(origin), text, options };
    let plans = unfold(&root, &about, &mut reader);
    match plans {
        Some(plans) if !reader.findings.has_errors() => Ok(Loaded { plans, warnings: reader.findings }),
        _ => Err(reader.findings),
    }
}

/// What is known besides the tree.
struct About<'a> {
    question: String,
    stem: Option<String>,
    text: &'a str,
    options: &'a Options,
}

/// One plan for every point of the sweep; `None` if any of them is wrong.
fn unfold<'t>(root: &Value<'t>, about: &About<'_>, reader: &mut Reader<'t>) -> Option<Vec<Plan>> {
    let points = sweep::points(root, about.text, &mut reader.findings)?;
    let mut plans = Vec::new();
    for (number, point) in points.iter().enumerate() {
        let varied = point.applied(root);
        let mut plan = resolve(varied.as_ref().unwrap_or(root), point, about, reader)?;
        point.label(&mut plan, number, &plans);
        plans.push(plan);
    }
    limits::check(&plans, &Node::root(root), about.options, &mut reader.findings);
    Some(plans)
}

/// The plan of a tree at one point of its sweep, whose values are in it.
fn resolve<'t>(root: &Value<'t>, point: &Point<'t>, about: &About<'_>, reader: &mut Reader<'t>) -> Option<Plan> {
    let file = sections::read(root, reader);
    let findings = &mut reader.findings;
    let root = Node::root(root);
    let name = name(&file, &root, about, findings);
    let times = calls::times(&file, &root, about.options, findings);
    let calls = calls::resolve(&file, &root, times, findings);
    let fleet = fleet::resolve(&file, &root, findings);
    let network = fleet.as_ref().and_then(|fleet| network::resolve(&file, &root, fleet, findings));
    let mut contenders = contenders::resolve(&file, &root, about.options, findings);
    if let Some((contenders, fleet)) = contenders.as_mut().zip(fleet.as_ref()) {
        contenders::settle_zones(contenders, fleet, &root, findings);
    }
    contenders::check_names(&root, findings);
    contenders::check_keys(&file, calls.as_ref(), &root, findings);
    contenders::check_needs(&file, &root, findings);
    let faults = faults::resolve(&file, &root, fleet.as_ref(), times.as_ref(), findings);
    let scene =
        Scene { times, contenders: contenders.as_ref(), point, fleet: fleet.as_ref(), file: &file, text: about.text };
    let expects = gates::resolve(&scene, &root, findings);

    let (times, fleet, contenders, faults) = (times?, fleet?, contenders?, faults?);
    let seeds = (0..u64::from(times.seeds)).map(|nth| about.options.first_seed.wrapping_add(nth)).collect();
    Some(Plan {
        name: name?,
        question: about.question.clone(),
        point: Vec::new(),
        duration: times.duration,
        warmup: times.warmup,
        drain: times.drain,
        seeds,
        calls: calls?,
        zones: fleet.zones,
        regions: fleet.regions,
        clients: fleet.clients,
        backends: faults.backends,
        network: network?,
        discovery: file.discovery?.into(),
        faults: faults.list,
        contenders: contenders.list,
        baseline: contenders.baseline,
        expects: expects?,
    })
}

/// `name` of the file, or the file's own name.
fn name(file: &Sections, root: &Node<'_, '_>, about: &About<'_>, findings: &mut Findings) -> Option<String> {
    match (&file.name.as_ref()?.name, &about.stem) {
        (Some(name), _) => Some(name.as_str().to_owned()),
        (None, Some(stem)) if is_name(stem) => Some(stem.clone()),
        (None, stem) => {
            let example = stem.as_deref().and_then(as_name).unwrap_or_else(|| "my-question".to_owned());
            let message = "the scenario has no name, and that of the file cannot be one";
            let place = root.span().start..root.span().start;
            findings.push(Finding::error(place, message, format!("begin with `name = \"{example}\"`")));
            None
        }
    }
}

/// The question that the first comment line asks.
fn question(text: &str) -> String {
    let comments = text.lines().map(str::trim).take_while(|line| line.is_empty() || line.starts_with('#'));
    let mut questions = comments.filter(|line| line.starts_with('#') && !line.starts_with("#:"));
    printable(questions.next().unwrap_or_default().trim_start_matches('#').trim())
}

/// The name of a file without its folder and ending.
fn stem(origin: &str) -> Option<String> {
    Path::new(origin).file_stem().map(|stem| stem.to_string_lossy().into_owned())
}

/// What to do about a name that nobody has.
fn suggestion(wrong: &str, known: &[&str], what: &str) -> String {
    let shown = known.len().min(MOST_SUGGESTED);
    let more = if known.len() > shown { ", …" } else { "" };
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("the file has no {what}"),
        None => format!("the {what} of this file are {}{more}", listed(&known[..shown], "and")),
    }
}

impl From<schema::Discovery> for Discovery {
    fn from(written: schema::Discovery) -> Discovery {
        match written {
            schema::Discovery::Static(_) => Discovery::Static,
            schema::Discovery::Push(push) => Discovery::Push { delay: push.delay, refresh: push.refresh },
            schema::Discovery::Lease(lease) => {
                Discovery::Lease { ttl: lease.ttl, keepalive: lease.keepalive, watch_delay: lease.watch_delay }
            }
        }
    }
}

/// A help lists no more names than this.
const MOST_SUGGESTED: usize = 12;
