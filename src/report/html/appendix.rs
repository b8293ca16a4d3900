//! What the numbers rest on: warnings, definitions, the plan, the digests and the files.

use maud::{Markup, html};

use super::scroll;
use crate::base::status::Cause;
use crate::measure::catalog::{Better, ERROR_RATE_BY_CAUSE, METRICS, SHARE};
use crate::report::Page;
use crate::report::chart::Chart;
use crate::report::text::{clean, clean_lines};

/// Runs whose digests are listed; `run.json` has them all.
const DIGESTS_LISTED: usize = 400;

/// The last section of a page.
pub fn appendix(page: &Page<'_>, charts: &[Chart], warnings: &[String]) -> Markup {
    html! {
        section id="appendix" {
            h2 { "Appendix" }
            h3 id="warnings" { "Warnings" }
            @if warnings.is_empty() { p { "None." } }
            @else { ul class="warnings" { @for warning in warnings { li { (warning) } } } }
            h3 { "Files" }
            (files(charts))
            details { summary { "What the metrics mean" } (definitions()) }
            details { summary { "The resolved plan" } (scroll("The resolved plan", html! { pre { (clean_lines(page.plan_json)) } })) }
            details { summary { "Digests of the runs" } (digests(page)) }
        }
    }
}

fn files(charts: &[Chart]) -> Markup {
    html! {
        ul class="files" {
            @for (name, what) in FILES { li { a href=(name) { (name) } " – " (what) } }
            @for chart in charts {
                li { a href={ "charts/" (chart.name) ".svg" } { "charts/" (chart.name) ".svg" } " – " (chart.title) }
            }
        }
    }
}

const FILES: [(&str, &str); 4] = [
    ("summary.csv", "every metric of every run, means and intervals"),
    ("series.csv", "values per window of virtual time"),
    ("backends.csv", "attempts, failures and load of every backend"),
    ("run.json", "version, resolved plan, seeds, digests and verdicts"),
];

fn definitions() -> Markup {
    scroll(
        "What the metrics mean",
        html! {
            table class="defs" {
                thead { tr { th scope="col" { "key" } th scope="col" { "name" } th scope="col" { "unit" } th scope="col" { "better" } th scope="col" { "meaning" } } }
                tbody {
                    @for metric in METRICS { tr {
                        td { code { (metric.key) } }
                        td { (metric.title) }
                        td { (metric.unit.text()) }
                        td { @match metric.better { Better::Lower => "lower", Better::Higher => "higher", Better::Neither => "–" } }
                        td { (metric.about) }
                    } }
                    tr {
                        td { code { (ERROR_RATE_BY_CAUSE) "<cause>" } }
                        td { "Error rate by cause" } td { "ratio" } td { "lower" }
                        td { "The error rate split by what ended the call: " (Cause::ALL.map(Cause::name).join(", ")) "." }
                    }
                    tr {
                        td { code { (SHARE.key) } } td { (SHARE.title) } td { (SHARE.unit.text()) } td { "–" } td { (SHARE.about) }
                    }
                }
            }
        },
    )
}

fn digests(page: &Page<'_>) -> Markup {
    let runs =
        page.study.contenders.iter().flat_map(|contender| contender.runs.iter().map(move |run| (contender, run)));
    let count: usize = page.study.contenders.iter().map(|contender| contender.runs.len()).sum();
    html! {
        (scroll("Digests of the runs", html! {
            table class="digests" {
                thead { tr { th scope="col" { "contender" } th scope="col" class="n" { "seed" } th scope="col" { "workload" } th scope="col" { "outcome" } th scope="col" { "run" } } }
                tbody { @for (contender, run) in runs.take(DIGESTS_LISTED) { tr {
                    td { (clean(&contender.name)) }
                    td class="n" { (run.seed) }
                    @for digest in [&run.digests.workload, &run.digests.outcome, &run.digests.run] { td { code { (clean(digest)) } } }
                } } }
            }
        }))
        @if count > DIGESTS_LISTED { p class="note" { "The other " (count - DIGESTS_LISTED) " runs stand in run.json." } }
    }
}
