//! Made-up studies for tests: a region that goes dark, seen by contenders of very different wit. No run behind
//! them, but shaped like one, with every kind of hole that a real one can have.

use super::{Comparison, GateLine, Page, Verdict, mean_interval};
use crate::base::math::{exp, ln, normal_quantile, student_t_quantile};
use crate::measure::catalog::{METRICS, Scale};
use crate::measure::series::{Heat, Series, Window};
use crate::measure::summary::*;

/// The contender that never answers: no call ends well.
pub const DEAD: &str = "blind_faith";

const NAMES: [&str; 12] = [
    "round_robin",
    "nearest_first",
    "blind_faith",
    "gslb",
    "random",
    "p2c_in_flight",
    "peak_ewma",
    "ring_hash_bounded_load",
    "weighted_round_robin",
    "subset_deterministic_with_outlier_ejection",
    "prequal",
    "oracle_least_loaded",
];

/// How a made-up contender fares.
struct Wit {
    base_ms: f64,
    detect_s: f64,
    recover_s: Option<f64>,
    skew: f64,
    dead: bool,
}

fn wit(i: usize) -> Wit {
    let recover_s = match i % 4 {
        0 => None,
        1 => Some(4.0 + i as f64),
        2 => Some(31.5),
        _ => Some(12.0 + i as f64),
    };
    Wit {
        base_ms: 9.0 + 1.7 * ((i * 5) % 7) as f64,
        detect_s: 1.0 + 2.3 * (i % 5) as f64,
        recover_s: recover_s.filter(|_| i != 2),
        skew: 0.04 + 0.06 * ((i * 3) % 5) as f64,
        dead: i == 2,
    }
}

/// A study of `contenders` × `seeds` over a fleet of `backends` in three zones.
pub fn study(contenders: usize, seeds: usize, backends: usize) -> Study {
    let facts = facts(seeds, backends);
    let make = |i: usize| Contender {
        name: NAMES[i].to_owned(),
        about: format!("{} · retry {}", NAMES[i], i % 4),
        oracle: NAMES[i].starts_with("oracle"),
        runs: facts.seeds.iter().map(|seed| run(&facts, i, *seed)).collect(),
    };
    Study { contenders: (0..contenders).map(make).collect(), facts }
}

/// Without faults, events or caches.
pub fn calm() -> Study {
    let mut study = study(2, 3, 6);
    study.facts.events.clear();
    for run in study.contenders.iter_mut().flat_map(|contender| &mut contender.runs) {
        run.reaction = Reaction::default();
    }
    study
}

/// One contender has no runs at all, another lacks its windows; nothing else is as it should be either.
pub fn torn() -> Study {
    let mut study = study(4, 3, 6);
    study.contenders[1].runs.clear();
    for run in &mut study.contenders[3].runs {
        run.series = Series::default();
        run.heat = Heat::default();
        run.backends.clear();
        run.latency = Latency::default();
    }
    study
}

/// As large as it gets, without two equal neighbours, and with a fault every second.
pub fn restless() -> Study {
    let mut study = study(12, 1, 200);
    for (i, run) in study.contenders.iter_mut().flat_map(|contender| &mut contender.runs).enumerate() {
        let cell = |r: u64, t: u64| Some(4.0 * unit(i, r, t, 3) * unit(i, r, t, 4));
        run.heat.rows = (0..200).map(|r| (0..240).map(|t| cell(r, t)).collect()).collect();
        run.heat.step_ns = 750_000_000;
    }
    let event = |i: u64| EventFact {
        label: ["crash", "slow", "restart", "scale"][i as usize % 4].to_owned(),
        from_ns: i * 1_000_000_000,
        until_ns: i * 1_000_000_000 + 400_000_000,
    };
    study.facts.events = (0..180).map(event).collect();
    study
}

/// Nothing but facts.
pub fn empty() -> Study {
    Study { facts: Facts::default(), contenders: Vec::new() }
}

/// Names that want to be something else.
pub fn hostile() -> Study {
    let mut study = study(3, 2, 6);
    let evil = "<script>alert('1')</script>";
    study.facts.question = format!("{evil} \u{1b}[31m \u{202e}desrever\u{0} & \"quoted\"");
    study.facts.command = "plimsoll run 'x' </code><img src=http://evil.example/>".to_owned();
    study.facts.version = "0.1.0\"><em>".to_owned();
    study.facts.events[0].label = "]]></text><a href=\"https://evil.example\">".to_owned();
    study.contenders[0].name = "=HYPERLINK(\"http://evil.example\")".to_owned();
    study.contenders[0].about = "</title><style>*{display:none}</style>".to_owned();
    study.contenders[1].name = " \n@SUM(A1)\u{200b}\u{7}<svg onload=x>".to_owned();
    for backend in &mut study.facts.backends {
        backend.name = format!("+{}", backend.name);
        backend.zone = format!("</text>{}", backend.zone);
    }
    study
}

