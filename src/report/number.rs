//! Numbers for people and for files. For people: three digits or so, a unit, no exponent. For files: fixed-point
//! decimals with enough digits for their unit, and no zeros at the end.

use crate::measure::catalog::{Metric, Scale, Unit};

/// What stands where nothing is known.
pub const UNKNOWN: &str = "–";

/// A number in a file: `digits` decimals at most, `inf` for an endless value, empty for an unknown one.
pub fn plain(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) if value.is_finite() => trimmed(value, digits),
        Some(value) if value == f64::INFINITY => "inf".to_owned(),
        _ => String::new(),
    }
}

/// Decimals that a unit has in files: a nanosecond, a billionth.
pub const fn file_digits(unit: Unit) -> usize {
    match unit {
        Unit::Calls => 3,
        Unit::PerSecond | Unit::Ms => 6,
        Unit::Ratio => 9,
    }
}

/// At most `digits` decimals, without zeros at the end and without a minus before nothing.
pub fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// `digits` decimals and a comma between thousands.
pub fn grouped(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    if value < 0.0 && text.chars().any(|c| c.is_ascii_digit() && c != '0') {
        out.push('−');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

/// Decimals that show about three digits of a number of this size.
pub fn decimals(value: f64) -> usize {
    match value.abs() {
        size if size >= 99.95 || size == 0.0 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        size if size >= 0.09995 => 3,
        size if size >= 0.009995 => 4,
        _ => 5,
    }
}

/// About three digits. Nothing that is measured comes to a billion: an interval from few seeds may.
pub fn short(value: f64) -> String {
    if value.is_infinite() {
        return "never".to_owned();
    }
    match value {
        value if value > 1e9 => format!(">{}", grouped(1e9, 0)),
        value if value < -1e9 => format!("<{}", grouped(-1e9, 0)),
        value => grouped(value, decimals(value)),
    }
}

/// What a metric's numbers are multiplied by when shown, and the unit that they then have.
pub fn shown_unit(metric: &Metric) -> (f64, &'static str) {
    match metric.unit {
        Unit::Ms if metric.scale == Scale::Endless => (1e-3, "s"),
        Unit::Ms => (1.0, "ms"),
        Unit::PerSecond => (1.0, "/s"),
        Unit::Calls => (1.0, ""),
        Unit::Ratio if metric.is_in_percent() => (100.0, "%"),
        Unit::Ratio => (1.0, ""),
    }
}

/// The value in the unit of [`shown_unit`], which stands elsewhere.
pub fn bare(metric: &Metric, value: f64) -> String {
    short(value * shown_unit(metric).0)
}

/// The value with its unit.
pub fn with_unit(metric: &Metric, value: f64) -> String {
    let (_, unit) = shown_unit(metric);
    match (value.is_infinite(), unit) {
        (true, _) => short(value),
        (_, "") => bare(metric, value),
        (_, "/s") => bare(metric, value) + "/s",
        (_, unit) => format!("{} {unit}", bare(metric, value)),
    }
}

/// A value and half its interval, both with as many decimals as the interval deserves.
pub fn estimate(metric: &Metric, value: f64, (low, high): (f64, f64)) -> (String, String) {
    let (factor, _) = shown_unit(metric);
    let (value, half) = (value * factor, 0.5 * (high - low).abs() * factor);
    // Two seeds may leave open everything: beyond so many times the value itself no number says more.
    let most = MOST_TIMES * value.abs();
    if value != 0.0 && half > most {
        return (short(value), format!(">{}", short(most)));
    }
    // Two digits of the uncertainty suffice, and the value has none beyond them.
    let deserved = if half > 0.0 { decimals(half).saturating_sub(1) } else { usize::MAX };
    let digits = decimals(value).min(deserved);
    let text = grouped(half, digits);
    if half > 0.0 && !text.chars().any(|c| matches!(c, '1'..='9')) {
        return (grouped(value, digits), format!("<{}1", &text[..text.len() - 1]));
    }
    (grouped(value, digits), text)
}

/// No quotient is shown beyond this, nor below its inverse.
pub const MOST_TIMES: f64 = 1_000.0;

/// A difference with its sign: in percent if relative, else in the unit of the metric.
pub fn difference(metric: &Metric, delta: f64, relative: bool) -> String {
    if delta.is_nan() {
        return UNKNOWN.to_owned();
    }
    // What two seeds leave open may reach over twelve orders of magnitude; beyond three, none of them says anything.
    if relative && delta + 1.0 > MOST_TIMES {
        return format!(">×{}", grouped(MOST_TIMES, 0));
    }
    if relative && delta > -1.0 && (delta + 1.0) * MOST_TIMES < 1.0 {
        return format!("<×{}", 1.0 / MOST_TIMES);
    }
    if relative && delta >= 9.0 {
        return format!("×{}", short(delta + 1.0));
    }
    let (factor, unit) = if relative { (100.0, " %") } else { difference_unit(metric) };
    let value = delta * factor;
    let digits = if relative { percent_decimals(value) } else { decimals(value).min(3) };
    let text = grouped(value.abs(), digits);
    let sign = match text.chars().any(|c| matches!(c, '1'..='9')) {
        false => "±",
        true if value < 0.0 => "−",
        true => "+",
    };
    format!("{sign}{text}{unit}")
}

/// One decimal, and more only where nothing else would be seen.
fn percent_decimals(value: f64) -> usize {
    match value.abs() {
        size if size >= 9.95 => 0,
        size if size >= 0.05 || size == 0.0 => 1,
        size if size >= 0.005 => 2,
        _ => 3,
    }
}

fn difference_unit(metric: &Metric) -> (f64, &'static str) {
    match shown_unit(metric) {
        (factor, "%") => (factor, " pp"),
        (factor, "ms") => (factor, " ms"),
        (factor, "s") => (factor, " s"),
        (factor, unit) => (factor, unit),
    }
}

/// A stretch of time for people, from nanoseconds: `250 ms`, `30 s`, `3 min`.
pub fn stretch(ns: u64) -> String {
    let seconds = ns as f64 / 1e9;
    match ns {
        0 => "0 s".to_owned(),
        ns if ns >= 120_000_000_000 && ns.is_multiple_of(60_000_000_000) => trimmed(seconds / 60.0, 0) + " min",
        ns if ns >= 1_000_000_000 => trimmed(seconds, 3) + " s",
        ns if ns >= 1_000_000 => trimmed(seconds * 1e3, 3) + " ms",
        _ => trimmed(seconds * 1e6, 3) + " µs",
    }
}

/// A latency for people, from milliseconds: `250 µs`, `12 ms`, `1.5 s`.
pub fn latency(ms: f64) -> String {
    match ms {
        ms if ms >= 1e3 => format!("{} s", loose(ms / 1e3)),
        ms if ms >= 1.0 || ms == 0.0 => format!("{} ms", loose(ms)),
        ms => format!("{} µs", loose(ms * 1e3)),
    }
}

/// About three digits without zeros at the end: for ticks.
pub fn loose(value: f64) -> String {
    let text = grouped(value, decimals(value));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A count for a tick: `1,500` as it is, `12k`, `3.5M`.
pub fn tick_count(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => loose(value / 1e6) + "M",
        size if size >= 1e4 => loose(value / 1e3) + "k",
        _ => loose(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::catalog::find;

    fn metric(key: &str) -> &'static Metric {
        find(key).expect("the key is in the catalogue")
    }

    #[test]
    fn files_have_fixed_point_decimals() {
        assert_eq!(plain(Some(12.5), 6), "12.5");
        assert_eq!(plain(Some(1e21), 6), "1000000000000000000000");
        assert_eq!(plain(Some(1e-7), 6), "0");
        assert_eq!(plain(Some(-1e-7), 6), "0");
        assert_eq!(plain(Some(100.0), 0), "100");
        assert_eq!(plain(Some(f64::INFINITY), 6), "inf");
        assert_eq!(plain(Some(f64::NAN), 6), "");
        assert_eq!(plain(None, 6), "");
    }

    #[test]
    fn people_read_three_digits_and_a_unit() {
        assert_eq!(with_unit(metric("latency_p99"), 8.2149), "8.21 ms");
        assert_eq!(with_unit(metric("latency_p99"), 61_234.0), "61,234 ms");
        assert_eq!(with_unit(metric("error_rate"), 0.033_1), "3.31 %");
        assert_eq!(with_unit(metric("goodput"), 8701.7), "8,702/s");
        assert_eq!(with_unit(metric("time_to_recover"), 12_400.0), "12.4 s");
        assert_eq!(with_unit(metric("time_to_recover"), f64::INFINITY), "never");
        assert_eq!(with_unit(metric("load_cv"), 0.0123), "0.0123");
        let estimate = |key, value, half: f64| {
            let (value, half) = estimate(metric(key), value, (value - half, value + half));
            format!("{value} ±{half}")
        };
        assert_eq!(estimate("latency_p99", 61.2, 1.2), "61.2 ±1.2");
        assert_eq!(estimate("latency_p99", 612.0, 0.1), "612 ±<1");
        assert_eq!(estimate("latency_p99", 6.12, 0.0001), "6.12 ±<0.01");
        assert_eq!(estimate("error_rate", 0.000_057_6, 0.000_196_6), "0.006 ±0.020");
        assert_eq!(estimate("error_rate", 0.030_8, 0.014_2), "3.1 ±1.4");
        assert_eq!(estimate("goodput", 8719.0, 0.0), "8,719 ±0");
        assert_eq!(estimate("latency_p99", 8.2149, 9.4e12), "8.21 ±>8,215");
        assert_eq!(estimate("calls", 2_500_000.0, 1_000.0), "2,500,000 ±1,000");
        assert_eq!(with_unit(metric("latency_p99"), 9_438_341_000_858.0), ">1,000,000,000 ms");
        assert_eq!(with_unit(metric("latency_p99"), -2e9), "<−1,000,000,000 ms");
        assert_eq!(bare(metric("calls"), 999_999_999.0), "999,999,999");
    }

    #[test]
    fn differences_carry_a_sign() {
        let (p99, errors) = (metric("latency_p99"), metric("error_rate"));
        assert_eq!(difference(p99, 0.0512, true), "+5.1 %");
        assert_eq!(difference(p99, -0.334, true), "−33 %");
        assert_eq!(difference(p99, 11.0, true), "×12.0");
        assert_eq!(difference(p99, 124_011_656_481.0, true), ">×1,000");
        assert_eq!(difference(p99, 999.0, true), "×1,000");
        assert_eq!(difference(p99, 1e-9 - 1.0, true), "<×0.001");
        assert_eq!(difference(p99, -1.0, true), "−100 %");
        assert_eq!(difference(errors, 2_000.0, false), "+200,000 pp");
        assert_eq!(difference(p99, 0.0, true), "±0.0 %");
        assert_eq!(difference(p99, -0.0001, true), "−0.01 %");
        assert_eq!(difference(errors, -0.0012, false), "−0.120 pp");
    }

    #[test]
    fn stretches_read_naturally() {
        assert_eq!(stretch(180_000_000_000), "3 min");
        assert_eq!(stretch(90_000_000_000), "90 s");
        assert_eq!(stretch(250_000_000), "250 ms");
        assert_eq!(stretch(2_500), "2.5 µs");
        assert_eq!(latency(0.25), "250 µs");
        assert_eq!(latency(1500.0), "1.5 s");
    }
}
