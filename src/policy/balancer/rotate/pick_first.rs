//! One endpoint for all calls: the first that can be reached, until its connection breaks.
//!
//! Origin: gRPC's default policy (gRFC A62); Happy Eyeballs between connection attempts (gRFC A61, RFC 8305); weighted
//! shuffle (gRFC A113). A channel that begins with connections takes the first of the list that has one.
//! Observes: connectivity; with `shuffle = "weighted"` static weights, once for each list.
//! Cost: O(1) a pick; O(n) when a connection or the list changes.
//! Draws: none a pick; for a new list of n endpoints n - 1 with `shuffle = "uniform"`, n with `"weighted"`.
//! Fails when: there is more than one backend to use: it does not balance, and clients that do not shuffle all
//! use the same one.
//!
//! It asks for its connections itself. gRPC's idle timeout of 30 minutes is not modelled: no scenario lasts so
//! long, and it belongs to the channel.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::base::id::EndpointId;
use crate::base::math::pow;
use crate::base::rand::{Bits, Rand};
use crate::base::status::Cause;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request, Want};
use crate::policy::endpoints::Connectivity;

/// Parameters of `pick_first`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// In what order the listed endpoints are tried.
    pub shuffle: Shuffle,
    /// How long one connection attempt is alone before the next begins beside it.
    pub attempt_delay: Duration,
}

/// In what order the listed endpoints are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shuffle {
    /// That of the list.
    #[default]
    None,
    /// Any, drawn anew for each list.
    Uniform,
    /// The same, heavy ones rather early.
    Weighted,
}

impl Default for Config {
    fn default() -> Self {
        Config { shuffle: Shuffle::None, attempt_delay: Duration::from_millis(250) }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(PickFirst {
            config: self.clone(),
            rand: context.seed.stream("pick_first"),
            list: vec![],
            order: vec![],
            phase: Phase::New,
            wants: VecDeque::new(),
        })
    }
}

#[derive(Debug)]
struct PickFirst {
    config: Config,
    rand: Rand,
    /// The list as it was shown, with the weights that the shuffle saw.
    list: Vec<(EndpointId, u32)>,
    order: Vec<EndpointId>,
    phase: Phase,
    wants: VecDeque<Want>,
}

#[derive(Debug)]
enum Phase {
    /// Nothing was listed yet.
    New,
    /// Its connection broke; the next call makes another.
    Idle,
    /// Connecting in order.
    Trying(Pass),
    /// All calls go there.
    Using(EndpointId),
    /// Everybody failed: calls fail until somebody connects (A62: it stays in transient failure).
    Failed,
}

/// One time through the list.
#[derive(Debug, Default)]
struct Pass {
    /// By place in the order, those tried so far: whether it failed.
    failed: Vec<bool>,
    /// When the next is tried without waiting for the last any longer.
    next_at: Option<Instant>,
}

impl PickFirst {
    /// Takes over the list. True if it is another.
    fn relist(&mut self, endpoints: &Endpoints<'_>) -> bool {
        let weight =
            |id| endpoints.get(id).filter(|_| self.config.shuffle == Shuffle::Weighted).map_or(1, |e| e.weight);
        let list: Vec<(EndpointId, u32)> = endpoints.members.iter().map(|id| (*id, weight(*id))).collect();
        if list == self.list {
            return false;
        }
        self.list = list;
        self.order = endpoints.members.to_vec();
        if self.order.len() > 1 {
            match self.config.shuffle {
                Shuffle::None => {}
                Shuffle::Uniform => self.rand.shuffle(&mut self.order),
                Shuffle::Weighted => self.shuffle_by_weight(),
            }
        }
        true
    }

    /// A113, after Efraimidis and Spirakis (2006): sort by `u^(1/w)`, largest first.
    fn shuffle_by_weight(&mut self) {
        let all_zero = self.list.iter().all(|(_, weight)| *weight == 0);
        let weight = |weight: u32| if all_zero { 1.0 } else { f64::from(weight) };
        // A weight of 0 makes the power 0, which comes last.
        let keys = self.list.iter().map(|(id, w)| (pow(self.rand.unit(), 1.0 / weight(*w)), *id));
        let mut keyed: Vec<(f64, EndpointId)> = keys.collect();
        keyed.sort_by(|a, b| b.0.total_cmp(&a.0));
        self.order = keyed.into_iter().map(|(_, id)| id).collect();
    }

    fn begin(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.phase = Phase::Trying(Pass::default());
        self.try_next(now, endpoints);
    }

    /// Tries the next in order that is not known to have failed; after the last there is only waiting.
    fn try_next(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let Phase::Trying(pass) = &mut self.phase else { return };
        pass.next_at = None;
        while let Some(id) = self.order.get(pass.failed.len()) {
            let state = endpoints.get(*id).map(|endpoint| endpoint.connectivity);
            let waits = matches!(state, Some(Connectivity::Idle | Connectivity::Connecting));
            // One that backs off after an earlier failure, or is connected but unhealthy, has failed this pass.
            pass.failed.push(!waits);
            if state == Some(Connectivity::Idle) {
                self.wants.push_back(Want::Connect(*id));
            }
            if waits {
                if pass.failed.len() < self.order.len() {
                    pass.next_at = Some(now + self.config.attempt_delay);
                }
                return;
            }
        }
        self.give_up_if_all_failed();
    }

