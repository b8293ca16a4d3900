//! Clients stand evenly on a ring of endpoints, each looks at an arc, and of two endpoints drawn on the arc the less
//! loaded takes the call.
//!
//! Origin: Finagle's deterministic aperture (`DeterministicAperture.scala`, `Ring.scala`).
//! Observes: calls that this client has open, for the part of each endpoint that its arc covers; static weights; the
//! client's number and how many clients there are.
//! Cost: O(log n) a pick, O(n log n) when the list changes.
//! Draws: two a pick, and up to two more while they fall on the same endpoint; none for one endpoint.
//! Fails when: clients are not numbered without gaps or their number is wrong, because arcs then overlap or leave
//! gaps; an endpoint of the arc fails, because its arc neighbours take its calls.

use serde::{Deserialize, Serialize};

use crate::base::hash::xxh64;
use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::read::one_or_more;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request, Want};
use crate::policy::endpoints::Connectivity;

/// Parameters of `deterministic_aperture`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Endpoints that an arc covers at least, 1 or more.
    #[serde(deserialize_with = "one_or_more")]
    #[schemars(range(min = 1))]
    pub min: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { min: 12 }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(DeterministicAperture {
            min: self.min,
            client: context.client.0,
            clients: context.clients.max(1),
            rand: context.seed.stream("deterministic_aperture"),
            arc: vec![],
            wants: vec![],
        })
    }
}

/// The width of a client's arc: as many whole steps between clients as cover the least number of endpoints.
fn width(clients: u32, endpoints: usize, min: u32) -> f64 {
    let (clients, n) = (f64::from(clients), endpoints.max(1) as f64);
    let steps = (f64::from(min).min(n) / n * clients).ceil();
    (steps / clients).min(1.0)
}

#[derive(Debug)]
struct DeterministicAperture {
    min: u32,
    client: u32,
    clients: u32,
    rand: Rand,
    /// Ready endpoints of the arc, in its order.
    arc: Vec<Part>,
    wants: Vec<EndpointId>,
}

/// An endpoint on the arc.
#[derive(Debug, Clone, Copy)]
struct Part {
    id: EndpointId,
    /// How much of the ring the arc has of it.
    share: f64,
    /// The same, as a part of the endpoint: what is compared is calls over this.
    covered: f64,
    /// Sum of the shares up to and with this one.
    until: f64,
}

/// What `[from, from + width)` on a ring of 1 covers of `[start, end)`.
fn overlap(from: f64, width: f64, start: f64, end: f64) -> f64 {
    let plain = |from: f64, to: f64| (to.min(end) - from.max(start)).max(0.0);
    let to = from + width;
    if to <= 1.0 { plain(from, to) } else { plain(from, 1.0) + plain(0.0, to - 1.0) }
}

impl DeterministicAperture {
    /// Members of the arc, with the share of the ring and of the endpoint that it covers. Endpoints own parts of the
    /// ring by weight, in an order that all clients share.
    fn covered(&self, endpoints: &Endpoints<'_>) -> Vec<(EndpointId, f64, f64)> {
        let weight = |id: EndpointId| endpoints.get(id).map_or(0.0, |endpoint| f64::from(endpoint.weight));
        let mut order: Vec<EndpointId> = endpoints.members.to_vec();
        order.sort_by_key(|id| (xxh64(endpoints.table.name(*id).as_bytes(), 0), *id));
        let sum: f64 = order.iter().map(|id| weight(*id)).sum();
        let each = |id: EndpointId| if sum > 0.0 { weight(id) / sum } else { 1.0 / order.len() as f64 };
        let from = f64::from(self.client % self.clients) / f64::from(self.clients);
        let width = width(self.clients, order.len(), self.min);
        let mut start = 0.0;
        let part = |id: &EndpointId| {
            let own = each(*id);
            let share = overlap(from, width, start, start + own);
            start += own;
            (share > TINY).then(|| (*id, share, share / own))
        };
        order.iter().filter_map(part).collect()
    }

    fn draw(&mut self) -> usize {
        let point = self.rand.unit() * self.arc[self.arc.len() - 1].until;
        self.arc.partition_point(|part| part.until <= point).min(self.arc.len() - 1)
    }
}

