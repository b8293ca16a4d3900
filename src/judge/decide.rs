//! The decisions themselves, free of names and files: a sample against a limit, signs against a coin.
//!
//! Both ask two one-sided questions with an error probability each (Schuirmann, J. Pharmacokinetics 1987; over many
//! gates: the union bound for FAIL, intersection-union for PASS, Berger and Hsu, Statistical Science 1996). Values
//! come in turned so that *larger is worse*; [`Shape`] turns results back for people.

use serde::{Deserialize, Serialize};

use crate::base::math;
use crate::measure::stats::{self, Interval, Sample};

/// How a gate ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Kept, or identical to what it is compared with.
    Pass,
    /// Broken.
    Fail,
    /// Neither is sure enough, and why. Not a pass.
    Undecided(String),
}

/// What the given number of seeds could have judged, for the spread that was seen, with 99 % probability. In the
/// unit of the value that the gate shows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Judgeable {
    /// The value nearest to the limit that would have passed; `None` where not even the best would.
    pub passes_to: Option<f64>,
    /// The value nearest to the limit that would have failed.
    pub fails_from: f64,
}

/// Error probabilities that one gate may spend.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alpha {
    /// Of a FAIL where the limit is kept.
    pub fail: f64,
    /// Of a PASS where it is broken.
    pub pass: f64,
}

impl Alpha {
    /// The shares of one gate of `gates`. FAIL shares its probability, because any one false FAIL spoils the whole;
    /// PASS does not, because the whole passes only if every gate does. There is one look at the data.
    pub fn shared_by(gates: usize) -> Alpha {
        Alpha { fail: FAIL_BY_MISTAKE / gates.max(1) as f64, pass: PASS_BY_MISTAKE }
    }
}

/// How to turn an inner number back into one for people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    /// Larger is worse inside; true if that meant to change the sign.
    pub flipped: bool,
    /// Natural logarithms inside.
    pub log: bool,
    /// Differences between contenders inside: of logarithms they become relative changes.
    pub paired: bool,
}

impl Shape {
    pub fn show(self, inner: f64) -> f64 {
        // Adding zero makes a positive zero of a negative one.
        let value = if self.flipped { -inner } else { inner } + 0.0;
        match (self.log, self.paired) {
            (true, true) => math::exp_m1(value),
            (true, false) => math::exp(value),
            (false, _) => value,
        }
    }
}

/// What there is to decide on.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// The mean of one value a seed against a limit.
    Mean {
        sample: Sample,
        limit: f64,
        /// The standard deviation is at least this; see [`fraction_floor`].
        floor: f64,
        shape: Shape,
    },
    /// The share of seeds over a limit against one half.
    Sign { over: u64, n: u64, median: f64, interval: Option<Interval> },
}

/// A verdict with what it rests on, turned back for people.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    pub verdict: Verdict,
    pub value: f64,
    pub interval: Option<Interval>,
    pub remark: Option<&'static str>,
    pub judgeable: Option<Judgeable>,
}

impl Test {
    pub fn decide(&self, alpha: Alpha) -> Decision {
        match *self {
            Test::Mean { sample, limit, floor, shape } => decide_mean(sample, limit, floor, shape, alpha),
            Test::Sign { over, n, median, interval } => Decision {
                verdict: decide_sign(over, n, alpha),
                value: median,
                interval,
                remark: None,
                judgeable: None,
            },
        }
    }
}

/// The standard deviation that a fraction of `trials` has at least, if its true value is `limit`: binomial. A few
/// runs of a few calls can all be free of errors by luck, and then their spread of zero proves nothing; this is
/// what keeps them from passing. Zero where the limit is an end of the range, because a fraction sits there only
/// if every trial does.
pub(super) fn fraction_floor(limit: f64, trials: u64) -> f64 {
    let limit = limit.clamp(0.0, 1.0);
    if trials == 0 { 1.0 } else { (limit * (1.0 - limit) / trials as f64).sqrt() }
}

