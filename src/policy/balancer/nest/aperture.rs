//! Each client keeps to the first few endpoints of an order of its own, more of them the more calls it has open.
//!
//! Origin: Finagle's aperture (`Aperture.scala`, `LoadBand.scala`, `Expiration.scala`): a band keeps the smoothed number
//! of open calls for each endpoint near 1.
//! Observes: calls that this client has open, over time; what its child observes.
//! Cost: that of the child and one exponential a call; O(n) when the window moves.
//! Draws: none of its own; the order belongs to the client.
//! Fails when: clients are few, because some endpoints are then in no window; load moves faster than the smoothing,
//! because the window follows one endpoint at a time.

use serde::{Deserialize, Serialize};

use super::subset::Subset;
use super::weighted_target::Child;
use crate::base::ewma::Ewma;
use crate::base::hash::xxh64;
use crate::base::id::EndpointId;
use crate::base::slots::Slots;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::read::{above_zero, one_or_more, some_time};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};

/// Parameters of `aperture`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "Written")]
pub struct Config {
    /// The balancer inside the window.
    pub child: Child,
    /// Endpoints that the window has at least and begins with.
    pub min: u32,
    /// Open calls for each endpoint from which on the window widens.
    pub high: f64,
    /// Open calls for each endpoint down to which it narrows, fewer than `high`.
    pub low: f64,
    /// A count's influence falls to 1/e in this time.
    pub smoothing: Duration,
}

/// Parameters as they are written, before they are checked together.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Written {
    /// The balancer inside the window, by default two distinct choices by open calls.
    child: Child,
    /// Endpoints that the window has at least and begins with, 1 or more.
    #[serde(deserialize_with = "one_or_more")]
    #[schemars(range(min = 1))]
    min: u32,
    /// Open calls for each endpoint from which on the window widens: above 0.
    #[serde(deserialize_with = "above_zero")]
    high: f64,
    /// Open calls for each endpoint down to which it narrows: above 0, below `high`.
    #[serde(deserialize_with = "above_zero")]
    low: f64,
    /// A count's influence falls to 1/e in this time.
    #[serde(deserialize_with = "some_time")]
    smoothing: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { child: Child::distinct_p2c(), min: 1, high: 1.125, low: 0.875, smoothing: Duration::from_secs(15) }
    }
}

impl Default for Written {
    fn default() -> Self {
        let Config { child, min, high, low, smoothing } = Config::default();
        Written { child, min, high, low, smoothing }
    }
}

impl TryFrom<Written> for Config {
    type Error = String;

    fn try_from(Written { child, min, high, low, smoothing }: Written) -> Result<Config, String> {
        if low >= high {
            return Err(format!(
                "`low` ({low}) is not below `high` ({high}): the window would widen and narrow at once"
            ));
        }
        Ok(Config { child, min, high, low, smoothing })
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(Aperture {
            config: self.clone(),
            seed: context.seed.number("aperture"),
            subset: Subset::new(&self.child, context),
            order: vec![],
            width: self.min as usize,
            open: 0,
            counts: Slots::new(),
            sum: 0,
            load: Ewma::new(self.smoothing),
        })
    }
}

#[derive(Debug)]
struct Aperture {
    config: Config,
    seed: u64,
    subset: Subset,
    /// All members in this client's order.
    order: Vec<(u64, EndpointId)>,
    width: usize,
    /// Calls of this client that are open anywhere.
    open: u64,
    /// What each member adds to that, and the sum, as of the last change.
    counts: Slots<u32>,
    sum: u64,
    load: Ewma,
}

impl Aperture {
    fn show(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.subset.show(now, endpoints, self.order.iter().take(self.width).map(|(_, id)| *id));
    }

    /// Moves the window by one if the load for each endpoint is outside the band.
    fn adjust(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        // Finagle averages what was until now, and only then takes in the change.
        let each = self.load.value().unwrap_or(0.0) / self.width.max(1) as f64;
        let least = (self.config.min as usize).min(self.order.len());
        let width = if each >= self.config.high && self.width < self.order.len() {
            self.width + 1
        } else if each <= self.config.low && self.width > least {
            self.width - 1
        } else {
            return;
        };
        self.width = width;
        self.show(now, endpoints);
    }
}

