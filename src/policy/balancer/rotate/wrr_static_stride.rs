//! Weighted turns by static stride: a plain rotation that passes over light endpoints in a fixed pattern.
//!
//! Origin: gRFC A58; the scheduler of gRPC `weighted_round_robin` in C-core, Java and Go, here with static weights.
//! A weight of 0 means unknown and counts as the mean, as there.
//! Observes: static weights.
//! Cost: largest weight / mean weight steps a pick on average; O(n) a change.
//! Draws: one, for the first rotation; none a pick. A change goes on from the place that was reached.
//! Fails when: one weight is far above the others, because a pick then passes over many.

use serde::{Deserialize, Serialize};

use super::stride::Stride;
use super::turn::Start;
use crate::base::rand::{Bits, Rand};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `wrr_static_stride`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the rotation starts.
    pub start: Start,
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let rand = context.seed.stream("wrr_static_stride");
        Box::new(WrrStaticStride { start: self.start, rand, sequence: None, stride: None })
    }
}

#[derive(Debug)]
struct WrrStaticStride {
    start: Start,
    rand: Rand,
    /// Where the last schedule stopped.
    sequence: Option<u32>,
    /// `None` until the first pick after a change.
    stride: Option<Stride>,
}

impl WrrStaticStride {
    fn schedule(&mut self, endpoints: &Endpoints<'_>) -> Stride {
        let weight = |id| endpoints.get(id).map_or(0.0, |endpoint| f64::from(endpoint.weight));
        let weights: Vec<f64> = endpoints.ready.iter().map(|id| weight(*id)).collect();
        let sequence = match (self.sequence, self.start) {
            (Some(sequence), _) => sequence,
            (None, Start::Random) => self.rand.below(1 << 32) as u32,
            (None, Start::Zero) => 0,
        };
        Stride::new(&weights, sequence)
    }
}

impl Balancer for WrrStaticStride {
    fn on_endpoints(&mut self, _now: Instant, _endpoints: &Endpoints<'_>) {
        self.sequence = self.stride.take().map(|stride| stride.sequence()).or(self.sequence);
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        if self.stride.is_none() {
            self.stride = Some(self.schedule(endpoints));
        }
        let stride = self.stride.as_mut().expect("it was made above");
        Pick::To(endpoints.ready[stride.pick()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, letters};

    #[test]
    fn a_change_goes_on_from_where_it_was() {
        let mut world = World::weighted(&[1, 2, 3], &Config { start: Start::Zero });
        assert_eq!(letters(&world.picks(4)), "BCCA");
        world.refresh();
        assert_eq!(letters(&world.picks(8)), "BCBCCABC");
    }

    #[test]
    fn an_unknown_weight_is_the_mean() {
        let mut world = World::weighted(&[100, 50, 0], &Config { start: Start::Zero });
        assert_eq!(letters(&world.picks(12)), "ABCACABCAABC");
    }
}