fn decide_mean(sample: Sample, limit: f64, floor: f64, shape: Shape, alpha: Alpha) -> Decision {
    // Values that are all equal and not coarse by nature (floor 0) leave nothing to estimate.
    let settled = sample.constant && floor == 0.0;
    let sample = if settled { sample } else { sample.with_sd_at_least(floor.max(SD_MIN)) };
    let value = shape.show(sample.mean);
    let (Some(low), Some(high)) = (sample.lower(alpha.fail), sample.upper(alpha.pass)) else {
        return Decision { verdict: needs_seeds(), value, interval: None, remark: None, judgeable: None };
    };
    let enough = sample.n >= SEEDS_MIN;
    let verdict = match settled {
        true if enough && sample.mean <= limit => Verdict::Pass,
        true if enough => Verdict::Fail,
        false if low > limit => Verdict::Fail,
        false if enough && high < limit => Verdict::Pass,
        _ if !enough => needs_seeds(),
        _ => Verdict::Undecided(format!("{} seeds do not separate it from the limit", sample.n)),
    };
    let undecided = matches!(verdict, Verdict::Undecided(_));
    Decision {
        remark: if shape.paired { remark(&verdict, &sample, low, alpha) } else { None },
        verdict,
        value,
        interval: Some(Interval { low, high }.map(|inner| shape.show(inner))),
        judgeable: if undecided && enough { judgeable(&sample, limit, shape, alpha) } else { None },
    }
}

fn remark(verdict: &Verdict, sample: &Sample, low: f64, alpha: Alpha) -> Option<&'static str> {
    if sample.upper(alpha.fail)? < 0.0 {
        Some("better")
    } else if *verdict == Verdict::Pass && low > 0.0 {
        Some("worse, within the margin")
    } else {
        None
    }
}

/// From `n >= ((t_alpha + t_power) s / effect)^2`, solved for the effect.
fn judgeable(sample: &Sample, limit: f64, shape: Shape, alpha: Alpha) -> Option<Judgeable> {
    let reach = |alpha| {
        let (t_alpha, t_power) = (stats::t_critical(alpha, sample.n)?, stats::t_critical(1.0 - POWER, sample.n)?);
        Some((t_alpha + t_power) * sample.standard_error())
    };
    let passes_to = shape.show(limit - reach(alpha.pass)?);
    Some(Judgeable {
        // No metric is below zero; differences are.
        passes_to: (shape.paired || passes_to > 0.0).then_some(passes_to),
        fails_from: shape.show(limit + reach(alpha.fail)?),
    })
}

fn decide_sign(over: u64, n: u64, alpha: Alpha) -> Verdict {
    if stats::sign_tail(over, n) <= alpha.fail {
        return Verdict::Fail;
    }
    if stats::sign_tail(n - over, n) <= alpha.pass {
        return Verdict::Pass;
    }
    let (to_pass, to_fail) = (stats::sign_seeds_needed(alpha.pass), stats::sign_seeds_needed(alpha.fail));
    let limits = match n {
        _ if n < to_pass => format!("; a sign test needs at least {to_pass} seeds to pass and {to_fail} to fail"),
        _ if n < to_fail => format!("; a sign test needs at least {to_fail} seeds to fail"),
        _ => String::new(),
    };
    Verdict::Undecided(format!("beyond the limit in {over} of {n} seeds{limits}"))
}

fn needs_seeds() -> Verdict {
    Verdict::Undecided(format!("needs at least {SEEDS_MIN} seeds"))
}

