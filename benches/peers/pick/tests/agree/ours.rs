//! Our side of a comparison: a balancer over a list that changes. Shared by the packages that compare.

use std::sync::Arc;

use plimsoll::base::id::{Address, EndpointId, RegionId, ZoneId};
use plimsoll::base::time::{Duration, Instant};
use plimsoll::policy::balancer::catalog::{Context, Spec};
use plimsoll::policy::balancer::{Balancer, Feedback, Pick, Request};
use plimsoll::policy::endpoints::{Health, Listing, SuspectRule, Table};
use rand::RngExt;
use rand::rngs::StdRng;

/// A balancer over a list that changes.
pub struct Ours {
    pub table: Table,
    pub now: Instant,
    balancer: Box<dyn Balancer>,
}

impl Ours {
    /// A balancer as in a scenario file, in JSON.
    pub fn new(balancer: &str) -> Ours {
        let spec: Spec = serde_json::from_str(balancer).unwrap();
        let table = Table::new(SuspectRule::LastResort);
        Ours { table, now: Instant::ZERO, balancer: spec.build(&Context::lone(1)) }
    }

    /// The list is now this: numbers of endpoints, and their weights. Who is new is connected and healthy.
    pub fn list(&mut self, endpoints: &[(u32, u32)]) {
        let listing = |(number, weight): &(u32, u32)| Listing {
            address: Address(*number),
            name: name(*number).into(),
            weight: *weight,
            zone: ZoneId(0),
            region: RegionId(0),
            started: None,
            health: Default::default(),
            metadata: Default::default(),
        };
        let joined = self.table.update(endpoints.iter().map(listing).collect::<Arc<[Listing]>>()).joined;
        self.table.connect_all(self.now, &joined);
        self.balancer.on_endpoints(self.now, &self.table.view());
    }

    /// Whether an endpoint can be picked.
    pub fn ready(&mut self, number: u32, ready: bool) {
        let id = self.table.at(Address(number)).unwrap();
        self.table.set_health(self.now, id, if ready { Health::Healthy } else { Health::Failed });
        self.balancer.on_endpoints(self.now, &self.table.view());
    }

    pub fn pick(&mut self, hash: u64) -> EndpointId {
        self.pick_again(hash, 0)
    }

    /// The pick of a further attempt.
    pub fn pick_again(&mut self, hash: u64, attempt: u32) -> EndpointId {
        let request = Request { hash: Some(hash), random: hash, attempt, ..Request::plain() };
        match self.balancer.pick(self.now, &request, &self.table.view()) {
            Pick::To(endpoint) => endpoint,
            other => panic!("{other:?} with endpoints that are ready"),
        }
    }

    pub fn number(&self, endpoint: EndpointId) -> u32 {
        self.table.get(endpoint).unwrap().address.0
    }

    pub fn send(&mut self) -> EndpointId {
        let endpoint = self.pick(0);
        self.table.send_to(endpoint);
        self.balancer.on_feedback(self.now, &Feedback::Sent { endpoint }, &self.table.view());
        endpoint
    }

    pub fn end(&mut self, endpoint: EndpointId, took: Duration) {
        self.table.on_ended(endpoint);
        let done = Feedback::Done { endpoint, took, outcome: Ok(()), retried: 0, load: None };
        self.balancer.on_feedback(self.now, &done, &self.table.view());
    }
}

/// The address of an endpoint. In the order of numbers, and in that of text.
pub fn name(number: u32) -> String {
    format!("10.0.{}.{}:80", 100 + number / 100, 100 + number % 100)
}

/// Lets one join, or one leave, at random. Who joins weighs up to `heaviest`.
pub fn churn(list: &mut Vec<(u32, u32)>, next: &mut u32, heaviest: u32, random: &mut StdRng) {
    if list.len() < 2 || list.len() < 30 && random.random_bool(0.55) {
        list.push((*next, random.random_range(1..=heaviest)));
        *next += 1;
    } else {
        list.remove(random.random_range(0..list.len()));
    }
}
