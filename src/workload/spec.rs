//! The workload as a scenario file writes it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::choice::choice;
use crate::base::dist::Law;
use crate::base::metadata::Metadata;
use crate::base::quantity::{Factor, Rate, Ratio};
use crate::base::time::Duration;

/// No parameters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Plain {}

choice! {
    /// How calls are spaced in an open workload; the mean rate is `rate`.
    pub enum Arrivals as "arrival process" {
        /// Independent of each other: exponential gaps.
        Poisson = "poisson" => Plain,
        /// Equally spaced. Beware of locking to a polling period.
        Constant = "constant" => Plain,
        /// In batches.
        Bursts = "bursts" => Bursts,
        /// Poisson, at a rate that grows or falls steadily.
        Ramp = "ramp" => Ramp,
        /// Poisson, at a rate that swings like a day.
        Daily = "daily" => Daily,
        /// Poisson, at a rate that changes at given times.
        Steps = "steps" => Steps,
    }
}

/// Batches of calls: Poisson batches of a fixed size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    /// Calls in a batch, 1 or more.
    pub size: u32,
    /// Gap between the calls of a batch.
    #[serde(default)]
    pub gap: Duration,
}

/// From `rate` to `to`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// The rate at the end.
    pub to: Rate,
    /// When it begins to change.
    #[serde(default)]
    pub from: Duration,
    /// How long that takes; by default to the end of the run.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Duration>,
}

/// A sine around `rate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Daily {
    /// Swing as a share of the mean, 0 to 1.
    pub swing: Ratio,
    /// Length of a day.
    pub period: Duration,
}

/// Other rates from given times on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// `[["30s", "4k/s"], …]`, in the order of time; before the first the rate is `rate`.
    pub at: Vec<(Duration, Rate)>,
}

choice! {
    /// Which keys the calls carry.
    pub enum Keys as "key law" {
        /// Each alike.
        Uniform = "uniform" => UniformKeys,
        /// The k-th most popular in proportion to `1 / k^exponent`.
        Zipf = "zipf" => ZipfKeys,
    }
}

/// Keys, each alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UniformKeys {
    /// How many, 1 or more.
    pub count: u64,
}

/// Keys by popularity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZipfKeys {
    /// How many, 1 or more.
    pub count: u64,
    /// Above 0; 1.1 is typical.
    pub exponent: Factor,
}

/// A class of calls in the mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its name in reports.
    pub name: String,
    /// Its share of the calls, relative to the others.
    pub share: Factor,
    /// Work a call carries; service times are multiplied by it.
    #[serde(default = "one")]
    pub demand: Factor,
    /// Deadline of its calls; by default that of `[calls]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// What its calls ask servers to be.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

fn one() -> Factor {
    Factor::ONE
}

/// Where calls come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Arrivals that ignore replies.
    Open {
        /// Mean rate over all clients.
        rate: Rate,
        /// Spacing.
        arrivals: Arrivals,
    },
    /// Users that wait for their reply, think, and call again.
    Closed {
        /// How many.
        users: u32,
        /// From a reply to the next call.
        think: Law,
    },
}

/// `[calls]`, resolved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calls {
    /// Where they come from.
    pub source: Source,
    /// When the application stops waiting; never by default.
    pub deadline: Option<Duration>,
    /// Keys, if calls have them.
    pub keys: Option<Keys>,
    /// Classes; one of everything by default.
    pub mix: Vec<Class>,
}

impl Calls {
    /// What calls ask servers to be, by class; empty if no class asks for anything.
    pub fn asks(&self) -> Arc<[Metadata]> {
        let asked = self.mix.iter().any(|class| !class.metadata.is_empty());
        let asks = self.mix.iter().filter(|_| asked).map(|class| class.metadata.clone());
        asks.collect()
    }
}