/// Probability of a FAIL by mistake, over all gates of a study.
const FAIL_BY_MISTAKE: f64 = 0.001;
/// Probability of a PASS by mistake.
const PASS_BY_MISTAKE: f64 = 0.01;
/// Probability with which what is called judgeable would have been judged.
const POWER: f64 = 0.99;
/// Fewer seeds pass nothing: a spread out of three or four values is a rumour.
const SEEDS_MIN: u32 = 5;
/// Standard deviations below this are rounding.
const SD_MIN: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Shape = Shape { flipped: false, log: false, paired: false };

    fn mean_of(values: &[f64], limit: f64, floor: f64) -> Verdict {
        let sample = Sample::of(values).unwrap();
        Test::Mean { sample, limit, floor, shape: PLAIN }.decide(Alpha::shared_by(1)).verdict
    }

    fn undecided(verdict: &Verdict) -> &str {
        match verdict {
            Verdict::Undecided(reason) => reason,
            verdict => panic!("{verdict:?}"),
        }
    }

    #[test]
    fn bounds_decide() {
        // n = 5, sd 1.58: PASS needs 3.747 * 0.707 = 2.65 of room, FAIL 7.173 * 0.707 = 5.07.
        let values = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(mean_of(&values, 5.66, 0.0), Verdict::Pass);
        assert_eq!(undecided(&mean_of(&values, 5.64, 0.0)), "5 seeds do not separate it from the limit");
        assert_eq!(mean_of(&values, -2.08, 0.0), Verdict::Fail);
        assert_eq!(undecided(&mean_of(&values, -2.06, 0.0)), "5 seeds do not separate it from the limit");
    }

    #[test]
    fn few_seeds_can_fail_but_never_pass() {
        assert_eq!(undecided(&mean_of(&[1.0], 9.0, 0.0)), "needs at least 5 seeds");
        assert_eq!(undecided(&mean_of(&[1.0, 1.1, 1.2, 1.3], 9e9, 0.0)), "needs at least 5 seeds");
        assert_eq!(undecided(&mean_of(&[1.0; 4], 0.5, 0.0)), "needs at least 5 seeds");
        assert_eq!(mean_of(&[1.0, 1.1, 1.2, 1.3], -1.0, 0.0), Verdict::Fail);
        assert_eq!(undecided(&mean_of(&[1.0, 1.1, 1.2, 1.3], 0.9, 0.0)), "needs at least 5 seeds");
    }

    #[test]
    fn equal_values_are_judged_as_they_stand() {
        assert_eq!(mean_of(&[1.0; 5], 1.0, 0.0), Verdict::Pass, "at most 1 holds for 1");
        assert_eq!(mean_of(&[1.0; 5], 0.999_999_9, 0.0), Verdict::Fail);
        undecided(&mean_of(&[1.0; 5], 1.0, 0.01));
    }

    #[test]
    fn luck_with_few_trials_does_not_pass() {
        // No error in 5 runs: below 0.1 % is shown by 45,000 calls each, not by 100.
        assert_eq!(mean_of(&[0.0; 5], 0.001, fraction_floor(0.001, 45_000)), Verdict::Pass);
        undecided(&mean_of(&[0.0; 5], 0.001, fraction_floor(0.001, 100)));
        assert_eq!(fraction_floor(0.0, 100), 0.0);
        assert_eq!(fraction_floor(1.0, 100), 0.0);
    }

    #[test]
    fn what_is_judgeable_is_what_the_critical_values_say() {
        let values: Vec<f64> = (0..10).map(|i| f64::from(i % 2)).collect();
        let sample = Sample::of(&values).unwrap();
        let decision = Test::Mean { sample, limit: 0.6, floor: 0.0, shape: PLAIN }.decide(Alpha::shared_by(1));
        let judgeable = decision.judgeable.unwrap();
        let error = sample.standard_error();
        assert!((judgeable.fails_from - (0.6 + (4.297 + 2.821) * error)).abs() < 1e-3);
        assert_eq!(judgeable.passes_to, None, "0.6 - 2 * 2.821 * 0.167 is below zero");
    }

    #[test]
    fn signs() {
        let sign = |over, n, gates| decide_sign(over, n, Alpha::shared_by(gates));
        assert_eq!(sign(10, 10, 1), Verdict::Fail);
        assert_eq!(sign(0, 7, 1), Verdict::Pass);
        assert_eq!(sign(0, 10, 99), Verdict::Pass, "PASS does not share its probability");
        assert_eq!(
            undecided(&sign(10, 10, 2)),
            "beyond the limit in 10 of 10 seeds; a sign test needs at least 11 seeds to fail"
        );
        assert_eq!(
            undecided(&sign(5, 5, 1)),
            "beyond the limit in 5 of 5 seeds; a sign test needs at least 7 seeds to pass and 10 to fail"
        );
        assert_eq!(undecided(&sign(6, 16, 1)), "beyond the limit in 6 of 16 seeds");
    }

    #[test]
    fn shapes_turn_back() {
        let shape = Shape { flipped: true, log: true, paired: true };
        assert!((shape.show(math::ln(2.0)) + 0.5).abs() < 1e-12, "twice as bad is half as good");
        assert!(Shape { log: false, ..shape }.show(0.0).is_sign_positive());
        assert!((Shape { flipped: false, paired: false, ..shape }.show(math::ln(250.0)) - 250.0).abs() < 1e-9);
    }
}
