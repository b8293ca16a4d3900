//! Two choices by open calls, against tower's.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Waker};

use plimsoll::base::id::EndpointId;
use plimsoll::base::time::Duration;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PendingRequests};

use crate::ours::Ours;

/// A service that notes that it was called.
pub struct Noting(pub usize, pub Arc<AtomicUsize>);

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
        let endpoint = Ours::send(self);
        (self.number(endpoint) as usize, endpoint)
    }

    fn end(&mut self, endpoint: EndpointId) {
        Ours::end(self, endpoint, Duration::ZERO);
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
