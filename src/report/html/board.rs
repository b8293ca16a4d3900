//! The scoreboard: contenders × metrics, differences and ties.

use maud::{Markup, html};

use super::scroll;
use crate::measure::catalog::{Better, Scale};
use crate::measure::summary::Contender;
use crate::report::Page;
use crate::report::chart::panels::hue;
use crate::report::number::{UNKNOWN, bare, difference, estimate, shown_unit};
use crate::report::score::{Cell, Column, Delta, Standing, all, wide};
use crate::report::text::{clean, count_of};

/// The table of the main metrics, what its signs mean, and the table of all metrics behind it.
pub fn scoreboard(page: &Page<'_>) -> Markup {
    let columns = wide(page);
    let everything = all(page);
    html! {
        section id="scoreboard" {
            h2 { "Scoreboard" }
            @if page.study.contenders.is_empty() {
                p { "There are no contenders." }
            } @else {
                (scroll("Scoreboard", by_contender(page, &columns)))
                (legend(page, &columns))
                details {
                    summary { "All metrics" }
                    (scroll("All metrics", by_metric(page, &everything)))
                }
            }
        }
    }
}

fn by_contender(page: &Page<'_>, columns: &[Column]) -> Markup {
    html! {
        table class="board" {
            thead { tr {
                th scope="col" { "contender" }
                @for column in columns { th scope="col" class="n" title=(column.metric.about) { (heading(column)) } }
            } }
            tbody { @for (i, contender) in page.study.contenders.iter().enumerate() { tr {
                th scope="row" { (name(page, i, contender)) @if !contender.about.is_empty() { span class="about" { (breakable(&contender.about)) } } }
                @for column in columns { (cell(column, &column.cells[i])) }
            } } }
        }
    }
}

fn by_metric(page: &Page<'_>, columns: &[Column]) -> Markup {
    html! {
        table class="board" {
            thead { tr {
                th scope="col" { "metric" }
                @for (i, contender) in page.study.contenders.iter().enumerate() { th scope="col" class="n" { (name(page, i, contender)) } }
            } }
            tbody { @for column in columns { tr {
                th scope="row" { (heading(column)) }
                @for shown in &column.cells { (cell(column, shown)) }
            } } }
        }
    }
}

/// A name with the colour it has in charts, and what it is besides.
fn name(page: &Page<'_>, i: usize, contender: &Contender) -> Markup {
    html! {
        span class="name" {
            span class={ "swatch k" (&hue(i)[1..]) } aria-hidden="true" {}
            (breakable(&contender.name))
            @if i == page.study.facts.baseline { " " span class="tag" { "baseline" } }
            @if contender.oracle { " " span class="tag" { "oracle" } }
        }
    }
}

/// Text of long words that may be broken where its parts meet.
fn breakable(text: &str) -> Markup {
    html! { @for part in clean(text).split_inclusive(['_', '-', '(', ',', '=']) { (part) wbr; } }
}

fn heading(column: &Column) -> Markup {
    let (_, unit) = shown_unit(column.metric);
    let arrow = match column.metric.better {
        Better::Lower => " ↓",
        Better::Higher => " ↑",
        Better::Neither => "",
    };
    html! { (column.metric.title) span class="unit" { (unit) (arrow) } }
}

fn cell(column: &Column, cell: &Cell) -> Markup {
    let Some(value) = cell.value else {
        return html! { td class="n unknown" { span class="v" { (UNKNOWN) } span class="d" { "unknown" } } };
    };
    let symmetric = cell.interval.filter(|_| column.metric.scale != Scale::Endless);
    let (text, half) = match symmetric.map(|interval| estimate(column.metric, value, interval)) {
        Some((text, half)) => (text, Some(half)),
        None => (bare(column.metric, value), None),
    };
    html! {
        td class={ "n " (tone(cell)) } {
            span class="v" {
                @if cell.best { span class="best" title="best, or not told apart from it" { "★" } b { (text) } }
                @else { (text) }
                @if cell.thin { span class="thin" title="fewer than 450 values beyond the quantile in a run" { "†" } }
                @if let Some(half) = half { small { " ±" (half) } }
            }
            @if let Some((low, high)) = cell.interval.filter(|(low, _)| column.metric.scale == Scale::Endless && low.is_finite()) {
                span class="d" { small { "[" (bare(column.metric, low)) ", " (bare(column.metric, high)) "]" } }
            }
            @if let Some(delta) = &cell.delta { (delta_line(column, delta)) }
            @if cell.endless > 0 && value.is_finite() { span class="d" { "never in " (cell.endless) " of " (cell.runs) } }
        }
    }
}

fn tone(cell: &Cell) -> &'static str {
    match cell.delta.map(|delta| delta.standing) {
        Some(Standing::Better) => "better",
        Some(Standing::Worse) => "worse",
        Some(Standing::Tie) => "tie",
        _ => "",
    }
}

fn delta_line(column: &Column, delta: &Delta) -> Markup {
    let text = |value: f64| difference(column.metric, value, delta.relative);
    let sign = match delta.standing {
        Standing::Better => "better",
        Standing::Worse => "worse",
        Standing::Different => "different",
        Standing::Tie => "tie",
        Standing::Unjudged => "unjudged",
    };
    html! {
        span class="d" title=(sign) {
            @match delta.standing {
                Standing::Tie | Standing::Unjudged if delta.value == 0.0 => { "=" },
                Standing::Tie => { "~ " (text(delta.value)) },
                Standing::Unjudged => { "? " (text(delta.value)) },
                _ => { b { (text(delta.value)) } },
            }
            @if let Some((low, high)) = delta.interval.filter(|ends| *ends != (0.0, 0.0)) { small { " [" (naked(&text(low))) ", " (naked(&text(high))) "]" } }
        }
    }
}

/// Without the unit, which stands beside the difference itself.
fn naked(text: &str) -> &str {
    text.split(' ').next().unwrap_or(text)
}

fn legend(page: &Page<'_>, columns: &[Column]) -> Markup {
    let cells = || columns.iter().flat_map(|column| &column.cells);
    let any = |standing| cells().any(|cell| cell.delta.is_some_and(|delta| delta.standing == standing));
    let seeds = count_of(page.study.facts.seeds.len(), "seed", "seeds");
    let baseline = page.study.contenders.get(page.study.facts.baseline);
    let medians = columns.iter().any(|column| column.metric.scale == Scale::Endless);
    html! {
        p class="note" {
            "Means over " (seeds) @if cells().any(|cell| cell.interval.is_some()) { ", ± half the 95 % interval" } ". "
            @if let Some(baseline) = baseline { "Below: the difference to " (clean(&baseline.name)) " on the same seeds" @if cells().any(|cell| cell.delta.is_some_and(|delta| delta.interval.is_some())) { ", with an interval that holds for all of them at once" } ". " }
            @if any(Standing::Better) || any(Standing::Worse) { "Coloured is what the seeds separate from it. " }
            @if any(Standing::Tie) { "~ is a tie: not separated by " (seeds) ". " }
            @if any(Standing::Unjudged) { "? could not be judged. " }
            @if cells().any(|cell| cell.best) { "★ is best, or not told apart from the best. " }
            @if cells().any(|cell| cell.thin) { "† has fewer than 450 values beyond the quantile in some run. " }
            @if medians { "Times to detect and to recover are medians, with an interval from six seeds on. " }
            "↓ less is better, ↑ more is better."
        }
    }
}
