//! Of two endpoints drawn, the one that looks less loaded to this client and by its own word.
//!
//! Origin: Netflix Technology Blog, *Rethinking Netflix's Edge Load Balancing*, 2018 (zuul-lb): choice of two on client
//! health, server utilization and open calls, with filters, probation and server age. The article gives few numbers:
//! decay and age are recalled from it, how the factors are scaled is chosen here and stands with each parameter.
//! Observes: utilization in load reports on replies; connection errors, refusals and time-outs; calls that this client
//! has open; since when a server runs, from the list.
//! Cost: O(1) a pick, up to `max_draws` pairs.
//! Draws: two for each pair, and one for each of them that is young.
//! Fails when: nobody reports, because it then is two choices by open calls; reports are much older than what a call
//! takes; servers fail by themselves, because such errors do not count.

use serde::{Deserialize, Serialize};

use crate::base::bounds::above_zero as some_time;
use crate::base::id::EndpointId;
use crate::base::quantity::Ratio;
use crate::base::rand::{Bits, Rand};
use crate::base::slots::Slots;
use crate::base::status::{Cause, Outcome};
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::read::{one_or_more, share};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, LoadReport, Pick, Request};

/// Parameters of `choice_of_2_utilization`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// An endpoint that says it is fuller than this is drawn past, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub max_utilization: f64,
    /// An endpoint with a larger share of connection errors is drawn past, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub max_errors: f64,
    /// Pairs that are drawn at most; then the better of the last is taken anyway.
    #[serde(deserialize_with = "one_or_more")]
    pub max_draws: u32,
    /// A server that has run for less takes a share of its calls that grows with its age.
    pub young: Duration,
    /// What was heard fades steadily to nothing in this time.
    #[serde(deserialize_with = "some_time")]
    pub fade: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_utilization: 0.95,
            max_errors: 0.5,
            max_draws: 3,
            young: Duration::from_secs(90),
            fade: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let rand = context.seed.stream("choice_of_2_utilization");
        Box::new(ChoiceOf2 { config: self.clone(), rand, nodes: Slots::new() })
    }
}

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy)]
struct Node {
    utilization: f64,
    reported_at: Instant,
    /// Share of connection errors, an average.
    errors: f64,
    heard_at: Instant,
    answered: bool,
}

#[derive(Debug)]
struct ChoiceOf2 {
    config: Config,
    rand: Rand,
    nodes: Slots<Node>,
}

/// One of a pair.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: EndpointId,
    utilization: f64,
    errors: f64,
    open: u32,
    /// It has not answered yet and has its one open call.
    on_probation: bool,
}

impl ChoiceOf2 {
    /// What is left of a value that was heard then.
    fn faded(&self, value: f64, at: Instant, now: Instant) -> f64 {
        let age = now.since(at).as_nanos() as f64 / self.config.fade.as_nanos() as f64;
        value * (1.0 - age).max(0.0)
    }

    fn candidate(&self, now: Instant, id: EndpointId, endpoints: &Endpoints<'_>) -> Candidate {
        let open = endpoints.in_flight(id);
        let Some(node) = self.nodes.get(id) else {
            return Candidate { id, utilization: 0.0, errors: 0.0, open, on_probation: open > 0 };
        };
        Candidate {
            id,
            utilization: self.faded(node.utilization, node.reported_at, now),
            errors: self.faded(node.errors, node.heard_at, now),
            open,
            on_probation: !node.answered && open > 0,
        }
    }

    /// True if it takes this call for its age: the younger, the more rarely.
    fn old_enough(&mut self, now: Instant, id: EndpointId, endpoints: &Endpoints<'_>) -> bool {
        let Some(started) = endpoints.get(id).and_then(|endpoint| endpoint.started) else { return true };
        let age = now.since(started);
        age >= self.config.young || self.rand.unit() < age.as_nanos() as f64 / self.config.young.as_nanos() as f64
    }

    fn is_bad(&self, candidate: &Candidate) -> bool {
        candidate.on_probation
            || candidate.utilization > self.config.max_utilization
            || candidate.errors > self.config.max_errors
    }

    fn note(&mut self, now: Instant, endpoint: EndpointId, outcome: Outcome, load: Option<&LoadReport>) {
        let failed = match outcome {
            Ok(()) => 0.0,
            Err(failure) => match failure.cause {
                Cause::Connection | Cause::QueueFull | Cause::Deadline => 1.0,
                Cause::Cancelled => return,
                _ => 0.0,
            },
        };
        let Some(errors) = self.nodes.get(endpoint).map(|node| self.faded(node.errors, node.heard_at, now)) else {
            return;
        };
        let Some(node) = self.nodes.get_mut(endpoint) else { return };
        node.errors = errors + ERROR_STEP * (failed - errors);
        node.heard_at = now;
        node.answered |= outcome.is_ok();
        let level = |load: &LoadReport| if load.utilization > 0.0 { load.utilization } else { load.cpu };
        if let Some(level) = load.map(level).filter(|level| level.is_finite() && *level >= 0.0) {
            node.utilization = level;
            node.reported_at = now;
        }
    }
}

impl Candidate {
    /// The sum of the factors, each 0 to 1 where nothing is overloaded: open calls relative to the pair's greater.
    fn load(&self, other: &Candidate) -> f64 {
        let most = self.open.max(other.open).max(1);
        self.errors + self.utilization + f64::from(self.open) / f64::from(most)
    }
}

