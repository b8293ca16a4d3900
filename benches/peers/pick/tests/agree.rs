//! Our balancers and crates that implement the same algorithm get the same inputs over random histories, and pick alike.

use std::hash::{BuildHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Waker};

use hashring::HashRing;
use plimsoll::base::hash::xxh64;
use plimsoll::base::id::{Address, EndpointId, RegionId, ZoneId};
use plimsoll::base::time::{Duration, Instant};
use plimsoll::policy::balancer::catalog::{Context, Spec};
use plimsoll::policy::balancer::{Balancer, Feedback, Pick, Request};
use plimsoll::policy::endpoints::{Listing, SuspectRule, Table};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PendingRequests};
use weighted_rs::{SmoothWeight, Weight};

/// A balancer over a list that changes.
struct Ours {
    table: Table,
    balancer: Box<dyn Balancer>,
}

impl Ours {
    fn new(balancer: &str) -> Ours {
        let spec: Spec = serde_json::from_str(balancer).unwrap();
        Ours { table: Table::new(SuspectRule::LastResort), balancer: spec.build(&Context::lone(1)) }
    }

    /// The list is now this: numbers of endpoints, and their weights.
    fn list(&mut self, endpoints: &[(u32, u32)]) {
        let listing = |(number, weight): &(u32, u32)| Listing {
            address: Address(*number),
            name: name(*number).into(),
            weight: *weight,
            zone: ZoneId(0),
            region: RegionId(0),
            started: None,
        };
        let joined = self.table.update(endpoints.iter().map(listing).collect::<Arc<[Listing]>>()).joined;
        self.table.connect_all(Instant::ZERO, &joined);
        self.balancer.on_endpoints(Instant::ZERO, &self.table.view());
    }

    fn pick(&mut self, hash: u64) -> EndpointId {
        let request = Request { hash: Some(hash), random: hash, ..Request::plain() };
        match self.balancer.pick(Instant::ZERO, &request, &self.table.view()) {
            Pick::To(endpoint) => endpoint,
            other => panic!("{other:?} with endpoints that are ready"),
        }
    }

    fn number(&self, endpoint: EndpointId) -> u32 {
        self.table.get(endpoint).unwrap().address.0
    }
}

fn name(number: u32) -> String {
    format!("10.0.{}.{}:80", number / 256, number % 256)
}

/// Lets one join, or one leave, at random.
fn churn(list: &mut Vec<(u32, u32)>, next: &mut u32, random: &mut StdRng) {
    if list.len() < 2 || list.len() < 30 && random.random_bool(0.55) {
        list.push((*next, 1));
        *next += 1;
    } else {
        list.remove(random.random_range(0..list.len()));
    }
}

