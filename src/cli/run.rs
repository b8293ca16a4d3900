//! `plimsoll run`: files in, comparisons and report folders out.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use super::args::{Format, RunOptions};
use super::page::{self, Judged};
use super::{Exit, progress};
use crate::report::{Page, folder, terminal};
use crate::scenario::plan::Plan;
use crate::scenario::resolve::{self, Loaded};
use crate::study::{self, Settings};

/// Runs every file. A file that is wrong stops everything before anything has run.
pub(super) fn run(options: &RunOptions) -> Exit {
    each_plan(options, "run", |judged| show(options, judged))
}

/// Prints what was found.
pub(super) fn show(options: &RunOptions, judged: &Judged) -> Exit {
    if options.format == Format::Json {
        return say(&judged.run_json);
    }
    if options.quiet {
        return Exit::Pass;
    }
    let colour = options.color.wanted(std::io::stdout().is_terminal());
    say(&terminal::comparison(&judged.page(), width(), colour))
}

/// Columns of the terminal.
pub(super) fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    columns.unwrap_or(100).clamp(60, 200)
}

/// Prints to standard output; a reader that has gone is no mistake of ours.
pub(super) fn say(text: &str) -> Exit {
    let mut out = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Ok(()) => Exit::Pass,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Pass,
        Err(error) => {
            eprintln!("error: standard output cannot be written: {error}");
            Exit::Environment
        }
    }
}

/// Reads all files first, then runs, judges and writes each plan and hands it on.
pub(super) fn each_plan(options: &RunOptions, verb: &str, mut then: impl FnMut(&Judged) -> Exit) -> Exit {
    let Some(loaded) = load_all(options) else { return Exit::BadInput };
    if options.print_plan {
        return print_plans(&loaded);
    }
    let stop = progress::stop_flag();
    let mut exit = Exit::Pass;
    for (file, loaded) in options.files.iter().zip(&loaded) {
        for plan in &loaded.plans {
            let runs = plan.contenders.len() * plan.seeds.len();
            let bar = progress::bar(runs, &plan.name, options.quiet);
            let settings = Settings {
                threads: options.threads,
                progress: Some(&|done| bar.set_position(done as u64)),
                stop: Some(&stop),
                reversed: false,
                command: options.command(verb, file),
            };
            let study = study::run(plan, &settings);
            bar.finish_and_clear();
            let Some(study) = study.filter(|_| !stop.load(Ordering::SeqCst)) else {
                eprintln!("interrupted: the report of {} is as it was before", plan.name);
                return Exit::Interrupted;
            };
            let judged = page::judge(plan, study);
            // The report is there before a failing exit, whatever the verdict.
            exit = exit.worse(write_folder(options, &judged.page(), &judged.run_json, plan)).worse(then(&judged));
        }
    }
    exit
}

/// Writes the report folder of a plan.
pub(super) fn write_folder(options: &RunOptions, page: &Page<'_>, run_json: &str, plan: &Plan) -> Exit {
    match folder::write(&options.out, &plan.name, page, run_json) {
        Ok(path) => {
            if !options.quiet && options.format == Format::Human {
                eprintln!("report: {}", path.join("index.html").display());
            }
            Exit::Pass
        }
        Err(error) => {
            let out = options.out.display();
            eprintln!("error: the report cannot be written to {out}: {error}\n  help: give another folder with --out");
            Exit::Environment
        }
    }
}

/// Reads every file, and shows everything that is wrong with any of them.
pub(super) fn load_all(options: &RunOptions) -> Option<Vec<Loaded>> {
    let colour = options.color.wanted(std::io::stderr().is_terminal());
    let mut loaded = Vec::new();
    let mut bad = false;
    for file in &options.files {
        match load(file, options) {
            Ok(found) => {
                if !found.warnings.is_empty() && !options.quiet {
                    eprint!("{}", found.warnings.render(colour));
                }
                loaded.push(found);
            }
            Err(findings) => {
                bad = true;
                eprint!("{}", findings.render(colour));
            }
        }
    }
    (!bad).then_some(loaded)
}

fn load(file: &Path, options: &RunOptions) -> Result<Loaded, crate::scenario::diagnose::Findings> {
    resolve::load(file, &options.reading())
}

/// Prints every resolved plan.
pub(super) fn print_plans(loaded: &[Loaded]) -> Exit {
    for plan in loaded.iter().flat_map(|loaded| &loaded.plans) {
        let head = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "semantics": crate::record::digest::SEMANTICS,
            "plan": plan,
        });
        let text = serde_json::to_string_pretty(&head).unwrap_or_default();
        let exit = say(&text);
        if exit != Exit::Pass {
            return exit;
        }
    }
    Exit::Pass
}
