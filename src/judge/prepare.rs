//! What a gate can be judged by: one number a seed, turned so that larger is worse, or a reason why not.

use super::decide::{Shape, Test, Verdict, fraction_floor};
use super::gate::{Gate, Prepared, Shown};
use super::reading::{self, Traits};
use super::rule::{Limit, Rule};
use crate::base::math;
use crate::measure::catalog::{Better, Scale};
use crate::measure::stats::{self, Sample};
use crate::measure::summary::{Contender, Study};

/// Reads the runs and lays the test out.
pub(super) fn prepare(study: &Study, gate: &Gate<'_>) -> Prepared {
    let rule = gate.rule.as_ref();
    let contender = &study.contenders[gate.contender];
    let traits = match (rule.refusal(), reading::traits(&rule.metric)) {
        (None, Some(traits)) => traits,
        (refusal, _) => return undecided(refusal.map_or(String::new(), |refusal| refusal.message)),
    };
    let prepared = match rule.limit {
        Limit::AtMost(bound) => against_bound(rule, contender, traits, bound, false),
        Limit::AtLeast(bound) => against_bound(rule, contender, traits, bound, true),
        Limit::NoWorseThan { contender: other, .. } => against_other(rule, contender, &study.contenders[other], traits),
    };
    prepared.unwrap_or_else(undecided)
}

/// `at_most`, or `at_least` where `more` is good.
fn against_bound(
    rule: &Rule,
    contender: &Contender,
    traits: Traits,
    bound: f64,
    more: bool,
) -> Result<Prepared, String> {
    books_balance(contender)?;
    let values = values(rule, contender)?;
    if bound <= 0.0 {
        return Ok(exact(contender, &values, bound, more));
    }
    if is_endless(rule, traits) {
        let over = values.iter().filter(|value| if more { **value < bound } else { **value > bound }).count();
        return Ok(open(Shown::Median, sign(over, &values)));
    }
    let logs = if traits.scale == Scale::Log { stats::logs(&values) } else { None };
    let shape = Shape { flipped: more, log: logs.is_some(), paired: false };
    let floor = match traits.scale {
        Scale::Fraction => trials(rule, contender).map_or(0.0, |trials| fraction_floor(bound, trials)),
        Scale::Count => COUNT_FLOOR,
        Scale::Log | Scale::Endless => 0.0,
    };
    let limit = if shape.log { math::ln(bound) } else { bound };
    let test = mean_test(&logs.unwrap_or(values), limit, floor, shape)?;
    Ok(held_by_tail(open(Shown::Mean, test), rule, &[contender]))
}

/// `no_worse_than`, over pairs of runs with the same seed.
fn against_other(rule: &Rule, contender: &Contender, other: &Contender, traits: Traits) -> Result<Prepared, String> {
    books_balance(contender)?;
    books_balance(other)?;
    comparable(contender, other)?;
    let mut runs = contender.runs.iter().zip(&other.runs);
    if runs.all(|(a, b)| !a.digests.outcome.is_empty() && a.digests.outcome == b.digests.outcome) {
        // Known without reading a metric, even one that nobody knows the value of.
        let nothing = vec![0.0; contender.runs.len()];
        let shape = Shape { flipped: false, log: false, paired: true };
        let settled = Some((Verdict::Pass, Some("identical".to_owned())));
        return Ok(Prepared { shown: Shown::Difference, test: mean_test(&nothing, 0.0, 0.0, shape).ok(), settled });
    }
    let (ours, theirs) = (values(rule, contender)?, values(rule, other)?);
    let more = traits.better == Better::Higher;
    let margin = rule.margin(traits.scale);
    if is_endless(rule, traits) {
        return Ok(open(Shown::Median, sign(pairs_over(&ours, &theirs, margin, more), &ours)));
    }
    let ratios = if traits.scale == Scale::Log { stats::log_ratios(&ours, &theirs) } else { None };
    let shape = Shape { flipped: more, log: ratios.is_some(), paired: true };
    let (limit, floor) = match traits.scale {
        Scale::Fraction => {
            let trials = trials(rule, contender).zip(trials(rule, other)).map(|(a, b)| a.min(b));
            (margin, trials.map_or(0.0, |trials| fraction_floor(margin, trials)))
        }
        _ if shape.log => (math::ln_1p(margin), 0.0),
        // Nothing counted on either side is no coarse measurement: it is none at all.
        scale => {
            let nothing = ours.iter().chain(&theirs).all(|value| *value == 0.0);
            let floor = if scale == Scale::Count && !nothing { COUNT_FLOOR } else { 0.0 };
            (margin * stats::mean(&theirs).unwrap_or(0.0), floor)
        }
    };
    let shown = if shape.log { Shown::Change } else { Shown::Difference };
    let differences = ratios.or_else(|| stats::differences(&ours, &theirs)).unwrap_or_default();
    let test = mean_test(&differences, limit, floor, shape)?;
    Ok(held_by_tail(open(shown, test), rule, &[contender, other]))
}

