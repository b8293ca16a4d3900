//! Endpoints that have nothing to do wait in a list, and the next call goes to the first of them; while the list is
//! empty, to any.
//!
//! Origin: Lu, Xie, Kliot, Geller, Larus, Greenberg, Performance Evaluation 68(11), 2011 (JIQ). A server that becomes
//! idle joins the list of one dispatcher that it draws at random; it does not know who is next in that list.
//! Observes: with `idle = "messages"` what servers say when they become idle; with `"own"` calls that this client has
//! open, which for a single client comes to the same; with `"reported"` calls inside the server, from the load reports
//! on its replies and probes. Not weights.
//! Cost: O(1) a pick.
//! Draws: one where nobody is known to be idle, else none.
//! Fails when: load is high, because nobody is idle and it becomes a random choice; there are many clients with few
//! calls, because an idle endpoint is in one list only and that client has nothing to send; reports are missing with
//! `idle = "reported"`, because it then is random.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::slots::Slots;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};

/// Parameters of `join_idle_queue`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What makes an endpoint idle.
    pub idle: Idle,
}

/// What makes an endpoint idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Idle {
    /// It said so, to this client.
    #[default]
    Messages,
    /// This client has no call open there. An endpoint that becomes ready is idle.
    Own,
    /// A reply or a probe says that nobody is inside.
    Reported,
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let rand = context.seed.stream("join_idle_queue");
        Box::new(JoinIdleQueue {
            idle: self.idle,
            rand,
            queue: VecDeque::new(),
            queued: Slots::new(),
            known: vec![],
            unasked: VecDeque::new(),
        })
    }
}

#[derive(Debug)]
struct JoinIdleQueue {
    idle: Idle,
    rand: Rand,
    /// Idle endpoints, each at most once, first come first served.
    queue: VecDeque<EndpointId>,
    /// Who is in `queue`.
    queued: Slots<()>,
    /// Who was ready before, sorted.
    known: Vec<EndpointId>,
    /// Who has become ready and was not yet asked to say when it is idle.
    unasked: VecDeque<EndpointId>,
}

impl JoinIdleQueue {
    fn join(&mut self, id: EndpointId) {
        if self.queued.get(id).is_none() {
            self.queued.insert(id, ());
            self.queue.push_back(id);
        }
    }
}