/// Every metric against the baseline, as a judge would hand them over.
pub fn comparisons(study: &Study) -> Vec<Comparison> {
    let mut all = Vec::new();
    for metric in METRICS {
        let of = |i: usize| study.contenders[i].runs.iter().map(metric.read).collect::<Vec<_>>();
        for i in 0..study.contenders.len() {
            let (mean, ci) = mean_interval(&of(i));
            let relative = metric.scale == Scale::Log;
            let mut comparison =
                Comparison { metric: metric.key.to_owned(), contender: i, mean, ci, relative, ..Comparison::default() };
            if i != study.facts.baseline {
                (comparison.delta, comparison.delta_ci) = paired(&of(study.facts.baseline), &of(i), relative);
                comparison.separated = comparison.delta_ci.map(|(low, high)| low > 0.0 || high < 0.0);
            }
            all.push(comparison);
        }
    }
    all
}

fn paired(base: &[Option<f64>], other: &[Option<f64>], relative: bool) -> (Option<f64>, Option<(f64, f64)>) {
    let pairs = base.iter().zip(other).map(|(b, c)| match (b, c) {
        (Some(b), Some(c)) if relative => (*b > 0.0 && *c > 0.0).then(|| ln(c / b)),
        (Some(b), Some(c)) => Some(c - b),
        _ => None,
    });
    let (mean, _) = mean_interval(&pairs.clone().collect::<Vec<_>>());
    let known: Vec<f64> = pairs.flatten().collect();
    let Some(mean) = mean else { return (None, None) };
    let back = |x: f64| if relative { exp(x) - 1.0 } else { x };
    if known.len() < 2 {
        return (Some(back(mean)), None);
    }
    let n = known.len() as f64;
    let variance = known.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
    let half = student_t_quantile(0.9975, known.len() as u32 - 1) * (variance / n).sqrt();
    (Some(back(mean)), Some((back(mean - half), back(mean + half))))
}

/// One gate of each verdict.
pub fn gates() -> Vec<GateLine> {
    let line = |contender: &str, metric: &str, limit: &str, value: &str, interval: &str, verdict| GateLine {
        rule: format!("{metric} of {contender} {limit}"),
        contender: contender.to_owned(),
        metric: metric.to_owned(),
        limit: limit.to_owned(),
        value: value.to_owned(),
        interval: interval.to_owned(),
        seeds: 10,
        verdict,
        remark: if verdict == Verdict::Undecided {
            "the interval contains the limit".to_owned()
        } else {
            String::new()
        },
    };
    vec![
        line("nearest_first", "time_to_recover", "at most 30 s", "5.01 s", "all of 10 below", Verdict::Pass),
        line("nearest_first", "error_rate", "at most 1 %", "0.98 %", "[0.91 %, 1.05 %]", Verdict::Undecided),
        line(DEAD, "latency_p99", "no worse than round_robin + 2.5 %", "–", "–", Verdict::Fail),
    ]
}

/// A page of a study without gates.
pub fn page<'a>(study: &'a Study, comparisons: &'a [Comparison], gates: &'a [GateLine]) -> Page<'a> {
    Page { study, comparisons, gates, plan_json: "{\n  \"name\": \"region-outage\",\n  \"note\": \"<&>\"\n}" }
}

fn facts(seeds: usize, backends: usize) -> Facts {
    let zone = |i: usize| ["beijing/a", "shanghai/a", "shenzhen/a"][i * 3 / backends.max(1)];
    Facts {
        scenario: "region-outage".to_owned(),
        question: "One of three regions goes dark for 30 s. Who keeps the callers of the other two from noticing?"
            .to_owned(),
        version: "0.1.0".to_owned(),
        semantics: 1,
        world: "virtual".to_owned(),
        command: "plimsoll run scenarios/outage/region-outage.toml --seeds 10".to_owned(),
        duration_ns: 180_000_000_000,
        warmup_ns: 20_000_000_000,
        seeds: (1..=seeds as u64).collect(),
        baseline: 0,
        clients: 30,
        backends: (0..backends)
            .map(|i| BackendFact {
                name: format!("{}-{i}", &zone(i)[..zone(i).len() - 2]),
                zone: zone(i).to_owned(),
                weight: 1,
            })
            .collect(),
        events: vec![EventFact {
            label: "partition shenzhen".to_owned(),
            from_ns: 60_000_000_000,
            until_ns: 90_000_000_000,
        }],
    }
}