/// No metric is negative, so a bound at zero (or below) is kept in every run or not at all: exact, no statistics.
fn exact(contender: &Contender, values: &[f64], bound: f64, more: bool) -> Prepared {
    let broken = contender.runs.iter().zip(values).find(|(_, value)| !more && **value > bound);
    let settled = match broken {
        None => (Verdict::Pass, None),
        Some((run, value)) => (Verdict::Fail, Some(format!("{} in seed {}", super::rule::number(*value), run.seed))),
    };
    let shape = Shape { flipped: false, log: false, paired: false };
    Prepared { shown: Shown::Mean, test: mean_test(values, bound, 0.0, shape).ok(), settled: Some(settled) }
}

fn mean_test(values: &[f64], limit: f64, floor: f64, shape: Shape) -> Result<Test, String> {
    let turn = |value: f64| if shape.flipped { -value } else { value };
    let turned: Vec<f64> = values.iter().map(|value| turn(*value)).collect();
    let sample = Sample::of(&turned).ok_or_else(|| NO_RUNS.to_owned())?;
    // A margin is on the worse side already; a bound turns with the values.
    let limit = if shape.paired { limit } else { turn(limit) };
    Ok(Test::Mean { sample, limit, floor, shape })
}

fn sign(over: usize, values: &[f64]) -> Test {
    let median = stats::median(values).unwrap_or(f64::NAN);
    Test::Sign { over: over as u64, n: values.len() as u64, median, interval: stats::median_interval(values, 0.05) }
}

/// Pairs in which ours is worse than theirs by more than the margin. Endless on both sides is equal.
fn pairs_over(ours: &[f64], theirs: &[f64], margin: f64, more: bool) -> usize {
    let worse = |(ours, theirs): &(&f64, &f64)| {
        if more { **ours * (1.0 + margin) < **theirs } else { **ours > **theirs * (1.0 + margin) }
    };
    ours.iter().zip(theirs).filter(worse).count()
}

fn is_endless(rule: &Rule, traits: Traits) -> bool {
    traits.scale == Scale::Endless || rule.metric == "latency_max"
}

/// One value a seed.
fn values(rule: &Rule, contender: &Contender) -> Result<Vec<f64>, String> {
    if contender.runs.is_empty() {
        return Err(NO_RUNS.to_owned());
    }
    let value = |run| reading::value(run, &rule.metric, rule.window);
    contender
        .runs
        .iter()
        .map(|run| value(run).ok_or_else(|| format!("unknown for {} in seed {}", contender.name, run.seed)))
        .collect()
}

/// The fewest trials of any run.
fn trials(rule: &Rule, contender: &Contender) -> Option<u64> {
    contender.runs.iter().filter_map(|run| reading::trials(run, &rule.metric, rule.window)).min()
}

fn books_balance(contender: &Contender) -> Result<(), String> {
    match contender.runs.iter().find(|run| reading::imbalance(run).is_some()) {
        None => Ok(()),
        Some(run) => Err(format!("the books of {} do not balance in seed {}", contender.name, run.seed)),
    }
}

/// True pairs share the seed and the whole workload: every call, its demand, every fault.
pub(super) fn comparable(ours: &Contender, theirs: &Contender) -> Result<(), String> {
    let runs = |contender: &Contender| -> Vec<(u64, String)> {
        contender.runs.iter().map(|run| (run.seed, run.digests.workload.clone())).collect()
    };
    pairs(&runs(ours), &runs(theirs))
}

