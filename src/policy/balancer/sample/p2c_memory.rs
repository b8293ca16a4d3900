//! Draw a few endpoints, compare them with the best of the pick before, and remember the best of all.
//!
//! Origin: Mitzenmacher, Prabhakar, Shah, FOCS 2002; Shah and Prabhakar, ISIT 2002: one draw and one remembered beat
//! two draws.
//! Observes: calls that this client has open. Not weights.
//! Cost: O(choices + memory) a pick.
//! Draws: `choices` a pick, with replacement; none for one endpoint.
//! Fails when: many clients share the backends, because each counts only its own calls; a remembered endpoint is
//! slow in a way that open calls do not show.

use serde::{Deserialize, Deserializer, Serialize};

use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `p2c_memory`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many are drawn, 1 to 100.
    #[serde(deserialize_with = "few")]
    #[schemars(range(min = 1, max = 100))]
    pub choices: u32,
    /// How many are remembered, 1 to 100.
    #[serde(deserialize_with = "few")]
    #[schemars(range(min = 1, max = 100))]
    pub memory: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { choices: 1, memory: 1 }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(Memory {
            choices: self.choices,
            memory: self.memory as usize,
            rand: context.seed.stream("p2c_memory"),
            best: Vec::with_capacity((self.choices + self.memory) as usize),
        })
    }
}

#[derive(Debug)]
struct Memory<R = Rand> {
    choices: u32,
    memory: usize,
    rand: R,
    /// Who was least loaded after the pick before, with the open calls it had then; during a pick all candidates.
    best: Vec<(u32, EndpointId)>,
}

impl<R: Bits + Send> Balancer for Memory<R> {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.best.retain(|(_, id)| endpoints.is_ready(*id));
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        for (open, id) in &mut self.best {
            *open = endpoints.in_flight(*id);
        }
        for _ in 0..self.choices {
            let id = endpoints.ready[self.rand.below(endpoints.ready.len() as u64) as usize];
            if self.best.iter().all(|(_, known)| *known != id) {
                self.best.push((endpoints.in_flight(id), id));
            }
        }
        // The sort is stable: of equals the remembered stay in front of the drawn, and those in their order.
        self.best.sort_by_key(|(open, _)| *open);
        let pick = self.best[0].1;
        self.best[0].0 += 1;
        self.best.sort_by_key(|(open, _)| *open);
        self.best.truncate(self.memory);
        Pick::To(pick)
    }
}

fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let n = u32::deserialize(deserializer)?;
    if (1..=100).contains(&n) {
        return Ok(n);
    }
    Err(serde::de::Error::custom(format_args!("1 to 100 endpoints are drawn, and as many remembered, not {n}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use crate::policy::balancer::sample::least_request;
    use crate::policy::balancer::testing::World;
    use crate::policy::endpoints::Health;

    /// Plays back places out of four.
    #[derive(Debug)]
    struct Script(Vec<u64>);

    impl Bits for Script {
        fn next_u64(&mut self) -> u64 {
            self.0.remove(0) << 62 | 1 << 61
        }
    }

    fn world(choices: u32, memory: usize, draws: &[u64]) -> World {
        let machine = Memory { choices, memory, rand: Script(draws.to_vec()), best: vec![] };
        World::seeded(1, &[1; 4], |_| Box::new(machine))
    }

    #[test]
    fn the_least_loaded_after_the_call_is_remembered() {
        // 2 is drawn and taken. 0 is drawn, idle, taken, and then level with 2; of the two the one that was better
        // before is remembered, 0. It is drawn again and has no rival. 3 is idle and beats it, and then itself.
        let mut world = world(1, 1, &[2, 0, 0, 3, 3]);
        let places: Vec<usize> = (0..5).map(|_| world.send()).collect();
        assert_eq!(places, [2, 0, 0, 3, 3]);
    }

    #[test]
    fn a_remembered_endpoint_is_taken_again_when_it_is_better() {
        let mut world = world(1, 1, &[1, 2, 3]);
        world.sent(world.id(2));
        world.sent(world.id(3));
        assert_eq!(world.send(), 1);
        world.done(1, Duration::ZERO, Ok(()));
        assert_eq!(world.send(), 1, "idle and remembered, against 2 with one call");
        world.done(1, Duration::ZERO, Ok(()));
        world.health(1, Health::Failed);
        assert_eq!(world.send(), 3, "forgotten when not ready: the draw decides");
    }

    #[test]
    fn the_new_call_counts_for_what_is_remembered() {
        let mut world = world(1, 1, &[0, 1, 0]);
        assert_eq!(world.send(), 0);
        world.done(0, Duration::ZERO, Ok(()));
        // 0 and 1 are both idle: the remembered one is taken, and the other is then the better to remember.
        assert_eq!([world.send(), world.send()], [0, 1]);
    }

    #[test]
    fn one_draw_and_one_memory_beat_two_draws() {
        let peak = |world: &mut World| {
            for _ in 0..2_000 {
                world.send();
            }
            (0..200).map(|i| world.table.in_flight(world.id(i))).max().unwrap()
        };
        // 2000 balls in 200 bins: the fullest of two choices has about 12, of one and memory no more.
        let memory = peak(&mut World::equal(200, &Config::default()));
        let two = peak(&mut World::equal(200, &least_request::Config::default()));
        assert!(memory <= two && memory <= 13, "{memory} against {two}");
    }

    #[test]
    fn parameters_are_checked() {
        assert!(toml::from_str::<Config>("memory = 0").unwrap_err().message().contains("1 to 100"));
        assert_eq!(toml::from_str::<Config>("choices = 2").unwrap(), Config { choices: 2, memory: 1 });
    }
}