impl Balancer for ChoiceOf2 {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let new = |_| Node { utilization: 0.0, reported_at: now, errors: 0.0, heard_at: now, answered: false };
        follow(&mut self.nodes, endpoints, new);
    }

    fn pick(&mut self, now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        let mut chosen = endpoints.ready[0];
        for _ in 0..self.config.max_draws {
            let (a, b) = self.rand.two_below(endpoints.ready.len() as u64);
            let pair = [a, b].map(|place| self.candidate(now, endpoints.ready[place as usize], endpoints));
            let grown = [self.old_enough(now, pair[0].id, endpoints), self.old_enough(now, pair[1].id, endpoints)];
            let bad = [self.is_bad(&pair[0]) || !grown[0], self.is_bad(&pair[1]) || !grown[1]];
            let second = match bad {
                [true, false] => true,
                [false, true] => false,
                _ => pair[1].load(&pair[0]) < pair[0].load(&pair[1]),
            };
            chosen = pair[usize::from(second)].id;
            if bad != [true, true] {
                break;
            }
        }
        Pick::To(chosen)
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        if let Feedback::Done { endpoint, outcome, load, .. } = *feedback {
            self.note(now, endpoint, outcome, load);
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.nodes.iter().for_each(|(id, node)| visit("utilization", id, node.utilization));
    }
}

/// How much one outcome moves the share of connection errors. The article leaves it open.
const ERROR_STEP: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::Failure;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Listing;

    fn answer(world: &mut World, place: usize, cpu: f64, outcome: Outcome) {
        world.sent(world.id(place));
        let load = LoadReport { cpu, ..LoadReport::default() };
        world.done_with(place, Duration::from_millis(5), outcome, Some(&load));
    }

    /// Everybody has answered once, with these utilizations.
    fn heard(utilizations: &[f64], config: &Config) -> World {
        let mut world = World::equal(utilizations.len(), config);
        for (place, cpu) in utilizations.iter().enumerate() {
            answer(&mut world, place, *cpu, Ok(()));
        }
        world
    }

    #[test]
    fn the_less_utilized_of_two() {
        let mut world = heard(&[0.9, 0.3, 0.6], &Config::default());
        let counts = world.counts(3_000);
        // Each pair comes up a third of the time: the idlest wins two of them, the busiest none.
        assert!(counts[0] == 0 && (1_850..2_150).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn open_calls_count_relative_to_each_other() {
        let mut world = heard(&[0.5, 0.5], &Config::default());
        world.sent(world.id(0));
        assert!((0..20).all(|_| world.counts(1) == [0, 1]));
    }

    #[test]
    fn what_was_heard_fades() {
        let mut world = heard(&[0.9, 0.4], &Config::default());
        world.advance(Duration::from_secs(10));
        answer(&mut world, 1, 0.5, Ok(()));
        assert_eq!(world.counts(50), [0, 50]);
        // 0.9 has fallen to 0.45 after 15 s, and 0.5 of 10 s later to 0.4167.
        world.advance(Duration::from_secs(5));
        assert_eq!(world.counts(50), [0, 50]);
        world.advance(Duration::from_secs(9));
        assert_eq!(world.counts(50), [50, 0], "0.18 against 0.2667");
    }

    #[test]
    fn full_and_failing_ones_are_drawn_past() {
        let mut world = heard(&[0.96, 0.0, 0.0, 0.0], &Config::default());
        (0..3).for_each(|place| (0..5).for_each(|_| world.sent(world.id(place + 1))));
        assert_eq!(world.counts(200)[0], 0, "full, though it has fewer calls open");
        let mut world = heard(&[0.0, 0.4, 0.4, 0.4], &Config::default());
        for _ in 0..10 {
            answer(&mut world, 0, 0.0, Err(Failure::of(Cause::Connection)));
        }
        assert_eq!(world.counts(200)[0], 0);
        let mut all = heard(&[0.99, 0.97], &Config::default());
        assert_eq!(all.counts(20), [0, 20], "the better of the bad");
    }

    #[test]
    fn whoever_has_not_answered_has_one_call_at_most() {
        let mut world = heard(&[0.9, 0.9], &Config::default());
        world.list((0..3).map(|i| listing(i, 1)).collect());
        let mut sent = vec![];
        (0..60).for_each(|_| sent.push(world.send()));
        assert_eq!(sent.iter().filter(|place| **place == 2).count(), 1);
    }

    #[test]
    fn a_young_server_grows_into_its_share() {
        let started = Some(Instant::ZERO);
        let listings: Vec<Listing> =
            (0..2).map(|i| Listing { started: started.filter(|_| i == 1), ..listing(i, 1) }).collect();
        let mut world = World::seeded(3, &[1, 1], |context| Config::default().build(context));
        world.list(listings);
        (0..2).for_each(|place| answer(&mut world, place, 0.5, Ok(())));
        assert_eq!(world.counts(100)[1], 0);
        world.advance(Duration::from_secs(45));
        let half = world.counts(4_000)[1];
        world.advance(Duration::from_secs(45));
        let whole = world.counts(4_000)[1];
        assert!((900..1_100).contains(&half) && (1_900..2_100).contains(&whole), "{half}, then {whole}");
    }
}