/// Whether runs, given by their seed and the digest of their workload, are true pairs in their order.
///
/// # Errors
/// Why they are not, for people.
pub fn pairs(ours: &[(u64, String)], theirs: &[(u64, String)]) -> Result<(), String> {
    if ours.len() != theirs.len() {
        return Err(format!("not comparable: {} and {} seeds", ours.len(), theirs.len()));
    }
    if ours.is_empty() {
        return Err(NO_RUNS.to_owned());
    }
    for ((ours, our_workload), (theirs, their_workload)) in ours.iter().zip(theirs) {
        if ours != theirs {
            return Err(format!("not comparable: seed {ours} stands against seed {theirs}"));
        }
        if our_workload.is_empty() || their_workload.is_empty() {
            return Err(format!("not comparable: no workload digest for seed {ours}"));
        }
        if our_workload != their_workload {
            return Err(format!("not comparable: the workload digests of seed {ours} differ"));
        }
    }
    Ok(())
}

/// The tail rule: a quantile with fewer calls beyond it is shown and not judged. With 45 in the tail instead of 450,
/// wrong PASSes rise from 1 % to 5-9 %.
fn held_by_tail(prepared: Prepared, rule: &Rule, contenders: &[&Contender]) -> Prepared {
    let short = contenders
        .iter()
        .flat_map(|contender| &contender.runs)
        .filter_map(|run| Some((reading::tail_calls(run, &rule.metric, rule.window)?, run.seed)))
        .find(|(calls, _)| *calls < TAIL_MIN);
    let Some((calls, seed)) = short else { return prepared };
    let reason = format!("too few calls in the tail ({calls} of {TAIL_MIN} beyond the quantile in seed {seed})");
    Prepared { settled: Some((Verdict::Undecided(reason), None)), ..prepared }
}

fn open(shown: Shown, test: Test) -> Prepared {
    Prepared { shown, test: Some(test), settled: None }
}

fn undecided(reason: String) -> Prepared {
    Prepared { shown: Shown::Mean, test: None, settled: Some((Verdict::Undecided(reason), None)) }
}

/// Calls beyond a quantile that make it worth judging.
const TAIL_MIN: u64 = 450;
/// Counts move in steps of one: no standard deviation is known better than half a step.
const COUNT_FLOOR: f64 = 0.5;
const NO_RUNS: &str = "there are no runs";

#[cfg(test)]
mod tests {
    use super::super::gate::judge;
    use super::super::testing::{self, Model};
    use super::*;
    use crate::measure::series::{Series, Window};

    fn first(study: &Study, rule: Rule) -> (Verdict, Option<f64>) {
        let line = judge(study, &[rule]).lines.remove(0);
        (line.verdict, line.value)
    }

    fn rule(metric: &str, limit: Limit) -> Rule {
        Rule { contender: Some(1), metric: metric.into(), window: None, limit, place: String::new() }
    }

    #[test]
    fn a_window_is_judged_by_its_windows() {
        const S: u64 = 1_000_000_000;
        let mut study = testing::study(8, &[Model::BASE, Model::TWIN]);
        let window = |failed| Window { good: 9_000, failed, p99_ns: Some(9_000_000 + failed), ..Window::default() };
        for run in study.contenders.iter_mut().flat_map(|contender| &mut contender.runs) {
            // Half a second of trouble, and then none.
            let windows = (0..20).map(|i| window(if i == 0 { 4_000 + run.seed } else { 0 })).collect();
            run.series = Series { step_ns: S / 2, windows };
        }
        let gate = |metric: &str, window| Rule { window: Some(window), ..rule(metric, Limit::AtMost(0.01)) };
        assert_eq!(first(&study, gate("error_rate", (0, 2 * S))).0, Verdict::Fail);
        assert_eq!(first(&study, gate("error_rate", (S, 10 * S))), (Verdict::Pass, Some(0.0)));
        let slow = |window| Rule { limit: Limit::AtMost(10.0), ..gate("latency_p99", window) };
        assert_eq!(first(&study, slow((S, 10 * S))).0, Verdict::Pass);
        let (verdict, value) = first(&study, slow((S, 2 * S)));
        assert_eq!(
            verdict,
            Verdict::Undecided("too few calls in the tail (180 of 450 beyond the quantile in seed 1)".to_owned())
        );
        assert!((value.unwrap() - 9.0).abs() < 1e-9, "shown nevertheless");
        let (verdict, _) = first(&study, gate("error_rate", (50 * S, 60 * S)));
        assert_eq!(verdict, Verdict::Undecided("unknown for c1 in seed 1".to_owned()));
        // The gate on errors that a gate on latency implies has the same window.
        let limit = Limit::NoWorseThan { contender: 0, margin: None };
        let report = judge(&study, &[Rule { limit, ..gate("latency_p99", (S, 10 * S)) }]);
        assert_eq!((report.lines[1].window, &report.lines[1].verdict), (Some((S, 10 * S)), &Verdict::Pass));
    }

