//! Two report folders side by side: every contender and metric that both have, and the names that only one has.

use serde_json::{Value, json};

use super::number::{UNKNOWN, difference, short, with_unit};
use super::recorded::{Recorded, RecordedContender};
use super::terminal::{BOLD, DIM, GREEN, Lines, PLAIN, RED};
use super::text::{clean, count_of, wrap};
use crate::base::status::Cause;
use crate::judge::{Across, Both, across, pairs};
use crate::measure::catalog::{ERROR_RATE_BY_CAUSE, METRICS, Metric, SHARE_BY_GROUP, like};

/// The comparison of two folders.
#[derive(Debug)]
pub struct Beside<'a> {
    before: &'a Recorded,
    after: &'a Recorded,
    contenders: Vec<Shared>,
    /// What only one side has, such as `contender p2c` or `metric mood`.
    only_before: Vec<String>,
    only_after: Vec<String>,
}

/// A contender that both sides have.
#[derive(Debug)]
struct Shared {
    name: String,
    /// Why its runs are no pairs, if they are not.
    unpaired: Option<String>,
    /// True if every call of every run ended alike.
    identical: bool,
    rows: Vec<(String, Across)>,
}

impl<'a> Beside<'a> {
    /// Compares: what changed from `before` to `after`.
    pub fn new(before: &'a Recorded, after: &'a Recorded) -> Beside<'a> {
        let shared: Vec<(&RecordedContender, &RecordedContender)> =
            before.contenders.iter().filter_map(|a| Some((a, named(after, &a.name)?))).collect();
        let tables: Vec<(Shared, Vec<Both>)> = shared.iter().map(|(a, b)| table(a, b)).collect();
        // One table over all contenders: the more is compared, the stricter each comparison.
        let whole: Vec<Both> = tables.iter().flat_map(|(_, table)| table.iter().cloned()).collect();
        let mut found = across(&whole).into_iter();
        let filled = tables.into_iter().map(|(shared, table)| {
            let rows = table.into_iter().map(|both| both.metric).zip(found.by_ref()).collect();
            Shared { rows, ..shared }
        });
        let contenders = filled.collect();
        let (only_before, only_after) = (only_in(before, after), only_in(after, before));
        Beside { before, after, contenders, only_before, only_after }
    }

    /// For people, in lines of about `width` characters.
    pub fn text(&self, width: usize, colour: bool) -> String {
        let mut out = Lines::new(colour);
        for (mark, side) in [("A", self.before), ("B", self.after)] {
            out.put(BOLD, mark);
            out.line(PLAIN, &format!("  {}", head(side)));
        }
        for shared in &self.contenders {
            out.end();
            shared.show(&mut out, width);
        }
        for (mark, only) in [("A", &self.only_before), ("B", &self.only_after)] {
            if !only.is_empty() {
                out.end();
                wrap(&format!("only in {mark}: {}", clean(&only.join(", "))), width)
                    .iter()
                    .for_each(|line| out.line(PLAIN, line));
            }
        }
        out.end();
        let legend = "B against A. Intervals hold for the whole table together at 95 %; ~ not separated by these seeds; \
                      ? not judged, because runs are no pairs, too few or without a value";
        wrap(legend, width).iter().for_each(|line| out.line(DIM, line));
        out.text()
    }

    /// For programs. Endless values are the text `inf`, unknown ones null.
    pub fn json(&self) -> Value {
        let side = |side: &Recorded| {
            json!({
                "folder": side.folder.display().to_string(),
                "scenario": side.scenario,
                "version": side.version,
                "semantics": side.semantics,
                "seeds": side.seeds,
            })
        };
        json!({
            "format": 1,
            "a": side(self.before),
            "b": side(self.after),
            "contenders": self.contenders.iter().map(Shared::json).collect::<Vec<_>>(),
            "only_in_a": self.only_before,
            "only_in_b": self.only_after,
        })
    }
}

fn head(side: &Recorded) -> String {
    let Recorded { folder, scenario, version, semantics, seeds, .. } = side;
    let seeds = count_of(seeds.len(), "seed", "seeds");
    clean(&format!("{} · {scenario} · plimsoll {version}, semantics {semantics} · {seeds}", folder.display()))
}

