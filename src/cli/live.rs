//! `plimsoll live`: the same file against real servers on this machine, contender after contender, in real time.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde_json::json;

use super::args::RunOptions;
use super::page::{self, Judged};
use super::run::{load_all, print_plans, show, write_folder};
use super::{Exit, progress};
use crate::base::time::{Duration, Instant};
use crate::live::{self, Error, support};
use crate::measure::summary::{Contender, Study, Summary};
use crate::report::number;
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
    let mut lags = Vec::new();
    for at in 0..plan.contenders.len() {
        let bar = progress::seconds(plan.duration.as_secs_f64(), &plan.contenders[at].name, options.quiet);
        let progress = |now: Instant| bar.set_position(now.as_nanos() / 1_000_000_000);
        let settings = live::Settings { taped: false, stop: Some(stop), progress: Some(&progress) };
        let run = study::run_one_live(plan, at, plan.seeds[0], &timeline, &settings);
        bar.finish_and_clear();
        let (summary, finish) = run.map_err(|error| failed(&plan.name, &error))?;
        let lag = Lateness::new(&finish.lag, &summary);
        let contender = &plan.contenders[at];
        let mark = if lag.is_limited() { format!(" · CLIENT-LIMITED ({lag})") } else { String::new() };
        study.contenders.push(Contender {
            name: contender.name.clone(),
            about: contender.channel.about() + &mark,
            oracle: false,
            runs: vec![summary],
        });
        lags.push(lag);
    }
    let mut judged = page::judge(plan, study);
    judged.run_json = with_lags(&judged, &lags);
    let written = write_folder(options, &judged.page(), &judged.run_json, plan);
    Ok(written.worse(show(options, &judged)).worse(warn(plan, &lags)))
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

/// How late calls were sent, against what is trusted: p99.9 at most 0.2 ms or 2 % of the median latency.
struct Lateness {
    p50: Duration,
    p999: Duration,
    trusted: Duration,
}

impl Lateness {
    fn new(lag: &live::clock::Lag, summary: &Summary) -> Lateness {
        let median = summary.latency.quantile_ns(0.5).unwrap_or(0);
        let trusted = Duration::from_micros(200).max(Duration::from_nanos(median / 50));
        Lateness { p50: lag.quantile(0.5), p999: lag.quantile(0.999), trusted }
    }

    fn is_limited(&self) -> bool {
        self.p999 > self.trusted
    }
}

impl std::fmt::Display for Lateness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |duration: Duration| number::short(duration.as_millis_f64());
        write!(f, "sent up to {} ms late at p99.9, trusted up to {} ms", ms(self.p999), ms(self.trusted))
    }
}

fn warn(plan: &Plan, lags: &[Lateness]) -> Exit {
    let limited: Vec<_> = plan.contenders.iter().zip(lags).filter(|(_, lag)| lag.is_limited()).collect();
    for (contender, lag) in &limited {
        eprintln!("warning: CLIENT-LIMITED: {} · {}: {lag}", plan.name, contender.name);
    }
    if limited.is_empty() {
        return Exit::Pass;
    }
    eprintln!("  help: this machine was too busy for its numbers to be believed; counts and shares still hold");
    Exit::Environment
}

/// `run.json` with how late each contender's calls were sent.
fn with_lags(judged: &Judged, lags: &[Lateness]) -> String {
    let Ok(mut document) = serde_json::from_str::<serde_json::Value>(&judged.run_json) else {
        return judged.run_json.clone();
    };
    let row = |(contender, lag): (&Contender, &Lateness)| {
        json!({
            "contender": contender.name,
            "send_lag_p50_ms": lag.p50.as_millis_f64(),
            "send_lag_p999_ms": lag.p999.as_millis_f64(),
            "trusted_ms": lag.trusted.as_millis_f64(),
            "client_limited": lag.is_limited(),
        })
    };
    document["live"] = judged.study.contenders.iter().zip(lags).map(row).collect();
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slower_service_forgives_more_lateness() {
        let lag = |p999: u64, median: u64| Lateness {
            p50: Duration::ZERO,
            p999: Duration::from_micros(p999),
            trusted: Duration::from_micros(200).max(Duration::from_micros(median / 50)),
        };
        assert!(!lag(200, 1_000).is_limited());
        assert!(lag(201, 1_000).is_limited());
        assert!(!lag(1_000, 50_000).is_limited());
    }
}