    #[test]
    fn pairs_share_their_fate() {
        let inf = f64::INFINITY;
        let (ours, theirs) = ([1.0, 1.03, inf, inf, 2.0], [1.0, 1.0, inf, 9.0, inf]);
        assert_eq!(pairs_over(&ours, &theirs, 0.025, false), 2, "1.03 and an endless one against 9");
        assert_eq!(pairs_over(&ours, &theirs, 0.05, false), 1);
        assert_eq!(pairs_over(&[0.0], &[0.0], 0.0, false), 0);
        assert_eq!(pairs_over(&[1.0, 0.97], &[1.0, 1.0], 0.025, true), 1);
    }

    #[test]
    fn nobody_recovers_is_no_worse() {
        let never = Model { recovers_ms: Some(f64::INFINITY), ..Model::TWIN };
        let study = testing::study(10, &[never, never]);
        let limit = Limit::NoWorseThan { contender: 0, margin: None };
        assert_eq!(first(&study, rule("time_to_recover", limit)), (Verdict::Pass, Some(f64::INFINITY)));
        let (verdict, _) = first(&study, rule("time_to_recover", Limit::AtLeast(5.0)));
        assert_eq!(verdict, Verdict::Pass, "endless is at least anything");
    }

    #[test]
    fn a_count_has_a_relative_margin() {
        let mut study = testing::study(16, &[Model::BASE, Model::TWIN]);
        let dead = |study: &mut Study, contender: usize, factor: f64| {
            for run in &mut study.contenders[contender].runs {
                run.work.calls_to_dead = ((1_000.0 + (run.seed * 7 % 5) as f64) * factor) as u64;
            }
        };
        let limit = || Limit::NoWorseThan { contender: 0, margin: None };
        dead(&mut study, 0, 1.0);
        dead(&mut study, 1, 1.02);
        assert_eq!(first(&study, rule("calls_to_dead", limit())).0, Verdict::Pass, "2 % more of 1,000");
        dead(&mut study, 1, 1.03);
        assert_eq!(first(&study, rule("calls_to_dead", limit())).0, Verdict::Fail, "3 % more of 1,000");
    }

    #[test]
    fn a_lucky_handful_of_calls_does_not_pass() {
        let calm = |calls| Model { calls, errors: 0.0, ..Model::TWIN };
        let verdicts = |calls| {
            let study = testing::study(10, &[calm(calls), calm(calls)]);
            let against = |limit| matches!(first(&study, rule("error_rate", limit)).0, Verdict::Pass);
            (against(Limit::AtMost(0.001)), against(Limit::NoWorseThan { contender: 0, margin: None }))
        };
        assert_eq!(verdicts(50_000), (true, true));
        assert_eq!(verdicts(200), (false, false), "2,000 calls without an error do not show 1 in 1,000");
    }

    #[test]
    fn unpaired_seeds_are_named() {
        let mut study = testing::study(5, &[Model::BASE, Model::TWIN]);
        assert_eq!(comparable(&study.contenders[0], &study.contenders[1]), Ok(()));
        study.contenders[1].runs[3].seed = 77;
        let found = comparable(&study.contenders[0], &study.contenders[1]);
        assert_eq!(found.unwrap_err(), "not comparable: seed 4 stands against seed 77");
        study.contenders[0].runs[0].digests.workload.clear();
        let found = comparable(&study.contenders[0], &study.contenders[1]);
        assert_eq!(found.unwrap_err(), "not comparable: no workload digest for seed 1");
    }
}