#[test]
fn jump_picks_as_jump_consistent_hash() {
    let mut random = StdRng::seed_from_u64(1);
    let mut ours = Ours::new(r#"{"jump": {"on_leave": "shift"}}"#);
    let (mut list, mut next) = (vec![], 0);
    for _ in 0..300 {
        churn(&mut list, &mut next, &mut random);
        ours.list(&list);
        for _ in 0..100 {
            let hash = random.random();
            let endpoint = ours.pick(hash);
            assert_eq!(ours.number(endpoint), list[jump_consistent_hash::hash(hash, list.len()) as usize].0);
        }
    }
}

/// XXH64 of text, and a number as it is: so that the crate's ring gets our points and our keys.
#[derive(Clone, Default)]
struct AsOurs(u64);

impl Hasher for AsOurs {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh64(bytes, 0);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for AsOurs {
    type Hasher = AsOurs;

    fn build_hasher(&self) -> AsOurs {
        AsOurs(0)
    }
}

/// A point of an endpoint on the ring.
struct Point {
    endpoint: u32,
    number: u32,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(format!("{}_{}", name(self.endpoint), self.number).as_bytes());
    }
}

#[test]
fn the_ring_picks_as_hashring() {
    let mut random = StdRng::seed_from_u64(2);
    let mut ours = Ours::new(r#""hash_ring_vnodes""#);
    let mut theirs = HashRing::with_hasher(AsOurs(0));
    let points = |endpoint: u32| (0..160).map(move |number| Point { endpoint, number });
    let (mut list, mut next) = (vec![], 0);
    for _ in 0..200 {
        let before = list.clone();
        churn(&mut list, &mut next, &mut random);
        ours.list(&list);
        for (endpoint, _) in before.iter().filter(|old| !list.contains(old)) {
            points(*endpoint).for_each(|point| drop(theirs.remove(&point)));
        }
        for (endpoint, _) in list.iter().filter(|new| !before.contains(new)) {
            theirs.batch_add(points(*endpoint).collect());
        }
        for _ in 0..200 {
            let hash: u64 = random.random();
            let endpoint = ours.pick(hash);
            assert_eq!(ours.number(endpoint), theirs.get(&hash).unwrap().endpoint, "{list:?}");
        }
    }
}

#[test]
fn smooth_turns_are_those_of_weighted_rs() {
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..200 {
        let endpoints: Vec<(u32, u32)> =
            (0..random.random_range(1..20)).map(|number| (number, random.random_range(1..30))).collect();
        let mut ours = Ours::new(r#""wrr_smooth""#);
        ours.list(&endpoints);
        let mut theirs = SmoothWeight::new();
        endpoints.iter().for_each(|(number, weight)| theirs.add(*number, *weight as isize));
        for turn in 0..1_000 {
            let endpoint = ours.pick(0);
            assert_eq!(Some(ours.number(endpoint)), theirs.next(), "turn {turn} of {endpoints:?}");
        }
    }
}

/// A service that notes that it was called.
struct Noting(usize, Arc<AtomicUsize>);

impl Service<()> for Noting {
    type Response = ();
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<(), Self::Error>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.1.store(self.0, Ordering::Relaxed);
        std::future::ready(Ok(()))
    }
}

/// Whoever sends and ends calls, and says where each went.
trait Client {
    type Call;
    fn send(&mut self) -> (usize, Self::Call);
    fn end(&mut self, call: Self::Call);
}

impl Client for Ours {
    type Call = EndpointId;

    fn send(&mut self) -> (usize, EndpointId) {
        let endpoint = self.pick(0);
        self.table.send_to(endpoint);
        self.balancer.on_feedback(Instant::ZERO, &Feedback::Sent { endpoint }, &self.table.view());
        (self.number(endpoint) as usize, endpoint)
    }

    fn end(&mut self, endpoint: EndpointId) {
        self.table.on_ended(endpoint);
        let done = Feedback::Done { endpoint, took: Duration::ZERO, outcome: Ok(()), load: None };
        self.balancer.on_feedback(Instant::ZERO, &done, &self.table.view());
    }
}

type Pending = PendingRequests<Noting>;

/// tower's two choices by pending requests.
struct Theirs {
    balance: Balance<ServiceList<Vec<Pending>>, ()>,
    called: Arc<AtomicUsize>,
}

impl Theirs {
    fn new(services: usize) -> Theirs {
        let called = Arc::new(AtomicUsize::new(0));
        let service = |number| PendingRequests::new(Noting(number, called.clone()), CompleteOnResponse::default());
        Theirs { balance: Balance::new(ServiceList::new::<()>((0..services).map(service).collect())), called }
    }
}

impl Client for Theirs {
    type Call = <Balance<ServiceList<Vec<Pending>>, ()> as Service<()>>::Future;

    fn send(&mut self) -> (usize, Self::Call) {
        let mut context = TaskContext::from_waker(Waker::noop());
        assert!(self.balance.poll_ready(&mut context).is_ready(), "all are ready");
        let call = self.balance.call(());
        (self.called.load(Ordering::Relaxed), call)
    }

    fn end(&mut self, mut call: Self::Call) {
        let mut context = TaskContext::from_waker(Waker::noop());
        assert!(Pin::new(&mut call).poll(&mut context).is_ready(), "it answers at once");
    }
}

/// Over a random history of sends and ends, the calls that were open where each call went, and the fewest open anywhere.
fn loads(mut client: impl Client, services: usize, sends: usize) -> Vec<(usize, usize)> {
    let mut random = StdRng::seed_from_u64(4);
    let (mut open, mut load, mut seen) = (Vec::new(), vec![0_usize; services], Vec::new());
    while seen.len() < sends {
        if open.is_empty() || open.len() < 3 * services && random.random_bool(0.55) {
            let (to, call) = client.send();
            seen.push((load[to], *load.iter().min().unwrap()));
            load[to] += 1;
            open.push((to, call));
        } else {
            let (to, call) = open.swap_remove(random.random_range(0..open.len()));
            client.end(call);
            load[to] -= 1;
        }
    }
    seen
}

const DISTINCT: &str = r#"{"least_request": {"sampling": "distinct"}}"#;

fn ours(services: usize) -> Ours {
    let mut ours = Ours::new(DISTINCT);
    ours.list(&(0..services as u32).map(|number| (number, 1)).collect::<Vec<_>>());
    ours
}

/// Two of two are all of them: whoever draws, the one with fewer open calls is picked.
#[test]
fn two_choices_of_two_are_those_of_tower() {
    for seen in [loads(ours(2), 2, 50_000), loads(Theirs::new(2), 2, 50_000)] {
        assert!(seen.iter().all(|(at, fewest)| at == fewest));
    }
}

/// tower draws from a generator of its own, so picks cannot be equal. How many calls are open where one goes is
/// distributed alike: each share within five standard errors, of samples that are nearly independent.
#[test]
fn two_choices_of_ten_are_distributed_as_those_of_tower() {
    const SENDS: usize = 400_000;
    let share =
        |seen: &[(usize, usize)], load: usize| seen.iter().filter(|(at, _)| *at == load).count() as f64 / SENDS as f64;
    let (one, other) = (loads(ours(10), 10, SENDS), loads(Theirs::new(10), 10, SENDS));
    for load in 0..6 {
        let (a, b) = (share(&one, load), share(&other, load));
        let error = (2.0 * a.max(1e-4) / SENDS as f64).sqrt();
        assert!((a - b).abs() < 5.0 * error, "{load} open: {a} here, {b} there, standard error {error}");
    }
    // One choice would be seen at once.
    let mut random = Ours::new(r#""random""#);
    random.list(&(0..10).map(|number| (number, 1)).collect::<Vec<_>>());
    let chance = loads(random, 10, SENDS);
    assert!((share(&chance, 1) - share(&other, 1)).abs() > 0.02);
}
