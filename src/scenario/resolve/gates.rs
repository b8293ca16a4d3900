//! `[[expect]]`: metrics are known, limits are in their units, and the gate can be judged at all.

use std::str::FromStr;

use super::calls::Times;
use super::contenders::{Contenders, names};
use super::fleet::Fleet;
use super::sections::Sections;
use super::sweep::{Point, same_value};
use crate::base::quantity::{QuantityError, Rate, Ratio};
use crate::base::status::Cause;
use crate::base::time::Duration;
use crate::measure::catalog::{self, Scale, Unit};
use crate::scenario::diagnose::{Finding, Findings, nearest};
use crate::scenario::plan::{Expect, Limit};
use crate::scenario::schema;
use crate::scenario::tree::Node;
use crate::scenario::words::Bound;

/// What gates are judged against.
pub struct Scene<'a> {
    /// The times, if they make sense.
    pub times: Option<Times>,
    /// The contenders that run, if they make sense.
    pub contenders: Option<&'a Contenders>,
    /// Where in the sweep this is.
    pub point: &'a Point<'a>,
    /// The fleet, if it makes sense.
    pub fleet: Option<&'a Fleet>,
    /// The file.
    pub file: &'a Sections,
    /// Its text, for line numbers.
    pub text: &'a str,
}

/// The gates, if all of them make sense. A gate about a contender that does not run is left out, and so is one about
/// another point of the sweep.
pub fn resolve(scene: &Scene<'_>, root: &Node<'_, '_>, findings: &mut Findings) -> Option<Vec<Expect>> {
    let errors = findings.errors();
    let mut gates = Vec::new();
    for (number, expect) in scene.file.expects.iter().enumerate() {
        let node = root.key("expect").index(number);
        if let Some(expect) = expect {
            gates.extend(scene.gate(expect, root, &node, findings));
        }
    }
    let all_read = scene.file.expects.iter().all(Option::is_some);
    (all_read && findings.errors() == errors).then_some(gates)
}

/// How a metric is written and compared.
#[derive(Clone, Copy)]
struct Measure {
    unit: Unit,
    scale: Scale,
}

