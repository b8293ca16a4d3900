//! Look at every ready endpoint, take the lowest score: the machine behind `least_conn_latency` and
//! `shortest_response`.

use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::time::Instant;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Score};

/// Scans all ready endpoints. Among equals the first stays, or one is drawn by weight.
#[derive(Debug)]
pub struct Lowest<S> {
    score: S,
    /// What draws among equals; without it the first in the list is taken.
    ties: Option<Rand>,
    /// Endpoints with the lowest score of one pick.
    tied: Vec<EndpointId>,
}

impl<S: Score> Lowest<S> {
    /// A scan by this score.
    pub fn new(score: S, ties: Option<Rand>) -> Lowest<S> {
        Lowest { score, ties, tied: vec![] }
    }

    /// What is compared.
    pub fn score(&self) -> &S {
        &self.score
    }

    /// What is compared, to change.
    pub fn score_mut(&mut self) -> &mut S {
        &mut self.score
    }
}

impl<S: Score> Balancer for Lowest<S> {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.score.on_endpoints(now, endpoints);
        self.tied.clear();
        self.tied.reserve(endpoints.ready.len());
    }

    fn pick(&mut self, now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        let mut least = f64::INFINITY;
        self.tied.clear();
        for id in endpoints.ready {
            let load = self.score.load(now, *id, endpoints);
            if load < least {
                least = load;
                self.tied.clear();
            }
            if load <= least {
                self.tied.push(*id);
            }
        }
        match (&mut self.ties, self.tied.as_slice()) {
            (_, []) => Pick::To(endpoints.ready[0]),
            (Some(rand), [_, _, ..]) => Pick::To(drawn(&self.tied, endpoints, rand)),
            (_, [first, ..]) => Pick::To(*first),
        }
    }

    fn only_picks(&self) -> bool {
        !self.score.learns()
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        self.score.on_feedback(now, feedback);
    }
}

/// One of several, in proportion to weight; alike if all weights are 0. One draw.
pub fn drawn(among: &[EndpointId], endpoints: &Endpoints<'_>, rand: &mut Rand) -> EndpointId {
    let weight = |id: &EndpointId| endpoints.get(*id).map_or(0, |endpoint| u64::from(endpoint.weight));
    let sum: u64 = among.iter().map(weight).sum();
    if sum == 0 {
        return among[rand.below(among.len() as u64) as usize];
    }
    let mut left = rand.below(sum);
    for id in among {
        if left < weight(id) {
            return *id;
        }
        left -= weight(id);
    }
    unreachable!("the draw is below the sum of the weights")
}