impl Balancer for Aperture {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let hash = |id: &EndpointId| (xxh64(endpoints.table.name(*id).as_bytes(), self.seed), *id);
        self.order.clear();
        self.order.extend(endpoints.members.iter().map(hash));
        self.order.sort_unstable();
        self.counts.clear();
        self.sum = 0;
        for id in endpoints.members {
            self.counts.insert(*id, endpoints.in_flight(*id));
            self.sum += u64::from(endpoints.in_flight(*id));
        }
        self.width = self.width.max(self.config.min as usize);
        self.show(now, endpoints);
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        self.subset.pick(now, request, endpoints)
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.subset.on_feedback(now, feedback, endpoints);
        let (Feedback::Sent { endpoint } | Feedback::Done { endpoint, .. }) = feedback else { return };
        if endpoints.get(*endpoint).is_none() {
            // Its calls went with it when it left.
            return;
        }
        self.load.observe(now, self.open as f64);
        if let Some(count) = self.counts.get_mut(*endpoint) {
            let now = endpoints.in_flight(*endpoint);
            self.sum = self.sum + u64::from(now) - u64::from(std::mem::replace(count, now));
        }
        debug_assert_eq!(self.sum, endpoints.members.iter().map(|id| u64::from(endpoints.in_flight(*id))).sum::<u64>());
        self.open = self.sum;
        self.adjust(now, endpoints);
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.subset.poll_want()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.subset.next_timeout()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.subset.on_timeout(now, endpoints);
    }

    fn connects_all(&self) -> bool {
        false
    }

    fn heeds_health(&self) -> bool {
        self.subset.heeds_health()
    }

    fn keeps_to_some(&self) -> bool {
        true
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.subset.gauges(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, listing};

    /// Endpoints in use while so many calls are always open, each for 100 ms, for a minute.
    fn width_at(world: &mut World, open: usize) -> usize {
        let mut calls = std::collections::VecDeque::new();
        let mut used = std::collections::BTreeSet::new();
        for step in 0..600 {
            while calls.len() < open {
                let place = world.send();
                calls.push_back(place);
                if step > 580 {
                    used.insert(place);
                }
            }
            world.advance(Duration::from_millis(100));
            while let Some(place) = calls.pop_front() {
                world.done(place, Duration::from_millis(100), Ok(()));
            }
        }
        used.len()
    }

    #[test]
    fn the_window_follows_the_load() {
        let mut world = World::equal(20, &Config::default());
        let narrow = width_at(&mut world, 2);
        let wide = width_at(&mut world, 10);
        let again = width_at(&mut world, 2);
        assert!(
            (1..=3).contains(&narrow) && (8..=11).contains(&wide) && (1..=3).contains(&again),
            "{narrow} {wide} {again}"
        );
        assert_eq!(width_at(&mut world, 40), 20, "not wider than the list");
    }

    #[test]
    fn the_band_is_a_band() {
        for text in [r#"{ "low": 2.0 }"#, r#"{ "high": 0.875 }"#] {
            let error = serde_json::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains("is not below `high`"), "{text}: {error}");
        }
        assert!(serde_json::from_str::<Config>(r#"{ "low": 0.5, "high": 0.6 }"#).is_ok());
    }

    #[test]
    fn windows_of_clients_differ_and_a_client_keeps_its_own() {
        let first = |seed| {
            let mut world = World::seeded(seed, &[1; 10], |context| Config::default().build(context));
            let place = world.send();
            world.list((0..12).map(|i| listing(i, 1)).collect());
            place
        };
        let firsts: std::collections::BTreeSet<usize> = (0..30).map(first).collect();
        assert!(firsts.len() > 6, "{firsts:?}");
        assert_eq!(first(3), first(3));
    }
}