impl Balancer for JoinIdleQueue {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.queue.retain(|id| endpoints.is_ready(*id));
        self.queued.retain(|id| endpoints.is_ready(id));
        self.unasked.retain(|id| endpoints.is_ready(*id));
        for id in endpoints.ready {
            match self.idle {
                _ if self.known.binary_search(id).is_ok() => {}
                Idle::Own if endpoints.in_flight(*id) == 0 => self.join(*id),
                Idle::Messages => self.unasked.push_back(*id),
                Idle::Own | Idle::Reported => {}
            }
        }
        self.known.clear();
        self.known.extend_from_slice(endpoints.ready);
        self.known.sort_unstable();
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        match self.queue.pop_front() {
            Some(id) => {
                self.queued.remove(id);
                Pick::To(id)
            }
            None => Pick::To(endpoints.ready[self.rand.below(endpoints.ready.len() as u64) as usize]),
        }
    }

    fn on_feedback(&mut self, _now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        let (endpoint, idle) = match (*feedback, self.idle) {
            (Feedback::Idle { endpoint }, Idle::Messages) => (endpoint, true),
            (Feedback::Done { endpoint, .. }, Idle::Own) => (endpoint, endpoints.in_flight(endpoint) == 0),
            (Feedback::Done { endpoint, load: Some(load), .. }, Idle::Reported)
            | (Feedback::Probed { endpoint, load: Some(load), ok: true, .. }, Idle::Reported) => {
                (endpoint, load.in_flight == 0)
            }
            _ => return,
        };
        if idle && endpoints.is_ready(endpoint) {
            self.join(endpoint);
        }
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.unasked.pop_front().map(Want::Watch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::Seed;
    use crate::base::time::Duration;
    use crate::policy::balancer::LoadReport;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Health;

    fn own() -> Config {
        Config { idle: Idle::Own }
    }

    fn says_idle(world: &mut World, place: usize) {
        let feedback = Feedback::Idle { endpoint: world.id(place) };
        world.balancer.on_feedback(world.now, &feedback, &world.table.view());
    }

    #[test]
    fn who_says_that_it_is_idle_gets_one_call() {
        let mut world = World::equal(4, &Config::default());
        let asked: Vec<Want> = std::iter::from_fn(|| world.balancer.poll_want()).collect();
        assert_eq!(asked, [0, 1, 2, 3].map(|i| Want::Watch(world.id(i))));
        for place in [2, 0, 2] {
            says_idle(&mut world, place);
        }
        assert_eq!([world.send(), world.send()], [2, 0], "each is in the list once");
        world.done(2, Duration::ZERO, Ok(()));
        let others = (0..40).filter(|_| world.send() != 2).count();
        assert!(others > 15, "that this client has no call open there says nothing");
        says_idle(&mut world, 3);
        world.health(3, Health::Failed);
        world.health(3, Health::Healthy);
        assert_eq!(world.balancer.poll_want(), Some(Want::Watch(world.id(3))), "asked again after it was away");
        assert_eq!(world.balancer.poll_want(), None);
    }

    #[test]
    fn the_idle_go_first_in_the_order_they_became_so() {
        let mut world = World::equal(4, &own());
        let places: Vec<usize> = (0..4).map(|_| world.send()).collect();
        assert_eq!(places, [0, 1, 2, 3]);
        for place in [2, 0] {
            world.done(place, Duration::ZERO, Ok(()));
        }
        assert_eq!([world.send(), world.send()], [2, 0]);
        let mut counts = [0; 4];
        (0..4_000).for_each(|_| counts[world.send()] += 1);
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "nobody is idle: {counts:?}");
    }

    /// Beside a list that is searched.
    #[test]
    fn the_list_is_that_of_a_plain_queue() {
        let mut rand = Seed::new(5).stream("history");
        let (mut world, mut open) = (World::equal(6, &own()), vec![]);
        let mut queue: VecDeque<u32> = (0..6).collect();
        let mut listed = 6;
        for step in 0..4_000 {
            if rand.below(2) == 0 || open.is_empty() {
                let expected = queue.pop_front();
                let Pick::To(id) = world.pick(&Request::plain()) else { panic!("all are ready") };
                let address = world.table.get(id).unwrap().address.0;
                assert!(expected.is_none_or(|expected| expected == address), "step {step}: {expected:?}, {address}");
                world.sent(id);
                open.push(id);
            } else {
                let id = open.swap_remove(rand.below(open.len() as u64) as usize);
                world.ended(id, Duration::ZERO, Ok(()), None);
                let Some(endpoint) = world.table.get(id) else { continue };
                let address = endpoint.address.0;
                if world.table.in_flight(id) == 0 && !queue.contains(&address) {
                    queue.push_back(address);
                }
            }
            if rand.below(100) == 0 {
                let (before, now) = (listed, 4 + rand.below(5) as u32);
                world.list((0..now).map(|i| listing(i, 1)).collect());
                queue.retain(|address| *address < now);
                queue.extend(before..now);
                listed = now;
            }
        }
    }

    #[test]
    fn whoever_is_not_ready_leaves_the_list_and_returns_idle() {
        let mut world = World::equal(3, &own());
        world.health(0, Health::Failed);
        assert_eq!(world.send(), 1);
        world.health(0, Health::Healthy);
        assert_eq!([world.send(), world.send()], [2, 0]);
        world.list((0..4).map(|i| listing(i, 1)).collect());
        assert_eq!(world.send(), 3, "whoever joins is idle");
    }

    #[test]
    fn a_report_of_nobody_inside_is_the_message() {
        let mut world = World::equal(3, &Config { idle: Idle::Reported });
        let report = |in_flight| LoadReport { in_flight, ..LoadReport::default() };
        for (place, in_flight) in [(2, 0), (1, 1), (0, 0), (2, 0)] {
            world.sent(world.id(place));
            world.done_with(place, Duration::ZERO, Ok(()), Some(&report(in_flight)));
        }
        assert_eq!(world.balancer.poll_want(), None, "reports come by themselves");
        assert_eq!([world.send(), world.send()], [2, 0], "each is in the list once");
        world.done(2, Duration::ZERO, Ok(()));
        let others = (0..40).filter(|_| world.send() != 2).count();
        assert!(others > 15, "an answer without a report is no message");
    }
}