impl Scene<'_> {
    fn gate(
        &self,
        expect: &schema::Expect,
        root: &Node<'_, '_>,
        node: &Node<'_, '_>,
        findings: &mut Findings,
    ) -> Option<Expect> {
        let errors = findings.errors();
        let measure = measure(&expect.metric, &node.key("metric"), findings);
        if measure.is_some() {
            self.check_group(expect, &node.key("metric"), findings);
            self.check_judgeable(expect, &node.key("metric"), findings);
        }
        let is_here = self.is_here(expect, root, &node.key("when"), findings);
        let window = self.window(expect, &node.key("window"), findings);
        let limit = self.limit(expect, measure, node, findings);
        let contender = match &expect.contender {
            None => None,
            Some(name) => Some(self.contender(name, &node.key("contender"), findings)?),
        };
        let line = 1 + self.text[..node.span().start].bytes().filter(|byte| *byte == b'\n').count();
        let gate = Expect { contender, metric: expect.metric.clone(), window, limit: limit?, line: line as u32 };
        // What the judge would refuse besides what was found here already.
        if let Some(refusal) = gate.rule("").refusal().filter(|_| findings.errors() == errors) {
            findings.push(Finding::error(node.key(refusal.key).span(), refusal.message, refusal.help));
        }
        is_here.then_some(gate)
    }

    /// Whether a gate is about this point of the sweep.
    fn is_here(
        &self,
        expect: &schema::Expect,
        root: &Node<'_, '_>,
        node: &Node<'_, '_>,
        findings: &mut Findings,
    ) -> bool {
        let sweep = root.key("sweep");
        let swept: Vec<&str> = sweep.entries().iter().map(|(path, _)| *path).collect();
        for (path, value) in &expect.when {
            let (values, text) = (sweep.key(path).items(), value.text());
            if !swept.contains(&path.as_str()) {
                let message = format!("`[sweep]` does not vary `{path}`");
                let help = super::suggestion(path, &swept, "swept paths");
                findings.push(Finding::error(node.key(path).key_span(), message, help));
            } else if !values.iter().any(|item| item.value().is_some_and(|item| same_value(item, &text))) {
                let message = format!("`{path}` never is {text}, so this gate would never be judged");
                let help = "write one of the values that `[sweep]` gives it";
                findings.push(Finding::error(node.key(path).span(), message, help));
            }
        }
        expect.when.iter().all(|(path, value)| self.point.is_at(path, &value.text()))
    }

    /// The number of a contender; `None` if there is none of this name, or if it does not run.
    fn contender(&self, name: &str, node: &Node<'_, '_>, findings: &mut Findings) -> Option<usize> {
        let known = names(self.file);
        if !known.contains(&name) {
            let help = super::suggestion(name, &known, "contenders");
            findings.push(Finding::error(node.span(), format!("there is no contender `{name}`"), help));
            return None;
        }
        self.contenders?.list.iter().position(|contender| contender.name == name)
    }

    fn window(
        &self,
        expect: &schema::Expect,
        node: &Node<'_, '_>,
        findings: &mut Findings,
    ) -> Option<(Duration, Duration)> {
        let window = expect.window?;
        let duration = self.times.map_or(Duration::MAX, |times| times.duration);
        if window.from >= window.to {
            let message = format!("the window from {} to {} holds no time", window.from, window.to);
            findings.push(Finding::error(node.span(), message, "write `window = [\"60s\", \"90s\"]`"));
        } else if window.to > duration {
            let message = format!("the window ends at {}, and the run at {duration}", window.to);
            findings.push(Finding::error(node.span(), message, "end it earlier, or lengthen `duration`"));
        }
        Some((window.from, window.to))
    }

    fn limit(
        &self,
        expect: &schema::Expect,
        measure: Option<Measure>,
        node: &Node<'_, '_>,
        findings: &mut Findings,
    ) -> Option<Limit> {
        let given = ["at_most", "at_least", "no_worse_than"].map(|key| node.key(key));
        let given: Vec<&Node<'_, '_>> = given.iter().filter(|node| node.exists()).collect();
        match given.as_slice() {
            [_] => {}
            [] => {
                let help = "add one of `at_most`, `at_least` and `no_worse_than = \"CONTENDER\"`";
                findings.push(Finding::error(node.span(), "this gate has no limit", help));
            }
            [_, second, ..] => {
                let help = "give each an `[[expect]]` table of its own";
                findings.push(Finding::error(second.key_span(), "two limits in one gate", help));
            }
        }
        if expect.margin.is_some() && expect.no_worse_than.is_none() {
            let help = "leave it out, or write `no_worse_than = \"CONTENDER\"`";
            findings.push(Finding::error(node.key("margin").key_span(), "a margin belongs to `no_worse_than`", help));
        }
        let measure = measure?;
        let read =
            |bound: &Bound, key: &str, findings: &mut Findings| bound_of(bound, measure, &node.key(key), findings);
        let mut limits = Vec::new();
        if let Some(bound) = &expect.at_most {
            limits.extend(read(bound, "at_most", findings).map(Limit::AtMost));
        }
        if let Some(bound) = &expect.at_least {
            limits.extend(read(bound, "at_least", findings).map(Limit::AtLeast));
        }
        if let Some(name) = &expect.no_worse_than {
            let margin = expect.margin.as_ref().map(|margin| margin_of(margin, measure, &node.key("margin"), findings));
            let contender = self.contender(name, &node.key("no_worse_than"), findings)?;
            if expect.contender.as_ref() == Some(name) {
                let message = format!("`{name}` is compared with itself");
                findings.push(Finding::error(node.key("no_worse_than").span(), message, "name another contender"));
            }
            limits.push(Limit::NoWorseThan { contender, margin: margin.flatten() });
        }
        limits.pop()
    }

    /// A share is that of a group of the file.
    fn check_group(&self, expect: &schema::Expect, node: &Node<'_, '_>, findings: &mut Findings) {
        let Some(group) = expect.metric.strip_prefix(catalog::SHARE_BY_GROUP) else { return };
        let Some(fleet) = self.fleet else { return };
        let names: Vec<&str> = fleet.backends.iter().map(|group| group.name.as_str()).collect();
        if !names.contains(&group) {
            let help = super::suggestion(group, &names, "groups of backends");
            findings.push(Finding::error(node.span(), format!("there is no group of backends `{group}`"), help));
        }
    }

    /// A gate on a metric that no run of this file has would never be judged.
    fn check_judgeable(&self, expect: &schema::Expect, node: &Node<'_, '_>, findings: &mut Findings) {
        let file = self.file;
        let no_cache = file.backends.iter().all(|group| group.as_ref().is_some_and(|group| group.cache.is_none()));
        let no_keys = file.calls.as_ref().is_some_and(|calls| calls.keys.is_none());
        let missing = match expect.metric.as_str() {
            "time_to_recover" | "time_to_detect" | "time_to_fair_share" if file.faults.is_empty() => {
                ("[[faults]]", "there are no faults")
            }
            "time_to_detect"
                if !file
                    .faults
                    .iter()
                    .any(|fault| fault.as_ref().is_none_or(|(_, what)| what.fault().affects_backends())) =>
            {
                ("[[faults]]", "no fault takes backends away")
            }
            "cache_hit_rate" if no_cache => ("cache", "no backend has a cache"),
            "keys_moved" | "keys_moved_collateral" | "affinity_rate" if no_keys => ("keys", "the calls have no keys"),
            _ => return,
        };
        let message = format!("`{}` would be unknown in every run: {}", expect.metric, missing.1);
        findings.push(Finding::error(node.span(), message, format!("add `{}`, or choose another metric", missing.0)));
    }
}

