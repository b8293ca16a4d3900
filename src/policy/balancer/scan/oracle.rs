//! The server with the shortest queue or the least work of all, in truth: every client sees what only servers know.
//! No client can do so, it shows what would be possible. Virtual time only.
//!
//! Origin: join the shortest queue (Winston, Journal of Applied Probability 14, 1977) and least work left (Harchol-Balter,
//! Performance Modeling and Design of Computer Systems, ch. 24); with an age the continuous update of Mitzenmacher,
//! "How Useful Is Old Information?", IEEE TPDS 11(1), 2000, §2.
//! Observes: calls of all clients inside each server and on their way to it, for each worker, and with
//! `sees = "work"` the time that they still need, as it was `age` ago; whether the server answers. Not errors, and not
//! what a cache will spare.
//! Cost: O(n) a pick.
//! Draws: one where several tie, by weight; none else.
//! Fails when: its knowledge is older than a call takes, because all clients see the same server idle at once; the
//! fastest servers are not those with the shortest queue; servers fail fast.

use serde::{Deserialize, Serialize};

use super::lowest::Lowest;
use crate::base::id::EndpointId;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Score};
use crate::policy::truth::Sight;

/// Parameters of `oracle`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What it compares.
    pub sees: Sees,
    /// How old its knowledge is: 0 and above.
    pub age: Duration,
}

/// What an oracle compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sees {
    /// Calls a worker.
    #[default]
    Queue,
    /// Time that is left to work a worker.
    Work,
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let score = Oracle { sees: self.sees, sight: context.truth.sight(self.age) };
        Box::new(Lowest::new(score, Some(context.seed.stream("oracle"))))
    }
}

#[derive(Debug)]
struct Oracle {
    sees: Sees,
    sight: Sight,
}

impl Score for Oracle {
    fn on_endpoints(&mut self, _now: Instant, _endpoints: &Endpoints<'_>) {}

    fn on_feedback(&mut self, _now: Instant, _feedback: &Feedback<'_>) {}

    fn learns(&self) -> bool {
        false
    }

    fn load(&mut self, now: Instant, endpoint: EndpointId, endpoints: &Endpoints<'_>) -> f64 {
        let Some(endpoint) = endpoints.get(endpoint) else { return f64::INFINITY };
        let (seen, then) = self.sight.of(now, endpoint.address);
        match self.sees {
            Sees::Queue => seen.queue(),
            Sees::Work => seen.work(then),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Address;
    use crate::base::rand::{Bits, Seed};
    use crate::policy::balancer::testing::World;
    use crate::policy::truth::{Seen, Truth};

    const MS: Duration = Duration::from_millis(1);

    fn seen(now: Instant, calls: u32, work_ms: u64) -> Seen {
        let inside = MS.saturating_mul(work_ms);
        Seen { at: now, calls, workers: 1, busy: calls.min(1), inside, coming: Duration::ZERO, answers: true }
    }

    fn world(config: &Config, n: usize) -> (World, Truth) {
        let truth = Truth::open();
        let build = |context: &Context| config.build(&Context { truth: truth.clone(), ..context.clone() });
        (World::seeded(1, &vec![1; n], build), truth)
    }

    #[test]
    fn the_truth_counts_and_not_what_this_client_sent() {
        for (sees, best) in [(Sees::Queue, 1), (Sees::Work, 2)] {
            let (mut world, truth) = world(&Config { sees, ..Config::default() }, 3);
            for (server, calls, work_ms) in [(0, 3, 30), (1, 1, 20), (2, 2, 10)] {
                truth.note(Address(server), seen(world.now, calls, work_ms));
            }
            assert_eq!([world.send(), world.send(), world.send()], [best; 3]);
            truth.note(Address(best as u32), Seen { answers: false, ..seen(world.now, 0, 0) });
            assert_ne!(world.send(), best, "who does not answer is the last resort");
        }
    }

    #[test]
    fn knowledge_has_its_age() {
        let (mut world, truth) = world(&Config { age: MS.saturating_mul(100), ..Config::default() }, 2);
        truth.note(Address(0), seen(world.now, 5, 5));
        world.advance(MS.saturating_mul(50));
        truth.note(Address(1), seen(world.now, 9, 9));
        let first = (0..200).filter(|_| world.send() == 0).count();
        assert!((70..130).contains(&first), "nothing is known yet, so it is chance: {first}");
        world.advance(MS.saturating_mul(50));
        assert_eq!([world.send(), world.send()], [1, 1]);
        world.advance(MS.saturating_mul(50));
        assert_eq!([world.send(), world.send()], [0, 0]);
    }

    /// Beside a scan of the truth itself.
    #[test]
    fn without_age_it_is_the_shortest_queue() {
        let (mut world, truth) = world(&Config::default(), 6);
        let mut rand = Seed::new(3).stream("history");
        let mut calls = [0; 6];
        for _ in 0..2_000 {
            let server = rand.below(6) as usize;
            calls[server] = rand.below(9) as u32;
            truth.note(Address(server as u32), seen(world.now, calls[server], 0));
            world.advance(MS);
            let place = world.send();
            assert_eq!(calls[place], *calls.iter().min().unwrap());
        }
    }
}