fn run(facts: &Facts, i: usize, seed: u64) -> Summary {
    let wit = wit(i);
    let seconds = facts.duration_ns / 1_000_000_000;
    let windows: Vec<Window> = (0..seconds).map(|t| window(&wit, i, seed, t)).collect();
    let counted = &windows[20..];
    let calls: u64 = counted.iter().map(|w| w.offered).sum();
    let ok: u64 = counted.iter().map(|w| w.good).sum();
    let heat = heat(facts, &wit, i, seed, seconds);
    let noise = 1.0 + 0.02 * (unit(i, seed, 7, 7) - 0.5);
    Summary {
        seed,
        measured_ns: facts.duration_ns - facts.warmup_ns,
        digests: Digests {
            workload: format!("{seed:032x}"),
            outcome: format!("{:032x}", seed * 31 + i as u64),
            run: format!("{:032x}", seed * 97 + i as u64),
        },
        accounting: Accounting { scheduled: calls, ended: calls, attempts: calls, ..Accounting::default() },
        outcomes: Outcomes {
            calls,
            ok,
            failures: vec![("deadline".to_owned(), calls - ok)],
            attempts: calls + calls * (i as u64 % 4) / 50,
        },
        latency: latency(if wit.dead { 0 } else { ok }, wit.base_ms * noise),
        latency_all: latency(calls, wit.base_ms * 1.3 * noise),
        spread: Spread {
            max_over_mean: Some(1.0 + 3.0 * wit.skew * noise),
            min_over_mean: Some(1.0 - wit.skew * noise),
            cv: Some(wit.skew * noise),
            jain: Some(1.0 - wit.skew * wit.skew * noise),
            max_over_mean_1s: Some(1.1 + 3.0 * wit.skew * noise),
            cv_1s: Some(0.03 + wit.skew * noise),
            jain_1s: Some(0.99 - wit.skew * wit.skew * noise),
            oscillation: Some((0.02 + wit.skew * noise).min(1.0)),
            oscillation_period_ns: (wit.skew > 0.2).then_some((1e9 * noise) as u64),
        },
        work: Work {
            calls_to_dead: 17 * (i as u64 % 5) * seed,
            cross_zone: calls / (3 + i as u64),
            attempts: calls,
            served_ns: 1_000_000_000_000,
            wasted_ns: 1_000_000_000 * (i as u128 % 3),
            ..Work::default()
        },
        reaction: Reaction {
            faulted: true,
            time_to_recover_ns: wit.recover_s.map(|s| (s * 1e9 * noise) as u64),
            recovered: wit.recover_s.is_some(),
            detectable: true,
            time_to_detect_ns: (!wit.dead).then_some((wit.detect_s * 1e9 * noise) as u64),
            detected: !wit.dead,
            ..Reaction::default()
        },
        backends: tallies(facts, &heat, calls),
        groups: vec![],
        series: Series { step_ns: 1_000_000_000, windows },
        heat,
    }
}

fn window(wit: &Wit, i: usize, seed: u64, t: u64) -> Window {
    let noise = |salt: u64| unit(i, seed, t, salt);
    let since = t as f64 - 60.0;
    let hurt = since >= 0.0 && since < wit.recover_s.unwrap_or(if wit.dead { 1e9 } else { 30.0 });
    let offered = 9_000 + (180.0 * (unit(99, seed, t, 1) - 0.5)) as u64;
    let share = if wit.dead {
        1.0
    } else if hurt {
        0.33 * exp(-since / (3.0 * wit.detect_s)) + 0.002
    } else {
        0.0002
    };
    let failed = (offered as f64 * share) as u64;
    let p50 = wit.base_ms * (0.9 + 0.1 * noise(2)) * if hurt { 1.15 } else { 1.0 };
    let p99 = p50 * (4.0 + noise(3)) * if hurt { 1.0 + 4.5 * exp(-since / 12.0) } else { 1.0 };
    let silent = i == 3 && (100..110).contains(&t);
    let known = !wit.dead && !silent;
    Window {
        offered,
        good: offered - failed,
        failed,
        attempts: offered + failed * 2,
        p50_ns: known.then_some((p50 * 1e6) as u64),
        p99_ns: known.then_some((p99 * 1e6) as u64),
        in_flight_max: (9.0 * p50 * (1.0 + 0.3 * noise(4)) * if hurt { 6.0 } else { 1.0 }) as u64,
        queue_max: (if hurt { 40.0 } else { 3.0 } * noise(5)) as u32,
        max_over_mean: known.then_some(1.1 + 3.0 * wit.skew * (0.7 + noise(6)) + if hurt { 0.4 } else { 0.0 }),
        cv: known.then_some(wit.skew * (0.7 + noise(8)) + if hurt { 0.4 } else { 0.0 }),
        cache_lookups: 0,
        cache_hits: 0,
    }
}

