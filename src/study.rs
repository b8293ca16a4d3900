//! All runs of a plan: every contender on every seed, on as many threads as there are, in the order of the plan.
//!
//! A run belongs to one thread and shares nothing, so the number of threads changes nothing but the time.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::base::id::BackendId;
use crate::base::rand::mix;
use crate::base::time::Instant;
use crate::fault::Timeline;
use crate::measure::collect::{Fault, Fold, Frame};
use crate::measure::summary::{BackendFact, Contender, EventFact, Facts, Study, Summary};
use crate::record::digest::{Lanes, SEMANTICS};
use crate::scenario::plan::{BackendGroup, Plan};
use crate::sim;
use crate::workload::spec::Source;

/// How the runs are made. Nothing here changes a result.
#[derive(Default)]
pub struct Settings<'a> {
    /// Threads; 0 for one a core.
    pub threads: usize,
    /// Called after each finished run with how many there are now.
    pub progress: Option<&'a (dyn Fn(usize) + Sync)>,
    /// Once true, no further run is started.
    pub stop: Option<&'a AtomicBool>,
    /// Runs are started in the reverse order: for checking that this changes nothing.
    pub reversed: bool,
    /// A command line that makes the results again, for the report.
    pub command: String,
}

/// Runs a plan in virtual time. `None` if it was stopped before all runs were finished.
///
/// # Panics
/// When a run breaks an invariant of the simulator: our bug, never the plan's.
pub fn run(plan: &Plan, settings: &Settings<'_>) -> Option<Study> {
    let timelines: Vec<Timeline> = plan.seeds.iter().map(|seed| plan.timeline(*seed)).collect();
    let mut jobs: Vec<(usize, usize)> = (0..plan.contenders.len())
        .flat_map(|contender| (0..plan.seeds.len()).map(move |seed| (contender, seed)))
        .collect();
    if settings.reversed {
        jobs.reverse();
    }
    let finished = std::sync::atomic::AtomicUsize::new(0);
    let one = |(contender, seed): (usize, usize)| {
        if settings.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return None;
        }
        let summary = run_one(plan, contender, plan.seeds[seed], &timelines[seed]);
        let done = finished.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(progress) = settings.progress {
            progress(done);
        }
        Some(((contender, seed), summary))
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(settings.threads).build().expect("threads can be started");
    let runs: Option<Vec<((usize, usize), Summary)>> =
        pool.install(|| jobs.into_par_iter().with_max_len(1).map(one).collect());
    let mut runs = runs?;
    runs.sort_by_key(|(place, _)| *place);
    let mut contenders: Vec<Contender> = plan
        .contenders
        .iter()
        .map(|contender| Contender {
            name: contender.name.clone(),
            about: contender.channel.about(),
            oracle: contender.channel.balancer.is_oracle(),
            runs: Vec::with_capacity(plan.seeds.len()),
        })
        .collect();
    for ((contender, _), summary) in runs {
        contenders[contender].runs.push(summary);
    }
    Some(Study { facts: facts(plan, timelines.first(), &settings.command), contenders })
}

/// One contender on one seed.
///
/// # Panics
/// When the books of the run do not balance.
pub fn run_one(plan: &Plan, contender: usize, seed: u64, timeline: &Timeline) -> Summary {
    let mut fold = Fold::new(frame(plan, seed, timeline));
    let finish = sim::run(plan, contender, seed, &timeline.effects, &mut fold);
    let summary = fold.finish(finish.events, finish.ties, finish.sojourn_sum_ns);
    balance(&summary, seed);
    summary
}

/// One contender on one seed, in real time against real servers.
///
/// # Errors
/// When the plan is refused, the machine fails, or the run is stopped.
///
/// # Panics
/// When the books of the run do not balance.
#[cfg(feature = "live")]
pub fn run_one_live(
    plan: &Plan,
    contender: usize,
    seed: u64,
    timeline: &Timeline,
    settings: &crate::live::Settings<'_>,
) -> Result<(Summary, crate::live::Finish), crate::live::Error> {
    let mut fold = Fold::new(frame(plan, seed, timeline));
    let finish = crate::live::run(plan, contender, seed, &timeline.effects, settings, &mut fold)?;
    let summary = fold.finish(finish.books.events, 0, finish.books.sojourn_sum_ns);
    balance(&summary, seed);
    Ok((summary, finish))
}

/// No call is lost, and Little's law holds.
fn balance(summary: &Summary, seed: u64) {
    let books = &summary.accounting;
    assert_eq!(books.scheduled, books.ended + books.unfinished, "calls were lost: seed {seed}");
    assert_eq!(books.sojourn_sum_ns, books.in_flight_area_ns, "Little's law does not hold: seed {seed}");
}

/// What the folds must know about a run.
pub fn frame(plan: &Plan, seed: u64, timeline: &Timeline) -> Frame {
    let end = Instant::ZERO + plan.duration;
    let fault = |span: &crate::fault::Span| Fault {
        from: span.from,
        until: span.until.unwrap_or(end),
        affected: if span.affects_backends { span.backends.clone() } else { Vec::new() },
    };
    Frame {
        seed,
        warmup: Instant::ZERO + plan.warmup,
        duration: end,
        closed: matches!(plan.calls.source, Source::Closed { .. }),
        keyed: plan.calls.keys.is_some(),
        backends: plan.each_backend().map(|(_, group, number)| (group.weight, number < group.count)).collect(),
        groups: plan.backends.iter().map(|group| (group.name.clone(), group.capacity as usize)).collect(),
        faults: timeline.spans.iter().filter(|span| span.from < end).map(fault).collect(),
        workload: workload_words(plan, seed, timeline),
    }
}

/// What identifies a workload besides its calls: the faults, and the users of a closed one.
fn workload_words(plan: &Plan, seed: u64, timeline: &Timeline) -> Vec<u64> {
    let mut lanes = Lanes::new("timeline");
    for (at, effect) in &timeline.effects {
        lanes.word(at.as_nanos());
        for byte in format!("{effect:?}").bytes() {
            lanes.word(u64::from(byte));
        }
    }
    let users =
        if let Source::Closed { users, .. } = &plan.calls.source { mix(u64::from(*users)) ^ mix(seed) } else { 0 };
    vec![lanes.low(), users]
}

/// What a reader of the results must know of the plan.
pub fn facts(plan: &Plan, timeline: Option<&Timeline>, command: &str) -> Facts {
    let backend = |(_, group, number): (BackendId, &BackendGroup, u32)| BackendFact {
        name: format!("{}-{}", group.name, number),
        zone: plan.zones[group.zone.index()].name.clone(),
        weight: group.weight,
    };
    let end = plan.duration.as_nanos();
    let event = |span: &crate::fault::Span| EventFact {
        label: span.label.clone(),
        from_ns: span.from.as_nanos(),
        until_ns: span.until.map_or(end, |until| until.as_nanos().min(end)),
    };
    Facts {
        scenario: plan.name.clone(),
        question: plan.question.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        semantics: SEMANTICS,
        world: "virtual".to_owned(),
        command: command.to_owned(),
        duration_ns: end,
        warmup_ns: plan.warmup.as_nanos(),
        seeds: plan.seeds.clone(),
        baseline: plan.baseline,
        clients: plan.client_count(),
        backends: plan.each_backend().map(backend).collect(),
        events: timeline
            .into_iter()
            .flat_map(|timeline| &timeline.spans)
            .filter(|span| span.from.as_nanos() < end)
            .map(event)
            .collect(),
    }
}