/// What kind of number a metric is.
fn measure(key: &str, node: &Node<'_, '_>, findings: &mut Findings) -> Option<Measure> {
    if let Some(metric) = catalog::like(key) {
        return Some(Measure { unit: metric.unit, scale: metric.scale });
    }
    let help = match key.strip_prefix(catalog::ERROR_RATE_BY_CAUSE) {
        Some(_) => format!("the causes are {}", Cause::ALL.map(Cause::name).join(", ")),
        None => match nearest(key, catalog::METRICS.iter().map(|metric| metric.key)) {
            Some(near) => format!("did you mean `{near}`? `plimsoll list metrics` shows all of them"),
            None => "`plimsoll list metrics` shows all of them".to_owned(),
        },
    };
    findings.push(Finding::error(node.span(), format!("there is no metric `{key}`"), help).label("unknown metric"));
    None
}

/// A limit, in the unit of its metric.
fn bound_of(bound: &Bound, measure: Measure, node: &Node<'_, '_>, findings: &mut Findings) -> Option<f64> {
    let text = bound.text();
    let read = match (measure.unit, measure.scale) {
        (Unit::Ms, _) => quantity::<Duration>(bound, "a duration", "30ms").map(Duration::as_millis_f64),
        (Unit::PerSecond, _) => quantity::<Rate>(bound, "a rate", "900/s").map(Rate::value),
        (Unit::Ratio, Scale::Fraction) => text.parse::<Ratio>().map(Ratio::value).map_err(|error| said(&error)),
        (Unit::Ratio | Unit::Calls, _) => number(&text),
    };
    read.map_err(|(message, help)| findings.push(Finding::error(node.span(), message, help))).ok()
}

/// A margin: absolute for counts, and a share otherwise.
fn margin_of(bound: &Bound, measure: Measure, node: &Node<'_, '_>, findings: &mut Findings) -> Option<f64> {
    let read = match measure.scale {
        Scale::Count => number(&bound.text()),
        _ => bound.text().parse::<Ratio>().map(Ratio::value).map_err(|error| said(&error)),
    };
    read.map_err(|(message, help)| findings.push(Finding::error(node.span(), message, help))).ok()
}

/// Text with a unit; a bare number is refused with the way to write it.
fn quantity<T: FromStr<Err = QuantityError>>(bound: &Bound, what: &str, example: &str) -> Result<T, (String, String)> {
    match bound {
        Bound::Text(text) => text.parse().map_err(|error| said(&error)),
        Bound::Number(number) => Err((
            format!("this metric is limited by {what}, and {number} has no unit"),
            format!("write it with its unit, like \"{example}\""),
        )),
    }
}

fn number(text: &str) -> Result<f64, (String, String)> {
    let read = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    read.ok_or_else(|| {
        (format!("\"{text}\" is not a number from 0 up"), "write it without a unit, like `1.5`".to_owned())
    })
}

/// The error of a quantity, as a message and a next step.
fn said(error: &QuantityError) -> (String, String) {
    crate::scenario::explain::split(&error.to_string(), "write it with its unit")
}

impl Bound {
    fn text(&self) -> String {
        match self {
            Bound::Text(text) => text.clone(),
            Bound::Number(number) => number.to_string(),
        }
    }
}
