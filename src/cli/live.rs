//! `plimsoll live`: the same file against real servers on this machine, contender after contender, in real time.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde_json::json;

use super::args::RunOptions;
use super::page::{self, Judged};
use super::run::{load_all, print_plans, show, write_folder};
use super::{Exit, progress};
use crate::base::time::{Duration, Instant};
use crate::live::vitals::{self, Vitals};
use crate::live::{self, Error, support};
use crate::measure::summary::{Contender, Study, Summary};
use crate::scenario::plan::Plan;
use crate::study;

/// Plays every file. A plan that asks for what is not played stops everything before anything has started.
pub(super) fn live(options: &RunOptions) -> Exit {
    let Some(loaded) = load_all(options) else { return Exit::BadInput };
    if options.print_plan {
        return print_plans(&loaded);
    }
    let each = options.files.iter().zip(&loaded);
    let plans: Vec<(&Path, Plan)> = each
        .flat_map(|(file, loaded)| loaded.plans.iter().map(move |plan| (file.as_path(), first_seed(plan))))
        .collect();
    let refused = plans.iter().filter(|(file, plan)| refuse(file, plan)).count();
    if refused > 0 {
        eprintln!("  help: {}", support::SUPPORTED);
        return Exit::BadInput;
    }
    if !options.quiet {
        announce(&loaded, &plans);
    }
    let stop = progress::stop_flag();
    let mut exit = Exit::Pass;
    for (file, plan) in &plans {
        match play(options, file, plan, &stop) {
            Ok(end) => exit = exit.worse(end),
            Err(end) => return exit.worse(end),
        }
    }
    exit
}

/// One run a contender: real time is dear, and more seeds would not be paired anyway.
fn first_seed(plan: &Plan) -> Plan {
    Plan { seeds: plan.seeds[..1].to_vec(), ..plan.clone() }
}

fn refuse(file: &Path, plan: &Plan) -> bool {
    let refusals = support::refusals(plan, &plan.timeline(plan.seeds[0]).effects);
    for refusal in &refusals {
        eprintln!("error: {} cannot be played live: {refusal}", file.display());
    }
    !refusals.is_empty()
}

fn announce(loaded: &[crate::scenario::resolve::Loaded], plans: &[(&Path, Plan)]) {
    let runs: u64 = plans.iter().map(|(_, plan)| plan.contenders.len() as u64).sum();
    let nanos: u64 = plans.iter().map(|(_, plan)| plan.duration.as_nanos() * plan.contenders.len() as u64).sum();
    let seconds = nanos / 1_000_000_000;
    let each = if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs, one after the other") };
    eprintln!("live: {each}: about {}m{:02}s in all, and what open calls need to end", seconds / 60, seconds % 60);
    if loaded.iter().flat_map(|loaded| &loaded.plans).any(|plan| plan.seeds.len() > 1) {
        eprintln!("live: only the first seed is played; intervals and gates need `plimsoll run`");
    }
}

/// One plan. An error ends everything.
fn play(options: &RunOptions, file: &Path, plan: &Plan, stop: &AtomicBool) -> Result<Exit, Exit> {
    let timeline = plan.timeline(plan.seeds[0]);
    let mut facts = study::facts(plan, Some(&timeline), &options.command("live", file));
    facts.world = "live".to_owned();
    let mut study = Study { facts, contenders: Vec::new() };
    let mut all = Vec::new();
    for at in 0..plan.contenders.len() {
        let bar = progress::seconds(plan.duration.as_secs_f64(), &plan.contenders[at].name, options.quiet);
        let progress = |now: Instant| bar.set_position(now.as_nanos() / 1_000_000_000);
        let settings = live::Settings { taped: false, stop: Some(stop), progress: Some(&progress) };
        let run = study::run_one_live(plan, at, plan.seeds[0], &timeline, &settings);
        bar.finish_and_clear();
        let (summary, finish) = run.map_err(|error| failed(&plan.name, &error))?;
        let vital = Vital::new(finish.vitals, &summary);
        let contender = &plan.contenders[at];
        let mark = if vital.is_limited() {
            format!(" · CLIENT-LIMITED ({})", vital.doubts.join("; "))
        } else {
            String::new()
        };
        study.contenders.push(Contender {
            name: contender.name.clone(),
            about: contender.channel.about() + &mark,
            oracle: contender.channel.balancer.is_oracle(),
            runs: vec![summary],
        });
        all.push(vital);
    }
    let mut judged = page::judge(plan, study);
    judged.run_json = with_vitals(&judged, &all);
    let written = write_folder(options, &judged.page(), &judged.run_json, plan);
    Ok(written.worse(show(options, &judged)).worse(warn(plan, &all)))
}

fn failed(name: &str, error: &Error) -> Exit {
    match error {
        Error::Stopped => {
            eprintln!("interrupted: the report of {name} is as it was before");
            Exit::Interrupted
        }
        Error::Refused(_) => {
            eprintln!("error: {name} cannot be played live: {error}\n  help: {}", support::SUPPORTED);
            Exit::BadInput
        }
        Error::Environment(_) => {
            eprintln!(
                "error: {name} could not be played: {error}\n  help: it needs loopback and three open files a \
                 connection (`ulimit -n`)"
            );
            Exit::Environment
        }
    }
}

/// What the machine says of a run, and why it cannot be believed.
struct Vital {
    vitals: Vitals,
    trusted: Duration,
    doubts: Vec<String>,
}

impl Vital {
    fn new(vitals: Vitals, summary: &Summary) -> Vital {
        let median = Duration::from_nanos(summary.latency.quantile_ns(0.5).unwrap_or(0));
        Vital { trusted: vitals::trusted(median), doubts: vitals.doubts(median), vitals }
    }

    fn is_limited(&self) -> bool {
        !self.doubts.is_empty()
    }
}

fn warn(plan: &Plan, vitals: &[Vital]) -> Exit {
    let limited: Vec<_> = plan.contenders.iter().zip(vitals).filter(|(_, vital)| vital.is_limited()).collect();
    for (contender, vital) in &limited {
        eprintln!("warning: CLIENT-LIMITED: {} · {}: {}", plan.name, contender.name, vital.doubts.join("; "));
    }
    if limited.is_empty() {
        return Exit::Pass;
    }
    eprintln!("  help: this machine was too busy for its numbers to be believed; counts and shares still hold");
    Exit::Environment
}

/// `run.json` with what the machine says of each contender's run.
fn with_vitals(judged: &Judged, vitals: &[Vital]) -> String {
    let Ok(mut document) = serde_json::from_str::<serde_json::Value>(&judged.run_json) else {
        return judged.run_json.clone();
    };
    let row = |(contender, vital): (&Contender, &Vital)| {
        let Vitals { lag, probe, skipped, crowded, cpu } = &vital.vitals;
        json!({
            "contender": contender.name,
            "send_lag_p50_ms": lag.quantile(0.5).as_millis_f64(),
            "send_lag_p999_ms": lag.quantile(0.999).as_millis_f64(),
            "alarm_lag_p999_ms": probe.quantile(0.999).as_millis_f64(),
            "trusted_ms": vital.trusted.as_millis_f64(),
            "skipped": skipped,
            "crowded": crowded,
            "cpu_share": cpu,
            "client_limited": vital.is_limited(),
            "doubts": vital.doubts,
        })
    };
    document["live"] = judged.study.contenders.iter().zip(vitals).map(row).collect();
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}
