//! One page that holds a whole comparison: a file that can be mailed, posted, printed and opened years later.
//!
//! It loads nothing and runs nothing (its security policy forbids both), follows the reader's light or dark
//! theme, and has the numbers behind every chart as a table. The order is that of the questions people ask:
//! passed or not, by which rules, who is best at what, why, and on what ground.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart::{self, Chart, Table, catalog};
use super::terminal::fact_parts;
use super::text::{clean, count_of};
use super::{Page, Verdict, digest};
use crate::measure::summary::Facts;

mod appendix;
mod board;

const PAGE: &str = include_str!("page.css");
/// Nothing is loaded and nothing runs; styles stand in the page itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page as one document.
pub fn document(page: &Page<'_>) -> String {
    with_charts(page, &chart::all(page))
}

/// The page, with charts that are drawn already.
pub fn with_charts(page: &Page<'_>, charts: &[Chart]) -> String {
    let facts = &page.study.facts;
    let warnings = super::warning::warnings(page);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "plimsoll " (clean(&facts.version)) };
                title { (clean(&facts.scenario)) " · plimsoll" }
                style { (PreEscaped(chart::THEME)) (PreEscaped(PAGE)) }
            }
            body {
                a class="skip" href="#main" { "Skip to the results" }
                (head(page, warnings.len()))
                (contents(charts))
                main id="main" {
                    (gates(page))
                    (board::scoreboard(page))
                    @for chart in charts { (figure(chart)) }
                    (appendix::appendix(page, charts, &warnings))
                }
                footer { p { "Made by plimsoll " (clean(&facts.version)) ". Equal input gives equal bytes within semantics version " (facts.semantics) "." } }
            }
        }
    };
    markup.into_string()
}

fn head(page: &Page<'_>, warnings: usize) -> Markup {
    let facts = &page.study.facts;
    html! {
        header {
            p class="brand" { "plimsoll" }
            h1 { (clean(&facts.scenario)) }
            @if !facts.question.is_empty() { p class="question" { (clean(&facts.question)) } }
            p class="facts" { @for part in fact_parts(facts) { span { (part) } " " } }
            (verdict(page, warnings))
        }
    }
}

fn verdict(page: &Page<'_>, warnings: usize) -> Markup {
    let facts = &page.study.facts;
    let (class, word) = match page.verdict() {
        Some(Verdict::Pass) => ("pass", "Passed"),
        Some(Verdict::Fail) => ("fail", "Failed"),
        Some(Verdict::Undecided) => ("undecided", "Undecided"),
        None => ("none", "No gates"),
    };
    html! {
        section class={ "verdict " (class) } aria-label="Verdict" {
            p class="word" {
                strong { (word) }
                @if !page.gates.is_empty() { " " a href="#gates" { (gate_counts(page)) } }
                @if warnings > 0 { " " a class="warn" href="#warnings" { (count_of(warnings, "warning", "warnings")) } }
            }
            dl {
                div { dt { "seeds" } dd { (seeds(facts)) } }
                div { dt { "version" } dd { (clean(&facts.version)) " (semantics " (facts.semantics) ")" } }
                div { dt { "digest" } dd { code { (digest(page.study)) } } }
                div class="wide" { dt { "reproduce" } dd { code { (clean(&facts.command)) } } }
            }
        }
    }
}

fn gate_counts(page: &Page<'_>) -> String {
    let of = |verdict| page.gates.iter().filter(|gate| gate.verdict == verdict).count();
    let parts = [(Verdict::Fail, "failed"), (Verdict::Undecided, "undecided"), (Verdict::Pass, "passed")];
    let parts = parts.into_iter().map(|(verdict, word)| (of(verdict), word)).filter(|(n, _)| *n > 0);
    let text: Vec<String> = parts.map(|(n, word)| format!("{n} {word}")).collect();
    format!("{}: {}", count_of(page.gates.len(), "gate", "gates"), text.join(", "))
}

/// `10 (1 … 10)`: runs of neighbours are not listed one by one.
fn seeds(facts: &Facts) -> String {
    let seeds = &facts.seeds;
    let listed = match seeds[..] {
        [] => return "none".to_owned(),
        [first, .., last] if seeds.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1])) => {
            format!("{first} … {last}")
        }
        _ => {
            let shown: Vec<String> = seeds.iter().take(8).map(u64::to_string).collect();
            shown.join(", ") + if seeds.len() > 8 { ", …" } else { "" }
        }
    };
    format!("{} ({listed})", seeds.len())
}

fn contents(charts: &[Chart]) -> Markup {
    html! {
        nav aria-label="Contents" {
            ul {
                li { a href="#gates" { "Gates" } }
                li { a href="#scoreboard" { "Scoreboard" } }
                @for chart in charts { li { a href={ "#" (chart.name) } { (chart.title) } } }
                li { a href="#appendix" { "Appendix" } }
            }
        }
    }
}