fn heat(facts: &Facts, wit: &Wit, i: usize, seed: u64, seconds: u64) -> Heat {
    let cell = |row: usize, t: u64| {
        let since = t as f64 - 60.0;
        let dark = facts.backends[row].zone.starts_with("shenzhen") && (wit.detect_s..30.0).contains(&since);
        let own = 1.0 + 4.0 * wit.skew * (unit(i, 5, row as u64, 11) - 0.5);
        let spill = if (wit.detect_s..30.0).contains(&since) { 1.5 } else { 1.0 };
        if dark && !wit.dead { 0.0 } else { own * spill * (0.85 + 0.3 * unit(i, seed, t * 1_000 + row as u64, 12)) }
    };
    let silent = |t: u64| i == 3 && (100..110).contains(&t);
    let row = |row: usize| (0..seconds).map(|t| (!silent(t)).then(|| cell(row, t))).collect();
    Heat { step_ns: 1_000_000_000, backends_per_row: 1, rows: (0..facts.backends.len()).map(row).collect() }
}

fn tallies(facts: &Facts, heat: &Heat, calls: u64) -> Vec<BackendTally> {
    let n = facts.backends.len().max(1) as f64;
    let tally = |row: &Vec<Option<f64>>| {
        let share = row.iter().flatten().sum::<f64>() / row.len().max(1) as f64;
        let attempts = (calls as f64 / n * share) as u64;
        BackendTally {
            attempts,
            ok: attempts - attempts / 100,
            failed: attempts / 100,
            served_ns: u128::from(attempts) * 8_000_000,
            queue_max: (share * 12.0) as u32,
            in_flight_max: (share * 20.0) as u32,
            connections: None,
        }
    };
    heat.rows.iter().map(tally).collect()
}

fn latency(count: u64, median_ms: f64) -> Latency {
    if count == 0 {
        return Latency::default();
    }
    let value = |q: f64| (median_ms * 1e6 * exp(0.65 * normal_quantile(q.max(1e-4)) + 3.0 * q.max(0.99) - 2.97)) as u64;
    Latency {
        count,
        sum_ns: u128::from(count) * u128::from(value(0.6)),
        max_ns: value(0.999_999),
        quantiles: QUANTILES.iter().map(|q| (*q, value(*q))).collect(),
    }
}

/// A number in [0, 1) that depends on nothing but its arguments.
fn unit(a: usize, b: u64, c: u64, d: u64) -> f64 {
    let mut x = (a as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ c.wrapping_mul(0x94D0_49BB_1331_11EB)).wrapping_add(d << 32);
    for _ in 0..3 {
        x ^= x >> 31;
        x = x.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    }
    (x >> 11) as f64 / (1u64 << 53) as f64
}

/// Writes the made-up studies as report folders below `target/look`, for eyes:
/// `cargo test --lib report::sample::look -- --ignored`.
#[test]
#[ignore = "makes pictures for people, checks nothing"]
fn look() {
    let studies = [
        ("one", study(1, 1, 6)),
        ("three", study(3, 10, 37)),
        ("four", study(4, 2, 20)),
        ("twelve", study(12, 3, 200)),
        ("calm", calm()),
        ("torn", torn()),
        ("restless", restless()),
        ("hostile", hostile()),
    ];
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/look");
    for (name, study) in studies {
        let comparisons = comparisons(&study);
        let gates = if name == "calm" { Vec::new() } else { gates() };
        let page = page(&study, &comparisons, &gates);
        super::folder::write(&dir, name, &page, "{}").expect("the look is written");
        std::fs::write(dir.join(name).join("terminal.txt"), super::terminal::comparison(&page, 100, true))
            .expect("written");
    }
}
