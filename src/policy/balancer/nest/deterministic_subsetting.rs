//! Clients deal the endpoints out among them in rounds, so that each has nearly as many clients as any other.
//!
//! Origin: Site Reliability Engineering, chapter 20 (Google, 2016), "A Subset Selection Algorithm: Deterministic
//! Subsetting".
//! Observes: names of the endpoints; the client's number; what its child observes.
//! Cost: that of the child; O(n log n) when the list changes.
//! Draws: none of its own; a round's shuffle is the same for all clients.
//! Fails when: clients are not numbered without gaps; the list changes, because subsets then change as a whole; the
//! number of endpoints is no multiple of the size, because the rest of each round is idle.

use serde::{Deserialize, Serialize};

use super::subset::Subset;
use super::weighted_target::Child;
use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Seed};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::read::one_or_more;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};

/// Parameters of `deterministic_subsetting`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer inside the subset.
    pub child: Child,
    /// Endpoints in a subset, 1 or more.
    #[serde(deserialize_with = "one_or_more")]
    #[schemars(range(min = 1))]
    pub size: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { child: Child::default(), size: 20 }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(DeterministicSubsetting {
            size: self.size as usize,
            client: context.client.0 as usize,
            seed: context.seed.root().child("deterministic_subsetting"),
            subset: Subset::new(&self.child, context),
        })
    }
}

#[derive(Debug)]
struct DeterministicSubsetting {
    size: usize,
    client: usize,
    /// The same for all clients of a run.
    seed: Seed,
    subset: Subset,
}

/// Where a client's subset begins: its round, and its place in the shuffled list. Endpoints that are left over belong
/// to nobody in this round.
fn deal(client: usize, n: usize, size: usize) -> (usize, usize) {
    let subsets = (n / size).max(1);
    (client / subsets, client % subsets * size)
}

impl Balancer for DeterministicSubsetting {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let mut order = endpoints.members.to_vec();
        // The resolver's order may differ between clients; names do not.
        order.sort_by(|a, b| endpoints.table.name(*a).cmp(endpoints.table.name(*b)));
        let (round, from) = deal(self.client, order.len(), self.size);
        self.seed.stream(&round.to_string()).shuffle(&mut order);
        self.subset.show(now, endpoints, order.into_iter().skip(from).take(self.size));
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        self.subset.pick(now, request, endpoints)
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.subset.on_feedback(now, feedback, endpoints);
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
    use crate::base::id::ClientId;
    use crate::policy::balancer::testing::{World, listing};

    /// How many clients have each of `n` endpoints in their subset of `size`.
    fn clients_of_each(clients: u32, n: usize, size: u32, reversed: bool) -> Vec<usize> {
        let mut counts = vec![0; n];
        for client in 0..clients {
            let context = Context { client: ClientId(client), clients, ..Context::lone(7) };
            let mut listings: Vec<_> = (0..n as u32).map(|i| listing(i, 1)).collect();
            if reversed {
                listings.reverse();
            }
            let balancer = Config { size, ..Config::default() }.build(&context.child(&format!("client/{client}")));
            let mut world = World::of(listings, balancer);
            let used: Vec<usize> = (0..n).filter(|place| world.counts(60)[*place] > 0).collect();
            assert_eq!(used.len(), n.min(size as usize));
            used.iter().for_each(|place| counts[if reversed { n - 1 - place } else { *place }] += 1);
        }
        counts
    }

    #[test]
    fn the_deal_of_the_book() {
        // Twelve endpoints, three a subset: four clients a round.
        assert_eq!([0, 1, 3, 4, 9].map(|client| deal(client, 12, 3)), [(0, 0), (0, 3), (0, 9), (1, 0), (2, 3)]);
        assert_eq!(deal(3, 2, 5), (3, 0), "fewer than a subset: all of them");
    }

    #[test]
    fn every_endpoint_has_as_many_clients() {
        assert_eq!(clients_of_each(20, 20, 5, false), [5; 20]);
        let uneven = clients_of_each(8, 11, 5, false);
        assert_eq!((uneven.iter().sum::<usize>(), uneven.iter().max()), (40, Some(&4)), "one is left over each round");
        assert_eq!(clients_of_each(6, 4, 9, false), [6; 4]);
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        assert_eq!(clients_of_each(3, 12, 3, false), clients_of_each(3, 12, 3, true));
    }
}