    fn give_up_if_all_failed(&mut self) {
        let Phase::Trying(pass) = &self.phase else { return };
        if pass.failed.len() == self.order.len() && pass.failed.iter().all(|failed| *failed) {
            self.phase = Phase::Failed;
            self.wants.push_back(Want::Resolve);
        }
    }

    /// Looks at how the attempts of this pass fare.
    fn follow(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let Phase::Trying(pass) = &mut self.phase else { return };
        let mut last_failed = false;
        for (failed, id) in pass.failed.iter_mut().zip(&self.order) {
            let state = endpoints.get(*id).map(|endpoint| endpoint.connectivity);
            *failed |= !matches!(state, Some(Connectivity::Idle | Connectivity::Connecting));
            if state == Some(Connectivity::Idle) && !*failed {
                want_connect(&mut self.wants, *id);
            }
            last_failed = *failed;
        }
        // RFC 8305: when the last attempt has failed, the next need not wait for its time.
        if last_failed && pass.failed.len() < self.order.len() {
            self.try_next(now, endpoints);
        } else {
            self.give_up_if_all_failed();
        }
    }

    fn answer(&self) -> Pick {
        match self.phase {
            Phase::Using(id) => Pick::To(id),
            Phase::Trying(_) if !self.order.is_empty() => Pick::Queue,
            _ => Pick::Fail(Cause::NoEndpoint),
        }
    }
}

fn want_connect(wants: &mut VecDeque<Want>, id: EndpointId) {
    if !wants.contains(&Want::Connect(id)) {
        wants.push_back(Want::Connect(id));
    }
}

