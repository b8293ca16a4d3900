//! The server with the shortest queue or the least work of all, in truth: every client sees what only servers know.
//! No client can do so, it shows what would be possible. Virtual time only.
//!
//! Origin: join the shortest queue (Winston, Journal of Applied Probability 14, 1977) and least work left (Harchol-Balter,
//! Performance Modeling and Design of Computer Systems, ch. 24); with `age` the continuous update and with `every` the
//! periodic update, a bulletin board, of Mitzenmacher, "How Useful Is Old Information?", IEEE TPDS 11(1), 2000, §2, who
//! compares all with `choices = 2`.
//! Observes: calls of all clients inside each server and on their way to it, for each worker, and with
//! `sees = "work"` the time that they still need, as it was `age` ago or when the board was last written; whether the
//! server answers. Not errors, and not what a cache will spare.
//! Cost: O(n) a pick, O(1) with `choices`.
//! Draws: one where several tie, by weight; none else. With `choices` so many.
//! Fails when: its knowledge is older than a call takes, because all clients see the same server idle at once; the
//! fastest servers are not those with the shortest queue; servers fail fast.

use serde::{Deserialize, Serialize};

use super::lowest::Lowest;
use crate::base::id::EndpointId;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::sample::choices::{Choices, Sampling};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Score};
use crate::policy::truth::{Past, Sight};

/// Parameters of `oracle`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What it compares.
    pub sees: Sees,
    /// How old its knowledge is: 0 and above.
    pub age: Duration,
    /// How often all that it knows is written anew: in between it stays as it was. 0: all the time.
    pub every: Duration,
    /// Of how many, drawn without replacement, it takes the best, 2 or more; by default of all.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "two_or_more")]
    #[schemars(range(min = 2))]
    pub choices: Option<u32>,
}

fn two_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match Option::<u32>::deserialize(deserializer)? {
        Some(choices @ 0..2) => Err(serde::de::Error::custom(format_args!("2 or more are needed, not {choices}"))),
        choices => Ok(choices),
    }
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
        let past = Past { age: self.age, every: self.every };
        let score = Oracle { sees: self.sees, sight: context.truth.sight(past) };
        let rand = context.seed.stream("oracle");
        match self.choices {
            Some(choices) => Box::new(Choices::new(choices, Sampling::Distinct, score, rand)),
            None => Box::new(Lowest::new(score, Some(rand))),
        }
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

    #[test]
    fn work_is_that_of_the_time_it_is_known_of() {
        let old = Config { sees: Sees::Work, age: MS.saturating_mul(100), ..Config::default() };
        let (mut world, truth) = world(&old, 2);
        truth.note(Address(0), seen(world.now, 1, 50));
        truth.note(Address(1), Seen { busy: 0, ..seen(world.now, 1, 30) });
        world.advance(MS.saturating_mul(110));
        assert_eq!(world.send(), 1, "after 10 ms it was 40 against 30; by now the first is done");
        world.advance(MS.saturating_mul(15));
        assert_eq!(world.send(), 0, "25 against 30");
    }

    #[test]
    fn a_board_is_the_same_until_it_is_written_anew() {
        let (mut world, truth) = world(&Config { every: MS.saturating_mul(100), ..Config::default() }, 3);
        for (at, server, calls) in [(10, 0, 5), (20, 1, 6), (40, 2, 1)] {
            world.advance((Instant::ZERO + MS.saturating_mul(at)).since(world.now));
            truth.note(Address(server), seen(world.now, calls, 0));
        }
        world.advance(MS.saturating_mul(60));
        assert_eq!([world.send(), world.send()], [2, 2], "as at 100 ms");
        world.advance(MS);
        truth.note(Address(2), seen(world.now, 99, 0));
        world.advance(MS.saturating_mul(89));
        assert_eq!(world.send(), 2, "whatever happened since: herding");
        world.advance(MS.saturating_mul(10));
        assert_eq!(world.send(), 0);
    }

    #[test]
    fn of_two_drawn_the_worst_of_all_is_never_taken() {
        let (mut world, truth) = world(&Config { choices: Some(2), ..Config::default() }, 4);
        (0..4).for_each(|server| truth.note(Address(server), seen(world.now, 1 + server, 0)));
        let counts = (0..6_000).fold([0usize; 4], |mut counts, _| {
            counts[world.send()] += 1;
            counts
        });
        // One of six pairs each: three have the best, two of the others the second, one the third.
        let near = |of: usize, sixths: usize| counts[of].abs_diff(1_000 * sixths) < 120;
        assert!(near(0, 3) && near(1, 2) && near(2, 1) && counts[3] == 0, "{counts:?}");
        assert!(toml::from_str::<Config>("choices = 1").unwrap_err().message().contains("2 or more"));
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