impl Shared {
    fn show(&self, out: &mut Lines, width: usize) {
        out.put(BOLD, &clean(&self.name));
        if self.identical {
            return out.line(PLAIN, ": identical, every call of every run ended alike");
        }
        out.end();
        if let Some(reason) = &self.unpaired {
            wrap(&format!("{reason}: means only"), width).iter().for_each(|line| out.line(DIM, line));
        }
        for (key, found) in self.rows.iter().filter(|(_, found)| found.before.is_some() || found.after.is_some()) {
            let metric = like(key);
            let value = |value: Option<f64>| value.map_or(UNKNOWN.to_owned(), |value| shown(metric, value));
            out.put(PLAIN, &format!("  {key:<24} {:>12} {:>12}  ", value(found.before), value(found.after)));
            let style = match found.better {
                Some(true) => GREEN,
                Some(false) => RED,
                None => DIM,
            };
            out.line(style, &change(metric, found));
        }
    }

    fn json(&self) -> Value {
        let number = |value: Option<f64>| match value {
            Some(value) if value.is_infinite() => json!(if value > 0.0 { "inf" } else { "-inf" }),
            value => json!(value),
        };
        let row = |(metric, found): &(String, Across)| {
            json!({
                "metric": metric,
                "unit": like(metric).map(|metric| metric.unit.text()),
                "a": number(found.before),
                "b": number(found.after),
                "delta": number(found.delta),
                "relative": found.relative,
                "interval": found.interval.map(|ends| [number(Some(ends.low)), number(Some(ends.high))]),
                "separated": found.separated,
                "better": found.better,
            })
        };
        json!({
            "name": self.name,
            "paired": self.unpaired.is_none(),
            "unpaired_because": self.unpaired,
            "identical": self.identical,
            "metrics": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

/// `+5.1 % [+4.8 %, +5.4 %] worse`, with a mark where nothing is sure.
fn change(metric: Option<&Metric>, found: &Across) -> String {
    let equal = found.before.is_some() && found.before == found.after;
    let Some(delta) = found.delta else { return if equal { "=" } else { "?" }.to_owned() };
    let text = |value: f64| match metric {
        Some(metric) if value.is_finite() => difference(metric, value, found.relative),
        _ => short(value),
    };
    let mark = match (found.separated, delta == 0.0) {
        (_, true) => return "=".to_owned(),
        (Some(true), _) => "",
        (Some(false), _) => "~ ",
        (None, _) => "? ",
    };
    let interval = found.interval.map_or(String::new(), |ends| format!(" [{}, {}]", text(ends.low), text(ends.high)));
    let word = match found.better {
        Some(true) => " better",
        Some(false) => " worse",
        None => "",
    };
    format!("{mark}{}{interval}{word}", text(delta))
}

fn shown(metric: Option<&Metric>, value: f64) -> String {
    metric.map_or(short(value), |metric| with_unit(metric, value))
}

fn named<'a>(side: &'a Recorded, name: &str) -> Option<&'a RecordedContender> {
    side.contenders.iter().find(|contender| contender.name == name)
}

/// A contender of both sides, and its metrics in the order of the catalogue, those from elsewhere last.
fn table(before: &RecordedContender, after: &RecordedContender) -> (Shared, Vec<Both>) {
    let words = |side: &RecordedContender, read: fn(&super::recorded::RecordedRun) -> &String| {
        side.runs.iter().map(|run| (run.seed, read(run).clone())).collect::<Vec<_>>()
    };
    let unpaired = pairs(&words(before, |run| &run.workload), &words(after, |run| &run.workload)).err();
    let outcomes = [before, after].map(|side| words(side, |run| &run.outcome));
    let known = outcomes[0].iter().all(|(_, outcome)| !outcome.is_empty());
    let both = |metric: &String| Both {
        metric: metric.clone(),
        before: column(before, metric),
        after: column(after, metric),
        paired: unpaired.is_none(),
        calls: calls(before).min(calls(after)),
    };
    let rows = metrics(before, after).iter().map(both).collect();
    let identical = unpaired.is_none() && known && outcomes[0] == outcomes[1];
    (Shared { name: before.name.clone(), unpaired, identical, rows: Vec::new() }, rows)
}

/// The metrics of both sides. The parts of the error rate that only one side has are zero on the other.
fn metrics(before: &RecordedContender, after: &RecordedContender) -> Vec<String> {
    let has = |side: &RecordedContender, key: &str| side.runs.iter().any(|run| run.values.contains_key(key));
    let in_both = |key: &str| has(before, key) && has(after, key);
    let mut keys = Vec::new();
    for metric in METRICS.iter().filter(|metric| in_both(metric.key)) {
        keys.push(metric.key.to_owned());
        if metric.key == "error_rate" {
            let parts = Cause::ALL.map(|cause| format!("{ERROR_RATE_BY_CAUSE}{}", cause.name()));
            keys.extend(parts.into_iter().filter(|key| has(before, key) || has(after, key)));
        }
    }
    let listed = |key: &str| like(key).is_some() && !key.starts_with(SHARE_BY_GROUP);
    let own = before.runs.iter().flat_map(|run| run.values.keys()).filter(|key| !listed(key));
    let mut own: Vec<String> = own.filter(|key| in_both(key)).cloned().collect();
    own.sort();
    own.dedup();
    keys.extend(own);
    keys
}

fn column(side: &RecordedContender, metric: &str) -> Vec<Option<f64>> {
    let absent = metric.starts_with(ERROR_RATE_BY_CAUSE).then_some(0.0);
    side.runs.iter().map(|run| run.values.get(metric).copied().unwrap_or(absent)).collect()
}

/// The fewest calls of a run.
fn calls(side: &RecordedContender) -> u64 {
    let calls = side.runs.iter().filter_map(|run| run.values.get("calls").copied().flatten());
    calls.map(|calls| calls as u64).min().unwrap_or(0)
}

/// Names of contenders and metrics that one side has and the other has not.
fn only_in(side: &Recorded, other: &Recorded) -> Vec<String> {
    let keys = |side: &Recorded| -> std::collections::BTreeSet<String> {
        let runs = side.contenders.iter().flat_map(|contender| &contender.runs);
        let keys = runs.flat_map(|run| run.values.keys());
        keys.filter(|key| !key.starts_with(ERROR_RATE_BY_CAUSE)).cloned().collect()
    };
    let contenders = side.contenders.iter().filter(|contender| named(other, &contender.name).is_none());
    let mut only: Vec<String> = contenders.map(|contender| format!("contender {}", contender.name)).collect();
    only.extend(keys(side).difference(&keys(other)).map(|key| format!("metric {key}")));
    only
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{csv, recorded, sample};
    use std::path::Path;

    /// A folder as a run would write it, as far as it is read back.
    fn folder(dir: &Path, name: &str, study: &crate::measure::summary::Study) -> Recorded {
        let folder = dir.join(name);
        std::fs::create_dir_all(&folder).expect("it can be made");
        std::fs::write(folder.join("summary.csv"), csv::summary_csv(study)).expect("it can be written");
        let run = |run: &crate::measure::summary::Summary| json!({ "seed": run.seed, "workload": run.digests.workload, "outcome": run.digests.outcome });
        let contenders: Vec<Value> = study
            .contenders
            .iter()
            .map(|contender| json!({ "name": contender.name, "runs": contender.runs.iter().map(run).collect::<Vec<_>>() }))
            .collect();
        let document = json!({ "format": 1, "version": "0", "semantics": 1, "scenario": study.facts.scenario,
                               "seeds": study.facts.seeds, "contenders": contenders });
        std::fs::write(folder.join("run.json"), document.to_string()).expect("it can be written");
        recorded::read(&folder).expect("it can be read")
    }

    /// With digests, so that runs are pairs.
    fn study() -> crate::measure::summary::Study {
        let mut study = sample::study(3, 8, 12);
        for (at, contender) in study.contenders.iter_mut().enumerate() {
            for run in &mut contender.runs {
                run.digests.workload = format!("calls of {}", run.seed);
                run.digests.outcome = format!("ends of {at} with {}", run.seed);
            }
        }
        study
    }

    #[test]
    fn a_folder_is_identical_to_itself() {
        let dir = tempfile::tempdir().expect("a folder");
        let one = folder(dir.path(), "one", &study());
        let found = Beside::new(&one, &one);
        assert!(found.contenders.iter().all(|shared| shared.identical && shared.unpaired.is_none()));
        let text = found.text(100, false);
        assert_eq!(text.matches(": identical").count(), 3, "{text}");
        assert!(found.only_before.is_empty() && found.only_after.is_empty());
        let p99 = found.contenders[0].rows.iter().find(|(key, _)| key == "latency_p99").expect("it is there");
        let values: Vec<f64> =
            study().contenders[0].runs.iter().map(|run| run.latency.quantile_ns(0.99).unwrap() as f64 / 1e6).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!((p99.1.before.unwrap() - mean).abs() < 1e-6, "what was written is read");
    }

    #[test]
    fn what_changed_is_told_and_what_is_missing_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let (old, mut new) = (study(), study());
        for (i, run) in new.contenders[0].runs.iter_mut().enumerate() {
            run.digests.outcome.push('!');
            // Twice as slow, give or take a little.
            run.latency.quantiles.iter_mut().for_each(|(_, ns)| *ns = 2 * *ns + i as u64 * 10_000);
        }
        new.contenders[1].runs[2].digests.workload.push('!');
        new.contenders[2].name = "newcomer".into();
        let (old, new) = (folder(dir.path(), "old", &old), folder(dir.path(), "new", &new));
        let found = Beside::new(&old, &new);
        let row = |at: usize, key: &str| &found.contenders[at].rows.iter().find(|(name, _)| name == key).unwrap().1;
        let slow = row(0, "latency_p99");
        assert_eq!((slow.separated, slow.better, slow.relative), (Some(true), Some(false), true));
        assert!((slow.delta.unwrap() - 1.0).abs() < 0.1, "{slow:?}");
        assert_eq!(row(1, "latency_p99").interval, None);
        assert_eq!(
            found.contenders[1].unpaired.as_deref(),
            Some("not comparable: the workload digests of seed 3 differ")
        );
        let text = found.text(100, false);
        for part in [
            "worse",
            "not comparable: the workload digests of seed 3 differ: means only",
            "only in B: contender newcomer",
        ] {
            assert!(text.contains(part), "`{part}` is not in\n{text}");
        }
        assert!(!text.contains("NaN") && !text.contains('\u{1b}') && found.text(100, true).contains('\u{1b}'));
        let document = found.json();
        assert_eq!(document["contenders"][0]["paired"], true);
        assert_eq!(document["contenders"][1]["paired"], false);
        assert_eq!(document["only_in_b"][0], "contender newcomer");
    }

    #[test]
    fn what_is_no_report_is_refused_with_its_place() {
        let dir = tempfile::tempdir().expect("a folder");
        let refused = |name: &str, json: Option<&str>, table: Option<&str>| {
            let one = folder(dir.path(), name, &study()).folder;
            let put = |file: &str, text: Option<&str>| {
                text.map(|text| std::fs::write(one.join(file), text).expect("written"))
            };
            put("run.json", json);
            put("summary.csv", table);
            let error = recorded::read(&one).expect_err("it is no report").to_string();
            error.strip_prefix(&format!("{}/", one.display())).expect("it names the file").to_owned()
        };
        let head = recorded::HEADER.join(",");
        assert!(refused("a", Some("{"), None).starts_with("run.json: EOF"));
        assert!(refused("b", Some("{\"format\": 1}"), None).contains("missing field"));
        assert!(refused("c", None, Some("a,b\n1,2\n")).contains("its first line is not `scenario,"));
        let row = |row: &str| refused("d", None, Some(&format!("{head}\n{row}\n")));
        assert!(row("x,nobody,1,calls,calls,5").starts_with("summary.csv:2: run.json knows no run of nobody"));
        assert!(row("x,round_robin,1,calls,calls,many").starts_with("summary.csv:2: `many` is not a number"));
        assert!(row("x,round_robin,1,calls,calls").starts_with("summary.csv: CSV error"));
        assert!(row("x,round_robin,,calls,calls,5").contains("it has no values for round_robin"));
        assert!(recorded::read(dir.path()).is_err_and(|error| error.place.ends_with("run.json")));
    }
}
