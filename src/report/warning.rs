//! What a reader must know before believing the numbers. Each warning is a sentence, and none is a verdict.

use super::Page;
use super::score::all;
use super::text::{clean, count_of};
use crate::measure::summary::{Study, Summary};

/// All warnings of a page, the gravest first.
pub fn warnings(page: &Page<'_>) -> Vec<String> {
    let study = page.study;
    let mut out = Vec::new();
    out.extend(unbalanced(study));
    out.extend(unpaired(study));
    out.extend(missing_runs(study));
    out.extend(nothing_went_well(study));
    out.extend(thin_tails(page));
    out.extend(few_seeds(study));
    out.extend(unfinished(study));
    out.extend(ties(study));
    out.extend(oracles(study));
    out
}

/// `contender (seeds 1, 3)` for all runs of which `is` holds; empty if there are none.
fn runs_where(study: &Study, is: impl Fn(&Summary) -> bool) -> String {
    let mut parts = Vec::new();
    for contender in &study.contenders {
        let seeds: Vec<String> = contender.runs.iter().filter(|run| is(run)).map(|run| run.seed.to_string()).collect();
        if seeds.len() == contender.runs.len() && seeds.len() > 1 {
            parts.push(clean(&contender.name));
        } else if !seeds.is_empty() {
            let shown = seeds.iter().take(6).cloned().collect::<Vec<_>>().join(", ");
            let more = if seeds.len() > 6 { ", …" } else { "" };
            let word = if seeds.len() == 1 { "seed" } else { "seeds" };
            parts.push(format!("{} ({word} {shown}{more})", clean(&contender.name)));
        }
    }
    parts.join(", ")
}

fn sentence(runs: String, text: &str) -> Option<String> {
    (!runs.is_empty()).then(|| format!("{text}: {runs}."))
}

fn unbalanced(study: &Study) -> Option<String> {
    let runs = runs_where(study, |run| {
        let sum = &run.accounting;
        sum.scheduled != sum.ended + sum.unfinished || sum.sojourn_sum_ns != sum.in_flight_area_ns
    });
    sentence(runs, "The books of these runs do not balance, so no number of theirs can be trusted")
}

fn unpaired(study: &Study) -> Option<String> {
    let baseline = study.contenders.get(study.facts.baseline)?;
    let runs = runs_where(study, |run| {
        let same = baseline.runs.iter().find(|base| base.seed == run.seed);
        same.is_some_and(|base| base.digests.workload != run.digests.workload)
    });
    sentence(runs, "These runs saw another workload than the baseline's run of the same seed; they are not comparable")
}

fn missing_runs(study: &Study) -> Option<String> {
    let short = study.contenders.iter().filter(|contender| contender.runs.len() != study.facts.seeds.len());
    let parts: Vec<String> =
        short.map(|c| format!("{} ({} of {})", clean(&c.name), c.runs.len(), study.facts.seeds.len())).collect();
    sentence(parts.join(", "), "Not every seed was run for these")
}

fn nothing_went_well(study: &Study) -> Option<String> {
    let runs = runs_where(study, |run| run.outcomes.calls > 0 && run.outcomes.ok == 0);
    sentence(runs, "No counted call ended well, so latency is unknown (not zero) in these runs")
}

fn thin_tails(page: &Page<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for column in all(page) {
        let names: Vec<String> = column
            .cells
            .iter()
            .zip(&page.study.contenders)
            .filter(|(cell, _)| cell.thin)
            .map(|(_, c)| clean(&c.name))
            .collect();
        out.extend(sentence(
            names.join(", "),
            &format!(
                "{} has fewer than 450 values beyond it in some run, so it is shown but not judged (†)",
                column.metric.title
            ),
        ));
    }
    out
}

fn few_seeds(study: &Study) -> Option<String> {
    match study.facts.seeds.len() {
        0 => None,
        1 => Some("One seed is one sample: there are no intervals, and differences cannot be judged.".to_owned()),
        n if n < 5 => Some(format!("With {n} seeds intervals are wide, and little can be told apart.")),
        _ => None,
    }
}

fn unfinished(study: &Study) -> Option<String> {
    let calls: u64 = study.contenders.iter().flat_map(|c| &c.runs).map(|run| run.accounting.unfinished).sum();
    let runs = runs_where(study, |run| run.accounting.unfinished > 0);
    let calls = count_of(calls as usize, "call was", "calls were");
    sentence(runs, &format!("{calls} still open when the run was over; those that are counted are errors"))
}

fn ties(study: &Study) -> Option<String> {
    let runs = runs_where(study, |run| run.accounting.ties > 0);
    sentence(runs, "The order of some simultaneous events was decided by insertion alone")
}

fn oracles(study: &Study) -> Option<String> {
    let names: Vec<String> = study.contenders.iter().filter(|c| c.oracle).map(|c| clean(&c.name)).collect();
    sentence(names.join(", "), "An oracle sees what no client can see; it shows what would be possible")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn of(study: &Study) -> String {
        warnings(&sample::page(study, &[], &[])).join("\n")
    }

    #[test]
    fn a_sound_study_has_no_warning() {
        let mut study = sample::study(2, 10, 6);
        for run in study.contenders.iter_mut().flat_map(|contender| &mut contender.runs) {
            run.latency.count = 1_000_000;
            run.latency_all.count = 1_000_000;
        }
        assert_eq!(of(&study), "");
    }

    #[test]
    fn every_flaw_is_named_with_its_seeds() {
        let mut study = sample::study(3, 3, 6);
        study.contenders[1].runs[2].accounting.ended -= 1;
        study.contenders[1].runs[0].digests.workload.push('x');
        study.contenders[0].runs.pop();
        study.contenders[1].runs[1].latency.count = 40_000;
        let text = of(&study);
        for needle in [
            "do not balance, so no number of theirs can be trusted: nearest_first (seed 3).",
            "not comparable: nearest_first (seed 1).",
            "Not every seed was run for these: round_robin (2 of 3).",
            "latency is unknown (not zero) in these runs: blind_faith.",
            "p99 has fewer than 450 values beyond it in some run, so it is shown but not judged (†): nearest_first.",
            "With 3 seeds",
        ] {
            assert!(text.contains(needle), "{needle:?} is missing in\n{text}");
        }
    }
}
