//! A report folder read back: the runs in `run.json`, and every value of `summary.csv`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What a report folder says.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The folder.
    pub folder: PathBuf,
    /// Name of the scenario.
    pub scenario: String,
    /// Version of the program that wrote it.
    pub version: String,
    /// Version of the semantics.
    pub semantics: u32,
    /// The seeds, in order.
    pub seeds: Vec<u64>,
    /// One entry a contender, in the order of the file.
    pub contenders: Vec<RecordedContender>,
}

/// A contender with its runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedContender {
    /// Its name.
    pub name: String,
    /// In the order of the seeds.
    pub runs: Vec<RecordedRun>,
}

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedRun {
    /// Its seed.
    pub seed: u64,
    /// Digest of the calls and the faults.
    pub workload: String,
    /// Digest of how the calls ended.
    pub outcome: String,
    /// Values by metric, in the unit of the metric; `None` where it is unknown, infinity where it is endless.
    pub values: BTreeMap<String, Option<f64>>,
}

/// Why a folder cannot be read: where, and what is wrong there.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct Unreadable {
    /// A file, perhaps with a line.
    pub place: String,
    /// What is wrong.
    pub cause: String,
}

/// The parts of `run.json` that matter here.
#[derive(Deserialize)]
struct Document {
    format: u32,
    version: String,
    semantics: u32,
    scenario: String,
    seeds: Vec<u64>,
    contenders: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    runs: Vec<Ran>,
}

#[derive(Deserialize)]
struct Ran {
    seed: u64,
    workload: String,
    outcome: String,
}

/// Reads a folder that a run has written.
///
/// # Errors
/// When a file is missing, is not what a run writes, or the two do not belong together.
pub fn read(folder: &Path) -> Result<Recorded, Unreadable> {
    let path = folder.join("run.json");
    let document: Document = serde_json::from_str(&text_of(&path)?).map_err(|error| unreadable(&path, &error))?;
    if document.format != FORMAT {
        let cause = format!("its format is {}, and this program reads {FORMAT}", document.format);
        return Err(unreadable(&path, &cause));
    }
    let run = |run: Ran| RecordedRun {
        seed: run.seed,
        workload: run.workload,
        outcome: run.outcome,
        values: BTreeMap::new(),
    };
    let contender =
        |listed: Listed| RecordedContender { name: listed.name, runs: listed.runs.into_iter().map(run).collect() };
    let Document { version, semantics, scenario, seeds, contenders, .. } = document;
    let contenders = contenders.into_iter().map(contender).collect();
    let mut recorded = Recorded { folder: folder.to_owned(), scenario, version, semantics, seeds, contenders };
    recorded.take_values(&folder.join("summary.csv"))?;
    Ok(recorded)
}

impl Recorded {
    /// Puts the values of a `summary.csv` to their runs.
    fn take_values(&mut self, path: &Path) -> Result<(), Unreadable> {
        let text = text_of(path)?;
        let mut table = ::csv::ReaderBuilder::new().from_reader(text.as_bytes());
        let header = table.headers().map_err(|error| unreadable(path, &error))?;
        if header != HEADER.as_slice() {
            return Err(unreadable(path, &format!("its first line is not `{}`", HEADER.join(","))));
        }
        for row in table.records() {
            let row = row.map_err(|error| unreadable(path, &error))?;
            let line = row.position().map_or(0, ::csv::Position::line);
            self.take_row(&row).map_err(|cause| Unreadable { place: format!("{}:{line}", path.display()), cause })?;
        }
        let missing = self.contenders.iter().find(|contender| contender.runs.iter().any(|run| run.values.is_empty()));
        match missing {
            Some(contender) => Err(unreadable(path, &format!("it has no values for {}", contender.name))),
            None => Ok(()),
        }
    }

    fn take_row(&mut self, row: &::csv::StringRecord) -> Result<(), String> {
        let [_, name, seed, metric, _, value] = [0, 1, 2, 3, 4, 5].map(|at| &row[at]);
        // Rows without a seed are means over them, which follow from the others.
        if seed.is_empty() {
            return Ok(());
        }
        let value = match value {
            "" => None,
            value => Some(number(value)?),
        };
        let contender = self.contenders.iter_mut().find(|contender| contender.name == name);
        let run = contender.and_then(|found| found.runs.iter_mut().find(|run| run.seed.to_string() == seed));
        let run = run.ok_or_else(|| format!("run.json knows no run of {name} with seed {seed}"))?;
        run.values.insert(metric.to_owned(), value);
        Ok(())
    }
}

/// A number of `summary.csv`: decimals, or `inf`.
fn number(text: &str) -> Result<f64, String> {
    let read = text.parse::<f64>().ok().filter(|number| !number.is_nan());
    read.ok_or_else(|| format!("`{text}` is not a number"))
}

fn text_of(path: &Path) -> Result<String, Unreadable> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, cause: &dyn std::fmt::Display) -> Unreadable {
    Unreadable { place: path.display().to_string(), cause: cause.to_string() }
}

/// The format of `run.json`.
pub const FORMAT: u32 = 1;
/// The columns of `summary.csv`.
pub const HEADER: [&str; 6] = ["scenario", "contender", "seed", "metric", "unit", "value"];
