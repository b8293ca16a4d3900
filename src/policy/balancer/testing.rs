//! A scripted client for the tests of balancers: endpoints with weights, all ready, and one balancer.

use std::sync::Arc;

use super::catalog::Context;
use super::{Balancer, Feedback, LoadReport, Pick, Request};
use crate::base::id::{Address, EndpointId, RegionId, ZoneId};
use crate::base::metadata::Metadata;
use crate::base::status::Outcome;
use crate::base::time::{Duration, Instant};
use crate::policy::endpoints::{Connectivity, Health, Listing, SuspectRule, Table};

/// One balancer over a table that the test scripts.
pub struct World {
    /// The client's view.
    pub table: Table,
    /// What is tested.
    pub balancer: Box<dyn Balancer>,
    /// The time.
    pub now: Instant,
    /// Attempts that the calls had made before those that end.
    pub retried: u32,
    listings: Vec<Listing>,
}

/// Anything that a balancer can be built from: lets `World::equal(3, &Config::default())` read well.
/// The catalogue implements it for every configuration.
pub trait Build {
    /// The balancer of one client.
    fn build_for(&self, context: &Context) -> Box<dyn Balancer>;
}

/// The listing of the `i`-th endpoint: `10.0.0.{i+1}:80`, zone and region 0.
pub fn listing(i: u32, weight: u32) -> Listing {
    Listing {
        address: Address(i),
        name: format!("10.0.0.{}:80", i + 1).into(),
        weight,
        zone: ZoneId(0),
        region: RegionId(0),
        started: None,
        health: Health::Healthy,
        metadata: Metadata::default(),
    }
}

impl Listing {
    /// The same server, which is this.
    pub fn labelled(self, pairs: &[(&str, &str)]) -> Listing {
        Listing { metadata: Metadata::of(pairs), ..self }
    }
}

/// The digits of [`World::picks`] as letters, as the reference writes them: `0120` is `ABCA`.
pub fn letters(picks: &str) -> String {
    let letter = |digit: char| char::from(b'A' + digit.to_digit(26).expect("at most 26 endpoints") as u8);
    picks.chars().map(letter).collect()
}

impl World {
    /// `n` ready endpoints of weight 1.
    pub fn equal(n: usize, config: &impl Build) -> World {
        World::weighted(&vec![1; n], config)
    }

    /// Ready endpoints of these weights.
    pub fn weighted(weights: &[u32], config: &impl Build) -> World {
        World::seeded(1, weights, |context| config.build_for(context))
    }

    /// The same with a seed.
    pub fn seeded(seed: u64, weights: &[u32], build: impl FnOnce(&Context) -> Box<dyn Balancer>) -> World {
        let listings: Vec<Listing> = weights.iter().enumerate().map(|(i, weight)| listing(i as u32, *weight)).collect();
        World::of(listings, build(&Context::lone(seed)))
    }

    /// These listings, all connected.
    pub fn of(listings: Vec<Listing>, balancer: Box<dyn Balancer>) -> World {
        let mut world = World {
            table: Table::new(SuspectRule::LastResort),
            balancer,
            now: Instant::ZERO,
            retried: 0,
            listings: vec![],
        };
        world.list(listings);
        world
    }

    /// A new answer of the resolver; whoever is new is connected at once.
    pub fn list(&mut self, listings: Vec<Listing>) {
        self.listings = listings.clone();
        let change = self.table.update(Arc::from(listings));
        self.table.connect_all(self.now, &change.joined);
        self.refresh();
    }

    /// The same, but nobody who is new is connected.
    pub fn list_cold(&mut self, listings: Vec<Listing>) {
        self.listings = listings.clone();
        self.table.update(Arc::from(listings));
        self.refresh();
    }

    /// The same list again.
    pub fn refresh(&mut self) {
        self.balancer.on_endpoints(self.now, &self.table.view());
    }

    /// The endpoint at place `i` of the list.
    pub fn id(&self, i: usize) -> EndpointId {
        self.table.at(self.listings[i].address).expect("it is listed")
    }

    /// The place in the list of an endpoint.
    pub fn place(&self, id: EndpointId) -> usize {
        (0..self.listings.len()).find(|i| self.id(*i) == id).expect("it is listed")
    }

    /// Lets time pass, waking the balancer whenever it asked for it.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        let mut wakes = 0;
        while let Some(at) = self.balancer.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.balancer.on_timeout(self.now, &self.table.view());
            wakes += 1;
            assert!(wakes < 1_000_000, "it never stops asking to be woken");
        }
        self.now = until;
    }

    /// One pick, without sending anything.
    pub fn pick(&mut self, request: &Request<'_>) -> Pick {
        self.balancer.pick(self.now, request, &self.table.view())
    }

    /// One pick by a hash.
    pub fn pick_hash(&mut self, hash: u64) -> usize {
        match self.pick(&Request { hash: Some(hash), ..Request::plain() }) {
            Pick::To(id) => self.place(id),
            other => panic!("{other:?} where an endpoint is expected"),
        }
    }

    /// Picks and sends: the endpoint's place.
    pub fn send(&mut self) -> usize {
        let Pick::To(id) = self.pick(&Request::plain()) else { panic!("nobody is ready") };
        self.sent(id);
        self.place(id)
    }

    /// Notes an attempt as sent.
    pub fn sent(&mut self, id: EndpointId) {
        self.table.on_sent(id);
        self.balancer.on_feedback(self.now, &Feedback::Sent { endpoint: id }, &self.table.view());
    }

    /// Ends an attempt on place `i`.
    pub fn done(&mut self, i: usize, took: Duration, outcome: Outcome) {
        self.done_with(i, took, outcome, None);
    }

    /// Ends an attempt on place `i` with a load report.
    pub fn done_with(&mut self, i: usize, took: Duration, outcome: Outcome, load: Option<&LoadReport>) {
        self.ended(self.id(i), took, outcome, load);
    }

    /// Ends an attempt, wherever its endpoint is by now.
    pub fn ended(&mut self, endpoint: EndpointId, took: Duration, outcome: Outcome, load: Option<&LoadReport>) {
        self.table.on_ended(endpoint);
        let done = Feedback::Done { endpoint, took, outcome, retried: self.retried, load };
        self.balancer.on_feedback(self.now, &done, &self.table.view());
    }

    /// `n` picks that end at once, as digits (letters from 10 on) of places.
    pub fn picks(&mut self, n: usize) -> String {
        (0..n).map(|_| char::from_digit(self.pick_and_end() as u32, 36).expect("at most 36 endpoints")).collect()
    }

    /// `n` picks that end at once, counted by place.
    pub fn counts(&mut self, n: usize) -> Vec<usize> {
        let mut counts = vec![0; self.listings.len()];
        for _ in 0..n {
            counts[self.pick_and_end()] += 1;
        }
        counts
    }

    fn pick_and_end(&mut self) -> usize {
        let place = self.send();
        self.done(place, Duration::ZERO, Ok(()));
        place
    }

    /// Sets the health of place `i`.
    pub fn health(&mut self, i: usize, health: Health) {
        self.table.set_health(self.now, self.id(i), health);
        self.refresh();
    }

    /// Sets the connectivity of place `i`.
    pub fn connectivity(&mut self, i: usize, connectivity: Connectivity) {
        self.table.set_connectivity(self.now, self.id(i), connectivity);
        self.refresh();
    }
}