impl Balancer for PickFirst {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let relisted = self.relist(endpoints);
        let is_ready = |id: &EndpointId| endpoints.ready.contains(id);
        if let Phase::Using(current) = self.phase {
            if is_ready(&current) {
                return;
            }
            // A connection that broke: idle, and the name is resolved again. One that left: see below.
            if endpoints.members.contains(&current) {
                self.phase = Phase::Idle;
                self.wants.push_back(Want::Resolve);
            }
        }
        if let Some(first) = self.order.iter().find(|id| is_ready(id)) {
            self.phase = Phase::Using(*first);
            self.wants.retain(|want| *want == Want::Resolve);
            return;
        }
        match self.phase {
            Phase::Idle => {}
            _ if relisted => self.begin(now, endpoints),
            Phase::Trying(_) => self.follow(now, endpoints),
            Phase::Failed => {
                // Backing off is over: try on, while calls go on failing.
                let idle = |id: &&EndpointId| {
                    endpoints.get(**id).is_some_and(|endpoint| endpoint.connectivity == Connectivity::Idle)
                };
                for id in self.order.iter().filter(idle) {
                    want_connect(&mut self.wants, *id);
                }
            }
            Phase::New | Phase::Using(_) => {}
        }
    }

    fn pick(&mut self, now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if let Phase::Idle = self.phase {
            self.begin(now, endpoints);
        }
        self.answer()
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    fn next_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Trying(pass) => pass.next_at,
            _ => None,
        }
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        if self.next_timeout().is_some_and(|at| at <= now) {
            self.try_next(now, endpoints);
        }
    }

    fn connects_all(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Connectivity::{Connecting, Idle, Ready, TransientFailure};
    use crate::policy::endpoints::Health;

    fn listings(places: std::ops::Range<u32>) -> Vec<crate::policy::endpoints::Listing> {
        places.map(|i| listing(i, 1)).collect()
    }

    /// `n` endpoints, none connected.
    fn cold(n: u32) -> World {
        let mut world = World::of(vec![], Config::default().build(&Context::lone(1)));
        world.list_cold(listings(0..n));
        world
    }

    /// What it wants since the last time, done as a channel does it: `c1` connects endpoint 1, `r` resolves.
    fn wants(world: &mut World) -> String {
        let mut wanted = vec![];
        while let Some(want) = world.balancer.poll_want() {
            wanted.push(match want {
                Want::Watch(_) | Want::PickAgain => panic!("it listens to nobody"),
                Want::Connect(id) => {
                    world.table.set_connectivity(world.now, id, Connecting);
                    format!("c{}", world.place(id))
                }
                Want::Resolve => "r".to_owned(),
                Want::Probe(_) => panic!("it never probes"),
            });
        }
        wanted.join(" ")
    }

    fn pick(world: &mut World) -> Pick {
        world.pick(&Request::plain())
    }

    fn using(world: &mut World) -> usize {
        let Pick::To(id) = pick(world) else { panic!("it uses nobody") };
        world.place(id)
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn attempts_begin_in_order_a_quarter_second_apart() {
        let mut world = cold(3);
        assert_eq!(wants(&mut world), "c0");
        assert_eq!(pick(&mut world), Pick::Queue);
        world.advance(Duration::from_millis(249));
        assert_eq!(wants(&mut world), "");
        world.advance(MS);
        assert_eq!(wants(&mut world), "c1", "beside the first, which goes on");
        world.advance(Duration::from_millis(100));
        world.connectivity(1, TransientFailure);
        assert_eq!(wants(&mut world), "c2", "at once when the last has failed");
        assert_eq!(world.balancer.next_timeout(), None, "nobody is left to try");
        world.connectivity(0, Ready);
        assert_eq!(using(&mut world), 0);
        world.connectivity(2, Ready);
        assert_eq!(using(&mut world), 0, "the first to connect serves all calls");
    }

    #[test]
    fn an_early_failure_does_not_hurry_a_later_attempt() {
        let mut world = cold(3);
        wants(&mut world);
        world.advance(Duration::from_millis(250));
        assert_eq!(wants(&mut world), "c1");
        world.connectivity(0, TransientFailure);
        assert_eq!(wants(&mut world), "");
        world.advance(Duration::from_millis(250));
        assert_eq!(wants(&mut world), "c2");
    }

    #[test]
    fn when_all_have_failed_calls_fail_until_one_connects() {
        let mut world = cold(2);
        wants(&mut world);
        world.connectivity(0, TransientFailure);
        assert_eq!(wants(&mut world), "c1");
        assert_eq!(pick(&mut world), Pick::Queue);
        world.connectivity(1, TransientFailure);
        assert_eq!(wants(&mut world), "r");
        assert_eq!(pick(&mut world), Pick::Fail(Cause::NoEndpoint));
        world.connectivity(0, Idle);
        assert_eq!(wants(&mut world), "c0");
        world.refresh();
        assert_eq!(pick(&mut world), Pick::Fail(Cause::NoEndpoint), "it stays so while it tries again");
        world.connectivity(0, Ready);
        assert_eq!(using(&mut world), 0);
    }

    #[test]
    fn after_a_break_it_is_idle_until_the_next_call() {
        let mut world = cold(2);
        wants(&mut world);
        world.connectivity(0, Ready);
        world.connectivity(0, Idle);
        assert_eq!(wants(&mut world), "r");
        world.advance(Duration::from_secs(10));
        assert_eq!(wants(&mut world), "");
        assert_eq!(pick(&mut world), Pick::Queue);
        assert_eq!(wants(&mut world), "c0");
    }

    #[test]
    fn a_list_that_holds_the_current_keeps_it() {
        let mut world = cold(2);
        wants(&mut world);
        world.connectivity(0, TransientFailure);
        wants(&mut world);
        world.connectivity(1, Ready);
        world.list_cold(listings(0..4));
        assert_eq!((using(&mut world), wants(&mut world).as_str()), (1, ""));
        world.list_cold(listings(2..4));
        assert_eq!((pick(&mut world), wants(&mut world).as_str()), (Pick::Queue, "c0"), "the new list's first");
        world.list_cold(vec![]);
        assert_eq!(pick(&mut world), Pick::Fail(Cause::NoEndpoint));
    }

    #[test]
    fn a_channel_that_begins_connected_uses_the_first_that_is_ready() {
        let mut world = World::equal(3, &Config::default());
        assert_eq!((using(&mut world), wants(&mut world).as_str()), (0, ""));
        world.connectivity(0, Idle);
        assert_eq!((using(&mut world), wants(&mut world).as_str()), (1, "r"));
        world.connectivity(0, Ready);
        assert_eq!(using(&mut world), 1, "it stays until that breaks");
        world.health(1, Health::Failed);
        assert_eq!(using(&mut world), 0);
    }

    #[test]
    fn shuffled() {
        let firsts = |shuffle, weights: &[u32]| {
            let mut counts = vec![0; weights.len()];
            for seed in 0..4_000 {
                let config = Config { shuffle, ..Config::default() };
                counts[using(&mut World::seeded(seed, weights, |context| config.build(context)))] += 1;
            }
            counts
        };
        let near = |counts: Vec<usize>, expected: &[usize]| {
            assert!(counts.iter().zip(expected).all(|(count, want)| count.abs_diff(*want) < 120), "{counts:?}");
        };
        near(firsts(Shuffle::None, &[5, 2, 1]), &[4_000, 0, 0]);
        near(firsts(Shuffle::Uniform, &[5, 2, 1]), &[1_333, 1_333, 1_333]);
        near(firsts(Shuffle::Weighted, &[5, 2, 1]), &[2_500, 1_000, 500]);
        near(firsts(Shuffle::Weighted, &[0, 0]), &[2_000, 2_000]);
        assert_eq!(firsts(Shuffle::Weighted, &[0, 1, 0]), [0, 4_000, 0]);
    }
}
