//! From numbers to verdicts: contenders against the baseline ([`compare()`]), and gates against what somebody
//! promised ([`gate`]).
//!
//! Both are pure functions of a [`crate::measure::summary::Study`]: running again cannot change a verdict, and a
//! page can be judged again years later. Neither knows how the runs were made. What they promise:
//!
//! - A gate FAILs by mistake with probability 0.001 at most, all gates of a file together, and PASSes something as
//!   bad as its limit with probability 0.01 at most. Everything between is UNDECIDED, and says what would decide it.
//! - A comparison calls a difference separated by mistake with probability 0.05 at most over its whole table.
//! - Seeds are the samples. Calls of one run are autocorrelated and are never samples.

pub mod across;
pub mod compare;
pub mod gate;
pub mod rule;

mod decide;
mod prepare;
mod reading;
#[cfg(test)]
mod testing;

pub use across::{Across, Both, across};
pub use compare::{Comparison, compare};
pub use gate::{Judgeable, Line, Report, Shown, Verdict, judge};
pub use prepare::pairs;
pub use reading::{WINDOW_KEYS, window_value};
pub use rule::{Limit, Refusal, Rule};