impl Balancer for DeterministicAperture {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        let covered = self.covered(endpoints);
        let is_idle = |id: &EndpointId| endpoints.get(*id).is_some_and(|e| e.connectivity == Connectivity::Idle);
        self.wants = covered.iter().map(|(id, _, _)| *id).filter(is_idle).rev().collect();
        self.arc.clear();
        let mut until = 0.0;
        for (id, share, covered) in covered.into_iter().filter(|(id, _, _)| endpoints.ready.contains(id)) {
            until += share;
            self.arc.push(Part { id, share, covered, until });
        }
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match (self.arc.as_slice(), endpoints.ready) {
            // The arc is dead: whoever is connected at all is better than nobody.
            ([], [first, ..]) => return Pick::To(*first),
            ([], []) => return Pick::nobody(endpoints),
            ([only], _) => return Pick::To(only.id),
            _ => {}
        }
        let a = self.draw();
        let mut b = self.draw();
        for _ in 0..REDRAWS {
            if a != b {
                break;
            }
            b = self.draw();
        }
        let load = |place: usize| f64::from(endpoints.in_flight(self.arc[place].id)) / self.arc[place].covered;
        Pick::To(self.arc[if load(b) < load(a) { b } else { a }].id)
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.wants.pop().map(Want::Connect)
    }

    fn connects_all(&self) -> bool {
        false
    }

    fn keeps_to_some(&self) -> bool {
        true
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.arc.iter().for_each(|part| visit("weight", part.id, part.share));
    }
}

/// How often a second draw is repeated that falls on the first.
const REDRAWS: u32 = 2;

/// What rounding leaves of the ring at the ends of an arc.
const TINY: f64 = 1e-12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ClientId;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::{Health, Listing};

    #[test]
    fn widths_of_the_reference() {
        let of = |clients, n| format!("{:.4}", width(clients, n, 12));
        assert_eq!([of(10, 40), of(3, 40), of(100, 40), of(5, 8)], ["0.3000", "0.3333", "0.3000", "1.0000"]);
    }

    #[test]
    fn arcs_go_round_the_end() {
        assert_eq!(overlap(0.75, 0.5, 0.0, 0.5), 0.25);
        assert_eq!(overlap(0.75, 0.5, 0.5, 1.0), 0.25);
        assert_eq!(overlap(0.25, 0.25, 0.5, 1.0), 0.0);
    }

    fn world(client: u32, clients: u32, weights: &[u32], min: u32) -> World {
        let context = Context { client: ClientId(client), clients, ..Context::lone(u64::from(client)) };
        let listings: Vec<Listing> = weights.iter().zip(0..).map(|(weight, i)| listing(i, *weight)).collect();
        World::of(listings, Config { min }.build(&context))
    }

    #[test]
    fn all_clients_together_load_every_endpoint_by_weight() {
        let weights = [1, 2, 3, 1, 1, 2, 1, 4, 1, 4];
        let mut load = [0; 10];
        for client in 0..20 {
            let mut world = world(client, 20, &weights, 3);
            for (load, count) in load.iter_mut().zip(world.counts(2_000)) {
                *load += count;
            }
        }
        for (load, weight) in load.iter().zip(weights) {
            assert!(load.abs_diff(2_000 * weight as usize) < 200 * weight as usize, "{load} for weight {weight}");
        }
    }

    #[test]
    fn an_arc_covers_what_it_should_and_no_more() {
        let used = |client| {
            let counts = world(client, 10, &[1; 40], 12).counts(2_000);
            counts.iter().filter(|count| **count > 0).count()
        };
        assert_eq!((0..10).map(used).collect::<Vec<_>>(), [12; 10]);
    }

    #[test]
    fn loads_are_compared_for_what_is_covered() {
        let mut world = world(0, 4, &[1, 1], 1);
        // Two endpoints, width a half: the arc is the first one of the order.
        let only = world.send();
        assert_eq!(world.counts(50)[only], 50);
        world.health(only, Health::Failed);
        assert_eq!(world.send(), 1 - only, "better than nobody");
        let mut three = self::world(1, 4, &[1, 1, 1], 1);
        // Half the ring from a quarter on: a twelfth of the first, all of the second, a twelfth of the third. Open calls
        // are kept in that proportion.
        let mut counts = [0_u32; 3];
        (0..600).for_each(|_| counts[three.send()] += 1);
        counts.sort_unstable();
        assert!(counts[2].abs_diff(400) < 30 && counts[0].abs_diff(100) < 30, "{counts:?}");
    }

    #[test]
    fn only_the_arc_is_connected() {
        let context = Context { client: ClientId(0), clients: 4, ..Context::lone(1) };
        let mut world = World::of(vec![], Config { min: 2 }.build(&context));
        world.list_cold((0..8).map(|i| listing(i, 1)).collect());
        let wanted = std::iter::from_fn(|| world.balancer.poll_want()).count();
        assert_eq!(wanted, 2);
    }
}