fn gates(page: &Page<'_>) -> Markup {
    html! {
        section id="gates" {
            h2 { "Gates" }
            @if page.gates.is_empty() {
                p { "This scenario has no gates: nothing was judged, and nothing passed." }
            } @else {
                (scroll("Gates", html! {
                    table class="gates" {
                        thead { tr { th scope="col" { "verdict" } th scope="col" { "contender" } th scope="col" { "metric" }
                            th scope="col" { "limit" } th scope="col" class="n" { "measured" } th scope="col" { "interval" } th scope="col" class="n" { "seeds" } } }
                        tbody { @for gate in page.gates { tr {
                            td { span class={ "badge " (gate.verdict.text()) } { (gate.verdict.text()) } }
                            td { (clean(&gate.contender)) }
                            td title=(clean(&gate.rule)) { (metric_link(&gate.metric)) }
                            td { (clean(&gate.limit)) @if !gate.remark.is_empty() { span class="remark" { (clean(&gate.remark)) } } }
                            td class="n" { (clean(&gate.value)) }
                            td { (clean(&gate.interval)) }
                            td class="n" { (gate.seeds) }
                        } } }
                    }
                }))
                p class="note" { "An undecided gate is not a pass: the seeds did not suffice to tell." }
            }
        }
    }
}

/// The key of a metric, as a link to the chart that explains it.
fn metric_link(key: &str) -> Markup {
    match catalog::explaining(key) {
        Some(row) => html! { a href={ "#" (row.name) } { code { (clean(key)) } } },
        None => html! { code { (clean(key)) } },
    }
}

fn figure(chart: &Chart) -> Markup {
    html! {
        section id=(chart.name) class="chartbox" {
            h2 { (chart.title) }
            p class="read" { (chart.read) }
            (scroll(chart.title, PreEscaped(chart.inline())))
            p class="note" { @for note in &chart.notes { (note) " " } a href={ "charts/" (chart.name) ".svg" } { "SVG" } }
            @if !chart.table.rows.is_empty() {
                details { summary { "Numbers behind this chart" } (table(&chart.table)) }
            }
        }
    }
}

fn table(table: &Table) -> Markup {
    scroll(
        &table.caption,
        html! {
            table class="numbers" {
                caption { (table.caption) }
                thead { tr { @for cell in &table.head { th scope="col" { (cell) } } } }
                tbody { @for row in &table.rows { tr { @for cell in row { td { (cell) } } } } }
            }
        },
    )
}

/// What is wider than the window scrolls by itself, with the keyboard too.
fn scroll(label: &str, inside: Markup) -> Markup {
    html! { div class="scroll" tabindex="0" role="region" aria-label=(label) { (inside) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::catalog::METRICS;
    use crate::measure::summary::Study;
    use crate::report::sample;

    fn shown(study: &Study) -> String {
        let comparisons = sample::comparisons(study);
        document(&sample::page(study, &comparisons, &sample::gates()))
    }

    #[test]
    fn loads_and_runs_nothing() {
        for study in [sample::study(3, 4, 12), sample::hostile(), sample::torn(), sample::empty()] {
            let page = shown(&study);
            for banned in [
                "<script",
                "<link",
                "<img",
                "<iframe",
                "<object",
                " src=\"",
                "@import",
                "url(",
                "href=\"http",
                "NaN",
                "<em>",
                "<svg onload",
            ] {
                assert!(!page.contains(banned), "{banned}");
            }
            assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
            for hidden in ['\u{202e}', '\u{1b}', '\u{0}', '\u{200b}', '\u{7}'] {
                assert!(!page.contains(hidden), "{hidden:?}");
            }
        }
        // Addresses stand in text of others only, never in an attribute.
        let calm = shown(&sample::study(3, 4, 12));
        assert!(!calm.contains("http://") && !calm.contains("https://"));
    }

    #[test]
    fn tags_are_balanced() {
        for study in [sample::study(3, 4, 12), sample::hostile(), sample::torn(), sample::empty(), sample::calm()] {
            let page = shown(&study);
            for tag in
                ["table", "tr", "td", "th", "div", "section", "svg", "g", "text", "details", "ul", "li", "a", "p"]
            {
                let open = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
                assert_eq!(open, page.matches(&format!("</{tag}>")).count(), "{tag}");
            }
        }
    }

    #[test]
    fn says_everything_that_it_must() {
        let study = sample::study(3, 4, 12);
        let page = shown(&study);
        for metric in METRICS {
            assert!(page.contains(&format!("<code>{}</code>", metric.key)), "{} is not defined", metric.key);
        }
        for needle in [
            "Failed",
            "3 gates: 1 failed, 1 undecided, 1 passed",
            &digest(&study),
            "plimsoll run scenarios/outage",
            "summary.csv",
            "No counted call ended well",
        ] {
            assert!(page.contains(needle), "{needle}");
        }
        assert!(page.contains("&lt;&amp;&gt;"), "the plan is shown escaped");
        assert_eq!(page.matches("<h1").count(), 1);
        for id in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(page.contains(&format!("id=\"{id}\"")), "a link to {id} leads nowhere");
        }
    }

    #[test]
    fn stays_small_with_a_large_fleet() {
        let study = sample::study(12, 3, 200);
        let page = shown(&study);
        assert!(page.len() < 1_500_000, "{} bytes", page.len());
        assert_eq!(page, shown(&sample::study(12, 3, 200)), "equal input, equal bytes");
        let page = shown(&sample::restless());
        assert!(page.len() < 1_500_000, "{} bytes", page.len());
    }

    #[test]
    fn seeds_are_listed_briefly() {
        let of = |list: &[u64]| seeds(&Facts { seeds: list.to_vec(), ..Facts::default() });
        assert_eq!(of(&[1, 2, 3]), "3 (1 … 3)");
        assert_eq!(of(&[7]), "1 (7)");
        assert_eq!(of(&[1, 5]), "2 (1, 5)");
        assert_eq!(of(&[]), "none");
    }
}
